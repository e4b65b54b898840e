"""The prompt of a generated picture, from what its file says."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..plain_text import mended
from .chain import Chain
from .editor import from_editor
from .graph import Graph, Node, from_api, read_json
from .infotext import read_infotext
from .texts import NEGATIVE, Said, Texts, name_of
from .writers import Written, read_dream, read_written

logger = logging.getLogger(__name__)

_MOST_CANDIDATES = 12
#: Names of text entries, in small letters, where programs write their JSON.
_OF_PROGRAMS = (
    *("parameters", "usercomment", "comment", "invokeai_metadata", "sd-metadata", "generation_data", "parameters-json"),
    *("prompt", "workflow", "description"),
)


@dataclass(frozen=True)
class Candidate:
    """A text that may be the prompt.

    Attributes:
        node: id of the node in the graph.
        title: what the editor calls it.
        text: what it says.
    """

    node: str
    title: str
    text: str


@dataclass(frozen=True)
class FoundPrompt:
    """What a picture's metadata say of its prompt.

    Attributes:
        positive: the prompt; None if there is none, or nothing tells for certain which it is.
        negative: what was not wanted, where that is known.
        source: who wrote it: ``"ComfyUI"``, ``"infotext"``, the name of another program; empty if there is nothing.
        reason: why there is no prompt though there are texts.
        candidates: the texts.
        notes: sentences about what is to be known of the prompt.
    """

    positive: str | None = None
    negative: str | None = None
    source: str = ""
    reason: str = ""
    candidates: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()

    def why_none(self) -> str:
        """Why there is no prompt, with the texts that may be it, for people; empty if there is nothing at all."""
        if not self.reason:
            return ""
        listed = "; ".join(
            f"{each.node}{f' ({each.title})' if each.title else ''}: {_shortened(each.text)!r}"
            for each in self.candidates
        )
        return f"{self.reason}{f': {listed}' if listed else ''}"


def _shortened(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def prompt_from_metadata(text: Mapping[str, str]) -> str | None:
    """Return the positive prompt found in a picture's text entries; None if there is none, or none for certain.

    Args:
        text: the entries by name, as ``Picture.text`` has them: ``prompt`` and ``workflow`` as ComfyUI writes them,
            ``parameters`` as AUTOMATIC1111's web UI does, those of other programs.
    """
    return read_prompt(text).positive


def read_prompt(text: Mapping[str, str], node: str | None = None, name: str | None = None) -> FoundPrompt:
    """Read the prompt in a picture's text entries.

    Args:
        text: the entries by name.
        node: id or title of the node in ComfyUI's graph whose text is the prompt, where people know better.
        name: the picture's file name: of several outputs of a graph it may tell the one that wrote it.

    Raises:
        InputError: a ``node`` was named, and there is no graph, no such node, more than one of that title, or no text
            in it.
    """
    entries = {key.lower(): _readable(value) for key, value in text.items() if isinstance(value, str)}
    read = {key: read_json(value) for key, value in entries.items() if value.strip("\0 \t\r\n\ufeff")[:1] in ("{", "[")}
    run, drawn = _graphs(read)
    if node is not None:
        return _mended(_of_node([*run, *drawn], node))
    found = FoundPrompt()
    # The editor's graph knows less: where the one that was run does not tell, it would guess.
    for graph, texts in run or drawn:
        found = _of_graph(graph, texts, name)
        if found.positive is not None:
            return _mended(found)
    other = _of_programs(entries, read)
    if other is not None:
        return _mended(other)
    return _mended(found)


def _mended(found: FoundPrompt) -> FoundPrompt:
    return replace(
        found,
        positive=None if found.positive is None else mended(found.positive),
        negative=None if found.negative is None else mended(found.negative),
    )


def _readable(text: str) -> str:
    """UTF-8 that was read as Latin-1, as files hold it that say no encoding."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


# ComfyUI's graphs.


