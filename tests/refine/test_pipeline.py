"""The whole method by scores and bars, with doubles that are known and with the tiny quality model."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import torch

from grefine_core.alignment import PhraseQuality
from grefine_core.errors import Cancelled, InputError
from grefine_core.masks import binarize_map, merge_maps
from grefine_core.plan import plan_refinement
from grefine_core.prompt.emphasis import emphasize
from grefine_core.prompt.syntax import Phrase, Word
from grefine_core.refine import (
    CropOptions,
    EmphasisOptions,
    MaskOptions,
    PlanOptions,
    RefineOptions,
    picture_seed,
    second_stage_seed,
)
from grefine_core.refine import refine as refine_as_chosen
from grefine_core.refine.protocols import attempt_seed


def gated(**chosen):
    """Bars for both scores."""
    return PlanOptions(**{"mode": "gated", **chosen})


def by_scores(**chosen):
    """One mask of both maps, bars for both scores, and a guard that refuses what lowers a score."""
    return RefineOptions(**{"regions": None, "rule": "scores", "plan": gated(), **chosen})


def refine(*pictures, options=None, **chosen):
    """The method, by scores if nothing else is asked for."""
    return refine_as_chosen(*pictures, options=by_scores() if options is None else options, **chosen)


GUARDED = by_scores(crop=CropOptions(min_context=4, join=4), stage1_keep_color=False, stage2_keep_color=False)
FREE = replace(GUARDED, guard=False)


class Assessor:
    """Stands in for ``alignment.assess``: a dark square is a defect, everything else is fine.

    PS = 1 - share of dark pixels (times 5), AS = 1 with no dark pixel, else 0.5.
    """

    def __init__(self):
        self.pictures = 0
        self.prompts = []

    def __call__(self, quality, images, prompts):
        self.pictures += len(images)
        self.prompts.append(list(prompts))
        dark = (images.amax(dim=-1) < 0.1).float()
        share = dark.mean(dim=(1, 2))
        ps = (1 - 5 * share).clamp(0, 1)
        phrases = tuple(
            (self.phrase(prompt, float(s)),) if s > 0 else () for prompt, s in zip(prompts, share, strict=True)
        )
        return SimpleNamespace(
            perceptual=SimpleNamespace(score=ps, factors={"overall": ps}, defect_map=dark, quality_map=1 - dark),
            alignment=SimpleNamespace(score=torch.where(share > 0, 0.5, 1.0), defect_map=dark * 0.9, phrases=phrases),
        )

    @staticmethod
    def phrase(prompt, deficit):
        text = prompt.split()[-1]
        word = Word(text, prompt.index(text), "NN")
        phrase = Phrase(words=(word,), head=word, ancestor=None, is_style=False)
        return PhraseQuality(phrase, score=0.1, head_score=0.1, defect="noun", deficit=min(1.0, deficit))


@pytest.fixture
def assess():
    return Assessor()


@pytest.fixture
def defective(pictures):
    """A bright picture 101x70 with two dark squares."""
    image = pictures(1) * 0.5 + 0.4
    image[:, 10:30, 10:30] = 0.0
    image[:, 70:90, 40:60] = 0.0
    return image


@pytest.fixture
def clean(pictures):
    return pictures(1, seed=9) * 0.5 + 0.4


def forbidden():
    raise AssertionError("loaded for nothing")


def test_a_clean_picture_comes_back_itself(clean, assess):
    out = refine(clean, "a red balloon", None, forbidden, forbidden, assess=assess)
    assert out.image is clean
    (report,) = out.reports
    assert not report.changed
    assert not report.plan.runs
    assert report.emphasized_prompt == "a red balloon"
    assert report.area == 0
    assert report.before == report.after
    assert out.encodes == assess.pictures == 1


def test_defects_are_repainted_and_the_rest_is_not_touched(defective, assess, inpainter):
    # The double paints one colour over its whole crop: matched to the surroundings it would no longer be that colour.
    exact = by_scores(stage1_keep_color=False)
    out = refine(defective, "a red balloon", None, inpainter, None, assess=assess, options=exact, seed=11)
    (report,) = out.reports
    assert len(inpainter.calls) == 2
    assert report.changed
    assert [entry.accepted for entry in report.guard] == [True, True]
    assert report.after > report.before
    outside = report.maps["composite"] == 0
    assert torch.equal(out.image[0][outside], defective[0][outside])
    assert (out.image[0, 12:28, 12:28] == inpainter.color).all()
    assert (report.maps["denoise"][10:30, 10:30] == 1).all()
    assert inpainter.calls[0].prompt == report.emphasized_prompt == "a red (balloon:1.15)"
    assert inpainter.calls[0].seed == report.seed == 11
    assert inpainter.calls[0].strength == report.plan.stage1_strength
    assert inpainter.calls[0].steps == report.plan.stage1_steps == 10
    assert "no restorer" in report.notes[0]
    assert assess.pictures == out.encodes


def test_both_stages(defective, assess, inpainter, restorer):
    out = refine(defective, "a red balloon", None, inpainter, restorer, assess=assess, options=FREE, seed=11)
    (call,) = restorer.calls
    assert (call.prompt, call.strength, call.steps) == ("a red balloon", 0.2, 10)
    assert call.seed == second_stage_seed(11)
    first = refine(defective, "a red balloon", None, inpainter, None, assess=assess, options=FREE, seed=11)
    assert torch.equal(out.image, first.image * 0.5)
    assert out.reports[0].guard == ()
    assert out.reports[0].after != out.reports[0].before  # measured, though not guarded


def test_a_stage_that_harms_is_refused_and_the_other_kept(defective, assess, inpainter, restorer):
    restorer.restore = lambda image, **options: image * 0.05  # all dark
    out = refine(defective, "a red balloon", None, inpainter, restorer, assess=assess, options=GUARDED)
    alone = refine(defective, "a red balloon", None, inpainter, None, assess=assess, options=GUARDED)
    assert torch.equal(out.image, alone.image)
    assert [(entry.stage, entry.accepted) for entry in out.reports[0].guard] == [(1, True), (1, True), (2, False)]
    assert out.reports[0].after == alone.reports[0].after


def test_one_region_worse_one_better(defective, assess, inpainter):
    plain = inpainter.inpaint

    def second_goes_wrong(image, mask, **options):
        out = plain(image, mask, **options)
        if len(inpainter.calls) == 2:
            out[:] = 0.0  # darker than the defect with its soft edge
        return out

    inpainter.inpaint = second_goes_wrong
    options = replace(GUARDED, masks=MaskOptions(grow=0.1, feather=0.0))  # it spills over what was fine
    out = refine(defective, "a red balloon", None, inpainter, None, assess=assess, options=options)
    first, second = out.reports[0].guard
    assert (first.accepted, second.accepted) == (True, False)
    assert torch.equal(out.image[:, 60:], defective[:, 60:])
    assert (out.image[0, 12:28, 12:28] == inpainter.color).all()


def test_refused_everywhere_is_the_input_itself(defective, assess, inpainter, restorer):
    inpainter.color = torch.zeros(3)
    restorer.restore = lambda image, **options: image * 0.0
    options = replace(GUARDED, masks=MaskOptions(grow=0.1, feather=0.0))
    out = refine(defective, "a red balloon", None, inpainter, restorer, assess=assess, options=options)
    assert out.image is defective
    assert not out.reports[0].changed
    assert not any(entry.accepted for entry in out.reports[0].guard)


def test_two_stages_cannot_both_use_up_the_tolerance(defective, inpainter, restorer):
    """Each stage takes 0.04 off; 0.05 is allowed against the input."""
    fall = {"scores": iter([])}

    class Falling(Assessor):
        def __call__(self, quality, images, prompts):
            found = super().__call__(quality, images, prompts)
            score = [next(fall["scores"]) for _ in images]
            found.perceptual.score = torch.tensor(score, dtype=torch.float64)
            found.alignment.score = torch.full((len(images),), 0.5, dtype=torch.float64)
            return found

    # input; two regions alone; both together; stage 2
    fall["scores"] = iter([0.5, 0.5, 0.47, 0.46, 0.42])
    options = by_scores(tolerance=0.05)
    out = refine(defective, "a balloon", None, inpainter, restorer, assess=Falling(), options=options)
    (report,) = out.reports
    assert [(entry.stage, entry.accepted) for entry in report.guard] == [(1, True), (1, True), (2, False)]
    assert "against the input" in report.guard[-1].reason
    assert report.after == (0.46, 0.5)
    fall["scores"] = iter([0.5, 0.5, 0.47, 0.46])
    alone = refine(defective, "a balloon", None, inpainter, None, assess=Falling(), options=options)
    assert torch.equal(out.image, alone.image)


def test_three_pictures_one_of_them_clean(defective, clean, assess, inpainter, restorer):
    worse = defective.clone()
    worse[:, 30:60] = 0.0
    batch = torch.cat([defective, clean, worse])
    prompts = ["a red balloon", "a green hill", "a blue house"]
    out = refine(batch, prompts, None, inpainter, restorer, assess=assess, options=FREE, seed=5)
    assert torch.equal(out.image[1], batch[1])
    assert [report.changed for report in out.reports] == [True, False, True]
    assert [report.plan.runs for report in out.reports] == [True, False, True]
    assert {call.index for call in inpainter.calls} == {0, 2}
    assert [call.index for call in restorer.calls] == [0, 2]
    by_picture = {call.index: call for call in inpainter.calls}
    assert by_picture[0].prompt.startswith("a red (balloon:")
    assert by_picture[2].prompt.startswith("a blue (house:")
    assert by_picture[2].strength > by_picture[0].strength
    for index, report in enumerate(out.reports):
        assert report.seed == picture_seed(5, index)
        one, own = batch[index : index + 1], prompts[index]
        alone = refine(one, own, None, inpainter, restorer, assess=assess, options=FREE, seed=report.seed)
        torch.testing.assert_close(alone.image[0], out.image[index])
        assert alone.reports[0] == report


def test_loaders_are_called_when_there_is_work(defective, assess, inpainter, restorer):
    loaded = []
    out = refine(
        defective,
        "a balloon",
        None,
        lambda: loaded.append("inpainter") or inpainter,
        lambda: loaded.append("restorer") or restorer,
        assess=assess,
        options=FREE,
    )
    assert loaded == ["inpainter", "restorer"]
    assert out.reports[0].changed


def test_paper_mode_restores_even_a_clean_picture(clean, assess, restorer):
    options = by_scores(plan=gated(mode="paper"), guard=False)
    out = refine(clean, "a balloon", None, forbidden, restorer, assess=assess, options=options)
    assert len(restorer.calls) == 1
    assert out.reports[0].changed


class RegionAssessor(Assessor):
    """The same, lenient: a dark square lowers no score, it only shows in the worst region."""

    def __call__(self, quality, images, prompts):
        found = super().__call__(quality, images, prompts)
        dark = found.perceptual.defect_map
        found.perceptual.worst_region = 1 - 0.75 * dark.amax(dim=(1, 2))
        found.perceptual.score = 1 - 0.1 * dark.mean(dim=(1, 2))
        found.alignment.score = torch.ones(len(images))
        found.alignment.phrases = ((),) * len(images)
        return found


def test_a_hole_in_a_good_picture_is_repainted_if_the_worst_region_is_asked(defective, clean, inpainter):
    both, prompts = torch.cat([defective, clean]), ["a balloon", "a hill"]
    asked = by_scores(plan=gated(region_bar=0.5), stage1_keep_color=False)
    out = refine(both, prompts, None, inpainter, forbidden, assess=RegionAssessor(), options=asked)
    hole, fine = out.reports
    assert (hole.plan.run_stage1, hole.plan.run_stage2, hole.changed) == (True, False, True)
    assert "worst region 0.25 is below its bar of 0.50" in hole.plan.reason
    assert (out.image[0, 12:28, 12:28] == inpainter.color).all()
    assert not fine.plan.runs
    assert torch.equal(out.image[1], clean[0])
    assert (hole.worst_region, fine.worst_region) == (0.25, 1.0)

    out = refine(both, prompts, None, forbidden, forbidden, assess=RegionAssessor())
    assert out.image is both
    assert [report.worst_region for report in out.reports] == [0.25, 1.0]


def test_a_measure_without_a_worst_region_is_not_asked_for_it(clean, assess):
    asked = by_scores(plan=gated(region_bar=1.0))
    (report,) = refine(clean, "a balloon", None, forbidden, forbidden, assess=assess, options=asked).reports
    assert not report.plan.runs
    assert "was not measured" in report.plan.reason
    assert report.worst_region is None


def test_protected_pixels_are_never_crossed(defective, assess, inpainter):
    protect = torch.zeros(1, 101, 70)
    protect[:, :20] = 1
    out = refine(defective, "a balloon", None, inpainter, None, assess=assess, protect=protect)
    assert torch.equal(out.image[:, :20], defective[:, :20])
    assert out.reports[0].changed


def test_same_seed_same_bytes(defective, assess, noise_inpainter, restorer):
    def run(seed):
        return refine(
            defective, "a balloon", None, noise_inpainter, restorer, assess=assess, options=FREE, seed=seed
        ).image

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


class SecondTimeRestorer:
    """Blackens a picture at the first attempt and whitens it at those after it."""

    size_multiple, min_side = 8, 16

    def __init__(self):
        self.seeds = []

    def restore(self, image, *, seed, steps, progress=None, **options):
        self.seeds.append(seed)
        for step in range(steps if progress is not None else 0):
            progress(step + 1, steps, None)
        return torch.full_like(image, 0.0 if len(self.seeds) == 1 else 0.8)


def test_stage_2_is_tried_again_with_other_noise_and_every_attempt_told(defective, assess):
    restorer, seen = SecondTimeRestorer(), []
    options = replace(GUARDED, attempts=3)
    done = refine(
        defective, "a red balloon", None, None, restorer, assess=assess, options=options, seed=5,
        progress=lambda done, total, _: seen.append((done, total)),
    )  # fmt: skip
    (tried,) = done.attempts
    assert [(each.stage, each.number, each.accepted) for each in tried] == [(2, 1, False), (2, 2, True)]
    assert restorer.seeds == [attempt_seed(second_stage_seed(5), each) for each in (1, 2)]
    assert done.image.min() > 0.7
    (entry,) = done.reports[0].guard
    assert (entry.stage, entry.attempt, entry.accepted) == (2, 2, True)
    steps = done.reports[0].plan.stage2_steps
    assert seen[-1] == (3 * steps, 3 * steps)
    assert [one for one, _ in seen] == sorted(one for one, _ in seen)

    once = SecondTimeRestorer()
    refused = refine(defective, "a red balloon", None, None, once, assess=assess, options=GUARDED, seed=5)
    assert len(once.seeds) == 1
    assert torch.equal(refused.image, defective)


def test_stage_2_tried_again_knows_the_place_of_each_picture(defective, assess, restorer):
    """Engines may hold a conditioning for each picture of the batch."""
    prompts = ["a red balloon", "a green balloon"]
    for count in (1, 2):
        refine(torch.cat([defective] * 2), prompts, None, None, restorer, assess=assess,
               options=replace(GUARDED, attempts=count))  # fmt: skip
    once, again = restorer.calls[:2], restorer.calls[2:]
    assert [call.index for call in once] == [0, 1]
    assert [call.index for call in again] == [0, 1]
    assert [call.prompt for call in again] == [prompts[call.index] for call in again]


def test_progress_is_one_count(defective, assess, inpainter, restorer):
    seen = []
    refine(
        defective,
        "a balloon",
        None,
        inpainter,
        restorer,
        assess=assess,
        options=FREE,
        progress=lambda done, total, preview: seen.append((done, total)),
    )
    assert seen == [(done, 30) for done in range(1, 31)]  # two regions and the whole picture, ten each


@pytest.mark.parametrize("stop_at", [1, 15, 25])
def test_stopping(defective, assess, inpainter, restorer, stop_at):
    def stop(done, total, preview):
        if done >= stop_at:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        refine(defective, "a balloon", None, inpainter, restorer, assess=assess, options=FREE, progress=stop)


def test_inputs_are_not_written_to(defective, assess, inpainter, restorer):
    copy = defective.clone()
    refine(defective, "a balloon", None, inpainter, restorer, assess=assess, options=FREE)
    assert torch.equal(defective, copy)


@pytest.mark.parametrize(
    ("options", "function"),
    [(MaskOptions, binarize_map), (PlanOptions, plan_refinement), (EmphasisOptions, emphasize)],
)
def test_defaults_are_those_of_the_steps(options, function):
    defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    if options is MaskOptions:
        merging = inspect.signature(merge_maps).parameters
        defaults |= {"merge": merging["mode"].default, "weights": merging["weights"].default}
    for field in fields(options):
        assert getattr(options(), field.name) == defaults[field.name], field.name


def test_the_public_name_is_the_function_whatever_was_imported_before():
    code = """
