"""Train the tagger of the prompt parser from a Universal Dependencies treebank.

    python -m grefine_research.training.tagger --treebank DIR --out tagger.json.gz

DIR holds train, dev and test as `NAME.tsv` or `NAME.tsv.gz`: one word a line, tab-separated (id, form, UPOS, XPOS,
head, relation), a blank line between sentences. The same input gives the same file, byte for byte.

Prompts are not sentences: mostly lower case, noun phrases without a full stop, compounds with hyphens. So every
sentence is trained on as it is and in lower case without its final punctuation, and every noun with all that hangs on
it ("man hating his printer") is a training text of its own.

    python -m grefine_research.training.tagger --treebank DIR --out tagger_sentences.json.gz --scenes 12000

trains the tagger of sentences instead: on the sentences as they are, the nouns with a full stop, and sentences about
pictures (`scenes`).
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from grefine_core.prompt.syntax.lexicon import sentence_words
from grefine_core.prompt.syntax.senses import tag_class
from grefine_core.prompt.syntax.tagger import (
    BEFORE,
    BEHIND,
    FORMAT,
    Seen,
    Tagger,
    context_features,
    load_tagger,
    shape,
    word_class,
)
from grefine_core.prompt.syntax.tokens import AND, COMMA, HYPHEN, STOP, WORD, Token

from .scenes import scene_sentences

logger = logging.getLogger(__name__)

SEED = 20261120
# Tags of the web treebank that stand for oddities of web text, read as the nearest ordinary tag.
_MERGED_TAGS = {
    "ADD": "NN", "GW": "NN", "XX": "NN", "LS": "CD", "NFP": ",", "AFX": "JJ", "-LRB-": ",", "-RRB-": ",",
    ":": ",", "``": "", "''": "", "SYM": "NN", "$": "NN",
}  # fmt: skip
_KINDS = {",": COMMA, ".": STOP, "HYPH": HYPHEN}


class Entry(NamedTuple):
    """One word of the treebank: form, Penn tag, position of its head (from 1; 0 for the root), coarse tag."""

    form: str
    tag: str
    head: int
    upos: str


Tagged = list[tuple[str, str]]


def read_treebank(path: Path) -> list[list[Entry]]:
    """Sentences of a tab-separated treebank file (plain or gzip)."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    sentences: list[list[Entry]] = []
    current: list[Entry] = []
    with opener(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            fields = line.rstrip("\n").split("\t")
            if len(fields) < 6:
                if current:
                    sentences.append(current)
                    current = []
            elif fields[0].isdigit():
                current.append(Entry(fields[1], _MERGED_TAGS.get(fields[3], fields[3]), int(fields[4]), fields[2]))
    if current:
        sentences.append(current)
    return sentences


def find_part(folder: Path, name: str) -> Path:
    """`name`.tsv.gz or `name`.tsv in the folder."""
    for suffix in (".tsv.gz", ".tsv"):
        if (folder / (name + suffix)).is_file():
            return folder / (name + suffix)
    raise FileNotFoundError(f"{folder}: neither {name}.tsv.gz nor {name}.tsv is there")


def plain(sentence: Iterable[Entry]) -> Tagged:
    """Forms and tags without quotation marks, which prompts use for emphasis rather than speech."""
    return [(entry.form, entry.tag) for entry in sentence if entry.tag]


def lower(tagged: Tagged) -> Tagged:
    """In lower case, without the punctuation at the end."""
    end = len(tagged)
    while end and tagged[end - 1][1] in (".", ","):
        end -= 1
    return [(form.lower(), tag) for form, tag in tagged[:end]]


def join_hyphens(tagged: Tagged) -> Tagged:
    """ "hand - made" as one word, which is how it is typed in prompts as often as not; an adjective before a noun."""
    joined: Tagged = []
    i = 0
    while i < len(tagged):
        form, tag = tagged[i]
        while i + 2 < len(tagged) and tagged[i + 1][1] == "HYPH":
            form, tag = form + "-" + tagged[i + 2][0], tagged[i + 2][1]
            i += 2
            following = tagged[i + 1][1] if i + 1 < len(tagged) else ""
            if tag in ("VBN", "VBG") or (tag in ("NN", "NNS") and following in ("NN", "NNS")):
                tag = "JJ"
        joined.append((form, tag))
        i += 1
    return joined


def noun_fragments(sentence: Sequence[Entry], draw: random.Random) -> Iterator[Tagged]:
    """Every noun with the span of what depends on it, as prompts are written: lower case, often without the article."""
    children: dict[int, list[int]] = defaultdict(list)
    for i, entry in enumerate(sentence, start=1):
        children[entry.head].append(i)
    for i, entry in enumerate(sentence, start=1):
        if entry.upos not in ("NOUN", "PROPN"):
            continue
        below, stack = {i}, [i]
        while stack:
            for child in children[stack.pop()]:
                if child not in below:
                    below.add(child)
                    stack.append(child)
        first, last = min(below), max(below)
        if not 2 < len(below) <= 20 or last - first + 1 != len(below):
            continue
        tagged = lower(plain(sentence[first - 1 : last]))
        while tagged and tagged[0][1] in ("IN", "CC", ",", "HYPH"):
            tagged = tagged[1:]
        if tagged and tagged[0][1] in ("DT", "PRP$") and draw.random() < 0.5:
            tagged = tagged[1:]
        if len(tagged) > 1:
            yield tagged


def build_lexicon(texts: Iterable[Tagged], at_least: int = 3) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """(word classes, words with one tag only, all tags of frequent words), in lower case, from the plain sentences."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        for form, tag in text:
            counts[form.lower()][tag] += 1
    lexicon, fixed, closed = {}, {}, {}
    for word, tags in sorted(counts.items()):
        total = sum(tags.values())
        if total >= at_least:
            lexicon[word] = "|".join(sorted(tag for tag, count in tags.items() if count >= 0.08 * total))
        tag, count = min(tags.items(), key=lambda item: (-item[1], item[0]))
        if total >= 20 and count / total >= 0.985:
            fixed[word] = tag
        elif total >= 20:
            closed[word] = "|".join(sorted(tag for tag, count in tags.items() if count >= 0.005 * total))
    return lexicon, fixed, closed


def training_texts(sentences: Sequence[list[Entry]], draw: random.Random) -> list[Tagged]:
    """The sentences with all their variants."""
    texts: list[Tagged] = []
    for sentence in sentences:
        tagged = plain(sentence)
        texts += [join_hyphens(tagged), lower(tagged)]
        texts += [join_hyphens(fragment) for fragment in noun_fragments(sentence, draw)]
    return [text for text in texts if text]


def sentence_texts(sentences: Sequence[list[Entry]], draw: random.Random, scenes: int) -> list[Tagged]:
    """The sentences as they are, their nouns as if they were sentences, and sentences about pictures."""
    texts = scene_sentences(scenes, draw.randrange(1 << 30))
    for sentence in sentences:
        texts.append(join_hyphens(plain(sentence)))
        for fragment in noun_fragments(sentence, draw):
            (first, tag), *rest = join_hyphens(fragment)
            texts.append([(first[:1].upper() + first[1:], tag), *rest, (".", ".")])
    return [text for text in texts if text]


def _context(text: Tagged, lexicon: Mapping[str, str], more: Callable[[str], str] | None = None) -> list[Seen]:
    seen = []
    for form, tag in text:
        if tag in _KINDS:
            seen.append(Seen(tag, "x", tag))
        else:
            word = form.lower()
            kind = word_class(word, lexicon)
            if more is not None and kind in ("?", "?s"):
                kind = more(word) or kind
            seen.append(Seen(word, shape(form), kind))
    return [*BEFORE, *seen, *BEHIND]


class AveragedPerceptron:
    """What NLTK's `AveragedPerceptron` computes, with a row of numbers for every feature: some ten times as fast."""

    def __init__(self, tags: Sequence[str]) -> None:
        self.tags = list(tags)
        self.index = {tag: i for i, tag in enumerate(tags)}
        self.rows: dict[str, int] = {}
        self.weights = np.zeros((1 << 16, len(tags)), dtype=np.float32)
        self.totals = np.zeros((1 << 16, len(tags)))
        self.times = np.zeros((1 << 16, len(tags)), dtype=np.int64)
        self.seen = 0

    def learn(self, features: Sequence[str], tag: str) -> str:
        """Returns the tag guessed from the features, and learns the right one; of equal sums the last tag is taken."""
        known = [row for feature in features if (row := self.rows.get(feature)) is not None]
        sums = self.weights[known].sum(axis=0)
        guess, right = len(sums) - 1 - int(sums[::-1].argmax()), self.index[tag]
        self.seen += 1
        if guess != right:
            rows = [self.rows.setdefault(feature, len(self.rows)) for feature in features]
            while len(self.rows) > len(self.weights):
                self.weights, self.totals, self.times = (
                    np.concatenate([table, np.zeros_like(table)]) for table in (self.weights, self.totals, self.times)
                )
            for column, step in ((right, 1), (guess, -1)):
                self.totals[rows, column] += (self.seen - self.times[rows, column]) * self.weights[rows, column]
                self.times[rows, column] = self.seen
                self.weights[rows, column] += step
        return self.tags[guess]

    def averages(self) -> Iterator[tuple[str, np.ndarray]]:
        """(feature, its weight for every tag), the mean over all words seen."""
        for feature, row in self.rows.items():
            total = self.totals[row] + (self.seen - self.times[row]) * self.weights[row]
            yield feature, np.round(total / max(1, self.seen), 3)


def train_tagger(
    sentences: Sequence[list[Entry]],
    *,
    epochs: int = 6,
    scale: int = 100,
    prune: int = 6,
    seed: int = SEED,
    scenes: int = 0,
) -> dict[str, Any]:
    """The model as a JSON object; weights are rounded to 1/scale and dropped below prune/scale.

    scenes: how many sentences about pictures the tagger of sentences learns from; 0 trains that of all other prompts.
    """
    draw = random.Random(seed)
    texts = sentence_texts(sentences, draw, scenes) if scenes else training_texts(sentences, draw)
    lexicon, fixed, closed = build_lexicon(plain(sentence) for sentence in sentences)
    classes, more = lexicon, None
    if scenes:  # it learns from the classes that it meets at run time
        classes, more = {**lexicon, **sentence_words()}, tag_class
        fixed = {word: tag for word, tag in fixed.items() if word not in sentence_words()}
    tags = sorted({tag for text in texts for _, tag in text})
    learner = AveragedPerceptron(tags)
    rows = [(_context(text, classes, more), text) for text in texts]
    for epoch in range(epochs):
        draw.shuffle(rows)
        wrong = total = 0
        for context, text in rows:
            before, last = map(str, BEFORE)
            for i, (_, tag) in enumerate(text, start=len(BEFORE)):
                guess = tag if tag in _KINDS else fixed.get(context[i])
                if guess is None:
                    features = context_features(context, i, last, before)
                    guess = learner.learn(features, tag)
                    wrong += guess != tag
                    total += 1
                before, last = last, guess
        logger.info("epoch %d: %.2f %% of %d words wrong", epoch + 1, 100 * wrong / max(1, total), total)
    weights: dict[str, list[int]] = {}
    for feature, row in sorted(learner.averages()):
        rounded = np.round(row * scale).astype(int)
        flat = [int(number) for i in np.nonzero(np.abs(rounded) >= prune)[0] for number in (i, rounded[i])]
        if flat:
            weights[feature] = flat
    return {
        "format": FORMAT,
        "tags": tags,
        "fixed": fixed,
        "lexicon": lexicon,
        "closed": closed,
        "weights": weights,
    }


def write_model(model: dict[str, Any], path: Path) -> None:
    """Write as gzip JSON; no time stamp and no file name go into the file."""
    data = json.dumps(model, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream:
        stream.write(data)


def accuracy(tagger: Tagger, texts: Iterable[Tagged]) -> float:
    """Share of right tags, punctuation left out."""
    right = total = 0
    for text in texts:
        tokens = [Token(form, 0, _KINDS.get(tag, WORD) if tag != "CC" or form != "&" else AND) for form, tag in text]
        tagger.tag(tokens)
        for token, (_, tag) in zip(tokens, text, strict=True):
            if tag not in _KINDS:
                right += token.tag == tag
                total += 1
    return right / max(1, total)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, write, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--treebank", type=Path, required=True, help="folder with train, dev and test")
    parser.add_argument("--out", type=Path, required=True, help="file to write, .json.gz")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--prune", type=int, default=6, help="drop weights below this many hundredths")
    parser.add_argument(
        "--scenes", type=int, default=0, help="sentences about pictures: trains the tagger of sentences"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sentences = read_treebank(find_part(options.treebank, "train"))
    write_model(train_tagger(sentences, epochs=options.epochs, prune=options.prune, scenes=options.scenes), options.out)
    logger.info("%s: %.2f MB", options.out, options.out.stat().st_size / 1e6)
    tagger = load_tagger(options.out)
    for name in ("dev", "test"):
        part = read_treebank(find_part(options.treebank, name))
        cased = [plain(sentence) for sentence in part]
        logger.info(
            "%s: %.2f %% of the words right as written, %.2f %% in lower case",
            name, 100 * accuracy(tagger, cased), 100 * accuracy(tagger, [lower(text) for text in cased]),
        )  # fmt: skip


if __name__ == "__main__":
    main()
