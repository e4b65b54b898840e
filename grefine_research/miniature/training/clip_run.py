"""How both halves of the miniature CLIP's training run: on from a checkpoint or anew, journal, checkpoints, figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from .loop import Journal, load_checkpoint, run_steps, save_checkpoint, today


class Trainer(Protocol):
    """What is trained."""

    done: int

    def step(self, step: int) -> Mapping[str, Tensor]: ...  # noqa: D102

    def state(self) -> dict[str, Any]: ...  # noqa: D102

    def load(self, state: dict[str, Any]) -> None: ...  # noqa: D102


def run(
    trainer: Trainer,
    out: Path,
    settings: Mapping[str, Any],
    validate: Callable[[int], Mapping[str, float]] | None,
    *,
    resume: bool,
    stop_at: int | None,
) -> dict[str, str]:
    """Run all steps that are left; returns what the exported files' headers say of the training.

    Args:
        trainer: new; it goes on from the checkpoint in ``out`` where ``resume`` is set and there is one.
        out: folder of ``checkpoint.pt`` and ``log.jsonl``.
        settings: for the journal; ``steps``, ``validate_every`` and ``seed`` among them.
        validate: figures after so many steps; None for none.
        resume: go on; else what was logged before is dropped.
        stop_at: leave off after so many steps, with a checkpoint.
    """
    journal, checkpoint = Journal(out / "log.jsonl"), out / "checkpoint.pt"
    if resume and checkpoint.exists():
        trainer.load(load_checkpoint(checkpoint))
        journal.cut(trainer.done)
    else:
        journal.path.unlink(missing_ok=True)
    journal.write(event="start", step=trainer.done, date=today(), **settings)
    run_steps(
        trainer.done,
        settings["steps"],
        trainer.step,
        journal=journal,
        checkpoint=lambda step: save_checkpoint(checkpoint, step, trainer.state()),
        validate=None
        if validate is None
        else lambda step: journal.write(event="validation", step=step, **validate(step)),
        validate_every=settings["validate_every"],
        stop_at=stop_at,
    )
    return {"seed": str(settings["seed"]), "steps": str(trainer.done), "date": today()}
