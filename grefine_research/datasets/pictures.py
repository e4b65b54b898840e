"""Looking at the pictures of a data set, and reading them one after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from torch import Tensor

from grefine_core.memory import reason_of
from grefine_core.pictures import load_picture

from .records import Dataset

logger = logging.getLogger(__name__)

Check = Literal["exists", "header", "decode"]
"""How closely pictures are looked at: that the file is there and not empty; that it begins like a picture; that all of
it can be read (minutes for tens of thousands)."""
CHECKS: tuple[Check, ...] = ("exists", "header", "decode")


def what_is_wrong(path: Path, check: Check) -> str | None:
    """Why a picture cannot be used, as far as ``check`` looks; None if nothing is found."""
    try:
        if not path.is_file():
            return "no such picture"
        if path.stat().st_size == 0:
            return "the file is empty"
    except (OSError, ValueError) as error:  # a name too long, or with a NUL; a disk that is gone
        return str(error)
    if check == "header":
        from PIL import Image

        try:
            with Image.open(path):
                return None
        except Exception as error:  # the readers of damaged files raise whatever they meet
            return f"not a readable picture ({reason_of(error)})"
    if check == "decode":
        try:
            load_picture(path)
        except Exception as error:
            return reason_of(error)
    return None


def read_pictures(dataset: Dataset, threads: int = 4) -> Callable[[Sequence[str]], Iterator[Tensor | None]]:
    """A reader of a data set's pictures by their keys, in order, as ``build_features`` takes it.

    Returns:
        A function: keys -> pictures (H, W, 3) float32 in [0, 1], one after the other, None for one that cannot be read
        (logged with the reason). A few are read ahead.
    """
    files = {example.key: example.image for example in dataset.examples}

    def read(key: str) -> Tensor | None:
        try:
            return load_picture(files[key]).image[0]
        except Exception as error:
            logger.warning("skipped: %s: %s", key, reason_of(error))
            return None

    def pictures(keys: Sequence[str]) -> Iterator[Tensor | None]:
        if threads <= 1:
            yield from map(read, keys)
            return
        ahead: deque[Future[Tensor | None]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for key in keys:
                ahead.append(pool.submit(read, key))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    return pictures
