"""The boxes that the shipped workflows have in common: picture and note, models, diagnosis, repair, results.

Editors fit a template into the window when it opens: what is to be read then has to be small. All of them stay within
``WIDTH`` × ``HEIGHT``, where a window of 1920 × 1080 shows them at their own size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workflow_parts import PREFIX, QUALITY_FILE, Models, Way, diagnose, diagnosis, diagnosis_of_two, refine_box
from workflow_subgraphs import Port, add_subgraph
from workflow_writer import TITLE, Graph, Node, Output

from grefine_core.examples import GOOD_PHOTOGRAPH, GOOD_PROMPT, PHOTOGRAPH, PHOTOGRAPH_PROMPT

AT_NATIVE_SIZE = Way(stage1={"crop_size": "native", "native_side": 0})
WIDTH, HEIGHT = 1420, 780
#: Left edges and widths of the columns: picture, diagnosis, repair, results.
#: None is narrower than the least that Nodes 2.0 gives a node, 225.
_PICTURE, _DIAGNOSIS, _REPAIR, _RESULT, _REPORT = (0, 240), (275, 262), (575, 225), (833, 225), (1085, 335)
_SECOND_ROW = 405
#: A result's box lies so much lower than that of the one behind it, whose link passes above its title.
STEP = 60


def saved_picture(graph: Graph, picture: Output, at: tuple[int, int], width: int, height: int) -> Node:
    """The refined picture."""
    return graph.node(
        "SaveImage",
        "Refined picture",
        images=picture,
        filename_prefix=f"{PREFIX}/refined",
        width=width,
        height=height,
        at=at,
    )


def saved_report(graph: Graph, sheet: Output, at: tuple[int, int], width: int, height: int) -> Node:
    """The report as a picture."""
    return graph.node(
        "SaveImage", "Report", images=sheet, filename_prefix=f"{PREFIX}/report", width=width, height=height, at=at
    )


def refine(
    graph: Graph,
    loaders: Callable[[Graph], tuple[Models, list[tuple[Node, str]]]],
    about: str,
    way: Way | None = None,
    *,
    batch: bool = False,
) -> None:
    """The whole method in boxes.

    Args:
        graph: to be filled.
        loaders: adds the loaders; gives what they load, and the widgets that name files.
        about: the note.
        way: what is done otherwise than by default.
        batch: of two pictures, and what was decided for each is shown.
    """
    below = {"width": _PICTURE[1], "height": HEIGHT - TITLE - _SECOND_ROW, "at": (0, _SECOND_ROW)}
    images: dict[str, Output] = {}
    with graph.group("Another picture, models" if batch else "Models"):
        if batch:
            other = graph.node("LoadImage", "Another picture", image=GOOD_PHOTOGRAPH, **below)
            images["another_image"] = other["image"]
            below |= {"width": _REPAIR[1], "at": (_REPAIR[0], _SECOND_ROW)}
        graph.note(about, "Start here", **below)
        models, named = loaders(graph)
    with graph.group("1 · Find what is wrong"):
        loaded = one_picture(graph)
        images = {"image": loaded["image"], **images}
        build, words = (diagnosis_of_two, GOOD_PROMPT) if batch else (diagnosis, PHOTOGRAPH_PROMPT)
        left, width = _DIAGNOSIS
        found = diagnose(graph, build, words, images, width=width, height=300, at=(left, 0))
    with graph.group("2 · Repair it"):
        left, width = _REPAIR
        diagnosed = {name: found[name] for name in ("image", "quality_model", "plan")}
        place = {"width": width, "height": 330, "at": (left, 0)}
        refined = refine_box(graph, diagnosed, models, way or Way(), reasons=batch, **place)
    with graph.group("3 · Result"):
        left, width = _RESULT
        picture = saved_picture(graph, refined["image"], (left, STEP), width, 300)
        shown = [picture]
        if batch:
            reason = refined["decision"]
            shown.append(
                graph.node("PreviewAny", "What was decided", source=reason, width=width, height=150, at=(left, 420))
            )
        shown.append(saved_report(graph, refined["report"], (_REPORT[0], 0), _REPORT[1], 600))
    graph.in_app((loaded, "image"), (found, "prompt"), (found, QUALITY_FILE), *named, shown=tuple(shown))


def one_picture(graph: Graph) -> Node:
    """A picture from ComfyUI's input folder."""
    return graph.node("LoadImage", "Picture", image=PHOTOGRAPH, width=_PICTURE[1], height=325, at=(0, 0))


def checkpoint(name: str, title: str = "Checkpoint") -> Callable[[Graph], tuple[Models, list[tuple[Node, str]]]]:
    """One file with everything inside."""

    def loaders(graph: Graph) -> tuple[Models, list[tuple[Node, str]]]:
        left, width = _DIAGNOSIS
        node = graph.node("CheckpointLoaderSimple", title, ckpt_name=name, width=width, at=(left, _SECOND_ROW))
        return Models(node["model"], node["clip"], node["vae"]), [(node, "ckpt_name")]

    return loaders


def models_box(
    files_of: Mapping[str, str], build: Callable[[Graph, Mapping[str, Output]], Mapping[str, Output]]
) -> Callable[[Graph], tuple[Models, list[tuple[Node, str]]]]:
    """Several loaders in one box, whose files are chosen on it: ``files_of`` by the names of its fields."""

    def loaders(graph: Graph) -> tuple[Models, list[tuple[Node, str]]]:
        left, width = _DIAGNOSIS
        ports = [Port(name, "COMBO", widget=True) for name in files_of]

        def inside(inner: Graph, outside: Node) -> Mapping[str, Output]:
            return build(inner, {name: outside[name] for name in files_of})

        node = add_subgraph(
            graph,
            "Models",
            ports,
            inside,
            description="The model files, each with its loader.",
            width=width,
            at=(left, _SECOND_ROW),
            **files_of,
        )
        given = {name: node[name] for name in node.info["output_name"]}
        return Models(**given), [(node, name) for name in files_of]

    return loaders


def paragraphs(*parts: str) -> str:
    """Paragraphs of a note."""
    return "\n\n".join(parts)
