"""PASD as a restorer: sizes, batches, seeds, progress, stopping, tiles, precision."""

from __future__ import annotations

import pytest
import torch

from grefine_core.engines.pasd import PasdRestorer, PasdSettings, load_pasd
from grefine_core.engines.pasd.sampling import (
    Autoencoder,
    Guidance,
    Hooks,
    Tiling,
    denoise,
    draw_noise,
    make_scheduler,
    mild_start,
)
from grefine_core.errors import Cancelled, InputError
from grefine_core.memory import empty_cache
from grefine_core.refine.crops import resize_images
from grefine_core.refine.protocols import Restorer, picture_seed
from grefine_core.refine.stages import stage2

from ....tiny_models.naming import even_scale, fill_by_name


@pytest.fixture
def picture():
    return smooth(1, 40, 56)


def smooth(count, height, width, seed=2):
    coarse = torch.rand(count, 5, 7, 3, generator=torch.Generator().manual_seed(seed))
    return resize_images(coarse, (height, width))


def options(**changes):
    return {"prompt": "a red balloon", "strength": 0.5, "steps": 2, "seed": 7, **changes}


def test_is_a_restorer(restorer_for):
    restorer = restorer_for(process_size=768)
    assert isinstance(restorer, Restorer)
    assert (restorer.size_multiple, restorer.min_side) == (8, 768)


