"""The model behind both maps: an open_clip model with V-V attention, and the learned embeddings of PQ-Map.

One picture is encoded once: features are kept by the picture's content, so that PQ-Map, AQ-Map, all phrases and the
no-harm guard share them.
"""

from __future__ import annotations

import copy
import hashlib
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import renamed
from ..errors import InputError, ModelFileError
from ..memory import OutOfMemory, empty_cache, is_out_of_memory
from ..models.files import is_finite
from ..tensors import as_images
from .embeddings import (
    END_POSITION,
    FACTORS,
    PerceptualBounds,
    check_embedding_set,
    load_embedding_set,
    load_perceptual_bounds,
    load_text_features,
)
from .preprocess import check_resolution, geometry, normalise, preprocess
from .surgery import DEFAULT_BLOCKS, encode_image, vision_tower
from .text_encoder import encode_embeddings, encode_tokens, end_positions, text_tower
from .tokenizer import with_long_words
from .words import features_of_words

if TYPE_CHECKING:
    from ..alignment.calibration import Calibration
    from ..alignment.options import AlignmentEncoder
    from ..alignment.texts import ContrastVocabulary


# A small bounded store of features, least recently used first out.

#: Values of a tensor that are looked at.
_SAMPLES = 16


class FeatureCache:
    """At most ``capacity`` tensors by key, and at most ``bytes_limit`` bytes; 0 keeps nothing. Safe to use from several
    threads."""

    def __init__(self, capacity: int, bytes_limit: int = 256 << 20) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 0:
            raise InputError(f"cache_size: expected a whole number from 0 on, got {capacity!r}.")
        self.capacity = capacity
        self.bytes_limit = bytes_limit
        self._bytes = 0
        self._entries: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Tensor | None:
        """The tensor kept under ``key``, now the most recently used; None if there is none."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key]

    def put(self, key: Hashable, value: Tensor) -> None:
        """Keep ``value``; the least recently used entries beyond the limits go."""
        with self._lock:
            self._drop(key)
            self._entries[key] = value
            self._bytes += value.nbytes
            while self._entries and (len(self._entries) > self.capacity or self._bytes > self.bytes_limit):
                self._drop(next(iter(self._entries)))

    def drop(self, key: Hashable) -> None:
        """Forget one entry, if it is there."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        value = self._entries.pop(key, None)
        self._bytes -= 0 if value is None else value.nbytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0


