"""The templates for other models through the real host's queue: SD 1.5 inpainting, Flux Fill, the score-gated batch."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from grefine_core.comfyui.workflow import set_input

from .generated import INPAINTING_FILE, code
from .stage_tools import STAGE1, Bench, box, noise
from .template_tools import (
    PICTURE,
    SIZE,
    kinds,
    of,
    only,
    put_photograph,
    put_quality_model,
    replaced,
    shipped,
    with_a_part_to_redraw,
    with_bars,
    with_previews,
)

CHECKPOINT = {"CheckpointLoaderSimple", "CLIPTextEncode", "GRefineRestorerFromModel"}


@pytest.fixture(scope="module")
def files(host_server, host_run, tmp_path_factory):
    """The quality model, and a small inpainting checkpoint under the name of the real one."""
    host_run(code("sd15_inpainting", str(host_server.models_dir)))
    yield put_quality_model(host_server, tmp_path_factory.mktemp("quality"))
    (host_server.models_dir / INPAINTING_FILE).unlink()


@pytest.fixture
def coffee(client) -> str:
    return put_photograph(client)


def with_stages(graph: dict[str, Any]) -> dict[str, Any]:
    """The graph that also shows stage 2's result before its guard."""
    graph = with_previews(graph)
    graph["restored"] = {"class_type": "PreviewImage", "inputs": {"images": [of(graph, "GRefineStage2Restore"), 0]}}
    return graph


def check_both_stages(graph: dict[str, Any], run: Any) -> None:
    """Stage 1 redrew the masked part and nothing else, stage 2 the whole, and the report has both."""
    loaded, redrawn, guarded, restored = (
        only(run.images(name)) for name in ("loaded", "redrawn", "guarded", "restored")
    )
    assert loaded.shape == restored.shape == (SIZE[1], SIZE[0], 3)
    inside = only(run.images("mask")).max(-1) > 0
    assert 0.05 < inside.mean() < 0.95
    np.testing.assert_array_equal(redrawn[~inside], loaded[~inside])
    assert (redrawn[inside] != loaded[inside]).any(-1).mean() > 0.5
    assert (restored != guarded).any(-1).mean() > 0.5
    report = json.loads(run.texts(of(graph, "PreviewAny", "Report as JSON"))[0])
    assert {entry["stage"] for entry in report["guard"]} == {1, 2}


def test_sd15_inpainting_as_it_is_shipped(client, files, coffee):
    """No node is replaced: the host loads a checkpoint with nine channels."""
    graph = with_bars(shipped("grefine_sd15_inpainting", coffee), 1.0, 4)
    graph = set_input(graph, of(graph, "GRefineStage1Inpaint"), "min_side", 64)
    graph = with_stages(with_a_part_to_redraw(graph))
    check_both_stages(graph, client.run(graph).ok())


def flux(picture: str, bar: float) -> dict[str, Any]:
    """The template with small networks of the same kinds; the host has no small Flux that it would load from a file."""
    graph = replaced(shipped("grefine_flux_fill", picture), "UNETLoader", "GRefineTinyUNet", kind="flux_fill")
    graph = replaced(graph, "DualCLIPLoader", "GRefineTinyTextEncoder", kind="sd15", width="tiny")
    graph = replaced(graph, "VAELoader", "GRefineTinyVAE", channels=16)
    graph = set_input(graph, of(graph, "GRefineStage1Inpaint"), "native_side", 64)
    return with_stages(with_a_part_to_redraw(with_bars(graph, bar, 4)))


def test_flux_fill(client, files, coffee):
    graph = flux(coffee, 1.0)
    run = client.run(graph).ok()
    check_both_stages(graph, run)
    again = client.run(set_input(graph, of(graph, "FluxGuidance"), "guidance", 3.5)).ok()
    assert (only(again.images("redrawn")) != only(run.images("redrawn"))).any(), "the guidance reaches the model"


