"""Reading what a ComfyUI answers: what it left out, what nodes showed and how a job ended.

Nothing is taken on trust: an answer of another form is one that says nothing, never a crash, and its texts are made fit
to be printed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import InputError
from ..files import written_whole
from .workflow import Workflow, title_of

_LONGEST_TEXT = 2000
#: Nodes of ComfyUI that give something every time they run; the value is the key under which it is told.
_ALWAYS_SAVE = {"SaveImage": "images", "SaveAnimatedPNG": "images", "SaveAnimatedWEBP": "images", "PreviewAny": "text"}
_ALWAYS_PREVIEW = {"PreviewImage": "images", "MaskPreview": "images"}
#: The key in a node's output under which the pack's nodes say what they found.
_CARDS = "grefine"
_MOST_LINES = 500


@dataclass(frozen=True)
class Shown:
    """What one node showed: texts, and files as the host names them (``filename``, ``subfolder``, ``type``); of this
    pack's nodes also the lines on the node itself."""

    node_id: str
    title: str
    texts: tuple[str, ...]
    files: tuple[dict[str, str], ...]
    lines: tuple[str, ...] = ()


def mapping(value: object) -> Mapping[str, Any]:
    """``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """``value`` if it is a JSON list, else an empty one."""
    return value if isinstance(value, list) else []


def whole(value: object) -> int:
    """``value`` as a count, 0 if it is none."""
    return int(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else 0


def words(value: object) -> str:
    """``value`` on one terminal line: no control characters, of bounded length; "" for None."""
    text = "" if value is None else str(value)[:_LONGEST_TEXT]
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()


def node_errors(errors: object, workflow: Workflow) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What the host says of nodes that are not valid: (title, words, titles of outputs left out because of it)."""
    for node_id, entry in mapping(errors).items():
        entry = mapping(entry)
        lost = tuple(title_of(workflow, output) for output in listed(entry.get("dependent_outputs")))
        for error in map(mapping, listed(entry.get("errors"))):
            parts = [words(error.get("message")), words(error.get("details"))]
            yield title_of(workflow, node_id), ": ".join(part for part in parts if part), lost


def refusal(answer: Mapping[str, Any]) -> str:
    """Why the host did not take a workflow, as far as it says so."""
    error = answer.get("error")
    said = mapping(error)
    return words(f"{words(said.get('message'))} {words(said.get('details'))}" if said else error)


def shown(history: Mapping[str, Any], workflow: Workflow) -> list[Shown]:
    """What the nodes of a job showed, in the order of the workflow."""
    outputs = mapping(history.get("outputs"))
    places = {node_id: place for place, node_id in enumerate(workflow)}
    found = []
    for node_id in sorted(outputs, key=lambda node_id: places.get(node_id, len(places))):
        output = mapping(outputs[node_id])
        texts = output.get("text")
        files = [
            {key: value for key, value in mapping(entry).items() if isinstance(value, str)}
            for entry in listed(output.get("images"))
        ]
        found.append(
            Shown(
                node_id,
                title_of(workflow, node_id),
                tuple(_writable(text) for text in ([texts] if isinstance(texts, str) else listed(texts))),
                tuple(files),
                tuple(_lines(output.get(_CARDS)))[:_MOST_LINES],
            )
        )
    return found


def _lines(cards: object) -> Iterator[str]:
    """The lines on one of the pack's nodes; what stands side by side there is one line here."""
    for card in map(mapping, listed(cards)):
        for chip, group in groupby(map(mapping, listed(card.get("lines"))), key=lambda line: bool(line.get("chip"))):
            texts = [text for text in (words(line.get("text")) for line in group) if text]
            yield from [" · ".join(texts)] if chip and texts else texts


def silent(nodes: list[Shown], workflow: Workflow, previews: bool) -> list[str]:
    """The titles of nodes that give something whenever they run, and gave nothing: the host left them out unsaid."""
    wanted = {**_ALWAYS_SAVE, **(_ALWAYS_PREVIEW if previews else {})}
    gave = {
        (node.node_id, key) for node in nodes for key, some in (("images", node.files), ("text", node.texts)) if some
    }
    return [
        title_of(workflow, node_id)
        for node_id, node in workflow.items()
        if node["class_type"] in wanted and (node_id, wanted[node["class_type"]]) not in gave
    ]


