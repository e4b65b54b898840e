"""What a model says of the reference pictures, of damaged copies and of copies with good content exchanged.

One pass over the pictures, at most ``MOST_ENCODES`` of them through the image encoder; what bounds follow from it is
``bounds``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from ..alignment.calibration import EVIDENCE, SCORINGS, Scoring
from ..alignment.scoring import Scores, Similarities, phrase_scores, places
from ..alignment.texts import EMPTY, PhraseTexts, phrase_texts
from ..clip.embeddings import FACTORS
from ..clip.preprocess import normalise, preprocess
from ..clip.quality_model import PUBLISHED, QualityModel
from ..prompt.syntax import parse_prompt
from ..prompt.syntax.tree import Phrase
from .damage import DAMAGES, SIZES, blob, damage
from .figures import log_odds
from .fingerprint import ActivationFit, TokenRows, compare_activations, compare_token_rows
from .kinds import told_kinds
from .reference import Reference, ReferencePicture, bounded_size

MOST_ENCODES = 140
"""Some 40 seconds at the size of ViT-B/16 on two cores; texts take a quarter of that."""
BATCH = 8
_GOOD = 60
_ACTIVATION = 12
_EXCHANGES = 20
_MODIFIED = 2
"""Phrases of a picture whose modifiers are measured: each takes some ten texts."""
_ABSENT = 6

Progress = Callable[[int, int], None]
RoundTrip = Callable[[Tensor], Tensor]
"""Pictures (B, H, W, 3) through a VAE and back."""


@dataclass(frozen=True)
class Copy:
    """A changed copy of a reference picture."""

    picture: int
    """Which one."""
    odds: Mapping[str, Tensor]
    """Of the embeddings' source -> log-odds of good (4, 1 + N), class token first."""
    patches: Tensor
    """(N,) bool: those that are changed."""
    classes: Tensor
    """Unit class feature (C,)."""
    factor: str = ""
    name: str = ""
    size: int = 0
    local: bool = True


@dataclass(frozen=True)
class Phrases:
    """Log-odds of one picture's phrases by one way of scoring."""

    heads: tuple[float, ...] = ()
    """an of what is there."""
    wholes: tuple[float, ...] = ()
    """as of what is there and as described."""
    absent: tuple[tuple[float, bool], ...] = ()
    """an of what is not there, and whether it would be no surprise."""
    wrong: tuple[float, ...] = ()
    """as of what is there, described wrongly."""
    described: tuple[float, ...] = ()
    """m, of the modifiers whatever is known of the thing, of what is there and as described."""
    misdescribed: tuple[float, ...] = ()
    """m of what is there, described wrongly."""


@dataclass(frozen=True)
class Observed:
    """All that was seen; pictures in the order of the reference, good ones alone unless it says otherwise."""

    kinds: tuple[str, ...]
    """As the model tells them."""
    true_kinds: tuple[str, ...]
    classes: Tensor
    """Unit class features (P, C)."""
    grid: tuple[int, int]
    odds: Mapping[str, Tensor]
    """Source -> (P, 4, 1 + N)."""
    damaged: tuple[Copy, ...]
    exchanged: tuple[Copy, ...]
    phrases: Mapping[str, tuple[Phrases, ...]]
    """Way of scoring, also :func:`local`, -> each picture's."""
    shifted: Mapping[str, tuple[tuple[Phrases, Phrases], ...]]
    """The same of pictures before and after an exchange."""
    token_rows: TokenRows
    activation: ActivationFit | None
    encodes: int = 0
    texts: int = 0
    model: str = ""
    source: str = PUBLISHED
    """Of the embeddings that the model has."""


@dataclass
class _Texts:
    """The phrases of one picture that are measured."""

    heads: list[PhraseTexts] = field(default_factory=list)
    wholes: list[PhraseTexts] = field(default_factory=list)
    absent: list[tuple[PhraseTexts, bool]] = field(default_factory=list)
    wrong: list[PhraseTexts] = field(default_factory=list)

    def __iter__(self) -> Iterator[str]:
        for phrase in (*self.heads, *self.wholes, *(each for each, _ in self.absent), *self.wrong):
            yield from phrase


