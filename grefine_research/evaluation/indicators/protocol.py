"""What an indicator is: something that gives a picture a number, and what is known of it before it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from grefine_core.clip.quality_model import QualityModel

Kind = Literal["perceptual", "alignment"]
"""What an indicator is about: how a picture looks, or how well it shows what its prompt says."""


class Indicator(Protocol):
    """A loaded indicator. Any object with this method will do."""

    def score(self, image: Tensor, prompt: str) -> float:
        """The score of one picture ``(1, H, W, 3)`` float32 in [0, 1]; ``prompt`` is ignored by perceptual ones."""
        ...


@dataclass
class Context:
    """What indicators are loaded with.

    Attributes:
        load_quality: loads the project's own quality model.
        assessment: keywords of ``assess`` (formula, scoring, aggregate, …).
        device: where to run.
        weights: indicator -> its weight file, as given by the user.
        download: whether packages may fetch weights of their own.
        own_identity: of the quality model, once it is known.
    """

    load_quality: Callable[[], QualityModel] | None = None
    assessment: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    weights: Mapping[str, Path] = field(default_factory=dict)
    download: bool = False
    own_identity: str | None = None

    @cached_property
    def quality(self) -> QualityModel:
        """The quality model, loaded once."""
        from grefine_core.errors import InputError

        if self.load_quality is None:
            raise InputError("indicators: no quality model was given, which the project's own scores need.")
        return self.load_quality()


@dataclass(frozen=True)
class Spec:
    """All that is known of an indicator without loading it, or its package.

    Attributes:
        name: on the command line and in files.
        title: in tables.
        kind: see ``Kind``.
        load: makes the indicator.
        identity: text that changes whenever the scores might: the package's version, the weights.
        lower_is_better: True turns its correlations round.
        packages: modules that must be installed.
        install: how to get them.
        needs_weights: what ``--weights NAME=FILE`` has to name; "" if nothing is needed.
        licence: of code and weights, for whoever wants to use it.
        paper: names that the paper's tables call it by.
        target: rating that it is compared with, where that is neither of the usual ones.
    """

    name: str
    title: str
    kind: Kind
    load: Callable[[Context], Indicator]
    identity: Callable[[Context], str]
    lower_is_better: bool = False
    packages: tuple[str, ...] = ()
    install: str = ""
    needs_weights: str = ""
    licence: str = ""
    paper: tuple[str, ...] = ()
    target: str | None = None

    def obstacle(self, context: Context) -> str | None:
        """Why it cannot run here, as far as can be told without importing anything heavy; None if nothing is known."""
        absent = [name for name in self.packages if find_spec(name) is None]
        if absent:
            return f"not installed: {', '.join(absent)} ({self.install})"
        if self.needs_weights and self.name not in context.weights:
            return f"no weights given: --weights {self.name}=FILE ({self.needs_weights})"
        if self.name in context.weights and not context.weights[self.name].exists():
            return f"weights: {context.weights[self.name]} does not exist"
        return None


_DISTRIBUTIONS = {"open_clip": "open_clip_torch"}


def package_version(name: str) -> str:
    """Of an installed distribution (or of a module of one); "absent" if there is none."""
    try:
        return version(_DISTRIBUTIONS.get(name, name))
    except PackageNotFoundError:
        return "absent"
