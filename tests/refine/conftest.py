"""Doubles whose result is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch


class ConstantInpainter:
    """Paints the whole crop in one colour and remembers what it was given."""

    def __init__(self, color=(0.25, 0.5, 0.75), size_multiple=8, min_side=16, native_side=64):
        self.color = torch.tensor(color)
        self.size_multiple, self.min_side, self.native_side = size_multiple, min_side, native_side
        self.calls = []

    def inpaint(self, image, mask, *, prompt, strength, steps, seed, index=0, progress=None):
        self.calls.append(
            SimpleNamespace(
                image=image.clone(),
                mask=mask.clone(),
                prompt=prompt,
                strength=strength,
                steps=steps,
                seed=seed,
                index=index,
            )
        )
        for step in range(steps):
            if progress is not None:
                progress(step + 1, steps, None)
        return self.color.expand(image.shape).clone()


class NoiseInpainter(ConstantInpainter):
    """Paints noise that depends on the seed alone."""

    def inpaint(self, image, mask, *, seed, **options):
        super().inpaint(image, mask, seed=seed, **options)
        return torch.rand(image.shape, generator=torch.Generator().manual_seed(seed))


class DarkeningRestorer:
    """Multiplies every pixel by a half and remembers what it was given."""

    def __init__(self, size_multiple=8, min_side=16):
        self.size_multiple, self.min_side = size_multiple, min_side
        self.calls = []

    def restore(self, image, *, prompt, strength, steps, seed, index=0, progress=None):
        self.calls.append(
            SimpleNamespace(image=image.clone(), prompt=prompt, strength=strength, steps=steps, seed=seed, index=index)
        )
        for step in range(steps):
            if progress is not None:
                progress(step + 1, steps, None)
        return image * 0.5


class Ruler:
    """Stands in for ``alignment.assess``: PS is the mean of red, AS the mean of green; counts what it measures.

    ``spoil`` maps a picture ``(H, W, 3)`` to what is taken off both scores.
    """

    def __init__(self, spoil=None):
        self.spoil = spoil or (lambda picture: 0.0)
        self.pictures = 0

    def __call__(self, quality, images, prompts):
        assert len(prompts) == len(images)
        self.pictures += len(images)
        off = torch.tensor([float(self.spoil(picture)) for picture in images])
        return SimpleNamespace(
            perceptual=SimpleNamespace(score=images[..., 0].double().mean(dim=(1, 2)) - off),
            alignment=SimpleNamespace(score=images[..., 1].double().mean(dim=(1, 2)) - off),
        )


@pytest.fixture
def inpainter():
    return ConstantInpainter()


@pytest.fixture
def make_inpainter():
    return ConstantInpainter


@pytest.fixture
def noise_inpainter():
    return NoiseInpainter()


@pytest.fixture
def restorer():
    return DarkeningRestorer()


@pytest.fixture
def ruler():
    return Ruler()


@pytest.fixture
def make_ruler():
    return Ruler


@pytest.fixture
def pictures():
    """``pictures(B, H, W)``: reproducible noise pictures."""

    def make(batch=1, height=101, width=70, seed=0):
        return torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(seed))

    return make


@pytest.fixture
def rectangle():
    """``rectangle(H, W, top, left, bottom, right)``: a mask ``(1, H, W)``."""

    def make(height, width, *box):
        mask = torch.zeros(1, height, width)
        for top, left, bottom, right in [box] if isinstance(box[0], int) else box:
            mask[:, top:bottom, left:right] = 1
        return mask

    return make
