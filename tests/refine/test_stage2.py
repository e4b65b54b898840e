"""Stage 2: the whole picture, at its own size, each with its own strength."""

from __future__ import annotations

import pytest
import torch

from grefine_core.errors import InputError
from grefine_core.refine import picture_seed, stage2


def run(images, restorer, **changes):
    options = {"prompts": "a red balloon", "strengths": 0.2, "steps": 3, "seed": 5, "keep_color": False, **changes}
    return stage2(images, restorer, **options)


@pytest.mark.parametrize("size", [(101, 70), (64, 64), (17, 200), (1, 1)])
def test_result_has_the_pictures_size(size, pictures, restorer):
    images = pictures(1, *size) * 0.8
    copy = images.clone()
    out = run(images, restorer)
    assert out.shape == images.shape
    assert torch.equal(images, copy)
    (call,) = restorer.calls
    assert call.image.shape[1] % 8 == call.image.shape[2] % 8 == 0
    assert min(call.image.shape[1:3]) >= 16
    if min(size) >= 16:  # sampled at its own scale: exact
        assert torch.equal(out, images * 0.5)


def test_each_picture_its_own(pictures, restorer):
    images = pictures(3)
    out = run(images, restorer, prompts=["a", "b", "c"], strengths=[0.1, 0.0, 0.3], steps=[2, 9, 4])
    assert [(c.prompt, c.strength, c.steps, c.index, c.seed) for c in restorer.calls] == [
        ("a", 0.1, 2, 0, 5),
        ("c", 0.3, 4, 2, picture_seed(5, 2)),
    ]
    assert torch.equal(out[1], images[1])
    assert torch.equal(out[0], images[0] * 0.5)


def test_nothing_to_do_asks_nobody(pictures):
    images = pictures(2)

    def load():
        raise AssertionError("loaded for nothing")

    assert run(images, load, strengths=0.0) is images
    assert run(images, load, steps=0) is images


def test_keep_color(pictures, restorer):
    images = pictures(1) * 0.3 + 0.3
    out = run(images, restorer, keep_color=True)
    torch.testing.assert_close(out.mean(dim=(1, 2)), images.mean(dim=(1, 2)), atol=1e-3, rtol=0)


def test_progress(pictures, restorer):
    seen = []
    run(
        pictures(3), restorer, strengths=[0.1, 0, 0.1], progress=lambda done, total, preview: seen.append((done, total))
    )
    assert seen == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize("change", [{"strengths": 2.0}, {"steps": -1}, {"prompts": ["a", "b"]}, {"seed": 0.5}])
def test_bad_values(pictures, restorer, change):
    with pytest.raises(InputError, match=next(iter(change))):
        run(pictures(3), restorer, **change)
