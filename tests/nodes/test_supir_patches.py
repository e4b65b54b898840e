"""Guides of a whole picture, cut to parts of it."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch


@pytest.fixture(scope="module")
def guides(pack):
    return pack("nodes.supir_patches")


class Patch:
    """As the host's: methods of one object that holds the guiding latent."""

    def __init__(self, latent):
        self.hint_latent = latent

    def middle(self):
        return self.hint_latent

    def upsample(self):
        return self.hint_latent + 1.0


def towards(reference):
    def SUPIRs_function(arguments):  # noqa: N802 - what it is recognised by
        return arguments["denoised"] - reference

    return SUPIRs_function


def other(arguments):
    return arguments["denoised"] * 2.0


class Model(SimpleNamespace):
    def clone(self):
        return Model(model_options=copy.deepcopy(self.model_options))


def guided(height, width, batch=1):
    latent = torch.arange(float(batch * height * width)).reshape(batch, 1, height, width)
    patch = Patch(latent)
    patches = {"a": [patch.middle, print], "b": [(str, patch.upsample)]}
    functions = [other, towards(latent)]
    return latent, Model(
        model_options={"transformer_options": {"patches": patches}, "sampler_post_cfg_function": functions}
    )


def test_a_model_without_guides_stays_the_very_same(guides):
    part = guides.Part(0, 0, 2, 2, whole=(4, 4))
    for options in ({}, {"transformer_options": {}}, {"transformer_options": {"patches": {"a": [print, (str, len)]}}}):
        model = Model(model_options=options)
        assert guides.fitted(model, part) is model


def test_a_part_is_guided_by_its_own_place(guides):
    latent, model = guided(4, 6)
    before = copy.deepcopy(latent)
    fitted = guides.fitted(model, guides.Part(1, 2, 3, 6, whole=(4, 6)))
    patches = fitted.model_options["transformer_options"]["patches"]
    expected = latent[..., 1:3, 2:6]
    assert torch.equal(patches["a"][0](), expected)
    assert patches["a"][1] is print
    replaced, function = patches["b"][0]
    assert replaced is str
    assert torch.equal(function(), expected + 1.0)
    assert function.__self__ is patches["a"][0].__self__, "one object still, whose state the methods share"
    denoised = torch.rand(1, 1, 2, 4)
    first, second = fitted.model_options["sampler_post_cfg_function"]
    assert first is other
    assert torch.equal(second({"denoised": denoised}), denoised - expected)
    # The model that was given is as it was.
    assert torch.equal(model.model_options["transformer_options"]["patches"]["a"][0](), before)


def test_the_padding_of_a_picture_repeats_the_last_cell(guides):
    """The guide of 3 × 5 cells in a picture of 4 × 6: what draws results towards it leaves the padding alone."""
    latent, model = guided(3, 5)
    fitted = guides.fitted(model, guides.Part(0, 0, 4, 6, whole=(4, 6)))
    cut = fitted.model_options["transformer_options"]["patches"]["a"][0]()
    assert torch.equal(cut[..., :3, :5], latent)
    assert torch.equal(cut[..., 3, :5], latent[..., 2, :])
    assert torch.equal(cut[..., :, 5], cut[..., :, 4])
    denoised = torch.rand(1, 1, 4, 6)
    drawn = fitted.model_options["sampler_post_cfg_function"][1]({"denoised": denoised})
    assert torch.equal(drawn[..., :3, :5], denoised[..., :3, :5] - latent)
    assert torch.equal(drawn[..., 3, :], denoised[..., 3, :])


@pytest.mark.parametrize(
    ("size", "batch", "words"),
    [((4, 8), 1, "about 64×32"), ((5, 6), 1, "48×40"), ((2, 6), 1, "48×16"), ((4, 6), 2, "Rebatch Images")],
)
def test_another_picture_or_several_are_refused_in_words(guides, input_error, size, batch, words):
    _, model = guided(*size, batch=batch)
    with pytest.raises(input_error, match=words):
        guides.fitted(model, guides.Part(0, 0, 4, 6, whole=(4, 6)))
