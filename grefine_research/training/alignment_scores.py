"""Raw scores of AQ-Map over a data set, measured once and kept on disk, so that bounds can be tried in seconds."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grefine_core.alignment.calibration import SCORINGS, Scoring
from grefine_core.alignment.options import AlignmentOptions
from grefine_core.alignment.scoring import encoder_of, measure_pictures, trees_of
from grefine_core.clip.quality_model import QualityModel
from grefine_core.errors import InputError
from grefine_core.files import write_text
from grefine_core.memory import reason_of

from ..datasets import Dataset, Example, Skipped, read_pictures
from .feature_store import Progress
from .fingerprint import model_fingerprint
from .launch import Launch

logger = logging.getLogger(__name__)

FORMAT = "grefine-alignment-scores-1"
PART = 64
"""Pictures in one file."""

PhraseScores = list[tuple[float, float] | None]


@dataclass(frozen=True)
class Scored:
    """One picture against its prompt, before any bound."""

    key: str
    phrases: Mapping[Scoring, PhraseScores]
    """Way of scoring -> (as_i, an_i) of every phrase of the prompt, None where not measured."""
    prompt: Mapping[Scoring, float]
    """Way of scoring -> as_T."""


def score_dataset(
    model: QualityModel,
    dataset: Dataset,
    work: Path,
    *,
    launch: Launch | None = None,
    threads: int = 4,
    progress: Progress | None = None,
) -> tuple[list[Scored], Dataset]:
    """Measure every picture against its prompt in both ways of scoring, or only those that ``work/scores-…`` lacks.

    Args:
        model: the quality model, or one with another encoder for alignment.
        dataset: its examples have prompts.
        work: folder of what is kept.
        launch: this process among several, which measure every so manieth part each.
        threads: that read pictures ahead.
        progress: called with (done, total) pictures of this process.

    Returns:
        Scores of all pictures that could be read, and the data set with the others among the skipped.
    """
    launch = launch or Launch()
    folder = work / f"scores-{_state(model)}"
    parts = [dataset.examples[start : start + PART] for start in range(0, len(dataset), PART)]
    own = [(_file(folder, part), part) for number, part in enumerate(parts) if launch.mine(number)]
    missing = [(file, part) for file, part in own if _read(file, part) is None]
    total = sum(len(part) for _, part in own)
    done = total - sum(len(part) for _, part in missing)
    pictures = read_pictures(dataset, threads)([example.key for _, part in missing for example in part])
    reasons: dict[str, str] = {}
    for file, part in missing:
        rows: list[dict[str, Any]] = []
        for example in part:
            picture = next(pictures)
            if picture is not None:
                try:
                    rows.append(_measured(model, example, picture))
                except Exception as error:  # whatever a picture or a prompt leads to: the others go on
                    reasons[example.key] = reason_of(error)
                    logger.warning("skipped: %s: %s", example.key, reasons[example.key])
            done += 1
            if progress is not None:
                progress(done, total)
        _write(file, part, rows)
    launch.wait()
    found: list[Scored] = []
    for part in parts:
        read = _read(_file(folder, part), part)
        if read is None:
            raise InputError(f"{folder}: a part that was just measured is gone; another program may be writing there.")
        found += read
    there = {one.key for one in found}
    lost = tuple(
        Skipped(example.key, example.image, reasons.get(example.key, "cannot be read as a whole"))
        for example in dataset.examples
        if example.key not in there
    )
    kept = tuple(example for example in dataset.examples if example.key in there)
    return found, replace(dataset, examples=kept, skipped=(*dataset.skipped, *lost))


def _measured(model: QualityModel, example: Example, picture: Any) -> dict[str, Any]:
    batch = picture[None]
    trees = trees_of(example.prompt, None, 1)
    features = model.features_of(batch) if encoder_of(model) is None else None
    row: dict[str, Any] = {"key": example.key}
    for way in SCORINGS:
        (one,) = measure_pictures(model, batch, trees, AlignmentOptions(way), features=features)
        row[way] = {"phrases": one.scores, "prompt": one.prompt}
    return row


def _state(model: QualityModel) -> str:
    """What scores depend on, beside pictures and prompts."""
    encoder: Any = encoder_of(model)
    network = model.module if encoder is None else encoder.module
    words = repr(getattr(encoder, "contrast_vocabulary", None) or model.contrast_vocabulary)
    of = f"{model_fingerprint(network)} {model.resolution} {model.blocks} {words}"
    return hashlib.blake2b(of.encode(), digest_size=4).hexdigest()


def _asked(part: Sequence[Example]) -> str:
    rows = [f"{example.key}\0{_size(example.image)}\0{example.prompt}" for example in part]
    return hashlib.blake2b("\0\0".join(rows).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # gone since the data set was opened; reading says so
        return -1


def _file(folder: Path, part: Sequence[Example]) -> Path:
    return folder / f"{_asked(part)}.json"


def _write(file: Path, part: Sequence[Example], rows: list[dict[str, Any]]) -> None:
    write_text(file, json.dumps({"format": FORMAT, "pictures": len(part), "rows": rows}))


def _read(file: Path, part: Sequence[Example]) -> list[Scored] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["pictures"] != len(part):
            return None
        return [
            Scored(
                row["key"],
                {way: [None if one is None else (one[0], one[1]) for one in row[way]["phrases"]] for way in SCORINGS},
                {way: row[way]["prompt"] for way in SCORINGS},
            )
            for row in content["rows"]
        ]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        logger.warning("%s: is damaged (%r) and measured again.", file, error)
        return None
