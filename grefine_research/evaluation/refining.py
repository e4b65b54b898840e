"""Refines the pictures of a data set in every way that is compared, and keeps what is finished."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path, PurePath
from typing import Any

from grefine_core.errors import Cancelled, GRefineError
from grefine_core.memory import reason_of
from grefine_core.refine.protocols import RefineOptions

from ..datasets import Example
from .cache import EngineCache
from .scoring import Failure, Item, stamp
from .store import Record, Store
from .variants import Refiner, Row

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What every picture is refined with.

    Attributes:
        quality: the quality model.
        inpainter: loads the engine of stage 1; called when a picture needs it, and once.
        restorer: the same of stage 2.
        options: of the method; the rows say whether the guard is on.
        assessment: keywords of ``assess``.
        seed: every picture draws from this and its key, whatever the order.
        identity: text that changes with models and engine.
    """

    quality: Any
    inpainter: Callable[[], Any]
    restorer: Callable[[], Any]
    options: RefineOptions
    assessment: Mapping[str, Any]
    seed: int
    identity: str

    def fingerprint(self, row: Row) -> str:
        """Tells records made otherwise from these."""
        said = [row.name, asdict(self.options), dict(self.assessment), self.seed, self.identity]
        return hashlib.blake2b(json.dumps(said, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


@dataclass
class Refined:
    """What became of the pictures.

    Attributes:
        records: row -> key -> what was done.
        failures: pictures that could not be refined.
    """

    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def picture_path(folder: Path, row: str, key: str) -> Path:
    """Where a refined picture lies: the original's ending stays in its name, for there may be two of one stem.

    A key that would lead out of the folder (a table may name pictures by absolute paths) becomes one name inside it.
    """
    place = PurePath(key)
    if place.is_absolute() or ".." in place.parts:
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return folder / row / f"{digest[:12]}-{place.name}.png"
    return folder / row / f"{key}.png"


def seed_for(seed: int, key: str) -> int:
    """The seed of one picture: the same whatever else is refined, and in which order."""
    digest = hashlib.sha256(f"{seed}/{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def refine_all(
    examples: Sequence[Example], rows: Sequence[Row], work: Work, pictures: Path, records: Path, resume: bool = True
) -> Refined:
    """Refine every picture in every row; what is finished already, record and picture, is not repeated.

    Args:
        examples: the pictures with their prompts.
        rows: the ways of refining them.
        work: models, options, seed.
        pictures: folder of the refined pictures, one folder for each row.
        records: folder of the records.
        resume: False forgets what is there.
    """
    from tqdm import tqdm

    result = Refined({row.name: {} for row in rows})
    stores = {
        row.name: Store[str](records / f"refined-{row.name}.jsonl", work.fingerprint(row), resume) for row in rows
    }
    engines = (lru_cache(maxsize=1)(work.inpainter), lru_cache(maxsize=1)(work.restorer))
    todo: list[tuple[Example, list[Row]]] = []
    for example in examples:
        missing = []
        for row in rows:
            record = stores[row.name].get(example.key)
            whole = picture_path(pictures, row.name, example.key).is_file()
            if record is not None and whole and record["stamp"] == _stamp(example):
                result.records[row.name][example.key] = record
            else:
                missing.append(row)
        if missing:
            todo.append((example, missing))
    for example, missing in tqdm(todo, desc="Refining", unit="picture", disable=None, file=sys.stderr):
        for row, record in _refine_one(example, missing, work, engines, pictures, result.failures):
            # At once, picture by picture and row by row: whatever is finished when the run is ended stays.
            stores[row.name].add(example.key, record)
            result.records[row.name][example.key] = record
    return result


def _refine_one(
    example: Example,
    rows: Sequence[Row],
    work: Work,
    engines: tuple[Callable[[], Any], Callable[[], Any]],
    pictures: Path,
    failures: list[Failure],
) -> Iterator[tuple[Row, Record]]:
    from grefine_core.alignment import assess
    from grefine_core.pictures import load_picture, save_like

    cache = lru_cache(maxsize=1)(lambda: EngineCache(engines[0](), engines[1]()))
    refiner = Refiner(
        work.quality,
        cache,
        work.options,
        partial(assess, **work.assessment),
        seed_for(work.seed, example.key),
        restorer=lambda: cache().restoring,
    )
    for row in rows:
        try:
            if not example.prompt:
                raise GRefineError("has no prompt")
            picture = load_picture(example.image)
            image = picture.image
            work.quality.clear_cache()  # the result is not to depend on what was refined before
            answer = refiner.make(row.variant, row.guarded, image, example.prompt)
            save_like(picture, answer.image, picture_path(pictures, row.name, example.key), {})
            record = _record(example, image, answer)
        except Cancelled:
            raise
        except Exception as error:  # whatever a picture or a prompt leads to: the others go on
            reason = reason_of(error)
            logger.warning("%s, %s: %s", example.image, row.title, reason)
            failures.append(Failure(example.key, example.image, f"refining: {row.title}", reason))
            continue
        yield row, record


def _record(example: Example, image: Any, answer: Any) -> Record:
    import torch

    record: Record = {
        "stamp": _stamp(example),
        "changed": not torch.equal(answer.image, image),
        "judged": answer.judged,
        "refused": answer.refused,
    }
    if answer.report is not None:
        plan = answer.report.plan
        record |= {"stage1": plan.run_stage1, "stage2": plan.run_stage2, "strength": plan.stage1_strength}
        record |= {"area": answer.report.area, "before": list(answer.report.before), "after": list(answer.report.after)}
    return record


def _stamp(example: Example) -> str:
    return stamp(Item(example.key, example.image, example.prompt))
