"""The pictures and captions that the miniature CLIP is trained on, drawn once and kept on disk, and their batches."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grefine_core.errors import InputError
from grefine_core.files import write_text, written_whole
from grefine_core.miniature.world import SIDE

from ..captions import describe
from ..source_mark import source_mark
from ..worlds import SHIPPED, WORLDS, Name, World
from .clip_captions import MOST_FACTS, draw_mention, draw_short, facts_of, mentions_defect, with_mention
from .clip_groups import CLOSEUP, GROUP, draw_closeups, draw_group
from .clip_swaps import Swap, ask, swaps

logger = logging.getLogger(__name__)

FULLS, SHORTS = 3, 8
"""Captions drawn for every picture, of which a step takes one each."""
_FULL_LENGTH, _SHORT_LENGTH, _SHORT_FACTS = 76, 32, 2
_PART = 250
_VOCABULARY = 49408
_STRANGE = 256
"""Tokens that no caption has, put into some as strange words: the tower has to bear words that it never learned."""
#: Of a picture with a defect, so many of its short captions mention it.
_MENTIONING: dict[Name, int] = {"first": 1, "second": 5}
_MOST_MENTIONS: dict[Name, float] = {"first": 0.10, "second": 0.60}
_SOURCES = tuple(f"training/clip_{part}.py" for part in ("captions", "data", "groups"))


@dataclass
class ClipData:
    """Pictures with captions, tokens numbered within the vocabulary in use.

    Attributes:
        images: (N, side, side, 3) uint8, in groups of ``GROUP``.
        fulls: (N, FULLS, L) uint16 tokens, 0 behind the end.
        shorts: (N, SHORTS, l) uint16.
        facts: (N, MOST_FACTS) int64 bits of what the picture's captions tell of, 0 where there is less.
        wanted: (N, SHORTS, 2) int64 bits of what each short caption tells of.
        open: (N, SHORTS) bool, see ``Short``.
        mentions: (N,) share of each picture's captions that mention a defect.
        vocabulary: (V,) int64, CLIP's number of every token in use; the first is 0.
        strange: (S,) int64, tokens that occur in no caption.
        swaps: words that can be exchanged, by the numbers of their tokens.
    """

    images: NDArray[np.uint8]
    fulls: NDArray[np.uint16]
    shorts: NDArray[np.uint16]
    facts: NDArray[np.int64]
    wanted: NDArray[np.int64]
    open: NDArray[np.bool_]
    mentions: NDArray[np.float32]
    vocabulary: Tensor
    strange: Tensor
    swaps: dict[int, Swap]


@dataclass(frozen=True)
class Batch:
    """What one step sees: B pictures, a full caption of each, S short ones in all.

    Attributes:
        pixels: (B, side, side, 3) uint8; 128 pixels a side, close-ups 64.
        full, full_ends: (B, L) and (B,) int64, numbers of the tokens, and of the last one of each text.
        short, short_ends: the same of the short captions, (S, l) and (S,).
        same: (B, B) bool, picture i and full caption j: the caption is i's, word for word.
        holds: (B, S) bool, picture i and short caption j: it holds of the picture.
        unsure: (B, S) bool: whether it holds is not known.
        asked, asked_ends: (B, ANSWERS, l) and (B, ANSWERS) int64, a short caption of each picture, then the same with
            a word exchanged.
        wrong: (B, ANSWERS) bool: this one does not hold of the picture.
        mentions: share of the captions that mention a defect.
    """

    pixels: Tensor
    full: Tensor
    full_ends: Tensor
    short: Tensor
    short_ends: Tensor
    same: Tensor
    holds: Tensor
    unsure: Tensor
    asked: Tensor
    asked_ends: Tensor
    wrong: Tensor
    mentions: float


def make_data(
    folder: str | Path, groups: int, seed: int = 0, processes: int = 2, closeups: bool = False, world: World = SHIPPED
) -> Path:
    """Draw ``groups`` groups of scenes, or of close-ups, with their captions; what is there already stays.

    Returns:
        The folder of this many groups: ``images.u8``, and for every 250 groups ``part-*.npz`` with tokens and
        ``captions-*.jsonl`` with the captions in words.
    """
    side = CLOSEUP if closeups else SIDE
    folder = (
        Path(folder) / f"{'closeups' if closeups else 'clip'}-{world.name}-{source_mark(*_SOURCES)}-{seed}-{groups}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "images.u8"
    if not path.exists():
        with written_whole(path) as scratch:
            np.memmap(scratch, np.uint8, "w+", shape=(groups * GROUP, side, side, 3)).flush()
    starts = [start for start in range(0, groups, _PART) if not (folder / f"part-{start:06d}.npz").exists()]
    tasks = [(str(folder), start, min(groups, start + _PART), groups, seed, closeups, world.name) for start in starts]
    if tasks and processes > 1:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            for done, _ in enumerate(pool.imap_unordered(_make_part, tasks)):
                logger.info("drawn: %d of %d parts", done + 1, len(tasks))
    else:
        for task in tasks:
            _make_part(task)
    return folder


def load_data(*folders: Path, world: World = SHIPPED) -> tuple[ClipData, ...]:
    """Read what :func:`make_data` wrote; all tokens are numbered anew, alike for all folders.

    Raises:
        InputError: not drawn to the end, or more of the captions mention a defect than may.
    """
    read = [_read(folder, world) for folder in folders]
    used = np.unique(np.concatenate([[0], *(part[name].ravel() for _, part in read for name in ("fulls", "shorts"))]))
    numbers = np.zeros(_VOCABULARY, np.uint16)
    numbers[used] = np.arange(len(used), dtype=np.uint16)
    unused = np.setdiff1d(np.arange(1, 40000), used)
    strange = np.random.default_rng(len(used)).choice(unused, _STRANGE, replace=False)
    table = _numbered({token: swap for token, swap in swaps().items() if token in used}, numbers)
    return tuple(
        ClipData(
            images=images,
            fulls=numbers[part["fulls"]],
            shorts=numbers[part["shorts"]],
            facts=part["facts"],
            wanted=part["wanted"],
            open=part["open"],
            mentions=part["mentions"],
            vocabulary=torch.from_numpy(used.astype(np.int64)),
            strange=torch.from_numpy(strange.astype(np.int64)),
            swaps=table,
        )
        for images, part in read
    )


def _read(folder: Path, world: World) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    parts = [dict(np.load(part)) for part in sorted(folder.glob("part-*.npz"))]
    side = CLOSEUP if folder.name.startswith("closeups") else SIDE
    shape = (sum(len(part["fulls"]) for part in parts), side, side, 3)
    path = folder / "images.u8"
    if not parts or not path.exists() or path.stat().st_size != math.prod(shape):
        raise InputError(f"{folder}: the pictures were not drawn to the end; call make_data with the same arguments.")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    share, faulty = (float(joined[name].mean()) for name in ("mentions", "faulty"))
    told = f"{shape[0]} pictures, {faulty:.2%} with a defect, {share:.2%} of the captions mention one"
    logger.info("%s", told)
    most = _MOST_MENTIONS[world.name]
    if share > most:
        raise InputError(f"{folder}: {told}; at most {most:.0%} may.")
    return np.memmap(path, np.uint8, "r", shape=shape), joined


def draw_batch(
    data: ClipData,
    step: int,
    size: int,
    seed: int,
    shorts: int = 1,
    strange: float = 0.15,
    questions: bool = True,
) -> Batch:
    """The batch of one step: whole groups, every group once an epoch, moved and mirrored pictures.

    Args:
        data: what is drawn from.
        step: number of the step, which with ``seed`` decides everything.
        size: pictures, a multiple of ``GROUP``.
        seed: of the draw.
        shorts: short captions of each picture, up to ``SHORTS``.
        strange: share of captions that get a word which the tower never learns.
        questions: whether words are exchanged; without, the batch has no such texts.
    """
    rng = np.random.default_rng([seed, 1, step])
    chosen = _groups_of(len(data.fulls) // GROUP, step, size // GROUP, seed)
    rows = (chosen[:, None] * GROUP + np.arange(GROUP)).ravel()
    full = data.fulls[rows, rng.integers(FULLS, size=size)]
    which = rng.random((size, SHORTS)).argsort(1)[:, :shorts].ravel()
    owners = np.repeat(rows, shorts)
    short, wanted, unsure = data.shorts[owners, which], data.wanted[owners, which], data.open[owners, which]
    # A picture holds what a caption says if each of its facts lies within one of the picture's.
    facts = data.facts[rows]
    inside = (wanted[None, :, :, None] & ~facts[:, None, None, :]) == 0
    holds = (inside & (facts != 0)[:, None, None, :]).any(-1)
    holds = (holds | (wanted == 0)[None]).all(-1)
    own = np.repeat(np.eye(size, dtype=bool), shorts, axis=1)
    same = (full[:, None] == full[None]).all(-1)
    unsure = holds & unsure[None] & ~own
    count = len(data.vocabulary)
    full_tokens, full_ends = _with_strange(full, rng, strange, count)
    short_tokens, short_ends = _with_strange(short, rng, strange, count)
    first = short[::shorts].astype(np.int64)
    first = first[:, : int((first != 0).sum(1).max())]
    asked, wrong = np.zeros((size, 0, first.shape[1]), np.int64), np.zeros((size, 0), bool)
    if questions:
        asked, wrong = ask(first, wanted[::shorts], facts, data.swaps, rng)
    return Batch(
        pixels=torch.from_numpy(_moved(data.images, rows, rng)),
        full=full_tokens,
        full_ends=full_ends,
        short=short_tokens,
        short_ends=short_ends,
        same=torch.from_numpy(same),
        holds=torch.from_numpy(holds & ~unsure),
        unsure=torch.from_numpy(unsure),
        asked=torch.from_numpy(asked),
        asked_ends=torch.from_numpy((asked != 0).sum(2) - 1),
        wrong=torch.from_numpy(wrong),
        mentions=float(data.mentions[rows].mean()),
    )


def _groups_of(groups: int, step: int, count: int, seed: int) -> NDArray[np.int64]:
    """Numbers of the groups of one step; all groups in a new order every epoch."""
    chosen: list[int] = []
    first = step * count
    while len(chosen) < count:
        epoch, at = divmod(first + len(chosen), groups)
        order = np.random.default_rng([seed, 2, epoch]).permutation(groups)
        chosen += order[at : at + count - len(chosen)].tolist()
    return np.asarray(chosen, np.int64)


def _moved(images: NDArray[np.uint8], rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Mirrored at random (no caption tells left from right), moved by up to four pixels.

    The edge of scenes is repeated; close-ups have something to spare.
    """
    side = images.shape[1]
    spare = 4 if side == CLOSEUP else 0
    pictures = np.empty((len(rows), side - 2 * spare, side - 2 * spare, 3), np.uint8)
    shifts = rng.integers(-4, 5, size=(len(rows), 2))
    mirrored = rng.random(len(rows)) < 0.5
    reach = np.arange(spare, side - spare)
    for number, row in enumerate(rows):
        ys, xs = (np.clip(reach + shift, 0, side - 1) for shift in shifts[number])
        pictures[number] = images[row][ys][:, xs[::-1] if mirrored[number] else xs]
    return pictures


