"""A mark that changes with the code that draws the world: what is kept on disk is drawn anew after a change of it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from grefine_core.miniature import world

_PACKAGE = Path(__file__).parent
#: What draws scenes, defects and captions; trainings and evaluators add their own modules.
_DRAWS = ("draw", "generator", "grounds", "layout", "sample", "scene", "shapes", "visibility", "worlds")
_GENERATOR = (*(f"{name}.py" for name in _DRAWS), "captions/*.py", "defects/*.py")


@lru_cache(maxsize=16)
def source_mark(*more: str) -> str:
    """Eight letters of the generator's source code.

    Comments and formatting do not count.

    Args:
        more: further modules, as paths below ``grefine_research/miniature``.
    """
    files = [file for pattern in _GENERATOR for file in sorted(_PACKAGE.glob(pattern))]
    return mark_of([Path(world.__file__), *files, *(_PACKAGE / name for name in more)])


def mark_of(files: Iterable[Path]) -> str:
    """Eight letters of the code in some files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + ast.dump(ast.parse(file.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()[:8]
