"""The subgraph of the whole method in the host: listed by those that list blueprints, and run by all."""

from __future__ import annotations

import json

import numpy as np
import pytest

from grefine_core.comfyui.host_api import HostUnreachableError
from grefine_core.miniature.world import EXAMPLE
from grefine_core.pictures import load_picture

from ..workflows.subgraphs import expand
from .template_tools import ROOT

FILE = ROOT / "subgraphs" / "G-Refine.json"


def test_the_host_lists_it(client, host_server):
    try:
        listed = client.get("/global_subgraphs")
    except HostUnreachableError as error:
        if "HTTP 404" not in str(error):
            raise
        pytest.skip(f"NO BLUEPRINTS: ComfyUI {host_server.version} does not list subgraphs of packs")
    ours = {key: entry for key, entry in listed.items() if host_server.pack_folder in entry["info"]["node_pack"]}
    ((key, entry),) = ours.items()
    assert entry["name"] == "G-Refine"
    assert client.get(f"/global_subgraphs/{key}")["data"] == FILE.read_text(encoding="ascii")


def test_its_graph_refines_a_picture_with_the_miniature_models(client):
    """As the editor queues it, with a node for each of its inputs."""
    picture = load_picture(EXAMPLE)
    pixels = picture.image[0].numpy()
    graph = {
        "picture": {"class_type": "LoadImage", "inputs": {"image": client.put_image(pixels, "miniature_bp.png")}},
        "models": {"class_type": "GRefineLoadMiniature", "inputs": {}},
    }
    links = {"image": ["picture", 0], "quality_model": ["models", 3]}
    links |= {name: ["models", slot] for slot, name in enumerate(("model", "clip", "vae"))}
    values = {
        "prompt": picture.text["parameters"],
        "negative_prompt": "",
        "perceptual_bar": 1.0,
        "steps": 2,
        "cfg": 2.0,
    }
    inside, outputs = expand(json.loads(FILE.read_text(encoding="ascii")), client.object_info(), {**links, **values})
    graph |= inside
    for name in ("image", "report"):
        graph[name] = {"class_type": "PreviewImage", "inputs": {"images": outputs[name]}}
    graph["json"] = {"class_type": "PreviewAny", "inputs": {"source": outputs["report_json"]}}
    run = client.run(graph).ok()
    (refined,), (sheet,) = run.images("image"), run.images("report")
    assert refined.shape[:2] == pixels.shape[:2]
    assert sheet.shape[0] > refined.shape[0]
    report = json.loads(run.texts("json")[0])
    assert report["prompt"] == values["prompt"]
    assert {entry["stage"] for entry in report["guard"]} == {1, 2}
    assert report["changed"] == bool((refined[..., :3] != np.rint(pixels * 255)).any())
