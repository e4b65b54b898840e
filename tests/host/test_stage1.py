"""Stage-1 Inpaint in the real host, with models whose result is known, and with tiny real ones."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from grefine_core.plan import plan_refinement
from grefine_core.refine.crops import CropOptions, plan_crop

from .client import PromptRejectedError
from .stage_tools import BLUE, GREEN, RED, Bench, box, color, noise

LOADERS = {"model", "vae", "positive", "negative"}


@pytest.fixture
def bench(host_server, client) -> Bench:
    return Bench(host_server, client)


def check_painted(result, image, mask, paint, tolerance=2e-3):
    """The new colour where the mask is 1, the same bits where it is 0."""
    inside = mask > 0
    assert result.shape == image.shape
    assert result.dtype == np.float32
    assert np.array_equal(result[~inside], image[~inside])
    if inside.any():
        assert np.abs(result[inside] - color(paint)).max() < tolerance


# What is painted, and what is not

SIZES = {"even": (64, 96), "odd": (101, 70), "tiny": (17, 16), "two cells": (16, 16)}
MASKS = {
    "inside": lambda h, w: box(h, w, h // 4, w // 4, h // 2, w // 2),
    "border": lambda h, w: box(h, w, 0, 0, h // 3, w),
    "corner": lambda h, w: box(h, w, h - 3, w - 2, h, w),
    "one pixel": lambda h, w: box(h, w, h // 2, w // 2, h // 2 + 1, w // 2 + 1),
    "full": lambda h, w: box(h, w, 0, 0, h, w),
}


@pytest.mark.parametrize("place", MASKS)
@pytest.mark.parametrize("size", SIZES)
def test_the_new_colour_is_inside_the_mask_and_nothing_else_changes(bench, size, place):
    image, mask = noise(1, *SIZES[size]), MASKS[place](*SIZES[size])
    bench.stage1(image, mask, bench.models()).ok()
    check_painted(bench.result(), image, mask, GREEN)


@pytest.mark.parametrize(
    ("kind", "factor"), [("inpaint", 8), ("flow16", 8), ("video16", 8), ("ordinary", 16), ("flow16", 4)]
)
def test_every_kind_of_model_and_vae(bench, kind, factor):
    image, mask = noise(1, 101, 70), box(101, 70, 30, 20, 66, 50)
    bench.stage1(image, mask, bench.models(kind, factor=factor)).ok()
    check_painted(bench.result(), image, mask, GREEN)
    channels = 16 if kind.endswith("16") else 4
    shape = bench.journal()[0]["shape"]
    assert shape[1] == (9 if kind == "inpaint" else channels)
    assert len(shape) == (5 if kind == "video16" else 4)


def test_the_default_options_enlarge_small_pictures_and_still_keep_every_byte(bench):
    image, mask = noise(1, 70, 101), box(70, 101, 20, 30, 50, 60)
    bench.stage1(image, mask, bench.models(), min_side=512, native_side=1024, color_match=True).ok()
    result = bench.result()
    assert np.array_equal(result[mask == 0], image[mask == 0])
    assert not np.array_equal(result[mask > 0], image[mask > 0])
    assert min(bench.journal()[0]["shape"][2:]) == 512 // 8


def test_the_composite_mask_decides_what_is_pasted(bench):
    image, denoise = noise(1, 64, 64), box(64, 64, 8, 8, 56, 56)
    composite = np.zeros((1, 64, 64), np.float32)
    composite[:, 16:48, 16:48] = 0.5
    composite[:, 24:40, 24:40] = 1.0
    bench.stage1(image, denoise, bench.models(), composite_mask=composite).ok()
    result = bench.result()
    assert np.array_equal(result[composite == 0], image[composite == 0])
    assert np.abs(result[composite == 1] - color(GREEN)).max() < 2e-3
    half = composite == 0.5
    assert np.abs(result[half] - (image[half] + color(GREEN)) / 2).max() < 2e-3


def test_a_batch_and_one_mask_for_all_of_it(bench):
    image, mask = noise(3, 48, 40), box(48, 40, 10, 10, 30, 30)
    bench.stage1(image, mask, bench.models()).ok()
    check_painted(bench.result(), image, np.repeat(mask, 3, 0), GREEN)


def test_a_batch_with_a_mask_for_each(bench):
    image = noise(2, 48, 40)
    mask = np.concatenate([box(48, 40, 0, 0, 20, 20), box(48, 40, 30, 20, 48, 40)])
    bench.stage1(image, mask, bench.models()).ok()
    check_painted(bench.result(), image, mask, GREEN)


def test_a_list_of_pictures_comes_back_as_a_list(bench):
    images, mask = noise(2, 33, 61), box(33, 61, 4, 4, 20, 20)
    singles = bench.add("singles", "RebatchImages", images=bench.tensor("image", images), batch_size=1)
    bench.stage1(singles, mask, bench.models()).ok()
    for number in range(2):
        check_painted(bench.result(number), images[number : number + 1], mask, GREEN)


def test_far_apart_regions_are_sampled_one_by_one_in_small_crops(bench):
    image = noise(1, 64, 512)
    mask = np.maximum(box(64, 512, 20, 10, 40, 40), box(64, 512, 20, 460, 40, 500))
    bench.stage1(image, mask, bench.models(), context=0.2, steps=3).ok()
    check_painted(bench.result(), image, mask, GREEN)
    calls = bench.journal()
    assert len(calls) == 2 * 3
    assert all(call["shape"][-1] < 200 // 8 for call in calls)


@pytest.mark.parametrize(("crop_size", "native_side"), [("source", 64), ("native", 256)])
def test_the_planned_crop_is_what_is_sampled(bench, crop_size, native_side):
    image, mask = noise(1, 400, 300), box(400, 300, 100, 50, 150, 120)
    options = {"crop_size": crop_size, "native_side": native_side, "min_side": 128, "context": 0.25}
    bench.stage1(image, mask, bench.models(), **options).ok()
    plan = plan_crop(
        (100, 50, 150, 120),
        (400, 300),
        CropOptions(crop_size=crop_size, context=0.25),
        size_multiple=8,
        min_side=128,
        native_side=native_side,
    )
    assert {tuple(call["shape"][2:]) for call in bench.journal()} == {tuple(side // 8 for side in plan.sample)}
    assert bench.journal("_vae")[0]["encode"][2:] == list(plan.sample)
    assert plan.size < (400, 300)


def test_inpainting_models_get_the_mask_and_grey_under_it(bench):
    image, mask = np.full((1, 64, 64, 3), 0.9, np.float32), box(64, 64, 16, 16, 48, 48)
    bench.stage1(image, mask, bench.models("inpaint"), context=1.0).ok()
    for call in bench.journal():
        assert call["mask"] == pytest.approx(0.25)
        assert call["under_mask"] < 1e-6
        assert call["beside_mask"] == pytest.approx(0.8, abs=1e-5)


def test_soft_masks_are_sampled_gradually(bench):
    """The weaker a place, the later it changes: in the first calls the network sees it as it was."""
    image, mask = noise(1, 64, 64), box(64, 64, 16, 16, 48, 48) * 0.4
    mask[:, 24:40, 24:40] = 1.0
    bench.stage1(image, mask, bench.models(), steps=5).ok()
    result = bench.result()
    assert np.array_equal(result[mask == 0], image[mask == 0])
    assert np.abs(result[mask == 1] - color(GREEN)).max() < 2e-3
    faint = (mask > 0) & (mask < 1)
    expected = image[faint] * 0.6 + color(GREEN) * 0.4  # the composite mask is the same one
    assert np.abs(result[faint] - expected).max() < 2e-3


# Steps and strength


@pytest.mark.parametrize("strength", [0.02, 0.3, 0.7, 1.0])
def test_ten_calls_whatever_the_strength(bench, strength):
    bench.stage1(noise(1, 32, 32), box(32, 32, 8, 8, 24, 24), bench.models(), strength=strength, steps=10, cfg=6.0).ok()
    calls = bench.journal()
    assert len(calls) == 10
    assert all(call["shape"][0] == 2 for call in calls)  # both conditionings in one call
    assert calls[0]["timestep"] == pytest.approx(999 * strength, abs=8)
    steps = [call["timestep"] for call in calls]
    assert steps == sorted(steps, reverse=True)


@pytest.mark.parametrize("scheduler", ["karras", "beta", "ddim_uniform", "sgm_uniform", "simple"])
@pytest.mark.parametrize("sampler", ["dpmpp_2m", "heun", "dpmpp_sde", "seeds_3", "uni_pc", "euler_ancestral_cfg_pp"])
def test_ten_calls_whatever_the_sampler(bench, sampler, scheduler):
    image, mask = noise(1, 32, 32), box(32, 32, 8, 8, 24, 24)
    bench.stage1(image, mask, bench.models(), steps=10, sampler_name=sampler, scheduler=scheduler, strength=0.05).ok()
    assert len(bench.journal()) == 10
    check_painted(bench.result(), image, mask, GREEN, tolerance=0.02)


def test_the_plan_sets_strength_and_ten_steps_for_each_stage(bench):
    scores = {"perceptual_score": 0.4, "alignment_score": 0.5}
    for node, value in zip(("ps", "as"), scores.values(), strict=True):
        bench.values(node, value, output=1)
    plan_options = {"mode": "gated", "perceptual_bar": 0.8, "alignment_bar": 0.8, "steps": 20, "stage1_min": 0.5}
    plan_options |= {"stage1_max": 0.9, "stage2_strength": 0.2}
    bench.add("plan", "GRefinePlan", perceptual_score=["ps", 1], alignment_score=["as", 1], **plan_options)
    links = {"run": ["plan", 0], "strength": ["plan", 1], "steps": ["plan", 2]}
    image, mask = noise(1, 32, 32), box(32, 32, 8, 8, 24, 24)
    bench.stage1(image, mask, bench.models(), **links).ok()
    expected = plan_refinement(0.4, 0.5, steps=20, stage1_min=0.5, stage1_max=0.9, stage2_strength=0.2)
    calls = bench.journal()
    assert len(calls) == expected.stage1_steps == 10
    assert calls[0]["timestep"] == pytest.approx(999 * expected.stage1_strength, abs=8)


# One decision for each picture


def test_of_three_pictures_the_clean_one_is_untouched_and_each_other_gets_its_own(bench):
    image = noise(3, 40, 48)
    mask = np.concatenate([box(40, 48, 8, 8, 24, 24), np.zeros((1, 40, 48), np.float32), box(40, 48, 16, 16, 40, 40)])
    paints = [RED, BLUE, GREEN]
    models = bench.models(color=bench.values("colors", *paints))
    strength = bench.values("strengths", 0.6, 0.9, 0.3, output=1)
    bench.stage1(image, mask, models, strength=strength, steps=2).ok()
    result = bench.result()
    assert np.array_equal(result[1], image[1])
    for number in (0, 2):
        part = slice(number, number + 1)
        check_painted(result[part], image[part], mask[part], paints[number])
    calls = bench.journal()
    assert len(calls) == 4
    assert [call["timestep"] for call in (calls[0], calls[2])] == pytest.approx([999 * 0.6, 999 * 0.3], abs=8)


def test_a_batch_gives_what_its_pictures_give_alone(bench, host_server, client):
    """Each picture has a seed of its own, derived from the node's; the first picture's is the node's itself."""
    image, mask = noise(2, 32, 32), box(32, 32, 8, 8, 24, 24)
    bench.stage1(image, mask, bench.tiny_models("sd15")).ok()
    alone = Bench(host_server, client)
    alone.stage1(image[:1], mask, alone.tiny_models("sd15")).ok()
    np.testing.assert_allclose(bench.result()[:1], alone.result(), rtol=0, atol=1e-4)