@torch.no_grad()
def observe(
    model: QualityModel,
    reference: Reference,
    *,
    alternatives: Sequence[QualityModel] = (),
    round_trip: RoundTrip | None = None,
    progress: Progress | None = None,
    alignment: bool = True,
) -> Observed:
    """Measure everything that bounds and trust are made from.

    Args:
        model: the quality model; its own calibration has no part in it.
        reference: pictures and what is known of them.
        alternatives: the same model with other pairs of PQ-Map, which are measured in the same pass.
        round_trip: through a VAE and back, as one more way to exchange good content for as good.
        progress: called with (encodes done, encodes in all); may raise to stop.
        alignment: False leaves phrases out (another encoder measures them).

    Raises:
        OutOfMemory: the device has too little left.
    """
    good = _spread(reference.good, _GOOD)
    bad = [picture for picture in reference.pictures if picture.bad]
    plan = _Plan.of(len(good), len(bad))
    bad = bad[: plan.bad]
    encoder = _Encoder(model, (model, *alternatives), plan.total, progress)
    images = [picture.load() for picture in good]
    originals = encoder.encode(images, patches=True)
    classes = torch.stack([tokens.classes for tokens in originals])
    # Pictures of one style, or of a world of its own, are one kind.
    kinds = tuple(told_kinds(model, classes)) if any(picture.kind for picture in good) else ("",) * len(good)
    damaged = _damaged(encoder, images, plan.damaged)
    damaged += tuple(
        replace(copy, factor="overall", name="marked", patches=torch.zeros_like(copy.patches))
        for copy in encoder.copies([(0, bounded_size(picture.load()), None) for picture in bad])
    )
    exchanged = _exchanged(encoder, images, [picture.kind for picture in good], plan.exchanged, round_trip)
    texts = [_texts_of(picture, model) if alignment else _Texts() for picture in good]
    phrases, shifted = _phrases(model, texts, originals, exchanged)
    activation = _activation(encoder, model, good, images, classes, plan.activation) if alignment else None
    return Observed(
        kinds,
        tuple(picture.kind for picture in good),
        classes,
        model.grid,
        {source: torch.stack([tokens.odds[source] for tokens in originals]) for source in encoder.sources},
        damaged,
        tuple(copy for copy, _ in exchanged),
        phrases,
        shifted,
        compare_token_rows(model),
        activation,
        encoder.done,
        len({text for each in texts for text in each}),
        model.name,
        model.embedding_source,
    )


def _spread(pictures: Sequence[ReferencePicture], count: int) -> list[ReferencePicture]:
    """At most ``count`` of them, as many of each kind as there are, in their order."""
    turns: dict[str, int] = {}
    order = []
    for place, picture in enumerate(pictures):
        turns[picture.kind] = turns.get(picture.kind, -1) + 1
        order.append((turns[picture.kind], place))
    return [pictures[place] for place in sorted(place for _, place in sorted(order)[:count])]


@dataclass(frozen=True)
class _Plan:
    """How the encodes are shared out."""

    damaged: int
    bad: int
    exchanged: int
    activation: int
    total: int

    @classmethod
    def of(cls, good: int, bad: int) -> _Plan:
        left = MOST_ENCODES - good
        damaged = min(good, max(0, left - _ACTIVATION - min(_EXCHANGES, good)))
        bad = min(bad, max(0, left - damaged - _ACTIVATION))
        activation = min(_ACTIVATION, good)
        exchanged = max(0, min(_EXCHANGES, good, left - damaged - bad - activation))
        return cls(damaged, bad, exchanged, activation, good + damaged + bad + exchanged + activation)


@dataclass(frozen=True)
class _Tokens:
    odds: Mapping[str, Tensor]
    classes: Tensor
    patches: Tensor
    """Unit features (N, C); none where nobody asks for them."""


