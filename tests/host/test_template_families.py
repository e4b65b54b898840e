"""The templates of the newer families through the real host's queue, with tiny networks of the host's own classes.

Nothing but the loaders is replaced, and of the ControlNets, encoders and VAEs every one by its own class; the LoRA is
a small file. What is drawn means nothing: that it comes through the host's nodes to the picture does.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from grefine_core.comfyui.workflow import set_input

from .template_tools import (
    SIZE,
    kinds,
    of,
    only,
    put_photograph,
    put_quality_model,
    shipped,
    with_a_part_to_redraw,
    with_bars,
)

#: For each loader, by its title, what stands for it.
Doubles = dict[str, tuple[str, dict[str, Any]]]
_QWEN_VAE = ("GRefineDoubleVAE", {"channels": 16, "factor": 8, "video": True})
Z_IMAGE: Doubles = {
    "Z-Image-Turbo": ("GRefineTinyFamily", {"family": "Z-Image"}),
    "Text encoder": ("GRefineTinyLanguageModel", {"family": "Z-Image"}),
    "VAE": ("GRefineTinyVAE", {"channels": 16}),
}
QWEN: Doubles = {"Text encoder": ("GRefineTinyLanguageModel", {"family": "Qwen-Image"}), "VAE": _QWEN_VAE}
TEMPLATES: dict[str, Doubles] = {
    "grefine_z_image_turbo": Z_IMAGE,
    "grefine_z_image_turbo_seedvr2": {
        **Z_IMAGE,
        "SeedVR2": ("GRefineTinySeedVR2", {}),
        "VAE of SeedVR2": ("GRefineTinySeedVR2VAE", {}),
    },
    "grefine_qwen_image_inpainting": {
        **QWEN,
        "Qwen-Image": ("GRefineTinyFamily", {"family": "Qwen-Image"}),
        "Inpainting": ("GRefineTinyQwenControlNet", {}),
    },
    "grefine_qwen_image_edit": {**QWEN, "Qwen-Image-Edit": ("GRefineTinyFamily", {"family": "Qwen-Image-Edit"})},
    "grefine_flux2_klein_edit": {
        "Flux.2 Klein": ("GRefineTinyFamily", {"family": "Flux.2 Klein"}),
        "Text encoder": ("GRefineTinyLanguageModel", {"family": "Flux.2 Klein"}),
        "VAE": ("GRefineDoubleVAE", {"channels": 128, "factor": 16}),
    },
}
LORAS = (
    "Qwen-Image-Lightning-4steps-V1.0.safetensors",
    "Qwen-Image-Edit-2511-Lightning-4steps-V1.0-bf16.safetensors",
)
#: What makes pictures of crops or of the whole, and is not to run for a picture that passes.
WORK = {"CLIPTextEncode", "TextEncodeQwenImageEditPlus", "KSampler", "SamplerCustomAdvanced", "VAEEncode", "VAEDecode"}
WORK |= {"VAEEncodeTiled", "SeedVR2Conditioning", "GRefineRestorerFromModel", "ControlNetInpaintingAliMamaApply"}
WORK |= {"LoraLoaderModelOnly", "ModelSamplingAuraFlow", "GRefineRepairInstruction"}


@pytest.fixture(scope="module")
def files(host_server, tmp_path_factory) -> Iterator[None]:
    """The quality model, and LoRAs of one layer under the names of the real ones."""
    put_quality_model(host_server, tmp_path_factory.mktemp("quality"))
    folder = host_server.models_dir / "loras"
    folder.mkdir(exist_ok=True)
    layer = "diffusion_model.transformer_blocks.0.attn.to_q"
    for name in LORAS:
        down, up = torch.full((4, 64), 0.1), torch.full((64, 4), 0.1)
        save_file({f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up}, folder / name)
    yield
    for name in LORAS:
        (folder / name).unlink()


def template(client: Any, name: str, bar: float) -> dict[str, Any]:
    """The shipped graph with doubles for its loaders, small crops, and what a test wants to see shown."""
    graph = shipped(name, put_photograph(client))
    for title, (kind, inputs) in TEMPLATES[name].items():
        loader = next(key for key, node in graph.items() if node["_meta"]["title"] == title)
        graph[loader] = {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}
    if missing := sorted(filter(None, {unknown_to(client, node) for node in graph.values()})):
        pytest.skip(f"NODE OR FAMILY MISSING in this host: {', '.join(missing)}")
    painters = [
        key
        for key, node in graph.items()
        if node["class_type"] in ("GRefineStage1Inpaint", "GRefineSplitRegions") and "plan" in node["inputs"]
    ]
    (painter,) = painters
    graph = set_input(graph, painter, "native_side", 64)
    graph = with_a_part_to_redraw(with_bars(graph, bar, 4))
    return with_pictures(graph)


def unknown_to(client: Any, node: dict[str, Any]) -> str:
    """The node's kind, or the family that it is asked for, where the host has not got it."""
    kind = node["class_type"]
    known = client.object_info(kind)
    if not known:
        return kind
    family = node["inputs"].get("family", "")
    return family if family and family not in known[kind]["input"]["required"]["family"][0] else ""