def _with_strange(
    tokens: NDArray[np.uint16], rng: np.random.Generator, share: float, vocabulary: int
) -> tuple[Tensor, Tensor]:
    """Put a strange token somewhere into some of the texts; cut behind the longest. Tokens and their ends."""
    tokens = np.concatenate([tokens, np.zeros((len(tokens), 1), tokens.dtype)], axis=1).astype(np.int64)
    lengths = (tokens != 0).sum(1)
    for row in np.flatnonzero(rng.random(len(tokens)) < share):
        at = int(rng.integers(1, lengths[row]))
        tokens[row, at + 1 :] = tokens[row, at:-1].copy()
        tokens[row, at] = vocabulary + int(rng.integers(_STRANGE))
        lengths[row] += 1
    longest = -(-int(lengths.max()) // 8) * 8
    return torch.from_numpy(tokens[:, :longest].copy()), torch.from_numpy(lengths - 1)


def _numbered(table: dict[int, Swap], numbers: NDArray[np.uint16]) -> dict[int, Swap]:
    """The table in the numbers of the tokens in use; what no caption has is in no question."""
    return {
        int(numbers[token]): replace(
            swap, others=tuple((int(numbers[other]), bit) for other, bit in swap.others if other in table)
        )
        for token, swap in table.items()
    }


def _make_part(task: tuple[str, int, int, int, int, bool, Name]) -> None:
    """Draw the groups from ``start`` to ``end`` into the files of a folder."""
    from open_clip.tokenizer import SimpleTokenizer

    torch.set_num_threads(1)
    name, start, end, groups, seed, closeups, world = task
    side = CLOSEUP if closeups else SIDE
    folder = Path(name)
    tokenizer = SimpleTokenizer()
    images = np.memmap(folder / "images.u8", np.uint8, "r+", shape=(groups * GROUP, side, side, 3))
    count = (end - start) * GROUP
    part: dict[str, NDArray[Any]] = {
        "fulls": np.zeros((count, FULLS, _FULL_LENGTH), np.uint16),
        "shorts": np.zeros((count, SHORTS, _SHORT_LENGTH), np.uint16),
        "facts": np.zeros((count, MOST_FACTS), np.int64),
        "wanted": np.zeros((count, SHORTS, _SHORT_FACTS), np.int64),
        "open": np.zeros((count, SHORTS), bool),
        "mentions": np.zeros(count, np.float32),
        "faulty": np.zeros(count, np.float32),
    }
    lines = []
    for index in range(start, end):
        drawn, rng = (draw_closeups if closeups else draw_group)(index, seed, WORLDS[world])
        for number, picture in enumerate(drawn):
            row = (index - start) * GROUP + number
            images[index * GROUP + number] = picture.image
            fulls = [describe(picture.scene, rng, "train").prompt for _ in range(FULLS)]
            shorts = [draw_short(picture.scene, rng) for _ in range(SHORTS)]
            if picture.fault:
                fulls = [with_mention(text, picture.fault, rng) for text in fulls]
                # The other short ones go on about what is shown.
                mentioning = range(_MENTIONING[world])
                shorts[: len(mentioning)] = [draw_mention(picture.fault, rng) for _ in mentioning]
            for column, text in enumerate(fulls):
                part["fulls"][row, column] = _tokens(tokenizer, text, _FULL_LENGTH)
            for column, short in enumerate(shorts):
                part["shorts"][row, column] = _tokens(tokenizer, short.text, _SHORT_LENGTH)
                part["wanted"][row, column, : len(short.facts)] = short.facts
                part["open"][row, column] = short.open
            facts = facts_of(picture.scene, picture.fault)
            part["facts"][row, : len(facts)] = facts
            texts = [*fulls, *(short.text for short in shorts)]
            part["mentions"][row] = np.mean([mentions_defect(text) for text in texts])
            part["faulty"][row] = float(picture.fault is not None)
            lines.append(json.dumps({"picture": index * GROUP + number, "captions": texts}) + "\n")
    images.flush()
    write_text(folder / f"captions-{start:06d}.jsonl", "".join(lines))
    with written_whole(folder / f"part-{start:06d}.npz") as scratch:
        np.savez(scratch, **part)  # type: ignore[arg-type]


def _tokens(tokenizer: Any, text: str, length: int) -> NDArray[np.uint16]:
    """Tokens with start and end, zeros behind; a text that is too long is cut as CLIP's tokenizer does."""
    numbers = tokenizer.encode(text)[: length - 2]
    row = np.zeros(length, np.uint16)
    row[: len(numbers) + 2] = [49406, *numbers, 49407]
    return row
