"""Perceptual indicators of the package pyiqa (IQA-PyTorch), an optional extra: its licence forbids commercial use."""

from __future__ import annotations

import contextlib
import io
import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor

from grefine_core.errors import ModelFileError
from grefine_core.models.files import file_identity

from ..offline import FetchRefusedError, no_downloads
from .protocol import Context, Indicator, Spec, package_version

LICENCE = (
    "pyiqa: PolyForm Noncommercial 1.0.0 and NTU S-Lab 1.0, non-commercial; weights: each under its own authors' terms"
)
INSTALL = "pip install g-refine[iqa]"


class PyiqaMetric:
    """One of pyiqa's metrics without a reference."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric

    @torch.no_grad()
    def score(self, image: Tensor, prompt: str) -> float:  # noqa: ARG002
        """As ``Indicator.score``."""
        return float(self._metric(image.permute(0, 3, 1, 2).contiguous()).reshape(-1)[0])


def load(context: Context, name: str, metric: str) -> Indicator:
    """Make ``metric`` of pyiqa.

    Raises:
        ModelFileError: its weights are not on this machine and may not be fetched, or it cannot be made.
    """
    options: dict[str, Any] = {}
    if name in context.weights:
        options["pretrained_model_path"] = str(context.weights[name])
    try:
        # What the package prints (it says "Downloading" before it is refused to) is no result of ours.
        said_by_it = sys.stderr if context.download else io.StringIO()
        with no_downloads(context.download), contextlib.redirect_stdout(said_by_it):
            import pyiqa

            return PyiqaMetric(pyiqa.create_metric(metric, device=torch.device(context.device), **options))
    except Exception as error:  # whatever the package and those behind it raise
        if _refused(error):
            raise ModelFileError(
                f"pyiqa's {metric}: its weights are not on this machine. --download lets the package fetch them, or "
                f"--weights {name}=FILE names them ({str(error)[:200]})."
            ) from error
        said = f"{type(error).__name__}: {str(error)[:200]}"
        raise ModelFileError(f"pyiqa's {metric} cannot be made ({said}).") from error


def _refused(error: BaseException | None) -> bool:
    # Hugging Face's own refusals, by name: the package that has them need not be installed.
    offline = ("LocalEntryNotFoundError", "OfflineModeIsEnabled")
    while error is not None:
        if isinstance(error, FetchRefusedError) or type(error).__name__ in offline:
            return True
        error = error.__cause__ or error.__context__
    return False


def identity(context: Context, name: str, metric: str) -> str:
    """The package's version, which decides which weights it fetches; or the file given."""
    weights = file_identity(context.weights[name]) if name in context.weights else "its own"
    return f"pyiqa {package_version('pyiqa')} {metric} {weights}"


def spec(name: str, title: str, metric: str, paper: tuple[str, ...], lower_is_better: bool = False) -> Spec:
    """An indicator that is ``metric`` of pyiqa."""
    return Spec(
        name,
        title,
        "perceptual",
        partial(load, name=name, metric=metric),
        partial(identity, name=name, metric=metric),
        lower_is_better,
        packages=("pyiqa",),
        install=INSTALL,
        licence=LICENCE,
        paper=paper,
    )


SPECS = (
    spec("clipiqa", "CLIP-IQA", "clipiqa", ("CLIPIQA",)),
    spec("unique", "UNIQUE", "unique", ("UNIQUE",)),
    spec("liqe", "LIQE", "liqe", ("LIQE",)),
    spec("dbcnn", "DBCNN", "dbcnn", ("DBCNN",)),
    spec("topiq", "TOPIQ", "topiq_nr", ("TOPIQ",)),
    spec("cnniqa", "CNNIQA", "cnniqa", ("CNNIQA", "CNN-IQA")),
    spec("musiq", "MUSIQ", "musiq", ("MUSIQ",)),
    spec("brisque", "BRISQUE", "brisque", ("BRISQUE",), lower_is_better=True),
    spec("qalign", "Q-Align", "qalign", ("Q-Align",)),
    spec("hyperiqa", "HyperIQA", "hyperiqa", ("HyperIQA",)),
    spec("nima", "NIMA", "nima", ("NIMA",)),
    spec("paq2piq", "PaQ-2-PiQ", "paq2piq", ("Paq2Piq",)),
)
