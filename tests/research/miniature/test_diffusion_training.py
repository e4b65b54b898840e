"""The diffusion model's training by seed, and what it is given: on networks a fraction of the real ones' width."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from grefine_core.miniature import networks
from grefine_core.miniature.loading import TEXT_FILE
from grefine_core.miniature.world import HELD_BACK
from grefine_research.miniature.training import autoencoder, inpainting, loop
from grefine_research.miniature.training import pictures as drawing
from grefine_research.miniature.training.clip_groups import GROUP, draw_closeups
from grefine_research.miniature.training.damage import damage
from grefine_research.miniature.training.latents import (
    cached_closeups,
    cached_latents,
    masked_input,
    shrink_masks,
    tokenize,
)
from grefine_research.miniature.training.pictures import SEED, cached_pictures, scene_at
from grefine_research.miniature.training.text_cache import TextCache
from grefine_research.miniature.training.views import CAPTIONS, CLOSEUP_SIDE, closeup_at, view_at
from grefine_research.miniature.worlds import FIRST, SECOND

from ...tiny_models.naming import even_scale, fill_by_name

SMALL = replace(
    autoencoder.PROFILES["cpu"], steps=4, focus_from=1, whole_from=3, crop=32, batch=4, log_every=1, validate_every=2,
    checked=2, compiled=False,
)  # fmt: skip
SMALL_UNET = replace(
    inpainting.PROFILES["cpu"], steps=4, batch=2, first=1, again=2, log_every=1, validate_every=2, checked=32,
    compiled=False,
)  # fmt: skip

NARROW_UNET = {"block_out_channels": [16, 32], "attention_head_dim": [1, 1], "norm_num_groups": 8}
NARROW_VAE = {"block_out_channels": [8, 8, 16, 16], "norm_num_groups": 8}


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """Networks of the real ones' shape with fewer channels: what is tested does not hang on their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "UNET_CONFIG", {**networks.UNET_CONFIG, **NARROW_UNET})
        patch.setattr(networks, "VAE_CONFIG", {**networks.VAE_CONFIG, **NARROW_VAE})
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return cached_pictures(tmp_path_factory.mktemp("pictures"), 6)


@pytest.fixture(scope="module")
def untrained(narrow):
    torch.manual_seed(0)
    return networks.build("vae").eval()


@pytest.fixture(scope="module")
def latents(tmp_path_factory, untrained, pictures):
    return cached_latents(tmp_path_factory.mktemp("latents"), untrained, pictures, 6)


@pytest.fixture(scope="module")
def closeups(tmp_path_factory, untrained):
    return cached_closeups(tmp_path_factory.mktemp("closeups"), untrained, 8)


@pytest.fixture(scope="module")
def clip():
    from open_clip.model import CLIP

    text = {"context_length": 77, "vocab_size": 49408, "width": networks.TEXT_WIDTH, "heads": 3, "layers": 1}
    vision = {"image_size": 32, "patch_size": 16, "layers": 1, "width": 32, "head_width": 32}
    return fill_by_name(CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text, quick_gelu=True), even_scale)


# What the networks are given


def test_text_states_are_those_of_the_text_encoder(clip):
    tokens = tokenize(["a red circle on grass", ""])
    assert tokens.shape == (2, 77)
    assert (tokens[1, 1:] == 49407).all()
    seen = {}
    handle = clip.ln_final.register_forward_hook(lambda module, inputs, output: seen.update(states=output))
    with torch.no_grad():
        clip.encode_text(tokens)
    handle.remove()
    states = networks.text_states(clip, tokens)
    assert states.shape == (2, 77, networks.TEXT_WIDTH)
    assert torch.allclose(states, seen["states"], atol=1e-5)


def test_states_are_computed_once(clip):
    calls = []
    handle = clip.ln_final.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    cache = TextCache(clip)
    tokens = tokenize(["a red circle", "a tree", "a red circle"])
    first = cache(tokens)
    again = cache(tokenize(["a tree", "a house"]))
    handle.remove()
    assert calls == [2, 1]
    wanted = networks.text_states(clip, tokens)
    assert torch.allclose(first, wanted, atol=2e-3)
    torch.testing.assert_close(again[0], first[1], rtol=0, atol=2e-3)
    assert first.dtype == torch.float32


