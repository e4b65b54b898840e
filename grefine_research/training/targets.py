"""What the pictures are known to be worth: labels of the factors, a mean opinion score, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from grefine_core.clip.embeddings import FACTORS
from grefine_core.errors import InputError

PS = "PS"
"""Name of the overall score among figures and losses."""


@dataclass(frozen=True)
class Targets:
    """Labels of N pictures, all in [0, 1], 1 is good; NaN where a picture has none.

    With ``mos`` alone all factors learn jointly, through PS (the paper's case: AIGIQA-20K has one perceptual MOS). A
    factor with labels of its own learns from them; "overall" may have some, too.

    Raises:
        InputError: no labels at all, unknown factors, other shapes than (N,), or values out of range.
    """

    factors: Mapping[str, Tensor] = field(default_factory=dict)
    """Factor -> (N,)."""
    mos: Tensor | None = None
    """(N,), overall rating, brought to [0, 1] by the caller."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.factors if name not in FACTORS]
        if unknown:
            raise InputError(f"targets: unknown factors {', '.join(unknown)}; there are {', '.join(FACTORS)}.")
        columns = self.columns()
        if not columns:
            raise InputError("targets: neither labels of a factor nor a mean opinion score.")
        lengths = {name: tuple(values.shape) for name, values in columns.items()}
        if len(set(lengths.values())) > 1 or len(next(iter(lengths.values()))) != 1:
            raise InputError(f"targets: expected one number for each picture, got {lengths}.")
        for name, values in columns.items():
            known = values[~values.isnan()]
            if known.numel() == 0:
                raise InputError(f"targets: {name} has no label that is a number.")
            if known.min() < 0 or known.max() > 1:
                raise InputError(
                    f"targets: {name} goes from {known.min():g} to {known.max():g}; bring labels to [0, 1], 1 is good."
                )

    def __len__(self) -> int:
        return len(next(iter(self.columns().values())))

    def columns(self) -> dict[str, Tensor]:
        """What has labels, in a fixed order: factors, then :data:`PS`."""
        found = {name: self.factors[name] for name in FACTORS if name in self.factors}
        if self.mos is not None:
            found[PS] = self.mos
        return found

    def rows(self, indices: Sequence[int] | Tensor) -> Targets:
        """The labels of some pictures."""
        chosen = torch.as_tensor(indices, dtype=torch.long)
        factors = {name: values[chosen] for name, values in self.factors.items()}
        return Targets(factors, None if self.mos is None else self.mos[chosen])
