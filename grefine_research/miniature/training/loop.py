"""What the trainings of the diffusion model share: cosine steps, checkpoints that can be resumed, a journal.

Every step draws its batch and its noise from (seed, step) alone, so a training that was interrupted ends with the same
figures as one that ran through. A run is measured in steps, never in minutes: wall time is not reproducible.
"""

from __future__ import annotations

import ctypes
import json
import logging
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from grefine_core.files import write_text, written_whole

logger = logging.getLogger(__name__)
#: Numbers of settings in glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_COMPILED = "TORCHINDUCTOR_CACHE_DIR"


def changed(profile: Any, changes: Sequence[str]) -> Any:
    """The profile, a data class, with changes given as NAME=VALUE."""
    named = dict(change.split("=", 1) for change in changes)
    values = {name: _parsed(value, type(getattr(profile, name))) for name, value in named.items()}
    return replace(profile, **values)


def _parsed(text: str, kind: type) -> Any:
    return text in ("1", "true", "True") if kind is bool else kind(text)


@dataclass(frozen=True)
class Rates:
    """Learning rate by step: warm-up from zero, then half a cosine down to ``last``."""

    steps: int
    highest: float
    warmup: int = 100
    last: float = 1e-6

    def at(self, step: int) -> float:
        """Rate of step 0, 1, …"""
        if step < self.warmup:
            return self.highest * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.last + 0.5 * (self.highest - self.last) * (1 + math.cos(math.pi * min(1.0, done)))


class Journal:
    """A log of JSON lines, appended to; the first line of every run says date, seed and settings."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **entry: Any) -> None:
        """Append one line; floats are rounded to six digits."""
        entry = {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in entry.items()}
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
        logger.info("%s", " ".join(f"{key}={value}" for key, value in entry.items()))

    def cut(self, step: int) -> None:
        """Drop what an interrupted run wrote behind its last checkpoint; the run that goes on writes it again."""
        if self.path.exists():
            entries = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
            kept = [entry for entry in entries if entry.get("step", 0) <= step]
            write_text(self.path, "".join(json.dumps(entry) + "\n" for entry in kept))


def keep_memory() -> None:
    """Let the C library keep what is freed, where it can: giving it back after every step cost a third of the time."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return
    for setting, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, (1 << 31) - 1), (_TOP_PAD, 1 << 28)):
        mallopt(setting, value)


@contextmanager
def compiled_in(folder: Path) -> Iterator[None]:
    """Let torch.compile keep what it compiles in a folder of this training's own.

    A compiler that is killed leaves half a library behind, which every later run would fail to load. So a file marks
    the folder as in use; where an earlier run did not end by itself, what it compiled is dropped.

    It is compiled for vectors of 256 bits: for 512, torch 2.11 makes a backward pass of group norm (128 channels of 8×8
    in bfloat16) whose gradients are not numbers.
    """
    import torch._inductor.config as inductor

    mark = folder / "in-use"
    if mark.exists():
        logger.info("%s: the run before was cut off; it is compiled anew", folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
    before = os.environ.get(_COMPILED)
    os.environ[_COMPILED] = str(folder)
    try:
        with inductor.patch({"cpp.simdlen": 256}):
            yield
    finally:
        if before is None:
            del os.environ[_COMPILED]
        else:
            os.environ[_COMPILED] = before
    mark.unlink()


def today() -> str:
    """The date in UTC, as YYYY-MM-DD."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


def step_seed(seed: int, step: int) -> np.random.Generator:
    """The generator of all draws of one step."""
    return np.random.default_rng([seed, step])


def noise(rng: np.random.Generator, *shape: int) -> Tensor:
    """Unit noise float32 on the processor."""
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


@dataclass
class Averaged:
    """An exponential moving average of a module's parameters; short memory at the start."""

    module: nn.Module
    decay: float
    shadow: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shadow = {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the parameters after ``step`` (from 0) into the average."""
        keep = min(self.decay, (1 + step) / (10 + step))
        values = [value.detach() for value in self.module.state_dict().values()]
        torch._foreach_lerp_(list(self.shadow.values()), values, 1 - keep)


def save_checkpoint(path: Path, step: int, parts: Mapping[str, Any]) -> None:
    """Write state dicts and the number of steps done, in one move."""
    with written_whole(path) as scratch:
        torch.save({"step": step, **parts}, scratch)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`save_checkpoint` wrote, onto the processor."""
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def run_steps(
    start: int,
    steps: int,
    one_step: Callable[[int], Mapping[str, Tensor]],
    *,
    journal: Journal,
    checkpoint: Callable[[int], None],
    log_every: int = 50,
    checkpoint_minutes: float = 5.0,
    validate: Callable[[int], None] | None = None,
    validate_every: int = 1000,
    stop_at: int | None = None,
) -> int:
    """Run steps ``start`` … ``steps`` - 1; returns the number of steps done.

    Args:
        start: number of steps done before.
        steps: number of steps of the whole training.
        one_step: does one step, returns its figures as scalars, not always all; their means are logged.
        journal: where they go.
        checkpoint: keeps the state after so many steps.
        log_every: steps between two lines.
        checkpoint_minutes: between two checkpoints.
        validate: called with the number of steps done.
        validate_every: steps between two calls; it is called at the end as well.
        stop_at: leave off here, with a checkpoint, as an interruption would.

    Raises:
        FloatingPointError: a figure is no longer a number; no checkpoint is written of that.
    """
    from tqdm import tqdm

    sums: dict[str, Tensor] = {}
    counts: Counter[str] = Counter()
    count, since, kept_at, spent = 0, time.monotonic(), time.monotonic(), time.process_time()
    end = steps if stop_at is None else min(steps, stop_at)
    for step in tqdm(range(start, end), initial=start, total=steps, mininterval=10, disable=None):
        for name, value in one_step(step).items():
            sums[name] = sums.get(name, torch.zeros(())) + value.detach().float().cpu()
            counts[name] += 1
        count += 1
        done = step + 1
        if lost := [name for name, value in sums.items() if not value.isfinite()]:
            raise FloatingPointError(
                f"step {done}: {lost[0]} is not a number; go on from the checkpoint before, slower."
            )
        if done % log_every == 0 or done == end:
            pace = count / max(1e-9, time.monotonic() - since)
            means = {name: float(value) / counts[name] for name, value in sums.items()}
            journal.write(step=done, steps_per_s=pace, core_s=time.process_time() - spent, **means)
            sums, counts, count, since, spent = {}, Counter(), 0, time.monotonic(), time.process_time()
        if validate is not None and (done % validate_every == 0 or done == steps):
            validate(done)
            since = time.monotonic()
        if time.monotonic() - kept_at > 60 * checkpoint_minutes or done == end:
            checkpoint(done)
            kept_at = time.monotonic()
    return end
