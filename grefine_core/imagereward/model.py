"""ImageReward as AQ-Map uses it: rewards of pictures for texts, maps of phrases, each picture encoded once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from ..alignment.options import AlignmentOptions
from ..alignment.results import Interrupt, Measurement
from ..alignment.scoring import Collected, as_one_phrase, beats, prompt_score
from ..alignment.texts import EMPTY, ContrastVocabulary, PromptTexts, as_contrast_vocabulary, prompt_parts
from ..alignment.verdicts import region_map
from ..checks import choice, renamed, whole_number
from ..clip.preprocess import OPENAI_MEAN, OPENAI_STD, Geometry, normalise, preprocess
from ..clip.quality_model import FeatureCache, finite, picture_key, weights_state
from ..errors import InputError
from ..prompt.syntax.tree import PromptTree
from ..tensors import as_images
from .localisation import (
    LOCALISATIONS,
    Localisation,
    gradient_maps,
    joint_patches,
    joint_texts,
    slice_rewards,
    value_features,
)
from .network import REWARD_STD, ImageRewardNetwork, crop
from .tokenizer import TextTokenizer

# AQ-Map's raw scores and maps by ImageReward: the method's ways of scoring, with rewards in the place of cosines.


def measure_rewards(
    encoder: ImageReward,
    pictures: Tensor,
    trees: Sequence[PromptTree],
    options: AlignmentOptions,
    *,
    interrupt: Interrupt = None,
) -> list[Measurement]:
    """Raw scores and maps of pictures (B, H, W, 3) against their prompts; see ``alignment.scoring.measure``.

    A phrase's scores are those of the method (section 3.3), over rewards: "contrast" against other nouns and other
    modifiers, "softmax" against the empty text. as_T is ``σ(τ·r)`` of the prompt's reward r (``encoder.absolute``): the
    probability that this picture is preferred to an average one; else as the phrases are scored. A prompt over the
    context is read in pieces, of which r is the mean by their tokens.
    """
    tau = encoder.temperature if options.temperature is None else options.temperature
    parts = prompt_parts(
        trees,
        encoder.token_count,
        encoder.context_length,
        options,
        contrast_vocabulary=encoder.contrast_vocabulary,
        interrupt=interrupt,
    )
    pictures_seen = encoder.see(pictures)
    found = [Collected() for _ in trees]
    for part in parts:
        thinned = {key: _thinned(collected, encoder) for key, collected in part.items()}
        for one, seen, tree in zip(found, pictures_seen, trees, strict=True):
            collected = thinned.get(id(tree))
            if collected is None:
                continue
            if interrupt is not None:
                interrupt()
            texts = list(dict.fromkeys(collected))
            rewards = dict(zip(texts, encoder.read(seen, texts), strict=True))
            one.add(collected, rewards, tau, options.way)
            one.maps += _maps(encoder, seen, collected, options.subtract_empty)
            if collected.pieces:
                own = _mean(collected, [rewards[text] for text, _ in collected.pieces])
                others = [rewards[text] for text in collected.captions]
                one.prompt = (
                    beats(own, 0.0, tau)
                    if encoder.absolute
                    else prompt_score(own, rewards[EMPTY], others, tau, options.way)
                )
                if not options.syntax and len(as_one_phrase(tree, options.include_style)):
                    one.whole = _whole_map(encoder, seen, collected, options.subtract_empty)
    return [
        one.measurement(encoder.grid, None if options.syntax else as_one_phrase(tree, options.include_style))
        for one, tree in zip(found, trees, strict=True)
    ]


def _thinned(collected: PromptTexts, encoder: ImageReward) -> PromptTexts:
    """The texts that are needed of those that the method collects: every one costs a pass for every picture.

    A share of an average (``scoring.share``) is estimated as well by some of many nouns, spread evenly.
    """
    phrases = tuple(
        None if phrase is None else replace(phrase, nouns=_spread(phrase.nouns, encoder.nouns))
        for phrase in collected.phrases
    )
    captions = () if encoder.absolute else collected.captions
    return replace(collected, phrases=phrases, captions=captions)


def _spread(texts: tuple[str, ...], count: int) -> tuple[str, ...]:
    if len(texts) <= count:
        return texts
    return tuple(texts[(index * len(texts)) // count] for index in range(count))


def _mean(collected: PromptTexts, values: Sequence[float]) -> float:
    tokens = [count for _, count in collected.pieces]
    return sum(value * count for value, count in zip(values, tokens, strict=True)) / sum(tokens)


def _maps(encoder: ImageReward, seen: Seen, collected: PromptTexts, subtract_empty: bool) -> tuple[Tensor | None, ...]:
    texts = [phrase.text for phrase in collected.phrases if phrase is not None]
    found = iter(encoder.find(seen, texts, subtract_empty))
    return tuple(None if phrase is None else region_map(next(found)) for phrase in collected.phrases)


def _whole_map(encoder: ImageReward, seen: Seen, collected: PromptTexts, subtract_empty: bool) -> Tensor | None:
    if not collected.pieces:
        return None
    pieces = encoder.find(seen, [text for text, _ in collected.pieces], subtract_empty)
    weights = torch.tensor([float(count) for _, count in collected.pieces])
    return region_map((weights[:, None, None] * pieces).sum(0) / weights.sum())


View = Literal["whole", "crop"]
VIEWS: tuple[View, ...] = ("whole", "crop")
IMAGE_BATCH = 8
"""Pictures in one forward pass at most."""
TEXT_BATCH = 64
"""Texts in one forward pass at most."""
LENGTHS = (5, 7, 9, 12, 18, 26)
"""Texts are read together with others up to the same of these numbers of tokens: longer ones would only pad them."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Seen:
    """One encoded picture."""

    key: Hashable
    tokens: Tensor
    """(1 + h·w, vision width) float32 on the CPU, class token first."""
    pixels: Tensor
    """(3, n, n) uint8, what was encoded."""