class _Encoder:
    """Pictures of any size through the image encoder, some at a time, with progress."""

    def __init__(
        self, model: QualityModel, sources: Sequence[QualityModel], total: int, progress: Progress | None
    ) -> None:
        self.model, self.total, self.progress, self.done = model, total, progress, 0
        self.sources: dict[str, Tensor] = {}
        for each in sources:
            pairs = each.factor_features()
            units = F.normalize(torch.stack([pairs[name] for name in FACTORS]), dim=-1)
            self.sources[each.embedding_source] = units[:, 0] - units[:, 1]
        self.temperature = model.temperature

    def pixels(self, images: Sequence[Tensor]) -> Tensor:
        """(n, 3, h, w) uint8, as the encoder reads them."""
        return torch.cat([preprocess(image.unsqueeze(0), self.model.resolution) for image in images])

    def told(self, count: int) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(self.done, max(self.total, self.done))

    def encode(self, images: Sequence[Tensor], patches: bool = False) -> list[_Tokens]:
        found = []
        for start in range(0, len(images), BATCH):
            pixels = self.pixels(images[start : start + BATCH])
            unit = F.normalize(self.model.encode_pixels(pixels), dim=-1)
            odds = {
                source: self.temperature * torch.einsum("btc,fc->bft", unit, pairs)
                for source, pairs in self.sources.items()
            }
            found += [
                _Tokens(
                    {source: values[index].clone() for source, values in odds.items()},
                    unit[index, 0].clone(),
                    unit[index, 1:] if patches else unit.new_empty(0, unit.shape[-1]),
                )
                for index in range(len(unit))
            ]
            self.told(len(pixels))
        return found

    def copies(self, changed: Sequence[tuple[int, Tensor, Tensor | None]]) -> tuple[Copy, ...]:
        """Encode (picture, changed image, changed pixels (H, W) or None for all)."""
        return tuple(copy for copy, _ in self.copies_with_patches(changed, patches=False))

    def copies_with_patches(
        self, changed: Sequence[tuple[int, Tensor, Tensor | None]], patches: bool = True
    ) -> tuple[tuple[Copy, Tensor], ...]:
        """As :meth:`copies`, each with its patches' unit features."""
        tokens = self.encode([image for _, image, _ in changed], patches)
        rows, columns = self.model.grid
        every = torch.ones(rows * columns, dtype=torch.bool)
        return tuple(
            (
                Copy(index, each.odds, every if mask is None else on_patches(mask, (rows, columns)), each.classes),
                each.patches,
            )
            for (index, _, mask), each in zip(changed, tokens, strict=True)
        )


