"""Clean training pictures of the miniature world, drawn once and kept on disk."""

from __future__ import annotations

import json
import logging
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grefine_core.files import write_text
from grefine_core.miniature.world import SIDE, Split

from ..draw import draw
from ..layout import sample_scene
from ..scene import Scene
from ..source_mark import source_mark
from ..worlds import SHIPPED, WORLDS, Name, World

logger = logging.getLogger(__name__)

SEED = 20261121
_CHUNK = 250
#: The scenes for training the diffusion model are drawn apart from those of ``make_sample``: other seeds, same splits.
_STREAMS: dict[Split, int] = {"train": 101, "validation": 102, "test": 103}


def scene_at(
    index: int, split: Split = "train", seed: int = SEED, world: World = SHIPPED
) -> tuple[Scene, np.random.Generator]:
    """One scene of a split, of any difficulty, and the generator for what else is drawn for it, such as captions."""
    rng = np.random.default_rng([_STREAMS[split], seed, index])
    return sample_scene(rng, split, float(rng.uniform(0.0, 1.0)), world), rng


def cached_pictures(
    folder: str | Path,
    count: int,
    split: Split = "train",
    seed: int = SEED,
    world: World = SHIPPED,
    processes: int = 1,
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

        if not done:
            np.memmap(path, np.uint8, "w+", shape=shape).flush()
        starts = range(done, count, _CHUNK)
        tasks = [(str(path), count, start, min(count, start + _CHUNK), split, seed, world.name) for start in starts]
        with tqdm(total=count, desc="drawing", initial=done, mininterval=5, disable=None) as bar:
            for end in _drawn(tasks, processes):
                write_text(note, json.dumps({"done": end, "count": count, "seed": seed, "split": split}))
                bar.update(end - bar.n)
    return np.memmap(path, np.uint8, "r", shape=shape)


def _drawn(tasks: list[tuple[str, int, int, int, Split, int, Name]], processes: int) -> Iterator[int]:
    """Draw part after part; yields the end of each, in their order."""
    if processes > 1 and len(tasks) > 1:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            yield from pool.imap(_draw_part, tasks)
    else:
        yield from map(_draw_part, tasks)


def _draw_part(task: tuple[str, int, int, int, Split, int, Name]) -> int:
    path, count, start, end, split, seed, world = task
    pictures = np.memmap(path, np.uint8, "r+", shape=(count, SIDE, SIDE, 3))
    for index in range(start, end):
        pictures[index] = np.rint(255 * draw(scene_at(index, split, seed, WORLDS[world])[0])).astype(np.uint8)
    pictures.flush()
    return end
