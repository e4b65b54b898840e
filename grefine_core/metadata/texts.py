"""What a graph's nodes say: from a sampler's conditioning to the texts that it was made of.

Nothing is known here of single packs of nodes: what a node does is read from the names of its inputs, and from what its
class is called. What cannot be told so (another model's answer, a line of a file) is said to be in doubt.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .graph import Graph, Link, Node, literal, switched

Result = TypeVar("Result")

#: Longer texts are no prompts: a few nodes that join a text with itself make one of any length.
MAX_CHARACTERS = 200_000
_MAX_PARTS = 1_000

POSITIVE, NEGATIVE = "positive", "negative"
_SIDED = {
    POSITIVE: re.compile(r"(.*_)?pos(itive)?(_.*|\d*)"),
    NEGATIVE: re.compile(r"(.*_)?neg(ative)?(_.*|\d*)"),
}
_CONDITIONING = re.compile(r"cond(itioning)?(_?[a-z0-9]+)?|(.*_)?(text|prompt|hyvid|t5)_?embeds?|guider")
_PIPE = re.compile(r"(.*_)?(pipe|context|ctx|bus)(_\d+|_opt)?")
_TEXT = re.compile(
    r"(opt_?|user_?|input_?|raw_?|my_?|linked_?)?"
    r"(text|string|str|prompt|txt|value|content|caption|description|instructions?|emphasized_prompt|tags|clip_?string|any)"
    r"([ _]?([a-z]|\d+|input|opt|multiline|content))?"
    r"|part[ _]?\d+|[a-d]|input[ _]?\d*|t5xxl|mt5xl|llama|bert|clip_[lg]|\*|"
)
#: Of the encoders of one node the one that reads whole sentences comes first.
_ENCODERS = ("t5xxl", "mt5xl", "llama", "text_g", "clip_g", "prompt_g", "text_l", "clip_l", "prompt_l", "bert")
_WHOLE = ("populated_text", "text", "prompt", "user_prompt", "wildcard_text", "string", "value")
_BETWEEN = re.compile(r"delimiter|separator|sep|divider|join(er|_with)?|concat(enator)?")
_JOINS = re.compile(r"concat|join|combin|merg|append|stringfunction|multiple|build")
_SHOWS = re.compile(r"show|display|preview")
_STYLES = re.compile(r"style")
_GUIDER = re.compile(r"guider")
#: Their text is made as they run, and nowhere in the graph.
_MADE_AS_IT_RUNS = re.compile(
    r"llm|gpt|ollama|gemini|claude|deepseek|florence|caption|interrogat|tagger|llava|vlm|translat|enhanc|rewrit|upsampl"
    r"|generat|describ|blip|moondream|minicpm|chat|(2|to)(text|txt|prompt)$|fromfile|file|csv|regex|format|template|script"
    r"|eval|python|http|image|vision|shuffle|substring|json|history|clipboard|randomline|choice"
)
_CHANGES = re.compile(
    r"replac|remov|split|truncat|slic|extract|swap|revers|clean|filter|sort|dedup|(prompt|text|string)(list|lines?)$"
)
_ADDED = re.compile(r"(.*_)?(prefix|suffix|append|prepend|before|after|leading|trailing)(_.*)?")
_ROW = re.compile(r"(start_?|line_?)?(index|number|no)|max_rows|(line|row)s?")
_DRAWS_LOTS = re.compile(r"random(?!line|choice)|wildcard|dynamic|lottery")
_LOTS = re.compile(r"\{[^{}|]*\|[^{}]*\}|__[\w\-/* ]+__")
_SEES = re.compile(r"(.*_)?(image|images|pixels|video|frames|mask)(_?\d+)?")
_NO_TEXT = re.compile(
    r"(.*_)?(model|clip|vae|image|images|latent|latents|samples|pixels|mask|masks|control_net|seed|width|height|strength|"
    r"clip_vision(_output)?|steps|cfg|noise|sigmas|sampler|audio|audio_encoder_output|video)(_?\d+)?"
)
NO_STYLE = ("", "none", "base", "no style", "no_style", "disabled", "default", "-", "off")


@dataclass(frozen=True)
class Said:
    """What a node says.

    Attributes:
        parts: its texts, in order; none if it says nothing.
        doubt: why that may not be all, or another text than the one that was used; empty if it is certain.
        notes: what else is to be known of it.
        mute: whether it has nothing to do with texts: it is made of pictures, or of nothing.
    """

    parts: tuple[str, ...] = ()
    doubt: str = ""
    notes: tuple[str, ...] = ()
    mute: bool = False

    @property
    def text(self) -> str:
        """All of it, a part a line."""
        return "\n".join(part for each in self.parts if (part := each.strip())).strip()


_Steps = Generator[Any, Any, Result]


def name_of(node: Node) -> str:
    """A node as messages name it."""
    return f"{node.id} ({node.title})" if node.title else node.id


class Texts:
    """Reads one graph; what was read once is kept.

    Args:
        graph: the nodes.
        shown: by node the text that it showed when the picture was made (from the editor's graph beside it).
        drawn: whether choices (``{a|b}``) in texts have been made already, as in the API format.
    """

    def __init__(self, graph: Graph, shown: Mapping[str, str] | None = None, drawn: bool = True) -> None:
        self._graph = graph
        self._shown = dict(shown or {})
        self._drawn = drawn
        self._done: dict[tuple[str, str, int, str], Said] = {}
        self._under_way: set[tuple[str, str, int, str]] = set()

    def of_sampler(self, node: Node, side: str = POSITIVE) -> Said:
        """The prompt that a node samples with."""
        return _ended(self._conditioning_at(node, 0, side, sampler=True))

    def of_node(self, node: Node) -> Said:
        """The text of any node: what it samples with, encodes or gives."""
        encodes = any(name == "clip" or _CONDITIONING.fullmatch(name) or _PIPE.fullmatch(name) for name in node.links())
        ways = (self._conditioning_at, self._text_at) if encodes else (self._text_at, self._conditioning_at)
        found = [_ended(way(node, -1, POSITIVE)) for way in ways]
        return next((said for said in found if said.text), found[0])

    # Conditioning.

    def _once(self, what: str, link: Link, side: str) -> _Steps[Said]:
        """Read what a link brings, each but once; a circle gives nothing."""
        key = (what, link.node, link.slot, side)
        if key in self._done:
            return self._done[key]
        node = self._graph.get(link.node)
        if node is None:
            return Said(doubt=f"node {link.node} is not in the graph")
        if key in self._under_way:
            return Said(doubt=f"the graph runs in a circle at node {name_of(node)}")
        self._under_way.add(key)
        work = self._conditioning_at if what == "conditioning" else self._text_at
        said = yield work(node, link.slot, side)
        self._under_way.discard(key)
        self._done[key] = said
        return said

    def _conditioning_at(self, node: Node, slot: int, side: str, sampler: bool = False) -> _Steps[Said]:
        if node.is_kind(re.compile("zeroout")):
            return Said()
        choice = switched(self._graph, node)
        if choice is not None:
            return (yield self._chosen("conditioning", node, choice, side))
        links = node.links()
        sided = _names_of_side(node, -1 if sampler else slot, side)
        if sided is not None:
            names, side = sided
            if names:
                return _with_style(node, (yield self._gathered("conditioning", node, names, side)))
        conditionings = [name for name in links if _CONDITIONING.fullmatch(name.lower())]
        if side == NEGATIVE and (sampler or node.is_kind(_GUIDER)):
            # What has no side there is what is sampled for.
            conditionings = [name for name in conditionings if name == "guider"]
            if not conditionings and not any(_PIPE.fullmatch(name.lower()) for name in links):
                return Said()
        if "cond1" in conditionings:  # what is sampled for; the second is what both are weighed against
            conditionings = ["cond1"]
        if conditionings:
            conditionings = self._weighed(node, conditionings)
            said = yield self._gathered("conditioning", node, conditionings, side)
            texts = [] if sampler else self._encoded(node)
            if texts:  # boxes of GLIGEN, and the like, have a text of their own
                said = _together([said, (yield self._gathered("text", node, texts, side))])
            return said
        encoded = self._encoded(node)
        if encoded:
            said = yield self._gathered("text", node, encoded, side)
            return _with_style(node, self._drawn_lots(node, said))
        for matching in (_PIPE.fullmatch, lambda name: not _NO_TEXT.fullmatch(name)):
            names = [name for name in links if matching(name.lower())]
            if len(names) == 1 or (names and matching == _PIPE.fullmatch):
                return (yield self._gathered("conditioning", node, names[:1], side))
        if sided is not None or any(name in node.inputs for name in (*_WHOLE, *_ENCODERS)):
            return Said()  # an encoder of an empty text
        no_text = all(_NO_TEXT.fullmatch(name.lower()) for name in links) and not any(
            isinstance(value, str) and " " in value.strip() for value in node.inputs.values()
        )
        if no_text:
            return Said(doubt=f"node {name_of(node)} gives a condition without a text", mute=True)
        return Said(doubt=f"nothing tells which text node {name_of(node)} gives")

    def _weighed(self, node: Node, names: list[str]) -> list[str]:
        """Of an average the one that takes all, if one does."""
        strength = literal(self._graph, node.inputs.get("conditioning_to_strength"))
        if isinstance(strength, (int, float)) and {"conditioning_to", "conditioning_from"} <= set(names):
            if strength >= 1:
                return ["conditioning_to"]
            if strength <= 0:
                return ["conditioning_from"]
            return ["conditioning_to", "conditioning_from"]
        return sorted(names, key=lambda name: name == "conditioning_from")

    def _encoded(self, node: Node) -> list[str]:
        """The inputs whose texts a node encodes, the fullest first."""
        there = [name for name in node.inputs if self._has_text(node.inputs[name])]
        whole = [name for name in _WHOLE if name in there]
        if whole and literal(self._graph, node.inputs.get("with_SDXL")) is not True:
            return whole[:1]
        encoders = [name for name in _ENCODERS if name in there]
        if encoders:
            return encoders
        return [name for name in there if _TEXT.fullmatch(name.lower())]

    @staticmethod
    def _has_text(value: Any) -> bool:
        return isinstance(value, Link) or (isinstance(value, str) and bool(value.strip()))

    def _gathered(self, what: str, node: Node, names: list[str], side: str) -> _Steps[Said]:
        found: list[Said] = []
        for name in names:
            value = node.inputs[name]
            if isinstance(value, Link):
                found.append((yield self._once(what, value, side)))
            elif isinstance(value, str) and value.strip():
                found.append(Said((value,)))
        return _together(found)

    def _chosen(self, what: str, node: Node, choice: tuple[list[str], bool], side: str) -> _Steps[Said]:
        names, certain = choice
        found: list[Said] = []
        for name in names:
            value = node.inputs.get(name)
            if isinstance(value, Link):
                found.append((yield self._once(what, value, side)))
            elif isinstance(value, str):
                found.append(Said((value,)))
        if not found:
            return Said(doubt=f"the switch {name_of(node)} took an input that the graph does not hold")
        if not certain and len({said.text for said in found}) > 1:
            return Said((), f"nothing tells which of its inputs the switch {name_of(node)} took")
        return found[0]

    # Texts.

    def _text_at(self, node: Node, slot: int, side: str) -> _Steps[Said]:
        choice = switched(self._graph, node)
        if choice is not None:
            return (yield self._chosen("text", node, choice, side))
        populated = node.inputs.get("populated_text")
        if self._has_text(populated):
            return (yield self._gathered("text", node, ["populated_text"], side))
        if node.is_kind(_SHOWS):
            return (yield self._showing(node, side))
        sees = any(_SEES.fullmatch(name.lower()) for name in node.links())
        if sees or (node.is_kind(_MADE_AS_IT_RUNS) and not node.is_kind(_DRAWS_LOTS)):
            return Said(doubt=f"node {name_of(node)} made its text as it ran, and the metadata do not hold it")
        sided = _names_of_side(node, slot, side)
        if sided is not None:
            said = yield self._gathered("text", node, sided[0], sided[1])
            return _with_style(node, self._drawn_lots(node, said))
        names = [
            name
            for name, value in node.inputs.items()
            if _TEXT.fullmatch(name.lower()) and isinstance(value, (str, Link, int, float))
        ]
        between = next((name for name in node.inputs if _BETWEEN.fullmatch(name.lower())), None)
        finds = {"find", "replace"} <= set(node.inputs)
        added = [
            name for name, value in node.inputs.items() if _ADDED.fullmatch(name.lower()) and self._has_text(value)
        ]
        if added or (node.is_kind(_CHANGES) and not finds):
            return Said(doubt=f"node {name_of(node)} changes its text in a way that the graph does not tell")
        if between is not None or (node.is_kind(_JOINS) and len(names) > 1):
            return (yield self._joined(node, names, between, side))
        if finds and names:
            return (yield self._replaced(node, names[0], side))
        if len(names) > 1:
            names = [name for name in names if self._has_text(node.inputs[name])]
        if not names:
            passed = [name for name in node.links() if not _NO_TEXT.fullmatch(name.lower())]
            names = passed if len(passed) == 1 and len(node.inputs) == 1 else []
            if not names:
                if any(_TEXT.fullmatch(name.lower()) for name in node.inputs):
                    return Said()
                return Said(doubt=f"nothing tells which text node {name_of(node)} gives")
        if len(names) > 1:
            return Said(doubt=f"nothing tells which of its texts node {name_of(node)} gives")
        said = yield self._value(node.inputs[names[0]], side)
        if "\n" in said.text and any(_ROW.fullmatch(name.lower()) for name in node.inputs):
            return Said(doubt=f"nothing tells which of its lines node {name_of(node)} gives")
        return _with_style(node, self._drawn_lots(node, _changed(node, said)))

    def _value(self, value: Any, side: str) -> _Steps[Said]:
        """A text as it is, with the spaces around it."""
        if isinstance(value, Link):
            return (yield self._once("text", value, side))
        return Said((str(value),))

    def _joined(self, node: Node, names: list[str], between: str | None, side: str) -> _Steps[Said]:
        found: list[Said] = []
        for name in names:
            if name == between:
                continue
            found.append((yield self._value(node.inputs[name], side)))
        if node.inputs.get("action") == "replace":
            return Said(doubt=f"node {name_of(node)} replaces parts of a text")
        joint = ", " if node.inputs.get("tidy_tags") == "yes" else ""
        if between is not None:
            said = yield self._value(node.inputs[between], side)
            if said.doubt:
                return said
            joint = "".join(said.parts)
        joint = joint.replace("\\n", "\n").replace("\\t", "\t")
        # ComfyUI's own joins what is empty as well; packs leave it out. At the ends neither is to be seen.
        texts = ["".join(said.parts) for said in found]
        if str(node.inputs.get("clean_whitespace", "")).lower() == "true":
            texts = [text.strip() for text in texts]
        text = joint.join(text for text in texts if text.strip())
        doubt = next((said.doubt for said in found if said.doubt), "")
        if len(text) > MAX_CHARACTERS:
            return Said(doubt=f"the text of node {name_of(node)} is longer than {MAX_CHARACTERS} characters")
        return Said((text,) if text else (), doubt, _notes(found))

    def _replaced(self, node: Node, name: str, side: str) -> _Steps[Said]:
        found: list[Said] = []
        for key in (name, "find", "replace"):
            found.append((yield self._value(node.inputs[key], side)))
        text, find, replace = ("".join(said.parts) for said in found)
        if find and len(text) + text.count(find) * len(replace) > MAX_CHARACTERS:
            return Said(doubt=f"the text of node {name_of(node)} is longer than {MAX_CHARACTERS} characters")
        doubt = next((said.doubt for said in found if said.doubt), "")
        return Said((text.replace(find, replace) if find else text,), doubt, _notes(found))

    def _showing(self, node: Node, side: str) -> _Steps[Said]:
        """What a node shows is what comes in; where that cannot be told, what it showed."""
        names = [name for name in node.links() if not _NO_TEXT.fullmatch(name.lower())]
        said = yield self._gathered("text", node, names[:1], side)
        if said.text and not said.doubt:
            return said
        if self._shown.get(node.id):
            return Said((self._shown[node.id],))
        if node.shown:
            return Said((node.shown,))
        for name, value in node.inputs.items():
            value = value[0] if isinstance(value, list) and len(value) == 1 else value
            if isinstance(value, str) and value.strip() and not _NO_TEXT.fullmatch(name.lower()):
                note = f"The prompt is the text that node {name_of(node)} showed when the graph was saved."
                return Said((value,), notes=(note,) if names else ())
        return said

    def _drawn_lots(self, node: Node, said: Said) -> Said:
        """Choices that were left to chance: the text has all of them, not the one that was made."""
        lots = not self._drawn or node.is_kind(_DRAWS_LOTS)
        if lots and not said.doubt and "populated_text" not in node.inputs and any(map(_LOTS.search, said.parts)):
            return Said(said.parts, f"node {name_of(node)} chose by chance among parts of its text", said.notes)
        return said


def _names_of_side(node: Node, slot: int, side: str) -> tuple[list[str], str] | None:
    """The inputs of the side that an output gives, and that side; None if the node has no sides."""
    sides = {
        each: [
            name
            for name, value in node.inputs.items()
            if pattern.fullmatch(name.lower()) and isinstance(value, (str, Link))
        ]
        for each, pattern in _SIDED.items()
    }
    if not any(sides.values()):
        return None
    named = node.outputs[slot].lower() if 0 <= slot < len(node.outputs) else ""
    told = next((each for each, pattern in _SIDED.items() if pattern.fullmatch(named)), None)
    if told is not None:
        side = told
    elif all(sides.values()) and slot in (0, 1) and not node.outputs:
        others = {name.lower() for name in node.inputs}
        if not others & {"model", "ckpt_name", "seed", "noise_seed"} and not any(map(_PIPE.fullmatch, others)):
            side = (POSITIVE, NEGATIVE)[slot]
    base = [name for name in sides[side] if not name.lower().startswith("refiner")]
    sides[side] = base or sides[side]
    linked = [name for name in sides[side] if isinstance(node.inputs[name], Link)]
    return linked or [name for name in sides[side] if str(node.inputs[name]).strip()][:1], side


def _changed(node: Node, said: Said) -> Said:
    """Of nodes that change letters only."""
    if node.is_kind(re.compile(r"case(converter)?$|^stringlower|^stringupper")):
        how = str(node.inputs.get("mode", "")).lower()
        change = {"uppercase": str.upper, "lowercase": str.lower, "capitalize": str.capitalize, "title case": str.title}
        if how not in change:
            return Said(said.parts, f"node {name_of(node)} changes the letters of its text", said.notes)
        return Said(tuple(change[how](part) for part in said.parts), said.doubt, said.notes)
    return said


def _with_style(node: Node, said: Said) -> Said:
    """A styler adds words that only its own files hold; they are said to be missing."""
    if not said.text or not node.is_kind(_STYLES):
        return said
    styles = [value for name, value in node.inputs.items() if "style" in name.lower() and isinstance(value, str)]
    styles = [value for value in styles if value.strip().lower() not in NO_STYLE]
    if not styles:
        return said
    style = repr(", ".join(styles))
    note = f"The words of the style {style} (node {name_of(node)}) are not in the metadata, nor in the prompt."
    return Said(said.parts, said.doubt, (*said.notes, note))


def _notes(found: list[Said]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(note for said in found for note in said.notes))[:8]


def _together(found: list[Said]) -> Said:
    """One after the other; what is in another one as it stands is not said twice."""
    if len(found) == 1:
        return found[0]
    parts = list(dict.fromkeys(part for said in found for part in said.parts if part.strip()))
    doubt = next((said.doubt for said in found if said.doubt), "")
    if len(parts) > _MAX_PARTS or sum(map(len, parts)) > MAX_CHARACTERS:
        return Said(tuple(parts[:1]), "there are more texts than a prompt has", _notes(found))
    return Said(tuple(parts), doubt, _notes(found))


def _ended(work: _Steps[Result]) -> Result:
    """Run steps that wait for others, without recursion: a graph may be thousands of nodes deep."""
    waiting, value = [work], None
    while waiting:
        try:
            waiting.append(waiting[-1].send(value))
            value = None
        except StopIteration as end:
            waiting.pop()
            value = end.value
    return value  # type: ignore[return-value]
