"""Restorer from Model and Stage-2 Restore in the real host."""

from __future__ import annotations

import time

import numpy as np
import pytest

from grefine_core.refine.protocols import picture_seed, second_stage_seed

from .stage_tools import GREEN, RED, STAGE2, Bench, box, color, noise

LOADERS = {"model", "vae", "positive", "negative", "restorer"}


@pytest.fixture
def bench(host_server, client) -> Bench:
    return Bench(host_server, client)


@pytest.mark.parametrize("kind", ["ordinary", "inpaint", "flow16", "video16"])
@pytest.mark.parametrize("size", [(64, 96), (101, 70), (5, 3)])
def test_the_whole_picture_is_redrawn_at_its_own_size(bench, kind, size):
    image = noise(2, *size)
    bench.stage2(image, bench.models(kind)).ok()
    result = bench.result()
    assert result.shape == image.shape
    assert np.abs(result - color(GREEN)).max() < 2e-3
    assert len(bench.journal()) == 2 * STAGE2["steps"]


@pytest.mark.parametrize("strength", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun"])
def test_ten_calls_whatever_the_strength(bench, strength, sampler):
    models = bench.models()
    bench.stage2(noise(1, 32, 32), models, restorer={"sampler_name": sampler}, strength=strength, steps=10).ok()
    calls = bench.journal()
    assert len(calls) == 10
    assert calls[0]["timestep"] == pytest.approx(999 * strength, abs=8)


def test_both_stages_of_one_plan_make_ten_calls_each(bench):
    image, mask = noise(1, 32, 32), box(32, 32, 8, 8, 24, 24)
    bench.values("ps", 0.5, output=1)
    bench.values("as", 0.6, output=1)
    bars = {"perceptual_bar": 0.8, "alignment_bar": 0.8, "stage1_min": 0.5, "stage1_max": 0.9, "stage2_strength": 0.2}
    bench.add(
        "plan", "GRefinePlan", perceptual_score=["ps", 1], alignment_score=["as", 1], mode="gated", steps=20, **bars
    )
    models = bench.models()
    bench.stage1_graph(image, mask, models, run=["plan", 0], strength=["plan", 1], steps=["plan", 2])
    bench.graph["first"] = bench.graph.pop("stage")
    links = {"run": ["plan", 3], "strength": ["plan", 4], "steps": ["plan", 5]}
    bench.stage2(["first", 0], models, **links).ok()
    timesteps = [call["timestep"] for call in bench.journal()]
    assert len(timesteps) == 20
    assert timesteps[0] > 400
    assert timesteps[10] == pytest.approx(999 * 0.2, abs=8)


def test_inpainting_models_are_told_that_everything_is_hidden(bench):
    bench.stage2(np.full((1, 32, 32, 3), 0.9, np.float32), bench.models("inpaint")).ok()
    for call in bench.journal():
        assert call["mask"] == 1.0
        assert call["under_mask"] < 1e-6


def test_large_pictures_are_restored_in_tiles_without_seams(bench):
    image = noise(1, 150, 200)
    bench.stage2(image, bench.models(), restorer={"tile_size": 96}, steps=3).ok()
    shapes = [tuple(call["shape"][2:]) for call in bench.journal()]
    assert set(shapes) == {(12, 12)}
    assert len(shapes) == 3 * 2 * 3
    assert np.abs(bench.result() - color(GREEN)).max() < 2e-3


def test_tiles_are_blended_smoothly_with_a_real_network(bench):
    y, x = np.mgrid[0:128, 0:192] / 192
    image = np.stack([x, y, 1 - x], -1)[None].astype(np.float32)
    models = bench.tiny_models("sd15")
    bench.stage2(image, models, restorer={"tile_size": 96}, strength=0.1).ok()
    result = bench.result()
    assert np.isfinite(result).all()
    assert result.shape == image.shape


def test_colours_are_kept_if_asked_for(bench):
    image = np.clip(noise(1, 64, 64) * 0.2 + color(RED) * 0.7, 0, 1)
    bench.stage2(image, bench.models(), keep_color=True).ok()
    assert np.abs(bench.result().mean((0, 1, 2)) - image.mean((0, 1, 2))).max() < 0.02


def test_same_seed_same_bytes(bench):
    image = noise(1, 40, 56)
    models = bench.tiny_models("sdxl_inpaint")
    results = []
    for seed in (7, 7, 8):
        run = bench.stage2(image, models, seed=seed, restorer={"cfg": 3.0}).ok()
        assert "stage" in run.executed  # the picture is written anew each time, so nothing is taken from the cache
        results.append(bench.result())
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_clean_pictures_need_no_restorer(bench):
    image = noise(2, 40, 48)
    run = bench.stage2(image, bench.models(), run=False).ok()
    assert not LOADERS & set(run.executed)
    assert np.array_equal(bench.result(), image)


def test_every_picture_has_its_own_plan_and_restorer(bench):
    image = noise(3, 32, 32)
    models = bench.models(color=bench.values("colors", GREEN, RED, GREEN))
    runs = bench.values("runs", 0, 1, 1, output=3)
    strengths = bench.values("strengths", 0.5, 0.4, 0.1, output=1)
    steps = bench.values("steps", 3, 4, 5, output=2)
    bench.stage2(image, models, run=runs, strength=strengths, steps=steps).ok()
    result = bench.result()
    assert np.array_equal(result[0], image[0])
    assert np.abs(result[1] - color(RED)).max() < 2e-3
    assert np.abs(result[2] - color(GREEN)).max() < 2e-3
    timesteps = [call["timestep"] for call in bench.journal()]
    assert len(timesteps) == 4 + 5
    assert [timesteps[0], timesteps[4]] == pytest.approx([999 * 0.4, 999 * 0.1], abs=8)


def test_restorers_of_another_kind_get_prompt_and_seed(bench):
    image = noise(2, 32, 32)
    made = bench.add("restorer", "GRefineDoubleRestorer", journal=bench.name)
    prompts = bench.values("prompts", "a cat", "a dog")
    stage = {**STAGE2, "image": bench.tensor("image", image), "restorer": made, "prompt": prompts, "seed": 11}
    bench.add("stage", "GRefineStage2Restore", **stage)
    bench.client.run(bench.captured("stage")).ok()
    assert np.allclose(bench.result(), image * 0.8, atol=1e-6)
    calls = bench.journal()
    assert [call["prompt"] for call in calls] == ["a cat", "a dog"]
    assert [call["seed"] for call in calls] == [second_stage_seed(picture_seed(11, number)) for number in range(2)]


def test_cancel_stops_within_a_step(bench, client):
    models = bench.models(delay=0.3)
    made = bench.add("restorer", "GRefineRestorerFromModel", **models, cfg=1.0, sampler_name="euler")
    bench.graph["restorer"]["inputs"] |= {"scheduler": "normal", "tile_size": 1024}
    stage = {**STAGE2, "image": bench.tensor("image", noise(1, 32, 32)), "restorer": made, "steps": 60}
    bench.add("stage", "GRefineStage2Restore", **stage)
    prompt = client.start(bench.captured("stage"))
    while len(bench.journal()) < 3:
        time.sleep(0.02)
    client.interrupt()
    asked = len(bench.journal())
    assert client.wait(prompt).status == "interrupted"
    assert len(bench.journal()) <= asked + 1


def test_when_memory_is_short_the_tiles_become_smaller(bench):
    bench.stage2(noise(1, 520, 520), bench.models(fail_at=2), steps=2).ok()
    shapes = [tuple(call["shape"][2:]) for call in bench.journal()]
    assert shapes[:2] == [(65, 65)] * 2
    assert set(shapes[2:]) == {(32, 32)}
    assert np.abs(bench.result() - color(GREEN)).max() < 2e-3


def test_out_of_memory_with_the_smallest_tiles_is_said_in_plain_words(bench):
    run = bench.stage2(noise(1, 64, 64), bench.models(fail_at=1))
    assert run.status == "error"
    assert "Out of memory while sampling 8×8 latent cells" in run.error_text
    assert "tile_size" in run.error_text


BAD = {
    "two restorers for three": (
        lambda b: {"image": noise(3, 16, 16), "models": b.models(color=b.values("colors", GREEN, RED))},
        "restorer: 2 values for 3 pictures",
    ),
    "two strengths for three": (
        lambda b: {"image": noise(3, 16, 16), "strength": b.values("s", 0.1, 0.2, output=1)},
        "strength: 2 values for 3 pictures",
    ),
    "strength of two": (lambda b: {"strength": b.values("s", 2, output=1)}, "strength"),
    "wrong rank": (lambda b: {"image": np.zeros((16,), np.float32)}, "image: expected an image"),
    "NaN": (lambda b: {"image": np.full((1, 16, 16, 3), np.nan, np.float32)}, "image: contains NaN"),
    "adaptive sampler": (lambda b: {"restorer": {"sampler_name": "dpm_adaptive"}}, "sampler_name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_clear_error(bench, case):
    make, message = BAD[case]
    options = {"image": noise(1, 16, 16), **make(bench)}
    models = options.pop("models", None) or bench.models()
    run = bench.stage2(options.pop("image"), models, **options)
    assert run.status == "error"
    assert message in run.error_text, run.error_text
