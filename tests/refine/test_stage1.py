"""Stage 1 with a denoiser of one known colour: that colour inside, the very same bytes outside."""

from __future__ import annotations

import pytest
import torch

from grefine_core.errors import Cancelled, InputError
from grefine_core.masks import binarize_map
from grefine_core.refine import CropOptions, stage1
from grefine_core.refine.protocols import picture_seed, region_seed


def run(images, denoise, composite, inpainter, **changes):
    options = {"prompts": "a red balloon", "strengths": 0.7, "steps": 4, "seed": 3, **changes}
    return stage1(images, denoise, composite, inpainter, **options)


@pytest.mark.parametrize("size", [(101, 70), (64, 64), (33, 250), (8, 8), (1, 1), (7, 3)])
@pytest.mark.parametrize("place", ["middle", "corner", "border", "one pixel", "full"])
@pytest.mark.parametrize("crop_size", ["source", "native"])
def test_colour_inside_bytes_outside(size, place, crop_size, pictures, inpainter):
    height, width = size
    images = pictures(1, height, width)
    mask = torch.zeros(1, height, width)
    if place == "middle":
        mask[:, height // 4 : height // 4 + max(1, height // 3), width // 4 : width // 4 + max(1, width // 3)] = 1
    elif place == "corner":
        mask[:, -max(1, height // 5) :, -max(1, width // 5) :] = 1
    elif place == "border":
        mask[:, :1] = 1
    elif place == "one pixel":
        mask[:, height // 2, width // 2] = 1
    else:
        mask[:] = 1
    copy = images.clone()
    out = run(images, mask, mask, inpainter, crop=CropOptions(crop_size))
    inside = mask[0] > 0
    torch.testing.assert_close(out[0][inside], inpainter.color.expand_as(out[0][inside]), atol=1e-6, rtol=0)
    assert torch.equal(out[0][~inside], images[0][~inside])
    assert torch.equal(images, copy)  # the input is never written to
    assert len(inpainter.calls) == 1


def test_feathered_composite_blends(pictures, inpainter):
    images = pictures()
    defects = torch.zeros(1, 101, 70)
    defects[:, 30:70, 20:50] = 1
    mask = binarize_map(defects, grow=0.1, feather=0.08)
    out = run(images, mask.denoise, mask.composite, inpainter)
    weight = mask.composite.unsqueeze(-1)
    assert ((weight > 0) & (weight < 1)).any()
    torch.testing.assert_close(out, images * (1 - weight) + inpainter.color * weight, atol=1e-6, rtol=0)
    untouched = mask.composite == 0
    assert torch.equal(out[untouched], images[untouched])


def test_composite_smaller_or_larger_than_denoise(pictures, inpainter, rectangle):
    images = pictures()
    small, large = rectangle(101, 70, 40, 30, 50, 40), rectangle(101, 70, 20, 10, 80, 60)
    for denoise, composite in [(small, large), (large, small)]:
        out = run(images, denoise, composite, inpainter)
        assert torch.equal((out != images).any(-1), composite > 0)


@pytest.mark.parametrize("loader", [False, True])
def test_empty_mask_returns_the_input_and_asks_nobody(pictures, inpainter, loader):
    images = pictures(2)

    def load():
        raise AssertionError("loaded for nothing")

    engine = load if loader else inpainter
    assert run(images, torch.zeros(1, 101, 70), None, engine) is images
    assert run(images, torch.zeros(1, 64, 64), None, engine) is images  # Load Image's for any picture without alpha
    assert run(images, torch.ones(1, 101, 70), torch.zeros(1, 64, 64), engine) is images
    assert inpainter.calls == []


def test_a_loader_is_called_once_when_there_is_work(pictures, inpainter):
    loaded = []

    def load():
        loaded.append(1)
        return inpainter

    run(pictures(2), torch.ones(1, 101, 70), None, load)
    assert loaded == [1]
    assert len(inpainter.calls) == 2


def test_two_far_apart_regions_are_two_crops(pictures, inpainter, rectangle):
    images = pictures(1, 200, 300)
    mask = rectangle(200, 300, (10, 10, 30, 30), (160, 250, 190, 290))
    out = run(images, mask, mask, inpainter, crop=CropOptions(context=0.1, min_context=4, join=8))
    assert [tuple(call.image.shape[1:3]) for call in inpainter.calls] == [(32, 32), (40, 48)]
    assert torch.equal((out != images).any(-1), mask > 0)
    assert [call.seed for call in inpainter.calls] == [region_seed(3, 0), region_seed(3, 1)]
    assert inpainter.calls[0].seed == 3
    for call in inpainter.calls:
        assert 0 < call.mask.mean() < 1


def test_close_regions_are_one_crop(pictures, inpainter, rectangle):
    mask = rectangle(200, 300, (10, 10, 30, 30), (10, 40, 30, 60))
    run(pictures(1, 200, 300), mask, mask, inpainter, crop=CropOptions(join=16))
    assert len(inpainter.calls) == 1


def test_a_crop_holds_its_own_region_only(pictures, inpainter, rectangle):
    """With much context both regions are in both crops: each repaints, and pastes, its own."""
    images = pictures(1, 100, 100)
    mask = rectangle(100, 100, (10, 10, 30, 30), (60, 60, 90, 90))
    colors = iter([torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])])
    plain = inpainter.inpaint

    def other_colors(image, mask, **options):
        inpainter.color = next(colors)
        return plain(image, mask, **options)

    inpainter.inpaint = other_colors
    out = run(images, mask, mask, inpainter, crop=CropOptions(context=5.0, join=4))
    assert [tuple(call.image.shape) for call in inpainter.calls] == [(1, 104, 104, 3)] * 2
    assert [float(call.mask[:, :100, :100].sum()) for call in inpainter.calls] == [400.0, 900.0]
    assert (out[0, 10:30, 10:30] == torch.tensor([1.0, 0.0, 0.0])).all()
    assert (out[0, 60:90, 60:90] == torch.tensor([0.0, 0.0, 1.0])).all()
    assert torch.equal(out[mask == 0], images[mask == 0])
    # One after the other: the second crop shows what the first has painted.
    assert torch.equal(inpainter.calls[1].image[0, 10:30, 10:30], out[0, 10:30, 10:30])


def test_what_is_sampled_is_the_crop_at_its_own_scale(pictures, make_inpainter, rectangle):
    images = pictures(1, 1100, 900)
    engine = make_inpainter(size_multiple=8, min_side=512, native_side=1024)
    run(images, rectangle(1100, 900, 500, 400, 520, 420), None, engine)
    (call,) = engine.calls
    assert call.image.shape == (1, 512, 512, 3)
    windows = images[0].unfold(0, 512, 1).unfold(1, 512, 1)  # the very pixels of the picture, nothing resized
    top, left = 500 + 10 - 256, 400 + 10 - 256
    assert torch.equal(call.image[0], windows[top, left].permute(1, 2, 0))


def test_padding_continues_the_picture(pictures, make_inpainter):
    images = pictures(1, 101, 70)
    engine = make_inpainter(size_multiple=16, min_side=1)
    run(images, torch.ones(1, 101, 70), None, engine)
    (call,) = engine.calls
    assert call.image.shape == (1, 112, 80, 3)
    assert torch.equal(call.image[:, :101, :70], images)
    assert torch.equal(call.image[:, 101:, :70], images[:, -1:].expand(-1, 11, -1, -1))
    assert call.mask.shape == (1, 112, 80)
    assert (call.mask == 1).all()


def test_soft_masks_reach_the_engine(pictures, inpainter):
    mask = torch.zeros(1, 64, 64)
    mask[:, 16:32, 16:32] = 0.4
    run(pictures(1, 64, 64), mask, None, inpainter)
    assert inpainter.calls[0].mask.max() == pytest.approx(0.4)


def test_binary_masks_stay_binary_when_resized(pictures, make_inpainter):
    engine = make_inpainter(min_side=512)
    mask = torch.zeros(1, 101, 70)
    mask[:, 50, 35] = 1
    run(pictures(), mask, None, engine)
    assert set(engine.calls[0].mask.unique().tolist()) == {0.0, 1.0}


def test_batch_of_three_with_a_clean_one(pictures, inpainter):
    images = pictures(3)
    masks = torch.zeros(3, 101, 70)
    masks[0, 10:40, 10:40] = 1
    masks[2, 50:90, 20:60] = 1
    out = run(
        images, masks, masks, inpainter, prompts=["a cat", "a dog", "a cow"], strengths=[0.3, 0.5, 0.9], steps=[2, 3, 5]
    )
    assert torch.equal(out[1], images[1])
    assert [(c.prompt, c.strength, c.steps, c.index) for c in inpainter.calls] == [
        ("a cat", 0.3, 2, 0),
        ("a cow", 0.9, 5, 2),
    ]
    assert [c.seed for c in inpainter.calls] == [3, picture_seed(3, 2)]
    assert torch.equal((out != images).any(-1), masks > 0)


def test_a_batch_gives_what_single_pictures_give(pictures, noise_inpainter, rectangle):
    images = pictures(3, 120, 160)
    mask = rectangle(120, 160, (10, 10, 30, 30), (80, 120, 110, 150))
    options = {"crop": CropOptions(join=8)}
    together = run(images, mask, mask, noise_inpainter, **options)
    for index in range(3):
        alone = run(images[index : index + 1], mask, mask, noise_inpainter, seed=picture_seed(3, index), **options)
        torch.testing.assert_close(alone[0], together[index])
    assert torch.equal(run(images, mask, mask, noise_inpainter, **options), together)
    assert not torch.equal(run(images, mask, mask, noise_inpainter, seed=4, **options), together)


def test_strength_or_steps_of_zero_leave_a_picture_alone(pictures, inpainter):
    images = pictures(2)
    out = run(images, torch.ones(1, 101, 70), None, inpainter, strengths=[0.0, 0.5])
    assert torch.equal(out[0], images[0])
    assert len(inpainter.calls) == 1
    assert run(images, torch.ones(1, 101, 70), None, inpainter, steps=0) is images


def test_progress_counts_over_everything(pictures, inpainter, rectangle):
    seen = []
    mask = rectangle(200, 300, (10, 10, 30, 30), (160, 250, 190, 290))
    run(
        pictures(2, 200, 300),
        mask,
        None,
        inpainter,
        steps=[2, 3],
        progress=lambda done, total, preview: seen.append((done, total)),
    )
    assert seen == [(done, 10) for done in range(1, 11)]


def test_what_progress_raises_stops_everything(pictures, inpainter):
    def stop(done, total, preview):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        run(pictures(3), torch.ones(1, 101, 70), None, inpainter, progress=stop)
    assert len(inpainter.calls) == 1


def test_keep_color_takes_a_cast_away(pictures, make_inpainter, rectangle):
    images = pictures(1, 128, 128) * 0.5 + 0.2
    mask = rectangle(128, 128, 48, 48, 80, 80)

    class Cast(make_inpainter):
        def inpaint(self, image, mask, **options):
            return (image * 0.9 + 0.05).clamp(0, 1)

    shifted = run(images, mask, None, Cast())
    kept = run(images, mask, None, Cast(), keep_color=True)
    inside = mask > 0
    assert (shifted - images)[inside].abs().mean() > 0.01
    torch.testing.assert_close(kept[inside], images[inside], atol=1e-4, rtol=0)
    assert torch.equal(kept[~inside], images[~inside])


def test_keep_color_with_nothing_to_compare(pictures, inpainter):
    out = run(pictures(), torch.ones(1, 101, 70), None, inpainter, keep_color=True)
    torch.testing.assert_close(out, inpainter.color.expand_as(out), atol=1e-6, rtol=0)


def test_other_forms_of_pictures(inpainter):
    mask = torch.zeros(16, 24)
    mask[4:12, 4:12] = 1
    grey = run(torch.rand(16, 24, 1), mask, None, inpainter)
    assert grey.shape == (1, 16, 24, 3)
    assert run(torch.rand(16, 24, 1), mask * 0, None, inpainter).shape == (1, 16, 24, 3)
    rgba = torch.rand(1, 16, 24, 4)
    assert run(rgba, mask * 0, None, inpainter) is rgba


class TestBadInput:
    def test_mask_of_another_size(self, pictures, inpainter):
        with pytest.raises(InputError, match=r"denoise.*\(50, 70\).*\(101, 70\)"):
            run(pictures(), torch.ones(1, 50, 70), None, inpainter)

    def test_composite_of_another_size(self, pictures, inpainter):
        with pytest.raises(InputError, match="composite"):
            run(pictures(), torch.ones(1, 101, 70), torch.ones(1, 101, 71), inpainter)

    def test_wrong_number_of_masks(self, pictures, inpainter):
        with pytest.raises(InputError, match="2 masks for 3"):
            run(pictures(3), torch.ones(2, 101, 70), None, inpainter)

    @pytest.mark.parametrize(
        "change",
        [
            {"prompts": ["a", "b"]},
            {"prompts": 7},
            {"prompts": [7, 7, 7]},
            {"strengths": [0.5, 0.5]},
            {"strengths": 1.5},
            {"strengths": float("nan")},
            {"strengths": "high"},
            {"steps": -1},
            {"steps": 2.5},
            {"steps": [1, 2]},
            {"seed": -1},
        ],
    )
    def test_wrong_values(self, pictures, inpainter, change):
        with pytest.raises(InputError, match=next(iter(change))):
            run(pictures(3), torch.ones(1, 101, 70), None, inpainter, **change)
        assert inpainter.calls == []

    @pytest.mark.parametrize(
        "images", [None, torch.rand(5, 5), torch.rand(1, 0, 5, 3), torch.full((1, 5, 5, 3), float("nan"))]
    )
    def test_no_pictures(self, inpainter, images):
        with pytest.raises(InputError, match="images"):
            run(images, torch.ones(1, 5, 5), None, inpainter)

    def test_an_engine_that_returns_another_size(self, pictures, inpainter):
        inpainter.inpaint = lambda image, mask, **options: image[:, ::2]
        with pytest.raises(InputError, match="inpainter: was given"):
            run(pictures(), torch.ones(1, 101, 70), None, inpainter)

    def test_an_engine_that_fails_numerically(self, pictures, inpainter):
        inpainter.inpaint = lambda image, mask, **options: image * float("nan")
        with pytest.raises(InputError, match="NaN"):
            run(pictures(), torch.ones(1, 101, 70), None, inpainter)

    def test_no_engine(self, pictures):
        with pytest.raises(TypeError, match="no method 'inpaint'"):
            run(pictures(), torch.ones(1, 101, 70), None, lambda: "x")
