"""Where a training stands, in one safetensors file that is replaced as a whole after every epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, ModelFileError
from ..models.files import read_metadata, read_tensors, write_tensors

FORMAT = "grefine-prompt-tuning-1"


@dataclass
class Progress:
    """All that changes from epoch to epoch."""

    context: Tensor
    """What learns, after ``epoch`` epochs."""
    best: Tensor
    """The same after the best epoch so far."""
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    """Adam's own: ``step``, ``exp_avg``, ``exp_avg_sq``; empty before the first step."""
    epoch: int = 0
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry for each epoch."""

    def save(self, path: Path, identity: str) -> None:
        """Write the file; ``identity`` says what is being trained, see :func:`load_progress`."""
        tensors = {"context": self.context, "best": self.best}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.items()}
        # Two names for one tensor are refused by safetensors.
        tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        state = {"epoch": self.epoch, "best_epoch": self.best_epoch, "history": self.history}
        write_tensors(path, tensors, {"format": FORMAT, "identity": identity, "state": json.dumps(state)})


def load_progress(path: Path, identity: str) -> Progress | None:
    """Read what :meth:`Progress.save` wrote; None if there is no file.

    Raises:
        InputError: the file is of a training with other options, labels, pictures or weights.
        ModelFileError: it is damaged or of something else.
    """
    if not path.exists():
        return None
    notes = read_metadata(path)
    if notes.get("format") != FORMAT:
        raise ModelFileError(f"{path}: is not a checkpoint of prompt tuning; give another path or take it away.")
    if notes["identity"] != identity:
        raise InputError(
            f"checkpoint: {path} belongs to another training ({differences(notes['identity'], identity)}). Take it "
            "away to begin anew, or give this training a path of its own."
        )
    try:
        state = json.loads(notes["state"])
        tensors = read_tensors(path)
        return Progress(
            context=tensors.pop("context"),
            best=tensors.pop("best"),
            optimizer={name.removeprefix("optimizer."): value for name, value in tensors.items()},
            epoch=int(state["epoch"]),
            best_epoch=int(state["best_epoch"]),
            history=list(state["history"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: is damaged ({error!r}); take it away to begin anew.") from error


def differences(first: str, second: str) -> str:
    """Names of the entries in which two identities, JSON objects, differ."""
    one, two = json.loads(first), json.loads(second)
    names = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
    return "other " + ", ".join(names)


def adam_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of Adam's state for its only parameter; empty before the first step."""
    state = optimizer.state_dict()["state"].get(0, {})
    return {name: torch.as_tensor(value) for name, value in state.items()}


def restore_adam(optimizer: torch.optim.Optimizer, saved: dict[str, Tensor]) -> None:
    """Put :func:`adam_state` back."""
    if saved:
        content = optimizer.state_dict()
        optimizer.load_state_dict({**content, "state": {0: dict(saved)}})