def test_with_clean_pictures_no_model_is_loaded(bench):
    image = noise(2, 40, 48)
    run = bench.stage1(image, np.zeros((1, 40, 48), np.float32), bench.models()).ok()
    assert not LOADERS & set(run.executed)
    assert np.array_equal(bench.result(), image)
    assert bench.journal() == []


@pytest.mark.parametrize("options", [{"run": False}, {"strength": 0.0}])
def test_a_plan_that_says_no_loads_no_model(bench, options):
    image = noise(1, 40, 48)
    run = bench.stage1(image, box(40, 48, 8, 8, 24, 24), bench.models(), **options).ok()
    assert not LOADERS & set(run.executed)
    assert np.array_equal(bench.result(), image)


def test_with_one_defective_picture_in_a_list_the_models_are_loaded(bench):
    image = noise(2, 40, 48)
    runs = bench.values("runs", 0, 1, output=3)
    models = bench.models(color=GREEN, negative=RED)
    run = bench.stage1(image, box(40, 48, 8, 8, 24, 24), models, run=runs).ok()
    assert set(run.executed) >= LOADERS
    assert np.array_equal(bench.result()[0], image[0])
    assert not np.array_equal(bench.result()[1], image[1])


# Real networks


@pytest.mark.parametrize("kind", ["sd15", "sd15_inpaint", "sdxl", "sdxl_inpaint", "flux", "flux_fill"])
def test_same_seed_same_bytes_with_real_networks(bench, kind):
    image, mask = noise(1, 40, 56), box(40, 56, 8, 8, 32, 40)
    models = bench.tiny_models(kind, channels=16 if kind.startswith("flux") else 4)
    results = []
    for seed in (7, 7, 8):
        run = bench.stage1(image, mask, models, seed=seed, cfg=3.0).ok()
        assert "stage" in run.executed  # the picture is written anew each time, so nothing is taken from the cache
        results.append(bench.result())
    assert np.isfinite(results[0]).all()
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    assert np.array_equal(results[0][mask == 0], image[mask == 0])
    assert not np.array_equal(results[0][mask > 0], image[mask > 0])