def _graphs(read: Mapping[str, Any]) -> tuple[list[tuple[Graph, Texts]], list[tuple[Graph, Texts]]]:
    """The graphs that the entries hold, those that were run and those of the editor, each with what reads its texts."""
    run: list[Graph] = []
    drawn: list[Graph] = []
    for content in read.values():
        if not isinstance(content, dict):
            continue
        inner = [content, *(content.get(key) for key in ("prompt", "output", "workflow"))]
        inner = [read_json(each) if isinstance(each, str) and each[:1] == "{" else each for each in inner]
        for each in inner:
            edited = from_editor(each)
            if edited is not None:
                drawn.append(edited)
                continue
            graph = from_api(each)
            if graph is not None:
                run.append(graph)
    shown = {key: node.shown for graph in drawn for key, node in graph.items() if node.shown}
    return (
        [(graph, Texts(graph, shown)) for graph in run],
        [(graph, Texts(graph, drawn=False)) for graph in drawn],
    )


def _of_graph(graph: Graph, texts: Texts, name: str | None) -> FoundPrompt:
    chain = Chain(graph)
    outputs = chain.outputs(name)
    samplers = chain.samplers(outputs)
    if not samplers and not any(chain.is_sampler(node) for node in graph.values()):
        # Parts of a graph, or nodes of which nothing is known: whatever has a prompt, and is not said to do more.
        linked = {link.node for node in graph.values() for link in node.links().values()}
        samplers = [
            node for key, node in graph.items() if key not in linked and {"positive", "guider"} & set(node.links())
        ]
    if samplers and not any(texts.of_sampler(node).text for node in samplers):
        # Films and views of things are made of a picture alone: its prompt is theirs.
        shown = {other.id: other for node in samplers for other in chain.shown_to(node)}
        samplers = list(shown.values()) or samplers
    said = {node.id: texts.of_sampler(node) for node in samplers}
    if any(each.text for each in said.values()):
        # What measures depth and the like samples, too, without a text.
        said = {key: each for key, each in said.items() if not each.mute}
        samplers = [graph[key] for key in said]
    different = {each.text for each in said.values()}
    doubt = next((each.doubt for each in said.values() if each.doubt), "")
    parts = next((node for node in samplers if chain.repairs_parts(node)), None)
    if parts is not None and not doubt:
        doubt = f"node {name_of(parts)} repairs parts of a picture whose own prompt is not in the graph"
    if len(different) == 1 and not doubt:
        prompt = next(iter(different))
        if not prompt:
            return FoundPrompt(source="ComfyUI", reason="its prompt is empty")
        unwanted = {each.text for node in samplers if not (each := texts.of_sampler(node, NEGATIVE)).doubt}
        negative = next(iter(unwanted)) if len(unwanted) == 1 and unwanted != different else None
        return FoundPrompt(prompt, negative, "ComfyUI", notes=said[samplers[0].id].notes)
    if not samplers:
        reason = "no sampler leads to the picture that was saved"
    elif doubt:
        reason = doubt
    else:
        reason = (
            "several prompts lead to the pictures that were saved, and nothing tells which is this one's"
            if len(outputs) > 1
            else "the picture was made with several prompts, and nothing tells by which it is meant to be measured"
        )
    return FoundPrompt(source="ComfyUI", reason=reason, candidates=_candidates(graph, texts, said))


def _candidates(graph: Graph, texts: Texts, said: Mapping[str, Said]) -> tuple[Candidate, ...]:
    """What the samplers sample with, and what else is encoded."""
    found: dict[str, Candidate] = {}
    nodes = [graph[key] for key in said]
    chain = Chain(graph)
    samplers = [node for node in graph.values() if chain.is_sampler(node)]
    unwanted = {texts.of_sampler(node, NEGATIVE).text for node in samplers}
    nodes += samplers
    nodes += [node for node in graph.values() if "clip" in node.links() and texts.of_node(node).text not in unwanted]
    for node in nodes:
        text = texts.of_node(node).text
        if text:
            found.setdefault(text, Candidate(node.id, node.title, text))
    return tuple(found.values())[:_MOST_CANDIDATES]