def picture_key(pixels: Tensor) -> bytes:
    """Content hash of one preprocessed picture (3, h, w) uint8.

    What the encoder reads is hashed, not the picture it was made from: that is exact (the same bytes give the same
    features), and takes the same fraction of a millisecond for a picture of any size.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(tuple(pixels.shape)).encode())
    digest.update(pixels.contiguous().numpy().data)
    return digest.digest()


def finite(features: Tensor, what: str) -> Tensor:
    """Return features if they are numbers: scores of others would compare as if nothing were wrong.

    Raises:
        ModelFileError: they are not.
    """
    if not is_finite(features):
        raise ModelFileError(
            f"The model's features of {what} are not finite numbers: its weights are damaged, or overflow in their "
            "type. Load it in float32, or take another copy of the file."
        )
    return features


def weights_state(module: nn.Module, without: nn.Module | None = None) -> Hashable:
    """Changes whenever weights do: written in place (training, ``load_state_dict``), behind autograd's back
    (``p.data.add_``, as those do who merge LoRAs), exchanged for others (``assign=True``, the host's patcher), or given
    another type. Moving them to another device changes nothing.

    Writes are counted, and a few values of every parameter and buffer are read: a whole hash would take as long as
    encoding a picture. Not seen is only a write behind autograd's back to a few values of a tensor, such as one row;
    who does that calls ``clear_cache``. The part ``without`` is left out.
    """
    left_out = frozenset(() if without is None else without.modules())
    writes = 0
    samples: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    with torch.no_grad():
        for part in module.modules():
            if part in left_out:
                continue
            for tensor in (*part._parameters.values(), *part._buffers.values()):
                if tensor is None or tensor.is_meta:
                    continue
                # Inference tensors keep no count of writes.
                writes += 0 if tensor.is_inference() else tensor._version
                samples.setdefault((tensor.device, tensor.dtype), []).append(_sample(tensor))
        digest = hashlib.blake2b(digest_size=16)
        for same in samples.values():
            digest.update(torch.cat(same).cpu().view(torch.uint8).numpy().data)
    return writes, tuple(str(dtype) for _, dtype in samples), digest.digest()


def _sample(tensor: Tensor) -> Tensor:
    """A few values, spread over the whole of a tensor; not all of one row or column."""
    if not tensor.is_contiguous():
        tensor = tensor.contiguous()
    count = tensor.numel()
    if count <= _SAMPLES:
        return tensor.view(-1)
    # Odd: the sides of matrices are even.
    return tensor.as_strided((_SAMPLES,), (((count - 1) // _SAMPLES - 1) | 1,))


Tokenizer = Callable[[Sequence[str]], Tensor]
Embeddings = Mapping[str, Tensor] | Mapping[str, str | Path] | str | Path | None
PUBLISHED, OWN, WORDS = "published", "own", "words"
"""Where the pairs of PQ-Map come from."""

IMAGE_BATCH = 16
"""Pictures in one forward pass at most; a longer batch is encoded in several."""
TEXT_BATCH = 1024
"""Texts in one forward pass at most."""
TEXT_LENGTHS = (4, 6, 8, 12, 20, 40)
"""Texts are encoded together with others up to the same of these numbers of tokens: longer ones would only pad them."""


@dataclass(frozen=True)
class ImageFeatures:
    """Features of B pictures on the CPU, float32."""

    tokens: Tensor
    """(B, 1 + h·w, C): class token first, then the patches row by row. As projected, not normalised."""
    grid: tuple[int, int]
    """(h, w): patches in a column and in a row."""

    @cached_property
    def unit(self) -> Tensor:
        """The tokens at unit length (over channels), (B, 1 + h·w, C)."""
        return F.normalize(self.tokens, dim=-1)


class QualityModel:
    """CLIP with surgery, PQ embeddings, calibration, and caches of features.

    Args:
        clip: an open_clip model in memory (see :func:`grefine_core.load_quality_model` for one from files). It is put
            into evaluation mode; its weights are never changed.
        embeddings: factor -> (2, 77, W) (``overall``, ``technical``, ``rational``, ``natural``), or what
            ``load_embedding_set`` takes: a path, a folder, a path for each factor, None for the published ones; or
            "words": antonyms that the model reads itself, whatever its width.
        resolution: side to encode at, pixels, a multiple of the patch size, or a pair (height, width); None for the
            model's own.
        calibration: bounds of AQ-Map; None for the defaults, which warn once when used.
        tokenizer: texts -> token ids (n, context length); None for CLIP's own, made when first needed.
        cache_size: pictures whose features are kept (0.4 MB each at 224 pixels; never more than 256 MB in all).
        text_cache_size: texts whose features are kept (2 kB each).
        blocks: last blocks with V-V attention; 0 is an ordinary encode.
        name: what to call the model in reports and calibration files.
        perceptual_bounds: β of PQ-Map; None for those in the embeddings' file, else the paper's.
        contrast_vocabulary: the words that AQ-Map contrasts phrases with; None for the shipped ones.
        factor_features: factor -> (2, C), what the embeddings mean to a text encoder that was trained with them; None
            for those in the embeddings' file, else what this model's text encoder makes of them.
        alignment_encoder: what AQ-Map measures with instead of this CLIP (``grefine_core.imagereward``), with words of
            its own; ``calibration`` is its then. PQ-Map is CLIP's in any case.

    Raises:
        InputError: the image encoder is no ViT, the embeddings are of another text encoder, or a bad option.
        ModelFileError: the embeddings cannot be read.
    """

    miniature: bool = False
    """Whether it knows the miniature world alone; see ``miniature.loading.load_miniature_quality_model``."""

    @renamed(banks="contrast_vocabulary")
    def __init__(
        self,
        clip: nn.Module,
        embeddings: Embeddings = None,
        resolution: int | tuple[int, int] | None = None,
        calibration: Calibration | None = None,
        tokenizer: Tokenizer | None = None,
        cache_size: int = 64,
        *,
        text_cache_size: int = 4096,
        blocks: int = DEFAULT_BLOCKS,
        name: str | None = None,
        perceptual_bounds: PerceptualBounds | None = None,
        contrast_vocabulary: ContrastVocabulary | str | Path | None = None,
        factor_features: Mapping[str, Tensor] | None = None,
        alignment_encoder: AlignmentEncoder | None = None,
    ) -> None:
        from ..alignment.texts import as_contrast_vocabulary

        if not isinstance(clip, nn.Module):
            raise InputError(f"clip: expected an open_clip model, got {type(clip).__name__}.")
        depth = len(vision_tower(clip).transformer.resblocks)
        if isinstance(blocks, bool) or not isinstance(blocks, int) or not 0 <= blocks <= depth:
            raise InputError(f"blocks: expected a whole number from 0 to {depth} for this model, got {blocks!r}.")
        self._module = clip.eval()
        self.geometry = geometry(clip)
        self.resolution = check_resolution(resolution, self.geometry)
        self.blocks = blocks
        self.embeddings: dict[str, Tensor] = {} if embeddings == WORDS else self._checked_embeddings(embeddings)
        self.embedding_source = WORDS if embeddings == WORDS else PUBLISHED if embeddings is None else OWN
        self.perceptual_bounds = perceptual_bounds or load_perceptual_bounds(embeddings)
        self.calibration = calibration
        self.contrast_vocabulary = as_contrast_vocabulary(contrast_vocabulary)
        tuned = factor_features or load_text_features(embeddings)
        self._tuned = None if embeddings == WORDS else self._checked_features(tuned)
        if alignment_encoder is not None and not callable(getattr(alignment_encoder, "measure", None)):
            raise InputError(
                "alignment_encoder: expected ImageReward (see load_image_reward) or None for the model's own CLIP, got "
                f"{type(alignment_encoder).__name__}."
            )
        self.alignment_encoder = alignment_encoder
        self.name = name or type(clip).__name__
        self._tokenizer = tokenizer
        self._images = FeatureCache(cache_size)
        self._texts = FeatureCache(text_cache_size)
        self._pairs = FeatureCache(4)
        self.encoder_calls = 0
        """Forward passes of the image encoder so far."""
        self.pictures_encoded = 0
        """Pictures in those passes."""
        self.text_calls = 0
        """Batches of texts encoded so far (PQ embeddings are not counted)."""
        self.texts_encoded = 0
        """Texts in those batches."""
        self.warned: set[str] = set()

    @property
    def module(self) -> nn.Module:
        """The open_clip model itself."""
        return self._module

    @property
    def banks(self) -> ContrastVocabulary:
        """What ``contrast_vocabulary`` was called; deprecated."""
        warnings.warn("banks is called contrast_vocabulary now", DeprecationWarning, stacklevel=2)
        return self.contrast_vocabulary

    @property
    def networks(self) -> nn.Module:
        """All that a host's memory manager has to move: the open_clip model, and with it the alignment encoder's."""
        other = getattr(self.alignment_encoder, "module", None)
        return nn.ModuleList([self._module, other]) if isinstance(other, nn.Module) else self._module

    @property
    def device(self) -> torch.device:
        """Where the weights are now."""
        return next(self._module.parameters()).device

    @property
    def grid(self) -> tuple[int, int]:
        """Patches in a column and in a row at the chosen resolution."""
        return self.resolution[0] // self.geometry.patch[0], self.resolution[1] // self.geometry.patch[1]

    @property
    def temperature(self) -> float:
        """CLIP's own temperature τ = exp(logit_scale)."""
        module: Any = self._module
        return float(finite(module.logit_scale.detach().float().exp(), "its own temperature").reshape(-1)[0])

    def to(self, *args: Any, **kwargs: Any) -> QualityModel:
        """Move the weights as ``nn.Module.to`` does; returns the same object."""
        self.networks.to(*args, **kwargs)
        return self

    def with_calibration(self, calibration: Calibration | None) -> QualityModel:
        """The same model with other bounds; weights and caches are shared, and this one stays as it is."""
        other = copy.copy(self)
        other.calibration, other.warned = calibration, set()
        return other

    def with_words(self) -> QualityModel:
        """The same model with antonyms in the place of learned embeddings; weights and caches of pictures and texts are
        shared, and this one stays as it is."""
        other = copy.copy(self)
        other.embeddings, other.embedding_source, other._tuned = {}, WORDS, None
        other.perceptual_bounds, other._pairs = PerceptualBounds(), FeatureCache(4)
        return other

    def clear_cache(self, texts: bool = True) -> None:
        """Forget the features of all pictures, and those of all texts unless told not to."""
        self._images.clear()
        if self.alignment_encoder is not None:
            self.alignment_encoder.clear_cache()
        if texts:
            self._texts.clear()
            self._pairs.clear()

    def forget_texts(self, texts: Sequence[str]) -> None:
        """Forget the features of these texts."""
        state = self._texts_state()
        for text in texts:
            self._texts.drop((text, state))

    def image_features(self, images: Tensor, name: str = "image") -> ImageFeatures:
        """Features of pictures (B, H, W, 3) in [0, 1], encoding only those whose content is not known yet.

        Raises:
            InputError: not pictures; see ``as_images``.
        """
        return self.features_of(as_images(images, name))

    @torch.no_grad()
    def features_of(self, pictures: Tensor) -> ImageFeatures:
        """As :meth:`image_features`, of pictures that went through ``as_images`` already."""
        pixels = preprocess(pictures, self.resolution)
        state = (self.resolution, self.blocks, weights_state(vision_tower(self._module)))
        keys: list[Hashable] = [(picture_key(picture), state) for picture in pixels]
        kept = ((key, self._images.get(key)) for key in dict.fromkeys(keys))
        found = {key: tokens for key, tokens in kept if tokens is not None}
        new = {key: index for index, key in enumerate(keys) if key not in found}
        for start in range(0, len(new), IMAGE_BATCH):
            part = list(new.items())[start : start + IMAGE_BATCH]
            batch = normalise(pixels[[index for _, index in part]], self.geometry)
            tokens = self._in_parts(batch, self._encode_images, "pictures")
            for (key, _), features in zip(part, tokens, strict=True):
                # A copy: a view would keep the features of the whole batch alive.
                found[key] = features.clone() if len(part) > 1 else features
                self._images.put(key, found[key])
        return ImageFeatures(torch.stack([found[key] for key in keys]), self.grid)

    @torch.no_grad()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Tokens (B, 1 + h·w, C) of preprocessed pictures (B, 3, h, w) uint8, which are not kept.

        Raises:
            OutOfMemory: not even one fits.
        """
        return self._in_parts(normalise(pixels, self.geometry), self._encode_images, "pictures")

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit features (n, C) of texts, float32 on the CPU; those not known yet are encoded in one batch.

        A text that is longer than the context is cut by the tokenizer: cut it into pieces before.
        """
        state = self._texts_state()
        kept = ((text, self._texts.get((text, state))) for text in dict.fromkeys(texts))
        known = {text: feature for text, feature in kept if feature is not None}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            for text, feature in zip(new, self._encode_texts(new), strict=True):
                known[text] = feature
                self._texts.put((text, state), feature)
        if not texts:
            return torch.empty(0, self._width_of_features())
        return torch.stack([known[text] for text in texts])

    @torch.no_grad()
    def factor_features(self) -> dict[str, Tensor]:
        """factor -> (2, C) float32 on the CPU, good and bad, as projected; computed once (method, section 2)."""
        if self._tuned is not None:
            return dict(self._tuned)
        state = self._texts_state()
        stacked = self._pairs.get(state)
        if stacked is None and not self.embeddings:
            stacked = torch.stack(list(features_of_words(self.text_features).values()))
            self._pairs.put(state, stacked)
        if stacked is None:
            sequences = torch.cat(list(self.embeddings.values()))
            encoded = finite(encode_embeddings(self._module, sequences, END_POSITION).cpu(), "the embeddings")
            stacked = encoded.unflatten(0, (-1, 2))
            self._pairs.put(state, stacked)
        return dict(zip(FACTORS, stacked, strict=True))

    def token_count(self, text: str) -> int:
        """Tokens of a text with its start and end; one more than the context where all that is known is that it is
        exceeded."""
        tokenizer = self.tokenizer
        if hasattr(tokenizer, "encode"):
            return len(tokenizer.encode(text)) + 2
        row = tokenizer([text])[0]
        count = int((row != 0).sum())
        return count if count < len(row) else len(row) + 1

    @property
    def context_length(self) -> int:
        """Positions of the text encoder."""
        tower = text_tower(self._module)
        return tower.context_length if tower else int(getattr(self._module, "context_length", 77))

    @property
    def tokenizer(self) -> Any:
        """The tokenizer; CLIP's own is made on first use.

        Raises:
            InputError: the model has another vocabulary, so CLIP's tokenizer would be wrong.
        """
        if self._tokenizer is None:
            tower = text_tower(self._module)
            vocabulary = None if tower is None else tower.token_embedding.weight.shape[0]
            if vocabulary != 49408:
                raise InputError(
                    f"tokenizer: the text encoder's vocabulary ({vocabulary or 'unknown'}) is not CLIP's (49408); "
                    "give the tokenizer that belongs to the model."
                )
            from open_clip.tokenizer import SimpleTokenizer

            self._tokenizer = with_long_words(SimpleTokenizer(context_length=self.context_length))
        elif type(self._tokenizer).__module__ == "open_clip.tokenizer":
            self._tokenizer = with_long_words(self._tokenizer)
        return self._tokenizer

    def _texts_state(self) -> Hashable:
        """Of the weights that texts are encoded with."""
        return weights_state(self._module, without=vision_tower(self._module))

    def _encode_images(self, batch: Tensor) -> Tensor:
        """Tokens of normalised pictures in one forward pass."""
        tokens = finite(encode_image(self._module, batch.to(self.device), self.blocks).cpu(), "pictures")
        self.encoder_calls += 1
        self.pictures_encoded += len(batch)
        return tokens

    def _encode_tokens(self, tokens: Tensor) -> Tensor:
        return finite(encode_tokens(self._module, tokens).cpu(), "texts")

    def _in_parts(self, batch: Tensor, encode: Callable[[Tensor], Tensor], what: str) -> Tensor:
        """``encode(batch)``; where memory is too short for that, of both its halves, and so on.

        Raises:
            OutOfMemory: not even one fits.
        """
        try:
            return encode(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise OutOfMemory(
                    f"Out of memory while measuring {what} on {self.device} at {self.resolution[0]}×"
                    f"{self.resolution[1]} pixels. Load the quality model with device cpu, or with a lower resolution."
                ) from error
        empty_cache()  # outside of the handler: the error held on to tensors
        middle = len(batch) // 2
        return torch.cat([self._in_parts(part, encode, what) for part in (batch[:middle], batch[middle:])])

    def _encode_texts(self, texts: list[str]) -> Tensor:
        tokens = self.tokenizer(texts)
        tower = text_tower(self._module)
        self.text_calls += 1
        self.texts_encoded += len(texts)
        if tower is None:
            return F.normalize(self._encode_tokens(tokens), dim=-1)
        bucket = torch.bucketize(end_positions(tower, tokens) + 1, torch.tensor(TEXT_LENGTHS))
        features = torch.empty(len(texts), self._width_of_features())
        for number in bucket.unique():
            chosen = bucket == number
            parts = tokens[chosen].split(TEXT_BATCH)
            features[chosen] = torch.cat([self._in_parts(part, self._encode_tokens, "texts") for part in parts])
        return F.normalize(features, dim=-1)

    def _width_of_features(self) -> int:
        visual = vision_tower(self._module)
        return int(visual.proj.shape[1]) if visual.proj is not None else int(visual.ln_post.weight.shape[0])

    def _checked_features(self, features: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
        if features is None:
            return None
        widths = {name: tuple(features[name].shape) for name in self.embeddings if name in features}
        if set(widths) != set(self.embeddings) or set(widths.values()) != {(2, self._width_of_features())}:
            raise InputError(
                f"factor_features: {widths}; expected (2, {self._width_of_features()}) for each of "
                f"{', '.join(self.embeddings)}. They belong to the model that they were trained for."
            )
        return {name: finite(features[name].detach().float().cpu(), name) for name in self.embeddings}

    def _checked_embeddings(self, embeddings: Embeddings) -> dict[str, Tensor]:
        if embeddings is None or isinstance(embeddings, str | Path):
            checked = load_embedding_set(embeddings)
        elif isinstance(embeddings, Mapping):
            files = {name: value for name, value in embeddings.items() if isinstance(value, str | Path)}
            whole = bool(files) and len(files) == len(embeddings)
            checked = load_embedding_set(files) if whole else check_embedding_set(embeddings)
        else:
            raise InputError(
                f"embeddings: expected a dictionary of tensors or a path, got {type(embeddings).__name__}."
            )
        tower = text_tower(self._module)
        if tower is None:
            raise InputError(
                "clip: PQ-Map needs one of open_clip's own text encoders, to which token embeddings can be given."
            )
        width, length = next(iter(checked.values())).shape[-1], next(iter(checked.values())).shape[1]
        if width != tower.width or length > tower.context_length:
            raise InputError(
                f"embeddings: made for a text encoder of width {width} with {length} positions, but this one has "
                f"width {tower.width} and {tower.context_length} positions. The published embeddings (width 512) "
                "belong to ViT-B-16-quickgelu with OpenAI's weights; use that model, embeddings made for this one, or "
                f"{WORDS!r}, which every model reads."
            )
        return checked
