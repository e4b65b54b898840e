"""A CLIP made of numbers: it knows what a table says of pictures, and nothing else.

No weights of the size that users have are at hand where this is developed. What is known of them is how the cosines of
their pictures and words are distributed; vectors with these cosines go through the same code as those of a model.

Cosines between a picture and a text, mean and standard deviation, at a temperature of 100; those with (d) are the ones
that the design of the calibration assumes of ViT-B/16, all others are chosen here, where nothing better is known:

- the main thing, named first: .265 ± .015 (d);
- other things: .235 ± .018 (d);
- ground and background, the last two that are named: .225 ± .018 (d); that there are two is a guess, on the safe side;
- nouns that are not there, other words, and no words at all: .200 ± .016 (d);
- nouns that are not there and would be no surprise there: .215 ± .018 (d);
- ten nouns of the contrast vocabulary (182) that are akin to what is there: .225 ± .018 (d);
- a phrase with a modifier: as its noun, and .008 ± .008 more where the modifier is right. A right one then beats a
  wrong one three times in four, since CLIP is known to bind attributes poorly;
- the same at a phrase's place (patches): as above, deviations of place and picture correlating by ``agreement``;
- texts for the kind of picture ("an oil painting"): as the main thing, CLIP tells kinds well.

``agreement`` of 1: the place says what the picture says, patches add nothing. 0: an independent witness. On miniature
pictures both together tell nouns that are there from others with a d' of 4.37 where the picture alone has 3.75
(``decision.py``: AUC .999 and .996), 1.165 times as much, which is what an agreement of 2 / 1.165² − 1 = .47 gives;
modifiers gain more there (1.27 times), nothing is made of that here.

A text's vector is a function of its words: a part common to all texts, its noun's own direction, and one for each pair
of noun and modifier. Directions in 512 dimensions are drawn by hashes of the words, and what a picture does not show
deviates as the directions happen to lie: by .016, if the part in common is 0.93 of the length.

Perceptual quality is not made: damage changes nothing, so the calibration finds that PQ-Map tells nothing, and says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grefine_core.alignment.texts import ContrastVocabulary, shipped_contrast_vocabulary, singular
from grefine_core.calibration.kinds import TEXTS
from grefine_core.calibration.reference import Reference, ReferencePicture
from grefine_core.clip.embeddings import PerceptualBounds
from grefine_core.clip.preprocess import OPENAI_MEAN, OPENAI_STD, Geometry, preprocess
from grefine_core.clip.quality_model import WORDS, FeatureCache, ImageFeatures, QualityModel
from grefine_core.clip.words import features_of_words
from grefine_core.prompt.syntax import parse_prompt

WIDTH = 512
MAIN, OTHER, GROUND = (0.265, 0.015), (0.235, 0.018), (0.225, 0.018)
ABSENT, RELATED, AKIN = (0.200, 0.016), (0.215, 0.018), (0.225, 0.018)
AKIN_COUNT = 10
TAU = 100.0
FITTING = 0.0076
"""By how much a right modifier raises the cosine of its phrase: 0.67 · √2 of ``_BOUND`` · .016, three in four."""
AGREEMENT = 0.47
_BOUND = 0.5
"""Length of the direction of a noun with a modifier, relative to that of the noun."""
_GRID = 14
_SIDE, _COARSE = 64, 4
#: Length of what texts do not have in common: an absent noun's cosine deviates by .016 in ``WIDTH`` dimensions.
_OWN = ABSENT[1] * (WIDTH - 1) ** 0.5 / (1.0 - ABSENT[0] ** 2 / (1.0 - 0.37**2)) ** 0.5


@dataclass(frozen=True)
class Shown:
    """What a made picture shows.

    Attributes:
        picture: of the table: its pixels (a pattern that tells it from others), and what is known of it.
        pins: direction (a noun, or a noun with a modifier) -> mean and standard deviation of its part of the cosine.
        modified: those of nouns with a modifier, whose part comes on top of the noun's.
    """

    picture: ReferencePicture
    pins: Mapping[str, tuple[float, float]]
    modified: frozenset[str]


def direction(name: str) -> Tensor:
    """Unit vector (WIDTH,) of a noun or of a noun with a modifier, without the part that all texts have in common."""
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")
    drawn = torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    drawn[0] = 0.0
    return F.normalize(drawn, dim=0)


def noun_and_modifiers(text: str, compounds: frozenset[str]) -> tuple[str, list[str]]:
    """The parts of a text that have directions: nouns are their singular, and compounds ("palm tree") are one noun."""
    words = text.lower().split()
    for start in range(len(words)):
        if start == len(words) - 1 or " ".join(words[start:]) in compounds:
            noun = singular(" ".join(words[start:]))
            return noun, [f"{word} {noun}" for word in words[:start]]
    return "", []


class MadeClip(QualityModel):
    """A quality model whose vectors are made: pictures are those of :attr:`reference`, texts are any.

    Args:
        pictures: the table; its pictures are exchanged for patterns.
        seed: of all deviations.
        agreement: of place and picture, in [0, 1].
        more: so many further things that every picture shows, as a ground: for prompts of many tags.
    """

    def __init__(
        self, pictures: Sequence[ReferencePicture], seed: int = 0, *, agreement: float = AGREEMENT, more: int = 0
    ) -> None:
        self.contrast_vocabulary: ContrastVocabulary = shipped_contrast_vocabulary()
        self.calibration, self.alignment_encoder = None, None
        self.embeddings, self.embedding_source, self._tuned = {}, WORDS, None
        self.perceptual_bounds = PerceptualBounds()
        self.name, self.blocks, self.resolution = f"made CLIP {seed}", 0, (16 * _GRID, 16 * _GRID)
        self.geometry = Geometry(self.resolution, (16, 16), OPENAI_MEAN, OPENAI_STD)
        self._module = nn.Module()
        self._images, self._pairs, self.warned = FeatureCache(0), FeatureCache(4), set()
        self._vectors: dict[str, Tensor] = {}
        names = [name for entry in self.contrast_vocabulary.things for name in entry.synonyms]
        names += [noun for picture in pictures for noun, _ in picture.absent]
        names += [text for texts in TEXTS.values() for text in texts]
        self._compounds = frozenset(name for name in names if " " in name)
        self.more: list[tuple[str, ...]] = []
        draws = torch.Generator().manual_seed(1_000_003 * seed + 17)
        shown, tokens, patterns = [], [], []
        for picture in pictures:
            coarse = torch.rand(1, 3, _COARSE, _COARSE, generator=draws)
            pattern = F.interpolate(coarse, size=(_SIDE, _SIDE), mode="bilinear")[0].permute(1, 2, 0).contiguous()
            one = self._shown(picture, more, draws)
            shown.append(ReferencePicture(**{**vars(picture), "load": partial(torch.clone, pattern)}))
            tokens.append(self._tokens(one, agreement, draws))
            patterns.append(pattern)
        self.reference = Reference(tuple(shown), self.name)
        self._tokens_of = torch.stack(tokens)
        self._patterns = _thumbnails(preprocess(torch.stack(patterns), self.resolution))

    @property
    def grid(self) -> tuple[int, int]:
        """Patches, as ViT-B/16 has them at 224 pixels."""
        return _GRID, _GRID

    @property
    def temperature(self) -> float:
        """CLIP's own."""
        return TAU

    @property
    def context_length(self) -> int:
        """In words here."""
        return 77

    def token_count(self, text: str) -> int:
        """One a word: prompts of many tags are read in pieces."""
        return len(text.split()) + 2

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def class_vector(self, number: int) -> Tensor:
        """Unit vector (WIDTH,) of a picture as a whole."""
        return self._tokens_of[number, 0]

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Tokens (B, 1 + 196, WIDTH) of the pictures that these look most alike, damaged or not."""
        nearest = torch.cdist(_thumbnails(pixels), self._patterns).argmin(-1)
        found = self._tokens_of[nearest]
        return torch.cat([found[:, :1], found[:, 1:].expand(-1, _GRID * _GRID, -1)], dim=1)

    def features_of(self, pictures: Tensor) -> ImageFeatures:
        """As :meth:`encode_pixels`, of pictures (B, H, W, 3)."""
        return ImageFeatures(self.encode_pixels(preprocess(pictures, self.resolution)), self.grid)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors (n, WIDTH)."""
        for text in texts:
            if text not in self._vectors:
                noun, modifiers = noun_and_modifiers(text, self._compounds)
                own = direction(noun) + sum((_BOUND * direction(name) for name in modifiers), torch.zeros(WIDTH))
                vector = _OWN * own
                vector[0] = max(0.1, 1.0 - float(vector @ vector)) ** 0.5
                self._vectors[text] = F.normalize(vector, dim=0).float()
        return torch.stack([self._vectors[text] for text in texts])

    def factor_features(self) -> dict[str, Tensor]:
        """From words."""
        return features_of_words(self.text_features)

    def _shown(self, picture: ReferencePicture, more: int, draws: torch.Generator) -> Shown:
        """The cosines that the picture is to have."""
        pins: dict[str, tuple[float, float]] = {}
        for text in TEXTS.get(picture.kind, ()):
            pins[noun_and_modifiers(text, self._compounds)[0]] = MAIN
        nouns, modified = [], []
        for place, text in enumerate(picture.present):
            head = parse_prompt(text).phrases[0].head.text
            nouns.append(head)
            noun, modifiers = noun_and_modifiers(text, self._compounds)
            role = MAIN if place == 0 else GROUND if place >= len(picture.present) - 2 else OTHER
            for name in (singular(head), noun):
                pins.setdefault(name, role)
            modified += modifiers
        pins |= {singular(noun): RELATED for noun, related in picture.absent if related and singular(noun) not in pins}
        known = {singular(noun) for noun, _ in picture.absent} | set(pins)
        words = {word for text in picture.present for word in text.lower().split()}
        others = [
            noun for noun in self.contrast_vocabulary.other_nouns(nouns[0], {*nouns, *words}) if noun not in known
        ]
        order = torch.randperm(len(others), generator=draws).tolist()
        pins |= {singular(others[index]): AKIN for index in order[:AKIN_COUNT]}
        self.more.append(tuple(others[index] for index in order[AKIN_COUNT : AKIN_COUNT + more]))
        pins |= {singular(noun): GROUND for noun in self.more[-1]}
        pins |= dict.fromkeys(modified, (FITTING, _BOUND * ABSENT[1]))
        return Shown(picture, pins, frozenset(modified))

    def _tokens(self, shown: Shown, agreement: float, draws: torch.Generator) -> Tensor:
        """Class token and the one that all patches are alike (2, WIDTH): where something is, is not asked here."""
        directions = torch.stack([direction(name) for name in shown.pins])
        means, spreads = (
            torch.tensor(values, dtype=torch.float64) for values in zip(*shown.pins.values(), strict=True)
        )
        base = torch.tensor([0.0 if name in shown.modified else ABSENT[0] for name in shown.pins])
        scale = torch.tensor([_OWN * (_BOUND if name in shown.modified else 1.0) for name in shown.pins])
        deviations = torch.randn(2, len(means), generator=draws, dtype=torch.float64)
        noise = torch.randn(2, WIDTH, generator=draws, dtype=torch.float64)
        for values in (deviations, noise):
            values[1] = agreement * values[0] + (1.0 - agreement**2) ** 0.5 * values[1]
        wanted = (means + spreads * deviations - base) / scale
        common = ABSENT[0] / (1.0 - _OWN**2) ** 0.5
        tokens = torch.zeros(2, WIDTH, dtype=torch.float64)
        pseudo = torch.linalg.pinv(directions)
        for row, target, random in zip(tokens, wanted, noise, strict=True):
            random[0] = 0.0
            fixed = pseudo @ target
            free = random - pseudo @ (directions @ random)
            row += fixed + F.normalize(free, dim=0) * max(0.0, 1.0 - common**2 - float(fixed @ fixed)) ** 0.5
            row[0] = common
        return tokens.float()


def _thumbnails(pixels: Tensor) -> Tensor:
    """Of (B, 3, h, w) uint8, in few numbers (B, n)."""
    return F.adaptive_avg_pool2d(pixels.float(), 2 * _COARSE).flatten(1)


__all__ = ["AGREEMENT", "MadeClip", "noun_and_modifiers"]