def _of_node(graphs: list[tuple[Graph, Texts]], name: str) -> FoundPrompt:
    if not graphs:
        raise InputError(f"no node {name!r}: the picture's metadata hold no graph of ComfyUI")
    for graph, texts in graphs:
        node = _named(graph, name)
        if node is None:
            continue
        said = texts.of_node(node)
        if not said.text:
            reason = said.doubt or "it holds none"
            raise InputError(f"node {name!r} gives no text ({reason})")
        return FoundPrompt(said.text, None, "ComfyUI", notes=said.notes)
    graph, texts = graphs[0]
    there = FoundPrompt(reason="there are", candidates=_candidates(graph, texts, {}))
    raise InputError(f"no node {name!r} in the graph of the picture's metadata; {there.why_none()}")


def _named(graph: Graph, name: str) -> Node | None:
    if name in graph:
        return graph[name]
    titled = [node for node in graph.values() if node.title.strip().lower() == name.strip().lower()]
    if len(titled) > 1:
        raise InputError(
            f"several nodes are called {name!r}; take one by its number: {', '.join(node.id for node in titled[:20])}"
        )
    return titled[0] if titled else None


# Other programs.


def _of_programs(entries: Mapping[str, str], read: Mapping[str, Any]) -> FoundPrompt | None:
    """What programs other than ComfyUI wrote."""
    for key in _OF_PROGRAMS:
        content = read.get(key)
        if not isinstance(content, dict):
            continue
        extra = content.get("extraMetadata")  # beside the nodes of a graph, from a service that ran it
        written = read_written(read_json(extra)) if isinstance(extra, str) else None
        is_graph = from_api(content) is not None or isinstance(content.get("nodes"), list)
        written = written or (None if is_graph else read_written(content))
        if written is not None and written.positive.strip():
            return _from_written(written)
    for key in ("parameters", "usercomment", "comment", "prompt"):
        value = entries.get(key, "").strip("\0 \t\r\n\ufeff")
        if value in ("", "null") or (key in read and _looks_like_json(value)):
            continue
        found = read_infotext(value)
        # A comment may be anything: only what is written as programs write it is a prompt.
        if key == "comment" and not (found.settings or found.negative):
            continue
        if found.positive:
            negative = found.negative or entries.get("negative_prompt", "").strip()  # Easy Diffusion's is an entry
            return FoundPrompt(found.positive, negative or None, "infotext")
        if found.settings or found.negative:
            return FoundPrompt(source="infotext")
    dream = read_dream(entries.get("dream", ""))
    if dream is not None and dream.positive:
        return _from_written(dream)
    described = entries.get("description", "").strip()
    if described and entries.get("software", "").strip().lower() == "novelai":
        return FoundPrompt(described, None, "NovelAI")
    if " Job ID: " in described:
        return FoundPrompt(described.rpartition(" Job ID: ")[0].strip() or None, None, "Midjourney")
    return None


def _looks_like_json(text: str) -> bool:
    """Whether a text that begins as JSON does is meant so, even if cut short; a prompt may begin with ``{a|b}``."""
    return read_json(text) is not None or text[1:].lstrip()[:1] in ("", '"', "{", "[")


def _from_written(written: Written) -> FoundPrompt:
    negative = written.negative.strip() if written.negative else None
    return FoundPrompt(written.positive.strip(), negative or None, written.program)


# A picture, and what lies beside it.


def prompt_of(picture: str | os.PathLike[str], text: Mapping[str, str], node: str | None = None) -> FoundPrompt:
    """The prompt of a picture file: that of the text file of its name (``picture.txt``), else that of its metadata.

    Args:
        picture: the file.
        text: its text entries.
        node: as ``read_prompt`` takes it; the text file is not asked then.

    Raises:
        InputError: the text file is not in UTF-8, or as of ``read_prompt``.
    """
    beside = Path(picture).with_suffix(".txt")
    if node is not None or not beside.is_file():
        return read_prompt(text, node, Path(picture).name)
    try:
        said = read_infotext(beside.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{beside}: is not in UTF-8 ({error.reason}); save it so.") from error
    return FoundPrompt(said.positive, said.negative or None, "text file")
