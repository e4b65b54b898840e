"""The loop: exactly the steps asked for, the mask, seeds, progress, stopping."""

from __future__ import annotations

import pytest
import torch

from grefine_core.engines import load_inpaint_pipeline
from grefine_core.errors import Cancelled


@pytest.fixture
def picture():
    return torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def mask():
    mask = torch.zeros(1, 64, 64)
    mask[:, 16:48, 16:48] = 1
    return mask


@pytest.fixture
def calls(engine, monkeypatch):
    """Inputs of every forward call of the UNet."""
    seen = []
    forward = engine.pipe.unet.forward

    def counted(sample, timestep, **context):
        seen.append((sample, float(timestep), context))
        return forward(sample, timestep, **context)

    monkeypatch.setattr(engine.pipe.unet, "forward", counted)
    return seen


def options(**changes):
    return {"prompt": "a red balloon", "strength": 0.6, "steps": 3, "seed": 7, **changes}


@pytest.mark.parametrize("strength", [0.05, 0.1, 0.33, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 10, 30])
def test_steps_are_executed_calls(engine, calls, picture, mask, strength, steps):
    engine.inpaint(picture[:, :16, :16], mask[:, 16:32, 16:32], **options(strength=strength, steps=steps))
    assert len(calls) == steps
    calls.clear()
    engine.restorer().restore(picture[:, :16, :16], **options(strength=strength, steps=steps))
    assert len(calls) == steps


def test_strength_sets_where_it_starts(engine, calls, picture, mask):
    engine.inpaint(picture, mask, **options(strength=1.0, steps=1))
    engine.inpaint(picture, mask, **options(strength=0.3, steps=1))
    assert [timestep for _, timestep, _ in calls] == pytest.approx([999.0, 299.7], abs=0.01)


def test_full_strength_starts_from_pure_noise(engine, calls, picture, mask):
    other = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(99))
    for strength in (1.0, 0.9):
        engine.inpaint(picture, mask, **options(strength=strength, steps=1))
        engine.inpaint(other, mask, **options(strength=strength, steps=1))
    first = [sample[:, :4] for sample, _, _ in calls]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[2], first[3])


def test_inpainting_channels(engine, calls, picture, mask):
    engine.inpaint(picture, mask, **options(steps=1))
    sample, _, context = calls[0]
    assert sample.shape == (2, 9, 8, 8)  # guidance: without and with the prompt in one call
    expected = torch.zeros(8, 8)
    expected[2:6, 2:6] = 1
    assert torch.equal(sample[0, 4], expected)
    blanked = picture.permute(0, 3, 1, 2) * 2 - 1
    blanked = blanked * (1 - mask.unsqueeze(1))
    latent = engine.pipe.vae.encode(blanked).latent_dist.mode() * engine.pipe.vae.config.scaling_factor
    torch.testing.assert_close(sample[0, 5:], latent[0])
    assert context["added_cond_kwargs"]["time_ids"].tolist() == [[64, 64, 0, 0, 64, 64]] * 2


def test_a_restorer_masks_everything(engine, calls, picture):
    engine.restorer().restore(picture, **options(steps=1))
    assert (calls[0][0][:, 4] == 1).all()


def test_without_guidance_half_the_work(engine, calls, picture, mask):
    engine.sampler.guidance_scale = 1.0
    engine.inpaint(picture, mask, **options(steps=1))
    assert calls[0][0].shape[0] == 1


