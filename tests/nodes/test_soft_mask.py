"""Differential diffusion: the weaker a place of the mask, the later it changes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch


@pytest.fixture(scope="module")
def soft_mask(pack):
    return pack("nodes.latents")


class Sampling:
    """Timesteps that are a thousandth of the noise level."""

    sigma_min = torch.tensor(0.03)

    def timestep(self, sigma):
        return sigma * 1000


def options(*sigmas):
    inner = SimpleNamespace(inner_model=SimpleNamespace(model_sampling=Sampling()))
    return {"model": inner, "sigmas": torch.tensor(sigmas)}


MASK = torch.tensor([0.0, 0.25, 0.5, 1.0])


@pytest.mark.parametrize(
    ("sigma", "changes"),
    [(10.0, [0, 0, 0, 1]), (6.0, [0, 0, 0, 1]), (4.9, [0, 0, 1, 1]), (2.0, [0, 1, 1, 1]), (0.03, [0, 1, 1, 1])],
)
def test_places_join_as_the_noise_falls(soft_mask, sigma, changes):
    mask = soft_mask.gradual_mask(torch.tensor([sigma]), MASK, options(10.0, 5.0, 0.0))
    assert mask.tolist() == changes
    assert mask.dtype == MASK.dtype


def test_a_schedule_of_one_noise_level_is_no_division_by_zero(soft_mask):
    assert soft_mask.gradual_mask(torch.tensor([0.01]), MASK, options(0.01, 0.0)).tolist() == [0, 1, 1, 1]


def test_what_is_not_masked_never_changes(soft_mask):
    for sigma in (10.0, 1.0, 0.03, 0.0):
        assert soft_mask.gradual_mask(torch.tensor([sigma]), MASK, options(10.0, 0.0))[0] == 0


def test_the_model_is_cloned_and_a_users_rule_is_kept(soft_mask):
    class Model:
        def __init__(self, rules):
            self.model_options = dict(rules)

        def clone(self):
            return Model(self.model_options)

        def set_model_denoise_mask_function(self, rule):
            self.model_options["denoise_mask_function"] = rule

    plain = Model({})
    assert soft_mask.with_soft_mask(plain).model_options["denoise_mask_function"] is soft_mask.gradual_mask
    assert plain.model_options == {}
    own = Model({"denoise_mask_function": print})
    assert soft_mask.with_soft_mask(own) is own
