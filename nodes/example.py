"""The pictures that the templates open with, where ComfyUI looks for pictures. Needs no host."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from ..grefine_core.examples import EXAMPLES, MINIATURE

logger = logging.getLogger(__name__)


def place_examples(folder: Path, memory: Path) -> None:
    """Copy the example pictures into the host's input folder once, so that the templates run as they open.

    Whoever deletes one there is rid of it: `memory`, a file, keeps the places that they were ever put at. A file of
    that name that is there already stays as it is, and a folder that cannot be written is no reason not to start.
    """
    for name, example in EXAMPLES.items():
        target = folder / name
        try:
            known = memory.read_text(encoding="utf-8").splitlines() if memory.is_file() else []
            # Earlier releases had the miniature picture alone, and kept the folder.
            if str(target.resolve()) in known or (name == MINIATURE and str(folder.resolve()) in known):
                continue
            if not target.exists():
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(example, target)
            memory.parent.mkdir(parents=True, exist_ok=True)
            memory.write_text("\n".join([*known, str(target.resolve()), ""]), encoding="utf-8")
        except (OSError, ValueError) as error:
            logger.warning(
                "G-Refine: the templates' picture was not copied to %s (%s); upload %s.", target, error, example
            )
