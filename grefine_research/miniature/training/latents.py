"""Views as the UNet sees them: latents, latents of the masked picture, mask, tokens; encoded once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from grefine_core.files import write_text
from grefine_core.miniature.networks import FACTOR, LATENT_CHANNELS, LATENT_SIDE, SCALING, TEXT_LENGTH, pad_with_end
from grefine_core.miniature.world import Split

from ...training.precision import quick
from ..source_mark import source_mark
from ..worlds import SHIPPED, World
from .autoencoder import to_network
from .pictures import SEED
from .views import CAPTIONS, CLOSEUP_SIDE, View, closeup_at, view_at

logger = logging.getLogger(__name__)
_CHUNK = 32
_NOTED = 32  # chunks between two notes of how far it came


@dataclass(frozen=True)
class Latents:
    """All views; the arrays lie on disk.

    Attributes:
        clean: (n, 4, 16, 16) float16, of close-ups (n, 4, 8, 8); scaled to unit variance.
        masked: the same of the pictures whose masked part is grey (0 in [-1, 1]).
        mask: (n, 16, 16) or (n, 8, 8) bool, where to paint.
        tokens: (n, ``CAPTIONS``, 77) uint16, filled up with END tokens.
    """

    clean: NDArray[np.float16]
    masked: NDArray[np.float16]
    mask: NDArray[np.bool_]
    tokens: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.clean)

    def flush(self) -> None:
        """Write what is still in memory."""
        for array in (self.clean, self.masked, self.mask, self.tokens):
            if isinstance(array, np.memmap):
                array.flush()


def tokenize(texts: Sequence[str]) -> Tensor:
    """(n, 77) token numbers, filled up with END tokens as for Stable Diffusion 1.5."""
    import open_clip

    return pad_with_end(open_clip.tokenize(list(texts), context_length=TEXT_LENGTH))


def masked_input(pictures: Tensor, masks: Tensor) -> Tensor:
    """Pictures (n, 3, s, s) in [-1, 1], 0 where masks (n, 1, s, s) bool cover them: Stable Diffusion's convention."""
    return pictures.masked_fill(masks, 0.0)


