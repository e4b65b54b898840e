"""All texts that a prompt needs: itself (in pieces if long), its phrases, their heads, and what contrasts them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import InputError, ModelFileError
from ..files import read_json, write_text
from ..prompt.syntax.tree import Phrase, PromptTree
from .calibration import Scoring
from .options import AlignmentOptions

# What a phrase is contrasted with: other nouns for its head, other words of the same kind for its modifiers.

FORMAT = "grefine-banks-1"
_SHIPPED = Path(__file__).parent / "data" / "banks.json"
_IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "feet": "foot",
    "teeth": "tooth",
    "mice": "mouse",
    "geese": "goose",
    "leaves": "leaf",
    "knives": "knife",
    "wolves": "wolf",
    "shelves": "shelf",
    "glasses": "glasses",
    "sunglasses": "sunglasses",
    "clothes": "clothes",
}


@dataclass(frozen=True)
class NounGroup:
    """Things of one sort."""

    members: tuple[tuple[str, ...], ...]
    """One entry a thing: its name in the singular, then its synonyms."""
    names: tuple[str, ...] = ()
    """Words for all of the group ("animal"), which its members do not contrast."""
    close: bool = False
    """Whether the members describe the same things (man, soldier): none contrasts another then."""


@dataclass(frozen=True)
class NounEntry:
    """One thing of the contrast vocabulary: its name, its synonyms, the words for its group (with all members, if
    close)."""

    name: str
    synonyms: frozenset[str]
    group: frozenset[str]


@dataclass(frozen=True)
class ContrastVocabulary:
    """The words that one model is asked about. Nouns and modifiers in lower case.

    Raises:
        InputError: no nouns, or something else than words where words belong; says where.
    """

    nouns: Mapping[str, NounGroup]
    """Name of a group -> its things."""
    modifiers: Mapping[str, tuple[str, ...]]
    """Kind of modifier -> its words, the commonest first. Words in none of the lists are of kind "number", "action",
    "noun" or "general" by their tag. An empty word stands for leaving the modifier out."""
    alike: tuple[tuple[str, ...], ...] = ()
    """Sets of modifiers that mean nearly the same: none contrasts another."""
    captions: tuple[str, ...] = ()
    """Captions of other pictures, for whole prompts."""
    note: str = field(default="", compare=False)
    """Where the words come from."""

    def __post_init__(self) -> None:
        if not self.nouns or not any(group.members for group in self.nouns.values()):
            raise InputError("contrast_vocabulary: no nouns.")
        for name, group in self.nouns.items():
            _check_words(f"nouns of {name!r}", group.names)
            for member in group.members:
                _check_words(f"nouns of {name!r}", member, least=1)
        for kind, words in self.modifiers.items():
            _check_words(f"modifiers of kind {kind!r}", [word for word in words if word != ""], least=1)
        for words in self.alike:
            _check_words("modifiers that are alike", words)
        _check_words("captions", self.captions, lower=False)

    @cached_property
    def things(self) -> tuple[NounEntry, ...]:
        """All nouns, in their order."""
        entries = []
        for group in self.nouns.values():
            words = frozenset(group.names)
            if group.close:
                words |= {word for member in group.members for word in member}
            entries += [NounEntry(member[0], frozenset(member), words) for member in group.members]
        return tuple(entries)

    def other_nouns(self, head: str, mentioned: Iterable[str] = ()) -> tuple[str, ...]:
        """Nouns that a picture of ``head`` should not show.

        Left out: synonyms of the head and of every other noun that the prompt mentions (those are in the picture, too),
        the members of a group that is named ("animal" against "dog"), and members of the same group where they describe
        the same things ("girl" against "woman").
        """
        own, words = singular(head), _singulars(frozenset(mentioned))
        return tuple(
            entry.name
            for entry in self.things
            if own not in entry.synonyms
            and own not in entry.group
            and words.isdisjoint(entry.synonyms)
            and words.isdisjoint(entry.group)
        )

    def kind_of(self, word: str, tag: str = "") -> str | None:
        """The kind of a modifier: colour, material, size, …; by its tag where the word is in no list; None for words
        that nothing can be exchanged for (degree adverbs, possessives, function words)."""
        lowered = word.lower()
        for kind, words in self.modifiers.items():
            if lowered in words:
                return kind
        if lowered.isdigit() or tag == "CD":
            return "number"
        if tag.startswith("VB"):
            return "action"
        if tag.startswith("NN"):
            return "noun"
        return "general" if tag.startswith("JJ") else None

    def others_of_kind(self, word: str, kind: str, count: int, mentioned: Iterable[str] = ()) -> tuple[str, ...]:
        """At most ``count`` words of the same kind that mean something else, the commonest first; always the same.

        Left out: words that mean nearly the same as the word, or as one chosen already, and words that the prompt
        itself uses (``mentioned``). For compound nouns the nouns of the vocabulary, spread evenly. None for a kind
        without words.
        """
        if kind == "noun":
            nouns = self.other_nouns(word, mentioned)
            return nouns if len(nouns) <= count else tuple(nouns[(i * len(nouns)) // count] for i in range(count))
        used = _lowered(frozenset(mentioned))
        barred = {word.lower()} | self._alike(word.lower())
        chosen: list[str] = []
        for other in self.modifiers.get(kind, ()):
            if other not in barred and other not in used and len(chosen) < count:
                chosen.append(other)
                barred |= {other} | self._alike(other)
        return tuple(chosen)

    def _alike(self, word: str) -> frozenset[str]:
        return self._sets.get(word, frozenset())

    @cached_property
    def _sets(self) -> dict[str, frozenset[str]]:
        sets: dict[str, frozenset[str]] = {}
        for words in self.alike:
            for word in words:
                sets[word] = sets.get(word, frozenset()) | frozenset(words)
        return sets

    def save(self, path: str | Path) -> Path:
        """Write the file, replacing an older one as a whole; returns its path."""
        content = {"format": FORMAT, **asdict(self)}
        return write_text(Path(path), json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> ContrastVocabulary:
        """Read a file that :meth:`save` wrote, or one written by hand after ``data/banks.json``.

        Raises:
            ModelFileError: missing, damaged, or no contrast vocabulary; says what is wrong and where.
        """
        file = Path(path).expanduser()
        try:
            content = read_json(file)
        except FileNotFoundError as error:
            raise ModelFileError(f"contrast_vocabulary: {file} does not exist; check the path.") from error
        except (OSError, ValueError) as error:
            raise ModelFileError(f"contrast_vocabulary: {file} cannot be read as JSON ({error}).") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ModelFileError(f"contrast_vocabulary: {file} is no file of contrast words of G-Refine ({FORMAT}).")
        try:
            return cls._from_json(content)
        except KeyError as error:
            raise ModelFileError(f"contrast_vocabulary: {file} is incomplete: it has no {error}.") from error
        except (InputError, AttributeError, TypeError) as error:
            raise ModelFileError(f"contrast_vocabulary: {file} is damaged ({error}).") from error

    @classmethod
    def _from_json(cls, content: Mapping[str, Any]) -> ContrastVocabulary:
        nouns = {
            name: NounGroup(
                tuple(_words(member, f"nouns of {name!r}") for member in group["members"]),
                _words(group.get("names", []), f"names of the nouns {name!r}"),
                bool(group.get("close", False)),
            )
            for name, group in content["nouns"].items()
        }
        return cls(
            nouns=nouns,
            modifiers={
                kind: _words(words, f"modifiers of kind {kind!r}") for kind, words in content["modifiers"].items()
            },
            alike=tuple(_words(words, "modifiers that are alike") for words in content.get("alike", [])),
            captions=_words(content.get("captions", []), "captions"),
            note=str(content.get("note", "")),
        )


@lru_cache(maxsize=1)
def shipped_contrast_vocabulary() -> ContrastVocabulary:
    """The contrast vocabulary that comes with the package, for CLIP models of the open world."""
    return ContrastVocabulary.load(_SHIPPED)


def contrast_vocabulary_path(weights: str | Path) -> Path:
    """Where the contrast vocabulary of a weight file lies: ``<stem>.banks.json`` beside it."""
    return Path(weights).expanduser().with_suffix(".banks.json")


def find_contrast_vocabulary(weights: str | Path) -> ContrastVocabulary | None:
    """The contrast vocabulary beside a weight file; None if there is none."""
    file = contrast_vocabulary_path(weights)
    return ContrastVocabulary.load(file) if file.is_file() else None


def as_contrast_vocabulary(value: object) -> ContrastVocabulary:
    """A contrast vocabulary as it is or from its file; None for the shipped one.

    Raises:
        InputError: something else.
        ModelFileError: as :meth:`ContrastVocabulary.load`.
    """
    if value is None:
        return shipped_contrast_vocabulary()
    if isinstance(value, str | Path) and str(value).strip():
        return ContrastVocabulary.load(value)
    if not isinstance(value, ContrastVocabulary):
        raise InputError(
            f"contrast_vocabulary: expected a ContrastVocabulary, the path of its file, or None, got {value!r:.80}."
        )
    return value


@lru_cache(8)
def _singulars(words: frozenset[str]) -> frozenset[str]:
    """Of all words that a prompt mentions, for each of its phrases: counted anew, long prompts would take minutes."""
    return frozenset(singular(word) for word in words)


@lru_cache(8)
def _lowered(words: frozenset[str]) -> frozenset[str]:
    return frozenset(word.lower() for word in words)


def singular(noun: str) -> str:
    """The singular of an English noun by rule, lower case: for comparing words, not for writing them."""
    word = noun.lower()
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


def _words(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list of words, got {value!r:.80}")
    return tuple(value)


def _check_words(where: str, words: Iterable[object], least: int = 0, lower: bool = True) -> None:
    """Raise InputError unless these are at least ``least`` different texts (in lower case)."""
    listed = list(words)
    for word in listed:
        if not isinstance(word, str) or not word.strip():
            raise InputError(f"{where}: {word!r:.80} is no word")
        if lower and word != word.lower():
            raise InputError(f"{where}: {word!r} has to be in lower case")
    if len(listed) < least:
        raise InputError(f"{where}: empty")
    if len(set(listed)) < len(listed):
        raise InputError(f"{where}: {next(word for word in listed if listed.count(word) > 1)!r} is there twice")


EMPTY = ""
VARIANTS = 10
"""Other words tried in the place of one modifier."""
MODIFIERS = 4
"""Modifiers of one phrase that are contrasted; further ones only count in the phrase's own text."""


