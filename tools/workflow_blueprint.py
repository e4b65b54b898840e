"""The subgraph of the whole method: one node, which newer versions of ComfyUI list among their blueprints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from workflow_parts import FOUND, LOOKING, NEGATIVE, REPAIRED, Models, Way, find, one_by_one, prompt_of, refine_box
from workflow_subgraphs import Port, add_subgraph
from workflow_writer import Graph, Node, Output

#: Name of the file, by which the node library lists it.
BLUEPRINT = "G-Refine"
_DESCRIPTION = (
    "Finds what is wrong with a picture, perceptually and against its prompt, repairs exactly that in two stages, and "
    "takes back what got worse. A picture that is good already passes untouched."
)

INPUTS = (
    Port("image", "IMAGE"),
    Port("quality_model", "GREFINE_QUALITY_MODEL"),
    Port("model", "MODEL"),
    Port("clip", "CLIP"),
    Port("vae", "VAE"),
    Port("prompt", "STRING", widget=True),
    Port("negative_prompt", "STRING", widget=True),
    Port("perceptual_bar", "FLOAT", widget=True),
    Port("alignment_bar", "FLOAT", widget=True),
    Port("steps", "INT", widget=True),
    Port("seed", "INT", widget=True),
    Port("cfg", "FLOAT", widget=True),
    Port("crop_size", "COMBO", widget=True),
)
#: Types of what is chosen on it, and is no text.
_CHOSEN = ("FLOAT", "INT", "COMBO")


def blueprint(object_info: Mapping[str, Any]) -> dict[str, Any]:
    """A workflow with the subgraph as its only node, in the editor's format."""
    graph = Graph("blueprint", object_info)
    with graph.group(BLUEPRINT):
        add_subgraph(
            graph,
            BLUEPRINT,
            INPUTS,
            _method,
            description=_DESCRIPTION,
            width=400,
            height=560,
            at=(0, 0),
            negative_prompt=NEGATIVE,
        )
    return {**graph.ui(), "id": str(uuid5(NAMESPACE_URL, "g-refine/blueprint/workflow")), "groups": [], "extra": {}}


def _method(graph: Graph, given: Node) -> dict[str, Output]:
    """The graph inside, whose parts are boxes as in the templates; gives the subgraph's outputs."""
    with graph.group("Picture and prompt"):
        image, prompt = one_by_one(graph, given["image"]), prompt_of(graph, given["prompt"])
        # Older editors bring numbers and choices through two boxes to where they are asked for, but not texts.
        unwanted = prompt_of(graph, given["negative_prompt"], "Negative prompt")
    looked_at = {"image": image, "quality_model": given["quality_model"]}
    with graph.group("Find what is wrong"):
        found = add_subgraph(graph, "Diagnose", LOOKING, _looking, height=FOUND, **looked_at, prompt=prompt)
    chosen = {port.name: given[port.name] for port in INPUTS if port.type in _CHOSEN}
    models = Models(given["model"], given["clip"], given["vae"])
    with graph.group("Repair it"):
        refined = refine_box(
            graph,
            {**looked_at, "plan": found["plan"]},
            models,
            Way(stage1={"native_side": 0}),
            fields={"negative_prompt": unwanted, **chosen},
            height=REPAIRED,
        )
    return {
        **{name: refined[name] for name in ("image", "report", "report_json")},
        **{name: found[name] for name in ("perceptual_score", "alignment_score")},
    }


def _looking(graph: Graph, given: Node) -> dict[str, Output]:
    found = find(graph, given["image"], given["prompt"], given["quality_model"])
    return {
        "plan": found.plan,
        "perceptual_score": found.perceptual_score,
        "alignment_score": found.alignment_score,
    }
