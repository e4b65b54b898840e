"""A ComfyUI graph as it was run: nodes by id, each with its values and with links to the nodes that give the others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: More nodes than any graph of a person has: subgraphs that hold one another may say so in a few lines.
MAX_NODES = 20_000


@dataclass(frozen=True)
class Link:
    """An input that comes from another node.

    Attributes:
        node: its id.
        slot: which of its outputs.
    """

    node: str
    slot: int


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        id: as the API format has it (``"6"``, in a subgraph ``"57:6"``).
        kind: ComfyUI's class.
        title: what the editor calls it.
        inputs: by name a value or a ``Link``.
        outputs: names of its outputs, where the format tells them.
        shown: the text that it showed when it was run, where the format tells it.
    """

    id: str
    kind: str
    title: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    shown: str | None = None

    def links(self) -> dict[str, Link]:
        """The inputs that come from other nodes."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}

    def is_kind(self, pattern: re.Pattern[str]) -> bool:
        """Whether its class matches, in small letters and without what separates words."""
        return pattern.search(plain_kind(self.kind)) is not None


Graph = dict[str, Node]


def plain_kind(kind: str) -> str:
    """A class in small letters, without spaces, ``_``, ``-`` and the pack's mark."""
    return re.sub(r"[\s_\-]+", "", kind.split("|")[0]).lower()


def read_json(text: str) -> Any:
    """What a JSON text says; None if it is none, or deeper or longer than Python reads."""
    try:
        return json.loads(text.strip("\0 \t\r\n\ufeff"), parse_int=_whole)
    except (ValueError, RecursionError):
        return None


def _whole(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # Python refuses thousands of digits
        return float(digits)


def from_api(content: Any) -> Graph | None:
    """The graph in API format, ``{id: {"class_type", "inputs", "_meta"}}``; None if there is no node in it."""
    if not isinstance(content, dict):
        return None
    graph: Graph = {}
    for key, node in content.items():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        if not isinstance(inputs, dict):
            continue
        kind = node.get("class_type")
        meta = node.get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        kind = kind if isinstance(kind, str) else ""
        values = {str(name): _input(value) for name, value in inputs.items()}
        graph[str(key)] = Node(str(key), kind, title if isinstance(title, str) and title else kind, values)
    return graph or None


def _input(value: Any) -> Any:
    if (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], (str, int))
        and isinstance(value[1], int)
        and not isinstance(value[0], bool)
    ):
        return Link(str(value[0]), value[1])
    return value


_VALUES = re.compile(r"value|int|float|number|boolean|bool|string|text|select|index|switch|$")


def literal(graph: Graph, value: Any) -> Any:
    """A value; that of a link if the node behind it does nothing but give one; else None."""
    seen: set[str] = set()
    while isinstance(value, Link):
        node = graph.get(value.node)
        if node is None or node.id in seen:
            return None
        seen.add(node.id)
        given = [name for name in node.inputs if _VALUES.fullmatch(name.lower())]
        if len(given) != 1 or node.is_kind(_WORKS):
            return None
        value = node.inputs[given[0]]
    return value


_WORKS = re.compile(r"math|random|seed|not|compare|expression|eval|logic|round|clamp")

_SWITCH = re.compile(r"switch|selector|ifelse|conditionalbranch|^ifany|^ifexec|^if$|ternary|^mux|anyfirst|fallback")
_FIRST = re.compile(r"^anyswitch|^fast?anyswitch|anyfirst|fallback|coalesce|contextswitch")
_CONDITION = re.compile(r"any|switch|boolean|bool|cond|condition|toggle|value|enabled?|use_.*|select|selected")
_INDEX = re.compile(r"select|selected|index|input|choice|num(ber)?|value|selector|channel|which|switch")
_TRUE = re.compile(r"(on_?|if_?|when_?)?true|tt_value|.*_(if_)?true|.*_on")
_FALSE = re.compile(r"(on_?|if_?|when_?)?(false|else)|ff_value|.*_(if_)?false|.*_off")
_NUMBERED = re.compile(r"(.*?)[ _]?(\d{1,9})")
_LETTERED = re.compile(r"(.*_)([ab])")


def switched(graph: Graph, node: Node) -> tuple[list[str], bool] | None:
    """Which of its inputs a switch passes on.

    Returns:
        (names of the inputs, whether that is certain; no name: one that is not there); None if it is no switch.
    """
    if not node.is_kind(_SWITCH):
        return None
    names = {name.lower().strip(): name for name in node.inputs}
    numbered: dict[int, str] = {}
    for low, name in names.items():
        match = _NUMBERED.fullmatch(low)
        if match and isinstance(node.inputs[name], (Link, str)):
            numbered.setdefault(int(match[2]), name)
    if node.is_kind(_FIRST) and numbered:
        # The first that gives anything: what is muted is not in the graph.
        return [next((numbered[at] for at in sorted(numbered)), "")], True
    yes = next((name for low, name in names.items() if _TRUE.fullmatch(low)), None)
    no = next((name for low, name in names.items() if _FALSE.fullmatch(low)), None)
    letters = {match[2]: name for low, name in names.items() if (match := _LETTERED.fullmatch(low))}
    if yes is None and no is None and len(letters) == 2:
        yes, no = letters["a"], letters["b"]
    if yes is not None or no is not None:
        both = [name for name in (yes, no) if name is not None]
        for low, name in names.items():
            if name not in both and _CONDITION.fullmatch(low):
                chosen = literal(graph, node.inputs[name])
                chosen = {"true": True, "false": False}.get(chosen.lower()) if isinstance(chosen, str) else chosen
                if isinstance(chosen, (bool, int)):
                    taken = yes if chosen else no
                    return ([taken] if taken is not None else []), True
        return both, False
    for low, name in names.items():
        if name not in numbered.values() and _INDEX.fullmatch(low):
            chosen = literal(graph, node.inputs[name])
            if isinstance(chosen, (int, float)) and not isinstance(chosen, bool):
                return ([numbered[int(chosen)]] if abs(chosen) < 1e9 and int(chosen) in numbered else []), True
    options = list(numbered.values())
    return (options, False) if len(options) > 1 else None
