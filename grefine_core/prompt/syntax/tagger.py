"""Part-of-speech tags from an averaged perceptron that ships with the package.

NLTK's `PerceptronTagger` runs it, with features, weights and word lists of this package: none of NLTK's data is needed,
nor the network. `grefine_research.training.tagger` trains the weights, which are read from plain gzip JSON (no pickle).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .tokens import AND, COMMA, HYPHEN, STOP, WALL, Token

if TYPE_CHECKING:
    from nltk.tag.perceptron import PerceptronTagger

FORMAT = 1
DATA = Path(__file__).parent / "data"
PUNCTUATION_TAGS = {COMMA: ",", WALL: ",", STOP: ".", HYPHEN: "HYPH", AND: "CC"}
_WORDS_KEPT = 20_000  # whose sums are kept, a few hundred bytes each
_LONGEST_WORD = 40  # characters looked at; more is no word of a language


def word_class(word: str, lexicon: Mapping[str, str]) -> str:
    """The tags a word is known to take ("NN|VB"), or "?" with its shape for an unknown one."""
    known = lexicon.get(word)
    if known is not None:
        return known
    if word[:1].isdigit():
        return "?9" if word.isdigit() else "?9a"
    if "-" in word:
        return "?-" + lexicon.get(word.rsplit("-", 1)[1], "")
    if word.endswith("s") and "NN" in lexicon.get(word[:-1], "").split("|"):
        return "?s"
    return "?"


def shape(text: str) -> str:
    """Capitals as a feature: lower, one Capital, ALL or mIxed."""
    if text.islower() or not text[:1].isalpha():
        return "x"
    if text.isupper():
        return "X" if len(text) > 1 else "I"
    return "Xx" if text[:1].isupper() else "xX"


class Seen(str):
    """A word as the tagger sees it: its text in lower case, and beside it its shape and its class."""

    __slots__ = ("kind", "shape")
    kind: str
    shape: str

    def __new__(cls, word: str, shape: str, kind: str) -> Seen:
        """A string that also knows its `shape` and its `kind`, see `shape` and `word_class`."""
        seen = super().__new__(cls, word)
        seen.shape, seen.kind = shape, kind
        return seen


#: What stands before the first word and behind the last.
BEFORE = [Seen("-start-", "x", "^")] * 2
BEHIND = [Seen("-end-", "x", "$")] * 2
_FIRST = "-start2-"  # the tag two words before the first


def context_features(context: Sequence[Seen], i: int, last: str, before: str) -> list[str]:
    """Features of the `i`-th word of `context`, which begins with BEFORE and ends with BEHIND; no two are equal.

    last, before: the tags of the word before this and of the one before that.
    """
    word = context[i]
    return own_features(word, word.shape, word.kind) + neighbour_features(context, i, last, before)


def own_features(word: str, shape: str, kind: str) -> list[str]:
    """Features of a word that are the same wherever it stands."""
    return [
        "b",
        "w " + word,
        "s " + word[-3:],
        "z " + word[-2:],
        "y " + word[-4:],
        "p " + word[:3],
        "c " + kind,
        "h " + shape + " " + kind,
    ]


def neighbour_features(context: Sequence[Seen], i: int, last: str, before: str) -> list[str]:
    """The other features, see `context_features`."""
    word, following = context[i], context[i + 1]
    kind = word.kind
    tail = word[-3:]
    if i == len(BEFORE):
        before = _FIRST
    return [
        "t " + last,
        "T " + before + " " + last,
        "tw " + last + " " + word,
        "tc " + last + " " + kind,
        "tcc " + last + " " + kind + " " + following.kind,
        "ts " + last + " " + tail,
        "l " + context[i - 1],
        "k " + context[i - 1].kind + " " + kind,
        "n " + following,
        "ns " + following[-3:],
        "nc " + kind + " " + following.kind,
        "m " + following.kind + " " + context[i + 2].kind,
        "e " + tail + " " + following.kind,
    ]


@lru_cache(maxsize=1)
def _perceptron_tagger() -> type[PerceptronTagger]:
    """NLTK's tagger with our features, made on first use: importing NLTK takes a second or two."""
    from nltk.tag.perceptron import AveragedPerceptron, PerceptronTagger

    class PromptPerceptron(PerceptronTagger):
        START = BEFORE
        END = BEHIND

        def __init__(self, weights: dict[str, Mapping[str, float]], closed: Mapping[str, tuple[str, ...]]) -> None:
            super().__init__(load=False)  # NLTK's own weights would be a download
            self.closed = closed
            self.weights = weights
            self.models = {tags: self._choosing(tags) for tags in {*closed.values(), tuple(weights["b"])}}
            self.any = self.models[tuple(weights["b"])]
            self.model = _Chosen()
            self.known: set[str] = set()

        def _choosing(self, tags: tuple[str, ...]) -> AveragedPerceptron:
            """NLTK's model, choosing among these tags."""
            model = AveragedPerceptron()
            model.weights, model.classes = self.weights, set(tags)
            return model

        def normalize(self, word: Seen) -> Seen:
            return word

        def _get_features(
            self, i: int, word: Seen, context: list[Seen], prev: str, prev2: str
        ) -> tuple[AveragedPerceptron, dict[str, int]]:
            tags = self.closed.get(word) if word.shape == "x" else None
            if tags is not None and len(tags) == 1:
                return self.models[tags], {}
            own = self._own(word, tags)
            features = [*own, *neighbour_features(context, i + len(BEFORE), prev, prev2)]
            return self.any if tags is None else self.models[tags], dict.fromkeys(features, 1)

        def _own(self, word: Seen, tags: tuple[str, ...] | None) -> list[str]:
            """One feature for all that are the same wherever the word stands; its weights are added up once."""
            name = f"o {word.shape} {word.kind} {word}"
            if name in self.known:
                return [name]
            own = own_features(word, word.shape, word.kind)
            if len(self.known) >= _WORDS_KEPT:
                return own
            sums = dict.fromkeys(tags or self.weights["b"], 0.0)
            for feature in own:
                for tag, weight in self.weights.get(feature, {}).items():
                    if tag in sums:
                        sums[tag] += weight
            self.weights[name] = sums
            self.known.add(name)
            return [name]

    return PromptPerceptron