def test_the_prompt_matters(bench, host_server, client):
    image, mask = noise(1, 32, 32), box(32, 32, 8, 8, 24, 24)
    bench.stage1(image, mask, bench.tiny_models("sdxl_inpaint", "a red apple")).ok()
    other = Bench(host_server, client)
    other.stage1(image, mask, other.tiny_models("sdxl_inpaint", "a (green:1.4) pear")).ok()
    assert not np.array_equal(bench.result(), other.result())


def test_models_patched_by_the_host_work(bench):
    """Differential diffusion set by the user, and a changed noise schedule."""
    models = bench.tiny_models("sd15")
    models["model"] = bench.add("differential", "DifferentialDiffusion", model=models["model"])
    models["model"] = bench.add(
        "sampling", "ModelSamplingDiscrete", model=models["model"], sampling="v_prediction", zsnr=True
    )
    image, mask = noise(1, 32, 32), box(32, 32, 8, 8, 24, 24) * 0.7
    bench.stage1(image, mask, models).ok()
    assert np.isfinite(bench.result()).all()
    assert np.array_equal(bench.result()[mask == 0], image[mask == 0])


def test_conditioning_with_a_region_works(bench):
    models = bench.tiny_models("sd15")
    region = bench.tensor("region", np.ones((1, 32, 32), np.float32), 1)
    models["positive"] = bench.add(
        "set_mask",
        "ConditioningSetMask",
        conditioning=models["positive"],
        mask=region,
        strength=1.0,
        set_cond_area="default",
    )
    image, mask = noise(1, 32, 32), box(32, 32, 8, 8, 24, 24)
    bench.stage1(image, mask, models).ok()
    assert np.isfinite(bench.result()).all()


