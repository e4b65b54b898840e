"""PS of the formula "bounded": 1 exactly where no factor is below its bound; the map's statistic is one of them."""

from __future__ import annotations

import pytest
import torch

from grefine_core import QualityModel, perceptual_quality
from grefine_core.clip.embeddings import FACTORS, PerceptualBounds, load_perceptual_bounds, save_embedding_set
from grefine_core.errors import InputError
from grefine_core.perceptual import LOWEST, lowest

from ..tiny_models.clip import build_embeddings


def bounds(score: float, map_: float | None = None) -> PerceptualBounds:
    return PerceptualBounds(dict.fromkeys(FACTORS, score), dict.fromkeys(FACTORS, 0.5), map_)


def with_bounds(small_clip, found: PerceptualBounds) -> QualityModel:
    return QualityModel(small_clip, build_embeddings(), perceptual_bounds=found)


def test_one_is_what_nothing_falls_short_of(small_clip, pictures):
    lenient = perceptual_quality(with_bounds(small_clip, bounds(1e-3)), pictures)
    assert (lenient.score == 1.0).all()
    assert lenient.unmatched == ((),) * len(pictures)
    strict = perceptual_quality(with_bounds(small_clip, bounds(0.999)), pictures)
    for index, names in enumerate(strict.unmatched):
        below = [name for name in FACTORS if float(strict.factors[name][index]) < 0.999]
        assert sorted(names) == sorted(below)
        assert [float(strict.ratios[name][index]) for name in names] == sorted(
            float(strict.ratios[name][index]) for name in below
        )
        assert (float(strict.score[index]) < 1.0) == bool(below)
    # What all pass ties, and is told apart by what is not clamped.
    assert len(set(lenient.log_ratio.tolist())) == len(pictures)
    gap = strict.log_ratio - lenient.log_ratio
    torch.testing.assert_close(gap, gap[:1].expand_as(gap), rtol=0, atol=1e-4)


def test_the_map_takes_part_where_it_has_a_bound(small_clip, pictures):
    without = perceptual_quality(with_bounds(small_clip, bounds(0.6)), pictures)
    assert "map" not in without.ratios
    assert without.map_score is not None
    bound = float(without.map_score.max()) * 0.999 + 1e-6
    model = with_bounds(small_clip, bounds(0.6, bound))
    found = perceptual_quality(model, pictures)
    torch.testing.assert_close(found.ratios["map"], without.map_score / bound)
    torch.testing.assert_close(found.score, without.score * (without.map_score / bound).clamp(max=1.0))
    paper = perceptual_quality(model, pictures, "paper")
    torch.testing.assert_close(paper.score, without.score, rtol=0, atol=1e-6)
    assert "map" not in paper.ratios


def test_the_statistic_is_the_mean_of_the_worst_part():
    small = torch.linspace(0, 1, 101).flip(0)[None]
    assert float(lowest(small)) == pytest.approx(LOWEST / 2, abs=0.01)
    assert float(lowest(small, 1.0)) == pytest.approx(0.5)
    assert float(lowest(small, 1e-9)) == 0.0


def test_a_file_keeps_the_maps_bound(tmp_path):
    found = bounds(0.5, 0.25)
    save_embedding_set(build_embeddings(), tmp_path / "own.safetensors", {"perceptual_bounds": found.to_json()})
    assert load_perceptual_bounds(tmp_path / "own.safetensors") == found


@pytest.mark.parametrize("value", [0.0, 1.5, True, "0.5", float("nan")])
def test_a_wrong_bound_of_the_map_is_refused(value):
    with pytest.raises(InputError, match="map"):
        bounds(0.5, value)