def on_patches(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Patches (N,) bool of which more than half is in a mask (H, W); the most covered one if there is none."""
    share = F.interpolate(mask.float()[None, None], size=grid, mode="area").flatten()
    found = share > 0.5
    return found if bool(found.any()) else share >= share.max()


def _damaged(encoder: _Encoder, images: Sequence[Tensor], count: int) -> tuple[Copy, ...]:
    """One damaged copy a picture; kinds, fineness and extent go round over the pictures."""
    names = list(DAMAGES)
    found: list[Copy] = []
    for start in range(0, count, BATCH):
        made = []
        for index in range(start, min(start + BATCH, count)):
            turn = index // len(names)
            made.append(
                damage(
                    images[index],
                    names[index % len(names)],
                    size=SIZES[(index + turn) % len(SIZES)],
                    local=(index + 2 * turn) % 3 != 0,
                    strength=0.7,
                    generator=torch.Generator().manual_seed(1000 + index),
                )
            )
        copies = encoder.copies([(start + place, each.image, each.mask) for place, each in enumerate(made)])
        found += [
            replace(copy, factor=each.factor, name=each.name, size=each.size, local=each.local)
            for copy, each in zip(copies, made, strict=True)
        ]
    return tuple(found)


OTHER, MIRRORED, ROUND_TRIP = "other", "mirrored", "round trip"


def _exchanged(
    encoder: _Encoder, images: Sequence[Tensor], kinds: Sequence[str], count: int, round_trip: RoundTrip | None
) -> tuple[tuple[Copy, Tensor], ...]:
    """Good content exchanged for content as good: a region of another picture of its kind, or of its own mirror image,
    blended in; or all of it through a VAE. Its own shows no thing that was not there."""
    if len(images) < 2:
        return ()
    changed: list[tuple[int, Tensor, Tensor | None]] = []
    names = []
    for index in range(count):
        way = (OTHER, MIRRORED)[index % 2] if round_trip is None else (OTHER, MIRRORED, ROUND_TRIP)[index % 3]
        image = images[index]
        height, width = image.shape[:2]
        names.append(way)
        if way == ROUND_TRIP and round_trip is not None:
            changed.append((index, round_trip(image.unsqueeze(0))[0].float().cpu().clamp(0, 1)[:height, :width], None))
            continue
        draws = torch.Generator().manual_seed(2000 + index)
        new = image.flip(1)
        if way == OTHER:
            alike = [other for other in range(len(images)) if other != index and kinds[other] == kinds[index]]
            others = alike or [other for other in range(len(images)) if other != index]
            new = images[others[int(torch.randint(len(others), (), generator=draws))]]
        moved = F.interpolate(new.permute(2, 0, 1)[None], size=(height, width), mode="bilinear", align_corners=False)
        alpha = blob(height, width, draws, share=0.16).unsqueeze(-1)
        mixed = image * (1 - alpha) + moved[0].permute(1, 2, 0) * alpha
        changed.append((index, mixed, alpha[..., 0] > 0.5))
    copies = zip(encoder.copies_with_patches(changed), names, strict=True)
    return tuple((replace(copy, name=name), patches) for (copy, patches), name in copies)


def _texts_of(picture: ReferencePicture, model: QualityModel) -> _Texts:
    """The texts of one picture's phrases, each contrasted as within a prompt that names all that is there."""
    found = _Texts()
    vocabulary = model.contrast_vocabulary
    tree = parse_prompt(", ".join(picture.present))
    phrases = [tree.phrases[index] for index in tree.content]
    nouns, words = _mentioned(phrases)
    for phrase in phrases:
        texts = phrase_texts(phrase, vocabulary, nouns, words, "{}")
        # The words of the phrase say where it is; others in the place of its modifiers are asked for few phrases.
        found.heads.append(replace(texts, variants=()))
        if texts.variants and len(found.wholes) < _MODIFIED:
            found.wholes.append(texts)
    for noun, related in picture.absent[:_ABSENT]:
        found.absent.append((PhraseTexts(noun, noun, vocabulary.other_nouns(noun, nouns)), related))
    for text in picture.wrong[:_MODIFIED]:
        wrong = parse_prompt(text)
        heads = {phrase.head.text for phrase in wrong}
        # What is wrong takes the place of what is right: its own words must be among those that it is contrasted with.
        kept = [phrase for phrase in phrases if phrase.head.text not in heads]
        mentioned = _mentioned([*kept, *wrong.phrases])
        contrasted = [phrase_texts(phrase, vocabulary, *mentioned, "{}") for phrase in wrong]
        found.wrong += [texts for texts in contrasted if texts.variants][-1:]
    return found


def _mentioned(phrases: Sequence[Phrase]) -> tuple[frozenset[str], frozenset[str]]:
    """The nouns, and all words, of phrases."""
    words = [word for phrase in phrases for word in phrase.words]
    heads = {phrase.head.text for phrase in phrases}
    return (
        frozenset({word.text for word in words if word.tag.startswith("NN")} | heads),
        frozenset(word.text for word in words),
    )


def local(scoring: Scoring) -> str:
    """The key of phrases that are scored by the place where they fit best as well (``EVIDENCE``)."""
    return f"{scoring}, at its place"


def _phrases(
    model: QualityModel, texts: Sequence[_Texts], originals: Sequence[_Tokens], exchanged: Sequence[tuple[Copy, Tensor]]
) -> tuple[dict[str, tuple[Phrases, ...]], dict[str, tuple[tuple[Phrases, Phrases], ...]]]:
    every = list(dict.fromkeys((EMPTY, *(text for each in texts for text in each))))
    vectors = torch.cat([model.text_features(every[start : start + 1024]) for start in range(0, len(every), 1024)])
    row = {text: index for index, text in enumerate(every)}
    tau = model.temperature
    evidence = EVIDENCE if EVIDENCE is not None and EVIDENCE.needed else None

    def scored(own: _Texts, feature: Tensor, patches: Tensor) -> dict[str, Phrases]:
        names = list(dict.fromkeys((EMPTY, *own)))
        chosen = vectors[[row[name] for name in names]]
        similarity: Similarities = dict(zip(names, (chosen @ feature).tolist(), strict=True))
        phrases = [*own.heads, *own.wholes, *(phrase for phrase, _ in own.absent), *own.wrong]
        at_places: list[Similarities] = []
        if evidence is not None and phrases:
            directions = vectors[[row[phrase.text] for phrase in phrases]] - vectors[row[EMPTY]]
            cosines = places(directions @ patches.T, patches, evidence.share) @ chosen.T
            at_places = [dict(zip(names, values, strict=True)) for values in cosines.tolist()]

        def sorted_out(scores: Sequence[Scores]) -> Phrases:
            """Those of all phrases, in their order."""
            whole, head = [log_odds(score.whole) for score in scores], [log_odds(score.head) for score in scores]
            fitting = [None if score.modifiers is None else log_odds(score.modifiers) for score in scores]
            counts = (len(own.heads), len(own.wholes), len(own.absent), len(own.wrong))
            ends = list(accumulate(counts, initial=0))
            absent = zip(head[ends[2] : ends[3]], (related for _, related in own.absent), strict=True)
            return Phrases(
                tuple(head[: ends[1]]),
                tuple(whole[ends[1] : ends[2]]),
                tuple(absent),
                tuple(whole[ends[3] :]),
                tuple(score for score in fitting[ends[1] : ends[2]] if score is not None),
                tuple(score for score in fitting[ends[3] :] if score is not None),
            )

        found: dict[str, Phrases] = {}
        for scoring in SCORINGS:
            found[scoring] = sorted_out([phrase_scores(phrase, similarity, tau, scoring) for phrase in phrases])
            if evidence is not None:
                pairs = zip(phrases, at_places, strict=True)
                found[local(scoring)] = sorted_out(
                    [phrase_scores(phrase, similarity, tau, scoring, place, evidence) for phrase, place in pairs]
                )
        return found

    before = [scored(own, each.classes, each.patches) for own, each in zip(texts, originals, strict=True)]
    after = [(copy.picture, scored(texts[copy.picture], copy.classes, patches)) for copy, patches in exchanged]
    ways = [*SCORINGS, *(local(scoring) for scoring in SCORINGS if evidence is not None)]
    return (
        {way: tuple(each[way] for each in before) for way in ways},
        {way: tuple((before[index][way], each[way]) for index, each in after) for way in ways},
    )


def _activation(
    encoder: _Encoder,
    model: QualityModel,
    good: Sequence[ReferencePicture],
    images: Sequence[Tensor],
    classes: Tensor,
    count: int,
) -> ActivationFit | None:
    step = max(1, len(good) // max(1, count))
    chosen = [index for index in range(0, len(good), step) if good[index].caption][:count]
    captions = {good[index].caption: index for index in chosen}
    indices = list(captions.values())
    if not indices:
        return None
    pixels = normalise(encoder.pixels([images[index] for index in indices]), model.geometry)
    found = compare_activations(model, pixels, classes[indices], list(captions))
    encoder.told(0 if found is None else len(indices))
    return found


__all__ = ["MOST_ENCODES", "Copy", "Observed", "Phrases", "observe"]
