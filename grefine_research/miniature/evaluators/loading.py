"""The evaluators' files: weights in half precision, and beside them what was measured on validation scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from grefine_core.errors import ModelFileError
from grefine_core.files import read_json
from grefine_core.models.files import check, read_tensors, shapes_of, to_floats, write_tensors

from .contents import ContentsEvaluator
from .severity import SeverityEvaluator

FOLDER = Path(__file__).with_name("weights")
"""Where the shipped ones are."""
FILES = {"severity": "severity.safetensors", "contents": "contents.safetensors"}
CARD = "judges.json"


@dataclass(frozen=True)
class Evaluators:
    """Both evaluators, ready to score.

    Attributes:
        severity: see ``SeverityEvaluator``.
        contents: see ``ContentsEvaluator``.
        threshold: from which answer on the contents evaluator says yes; from validation scenes.
        noise: what the severity evaluator sees in nineteen of twenty clean validation pictures is at most this: a rise
            of less says nothing.
        jitter: by how much slight blur or noise moves one answer of the contents evaluator in twenty.
        card: everything that was written down when they were trained.
    """

    severity: SeverityEvaluator
    contents: ContentsEvaluator
    threshold: float
    noise: float
    jitter: float
    card: Mapping[str, Any]


def find_evaluators(folder: str | Path | None = None) -> Path:
    """The folder with the evaluators' files; None for the shipped one.

    Raises:
        ModelFileError: a file is missing; names it.
    """
    place = FOLDER if folder is None else Path(folder).expanduser()
    for name in (*FILES.values(), CARD):
        if not (place / name).is_file():
            raise ModelFileError(
                f"evaluators: {place / name} does not exist; train them with "
                f"`python -m grefine_research.miniature.evaluators.training --out {place}`."
            )
    return place


def load_evaluators(folder: str | Path | None = None, device: str | torch.device = "cpu") -> Evaluators:
    """Load both evaluators in single precision.

    Raises:
        ModelFileError: a file is missing, damaged or of another network.
    """
    place = find_evaluators(folder)
    try:
        card = read_json(place / CARD)
        threshold, noise, jitter = (float(card[name]) for name in ("threshold", "noise", "jitter"))
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ModelFileError(f"evaluators: {place / CARD} is damaged ({error}); train the evaluators again.") from error
    severity, contents = SeverityEvaluator(), ContentsEvaluator()
    for network, name in ((severity, "severity"), (contents, "contents")):
        _fill(network, place / FILES[name])
        network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Evaluators(severity, contents, threshold, noise, jitter, card)


def save_network(network: nn.Module, path: Path) -> None:
    """Write an evaluator's weights in half precision, replacing an older file as a whole."""
    half = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    write_tensors(path, half)


def _fill(network: nn.Module, path: Path) -> None:
    weights = {name: to_floats(path, name, value, torch.float32) for name, value in read_tensors(path).items()}
    expected = {name: shape for name, shape in shapes_of(network).items() if not name.endswith("num_batches_tracked")}
    check(path, shapes_of(weights), expected, "this judge", "Train the evaluators again.")
    network.load_state_dict(weights, strict=False)
