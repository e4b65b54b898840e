"""The miniature world as a data set: pictures that are drawn once, with all that is known of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from grefine_core.errors import InputError
from grefine_core.pictures import load_picture, save_picture

from .collecting import Collector
from .records import Scale

COUNT = 1000
"""Pictures where no limit is given."""
DIFFICULTY = 0.5
_NOTES = "grefine"

Progress = Callable[[int, int], None]
Known = tuple[str, dict[str, float]]
"""Prompt and scores of one picture."""


def miniature(
    into: Collector, split: str | None, limit: int | None, progress: Progress | None = None
) -> dict[str, Scale]:
    """Samples 0, 1, … of a split (a third of each without one), in ``<split>-<what draws them>`` of the folder.

    Pictures that are there are not drawn again; each is there as a whole or not at all and carries its prompt and its
    scores itself: 1 - severity of technical, rational, natural and alignment defects, and ``mos``, of the perceptual
    ones together.

    Returns:
        The scales: all from 0 to 1.
    """
    from grefine_core.miniature.world import SPLITS

    wanted = COUNT if limit is None else limit
    counts = dict.fromkeys([split], wanted) if split else {name: wanted // len(SPLITS) for name in SPLITS}
    if any(name not in SPLITS for name in counts):
        raise InputError(f"split: {split!r} is none of {', '.join(SPLITS)}.")
    names: set[str] = set()
    done = 0
    for name, count in counts.items():
        folder = into.root / f"{name}-{_generator_now(name)}"
        for index in range(count):
            file = folder / f"{index:06d}.png"
            prompt, scores = _drawn(file) or _draw(file, str(name), index)
            into.add(file, prompt, scores, split=name)
            names |= set(scores)
            done += 1
            if progress is not None:
                progress(done, sum(counts.values()))
    return dict.fromkeys(names, Scale(0.0, 1.0))


def _draw(file: Path, split: str, index: int) -> Known:
    from ..miniature.generator import make_sample
    from ..miniature.sample import FACTORS

    sample = make_sample(split, index, difficulty=DIFFICULTY)  # type: ignore[arg-type]
    scores = {name: 1.0 - sample.severity(name) for name in (*FACTORS, "alignment")}
    scores["mos"] = 1.0 - sample.severity()
    notes = {"prompt": sample.caption.prompt, "scores": scores}
    save_picture(torch.from_numpy(sample.image), file, text={_NOTES: json.dumps(notes)})
    return sample.caption.prompt, scores


def _drawn(file: Path) -> Known | None:
    if not file.is_file():
        return None
    try:
        notes = json.loads(load_picture(file).text[_NOTES])
        return str(notes["prompt"]), dict(notes["scores"])
    except (InputError, KeyError, TypeError, ValueError):  # not ours, or damaged: it is drawn anew
        return None


def _generator_now(split: str | None) -> str:
    """Changes with what the generator draws."""
    from ..miniature.generator import make_sample

    digest = hashlib.blake2b(digest_size=4)
    for index in range(3):
        sample = make_sample(split, index, difficulty=DIFFICULTY)  # type: ignore[arg-type]
        digest.update(np.rint(255 * sample.image).astype(np.uint8).tobytes())
        digest.update(f"{sample.caption.prompt} {sample.severity():.4f} {sample.severity('alignment'):.4f}".encode())
    return digest.hexdigest()
