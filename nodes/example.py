"""The picture that the template `grefine_miniature` opens with, where ComfyUI looks for pictures. Needs no host."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from ..grefine_core.miniature.world import EXAMPLE

logger = logging.getLogger(__name__)


def place_example(folder: Path, memory: Path) -> None:
    """Copy the example picture into the host's input folder once, so that the template runs as it opens.

    Whoever deletes it there is rid of it: `memory`, a file, keeps the folders that it was ever put into. A file of that
    name that is there already stays as it is, and a folder that cannot be written is no reason not to start.
    """
    target = folder / EXAMPLE.name
    try:
        known = memory.read_text(encoding="utf-8").splitlines() if memory.is_file() else []
        if str(folder.resolve()) in known:
            return
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(EXAMPLE, target)
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text("\n".join([*known, str(folder.resolve()), ""]), encoding="utf-8")
    except (OSError, ValueError) as error:
        logger.warning("G-Refine: the template's picture was not copied to %s (%s); upload %s.", target, error, EXAMPLE)
