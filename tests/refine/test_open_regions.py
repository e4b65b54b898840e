"""A picture taken apart into crops and put together again, and engines that work in phases."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from grefine_core.alignment.results import PhraseQuality
from grefine_core.diagnosis import Diagnosis
from grefine_core.errors import InputError
from grefine_core.prompt.syntax import parse_prompt
from grefine_core.refine import CropOptions, stage1
from grefine_core.refine.crops import CropSizes
from grefine_core.refine.open_regions import _own_first, cut_regions, merge_regions, open_regions, told_by
from grefine_core.refine.protocols import PhasedInpainter

CROP = CropOptions(min_context=4, join=4)
SIZES = CropSizes(8, 16, 64)
A, B = (10, 10, 30, 30), (70, 40, 90, 60)


@pytest.fixture
def picture(pictures):
    return pictures(1)


@pytest.fixture
def mask(rectangle):
    return rectangle(101, 70, A, B)


@pytest.fixture
def regions(mask):
    return open_regions((101, 70), mask[0], None, SIZES, prompt="a balloon", crop=CROP, seed=7)


def test_the_crops_and_seeds_are_those_of_stage_1(picture, mask, regions, noise_inpainter):
    stage1(picture, mask, None, noise_inpainter, prompts="a balloon", strengths=0.7, steps=3, seed=7, crop=CROP,
           independent=True)  # fmt: skip
    crops = cut_regions(picture, regions)
    assert len(crops) == len(noise_inpainter.calls) == 2
    for (image, own), call, region in zip(crops, noise_inpainter.calls, regions.crops, strict=True):
        assert torch.equal(image, call.image)
        assert torch.equal(own, call.mask)
        assert region.seed == call.seed
        assert region.prompt == "a balloon"


@pytest.mark.parametrize("keep_color", [False, True])
def test_what_an_engine_makes_of_the_crops_is_pasted_as_stage_1_does(
    picture, mask, regions, noise_inpainter, keep_color
):
    expected = stage1(picture, mask, mask * 0.6, noise_inpainter, prompts="", strengths=0.7, steps=3, seed=7,
                      crop=CROP, keep_color=keep_color, independent=True)  # fmt: skip
    soft = open_regions((101, 70), mask[0], mask[0] * 0.6, SIZES, crop=CROP, seed=7)
    made = [
        noise_inpainter.inpaint(image, own, prompt="", strength=0.7, steps=3, seed=region.seed)
        for (image, own), region in zip(cut_regions(picture, soft), soft.crops, strict=True)
    ]
    assert torch.equal(merge_regions(picture, soft, made, keep_color=keep_color), expected)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5, 4.0])
def test_crops_of_any_size_come_back_and_no_byte_outside_changes(picture, mask, regions, scale):
    made = [
        torch.full((1, round(image.shape[1] * scale), round(image.shape[2] * scale), 3), 0.25)
        for image, _ in cut_regions(picture, regions)
    ]
    before = picture.clone()
    result = merge_regions(picture, regions, made)
    inside = mask[0] > 0
    assert torch.equal(picture, before)
    assert torch.equal(result[:, ~inside], picture[:, ~inside])
    assert (result[:, inside] - 0.25).abs().max() < 1e-6


def test_alpha_and_values_out_of_range_outside_stay(picture, mask, regions):
    canvas = torch.cat([picture * 1.4 - 0.2, torch.rand_like(picture[..., :1])], dim=-1)
    made = [torch.rand_like(image) for image, _ in cut_regions(canvas, regions)]
    result = merge_regions(canvas, regions, made)
    inside = mask[0] > 0
    assert torch.equal(result[:, ~inside], canvas[:, ~inside])
    assert torch.equal(result[..., 3], canvas[..., 3])


def test_masks_cover_whole_cells_where_that_is_asked(picture, regions):
    for (_, exact), (_, whole) in zip(cut_regions(picture, regions), cut_regions(picture, regions, 8), strict=True):
        blocks = whole.unfold(1, 8, 8).unfold(2, 8, 8)
        assert torch.equal(blocks.amax((-1, -2)), blocks.amin((-1, -2)))
        assert bool((whole >= exact).all())
        touched = exact.unfold(1, 8, 8).unfold(2, 8, 8).amax((-1, -2))
        assert torch.equal(blocks.amax((-1, -2)), touched)


def test_proportions_that_do_not_fit_are_told(picture, regions, caplog):
    merge_regions(picture, regions, [torch.zeros(1, 64, 16, 3)] * 2)
    assert "other proportions" in caplog.text


@pytest.mark.parametrize(
    ("picture_size", "count", "message"), [((64, 64), 2, "image: is 64×64"), ((101, 70), 1, "repaired: 1 crops")]
)
def test_what_does_not_fit_is_refused(regions, picture_size, count, message):
    with pytest.raises(InputError, match=message):
        merge_regions(torch.zeros(1, *picture_size, 3), regions, [torch.zeros(1, 8, 8, 3)] * count)


def test_several_pictures_for_one_crop_are_refused(picture, regions):
    first, second = (image for image, _ in cut_regions(picture, regions))
    with pytest.raises(InputError, match="repaired: 2 pictures for region 2"):
        merge_regions(picture, regions, [first, torch.cat([second, second])])


@pytest.fixture
def found():
    """A thing that is missing on each side of a picture of 101×70."""
    maps = torch.zeros(2, 101, 70)
    maps[0, 12:28, 12:28] = maps[1, 72:88, 42:58] = 1.0
    phrases = tuple(
        PhraseQuality(each, 0.5, 0.5, "noun", 0.5, place, maps[place], 0.5)
        for place, each in enumerate(parse_prompt("a fish, a star").phrases)
    )
    return Diagnosis((101, 70), prompt="a fish, a star", phrases=phrases)


def test_what_was_found_is_told_of_regions_that_were_split_by_a_mask_before(mask, regions, found):
    told = told_by(found, regions)
    assert [crop.phrases for crop in told.crops] == [(0,), (1,)]
    assert [crop.prompt for crop in told.crops] == ["a balloon"] * 2
    at_once = open_regions((101, 70), mask[0], None, SIZES, prompt="a balloon", crop=CROP, seed=7, diagnosis=found,
                           own_phrases=False)  # fmt: skip
    assert told.crops == at_once.crops


def test_findings_in_a_picture_of_another_size_are_refused(regions, found):
    with pytest.raises(InputError, match="diagnosis: of a picture of 8×8, but the one that was split is 70×101"):
        told_by(Diagnosis((8, 8), phrases=found.phrases), regions)


# Phases


class Phased:
    """Paints noise that depends on the seed and on what it is shown, and notes the order of its work."""

    size_multiple, min_side, native_side = 8, 16, 64

    def __init__(self):
        self.order = []

    def inpaint(self, image, mask, *, prompt, strength, steps, seed, index=0, progress=None):
        encoded = self.encode(image, mask, index=index)
        return self.decode(
            self.sample(encoded, prompt=prompt, strength=strength, steps=steps, seed=seed, progress=progress)
        )

    def encode(self, image, mask, *, index=0):
        self.order.append("encode")
        return image * (1 - mask.unsqueeze(-1))

    def sample(self, encoded, *, prompt, strength, steps, seed, index=0, progress=None):
        self.order.append("sample")
        for step in range(steps):
            if progress is not None:
                progress(step + 1, steps, None)
        return (encoded, torch.rand(encoded.shape, generator=torch.Generator().manual_seed(seed)))

    def decode(self, sampled):
        self.order.append("decode")
        return (sampled[0] + sampled[1]) / 2


@pytest.mark.parametrize("independent", [False, True])
def test_phases_are_done_for_all_regions_at_once_where_none_hangs_on_another(picture, mask, independent):
    engine, reports = Phased(), []
    assert isinstance(engine, PhasedInpainter)
    options = {"prompts": "", "strengths": 0.5, "steps": 3, "seed": 7, "crop": CROP}
    result = stage1(picture, mask, None, engine, **options, independent=independent,
                    progress=lambda done, total, _: reports.append((done, total)))  # fmt: skip
    phases = ["encode", "sample", "decode"]
    assert engine.order == ([each for each in phases for _ in range(2)] if independent else phases * 2)
    assert reports == [(done, 6) for done in range(1, 7)]
    # The two regions are too far apart to see each other: nothing else differs.
    assert torch.equal(result, stage1(picture, mask, None, Phased(), **options))


def test_a_regions_own_phrase_is_no_beginning_of_another_word():
    (car,) = parse_prompt("a car").phrases
    verdict = PhraseQuality(car, 0.5, 0.5, "noun", 0.5, ratio=0.5, measured=True)
    found = Diagnosis((8, 8), prompt="carpet in a hall", phrases=(verdict,))
    crop = SimpleNamespace(phrases=(0,), prompt="carpet in a hall")
    assert _own_first(found, crop) == "car, carpet in a hall"
    assert _own_first(found, SimpleNamespace(phrases=(0,), prompt="car, a street")) == "car, a street"
