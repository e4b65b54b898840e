"""What is done with one picture: scoring, refining. Nothing of it depends on the pictures before."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Protocol

from grefine_core.clip.embeddings import FACTORS
from grefine_core.errors import Cancelled, InputError
from grefine_core.memory import reason_of
from grefine_core.pictures import Picture
from grefine_core.plain_text import printable
from grefine_core.refine.protocols import RefineOptions

from ..evaluation.refining import seed_for
from ..evaluation.store import Record
from .tasks import Task

logger = logging.getLogger(__name__)

_LONGEST = 200
"""Bytes of a key's part in a file name, of which there are 255."""


class Work(Protocol):
    """What a worker does; loaded once, called for every picture."""

    def __call__(self, task: Task, picture: Picture) -> Record:
        """The row of one picture, without what all rows have."""
        ...


class Scoring:
    """Both scores, the factors, and the phrases with theirs; without a prompt the perceptual ones alone.

    Args:
        quality: the quality model.
        assessment: keywords of ``assess``.
    """

    what = "scores"
    columns = {  # noqa: RUF012 - never written to
        "perceptual": "float",
        "worst_region": "float",
        **dict.fromkeys(FACTORS, "float"),
        "alignment": "float",
        "reward": "float",
        "phrases": "phrases",
    }

    def __init__(self, quality: Any, assessment: Mapping[str, Any]) -> None:
        self._quality, self._assessment = quality, dict(assessment)

    def __call__(self, task: Task, picture: Picture) -> Record:
        """As ``Work``."""
        from grefine_core.alignment import assess
        from grefine_core.perceptual import perceptual_quality
        from grefine_core.prompt.markup import strip_markup

        # Which texts are encoded together decides the last digits: nothing may be remembered of other pictures.
        self._quality.clear_cache()
        if not task.prompt:
            chosen = {name: self._assessment[name] for name in ("formula", "importance") if name in self._assessment}
            return _perceptual(perceptual_quality(self._quality, picture.image, **chosen))
        both = assess(self._quality, picture.image, task.prompt, **self._assessment)
        row = _perceptual(both.perceptual)
        if both.alignment.measured[0]:
            row["alignment"] = float(both.alignment.score[0])
        rewards = getattr(self._quality.alignment_encoder, "rewards", None)
        if rewards is not None:
            row["reward"] = float(rewards(picture.image, strip_markup(task.prompt))[0])
        row["phrases"] = [
            {
                "text": found.phrase.text,
                "share": found.bounded if found.measured else None,
                "score": found.score,
                "head_score": found.head_score,
                "modifier_score": found.modifier_score,
                "defect": found.defect,
                "style": found.phrase.is_style,
            }
            for found in both.alignment.phrases[0]
        ]
        return row


def _perceptual(found: Any) -> Record:
    return {
        "perceptual": float(found.score[0]),
        "worst_region": float(found.worst_region[0]),
        **{name: float(found.factors[name][0]) for name in FACTORS if name in found.factors},
    }


class Refining:
    """The whole method; the refined picture goes to ``<folder>/pictures``, its report into the row.

    Args:
        quality: the quality model.
        inpainter: loads the engine of stage 1; called when a picture needs it, and once.
        restorer: the same of stage 2.
        options: of the method.
        assessment: keywords of ``assess``.
        seed: every picture draws from this and its key.
        folder: of the results.
    """

    what = "refined"
    columns = {  # noqa: RUF012 - never written to
        "refined": "text",
        "changed": "bool",
        "stage1": "bool",
        "stage2": "bool",
        "strength": "float",
        "area": "float",
        **{f"{score}_{when}": "float" for score in ("perceptual", "alignment") for when in ("before", "after")},
        "report": "text",
    }

    def __init__(
        self,
        quality: Any,
        inpainter: Callable[[], Any],
        restorer: Callable[[], Any],
        options: RefineOptions,
        assessment: Mapping[str, Any],
        seed: int,
        folder: Path,
    ) -> None:
        from grefine_core.alignment import assess

        self._quality, self._options, self._seed, self._folder = quality, options, seed, folder
        self._engines = lru_cache(maxsize=1)(inpainter), lru_cache(maxsize=1)(restorer)
        self._assess = partial(assess, **assessment)

    def __call__(self, task: Task, picture: Picture) -> Record:
        """As ``Work``.

        Raises:
            InputError: the picture has no prompt.
        """
        from grefine_core.pictures import MARK, save_result
        from grefine_core.refine import refine
        from grefine_core.report import report_json

        if not task.prompt:
            raise InputError("has no prompt")
        self._quality.clear_cache()
        done = refine(
            picture.image,
            task.prompt,
            self._quality,
            *self._engines,
            options=self._options,
            seed=seed_for(self._seed, task.key),
            assess=self._assess,
        )
        report = replace(done.reports[0], notes=(*picture.notes, *done.reports[0].notes))
        described = json.dumps(report_json(report), ensure_ascii=False)
        inside = picture_name(task.key, ".png" if report.changed else picture.suffix)
        # Before the row: whose row is there has its picture.
        save_result(picture, done.image, report.changed, self._folder / picture_name(task.key, ""), {MARK: described})
        row: Record = {"refined": inside, "changed": report.changed, "area": report.area, "report": described}
        if report.plan is not None:
            row |= {"stage1": report.plan.run_stage1, "stage2": report.plan.run_stage2}
            row["strength"] = report.plan.stage1_strength
        for when, (perceptual, alignment) in (("before", report.before), ("after", report.after)):
            row |= {f"perceptual_{when}": perceptual, f"alignment_{when}": alignment}
        return row


def picture_name(key: str, suffix: str = ".png") -> str:
    """Where in the folder of results a refined picture lies. A key that leads out of it gets another name.

    ``suffix`` comes behind the whole key: that of a copy for a picture that passes.
    """
    parts = PurePosixPath(key.replace("\\", "/")).parts
    inside = [part for part in parts if part not in ("/", "//", "..") and not PureWindowsPath(part).drive]
    name = "/".join(_file_name(part) for part in inside)
    if name != key:
        name = f"{name}-{hashlib.blake2b(key.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"
    return f"pictures/{name}{suffix}"


def _file_name(part: str) -> str:
    """Without control characters, and short enough to be a file's name with endings and what a half has before it."""
    plain = re.sub("[\x00-\x1f\x7f]", "_", printable(part))
    return plain.encode("utf-8")[:_LONGEST].decode("utf-8", "ignore")


def row_of(task: Task, work: Work) -> Record:
    """One picture's row: what was done, or why it could not be."""
    row: Record = {"image": task.image, "prompt": task.prompt, "group": task.group, "error": None}
    try:
        row |= work(task, task.picture())
    except Cancelled:
        raise
    except Exception as error:  # whatever a picture or a prompt leads to: the others go on
        row["error"] = reason_of(error)
        logger.warning("%s: %s", task.key, row["error"])
    return row
