"""What is not repaired stays exactly as it came: values beyond [0, 1], alpha, and the dtype."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from grefine_core.errors import InputError
from grefine_core.refine import PlanOptions, RefineOptions, guard, refine, stage1, stage2
from grefine_core.tensors import as_images

KINDS = ["overshoot", "bright", "alpha", "float16", "bfloat16", "float64"]
OPTIONS = {"prompts": "a cat", "steps": 1}


@pytest.fixture(params=KINDS)
def canvas(request):
    """Two pictures that are more than RGB float32 in [0, 1]."""
    values = torch.rand(2, 40, 48, 4, generator=torch.Generator().manual_seed(1))
    made = {
        "overshoot": values[..., :3] * 1.6 - 0.3,
        "bright": values[..., :3] * 60.0,
        "alpha": torch.cat([values[..., :3], (values[..., 3:] * 1.4 - 0.2).clamp(0, 1)], dim=-1),
        "float64": torch.rand(2, 40, 48, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)),
    }
    return made[request.param] if request.param in made else values[..., :3].to(getattr(torch, request.param))


@pytest.fixture
def mask():
    mask = torch.zeros(2, 40, 48)
    mask[0, 8:24, 8:32] = 1
    mask[0, 24:28, 8:32] = 0.5
    return mask


def same(one, two):
    return one.dtype == two.dtype and torch.equal(one, two)


@pytest.mark.parametrize("keep_color", [False, True])
def test_stage1_changes_the_mask_alone(canvas, mask, inpainter, keep_color):
    kept = canvas.clone()
    out = stage1(canvas, mask, None, inpainter, strengths=0.7, keep_color=keep_color, **OPTIONS)
    assert out.dtype == canvas.dtype
    assert out.shape == canvas.shape
    assert torch.equal(out[mask == 0], canvas[mask == 0])
    assert torch.equal(out[..., 3:], canvas[..., 3:])
    assert same(canvas, kept)
    shown = inpainter.calls[0].image
    assert shown.dtype == torch.float32
    assert shown.shape[-1] == 3
    assert shown.min() >= 0
    assert shown.max() <= 1
    if not keep_color:
        seen = as_images(out)[mask == 1] if canvas.shape[-1] == 3 else as_images(out)[(mask == 1) & (out[..., 3] == 1)]
        torch.testing.assert_close(seen, inpainter.color.expand_as(seen), atol=5e-3, rtol=0)


def test_stage1_with_nothing_to_do_gives_the_very_tensor(canvas, mask, inpainter):
    assert stage1(canvas, mask * 0, None, inpainter, strengths=0.7, **OPTIONS) is canvas


def test_stage2_leaves_the_others_and_the_alpha(canvas, restorer):
    kept = canvas.clone()
    out = stage2(canvas, restorer, strengths=[0.2, 0.0], keep_color=False, **OPTIONS)
    assert same(out[1], canvas[1])
    assert torch.equal(out[..., 3:], canvas[..., 3:])
    assert not torch.equal(out[0], canvas[0])
    assert same(canvas, kept)
    assert stage2(canvas, restorer, strengths=0.0, **OPTIONS) is canvas
    alone = stage2(canvas[:1], restorer, strengths=0.2, keep_color=False, **OPTIONS)
    assert same(alone, out[:1])


def test_a_restorer_that_changes_nothing_changes_nothing_seen():
    """Through the colours over white and back."""

    class Copy:
        size_multiple = min_side = 8

        def restore(self, image, **_):
            return image.clone()

    canvas = torch.rand(1, 16, 16, 4, generator=torch.Generator().manual_seed(3))
    canvas[0, :4, :, 3] = 0
    out = stage2(canvas, Copy(), strengths=0.2, keep_color=False, **OPTIONS)
    torch.testing.assert_close(as_images(out), as_images(canvas), atol=1e-6, rtol=0)
    assert torch.equal(out[0, :4], canvas[0, :4])


def by_mean(quality, images, prompts):
    """Scores that brightness raises; as strict as the package's own about what a picture is."""
    assert images.dtype == torch.float32
    assert images.shape[-1] == 3
    mean = images.mean((1, 2, 3))
    return SimpleNamespace(perceptual=SimpleNamespace(score=mean), alignment=SimpleNamespace(score=mean))


def test_the_guard_gives_back_what_it_refuses(canvas, mask):
    assert same(guard(canvas, canvas, None, "a cat", assess=by_mean).image, canvas)
    darker = canvas.clone()
    darker[0, 8:20, 8:20, :3] = 0
    assert same(guard(canvas, darker, None, "a cat", mask=mask, assess=by_mean).image, canvas)
    brighter = canvas.clone()
    brighter[0, 8:20, 8:20, :3] = 1
    assert same(guard(canvas.clamp(0, 1), brighter, None, "", assess=by_mean).image[0], brighter[0])


def test_the_guard_compares_looks_where_only_one_has_alpha():
    canvas = torch.rand(1, 16, 16, 4, generator=torch.Generator().manual_seed(4))
    assert same(guard(canvas, as_images(canvas), None, "", assess=by_mean).image, canvas)
    brighter = as_images(canvas)
    brighter[0, :4] = 1
    found = guard(canvas, brighter, None, "", assess=by_mean).image
    assert torch.equal(found[..., 3], canvas[..., 3])
    assert torch.equal(found[0, 4:], canvas[0, 4:])
    torch.testing.assert_close(as_images(found), brighter, atol=1e-6, rtol=0)


@pytest.mark.parametrize("seen", [0.9, 0.1])
def test_the_whole_method(canvas, inpainter, restorer, seen):
    """A good picture comes back as it is; in a bad one alpha and dtype stay."""

    def assess(quality, images, prompts):
        assert images.shape[-1] == 3
        count, size = len(images), images.shape[:3]
        defects = torch.zeros(size)
        defects[:, 8:24, 8:24] = 1
        score = torch.full((count,), seen)
        return SimpleNamespace(
            perceptual=SimpleNamespace(score=score, defect_map=defects, factors={}),
            alignment=SimpleNamespace(score=score, defect_map=defects, phrases=[()] * count),
        )

    result = refine(
        canvas,
        "a cat",
        None,
        inpainter,
        restorer,
        options=RefineOptions(regions=None, rule="scores", plan=PlanOptions(mode="gated")),
        assess=assess,
    ).image
    if seen == 0.9:
        assert result is canvas
    else:
        assert result.dtype == canvas.dtype
        assert not torch.equal(result[..., :3], canvas[..., :3])
        assert torch.equal(result[..., 3:], canvas[..., 3:])


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_pixels_that_are_no_numbers_are_refused(wrong, dtype, mask, inpainter, restorer):
    canvas = torch.zeros(2, 40, 48, 4, dtype=dtype)
    canvas[1, 39, 47, 3] = wrong
    with pytest.raises(InputError, match=r"images: .*NaN"):
        stage1(canvas, mask, None, inpainter, strengths=0.7, **OPTIONS)
    with pytest.raises(InputError, match=r"images: .*NaN"):
        stage2(canvas, restorer, strengths=0.2, **OPTIONS)
    with pytest.raises(InputError, match=r"before: .*NaN"):
        guard(canvas, canvas, None, "", assess=by_mean)
    with pytest.raises(InputError, match=r"image: .*NaN"):
        refine(canvas, "", None, inpainter, restorer, assess=by_mean)
