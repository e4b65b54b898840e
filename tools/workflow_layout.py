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
#: A common window, what an editor fills of it, and what it leaves around the nodes at both sides together.
WINDOW, FILLED, AROUND = (1920, 1080), 0.75, 20
#: What that leaves for the nodes.
ROOM = (1440 - AROUND, 810 - AROUND)
#: Of the window's left side: the editor's bar.
_BAR = 60
#: Between columns links have to be seen; under a node the next one's title follows, under a mere title closer.
_COLUMN_GAP, _NODE_GAP, _TITLE_GAP = 30, 16, 6
#: Above the nodes of a frame: its title, and the badge that editors put over a node of a pack's.
FRAME_TITLE = 56
MARGIN, _FRAME_GAP = 10, 16
#: Widths that are tried are so far apart.
_STEP = 40
#: By so much nodes are made wider at a time, up to so wide; what is missing then goes between columns.
_WIDENING, _WIDEST = 8, 480
#: Columns of one frame: nodes from the top to the bottom.
_Columns = list[list["Node"]]


def lay_out(groups: Sequence[Group], beside: tuple[int, int] = (0, 0)) -> None:
    """Give every node its place and every group its frame.

    ``beside``: the room for inputs and outputs at the sides. An editor does not count them, and shows few nodes so
    large that they would be out of the window: then the nodes are made wider.
    """
    rows = min(_arrangements(groups), key=_size)
    more = 0
    while not _leaves_room(rows, more, beside):
        narrow = [node for group in groups for node in group.nodes if node.size[0] < _WIDEST]
        for node in narrow:
            node.size = (node.size[0] + _WIDENING, node.size[1])
        if not narrow:
            before, more = _sides(rows, more), more + _WIDENING
            if _sides(rows, more) == before:
                raise ValueError("nodes in one column cannot be wide enough for what is beside them")
    top = 0
    for row in rows:
        height = max(_height(columns) for columns in row.values())
        left = 0
        for group, columns in row.items():
            frame = groups[group]
            wide = _place(columns, left + MARGIN, top + FRAME_TITLE, _COLUMN_GAP + more)
            frame.bounding = (left, top, wide + 2 * MARGIN, height + FRAME_TITLE + MARGIN)
            left += wide + 2 * MARGIN + _FRAME_GAP + more
        top += height + FRAME_TITLE + MARGIN + _FRAME_GAP


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


def _width(columns: _Columns, more: int = 0) -> int:
    gap = _COLUMN_GAP + more
    return sum(max(node.size[0] for node in column) + gap for column in columns) - gap


def _row_width(row: dict[int, _Columns], more: int = 0) -> int:
    """From the first node's left edge to the last one's right edge; ``more``: between columns and frames."""
    between = 2 * MARGIN + _FRAME_GAP + more
    return sum(_width(columns, more) + between for columns in row.values()) - between


def _sides(rows: list[dict[int, _Columns]], more: int = 0) -> tuple[int, int]:
    """Width and height of all nodes."""
    high = sum(max(map(_height, row.values())) for row in rows)
    return max(_row_width(row, more) for row in rows), high + (len(rows) - 1) * (FRAME_TITLE + MARGIN + _FRAME_GAP)


def _size(rows: list[dict[int, _Columns]]) -> tuple[float, int]:
    """How much larger than the room all of it is; of equal ones that with fewer rows."""
    wide, high = _sides(rows)
    return max(wide / ROOM[0], high / ROOM[1]), len(rows)


def _leaves_room(rows: list[dict[int, _Columns]], more: int, beside: tuple[int, int]) -> bool:
    """Whether inputs and outputs are in the window when the nodes are fitted into it, clear of the bar."""
    sides = _sides(rows, more)
    scale = min(FILLED * room / (side + AROUND) for room, side in zip(WINDOW, sides, strict=True))
    half = WINDOW[0] / 2
    return all((sides[0] / 2 + room) * scale <= half - bar for room, bar in zip(beside, (_BAR, 0), strict=True))


def _place(columns: _Columns, left: int, top: int, gap: int) -> int:
    """Give the nodes of one frame their places; returns the width that they take."""
    x = left
    for column in columns:
        y = top
        for node in column:
            node.position = (x, y + TITLE)
            y += _step(node)
        x += max(node.size[0] for node in column) + gap
    return x - gap - left