class ImageReward:
    """The network with its tokenizer, and caches of what it saw and said.

    Args:
        network: put into evaluation mode; its weights are never changed.
        tokenizer: the one that belongs to it.
        contrast_vocabulary: the words that phrases are contrasted with, or their file; None for the shipped ones.
        maps: how a phrase is found in the picture, see ``localisation``: "gradient" × attention of the reward,
            "values" (V-V attention, BLIP's joint space), or "slices" (the reward of one part of the picture at a time;
            by far the slowest).
        view: what AQ-Map shows the network of a picture that is not square: the "whole", resized to a square as for
            CLIP, so that a map covers all of it; or the centre "crop" that the network was trained with.
        nouns: other nouns at most that a head noun is contrasted with, spread evenly over the contrast vocabulary.
            Every text costs a pass here, where CLIP has it at hand.
        absolute: score a prompt as a whole by its reward itself, against the average picture's (0), for which the
            network was trained; False: as phrases are scored.
        window: for "slices": patches in a row of a part.
        name: what to call it in reports and calibration files.
        cache_size: pictures whose tokens are kept (0.8 MB each).

    Raises:
        InputError: a bad option, or a tokenizer with more tokens than the network knows.
    """

    @renamed(banks="contrast_vocabulary")
    def __init__(
        self,
        network: ImageRewardNetwork,
        tokenizer: TextTokenizer,
        *,
        contrast_vocabulary: ContrastVocabulary | str | Path | None = None,
        maps: Localisation = "gradient",
        view: View = "whole",
        nouns: int = 48,
        absolute: bool = True,
        window: int = 3,
        name: str = "ImageReward",
        cache_size: int = 64,
    ) -> None:
        if tokenizer.size > network.sizes.vocabulary:
            raise InputError(
                f"tokenizer: it has {tokenizer.size} tokens, the network knows {network.sizes.vocabulary}; take the "
                "vocabulary that belongs to the weights."
            )
        self.network = network.eval()
        self.tokenizer = tokenizer
        self.contrast_vocabulary = as_contrast_vocabulary(contrast_vocabulary)
        self.maps = choice(maps, "maps", LOCALISATIONS)
        self.view = choice(view, "view", VIEWS)
        self.nouns = whole_number(nouns, "nouns", 1, 100_000)
        self.window = whole_number(window, "window", 1, network.sizes.side)
        self.absolute = bool(absolute)
        self.name = name
        self._pictures = FeatureCache(cache_size)
        self._values = FeatureCache(cache_size)
        self._rewards = FeatureCache(1 << 16 if cache_size else 0)
        self.encoder_calls = 0
        """Forward passes of the image encoder so far."""
        self.texts_read = 0
        """Pairs of a picture and a text that the text encoder has worked on."""

    @property
    def module(self) -> ImageRewardNetwork:
        """The network itself, for a host's memory manager to move."""
        return self.network

    @property
    def device(self) -> torch.device:
        """Where the weights are now."""
        return next(self.network.parameters()).device

    @property
    def grid(self) -> tuple[int, int]:
        """Patches in a column and in a row."""
        return self.network.sizes.side, self.network.sizes.side

    @property
    def temperature(self) -> float:
        """τ of the scores. The network was trained so that ``σ(τ·(r_1 − r_2))`` is the probability that the first of
        two pictures is preferred; rewards are in units of its output's spread, which is τ."""
        return REWARD_STD

    @property
    def context_length(self) -> int:
        """Tokens of a text at most."""
        return self.tokenizer.length

    def token_count(self, text: str) -> int:
        """Tokens of a text with start and end."""
        return self.tokenizer.count(text)

    def to(self, *args: Any, **kwargs: Any) -> ImageReward:
        """Move the weights as ``nn.Module.to`` does; returns the same object."""
        self.network.to(*args, **kwargs)
        return self

    def clear_cache(self) -> None:
        """Forget all pictures and rewards."""
        for cache in (self._pictures, self._values, self._rewards):
            cache.clear()

    def rewards(self, images: Tensor, prompts: str | Sequence[str]) -> Tensor:
        """ImageReward's score as the reference gives it: the centre crop, the prompt cut at 35 tokens.

        Args:
            images: (B, H, W, 3) float32 in [0, 1]; never written to.
            prompts: one for all pictures, or one for each.

        Returns:
            (B,) float32; the average of the pictures it was trained on has 0, good ones up to about 2.

        Raises:
            InputError: not pictures, or not one prompt for each.
        """
        pictures = as_images(images)
        texts = [prompts] * len(pictures) if isinstance(prompts, str) else list(prompts)
        if len(texts) != len(pictures) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"prompts: expected one text, or one for each of the {len(pictures)} pictures.")
        seen = self.see(pictures, "crop")
        return torch.tensor([self.read(one, [text])[0] for one, text in zip(seen, texts, strict=True)])

    @torch.no_grad()
    def see(self, pictures: Tensor, view: View | None = None) -> list[Seen]:
        """Encode pictures (B, H, W, 3) that went through ``as_images``; those not known yet in batches."""
        side = self.network.sizes.image_size
        pixels = crop(pictures, side) if (view or self.view) == "crop" else preprocess(pictures, (side, side))
        state = weights_state(self.network)
        keys: list[Hashable] = [(picture_key(picture), state) for picture in pixels]
        found = self._known(self._pictures, keys)
        new = list({key: index for index, key in enumerate(keys) if key not in found}.items())
        for part in _batches(new, IMAGE_BATCH):
            tokens = self.network.image_embeds(self._normalised(pixels[[index for _, index in part]])).float().cpu()
            self.encoder_calls += 1
            for (key, _), one in zip(part, finite(tokens, "pictures"), strict=True):
                found[key] = one.clone()
                self._pictures.put(key, found[key])
        return [Seen(key, found[key], picture) for key, picture in zip(keys, pixels, strict=True)]

    @torch.no_grad()
    def read(self, seen: Seen, texts: Sequence[str]) -> list[float]:
        """Rewards of one picture for texts; each pair is computed once. Texts over the context are cut."""
        unique = list(dict.fromkeys(texts))
        known = {
            key[1]: float(value) for key, value in self._known(self._rewards, [(seen.key, t) for t in unique]).items()
        }
        new = [text for text in unique if text not in known]
        weight = self.network.vision_proj.weight
        picture = seen.tokens.to(device=weight.device, dtype=weight.dtype).unsqueeze(0) if new else seen.tokens
        for part in self._alike_in_length(new):
            ids, mask = self.tokenizer(part)
            states = self.network.text_states(ids, mask, picture.expand(len(part), -1, -1)).last_hidden_state
            self.texts_read += len(part)
            rewards = self.network.reward(states[:, 0]).cpu()
            for text, reward in zip(part, finite(rewards, "texts"), strict=True):
                known[text] = float(reward)
                self._rewards.put((seen.key, text), reward.clone())
        return [known[text] for text in texts]

    def find(self, seen: Seen, texts: Sequence[str], subtract_empty: bool = True) -> Tensor:
        """Where a picture shows what texts say: (n, h, w) float32 on the CPU, on a scale of each text's own.

        ``subtract_empty`` takes the empty text's feature off the texts'; "values" alone has such features.
        """
        found: Tensor = torch.empty(0, *self.grid)
        if not texts:
            return found
        ids, mask = self.tokenizer(texts)
        if self.maps == "values":
            directions = joint_texts(self.network, ids, mask)
            if subtract_empty:
                directions = directions - joint_texts(self.network, *self.tokenizer([""]))
            found = directions.cpu() @ self._patches(seen).T
        elif self.maps == "gradient":
            parts = [
                gradient_maps(self.network, seen.tokens, ids[start : start + 16], mask[start : start + 16])
                for start in range(0, len(ids), 16)
            ]
            found = torch.cat(parts).cpu()
        else:
            weight = self.network.vision_proj.weight
            tokens = seen.tokens.to(device=weight.device, dtype=weight.dtype)
            each = (self.tokenizer([text]) for text in texts)
            found = torch.stack([slice_rewards(self.network, tokens, *one, self.window).cpu() for one in each])
        return finite(found, "texts").unflatten(-1, self.grid)

    def measure(
        self,
        pictures: Tensor,
        trees: Sequence[PromptTree],
        options: AlignmentOptions,
        *,
        interrupt: Interrupt = None,
    ) -> list[Measurement]:
        """Raw scores and maps for AQ-Map, see :func:`measure_rewards`."""
        return measure_rewards(self, pictures, trees, options, interrupt=interrupt)

    def _patches(self, seen: Seen) -> Tensor:
        known = self._values.get(seen.key)
        if known is None:
            states = value_features(self.network, self._normalised(seen.pixels.unsqueeze(0)))
            known = joint_patches(self.network, states)[0].cpu()
            self._values.put(seen.key, known)
        return known

    def _normalised(self, pixels: Tensor) -> Tensor:
        sizes = self.network.sizes
        side, patch = (sizes.image_size, sizes.image_size), (sizes.patch_size, sizes.patch_size)
        return normalise(pixels, Geometry(side, patch, OPENAI_MEAN, OPENAI_STD))

    def _alike_in_length(self, texts: Sequence[str]) -> Iterable[list[str]]:
        buckets: dict[int, list[str]] = {}
        for text in texts:
            count = min(self.token_count(text), self.context_length)
            bucket = next((index for index, length in enumerate(LENGTHS) if count <= length), len(LENGTHS))
            buckets.setdefault(bucket, []).append(text)
        for _, alike in sorted(buckets.items()):
            yield from _batches(alike, TEXT_BATCH)

    @staticmethod
    def _known(cache: FeatureCache, keys: Sequence[Any]) -> dict[Any, Tensor]:
        kept: Mapping[Any, Tensor | None] = {key: cache.get(key) for key in dict.fromkeys(keys)}
        return {key: value for key, value in kept.items() if value is not None}


def _batches(items: Sequence[T], size: int) -> Iterable[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
