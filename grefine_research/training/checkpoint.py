"""Where a training stands, in one safetensors file that is replaced as a whole after every epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grefine_core.errors import InputError, ModelFileError
from grefine_core.models.files import check, read_metadata, read_tensors, shapes_of, write_tensors

FORMAT = "grefine-training-2"

Tensors = dict[str, Tensor]


@dataclass
class Progress:
    """All that changes from epoch to epoch."""

    learned: Tensors
    """What learns, by name, after ``epoch`` epochs."""
    best: Tensors
    """The same after the best epoch so far."""
    optimizer: dict[str, Tensors] = field(default_factory=dict)
    """Adam's own, by name of what learns: ``step``, ``exp_avg``, ``exp_avg_sq``; empty before the first step."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """Of the loss, for float16; else empty."""
    epoch: int = 0
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry for each epoch."""

    def save(self, path: Path, identity: str) -> None:
        """Write the file; ``identity`` says what is being trained, see :func:`load_progress`."""
        parts: dict[str, Tensors] = {"learned": self.learned, "best": self.best}
        parts |= {f"optimizer/{name}": state for name, state in self.optimizer.items()}
        # Two names for one tensor are refused by safetensors.
        tensors = {
            f"{part}/{name}": value.detach().clone() for part, own in parts.items() for name, value in own.items()
        }
        state = {"epoch": self.epoch, "best_epoch": self.best_epoch, "history": self.history, "scaler": self.scaler}
        write_tensors(path, tensors, {"format": FORMAT, "identity": identity, "state": json.dumps(state)})


def load_progress(path: Path, identity: str, learned: Mapping[str, Tensor]) -> Progress | None:
    """Read what :meth:`Progress.save` wrote; None if there is no file.

    Args:
        path: of the file.
        identity: as it was saved with.
        learned: what learns, by name; the file has to have as much, of the same shapes.

    Raises:
        InputError: the file is of a training with other options, labels, pictures or weights.
        ModelFileError: it is damaged or of something else.
    """
    if not path.exists():
        return None
    try:
        notes, tensors = read_metadata(path), read_tensors(path)
    except ModelFileError as error:
        raise ModelFileError(
            f"{path}: the checkpoint of this training is damaged and cannot be read ({error.__cause__}). Take it "
            "away to begin anew, or give another path."
        ) from error
    if notes.get("format") != FORMAT:
        raise ModelFileError(f"{path}: is not a checkpoint of a training; give another path or take it away.")
    try:
        other = differences(notes["identity"], identity) if notes["identity"] != identity else None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path}: is damaged ({error!r}); take it away to begin anew.") from error
    if other is not None:
        raise InputError(
            f"checkpoint: {path} belongs to another training ({other}). Take it away to begin anew, or give this "
            "training a path of its own."
        )
    try:
        state = json.loads(notes["state"])
        found = Progress(
            learned={},
            best={},
            scaler=dict(state["scaler"]),
            epoch=int(state["epoch"]),
            best_epoch=int(state["best_epoch"]),
            history=list(state["history"]),
        )
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            if part == "optimizer":
                parameter, _, value = rest.rpartition("/")
                found.optimizer.setdefault(parameter, {})[value] = tensor
            else:
                {"learned": found.learned, "best": found.best}[part][rest] = tensor
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ModelFileError(f"{path}: is damaged ({error!r}); take it away to begin anew.") from error
    for kept in (found.learned, found.best):
        check(path, shapes_of(kept), shapes_of(learned), "what is being trained", "Take it away to begin anew.")
    return found


def differences(first: str, second: str) -> str:
    """Names of the entries in which two identities, JSON objects, differ."""
    one, two = json.loads(first), json.loads(second)
    names = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
    return "other " + ", ".join(names)


def adam_state(optimizer: torch.optim.Optimizer, names: Sequence[str]) -> dict[str, Tensors]:
    """The tensors of Adam's state by the names of its parameters, in their order; empty before the first step."""
    state = optimizer.state_dict()["state"]
    return {
        name: {key: torch.as_tensor(value).cpu() for key, value in state[number].items()}
        for number, name in enumerate(names)
        if number in state
    }


def restore_adam(optimizer: torch.optim.Optimizer, names: Sequence[str], saved: Mapping[str, Tensors]) -> None:
    """Put :func:`adam_state` back."""
    if saved:
        content = optimizer.state_dict()
        state = {number: dict(saved[name]) for number, name in enumerate(names)}
        optimizer.load_state_dict({**content, "state": state})