@pytest.mark.parametrize("size", [(101, 70), (40, 56), (8, 17), (72, 24)])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_comes_back_at_its_own_size(restorer_for, seen, size, strength):
    out = restorer_for().restore(smooth(1, *size), **options(strength=strength, steps=1))
    assert out.shape == (1, *size, 3)
    assert out.dtype == torch.float32
    assert out.is_contiguous()
    assert 0 <= out.min() <= out.max() <= 1
    scale = max(1, 16 / min(size))
    assert tuple(seen[0][0].shape[-2:]) == tuple(int(round(side * scale) // 8) for side in size)


@pytest.mark.parametrize("light", [False, True])
def test_from_files_to_a_picture(checkpoint_of, base_folder, picture, light):
    restorer = PasdRestorer(load_pasd(checkpoint_of(light=light), base_folder), PasdSettings(process_size=32))
    out = restorer.restore(picture, **options(strength=0.2))
    assert out.shape == picture.shape
    assert torch.isfinite(out).all()
    assert not torch.equal(out, picture)


def test_in_the_stage(restorer_for):
    pictures = smooth(2, 45, 61)
    out = stage2(pictures, restorer_for(), prompts=["a", "b"], strengths=0.2, steps=2, seed=1)
    assert out.shape == pictures.shape
    assert not torch.equal(out, pictures)


@pytest.mark.parametrize(("factor", "size"), [(2, (70, 46)), (1.5, (52, 34)), (0.7, (24, 16))])
def test_enlarges(restorer_for, seen, factor, size):
    out = restorer_for().upscale(smooth(1, 35, 23), "a cat", factor=factor, steps=1)
    assert out.shape == (1, *size, 3)
    assert tuple(seen[0][0].shape[-2:]) == (size[0] // 8, size[1] // 8)


def test_small_pictures_are_enlarged_to_the_process_size(restorer_for, seen):
    out = restorer_for(process_size=64).upscale(smooth(1, 35, 23), factor=2, steps=1)
    assert out.shape == (1, 70, 46, 3)
    assert tuple(seen[0][0].shape[-2:]) == (12, 8)  # 97 x 64 pixels, down to multiples of 8
    condition = seen[0][3]
    assert tuple(condition.shape[-2:]) == (96, 64)
    assert 0 <= condition.min() <= condition.max() <= 1


@pytest.mark.parametrize("strength", [0.001, 0.3, None])
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_steps_are_executed_calls(restorer_for, seen, strength, steps):
    restorer_for().upscale(smooth(1, 16, 16), steps=steps, strength=strength)
    assert len(seen) == steps


def test_defaults_are_the_settings(restorer_for, seen):
    out = restorer_for(steps=3, factor=2.0).upscale(smooth(1, 16, 16))
    assert len(seen) == 3
    assert out.shape == (1, 32, 32, 3)


def test_full_strength_is_the_published_pass(restorer_for, seen, picture):
    restorer = restorer_for()
    out = restorer.restore(picture, **options(strength=1.0))
    assert [float(call[1]) for call in seen] == [999, 500]
    torch.testing.assert_close(out, restorer.upscale(picture, "a red balloon", steps=2, seed=7), rtol=0, atol=1e-3)
    without = restorer_for(added_noise_level=None).restore(picture, **options(strength=1.0))
    assert not torch.equal(out, without)


def test_strength_sets_where_it_starts(restorer_for, seen, picture):
    restorer_for().restore(picture, **options(strength=0.3, steps=2))
    assert [float(call[1]) for call in seen] == pytest.approx([299.7, 149.85], abs=1e-3)


def test_mildly_is_monotonic_and_ends_at_the_round_trip(restorer_for, model, picture):
    fill_by_name(model.vae, even_scale)  # the golden one blows up the slightest change of a latent
    with torch.no_grad():
        latents = model.vae.encode(picture.permute(0, 3, 1, 2) * 2 - 1).latent_dist.mean
        trip = (model.vae.decode(latents, return_dict=False)[0] / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    distances = []
    for strength in (1e-6, 1e-4, 0.01, 0.1, 0.3, 0.8):
        out = restorer_for().restore(picture, **options(strength=strength, steps=3))
        distances.append(float((out - trip).square().mean().sqrt()))
    assert distances == sorted(distances)
    assert distances[0] < 1e-3
    assert distances[-1] > 0.1


@pytest.mark.parametrize("steps", [1, 3])
def test_latents_move_away_monotonically(model, picture, steps):
    pixels = picture.permute(0, 3, 1, 2)
    mean, _ = Autoencoder(model, 1024, empty_cache).encode(pixels)
    states = model.encode_prompts(["blurry", "a red balloon"])
    distances = []
    for strength in (1e-6, 1e-4, 0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0):
        scheduler = make_scheduler(model.scheduler_config, steps, strength)
        start = mild_start(mean, draw_noise(mean.shape[1:], [1]), scheduler)
        out = denoise(model, start, pixels, Guidance(states), scheduler, Tiling(320, 8))
        distances.append(float((out - mean).square().mean().sqrt()))
    assert distances == sorted(distances)
    assert distances[0] < 1e-4


def test_a_batch_is_its_pictures(restorer_for):
    pictures = smooth(3, 24, 40)
    restorer = restorer_for()
    prompts = ["a cat", "a dog", "a cat"]
    for strength in (None, 0.4):
        together = restorer.upscale(pictures, prompts, steps=2, strength=strength, seed=5)
        for index in range(3):
            alone = restorer.upscale(
                pictures[index : index + 1], prompts[index], steps=2, strength=strength, seed=picture_seed(5, index)
            )
            torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-3)
    together = restorer.upscale(pictures, prompts, steps=1, seed=[1, 2, 3])
    alone = restorer.upscale(pictures[1:2], "a dog", steps=1, seed=2)
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-3)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_same_seed_same_bytes(restorer_for, picture, strength):
    restorer = restorer_for()

    def run(**changes):
        return restorer.restore(picture, **options(strength=strength, **changes))

    torch.manual_seed(0)  # nothing depends on the global generator
    first = run()
    torch.manual_seed(1)
    assert torch.equal(first, run())
    assert not torch.equal(first, run(seed=8))
    assert not torch.equal(first, run(prompt="a blue castle"))
    assert not torch.equal(first, run(steps=3))


@pytest.mark.parametrize(
    "change",
    [{"conditioning_scale": 0.6}, {"guidance_scale": 5.0}, {"negative_prompt": "a cat"}, {"added_prompt": "dull"}],
)
def test_settings_count(restorer_for, picture, change):
    assert not torch.equal(
        restorer_for().restore(picture, **options()), restorer_for(**change).restore(picture, **options())
    )


def test_what_the_networks_are_told(restorer_for, model, seen, picture):
    restorer_for(conditioning_scale=0.7).restore(picture, **options(steps=1))
    latents, _, states, condition, scale = seen[0]
    assert latents.shape == (2, 4, 5, 7)
    assert torch.equal(latents[0], latents[1])
    settings = PasdSettings()
    wanted = model.encode_prompts([settings.negative_prompt, "a red balloon, clean, high-resolution, 8k"])
    torch.testing.assert_close(states, wanted)
    torch.testing.assert_close(condition[0], picture[0].permute(2, 0, 1))
    assert scale == 0.7


def test_without_guidance_half_the_work(restorer_for, seen, picture):
    restorer_for(guidance_scale=1.0).restore(picture, **options(steps=1))
    assert seen[0][0].shape[0] == 1


def test_tiles(restorer_for, seen):
    large = smooth(1, 96, 136)
    whole = restorer_for().restore(large, **options())
    torch.testing.assert_close(
        whole, restorer_for(tile_size=15, tile_overlap=4).restore(large, **options()), rtol=0, atol=1e-3
    )  # 12 x 17 <= 15²
    seen.clear()
    tiled = restorer_for(tile_size=8, tile_overlap=2).restore(large, **options())
    assert {tuple(call[0].shape) for call in seen} == {(2, 4, 8, 8)}
    assert {tuple(call[3].shape) for call in seen} == {(2, 3, 64, 64)}
    assert len(seen) == 2 * 2 * 3  # steps, rows, columns
    assert tiled.shape == whole.shape
    assert not torch.equal(tiled, whole)
    assert (tiled - whole).abs().mean() < 0.1


def test_colors_are_kept(restorer_for, picture):
    def casts(color):
        out = restorer_for(color=color).restore(picture, **options())
        return float((out.mean(dim=(1, 2)) - picture.mean(dim=(1, 2))).abs().max())

    assert casts("none") > 0.1
    assert casts("wavelet") < 0.05
    assert casts("adain") < 0.05


def test_inputs_are_not_written_to(restorer_for, picture):
    before = picture.clone()
    restorer_for(color="wavelet").restore(picture, **options())
    restorer_for().upscale(picture, steps=1)
    assert torch.equal(picture, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(restorer_for, model, seen, picture, dtype):
    full = restorer_for().restore(picture, **options())
    model.to(dtype=dtype)
    seen.clear()
    out = restorer_for().restore(picture, **options())
    assert seen[0][0].dtype == dtype
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()
    assert (out - full).abs().mean() < 0.05


def test_progress_every_step(restorer_for):
    counts = []
    restorer_for().upscale(
        smooth(2, 16, 16), steps=3, progress=lambda done, total, preview: counts.append((done, total))
    )
    assert counts == [(number, 6) for number in range(1, 7)]


def test_previews(restorer_for, picture):
    shapes, pictures = [], []

    def preview(latent):
        shapes.append(tuple(latent.shape))
        return latent[:, :3].permute(0, 2, 3, 1).clamp(0, 1)

    hooks = Hooks(preview=preview)
    restorer_for(hooks).restore(picture, **options(), progress=lambda done, total, seen: pictures.append(seen))
    assert shapes == [(1, 4, 5, 7)] * 2
    assert [tuple(each.shape) for each in pictures] == [(1, 5, 7, 3)] * 2


def test_stopping_takes_effect_within_a_step(restorer_for, seen, picture):
    def stop(done, total, preview):
        if done == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        restorer_for().restore(picture, **options(steps=9), progress=stop)
    assert len(seen) == 2
    assert restorer_for().restore(picture, **options()).shape == picture.shape  # still usable


def test_stopping_between_tiles(restorer_for, seen):
    def check():
        if len(seen) == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        restorer_for(Hooks(check=check), tile_size=4, tile_overlap=1).restore(smooth(1, 64, 64), **options())
    assert len(seen) == 3


def test_inside_inference_mode(restorer_for, picture):
    restorer = restorer_for(color="wavelet")
    with torch.inference_mode():
        out = restorer.restore(picture.clone(), **options())
    torch.testing.assert_close(out, restorer.restore(picture, **options()), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 1000, "strength": 1.0}, "steps"),
        ({"strength": 0.0}, "strength"),
        ({"strength": 1.5}, "strength"),
        ({"seed": -1}, "seed"),
        ({"prompt": 3}, "prompt"),
    ],
)
def test_refused_before_any_work(restorer_for, seen, picture, changes, name):
    with pytest.raises(InputError, match=name):
        restorer_for().restore(picture, **options(**changes))
    assert not seen


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"steps": 0}, "steps"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"conditioning_scale": -1}, "conditioning_scale"),
        ({"factor": 0}, "factor"),
        ({"process_size": 0}, "process_size"),
        ({"added_noise_level": -1}, "added_noise_level"),
        ({"tile_size": 8, "tile_overlap": 8}, "tile_overlap"),
        ({"vae_tile_above": 0}, "vae_tile_above"),
        ({"color": "pink"}, "color"),
        ({"negative_prompt": None}, "negative_prompt"),
    ],
)
def test_refused_settings(change, name):
    with pytest.raises(InputError, match=f"^{name}"):
        PasdSettings(**change)


def test_prompts():
    settings = PasdSettings()
    assert settings.full_prompt("a cat") == "a cat, clean, high-resolution, 8k"
    assert settings.full_prompt("a cat, ") == "a cat, clean, high-resolution, 8k"
    assert settings.full_prompt("") == "clean, high-resolution, 8k"
    assert PasdSettings(added_prompt="").full_prompt("a cat") == "a cat"


def test_too_small_a_picture(restorer_for):
    with pytest.raises(InputError, match="too few"):
        restorer_for(process_size=4).upscale(torch.rand(1, 6, 40, 3), steps=1)
