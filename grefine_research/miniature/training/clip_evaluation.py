"""What the miniature CLIP can do so far, on validation scenes: whole pictures, phrases, their maps, and defects.

Masks only score; nothing here goes back into a training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grefine_core.clip.preprocess import geometry, normalise
from grefine_core.clip.surgery import encode_image
from grefine_core.clip.text_encoder import encode_tokens
from grefine_core.miniature.world import COLOURS

from ...evaluation.statistics import auroc
from ..captions.naming import noun
from ..draw import item_masks
from ..generator import make_sample
from ..sample import FACTORS, Sample
from ..scene import Item
from ..worlds import SHIPPED, World
from .clip_captions import MENTIONS, facts_of, phrase_bits

BLOCKS = (3, 4, 5, 6)
_IN_ONE_PASS = 32
#: Pictures and the number of blocks with V-V attention -> (n, 1 + h·w, C) at unit length.
Encoder = Callable[[Sequence[np.ndarray], int], Tensor]


@dataclass(frozen=True)
class Samples:
    """Validation samples: clean ones, and for each factor pictures with one defect."""

    clean: tuple[Sample, ...]
    defective: dict[str, tuple[Sample, ...]]


def validation_samples(count: int = 64, defective: int = 96, world: World = SHIPPED) -> Samples:
    """``count`` clean, matching validation samples, and ``defective`` ones of each factor."""
    return Samples(
        tuple(make_sample("validation", index, kinds=(), world=world) for index in range(count)),
        {
            factor: tuple(
                make_sample("validation", index, kinds=(factor,), difficulty=0.3, world=world)
                for index in range(defective)
            )
            for factor in FACTORS
        },
    )


@torch.no_grad()
def evaluate_maps(clip: nn.Module, samples: Samples, blocks: Sequence[int] = BLOCKS) -> dict[str, float]:
    """Measure an open_clip model.

    Args:
        clip: in evaluation mode.
        samples: what to measure on.
        blocks: numbers of last blocks with V-V attention to try.

    Returns:
        ``top1``: share of pictures whose own caption is nearest; ``phrase_auc``, ``noun_auc``: class feature, phrases
        (bare nouns) of the picture against those of others; ``colour_auc``: against the same phrase in other colours;
        ``point_d``, ``iou_d``, ``iou_norm_d``: maps with ``d`` blocks: maximum on the item, overlap at the best fixed
        threshold, of the map as it is and of that stretched to [0, 1]; ``probe_*``: clean against defective by a linear
        probe on class features; ``mention_*``: pixels in against pixels out of the defect by the map of its mention.
    """
    return _figures(lambda pictures, depth: _encode(clip, pictures, depth), clip, samples, blocks)


@torch.no_grad()
def evaluate_guide(guide: nn.Module, clip: nn.Module, samples: Samples) -> dict[str, float]:
    """The same figures of the guide's features, with ``clip``'s text tower; maps are named ``…_0``."""

    def encode(pictures: Sequence[np.ndarray], _: int) -> Tensor:
        parts = (_bytes(pictures[start : start + _IN_ONE_PASS]) for start in range(0, len(pictures), _IN_ONE_PASS))
        encoded = [guide(part.to(next(guide.parameters()).device)) for part in parts]
        return torch.cat([torch.cat([whole[:, None], local], 1).cpu() for whole, local in encoded])

    return _figures(encode, clip, samples, (0,))


def _figures(encode: Encoder, clip: nn.Module, samples: Samples, blocks: Sequence[int]) -> dict[str, float]:
    pictures = [sample.image for sample in samples.clean]
    encoded = {depth: encode(pictures, depth) for depth in blocks}
    whole = encoded[blocks[0]][:, 0]
    empty = _texts(clip, [""])
    captions = _texts(clip, [sample.caption.prompt for sample in samples.clean])
    result = {"top1": float(((whole @ captions.T).argmax(1) == torch.arange(len(whole))).float().mean())}
    facts = [facts_of(sample.scene) for sample in samples.clean]
    items = [(number, item) for number, sample in enumerate(samples.clean) for item in sample.scene.items]
    for name, plain in (("phrase", False), ("noun", True)):
        texts = sorted({(_words(item, plain), phrase_bits(item, plain)) for _, item in items})
        scores = whole @ (_texts(clip, [text for text, _ in texts]) - empty).T
        there = torch.tensor([[any(bits & ~fact == 0 for fact in picture) for _, bits in texts] for picture in facts])
        result[f"{name}_auc"] = auc(scores[there], scores[~there])
    result["colour_auc"] = _colour_auc(clip, whole, items, facts)
    masks = [mask for sample in samples.clean for mask in item_masks(sample.scene)]
    targets = _texts(clip, [_words(item, False) for _, item in items]) - empty
    owners = torch.tensor([number for number, _ in items])
    for depth in blocks:
        maps = torch.einsum("tpc,tc->tp", encoded[depth][owners][:, 1:], targets)
        result |= {f"{name}_{depth}": value for name, value in _map_figures(maps, masks).items()}
    return result | _defect_figures(encode, clip, samples, empty, blocks[-1])


def auc(higher: Tensor, lower: Tensor) -> float:
    """Probability that a value of the first exceeds one of the second; 0 where one of both is empty."""
    values = torch.cat([higher.flatten(), lower.flatten()]).numpy()
    found = auroc(values, np.arange(len(values)) < higher.numel())
    return 0.0 if math.isnan(found) else found


def _words(item: Item, plain: bool) -> str:
    return item.kind if plain else " ".join((*item.modifiers, noun(item)))


def _colour_auc(clip: nn.Module, whole: Tensor, items: list[tuple[int, Item]], facts: list[tuple[int, ...]]) -> float:
    right, wrong = [], []
    for number, item in items:
        if item.colour is None:
            continue
        others = [replace(item, colour=colour) for colour in COLOURS if colour != item.colour]
        others = [other for other in others if all(phrase_bits(other, False) & ~fact for fact in facts[number])]
        features = _texts(clip, [_words(entry, False) for entry in (item, *others)])
        scores = features @ whole[number]
        right.append(float((scores[0] > scores[1:]).float().mean()))
        wrong.append(len(others))
    return float(np.mean(right)) if right else 0.0


def _map_figures(maps: Tensor, masks: list[np.ndarray]) -> dict[str, float]:
    side = round(maps.shape[1] ** 0.5)
    size = masks[0].shape
    large = F.interpolate(maps.view(-1, 1, side, side), size, mode="bilinear", align_corners=False).flatten(1)
    truth = torch.from_numpy(np.stack(masks)).flatten(1)
    seen = truth.any(1)
    large, truth = large[seen], truth[seen]
    low, high = large.amin(1, keepdim=True), large.amax(1, keepdim=True)
    return {
        "point": float(truth.gather(1, large.argmax(1, keepdim=True)).float().mean()),
        "iou": _best_iou(large, truth),
        "iou_norm": _best_iou((large - low) / (high - low).clamp_min(1e-9), truth),
    }


def _best_iou(maps: Tensor, truth: Tensor) -> float:
    """Mean overlap at the one threshold that is best for all maps."""
    best = 0.0
    for threshold in torch.quantile(maps[:, ::37].flatten()[:1_000_000], torch.linspace(0.5, 0.995, 34)):
        marked = maps > threshold
        overlap = (marked & truth).sum(1) / (marked | truth).sum(1).clamp_min(1)
        best = max(best, float(overlap.mean()))
    return best


def _defect_figures(encode: Encoder, clip: nn.Module, samples: Samples, empty: Tensor, depth: int) -> dict[str, float]:
    result = {}
    for factor, defective in samples.defective.items():
        encoded = encode([sample.image for sample in defective], depth)
        clean = encode([sample.clean for sample in defective], 0)[:, 0]
        half = len(defective) // 2
        learned = torch.cat([encoded[:half, 0], clean[:half]])
        mean = learned.mean(0)
        answer = torch.cat([torch.ones(half), -torch.ones(half)])
        centred = learned - mean
        ridge = centred.T @ centred + 0.05 * len(centred) / 96 * torch.eye(centred.shape[1])
        probe = torch.linalg.solve(ridge, centred.T @ answer)
        result[f"probe_{factor}"] = auc((encoded[half:, 0] - mean) @ probe, (clean[half:] - mean) @ probe)
        figures = []
        for sample, tokens in zip(defective, encoded, strict=True):
            defect = sample.defects[0]
            text = (_texts(clip, list(MENTIONS[defect.name])) - empty).mean(0)
            side = round((len(tokens) - 1) ** 0.5)
            share = torch.from_numpy(defect.mask).float()
            share = F.adaptive_avg_pool2d(share[None], side).flatten()
            scores = tokens[1:] @ text
            if (share > 0.5).any():
                figures.append(auc(scores[share > 0.5], scores[share < 0.05]))
        result[f"mention_{factor}"] = float(np.mean(figures)) if figures else 0.0
    return result


def _encode(clip: nn.Module, pictures: Sequence[np.ndarray], depth: int) -> Tensor:
    """(n, 1 + h·w, C) at unit length."""
    device = next(clip.parameters()).device
    encoded = []
    for start in range(0, len(pictures), _IN_ONE_PASS):
        batch = normalise(_bytes(pictures[start : start + _IN_ONE_PASS]).permute(0, 3, 1, 2), geometry(clip))
        encoded.append(F.normalize(encode_image(clip, batch.to(device), depth).cpu(), dim=-1))
    return torch.cat(encoded)


def _bytes(pictures: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.rint(255 * np.stack(pictures)).astype(np.uint8))


def _texts(clip: nn.Module, texts: list[str]) -> Tensor:
    return F.normalize(encode_tokens(clip, _tokenizer()(texts)).cpu(), dim=-1)


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()
