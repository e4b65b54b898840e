"""Inputs as a stranger may send them: pictures, masks, numbers, words, texts. Each knows whether it is in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

FINE_TYPES = (torch.float32,) * 6 + (torch.float16, torch.bfloat16, torch.float64, torch.uint8, torch.bool)
OTHER_TYPES = (torch.int32, torch.int64, torch.int8, torch.complex64)
NO_TENSORS = (None, "a picture", 3, 0.5, [], {}, b"bytes", [[0.0, 1.0]])
NO_TEXTS = (None, 7, 0.5, True, ["a", "b"], b"bytes", {"text": "x"})
UNITS = (
    "a red cat beside an old stone castle, ",
    "漢字と猫🐈 ",
    "(((",
    "\\(",
    "(a:1.2) ",
    "<lora:x:0.5> ",
    "é̂̃ ",
    "\x00",
    "\ud800",
    "\u202e",
    "Œuvre, ",
    "a" * 60,
    "\n",
    "BREAK ",
    "{a|b} ",
    "𝔞𝔟𝔠 ",
)


@dataclass(frozen=True)
class Given:
    """One input. ``shape``: batch, height and width of a picture or mask that is in order."""

    value: Any
    fine: bool = True
    shape: tuple[int, int, int] = (0, 0, 0)
    more: dict[str, Any] = field(default_factory=dict)


class Giver:
    """Draws inputs. ``longest``: of a side, pixels; ``most``: pixels of a batch; ``text``: characters of a text.

    One input in ``faults`` is broken; 0 for none.
    """

    def __init__(self, draw: Any, longest: int, most: int, text: int, faults: int = 12) -> None:
        self.draw, self.longest, self.most, self.text_length, self.faults = draw, longest, most, text, faults

    def pick(self, values: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(list(values)))

    def broken(self) -> bool:
        return self.faults > 0 and self.draw(st.integers(0, self.faults - 1)) == self.faults - 1

    def size(self, batch: int = 1) -> tuple[int, int]:
        """Height and width; seldom as large as they may be, and then thin unless there is room."""
        sides = st.one_of(st.integers(1, min(96, self.longest)), st.integers(1, self.longest), st.just(self.longest))
        height = self.draw(sides)
        room = max(1, self.most // (height * batch))
        return height, min(self.draw(sides), room)

    def image(self, size: tuple[int, int] | None = None, batch: int | None = None) -> Given:
        """An IMAGE, of this size and batch if it is to fit to another."""
        count = batch if batch is not None else self.pick((1, 1, 1, 2, 3))
        shape = (count, *(size or self.size(count)))
        if self.broken():
            return self._broken_tensor((*shape, 3))
        channels = self.pick((3, 3, 3, 1, 4))
        value = self._layout(self._values((*shape, channels)))
        if count == 1 and self.pick((True, False, False)):
            value = value[0]
        return Given(value, shape=shape)

    def mask(self, size: tuple[int, int] | None = None, batch: int | None = None, sparse: bool = False) -> Given:
        """A MASK; ``sparse``: mostly empty, as masks of defects are."""
        count = batch if batch is not None else self.pick((1, 1, 2, 3))
        shape = (count, *(size or self.size(count)))
        if self.broken():
            return self._broken_tensor(shape)
        value = self._boxes(shape) if sparse else self._values(shape)
        kind = self.pick(("plain", "plain", "channel", "last", "single"))
        if kind == "channel":
            value = value.unsqueeze(1)
        elif kind == "last" and shape[1] != 1:
            value = value.unsqueeze(-1)
        elif kind == "single" and count == 1:
            value = value[0]
        return Given(self._layout(value), shape=shape)

    def number(self, low: float, high: float, whole: bool = False) -> Given:
        if self.broken():
            over = high + max(1.0, abs(high))
            bad = (math.nan, math.inf, -math.inf, over, low - 1.0, "0.5", None, [0.5], True, torch.rand(3), 10**400)
            return Given(self.pick((*bad, low + 0.5) if whole else bad), fine=False)
        if whole:
            return Given(self.draw(st.integers(int(low), int(high))))
        return Given(self.draw(st.one_of(st.floats(low, high), st.just(low), st.just(high))))

    def choice(self, words: Sequence[str]) -> Given:
        if self.broken():
            return Given(self.pick(("", "no such thing", words[0].upper() + " ", None, 0, ["x"], "\ud800")), fine=False)
        return Given(self.pick(words))

    def flag(self) -> Given:
        if self.broken():
            return Given(self.pick(("yes", 2, None, 0.5, [True])), fine=False)
        return Given(self.pick((True, False, 0, 1)))

    def text(self, broken: bool = True) -> Given:
        """Any characters at all, half of a pair included, up to the length; ``broken``: perhaps no text."""
        if broken and self.broken():
            return Given(self.pick(NO_TEXTS), fine=False)
        kind = self.pick(("short", "short", "any", "long"))
        if kind == "short":
            value = "".join(self.draw(st.lists(st.sampled_from(UNITS), max_size=8)))
        elif kind == "any":
            value = self.draw(st.text(st.characters(codec=None), max_size=60))
        else:
            unit = "".join(self.draw(st.lists(st.sampled_from(UNITS), min_size=1, max_size=4)))
            length = self.draw(st.integers(0, self.text_length))
            value = (unit * (length // len(unit) + 1))[:length]
        return Given(value, fine=not any("\ud800" <= character <= "\udfff" for character in value))

    def one_of(self, value: Any, others: Sequence[Any] = (None, "text", 1)) -> Given:
        """A model or the like, or something that is none."""
        return Given(self.pick(others), fine=False) if self.broken() else Given(value)

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.draw(st.integers(0, 2**31)))

    def _values(self, shape: tuple[int, ...]) -> Tensor:
        kind = self.pick(("noise", "noise", "noise", "black", "white", "flat", "outside", "tiny"))
        noise = torch.rand(shape, generator=self._generator())
        values = {
            "noise": noise,
            "black": torch.zeros(shape),
            "white": torch.ones(shape),
            "flat": torch.full(shape, 0.37),
            "outside": noise * 9.0 - 4.0,
            "tiny": noise * 1e-42,
        }[kind]
        dtype = self.pick(FINE_TYPES)
        if dtype == torch.uint8:
            return values.clamp(0, 1).mul(255).to(dtype)
        return (values > 0.5) if dtype == torch.bool else values.to(dtype)

    def _boxes(self, shape: tuple[int, ...]) -> Tensor:
        values = torch.zeros(shape)
        for _ in range(self.pick((0, 1, 1, 2, 5))):
            rows, columns = (sorted(self.draw(st.tuples(*[st.integers(0, side)] * 2))) for side in shape[1:])
            strength = self.pick((1.0, 1.0, 0.5, 0.01))
            values[self.draw(st.integers(0, shape[0] - 1)), slice(*rows), slice(*columns)] = strength
        return values

    def _layout(self, value: Tensor) -> Tensor:
        """The same numbers, perhaps not contiguous."""
        kind = self.pick(("plain", "plain", "turned", "slice"))
        if kind == "turned":
            order = list(range(value.ndim))[::-1]
            return value.permute(order).contiguous().permute(order)
        if kind == "slice":
            wide = torch.zeros((*value.shape[:-1], value.shape[-1] * 2), dtype=value.dtype)
            wide[..., ::2] = value
            return wide[..., ::2]
        return value

    def _broken_tensor(self, shape: tuple[int, ...]) -> Given:
        kind = self.pick(("nan", "inf", "-inf", "type", "rank", "empty", "none", "channels", "array"))
        value: Any = torch.rand(shape, generator=self._generator())
        if kind in ("nan", "inf", "-inf"):
            value.view(-1)[self.draw(st.integers(0, value.numel() - 1))] = float(kind)
        elif kind == "type":
            value = value.to(self.pick(OTHER_TYPES))
        elif kind == "rank":
            value = self.pick((value[None, None], torch.rand(()), torch.rand(3), value.flatten()))
        elif kind == "empty":
            place = self.draw(st.integers(0, len(shape) - 1))
            value = torch.rand([0 if axis == place else side for axis, side in enumerate(shape)])
        elif kind == "channels":
            value = torch.rand(*shape[:3], self.pick((2, 5, 16)))
        elif kind == "array":
            value = np.zeros(shape, np.float32)
        else:
            value = self.pick(NO_TENSORS)
        return Given(value, fine=False)