PART_TEXTS = 1024
PART_PHRASES = 256
"""Different texts, and phrases, that are worked on at a time: what a prompt takes of memory grows little with it."""


@dataclass(frozen=True)
class PhraseTexts:
    """The texts of one phrase."""

    text: str
    head: str
    nouns: tuple[str, ...] = ()
    """What the head is contrasted with."""
    variants: tuple[tuple[str, ...], ...] = ()
    """For each contrasted modifier: the phrase with others in its place."""

    def __iter__(self) -> Iterator[str]:
        yield self.text
        yield self.head
        yield from self.nouns
        for group in self.variants:
            yield from group


@dataclass(frozen=True)
class PromptTexts:
    """The texts of one prompt."""

    pieces: tuple[tuple[str, int], ...]
    """The whole prompt, in pieces that fit into the context, each with its number of tokens."""
    phrases: tuple[PhraseTexts | None, ...]
    """One a phrase of the tree; None for those that are not measured (style tags, other languages). Empty without the
    tree."""
    captions: tuple[str, ...] = ()
    """What the whole prompt is contrasted with."""

    def __iter__(self) -> Iterator[str]:
        yield EMPTY
        yield from (text for text, _ in self.pieces)
        yield from self.captions
        for phrase in self.phrases:
            if phrase is not None:
                yield from phrase


