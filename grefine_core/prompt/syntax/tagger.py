"""Part-of-speech tags from an averaged perceptron that ships with the package.

The weights are trained by `grefine_research.training.tagger` with NLTK's `AveragedPerceptron`; here they are only read
(plain gzip JSON, no pickle, no download) and added up, so that tagging needs neither NLTK nor the network.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from .tokens import AND, COMMA, HYPHEN, STOP, Token

FORMAT = 1
DATA = Path(__file__).parent / "data"
PUNCTUATION_TAGS = {COMMA: ",", STOP: ".", HYPHEN: "HYPH", AND: "CC"}
_EDGE = ("-start2-", "-start-")
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


def context_features(
    words: Sequence[str], shapes: Sequence[str], classes: Sequence[str], i: int, last: str, before: str
) -> list[str]:
    """Features of word `i`; `words`, `shapes`, `classes` carry two padding entries in front and behind."""
    word = words[i]
    following = words[i + 1]
    kind = classes[i]
    next_kind = classes[i + 1]
    tail = word[-3:]
    return [
        "b",
        "w " + word,
        "s " + tail,
        "z " + word[-2:],
        "y " + word[-4:],
        "p " + word[:3],
        "c " + kind,
        "h " + shapes[i] + " " + kind,
        "t " + last,
        "T " + before + " " + last,
        "tw " + last + " " + word,
        "tc " + last + " " + kind,
        "tcc " + last + " " + kind + " " + next_kind,
        "ts " + last + " " + tail,
        "l " + words[i - 1],
        "k " + classes[i - 1] + " " + kind,
        "n " + following,
        "ns " + following[-3:],
        "nc " + kind + " " + next_kind,
        "m " + next_kind + " " + classes[i + 2],
        "e " + tail + " " + next_kind,
    ]


class Tagger:
    """Greedy left-to-right tagger.

    tags: names of the tags. weights: feature -> pairs (index of the tag, weight). fixed: words with one tag only,
    which skip the sum. lexicon: word -> its class, see `word_class`. closed: frequent word -> the only tags it ever
    had, which bind it in lower case.
    """

    def __init__(
        self,
        tags: Sequence[str],
        weights: Mapping[str, Any],
        fixed: dict[str, str],
        lexicon: dict[str, str],
        closed: Mapping[str, str] | None = None,
    ) -> None:
        self.tags = list(tags)
        self.weights = weights
        self.fixed = fixed
        self.lexicon = lexicon
        index = {tag: i for i, tag in enumerate(self.tags)}
        self.closed = {
            word: sorted(index[tag] for tag in kind.split("|") if tag in index) for word, kind in (closed or {}).items()
        }

    def tag(self, tokens: Sequence[Token]) -> None:
        """Write a tag into every token."""
        tags, weights, fixed = self.tags, self.weights, self.fixed
        words = ["-start-", "-start-"]
        shapes = ["x", "x"]
        classes = ["^", "^"]
        for token in tokens:
            mark = PUNCTUATION_TAGS.get(token.kind)
            word = token.lower[-_LONGEST_WORD:] if mark is None else mark
            words.append(word)
            shapes.append(shape(token.text[:_LONGEST_WORD]) if mark is None else "x")
            classes.append(word_class(word, self.lexicon) if mark is None else mark)
        words += ["-end-", "-end-"]
        shapes += ["x", "x"]
        classes += ["$", "$"]
        before, last = _EDGE
        get = weights.get
        for i, token in enumerate(tokens, start=2):
            tag = PUNCTUATION_TAGS.get(token.kind) or fixed.get(words[i])
            if tag is None:
                scores = [0] * len(tags)
                for feature in context_features(words, shapes, classes, i, last, before):
                    pairs = get(feature)
                    if pairs is not None:
                        for index, weight in pairs:
                            scores[index] += weight
                # The first of equal scores wins, on every machine the same.
                allowed = self.closed.get(words[i]) if shapes[i] == "x" else None
                best = max(allowed, key=scores.__getitem__) if allowed else scores.index(max(scores))
                tag = tags[best]
            token.tag = tag
            before, last = last, tag


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


def unpack_weights(content: Mapping[str, Any]) -> dict[str, tuple[tuple[int, int], ...]]:
    """Weights are stored as feature -> flat list [index, weight, index, weight, …]."""
    return {name: tuple(zip(flat[::2], flat[1::2], strict=True)) for name, flat in content["weights"].items()}


def load_tagger(path: Path, extra_words: Mapping[str, str] | None = None) -> Tagger:
    """Read a tagger written by the training script; `extra_words` adds word classes to its lexicon."""
    return make_tagger(read_model(path), extra_words)


def make_tagger(content: Mapping[str, Any], extra_words: Mapping[str, str] | None = None) -> Tagger:
    """The tagger of a model's content, see `read_model`.

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
    return Tagger(content["tags"], unpack_weights(content), fixed, lexicon, closed)


@lru_cache(maxsize=1)
def shipped_model() -> dict[str, Any]:
    """The content of the model file that ships with the package, read once."""
    return read_model(DATA / "tagger.json.gz")
