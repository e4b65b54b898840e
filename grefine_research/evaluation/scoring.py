"""Indicators run over pictures, one indicator after the other, so that only one is in memory."""

from __future__ import annotations

import hashlib
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grefine_core.errors import Cancelled, GRefineError
from grefine_core.memory import reason_of

from .indicators.protocol import Context, Indicator, Spec
from .indicators.registry import OWN
from .store import Record, Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """A picture that is to be scored."""

    key: str
    image: Path
    prompt: str = ""


@dataclass(frozen=True)
class Failure:
    """A picture that something could not be done with."""

    key: str
    path: Path
    what: str
    """What was being done: an indicator, a method."""
    reason: str

    def entry(self) -> dict[str, str]:
        """For JSON."""
        return {"key": self.key, "path": str(self.path), "what": self.what, "reason": self.reason}


@dataclass
class Scored:
    """What one indicator said of pictures."""

    spec: Spec
    values: dict[str, float] = field(default_factory=dict)
    """Key -> score."""
    failures: list[Failure] = field(default_factory=list)
    obstacle: str | None = None
    """Why it could not run at all; None if it could."""


def score_items(
    spec: Spec, items: Sequence[Item], context: Context, file: Path, what: str = "", resume: bool = True
) -> Scored:
    """Score pictures with one indicator; those that are scored already in ``file`` are not scored again.

    A picture that cannot be read, or that the indicator fails on, is reported and does not stop the others; it is tried
    again in the next run. An indicator that cannot be loaded is an obstacle, not an error, unless it is our own.

    Args:
        spec: the indicator.
        items: the pictures.
        context: what indicators are loaded with.
        file: of the records.
        what: which pictures these are, for messages.
        resume: False forgets earlier records.

    Raises:
        GRefineError: our own quality model cannot be loaded.
    """
    result = Scored(spec)
    result.obstacle = spec.obstacle(context)
    if result.obstacle is None and spec.kind == "alignment" and not any(item.prompt for item in items):
        result.obstacle = "the pictures have no prompts"
    if result.obstacle is not None:
        return result
    store: Store[str] = Store(file, _digest(spec.identity(context)), resume)
    done: dict[str, Record] = {}
    stamps = {item.key: stamp(item) for item in items}
    for item in items:
        record = store.get(item.key)
        if record is not None and record["stamp"] == stamps[item.key]:
            done[item.key] = record
    missing = [item for item in items if item.key not in done]
    if missing:
        try:
            indicator = spec.load(context)
        except GRefineError as error:
            if spec.name in OWN:
                raise
            logger.warning("%s is left out: %s", spec.title, error)
            result.obstacle = str(error)
            return result
        for item in _progress(missing, f"{spec.title}{what and ' of '}{what}"):
            try:
                value = _score(spec, indicator, item)
            except Cancelled:
                raise
            except Exception as error:  # of a package of others, too: whatever it raises is one picture's failure
                reason = reason_of(error)
                logger.warning("%s: %s", item.image, reason)
                result.failures.append(Failure(item.key, item.image, spec.title, reason))
                continue
            done[item.key] = {"value": value}
            store.add(item.key, {"stamp": stamps[item.key], "value": value})
        del indicator
        _free(context.device)
    result.values = {item.key: done[item.key]["value"] for item in items if item.key in done}
    return result


def stamp(item: Item) -> str:
    """Changes when the picture's file or its prompt does; "absent" without a file."""
    try:
        status = item.image.stat()
    except (OSError, ValueError):
        return "absent"
    return f"{status.st_size}-{status.st_mtime_ns}-{_digest(item.prompt)}"


def _score(spec: Spec, indicator: Indicator, item: Item) -> float:
    from grefine_core.pictures import load_picture

    if spec.kind == "alignment" and not item.prompt:
        raise GRefineError("has no prompt")
    image = load_picture(item.image).image
    value = float(indicator.score(image, item.prompt))
    if not math.isfinite(value):
        raise GRefineError(f"gave {value}, which is no score")
    return value


def _progress(items: Sequence[Item], what: str) -> Sequence[Item]:
    from tqdm import tqdm

    bar: Sequence[Item] = tqdm(items, desc=what, unit="picture", disable=None, file=sys.stderr)
    return bar


def _free(device: str) -> None:
    """Give the GPU's memory back before the next indicator is loaded."""
    from grefine_core.memory import empty_cache

    if device != "cpu":
        empty_cache()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