def test_a_lora_on_the_model_changes_the_result(bench, host_server, client):
    image, mask = noise(1, 32, 32), box(32, 32, 8, 8, 24, 24)
    folder = host_server.models_dir / "loras"
    folder.mkdir(exist_ok=True)
    up, down = torch.full((4, 1, 1, 1), 0.3), torch.full((1, 32, 3, 3), 0.1)
    save_file(
        {"lora_unet_out_2.lora_up.weight": up, "lora_unet_out_2.lora_down.weight": down}, folder / "t.safetensors"
    )
    bench.stage1(image, mask, bench.tiny_models("sd15")).ok()
    other = Bench(host_server, client)
    models = other.tiny_models("sd15")
    lora = {"lora_name": "t.safetensors", "strength_model": 1.0}
    models["model"] = other.add("lora", "LoraLoaderModelOnly", model=models["model"], **lora)
    other.stage1(image, mask, models).ok()
    assert np.array_equal(other.result()[mask == 0], image[mask == 0])
    assert not np.array_equal(other.result(), bench.result())


def test_a_controlnet_in_the_conditioning_changes_the_result(bench, host_server, client):
    """Two crops of different sizes: each gets its own part of the hint."""
    image = noise(1, 64, 200)
    mask = np.maximum(box(64, 200, 8, 8, 24, 24), box(64, 200, 10, 150, 60, 190))
    bench.stage1(image, mask, bench.tiny_models("sd15"), context=0.1).ok()
    other = Bench(host_server, client)
    models = other.tiny_models("sd15")
    network = other.add("network", "GRefineTinyControlNet")
    hint = {"control_net": network, "image": other.tensor("hint", noise(1, 64, 200, seed=3))}
    span = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    prompts = {name: models[name] for name in ("positive", "negative")}
    other.add("apply", "ControlNetApplyAdvanced", **prompts, **hint, **span)
    models |= {"positive": ["apply", 0], "negative": ["apply", 1]}
    other.stage1(image, mask, models, context=0.1).ok()
    assert np.isfinite(other.result()).all()
    assert np.array_equal(other.result()[mask == 0], image[mask == 0])
    assert not np.array_equal(other.result(), bench.result())


