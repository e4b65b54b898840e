"""Where the nodes inside a subgraph lie: in rows of titled frames, so that as large as possible a scale shows them all.

An editor fits the nodes into the window when their graph is entered: what is to be read then must be neither wide nor
high. The frames keep their order, from left to right and then a row lower, and so do the nodes in them, from the top
and then a column further right. Collapsed nodes are rows of their titles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflow_writer import Group, Node

TITLE = 30
#: What an editor fills of a window of 1920 × 1080, less the ten pixels that it leaves around the nodes.
ROOM = (1440 - 20, 810 - 20)
#: Between columns links have to be seen; under a node the next one's title follows, under a mere title closer.
_COLUMN_GAP, _NODE_GAP, _TITLE_GAP = 30, 16, 6
_MARGIN, _FRAME_TITLE, _FRAME_GAP = 10, 36, 16
#: Widths that are tried are so far apart.
_STEP = 40
#: Columns of one frame: nodes from the top to the bottom.
_Columns = list[list["Node"]]


def lay_out(groups: Sequence[Group]) -> None:
    """Give every node its place and every group its frame."""
    rows = min(_arrangements(groups), key=_size)
    top = 0
    for row in rows:
        height = max(_height(columns) for columns in row.values())
        left = 0
        for group, columns in row.items():
            frame = groups[group]
            wide = _place(columns, left + _MARGIN, top + _FRAME_TITLE)
            frame.bounding = (left, top, wide + 2 * _MARGIN, height + _FRAME_TITLE + _MARGIN)
            left += wide + 2 * _MARGIN + _FRAME_GAP
        top += height + _FRAME_TITLE + _MARGIN + _FRAME_GAP


def _arrangements(groups: Sequence[Group]) -> Iterator[list[dict[int, _Columns]]]:
    """Rows of the groups' columns, by the groups' numbers: every way to break rows, each as low as a width allows."""
    count = len(groups)
    widest = sum(_width([[node] for node in group.nodes]) + _COLUMN_GAP + _FRAME_GAP for group in groups)
    for size in range(count):
        for breaks in combinations(range(1, count), size):
            parts = [range(start, end) for start, end in pairwise((0, *breaks, count))]
            for width in range(min(ROOM[0] // 2, widest), widest + _STEP, _STEP):
                rows = [_lowest({number: groups[number].nodes for number in part}, width) for part in parts]
                if all(rows):
                    yield [row for row in rows if row]


def _lowest(groups: dict[int, list[Node]], width: int) -> dict[int, _Columns] | None:
    """One row of groups that is no wider, as low as that goes; None if it is wider at any height."""
    heights = sorted({_height([nodes[start:end]]) for nodes in groups.values() for start, end in _spans(len(nodes))})
    for height in heights:
        row = {number: _packed(nodes, height) for number, nodes in groups.items()}
        if all(_height(columns) <= height for columns in row.values()) and _row_width(row) <= width:
            return row
    return None


def _spans(count: int) -> Iterator[tuple[int, int]]:
    return ((start, end) for start in range(count) for end in range(start + 1, count + 1))


def _packed(nodes: list[Node], height: int) -> _Columns:
    """The nodes in columns, each as full as the height allows."""
    columns: _Columns = [[]]
    for node in nodes:
        if columns[-1] and _height([[*columns[-1], node]]) > height:
            columns.append([])
        columns[-1].append(node)
    return columns


def _height(columns: _Columns) -> int:
    """Of the highest column, its nodes' titles included."""
    return max(sum(map(_step, column)) - _gap(column[-1]) for column in columns)


def _step(node: Node) -> int:
    """From the top of a node's title to that of the next one's."""
    return TITLE + node.height + _gap(node)


def _gap(node: Node) -> int:
    return _TITLE_GAP if node.collapsed else _NODE_GAP


def _width(columns: _Columns) -> int:
    return sum(max(node.size[0] for node in column) + _COLUMN_GAP for column in columns) - _COLUMN_GAP


def _row_width(row: dict[int, _Columns]) -> int:
    """From the first node's left edge to the last one's right edge."""
    return sum(_width(columns) + 2 * _MARGIN + _FRAME_GAP for columns in row.values()) - 2 * _MARGIN - _FRAME_GAP


def _size(rows: list[dict[int, _Columns]]) -> tuple[float, int]:
    """How much larger than the room all of it is; of equal ones that with fewer rows."""
    wide = max(_row_width(row) for row in rows)
    high = sum(max(map(_height, row.values())) for row in rows)
    high += (len(rows) - 1) * (_FRAME_TITLE + _MARGIN + _FRAME_GAP)
    return max(wide / ROOM[0], high / ROOM[1]), len(rows)


def _place(columns: _Columns, left: int, top: int) -> int:
    """Give the nodes of one frame their places; returns the width that they take."""
    x = left
    for column in columns:
        y = top
        for node in column:
            node.position = (x, y + TITLE)
            y += _step(node)
        x += max(node.size[0] for node in column) + _COLUMN_GAP
    return x - _COLUMN_GAP - left
