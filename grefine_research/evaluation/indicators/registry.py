"""All indicators that are known, in the order of the paper's tables, and choosing among them."""

from __future__ import annotations

from collections.abc import Sequence

from grefine_core.errors import InputError

from . import clip_scores, own, pyiqa_metrics, reward
from .protocol import Spec

_ALL = (*own.SPECS, *pyiqa_metrics.SPECS, *clip_scores.SPECS, *reward.SPECS, *own.FACTOR_SPECS)
_known: dict[str, Spec] = {spec.name: spec for spec in _ALL}
OWN = ("pq", "aq")
"""Measured whatever else is chosen."""
REFINE = (
    *("clipiqa", "unique", "liqe", "dbcnn", "topiq", "cnniqa", "musiq", "brisque", "qalign"),
    *("clipscore", "imagereward", "pickscore", "hpsv2"),
)
"""The thirteen of Tables 2 to 5."""
PERCEPTUAL = ("dbcnn", "clipiqa", "cnniqa", "hyperiqa", "nima", "paq2piq")
"""Those that Table 6 compares PQ-Map with."""
ALIGNMENT = ("clipscore", "imagereward", "hps", "hpsv2", "pickscore", "clip-surgery")
"""Those that Table 7 compares AQ-Map with."""
FACTORS = tuple(spec.name for spec in own.FACTOR_SPECS)


def register(spec: Spec) -> None:
    """Make one more indicator known: it can then be named like the others.

    Raises:
        InputError: the name is taken, or cannot be a file's.
    """
    if spec.name in _known:
        raise InputError(f"indicators: {spec.name!r} is known already.")
    if not spec.name or not all(letter.isalnum() or letter in "-_." for letter in spec.name):
        raise InputError(f"indicators: {spec.name!r} is no name; letters, digits, '-', '_' and '.' make one.")
    _known[spec.name] = spec


def unregister(name: str) -> None:
    """Forget an indicator that was registered."""
    _known.pop(name, None)


def names() -> list[str]:
    """Of all that are known."""
    return list(_known)


def choose(wanted: Sequence[str], usual: Sequence[str]) -> list[Spec]:
    """The indicators of these names, the project's own first; nothing or "all" for the usual ones.

    Raises:
        InputError: an unknown name.
    """
    asked = list(usual) if not wanted or list(wanted) == ["all"] else list(wanted)
    chosen = list(dict.fromkeys([*OWN, *asked]))
    for name in chosen:
        if name not in _known:
            raise InputError(f"indicators: {name!r} is none; there are {', '.join(_known)}.")
    return [_known[name] for name in chosen]