def test_flux_fill_is_not_loaded_for_a_good_picture(client, files, coffee):
    client.free()
    graph = flux(coffee, 0.0)
    run = client.run(graph).ok()
    ran = kinds(graph, [*run.executed, *run.cached])
    assert "GRefineStage1Inpaint" in ran
    loaders = {"GRefineTinyUNet", "GRefineTinyTextEncoder", "GRefineTinyVAE", "CLIPTextEncode", "FluxGuidance"}
    assert not ran & {*loaders, "ConditioningZeroOut", "GRefineRestorerFromModel"}


def test_flux_fill_sees_nothing_of_what_is_hidden(host_server, client):
    """At full strength two pictures that differ under the mask alone are repainted in the same way."""
    mask = box(48, 64, 16, 16, 32, 48)
    results = []
    for seed in (1, 2):
        image = noise(1, 48, 64)
        image[mask > 0] = noise(1, 48, 64, seed=seed)[mask > 0]
        bench = Bench(host_server, client)
        models = bench.tiny_models("flux_fill", channels=16)
        models["vae"] = bench.add("blocks", "GRefineDoubleVAE", channels=16, factor=8)
        bench.stage1(image, mask, models, **{**STAGE1, "strength": 1.0}).ok()
        results.append(bench.result())
        assert not np.array_equal(results[-1][mask > 0], image[mask > 0])
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-4)


@pytest.fixture
def batch(client, files) -> dict[str, Any]:
    """The template for batches on the small checkpoint, with everything shown that a test wants to see."""
    graph = shipped("grefine_score_gated_batch", put_photograph(client, (96, 64), "coffee_even.png"))
    soft = Image.open(PICTURE).convert("RGB").resize((96, 64)).filter(ImageFilter.GaussianBlur(3.0))
    other = client.put_image(np.asarray(soft), "coffee_soft.png")
    graph = set_input(graph, of(graph, "LoadImage", "Another picture"), "image", other)
    graph = set_input(graph, of(graph, "CheckpointLoaderSimple"), "ckpt_name", INPAINTING_FILE.split("/")[1])
    graph = set_input(graph, of(graph, "GRefineStage1Inpaint"), "min_side", 64)
    return with_stages(with_a_part_to_redraw(with_bars(graph, 0.0, 4)))


def test_a_batch_of_good_pictures_passes_and_nothing_is_loaded(client, batch):
    client.free()
    run = client.run(batch).ok()
    assert not CHECKPOINT & kinds(batch, [*run.executed, *run.cached])
    saved, loaded = run.images(of(batch, "SaveImage", "Refined picture")), run.images("loaded")
    assert len(saved) == len(loaded) == 2
    np.testing.assert_array_equal(saved, loaded)
    reasons = run.texts(of(batch, "PreviewAny", "What was decided"))
    assert len(reasons) == 2
    assert all("passes" in reason for reason in reasons)


def test_only_the_bad_pictures_of_a_batch_are_refined(client, batch):
    """The bar is put between the two pictures' scores: one passes to the byte, the other goes through both stages."""
    reports = client.run(batch).ok().texts(of(batch, "PreviewAny", "Report as JSON"))
    scores = [json.loads(text)["before"]["perceptual"] for text in reports]
    assert len(scores) == 2
    assert scores[0] != scores[1]
    good, bad = int(np.argmax(scores)), int(np.argmin(scores))
    graph = set_input(batch, of(batch, "GRefinePlan"), "perceptual_bar", sum(scores) / 2)
    run = client.run(graph).ok()
    loaded, redrawn, restored = (run.images(name) for name in ("loaded", "redrawn", "restored"))
    guarded, saved = run.images("guarded"), run.images(of(graph, "SaveImage", "Refined picture"))
    for pictures in (redrawn, guarded, restored, saved):
        assert len(pictures) == 2
        np.testing.assert_array_equal(pictures[good], loaded[good])
    assert (redrawn[bad] != loaded[bad]).any()
    assert (restored[bad] != guarded[bad]).any(-1).mean() > 0.5
    counted = {d["node"]: d["max"] for event, d, _ in run.messages if event == "progress" and d["node"] in graph}
    assert counted[of(graph, "GRefineStage2Restore")] == 2  # of four steps: those of one picture