def with_pictures(graph: dict[str, Any]) -> dict[str, Any]:
    """The graph that also shows the pictures before and behind each guard, and the mask."""
    graph = copy.deepcopy(graph)
    first, second = (of(graph, "GRefineNoHarmGuard", f"No-Harm Guard: stage {stage}") for stage in (1, 2))
    pictures = {
        "loaded": graph[first]["inputs"]["before"],
        "redrawn": graph[first]["inputs"]["after"],
        "guarded": [first, 0],
        "restored": graph[second]["inputs"]["after"],
    }
    for name, source in pictures.items():
        graph[name] = {"class_type": "PreviewImage", "inputs": {"images": source}}
    graph["mask"] = {"class_type": "MaskPreview", "inputs": {"mask": [of(graph, "GRefineBinarizeMap"), 1]}}
    return graph


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_mends_a_picture_of_any_size(client, files, name):
    """Both stages ran, what stage 1 was not to touch is as it was to the byte, and there is a report."""
    graph = template(client, name, 1.0)
    run = client.run(graph, timeout=900.0).ok()
    loaded, redrawn, guarded, restored = (
        only(run.images(each)) for each in ("loaded", "redrawn", "guarded", "restored")
    )
    assert loaded.shape == redrawn.shape == restored.shape == (SIZE[1], SIZE[0], 3)
    inside = only(run.images("mask")).max(-1) > 0
    assert 0.05 < inside.mean() < 0.95
    np.testing.assert_array_equal(redrawn[~inside], loaded[~inside])
    assert (redrawn[inside] != loaded[inside]).any(-1).mean() > 0.5
    assert (restored != guarded).any(-1).mean() > 0.5
    report = json.loads(run.texts(of(graph, "PreviewAny", "Report as JSON"))[0])
    assert {entry["stage"] for entry in report["guard"]} == {1, 2}
    assert only(run.images(of(graph, "SaveImage", "Refined picture"))).shape == loaded.shape
    assert run.images(of(graph, "SaveImage", "Report"))
    skipped = {
        node["class_type"]
        for key, node in graph.items()
        if node["class_type"] in WORK and key not in {*run.executed, *run.cached}
    }
    assert not skipped


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_good_picture_loads_none_of_it(client, files, name):
    graph = template(client, name, 0.0)
    client.free()
    run = client.run(graph).ok()
    ran = kinds(graph, [*run.executed, *run.cached])
    assert not ran & {*WORK, *(kind for kind, _ in TEMPLATES[name].values())}
    np.testing.assert_array_equal(
        only(run.images(of(graph, "SaveImage", "Refined picture"))), only(run.images("loaded"))
    )
