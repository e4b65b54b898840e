"""A sheet of scenes, each clean and with its defects, to be looked at: ``python -m grefine_research.miniature.sheet``.

A world is good where a person tells at a glance what is shown and what is wrong with it.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grefine_core.miniature.world import SPLITS, Split
from grefine_core.pictures import save_picture

from .generator import make_sample
from .sample import as_tensor, in_words
from .worlds import SECOND, WORLDS, World, world_named

logger = logging.getLogger(__name__)
_KINDS = (("technical",), ("rational",), ("natural",), ("alignment",))
_EDGE = 3


def draw_sheet(
    split: Split, count: int, columns: int = 4, world: World = SECOND
) -> tuple[NDArray[np.float32], list[str]]:
    """Samples 0 … ``count`` - 1, kinds of defects in turn, each as a pair of what should be and what is.

    Returns:
        (H, W, 3) float32 in [0, 1], and for each sample its prompt and what is wrong.
    """
    pairs, told = [], []
    for index in range(count):
        sample = make_sample(split, index, kinds=_KINDS[index % len(_KINDS)], world=world)
        pair = np.concatenate([sample.clean, sample.image], axis=1)
        pairs.append(np.pad(pair, ((_EDGE, _EDGE), (_EDGE, _EDGE), (0, 0)), constant_values=1.0))
        told.append(f"{index}: {sample.caption.prompt!r}. {in_words(sample)}")
    pairs += [np.ones_like(pairs[0])] * (-count % columns)
    rows = [np.concatenate(pairs[start : start + columns], axis=1) for start in range(0, len(pairs), columns)]
    return np.concatenate(rows, axis=0), told


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    parser.add_argument("--world", choices=tuple(WORLDS), default=SECOND.name)
    parser.add_argument("--split", choices=SPLITS, default="validation")
    parser.add_argument("--count", type=int, default=24)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    picture, told = draw_sheet(options.split, options.count, world=world_named(options.world))
    save_picture(as_tensor(picture), options.out, {})
    for line in told:
        logger.info("%s", line)


if __name__ == "__main__":
    main()
