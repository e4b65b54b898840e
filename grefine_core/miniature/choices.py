"""What the method does in the miniature world where the paper leaves it open, decided on validation scenes.

The choices lie beside the models' files in ``choices.json``; what the file does not say is as everywhere. The demo, the
benchmark and the miniature workflow read them from here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, ModelFileError
from ..json_reading import read_json
from ..refine.crops import CropOptions
from ..refine.options import EmphasisOptions, MaskOptions, PlanOptions, RefineOptions

FILE = "choices.json"
_GROUPS = {"masks": MaskOptions, "plan": PlanOptions, "emphasis": EmphasisOptions, "crop": CropOptions}


@dataclass(frozen=True)
class Choices:
    """Options of all steps.

    Attributes:
        options: of ``refine``.
        importance: of the technical, rational and natural factor.
        calibration: "paper" or "released", see ``perceptual_quality``.
        aggregate: see ``alignment_quality``.
        scoring: the same; None for the calibration file's.
        penalty: the same; None for the usual one.
        blocks: last blocks with V-V attention; None for as many as usual.
        guidance: classifier-free guidance of the diffusion model; None for the loader's.
    """

    options: RefineOptions = field(default_factory=RefineOptions)
    importance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    calibration: str = "paper"
    aggregate: str = "product"
    scoring: str | None = None
    penalty: str | None = None
    blocks: int | None = None
    guidance: float | None = None

    def assessment(self) -> dict[str, Any]:
        """The keywords for ``assess``."""
        keywords: dict[str, Any] = {
            "calibration": self.calibration,
            "importance": self.importance,
            "aggregate": self.aggregate,
            "scoring": self.scoring,
        }
        return keywords if self.penalty is None else {**keywords, "penalty": self.penalty}

    def save(self, folder: str | Path) -> Path:
        """Write ``choices.json`` into a folder, as a whole; returns its path."""
        file = Path(folder) / FILE
        part = file.with_name(file.name + ".part")
        part.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        os.replace(part, file)  # noqa: PTH105
        return file


def load_choices(folder: str | Path | None = None) -> Choices:
    """Read the choices beside the models' files; without such a file everything is as everywhere.

    Args:
        folder: of the models' files; None for the usual one.

    Raises:
        ModelFileError: the file is damaged or names what there is not.
    """
    from .loading import weights_folder

    file = (weights_folder() if folder is None else Path(folder).expanduser()) / FILE
    if not file.is_file():
        return Choices()
    try:
        return from_mapping(read_json(file))
    except (InputError, OSError, ValueError, TypeError, OverflowError) as error:
        raise ModelFileError(f"{file}: cannot be read as choices ({error}); install G-Refine again.") from error


def from_mapping(content: Mapping[str, Any]) -> Choices:
    """Choices from nested dictionaries, as :func:`dataclasses.asdict` gives them; what is left out is as everywhere.

    Raises:
        InputError: an unknown name, or an option of a wrong value.
    """
    values = dict(_known(Choices, content))
    if "importance" in values:
        values["importance"] = tuple(float(value) for value in values["importance"])
    if "options" in values:
        given = dict(_known(RefineOptions, values["options"]))
        groups = {name: kind(**_known(kind, given[name])) for name, kind in _GROUPS.items() if name in given}
        values["options"] = replace(RefineOptions(), **{**given, **groups})
    return replace(Choices(), **values)


def _known(kind: Any, content: Any) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise InputError(f"choices: expected a table of options, got {type(content).__name__}.")
    names = {each.name for each in fields(kind)}
    if unknown := sorted(set(content) - names):
        raise InputError(f"choices: {unknown[0]!r} is no option; there are {', '.join(sorted(names))}.")
    return content