class _Chosen:
    """Stands where NLTK's tagger has one model: asks the one that the features come with."""

    def predict(self, features: tuple[Any, dict[str, int]], return_conf: bool = False) -> tuple[str, float | None]:
        model, names = features
        answer: tuple[str, float | None] = model.predict(names, return_conf)
        return answer


class Tagger:
    """Greedy left-to-right tagger: NLTK's `PerceptronTagger` with the features, weights and word lists given here.

    tags: names of the tags. weights: feature -> tag -> weight, whole numbers. fixed: words with one tag only,
    which skip the sum. lexicon: word -> its class, see `word_class`. closed: frequent word -> the only tags it ever
    had, which bind it in lower case.
    """

    def __init__(
        self,
        tags: Sequence[str],
        weights: Mapping[str, dict[str, float]],
        fixed: Mapping[str, str],
        lexicon: Mapping[str, str],
        closed: Mapping[str, str] | None = None,
        more: Callable[[str], str] | None = None,
    ) -> None:
        self.lexicon = lexicon
        self.more = more
        names = set(tags)
        allowed = {word: tuple(tag for tag in kind.split("|") if tag in names) for word, kind in (closed or {}).items()}
        known: dict[str, Mapping[str, float]] = dict(weights)
        # Of equal sums NLTK takes the last tag of the alphabet; the weights were measured with the first.
        known["b"] = {tag: known.get("b", {}).get(tag, 0) - index / 1000 for index, tag in enumerate(tags)}
        self._perceptron = _perceptron_tagger()(known, {word: tags for word, tags in allowed.items() if tags})
        self._perceptron.classes = names
        self._perceptron.tagdict = {**fixed, **{mark: mark for mark in PUNCTUATION_TAGS.values()}}

    def tag(self, tokens: Sequence[Token]) -> None:
        """Write a tag into every token."""
        for token, (_, tag) in zip(tokens, self._perceptron.tag([self._seen(token) for token in tokens]), strict=True):
            token.tag = tag

    def _seen(self, token: Token) -> Seen:
        mark = PUNCTUATION_TAGS.get(token.kind)
        if mark is not None:
            return Seen(mark, "x", mark)
        word = token.lower[-_LONGEST_WORD:]
        if token.counted:
            word = word.lstrip("0123456789")
        kind = word_class(word, self.lexicon)
        if kind in ("?", "?s"):
            kind = (self.more(word) if self.more is not None else "") or kind
        return Seen(word, shape(token.text[:_LONGEST_WORD]), kind)


def read_model(path: Path) -> dict[str, Any]:
    """The JSON object in a gzip file; a ValueError names the file when it is not one of ours."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            content = json.load(stream)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path}: not a readable gzip JSON file; reinstall the package") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a model of format {FORMAT}; reinstall the package or retrain it")
    return content


def unpack_weights(content: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Feature -> tag -> weight; they are stored as feature -> flat list [index of a tag, weight, index, weight, …]."""
    tags = content["tags"]
    return {
        name: {tags[index]: weight for index, weight in zip(flat[::2], flat[1::2], strict=True)}
        for name, flat in content["weights"].items()
    }


def load_tagger(path: Path, extra_words: Mapping[str, str] | None = None) -> Tagger:
    """Read a tagger written by the training script; `extra_words` adds word classes to its lexicon."""
    return make_tagger(read_model(path), extra_words)


def make_tagger(
    content: Mapping[str, Any],
    extra_words: Mapping[str, str] | None = None,
    more: Callable[[str], str] | None = None,
) -> Tagger:
    """The tagger of a model's content, see `read_model`; `more`: see `Tagger`.

    extra_words: word -> its class. A word binds to its class in lower case: nothing but the tags named there, and
    for a word of the treebank, the tags it has there, too, proper nouns left out.
    """
    lexicon = dict(content["lexicon"])
    fixed = dict(content["fixed"])
    closed = dict(content["closed"])
    for word, kind in (extra_words or {}).items():
        lexicon[word] = kind
        ordinary = "|".join(tag for tag in kind.split("|") if not tag.startswith("NNP")) or kind
        if "|" in ordinary:
            fixed.pop(word, None)
            closed[word] = ordinary
        else:
            fixed[word] = ordinary
            closed.pop(word, None)
    return Tagger(content["tags"], unpack_weights(content), fixed, lexicon, closed, more)


@lru_cache(maxsize=2)
def shipped_model(name: str = "tagger.json.gz") -> dict[str, Any]:
    """The content of a model file that ships with the package, read once."""
    return read_model(DATA / name)