def prompt_texts(
    tree: PromptTree,
    count: Callable[[str], int],
    limit: int,
    scoring: Scoring,
    template: str = "{}",
    include_style: bool = False,
    *,
    contrast_vocabulary: ContrastVocabulary | None = None,
    syntax: bool = True,
) -> PromptTexts:
    """Collect the texts of one prompt.

    Args:
        tree: the parsed prompt.
        count: tokens of a text, with start and end.
        limit: tokens that fit into the context.
        scoring: contrast texts are only needed for "contrast".
        template: wording around phrases, heads and what contrasts them; ``{}`` stands for the text.
        include_style: whether style tags are measured, too.
        contrast_vocabulary: what the texts are contrasted with; None for the shipped ones.
        syntax: False collects no phrases, the prompt as a whole alone.
    """
    contrasts = _contrasts(scoring, contrast_vocabulary)
    whole = _whole_texts(tree, count, limit, contrasts)
    return replace(whole, phrases=tuple(_phrases_texts(tree, contrasts, template, include_style)) if syntax else ())


def prompt_parts(
    trees: Iterable[PromptTree],
    count: Callable[[str], int],
    limit: int,
    options: AlignmentOptions,
    *,
    contrast_vocabulary: ContrastVocabulary | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Iterator[dict[int, PromptTexts]]:
    """The texts of prompts, part by part; see :func:`prompt_texts`.

    Yields:
        ``id`` of a tree -> its next phrases in their order, and with the first of them the prompt as a whole; a tree
        that is there several times comes once. A part has about ``PART_TEXTS`` different texts.
        ``interrupt`` is called between them, and while long prompts are cut into pieces; what it raises stops the work.
    """
    check = interrupt or (lambda: None)
    contrasts = _contrasts(options.way, contrast_vocabulary)

    def counted(text: str) -> int:
        check()
        return count(text)

    part: dict[int, PromptTexts] = {}
    texts: set[str] = set()
    collected: list[PhraseTexts | None] = []
    for key, tree in {id(tree): tree for tree in trees}.items():
        whole = _whole_texts(tree, counted, limit, contrasts)
        texts.update(whole)
        phrases = _phrases_texts(tree, contrasts, options.template, options.include_style)
        for phrase in phrases if options.syntax else ():
            if len(texts) >= PART_TEXTS or len(collected) >= PART_PHRASES:
                part[key] = replace(whole, phrases=tuple(collected))
                yield part
                check()
                part, texts, collected, whole = {}, set(), [], PromptTexts((), ())
            texts.update(phrase or ())
            collected.append(phrase)
        part[key], collected = replace(whole, phrases=tuple(collected)), []
    yield part


def _contrasts(scoring: Scoring, contrast_vocabulary: ContrastVocabulary | None) -> ContrastVocabulary | None:
    """The words that texts are contrasted with; None where the scoring needs none."""
    if scoring != "contrast":
        return None
    return shipped_contrast_vocabulary() if contrast_vocabulary is None else contrast_vocabulary


def _whole_texts(
    tree: PromptTree, count: Callable[[str], int], limit: int, vocabulary: ContrastVocabulary | None
) -> PromptTexts:
    """The texts of a prompt as a whole, without its phrases."""
    pieces = prompt_pieces(tree, count, limit)
    own = {text for text, _ in pieces}
    captions = (
        tuple(text for text in vocabulary.captions if text not in own) if vocabulary is not None and pieces else ()
    )
    return PromptTexts(pieces, (), captions)


def _phrases_texts(
    tree: PromptTree, vocabulary: ContrastVocabulary | None, template: str, include_style: bool
) -> Iterator[PhraseTexts | None]:
    nouns = frozenset(
        word.text for phrase in tree for word in phrase.words if word.tag.startswith("NN") or word == phrase.head
    )
    words = frozenset(word.text for phrase in tree for word in phrase.words)
    for phrase in tree:
        measured = (include_style or not phrase.is_style) and not phrase.is_foreign
        yield phrase_texts(phrase, vocabulary, nouns, words, template) if measured else None


def prompt_pieces(tree: PromptTree, count: Callable[[str], int], limit: int) -> tuple[tuple[str, int], ...]:
    """Cut a prompt at phrase borders into pieces of at most ``limit`` tokens; (text, tokens) each, none if it is blank.

    A single phrase that is longer than the context is cut at blanks, a single word by the tokenizer. Parts in other
    languages are left out.
    """
    from ..prompt.markup import plain_text, strip_markup

    prompt = tree.english
    whole = strip_markup(prompt)
    if not whole or (tree.foreign and not any(map(str.isalnum, whole))):
        return ()
    if (tokens := count(whole)) <= limit:
        return ((whole, tokens),)
    plain = plain_text(prompt)
    borders = sorted({phrase.words[0].start for phrase in tree} | {len(plain)})
    chunks = _fill(plain, [0, *(border for border in borders if border > 0)], count, limit)
    pieces = []
    for chunk in chunks:
        text = " ".join(chunk.split()).strip(" ,")
        if text:
            pieces.append((text, min(count(text), limit)))
    return tuple(pieces)


def _fill(text: str, borders: list[int], count: Callable[[str], int], limit: int) -> list[str]:
    """Pieces of ``text`` between phrase borders, each as long as it may be; too long ones cut again at blanks."""
    result: list[str] = []
    for piece in _greedy(text, borders, count, limit):
        blanks = [index for index, character in enumerate(piece) if character.isspace() and index > 0]
        result.extend(_greedy(piece, [0, *blanks, len(piece)], count, limit) if count(piece) > limit else [piece])
    return result


def _greedy(text: str, borders: list[int], count: Callable[[str], int], limit: int) -> list[str]:
    pieces: list[str] = []
    start = borders[0]
    for previous, border in pairwise(borders):
        if previous > start and count(text[start:border]) > limit:
            pieces.append(text[start:previous])
            start = previous
    return [*pieces, text[start : borders[-1]]]


def phrase_texts(
    phrase: Phrase, vocabulary: ContrastVocabulary | None, nouns: frozenset[str], words: frozenset[str], template: str
) -> PhraseTexts:
    """The texts of one phrase; those that contrast it only with ``vocabulary``.

    Args:
        phrase: the phrase.
        vocabulary: words to contrast it with; None for none.
        nouns, words: all that its prompt mentions, its own among them.
        template: wording around it; ``{}`` stands for the text.
    """
    text, head = phrase.text, phrase.head.text
    others: tuple[str, ...] = ()
    variants: list[tuple[str, ...]] = []
    if vocabulary is not None:
        others = tuple(template.format(noun) for noun in vocabulary.other_nouns(head, nouns))
        for index, word in enumerate(phrase.words):
            kind = (
                None if word == phrase.head or len(variants) == MODIFIERS else vocabulary.kind_of(word.text, word.tag)
            )
            if kind is None:
                continue
            exchanged = vocabulary.others_of_kind(word.text, kind, VARIANTS, words)
            if not exchanged:
                continue
            before = [other.text for other in phrase.words[:index]]
            after = [other.text for other in phrase.words[index + 1 :]]
            texts = [" ".join(part for part in (*before, new, *after) if part) for new in exchanged]
            variants.append(tuple(template.format(new) for new in texts))
    return PhraseTexts(template.format(text), template.format(head), others, tuple(variants))