def test_an_ordinary_model_keeps_what_is_not_masked(ordinary_folder, picture, mask):
    engine = load_inpaint_pipeline(ordinary_folder, device="cpu")
    seen = []
    forward = engine.pipe.unet.forward

    def record(sample, timestep, **context):
        seen.append(sample)
        return forward(sample, timestep, **context)

    engine.pipe.unet.forward = record
    out = engine.inpaint(picture, mask, **options(strength=0.5, steps=4))
    assert len(seen) == 4
    assert seen[0].shape[1] == 4
    nothing = engine.inpaint(picture, torch.zeros_like(mask), **options(strength=0.5, steps=4))
    # With nothing masked the latent comes back as it was: only the VAE's round trip remains.
    pixels = picture.permute(0, 3, 1, 2) * 2 - 1
    vae = engine.pipe.vae
    trip = vae.decode(vae.encode(pixels).latent_dist.mode(), return_dict=False)[0] / 2 + 0.5
    torch.testing.assert_close(nothing, trip.clamp(0, 1).permute(0, 2, 3, 1).detach(), atol=1e-4, rtol=0)
    assert not torch.equal(out, nothing)


def test_soft_masks(ordinary_folder, engine, picture, mask):
    for each in (engine, load_inpaint_pipeline(ordinary_folder, device="cpu")):
        assert torch.isfinite(each.inpaint(picture, mask * 0.7, **options())).all()


@pytest.mark.parametrize("method", ["inpaint", "restore"])
def test_same_seed_same_bytes(engine, picture, mask, method):
    def run(**changes):
        if method == "inpaint":
            return engine.inpaint(picture, mask, **options(**changes))
        return engine.restorer().restore(picture, **options(**changes))

    assert torch.equal(run(), run())
    assert not torch.equal(run(), run(seed=8))
    assert not torch.equal(run(), run(strength=0.4))
    assert not torch.equal(run(), run(prompt="a blue castle"))
    assert not torch.equal(run(), run(prompt="a (red balloon:1.5)"))
    torch.manual_seed(0)  # nothing depends on the global generator
    first = run()
    torch.manual_seed(1)
    assert torch.equal(first, run())


@pytest.mark.parametrize("size", [(8, 8), (40, 104), (72, 24)])
def test_sizes(engine, size):
    out = engine.inpaint(torch.rand(1, *size, 3), torch.ones(1, *size), **options(steps=1))
    assert out.shape == (1, *size, 3)
    assert out.is_contiguous()


def test_inputs_are_not_written_to(engine, picture, mask):
    copies = picture.clone(), mask.clone()
    engine.inpaint(picture, mask, **options())
    assert torch.equal(picture, copies[0])
    assert torch.equal(mask, copies[1])


def test_inside_inference_mode(engine, picture, mask):
    with torch.inference_mode():
        out = engine.inpaint(picture.clone(), mask.clone(), **options())
    torch.testing.assert_close(out, engine.inpaint(picture, mask, **options()), rtol=0, atol=1e-3)


def test_progress_every_step(engine, picture, mask):
    seen = []
    engine.inpaint(picture, mask, **options(steps=5), progress=lambda done, total, preview: seen.append((done, total)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_stopping_takes_effect_within_a_step(engine, calls, picture, mask):
    def stop(done, total, preview):
        if done == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        engine.inpaint(picture, mask, **options(steps=9), progress=stop)
    assert len(calls) == 2
    assert engine.inpaint(picture, mask, **options()).shape == picture.shape  # still usable


def test_velocity_prediction(engine, picture, mask):
    before = engine.inpaint(picture, mask, **options())
    engine.pipe.scheduler.register_to_config(prediction_type="v_prediction")
    after = engine.inpaint(picture, mask, **options())
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)


def test_clean_latents_of_all_kinds_of_prediction(engine):
    """For a latent made of a known clean one, every kind of perfect prediction leads back to it."""
    clean, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    sigma = torch.tensor(2.5)
    noisy = clean + noise * sigma
    alpha = 1 / (sigma**2 + 1).sqrt()
    answers = {"epsilon": noise, "sample": clean, "v_prediction": alpha * noise - alpha * sigma * clean}
    for kind, answer in answers.items():
        engine.pipe.scheduler.register_to_config(prediction_type=kind)
        torch.testing.assert_close(engine.sampler._clean(noisy, answer, sigma), clean, atol=1e-5, rtol=1e-5)
