"""The picture that the template `grefine_miniature` opens with, where ComfyUI looks for pictures. Needs no host."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from ..grefine_core.demo import EXAMPLE

log = logging.getLogger(__name__)


def place_example(folder: Path) -> None:
    """Copy the example picture into the host's input folder, so that the template runs as it opens.

    A file of that name that is there already stays as it is, and a folder that cannot be written is no reason not to
    start.
    """
    target = folder / EXAMPLE.name
    if target.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(EXAMPLE, target)
    except OSError as error:
        log.warning("G-Refine: the template's picture was not copied to %s (%s); upload %s.", target, error, EXAMPLE)
