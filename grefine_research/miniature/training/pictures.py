"""Clean training pictures of the miniature world, drawn once and kept on disk."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grefine_core.files import write_text
from grefine_core.miniature.world import SIDE, Split

from ..draw import draw
from ..layout import sample_scene
from ..scene import Scene
from ..source_mark import source_mark
from ..worlds import FIRST, World

logger = logging.getLogger(__name__)

SEED = 20261121
_CHUNK = 1000
#: The scenes for training the diffusion model are drawn apart from those of ``make_sample``: other seeds, same splits.
_STREAMS: dict[Split, int] = {"train": 101, "validation": 102, "test": 103}


def scene_at(
    index: int, split: Split = "train", seed: int = SEED, world: World = FIRST
) -> tuple[Scene, np.random.Generator]:
    """One scene of a split, of any difficulty, and the generator for what else is drawn for it, such as captions."""
    rng = np.random.default_rng([_STREAMS[split], seed, index])
    return sample_scene(rng, split, float(rng.uniform(0.0, 1.0)), world), rng


def cached_pictures(
    folder: str | Path, count: int, split: Split = "train", seed: int = SEED, world: World = FIRST
) -> NDArray[np.uint8]:
    """``(count, 128, 128, 3)`` uint8, read from a file in ``folder``, which is drawn first where it is missing.

    Drawing can be interrupted: a note beside the file says how far it came. Files of another count, seed or world, and
    files that were drawn by other code, have other names.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{world.name}-{split}-{seed}-{count}-{source_mark()}.u8"
    note = path.with_suffix(".json")
    shape = (count, SIDE, SIDE, 3)
    done = json.loads(note.read_text(encoding="utf-8"))["done"] if note.exists() and path.exists() else 0
    if done < count:
        from tqdm import tqdm

        pictures = np.memmap(path, np.uint8, "r+" if done else "w+", shape=shape)
        for index in tqdm(range(done, count), "drawing", initial=done, total=count, mininterval=5, disable=None):
            pictures[index] = np.rint(255 * draw(scene_at(index, split, seed, world)[0])).astype(np.uint8)
            if (index + 1) % _CHUNK == 0 or index + 1 == count:
                pictures.flush()
                write_text(note, json.dumps({"done": index + 1, "count": count, "seed": seed, "split": split}))
        del pictures
    return np.memmap(path, np.uint8, "r", shape=shape)
