"""How a workflow file looks when it is opened: boxes, links as the editor draws them, and what crosses what.

The editor's own geometry, in graph units: a title bar over each node, slots in rows from its top, links as cubic curves
whose handles reach out by a quarter of the ends' distance. Nodes 2.0 draws the same within a few pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

TITLE, ROW = 30, 20
#: A common screen, what an editor fills of it with a graph, and what it leaves around the nodes.
WINDOW, FILLED, AROUND = (1920, 1080), 0.75, 10
STEPS = 60
#: A box whose border a link only touches is not crossed.
TOUCH = 1.0


class Box(NamedTuple):
    """A node with its title bar; a collapsed one is nothing else."""

    left: float
    top: float
    right: float
    bottom: float


def box(node: dict[str, Any]) -> Box:
    x, y = node["pos"]
    return Box(x, y - TITLE, x + node["size"][0], y + (0 if node["flags"].get("collapsed") else node["size"][1]))


def overlaps(workflow: dict[str, Any]) -> list[tuple[int, int]]:
    """Ids of nodes that lie over each other."""
    boxes = [(node["id"], box(node)) for node in workflow["nodes"]]
    return [
        (one, other)
        for number, (one, a) in enumerate(boxes)
        for other, b in boxes[:number]
        if a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom
    ]


def crossings(workflow: dict[str, Any]) -> list[tuple[int, int]]:
    """(link, node) where a link runs over a node that is none of its ends."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    found = []
    for number, source, slot, target, place, _ in workflow["links"]:
        points = list(curve(_output(nodes[source], slot), _input(nodes[target], place)))
        for key, node in nodes.items():
            if key not in (source, target) and any(_inside(point, box(node)) for point in points):
                found.append((number, key))
    return found


def size(workflow: dict[str, Any]) -> tuple[float, float]:
    """Width and height of all nodes together."""
    return _around([box(node) for node in workflow["nodes"]])


def fitted(workflow: dict[str, Any]) -> float:
    """The scale at which an editor shows a graph that is entered: its nodes in three quarters of the window.

    Nodes 2.0 counts what is collapsed as if it were open.
    """
    sides = _around([box({**node, "flags": {}}) for node in workflow["nodes"]])
    return min(FILLED * room / (side + 2 * AROUND) for room, side in zip(WINDOW, sides, strict=True))


def ports(inside: dict[str, Any]) -> tuple[Box, Box]:
    """Where a subgraph's inputs and its outputs are in the window, in its pixels, when the graph is entered."""
    scale, boxes = fitted(inside), [box({**node, "flags": {}}) for node in inside["nodes"]]
    middle = [
        (max(each[end] for each in boxes) + min(each[start] for each in boxes)) / 2 for start, end in ((0, 2), (1, 3))
    ]
    (dx, dy), (wide, high) = middle, WINDOW

    def seen(x: float, y: float, w: float, h: float) -> Box:
        left, top = (x - dx) * scale + wide / 2, (y - dy) * scale + high / 2
        return Box(left, top, left + w * scale, top + h * scale)

    return seen(*inside["inputNode"]["bounding"]), seen(*inside["outputNode"]["bounding"])


def _around(boxes: list[Box]) -> tuple[float, float]:
    return (
        max(each.right for each in boxes) - min(each.left for each in boxes),
        max(each.bottom for each in boxes) - min(each.top for each in boxes),
    )


def curve(start: tuple[float, float], end: tuple[float, float]) -> Iterator[tuple[float, float]]:
    reach = 0.25 * math.dist(start, end)
    across = (start[0], start[0] + reach, end[0] - reach, end[0])
    down = (start[1], start[1], end[1], end[1])
    for step in range(STEPS + 1):
        t = step / STEPS
        weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
        yield (
            sum(w * x for w, x in zip(weights, across, strict=True)),
            sum(w * y for w, y in zip(weights, down, strict=True)),
        )


def _output(node: dict[str, Any], slot: int) -> tuple[float, float]:
    return node["pos"][0] + node["size"][0], node["pos"][1] + (slot + 0.7) * ROW


def _input(node: dict[str, Any], slot: int) -> tuple[float, float]:
    return node["pos"][0], node["pos"][1] + (slot + 0.7) * ROW


def _inside(point: tuple[float, float], area: Box) -> bool:
    x, y = point
    return area.left + TOUCH < x < area.right - TOUCH and area.top + TOUCH < y < area.bottom - TOUCH