# Pictures and views


def test_pictures_are_drawn_once_and_go_on(tmp_path, pictures):
    first = cached_pictures(tmp_path, 6)
    assert np.array_equal(first, pictures)
    note = next(tmp_path.glob("*.json"))
    state = json.loads(note.read_text())
    note.write_text(json.dumps({**state, "done": 2}))
    raw = np.memmap(next(tmp_path.glob("*.u8")), np.uint8, "r+", shape=first.shape)
    raw[2:] = 0
    raw.flush()
    assert np.array_equal(cached_pictures(tmp_path, 6), pictures)


def test_pictures_drawn_in_parts_are_those_drawn_at_once(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(drawing, "_CHUNK", 4)
    assert np.array_equal(cached_pictures(tmp_path, 6), pictures)
    other = cached_pictures(tmp_path, 6, world=FIRST)
    assert not np.array_equal(other, pictures)
    assert np.array_equal(cached_pictures(tmp_path, 6, processes=2, world=FIRST), other)
    assert len(list(tmp_path.glob("*.u8"))) == 2


@pytest.mark.parametrize("world", [FIRST, SECOND])
def test_training_shows_nothing_held_back(world):
    held = HELD_BACK["validation"] | HELD_BACK["test"]
    for index in range(60):
        assert not scene_at(index, world=world)[0].combinations & held


def test_views(pictures):
    kinds = set()
    for index in range(60):
        view = view_at(index, pictures)
        assert view.picture.shape == (128, 128, 3)
        assert view.picture.dtype == np.uint8
        assert view.mask.shape == (128, 128)
        assert view.mask.mean() >= 0.04
        assert len(view.captions) == CAPTIONS
        assert all(view.captions)
        kinds.add((bool(view.mask.all()), np.array_equal(view.picture, pictures[index % 6])))
    assert kinds >= {(True, True), (False, True), (False, False)}
    again = view_at(3, pictures)
    assert np.array_equal(again.mask, view_at(3, pictures).mask)


def test_closeups_show_one_item_that_is_masked():
    for index in range(40):
        view = closeup_at(index)
        assert view.picture.shape == (CLOSEUP_SIDE, CLOSEUP_SIDE, 3)
        assert view.picture.dtype == np.uint8
        assert view.mask.shape == (CLOSEUP_SIDE, CLOSEUP_SIDE)
        assert len(view.captions) == CAPTIONS
        scene = draw_closeups(index // GROUP, SEED)[0][index % GROUP].scene
        item = np.round([scene.items[0].x, scene.items[0].y]).astype(int) - 32
        assert view.mask[item[1], item[0]]
    assert closeup_at(3).captions == closeup_at(3).captions
    assert not np.array_equal(closeup_at(0).picture, closeup_at(1).picture)


def test_damage_keeps_shape_and_range(pictures):
    rng = np.random.default_rng(0)
    picture = pictures[0][:64, :64].astype(np.float32) / 255
    copy = picture.copy()
    for _ in range(40):
        damaged = damage(picture, rng)
        assert damaged.shape == picture.shape
        assert damaged.dtype == np.float32
        assert damaged.min() >= 0
        assert damaged.max() <= 1
    assert np.array_equal(picture, copy)


# Masked latents


def test_crops_that_are_turned_round_can_be_damaged(pictures):
    profile = replace(autoencoder.Profile(), batch=4, damaged=1.0)
    for step in range(8):
        batch, _ = autoencoder.draw_batch(pictures, profile, step)
        assert batch.isfinite().all()


def test_masked_picture_is_grey_where_masked():
    pictures = torch.full((1, 3, 16, 16), 0.8)
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[..., :8] = True
    masked = masked_input(pictures, mask)
    assert (masked[..., :8] == 0).all()
    assert (masked[..., 8:] == pictures[..., 8:]).all()


def test_masks_shrink_as_diffusers_and_as_comfyui_do():
    mask = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    mask[..., 0, 0] = True  # the pixel that "nearest" looks at, but far from half of the cell
    small = shrink_masks(mask, torch.tensor([False, True]))
    assert small.shape == (2, 2, 2)
    assert small[0].tolist() == [[True, False], [False, False]]
    assert not small[1].any()


def test_latents_are_those_of_the_views(latents, untrained, pictures):
    view = view_at(4, pictures)
    picture = autoencoder.to_network(view.picture[None])
    masked = masked_input(picture, torch.from_numpy(view.mask)[None, None])
    with torch.no_grad():
        for found, wanted in ((latents.clean[4], picture), (latents.masked[4], masked)):
            mode = untrained.encode(wanted).latent_dist.mode() * networks.SCALING
            error = torch.from_numpy(np.array(found)).float() - mode[0]
            assert error.abs().mean() < 0.02 * mode.abs().mean()
    assert np.array_equal(latents.tokens[4].astype(int), tokenize(view.captions).numpy())


def test_closeups_are_a_quarter_of_a_scene(closeups, untrained):
    assert closeups.clean.shape == (8, 4, 8, 8)
    picture = autoencoder.to_network(closeup_at(5).picture[None])
    with torch.no_grad():
        mode = untrained.encode(picture).latent_dist.mode() * networks.SCALING
    error = torch.from_numpy(np.array(closeups.clean[5])).float() - mode[0]
    assert error.abs().mean() < 0.02 * mode.abs().mean()


def test_latents_are_encoded_anew_for_another_encoder(tmp_path, pictures, untrained):
    first = cached_latents(tmp_path, untrained, pictures, 2)
    kept = first.clean.copy()
    torch.manual_seed(1)
    other = cached_latents(tmp_path, networks.build("vae").eval(), pictures, 2)
    assert not np.allclose(other.clean, kept, atol=1e-3)


# The trainings


def test_fitted_latents_have_unit_variance_and_change_no_picture(untrained, pictures, tmp_path):
    vae = networks.load(networks.save(untrained, tmp_path / "vae.safetensors", "vae"), "vae")
    before = autoencoder.reconstruct(vae, pictures)
    autoencoder.fit_latents(vae, pictures)
    with torch.no_grad():
        fitted = vae.encode(autoencoder.to_network(pictures)).latent_dist.mode() * networks.SCALING
    assert torch.allclose(fitted.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-3)
    assert torch.allclose(fitted.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-2)
    assert np.allclose(autoencoder.reconstruct(vae, pictures), before, atol=1e-3)


def test_autoencoder_resumed_is_as_uninterrupted(tmp_path, pictures, alike):
    whole = autoencoder.train(tmp_path / "whole", SMALL, pictures, pictures)
    assert autoencoder.train(tmp_path / "parts", SMALL, pictures, pictures, stop_at=2) is None
    parts = autoencoder.train(tmp_path / "parts", SMALL, pictures, pictures, resume=True)
    assert whole is not None
    assert parts is not None
    assert_same_weights(whole, parts)
    assert alike(figures(tmp_path / "whole" / "vae.log.jsonl"), figures(tmp_path / "parts" / "vae.log.jsonl"))


def test_encoder_is_final_before_the_decoder(tmp_path, pictures):
    assert autoencoder.train(tmp_path, SMALL, pictures, pictures, stop_at=SMALL.whole_from) is None
    assert not (tmp_path / "vae.safetensors").exists()
    profile = replace(SMALL, steps=SMALL.steps + 1)
    assert autoencoder.train(tmp_path, profile, pictures, pictures, resume=True, stop_at=SMALL.steps) is None
    first = load_file(tmp_path / "vae.safetensors")
    autoencoder.train(tmp_path, profile, pictures, pictures, resume=True)
    last = load_file(tmp_path / "vae.safetensors")
    same = {name for name, value in first.items() if torch.equal(value, last[name])}
    assert same >= {name for name in first if name.startswith(("encoder.", "quant_conv."))}
    assert "decoder.conv_out.weight" not in same


def test_autoencoder_learns(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (4, 1, 1, 3), dtype=np.uint8)
    flat = np.ascontiguousarray(np.broadcast_to(colours, (4, 128, 128, 3)))
    profile = replace(SMALL, steps=60, focus_from=60, whole_from=60, damaged=0.0, warmup=60, log_every=10)
    autoencoder.train(tmp_path, replace(profile, validate_every=100), flat, flat)
    losses = [entry["squared"] for entry in figures(tmp_path / "vae.log.jsonl") if "squared" in entry]
    assert losses[-1] < 0.8 * losses[0]


def test_inpainting_resumed_is_as_uninterrupted(tmp_path, latents, closeups, clip, alike):
    whole = inpainting.train(tmp_path / "whole", SMALL_UNET, latents, closeups, latents, clip)
    assert inpainting.train(tmp_path / "parts", SMALL_UNET, latents, closeups, latents, clip, stop_at=3) is None
    parts = inpainting.train(tmp_path / "parts", SMALL_UNET, latents, closeups, latents, clip, resume=True)
    assert whole is not None
    assert parts is not None
    assert_same_weights(whole, parts)
    assert alike(figures(tmp_path / "whole" / "unet.log.jsonl"), figures(tmp_path / "parts" / "unet.log.jsonl"))
    with safe_open(whole, "pt") as handle:
        assert handle.metadata()["network"] == "unet"


def test_inpainting_learns(tmp_path, latents, closeups, clip):
    profile = replace(SMALL_UNET, steps=24, batch=4, rate=2e-3, warmup=4, validate_every=100, log_every=6)
    inpainting.train(tmp_path, profile, latents, closeups, latents, clip)
    losses = [entry["loss_of_scenes"] for entry in figures(tmp_path / "unet.log.jsonl") if "loss_of_scenes" in entry]
    assert losses[-1] < 0.8 * losses[0]


def test_closeups_come_first_and_then_again(tmp_path, latents, closeups, clip):
    inpainting.train(tmp_path, replace(SMALL_UNET, steps=6, first=2, again=4), latents, closeups, latents, clip)
    steps = [entry for entry in figures(tmp_path / "unet.log.jsonl") if "loss" in entry]
    assert ["loss_of_closeups" in entry for entry in steps] == [True, True, False, False, True, False]
    assert ["loss_of_scenes" in entry for entry in steps] == [False, False, True, True, False, True]


def test_batch_is_noised_as_stable_diffusion_does(latents):
    from diffusers import DDPMScheduler

    rng = np.random.default_rng(5)
    batch = inpainting.draw_batch(latents, replace(SMALL_UNET, outside=1.0), tokenize([""])[0], rng, 64)
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    levels = inpainting.noise_levels()
    assert torch.allclose(levels, scheduler.alphas_cumprod, rtol=1e-4)
    left = levels[batch.times][:, None, None, None]
    clean = (batch.noisy - (1 - left).sqrt() * batch.unit) / left.sqrt()
    known = torch.from_numpy(np.array(latents.clean)).float()
    distance = (clean[:, None] - known[None]).abs().amax(dim=(2, 3, 4)).amin(dim=1)
    assert (distance < 1e-3 * (1 + 1 / left[:, 0, 0, 0].sqrt())).all()
    assert batch.times.min() < 16
    assert batch.times.max() >= 984
    assert set(batch.mask.unique().tolist()) <= {0.0, 1.0}
    assert (batch.weight <= SMALL_UNET.strongest).all()
    assert batch.weight.flatten(1).amax(dim=1)[batch.times.argmin()] < 0.1


def figures(path):
    """The lines of a journal without dates, paces and settings."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        {key: value for key, value in entry.items() if key not in ("steps_per_s", "core_s")}
        for entry in entries
        if "date" not in entry
    ]


def assert_same_weights(one, other):
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=1e-3, msg=name)


def test_errors_of_means_cost_more_than_those_that_cancel():
    unit, weight = torch.zeros(1, 4, 16, 16), torch.ones(1, 1, 16, 16)
    lifted = torch.full_like(unit, 0.1)
    cancelling = lifted * (1 - 2 * (torch.arange(16) % 2))

    def loss(error: torch.Tensor, coarse: float) -> float:
        return float(inpainting.loss_of(lambda *_, **__: (error,), unit, None, None, unit, weight, coarse))

    assert loss(lifted, 0.0) == pytest.approx(loss(cancelling, 0.0))
    assert loss(cancelling, 0.25) == pytest.approx(0.01)
    assert loss(lifted, 0.25) == pytest.approx(0.01 * (1 + 0.25 * 16))


# On from the models of another world


def test_the_autoencoder_goes_on_from_weights(tmp_path, pictures, untrained):
    start = networks.save(untrained, tmp_path / "start.safetensors", "vae")
    still = replace(SMALL, rate=0.0, steps=1, focus_from=0, whole_from=1)
    made = autoencoder.train(tmp_path / "on", still, pictures, pictures, start=start)
    assert made is not None
    again, before = (autoencoder.reconstruct(networks.load(file, "vae"), pictures) for file in (made, start))
    assert np.abs(again - before).mean() < 2e-3


def test_the_painter_learns_with_a_text_tower_of_its_own(tmp_path, latents, closeups, clip):
    torch.manual_seed(0)
    start = networks.save(networks.build("unet"), tmp_path / "start.safetensors", "unet")
    profile = replace(SMALL_UNET, texts=1.0, world="second")
    given = (latents, closeups, latents)
    before = {name: value.clone() for name, value in clip.state_dict().items()}
    whole = inpainting.train(tmp_path / "whole", profile, *given, copy.deepcopy(clip), start=start)
    inpainting.train(tmp_path / "parts", profile, *given, copy.deepcopy(clip), start=start, stop_at=3)
    parts = inpainting.train(tmp_path / "parts", profile, *given, copy.deepcopy(clip), start=start, resume=True)
    assert_same_weights(whole, parts)
    texts = [load_file(tmp_path / name / TEXT_FILE) for name in ("whole", "parts")]
    assert texts[0].keys() < before.keys()
    assert not any(name.startswith(("visual.", "token_embedding", "text_projection")) for name in texts[0])
    for name, value in texts[0].items():
        torch.testing.assert_close(value, texts[1][name], rtol=0, atol=1e-3)
    assert any((value.float() - before[name]).abs().max() > 1e-4 for name, value in texts[0].items())
    # A painter goes on with its own text half, not with CLIP's.
    still = replace(profile, rate=0.0, steps=1)
    inpainting.train(tmp_path / "on", still, *given, copy.deepcopy(clip), start=whole)
    again = load_file(tmp_path / "on" / TEXT_FILE)
    assert again.keys() == texts[0].keys()
    for name, value in again.items():
        torch.testing.assert_close(value, texts[0][name])


def test_a_lean_painter_keeps_what_it_has_of_another(tmp_path, latents, closeups, clip):
    torch.manual_seed(0)
    start = networks.save(networks.build("unet"), tmp_path / "start.safetensors", "unet")
    profile = replace(SMALL_UNET, rate=0.0, steps=1, lean=True)
    made = load_file(inpainting.train(tmp_path / "lean", profile, latents, closeups, latents, clip, start=start))
    kept = load_file(start)
    assert made.keys() < kept.keys()
    assert {name.split(".attentions")[0] for name in kept.keys() - made.keys()} == {"down_blocks.0", "up_blocks.1"}
    torch.testing.assert_close(made["conv_in.weight"], kept["conv_in.weight"])


def test_what_a_killed_compiler_left_is_dropped(tmp_path, monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    folder = tmp_path / "compiled"

    def killed():
        with loop.compiled_in(folder):
            assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder)
            (folder / "half.so").write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    with loop.compiled_in(folder):
        assert not (folder / "half.so").exists()
        (folder / "whole.so").write_text("whole")
    with loop.compiled_in(folder):
        assert (folder / "whole.so").exists()


def test_what_is_no_number_ends_a_training(tmp_path):
    """Weights that are lost are noticed at once, and never kept."""
    kept = []

    def one_step(step):
        return {"loss": torch.tensor(float("nan") if step == 2 else 1.0)}

    with pytest.raises(FloatingPointError, match="step 3: loss"):
        loop.run_steps(
            0, 5, one_step, journal=loop.Journal(tmp_path / "log.jsonl"), checkpoint=kept.append, checkpoint_minutes=0
        )
    assert kept == [1, 2]