def failed(history: Mapping[str, Any], workflow: Workflow) -> tuple[str, str] | None:
    """(title, words) of the node that failed, if one did."""
    for data in _messages(history, "execution_error"):
        text = f"{words(data.get('exception_type'))}: {words(data.get('exception_message'))}".strip(": ")
        return title_of(workflow, words(data.get("node_id"))), text
    return None


def interrupted(history: Mapping[str, Any], workflow: Workflow) -> str | None:
    """The title of the node at which somebody stopped the job, if somebody did."""
    for data in _messages(history, "execution_interrupted"):
        return title_of(workflow, words(data.get("node_id")))
    return None


def status(history: Mapping[str, Any]) -> str:
    """How the host says that a job ended, "success" where it says nothing."""
    said = mapping(history.get("status")).get("status_str")
    return "success" if said is None else words(said)


def _messages(history: Mapping[str, Any], event: str) -> Iterator[Mapping[str, Any]]:
    for message in listed(mapping(history.get("status")).get("messages")):
        if isinstance(message, list) and len(message) == 2 and message[0] == event:
            yield mapping(message[1])


def _writable(text: object) -> str:
    """``text`` as it can be written in UTF-8: half an emoji cannot."""
    return str(text).encode("utf-8", "replace").decode()


# Files that a server sends: under names that are harmless on every system, and never in the place of another file.

#: What ComfyUI's own nodes save. Anything else could be a file that some program acts upon by its mere name.
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".mp4", ".webm", ".txt", ".json")
)
_LONGEST_STEM = 100
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)( *\..*)?", re.IGNORECASE)


def harmless_name(name: str) -> str:
    """A name for a file, made of that which somebody else gave: no folder, nothing hidden, no sign with a meaning.

    Raises:
        InputError: the kind of file is none that is expected, or nothing is left of the name.
    """
    base = PurePosixPath(name.replace("\\", "/")).name
    suffix = PurePosixPath(base).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"the file {base!r:.120} is of no kind that is fetched ({', '.join(sorted(SUFFIXES))})")
    stem = re.sub(r"[^\w .()+,-]+", "-", base[: -len(suffix)])[:_LONGEST_STEM].strip(" .")
    if not stem or _DEVICE.fullmatch(stem):
        stem = f"file-{stem}".rstrip("-")
    return f"{stem}{base[-len(suffix) :]}"


def titled_name(title: str, ending: str) -> str:
    """A name for what the node of that title gave; slashes of either kind part no folders here."""
    return re.sub(r"[/\\]", "-", title or "file") + ending


class Receiver:
    """Puts files into ``folder``; a file that was there before is replaced only with ``overwrite``.

    Else a file of the same name and other content gets a number (``a-2.png``), and one of the same content is taken for
    the result. What one receiver wrote it never replaces itself, nor what was sent (``sent``).
    """

    def __init__(self, folder: Path, overwrite: bool = False, sent: Iterable[str | Path] = ()) -> None:
        self._folder, self._overwrite = folder, overwrite
        self._made: set[Path] = set()
        self._sent = [Path(path) for path in sent]

    def save(self, name: str, data: bytes) -> Path:
        """Write a file whole or not at all; ``name`` as somebody else gave it. Returns where it lies.

        Raises:
            InputError: not a name or a kind of file that is taken, or it cannot be written.
        """
        name = harmless_name(name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._place(name, data)
        except OSError as error:
            raise InputError(f"{self._folder / name}: cannot be written ({error.strerror or error})") from error

    def _is_sent(self, path: Path) -> bool:
        return any(sent.exists() and path.samefile(sent) for sent in self._sent)

    def _place(self, name: str, data: bytes) -> Path:
        first = self._folder / name
        path, number, claimed = first, 1, False
        while not (self._overwrite and path not in self._made and path.is_file() and not self._is_sent(path)):
            try:
                path.open("xb").close()  # the name is ours now, whoever else writes into this folder
                claimed = True
                break
            except FileExistsError:
                if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
                    return path
                number += 1
                path = first.with_name(f"{first.stem}-{number}{first.suffix}")
        try:
            with written_whole(path) as scratch:
                scratch.write_bytes(data)
        except BaseException:
            if claimed:
                path.unlink(missing_ok=True)
            raise
        self._made.add(path)
        return path