# Cancel, memory, bad input


def test_cancel_stops_within_a_step(bench, client):
    image, mask = noise(1, 32, 32), box(32, 32, 8, 8, 24, 24)
    prompt = client.start(bench.stage1_graph(image, mask, bench.models(delay=0.3), steps=60))
    while len(bench.journal()) < 3:
        time.sleep(0.02)
    client.interrupt()
    asked = len(bench.journal())
    run = client.wait(prompt)
    assert run.status == "interrupted"
    assert len(bench.journal()) <= asked + 1
    bench.stage1(image, mask, bench.models()).ok()  # and the next one runs


def test_out_of_memory_is_said_in_plain_words(bench):
    run = bench.stage1(noise(1, 32, 32), box(32, 32, 8, 8, 24, 24), bench.models(fail_at=2))
    assert run.status == "error"
    assert "Out of memory while sampling 4×4 latent cells" in run.error_text
    assert "native_side" in run.error_text


def bad_image(value):
    image = noise(1, 32, 32)
    image[0, 3, 3, 1] = value
    return image


BAD = {
    "NaN": (lambda b: {"image": bad_image(np.nan)}, "image: contains NaN"),
    "two dimensions": (lambda b: {"image": np.zeros((32, 32), np.float32)}, "image: expected an image"),
    "five channels": (lambda b: {"image": np.zeros((1, 32, 32, 5), np.float32)}, "channels"),
    "no pixels": (lambda b: {"image": np.zeros((1, 0, 32, 3), np.float32)}, "image: empty"),
    "whole numbers": (lambda b: {"image": np.zeros((1, 32, 32, 3), np.int64)}, "image: dtype"),
    "mask of another size": (lambda b: {"mask": box(32, 40, 0, 0, 9, 9)}, "(32, 40)"),
    "two masks for one": (lambda b: {"mask": np.ones((2, 32, 32), np.float32)}, "2 values for 1 pictures"),
    "NaN in the mask": (lambda b: {"mask": np.full((1, 32, 32), np.nan, np.float32)}, "denoise_mask: contains NaN"),
    "composite mask of another size": (
        lambda b: {"composite_mask": np.ones((1, 16, 16), np.float32)},
        "composite_mask: size (16, 16)",
    ),
    "two prompts for one": (
        lambda b: {"models": b.models(color=b.values("colors", GREEN, RED))},
        "positive: 2 values for 1 pictures",
    ),
    "a VAE of another model": (
        lambda b: {"models": b.models("flow16", channels=4)},
        "vae: gives latents of 4 channels, but the model denoises 16",
    ),
    "an adaptive sampler": (lambda b: {"sampler_name": "dpm_adaptive"}, "sampler_name: 'dpm_adaptive' decides"),
    "a strength of two": (lambda b: {"strength": b.values("s", 2, output=1)}, "strength: 2 is out of range"),
    "strengths for others": (
        lambda b: {"strength": b.values("s", 0.2, 0.3, output=1)},
        "strength: 2 values for 1 pictures",
    ),
    "two steps for one": (lambda b: {"steps": b.values("s", 5, 6, output=2)}, "steps: 2 values for 1 pictures"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_clear_error(bench, case):
    make, message = BAD[case]
    options = {"image": noise(1, 32, 32), "mask": box(32, 32, 8, 8, 24, 24), **make(bench)}
    image, mask = options.pop("image"), options.pop("mask")
    models = options.pop("models", None) or bench.models()
    run = bench.stage1(image, mask, models, **options)
    assert run.status == "error"
    assert message in run.error_text, run.error_text


@pytest.mark.parametrize("name", ["sampler_name", "scheduler", "crop_size"])
def test_unknown_choices_are_refused_by_name(bench, name):
    """By the host where it checks the choices of such nodes, by the node where it does not."""
    try:
        answer = bench.stage1(noise(1, 32, 32), box(32, 32, 8, 8, 24, 24), bench.models(), **{name: "best"}).error_text
    except PromptRejectedError as rejected:
        answer = str(rejected)
    assert name in answer
    assert "best" in answer