def shrink_masks(masks: Tensor, smooth: Tensor) -> Tensor:
    """Masks (n, 1, s, s) bool at the latents' size, (n, s/8, s/8) bool.

    By nearest pixel as diffusers does it, or, where ``smooth`` (n,) bool is set, averaged and rounded as ComfyUI does.
    """
    size = (masks.shape[-2] // FACTOR, masks.shape[-1] // FACTOR)
    nearest = F.interpolate(masks.float(), size=size, mode="nearest")
    rounded = F.interpolate(masks.float(), size=size, mode="bilinear", align_corners=False).round()
    return torch.where(smooth[:, None, None, None], rounded, nearest)[:, 0] > 0.5


def cached_latents(
    folder: str | Path,
    autoencoder: Any,
    pictures: NDArray[np.uint8],
    count: int,
    split: Split = "train",
    *,
    seed: int = SEED,
    world: World = SHIPPED,
    device: str = "cpu",
    compiled: bool = False,
) -> Latents:
    """Views 0 … ``count`` - 1 through the encoder; read from ``folder`` where that was done before.

    What was made with another encoder, of other views, or with another count or seed is not used. An interruption costs
    some views.
    """
    made_from = {**_made_from(autoencoder, count, seed, world), "pictures": len(pictures)}
    views = partial(view_at, pictures=pictures, split=split, seed=seed, world=world)
    work = _Work(Path(folder) / f"views-{split}-{count}", views, LATENT_SIDE, made_from)
    return work.latents(autoencoder, device, compiled)


def cached_closeups(
    folder: str | Path,
    autoencoder: Any,
    count: int,
    *,
    seed: int = SEED,
    world: World = SHIPPED,
    device: str = "cpu",
    compiled: bool = False,
) -> Latents:
    """Close-ups 0 … ``count`` - 1 of the training split through the encoder, kept as :func:`cached_latents` does."""
    views = partial(closeup_at, seed=seed, world=world)
    made_from = _made_from(autoencoder, count, seed, world)
    work = _Work(Path(folder) / f"closeups-{count}", views, CLOSEUP_SIDE // FACTOR, made_from)
    return work.latents(autoencoder, device, compiled)


@dataclass(frozen=True)
class _Work:
    """Views to be encoded into the files ``stem``.*."""

    stem: Path
    view: Callable[[int], View]
    side: int
    made_from: dict[str, Any]

    def latents(self, autoencoder: Any, device: str, compiled: bool) -> Latents:
        self.stem.parent.mkdir(parents=True, exist_ok=True)
        note = Path(f"{self.stem}.json")
        count = int(self.made_from["count"])
        state = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
        done = int(state["done"]) if state.get("made_from") == self.made_from else 0
        if done < count:
            self.encode(note, done, autoencoder, device, compiled)
        return self.arrays("r")

    def arrays(self, mode: Any) -> Latents:
        count = int(self.made_from["count"])

        def array(name: str, dtype: Any, *shape: int) -> Any:
            return np.memmap(f"{self.stem}.{name}", dtype, mode, shape=(count, *shape))

        return Latents(
            array("clean", np.float16, LATENT_CHANNELS, self.side, self.side),
            array("masked", np.float16, LATENT_CHANNELS, self.side, self.side),
            array("mask", np.bool_, self.side, self.side),
            array("tokens", np.uint16, CAPTIONS, TEXT_LENGTH),
        )

    def encode(self, note: Path, done: int, autoencoder: Any, device: str, compiled: bool) -> None:
        from tqdm import tqdm

        count, seed = int(self.made_from["count"]), int(self.made_from["seed"])
        arrays = self.arrays("r+" if done else "w+")

        def means(batch: Tensor) -> Tensor:
            with quick(device):
                return autoencoder.quant_conv(autoencoder.encoder(batch))[:, :LATENT_CHANNELS].float() * SCALING

        encode = torch.compile(means, dynamic=False) if compiled else means
        for number, first in enumerate(tqdm(range(done, count, _CHUNK), "encoding", mininterval=10, disable=None)):
            part = slice(first, min(first + _CHUNK, count))
            views = [self.view(index) for index in range(first, part.stop)]
            batch, masks = _stacked(views)
            smooth = torch.from_numpy(np.random.default_rng([seed, first]).random(len(views)) < 0.5)
            with torch.no_grad():
                both = torch.cat([batch, masked_input(batch, masks)])
                latents = encode(both.to(device, memory_format=torch.channels_last)).cpu().to(torch.float16).numpy()
            arrays.clean[part], arrays.masked[part] = latents[: len(views)], latents[len(views) :]
            arrays.mask[part] = shrink_masks(masks, smooth).numpy()
            tokens = tokenize([text for view in views for text in view.captions])
            arrays.tokens[part] = tokens.view(len(views), CAPTIONS, TEXT_LENGTH).numpy().astype(np.uint16)
            if (number + 1) % _NOTED == 0 or part.stop == count:
                arrays.flush()
                write_text(note, json.dumps({"done": part.stop, "made_from": self.made_from}))


def _made_from(autoencoder: Any, count: int, seed: int, world: World) -> dict[str, Any]:
    """What tells the views of one encoder, world and code from those of others."""
    source = source_mark("training/views.py", "training/clip_groups.py", "training/pictures.py", "training/latents.py")
    return {"encoder": _digest(autoencoder), "count": count, "seed": seed, "world": world.name, "source": source}


def _stacked(views: Sequence[View]) -> tuple[Tensor, Tensor]:
    batch = to_network(np.stack([view.picture for view in views]))
    return batch, torch.from_numpy(np.stack([view.mask for view in views]))[:, None]


def _digest(autoencoder: Any) -> str:
    """Of the encoder's weights."""
    digest = hashlib.sha256()
    for part in (autoencoder.encoder, autoencoder.quant_conv):
        for value in part.state_dict().values():
            digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
