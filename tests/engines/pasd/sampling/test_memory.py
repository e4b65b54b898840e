"""What happens when memory runs out: smaller tiles, then a clear message. The shortage is raised artificially."""

from __future__ import annotations

import copy

import pytest
import torch

from grefine_core.engines.pasd import sampling
from grefine_core.engines.pasd.model import PasdSettings
from grefine_core.engines.pasd.sampling import Hooks, smaller_tiles
from grefine_core.errors import GRefineError
from grefine_core.memory import is_out_of_memory

OPTIONS = {"prompt": "a red balloon", "strength": 0.4, "steps": 2, "seed": 7}


@pytest.fixture
def picture():
    return torch.rand(1, 128, 136, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def _small_tiles(monkeypatch):
    """Tiles of 8 latent cells are allowed: real ones take tiny networks a while, too."""
    monkeypatch.setattr(sampling, "SMALLEST_TILE", 8)


@pytest.fixture
def limit(model, monkeypatch):
    """Let the networks fail above so many latent cells at once; returns the sizes that were tried."""

    def set_limit(cells, message=None, after=0):
        tried = []
        predict = model.predict

        def limited(latents, *arguments):
            tried.append(tuple(latents.shape[-2:]))
            if latents.shape[-2] * latents.shape[-1] > cells and len(tried) > after:
                raise torch.cuda.OutOfMemoryError("artificial") if message is None else RuntimeError(message)
            return predict(latents, *arguments)

        monkeypatch.setattr(model, "predict", limited)
        return tried

    return set_limit


@pytest.mark.usefixtures("_small_tiles")
def test_smaller_tiles(restorer_for, limit, picture, caplog):
    expected = restorer_for(tile_size=8, tile_overlap=4).restore(picture, **OPTIONS)
    freed = []
    tried = limit(8 * 8)
    counts = []
    out = restorer_for(Hooks(free_memory=lambda: freed.append(True))).restore(
        picture, **OPTIONS, progress=lambda done, total, preview: counts.append(done)
    )
    # As if these tiles had been chosen: nothing is left of the first try.
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-3)
    assert tried[:2] == [(16, 17), (8, 8)]
    assert freed == [True]
    assert counts == [1, 2]
    assert "tiles of 8" in caplog.text


@pytest.mark.usefixtures("_small_tiles")
def test_a_shortage_in_a_later_step(restorer_for, limit, picture):
    expected = restorer_for(tile_size=8, tile_overlap=4).restore(picture, **OPTIONS)
    tried = limit(8 * 8, after=1)
    torch.testing.assert_close(restorer_for().restore(picture, **OPTIONS), expected, rtol=0, atol=1e-3)
    assert tried[:3] == [(16, 17), (16, 17), (8, 8)]


def test_in_the_end_a_clear_message(restorer_for, limit, picture):
    limit(0)
    with pytest.raises(GRefineError, match=r"Out of memory while restoring 136×128 pixels.*float16") as caught:
        restorer_for().restore(picture, **OPTIONS)
    assert isinstance(caught.value.__cause__, torch.cuda.OutOfMemoryError)


def test_other_errors_are_left_alone(restorer_for, limit, picture):
    tried = limit(0, "something else")
    with pytest.raises(RuntimeError, match="something else"):
        restorer_for().restore(picture, **OPTIONS)
    assert len(tried) == 1


def test_which_tiles_come_next():
    settings = PasdSettings(tile_size=320, tile_overlap=80)
    assert (smaller_tiles(settings, 96, 96).tile_size, smaller_tiles(settings, 96, 96).tile_overlap) == (48, 24)
    assert smaller_tiles(settings, 512, 400).tile_size == 160
    assert smaller_tiles(settings, 100, 4000).tile_size == 50  # tiles are no larger than the shorter side
    assert smaller_tiles(PasdSettings(tile_size=64), 128, 128).tile_size == 32
    assert smaller_tiles(PasdSettings(tile_size=32), 128, 128) is None
    assert smaller_tiles(settings, 63, 63) is None


def test_telling_a_shortage():
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("…"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: …)"))
    assert is_out_of_memory(RuntimeError("[enforce fail at …] DefaultCPUAllocator: can't allocate memory: you tried …"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))


def test_the_vae_is_tiled_when_it_does_not_fit(restorer_for, model, monkeypatch):
    picture = torch.rand(1, 128, 160, 3)
    whole = restorer_for().restore(picture, **OPTIONS)
    torch.testing.assert_close(whole, restorer_for().restore(picture, **OPTIONS), rtol=0, atol=1e-3)
    tiled = restorer_for(vae_tile_above=64).restore(picture, **OPTIONS)
    assert not torch.equal(whole, tiled)
    assert not model.vae.use_tiling  # the model is left as it was

    for name in ("encoder", "decoder"):
        network = getattr(model.vae, name)
        monkeypatch.setattr(network, "forward", _limited(network.forward, 8 if name == "decoder" else 64))
    freed = []
    out = restorer_for(Hooks(free_memory=lambda: freed.append(True))).restore(picture, **OPTIONS)
    torch.testing.assert_close(out, tiled, rtol=0, atol=1e-3)
    assert freed == [True, True]
    monkeypatch.setattr(model.vae.decoder, "forward", _limited(model.vae.decoder.forward, 0))
    with pytest.raises(GRefineError, match="Out of memory"):
        restorer_for().restore(picture, **OPTIONS)
    assert not model.vae.use_tiling


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_vae_that_overflows_works_in_float32(restorer_for, model, monkeypatch, picture, caplog, part):
    """As some do in half precision: what comes out is what the same weights give in float32."""
    monkeypatch.setattr(model, "vae", copy.deepcopy(model.vae).to(torch.bfloat16))
    rounded = copy.deepcopy(model.vae).to(torch.float32)
    overflowing = type(getattr(model.vae, part))
    forward = overflowing.forward

    def overflow(self, sample, *arguments, **options):
        found = forward(self, sample, *arguments, **options)
        return found if found.dtype == torch.float32 else found * float("nan")

    with monkeypatch.context() as patched:
        patched.setattr(overflowing, "forward", overflow)
        with torch.inference_mode():
            out = restorer_for().restore(picture, **OPTIONS)
    assert caplog.text.count("overflowed in torch.bfloat16; again in float32") == 1, "for the rest of the picture"
    assert model.vae.dtype == torch.bfloat16, "the model is left as it was"
    assert out.isfinite().all()
    if part == "encoder":
        monkeypatch.setattr(model, "vae", rounded)
        torch.testing.assert_close(out, restorer_for().restore(picture, **OPTIONS), rtol=0, atol=1e-3)


def _limited(forward, side):
    def limited(sample, *arguments, **options):
        if max(sample.shape[-2:]) > side:
            raise torch.cuda.OutOfMemoryError("artificial")
        return forward(sample, *arguments, **options)

    return limited