import {first}
import grefine_core, inspect
from grefine_core import refine
from grefine_core.refine import guard, refine as same, stage1, stages
assert grefine_core.refine is refine is same and inspect.isfunction(refine), refine
assert list(inspect.signature(refine).parameters)[:2] == ["image", "prompt"]
assert stages.stage1 is stage1 is grefine_core.stage1 and grefine_core.guard is guard
import grefine_core.refine.guard
assert grefine_core.refine is refine
"""
    for first in ("grefine_core", "grefine_core.refine", "grefine_core.refine.stages"):
        told = subprocess.run(
            [sys.executable, "-W", "error::ImportWarning", "-c", code.format(first=first)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"image": torch.rand(3)}, "image"),
            ({"image": "picture.png"}, "image"),
            ({"prompt": 5}, "prompt"),
            ({"prompt": ["a", "b"]}, "prompt"),
            ({"seed": -1}, "seed"),
            ({"protect": torch.ones(1, 5, 5)}, "protect"),
            ({"options": {"tolerance": 0.1}}, "options"),
            ({"options": by_scores(tolerance=-1)}, "tolerance"),
            ({"options": by_scores(plan=gated(steps=1))}, "steps"),
            ({"options": by_scores(plan=gated(region_bar=2))}, "region_bar"),
            ({"options": by_scores(masks=MaskOptions(method="magic"))}, "method"),
        ],
    )
    def test_named(self, defective, assess, inpainter, change, name):
        arguments = {"image": defective, "prompt": "a balloon", **change}
        image, prompt = arguments.pop("image"), arguments.pop("prompt")
        with pytest.raises(InputError, match=name):
            refine(image, prompt, None, inpainter, None, assess=assess, **arguments)


class TestWithTheTinyModel:
    """The real measure, untrained: nothing is known of its scores but that the guard must respect them."""

    @pytest.fixture(scope="class")
    def quality(self):
        from grefine_core.clip.quality_model import QualityModel

        from ..tiny_models import build_clip, build_embeddings

        return QualityModel(build_clip(), build_embeddings(), cache_size=32)

    @pytest.mark.parametrize("seed", range(4))
    def test_never_worse_than_the_input(self, quality, pictures, noise_inpainter, restorer, seed):
        from grefine_core.alignment import assess

        images = pictures(2, seed=seed)
        prompts = ["a red balloon over green hills", "two dogs"]
        options = by_scores(
            masks=MaskOptions(method="top", top=0.15),
            plan=gated(mode="paper", steps=4),
            crop=CropOptions(min_context=4, join=2),
        )
        out = refine(images, prompts, quality, noise_inpainter, restorer, options=options, seed=seed)
        for index in range(2):
            before = assess(quality, images[index : index + 1], prompts[index])
            after = assess(quality, out.image[index : index + 1], prompts[index])
            assert float(after.perceptual.score) >= float(before.perceptual.score) - 1e-6
            assert float(after.alignment.score) >= float(before.alignment.score) - 1e-6
            assert out.reports[index].after == pytest.approx(
                (float(after.perceptual.score), float(after.alignment.score)), abs=1e-5
            )
        assert out.encodes >= 2

    def test_one_encode_serves_measuring_and_guarding(self, quality, pictures, inpainter):
        images = pictures(1, seed=77)
        quality.clear_cache()
        before = quality.pictures_encoded
        out = refine(images, "a red balloon", quality, inpainter, None)
        assert quality.pictures_encoded - before <= out.encodes
