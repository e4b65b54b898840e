"""Where PASD's files lie: the published layout, and Stable Diffusion 1.5's configurations where there are none."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from ...errors import ModelFileError
from .. import folders

logger = logging.getLogger(__name__)
#: Configurations of Stable Diffusion 1.5's networks, for files that come without.
SD15_CONFIG = Path(__file__).parents[1] / "configs" / "sd15"
PARTS = ("unet", "controlnet")
_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")


def find_checkpoint(folder: str | Path) -> Path:
    """The folder with ``unet`` and ``controlnet`` that ``folder`` means.

    Itself, or the newest ``checkpoint-N`` in it (a variant's folder), or that of the only variant in it.

    Raises:
        ModelFileError: nothing there, no PASD in it, or several; lists them.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        what = "a file" if folder.is_file() else "nothing there"
        raise ModelFileError(
            f"{folder}: expected PASD's folder, with {' and '.join(PARTS)} or checkpoint-N in it; this is {what}."
        )
    if _complete(folder):
        return folder
    newest = _newest(folder)
    if newest is not None:
        return newest
    inside = sorted(child for child in folder.iterdir() if child.is_dir())
    found = [place for child in inside for place in (child if _complete(child) else _newest(child),) if place]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(place.relative_to(folder)) for place in found)
        raise ModelFileError(f"{folder}: holds several PASD models ({names}); give the folder of one of them.")
    names = ", ".join(child.name for child in inside) or "no folders"
    raise ModelFileError(
        f"{folder}: no PASD model found. Expected <variant>/checkpoint-N/ with {' and '.join(PARTS)} in it, "
        f"as published; it has: {names}."
    )


def _complete(folder: Path) -> bool:
    return all((folder / part).is_dir() for part in PARTS)


def _newest(folder: Path) -> Path | None:
    """The ``checkpoint-N`` with the highest N; those that lack a network do not count."""
    numbered = [(int(match[1]), child) for child in folder.iterdir() if (match := _CHECKPOINT.match(child.name))]
    whole = [(number, child) for number, child in numbered if _complete(child)]
    if not whole:
        return None
    number, newest = max(whole)
    half = [child.name for other, child in numbered if other > number]
    if half:
        logger.warning(
            "%s: %s incomplete (no %s), taking %s.", folder, ", ".join(half), " or ".join(PARTS), newest.name
        )
    return newest


def read_config(folder: Path, part: str, name: str = "config.json") -> dict[str, Any]:
    """The configuration in ``folder``, or Stable Diffusion 1.5's own of the network ``part``.

    Raises:
        ModelFileError: as ``engines.folders.read_config``.
    """
    if not (folder / name).is_file():
        logger.info("%s: no %s, taking Stable Diffusion 1.5's.", folder, name)
        folder = SD15_CONFIG / part
    return folders.read_config(folder, name)
