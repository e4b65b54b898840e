"""What was found in a picture, as an instruction for models that edit by words: "Add a fish on the green square."

One sentence for each finding, by one template for each kind of defect (``TEMPLATES``). Only unmatched phrases are asked
for; what is there is named at most to say where. The words are the prompt's own, articles included.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .alignment.results import PhraseQuality
    from .diagnosis import Diagnosis
    from .prompt.syntax.tree import Phrase, Word

#: The sentence for every kind of defect.
TEMPLATES: Mapping[str, str] = {
    "noun": "Add {thing}{place}.",
    "adjectives": "Make the {head} {modifiers}.",
    "number": "Show exactly {thing}.",
    "action": "Show {thing}.",
    "kind": "Turn the {head} into {thing}.",
    "technical": "Remove noise, blur, compression blocks and colour banding.",
    "rational": "Correct what is misshapen or makes no sense.",
    "natural": "Make the light and the colours look natural.",
    "overall": "Clean up what looks flawed.",
    "rest": "Keep everything else unchanged.",
    "nothing": "Keep everything unchanged.",
}
#: Prepositions that say where something is.
_PLACES = frozenset(
    [
        *("on", "upon", "atop", "in", "inside", "within", "into", "amid", "among", "amidst", "under", "underneath"),
        *("beneath", "below", "above", "over", "behind", "before", "against", "beside", "near", "by", "at", "along"),
        *("around", "with", "between", "across", "through", "toward", "towards", "onto", "beyond", "outside", "off"),
        *("on top of", "in front of", "inside of", "next to", "surrounded by", "close to", "out of", "full of"),
    ]
)
#: What is missing behind these is a part of what is there, or goes with it.
_PARTS = frozenset(["with", "of"])
_ARTICLES = frozenset(["a", "an", "the", "some", "his", "her", "its", "their", "my", "your", "our", "another"])
#: May stand between the words of one phrase without being words of it.
_GLUE = frozenset(["", "of", "and", "or", "the", "a", "an", "to"])
_MOST_GAP = 40
_TAGGED_COUNT = re.compile(r"(\d+)([a-z]+)")


@dataclass(frozen=True)
class Sentence:
    """One thing that is asked for."""

    text: str
    kind: str
    """A key of ``TEMPLATES``."""
    phrases: tuple[int, ...] = ()
    """Indices of the phrases that are asked for."""


def instruct(
    diagnosis: Diagnosis, phrases: Collection[int] | None = None, *, bad: bool | None = None, rest: bool = True
) -> str:
    """The diagnosis of one picture as an instruction, in plain sentences.

    Args:
        diagnosis: what was found.
        phrases: indices of those that are asked for, as of one region; None = all that are unmatched.
        bad: whether to ask for a better look; None: if the picture's score is below its bar.
        rest: end with the wish that everything else stays.
    """
    found = [sentence.text for sentence in sentences(diagnosis, phrases, bad=bad)]
    if not found:
        return TEMPLATES["nothing"]
    return " ".join([*found, *([TEMPLATES["rest"]] if rest else [])])


def sentences(
    diagnosis: Diagnosis, phrases: Collection[int] | None = None, *, bad: bool | None = None
) -> list[Sentence]:
    """What ``instruct`` asks for, one thing at a time: things in the order of the prompt, then the look."""
    known = diagnosis.phrases
    wanted = [index for index in diagnosis.unmatched if phrases is None or index in phrases]
    result: list[Sentence] = []
    told: set[int] = set()
    for index in sorted(wanted):
        if index in told:
            continue
        quality = known[index]
        sentence = _missing(known, index, set(wanted)) if quality.defect == "noun" else _other(known, index)
        told.update(sentence.phrases)
        result.append(sentence)
    if bad is None:
        bad = looks_bad(diagnosis)
    return [*result, *(_look(diagnosis) if bad else [])]


#: From this perceptual score on a picture passes where nothing else was measured.
_BAR = 0.8


def looks_bad(diagnosis: Diagnosis) -> bool:
    """Whether the picture as a whole is below the bar of how pictures look; False where that was not measured."""
    bar = _BAR if diagnosis.perceptual_bar is None else diagnosis.perceptual_bar
    return diagnosis.whole_score is not None and diagnosis.whole_score < bar


# What is not there


def _missing(known: Sequence[PhraseQuality], index: int, wanted: set[int]) -> Sentence:
    """One thing that is missing, with what is missing of it in one clause, and with its place."""
    asked, text, end = _clause(known, index, wanted)
    above = known[index].phrase.ancestor
    if above is not None and 0 <= above < len(known):
        holder = known[above]
        between = _between(holder.phrase, known[index].phrase)
        if between is not None and holder.measured and holder.defect != "noun":
            if between in _PARTS:
                return Sentence(TEMPLATES["noun"].format(thing=text, place=f" to {_named(holder)}"), "noun", asked)
            if between not in _PARTS:
                scene = " ".join(filter(None, [_named(holder, acting=True), between, text]))
                return Sentence(TEMPLATES["action"].format(thing=scene), "action", asked)
    place = ""
    for quality in known:
        if quality.phrase.ancestor != end or quality.unmatched or not quality.measured:
            continue
        between = _between(known[end].phrase, quality.phrase)
        if between is not None:
            place = " " + " ".join(filter(None, [between, _named(quality, placed=True)]))
            break
    return Sentence(TEMPLATES["noun"].format(thing=text, place=place), "noun", asked)


def _clause(known: Sequence[PhraseQuality], index: int, wanted: set[int]) -> tuple[tuple[int, ...], str, int]:
    """What is missing together, "a cat with a red hat": the phrases, the words, and the last of the phrases."""
    asked, text, end = [index], _thing(known[index].phrase), index
    while True:
        for child in range(end + 1, len(known)):
            quality = known[child]
            between = _between(known[end].phrase, quality.phrase) if quality.phrase.ancestor == end else None
            if child in wanted and quality.defect == "noun" and between is not None:
                text = " ".join(filter(None, [text, between, _thing(quality.phrase)]))
                asked.append(child)
                end = child
                break
        else:
            return tuple(asked), text, end


def _named(quality: PhraseQuality, *, acting: bool = False, placed: bool = False) -> str:
    """What is there, as one can point at it: without what is wrong with it and, unless ``acting``, what it does.

    placed: it stands behind the words that it stands behind in the prompt: "lost in space" has no article there.
    """
    phrase = quality.phrase
    article = _article(phrase)
    if not article:
        article = "" if placed or phrase.head.tag in ("NNP", "NNPS") else "the"
    elif article in ("a", "an", "some", "another"):
        article = "the"
    after = [word.text for word in phrase.words if word.start > phrase.head.start] if acting else []
    before = [phrase.head.text] if quality.unmatched else _joined(_noun(phrase), phrase.prompt)
    return " ".join(filter(None, [article, *(_spelled(word) for word in before), *after]))


# What is there, but not as described


def _other(known: Sequence[PhraseQuality], index: int) -> Sentence:
    phrase = known[index].phrase
    head = phrase.head
    before = [word for word in phrase.modifiers if word.start < head.start]
    after = [word for word in phrase.modifiers if word.start > head.start]
    asked: tuple[int, ...] = (index,)
    thing = _thing(phrase)
    if any(word.tag == "CD" for word in before):
        kind, thing = "number", _text(phrase)
    elif any(not word.tag.startswith(("JJ", "RB")) for word in after):
        kind = "action"
        thing, asked = _with_object(known, index, f"the {_text(phrase)}")
    elif phrase.modifiers and all(word.tag.startswith(("JJ", "RB", "VB")) for word in phrase.modifiers):
        kind = "adjectives"
    else:
        kind = "kind"
    listed = _listed(_adjectives(phrase.modifiers))
    return Sentence(TEMPLATES[kind].format(head=_spelled(head.text), thing=thing, modifiers=listed), kind, asked)


def _with_object(known: Sequence[PhraseQuality], index: int, text: str) -> tuple[str, tuple[int, ...]]:
    """An action with what it is done to or where: "the robot watering" a cactus, whether that is there or not."""
    phrase = known[index].phrase
    for child, quality in enumerate(known):
        if quality.phrase.ancestor != index or child < index or quality.phrase.words[0].start < phrase.words[-1].end:
            continue
        between = _between(phrase, quality.phrase)
        if between is not None:
            told = (index, child) if quality.defect == "noun" else (index,)
            return " ".join(filter(None, [text, between, _thing(quality.phrase)])), told
    return text, (index,)


def _adjectives(words: Sequence[Word]) -> list[str]:
    """One text for each adjective, with the adverb in front of it: "bright green"."""
    found: list[str] = []
    adverb = ""
    for word in words:
        if word.tag.startswith("RB") and word is not words[-1]:
            adverb += f"{word.text} "
        else:
            found.append(adverb + word.text)
            adverb = ""
    return found


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


# How it looks


def _look(diagnosis: Diagnosis) -> list[Sentence]:
    """One sentence: for the factor that is furthest below its bound; for the whole where none is, or none was measured.

    A flaw lowers all of them a little, and to ask for other light because of a blur would change what is right.
    """
    measured = {name: diagnosis.ratios.get(name, 1.0) for name in ("technical", "rational", "natural")}
    worst = min(measured, key=lambda name: measured[name])
    kind = worst if measured[worst] < 1.0 else "overall"
    return [Sentence(TEMPLATES[kind], kind)]


# Words


def _noun(phrase: Phrase) -> list[Word]:
    """The words up to the head: what stands behind it is what it does."""
    return [word for word in phrase.words if word.start <= phrase.head.start]


def _joined(words: Sequence[Word], prompt: str) -> list[str]:
    """The words, with what little stands between them in the prompt: "pair", "of", "lips"."""
    found: list[str] = []
    for place, word in enumerate(words):
        if place and prompt:
            between = prompt[words[place - 1].end : word.start]
            glue = " ".join(between.split())
            if glue in _GLUE and glue:
                found.append(glue)
            elif between in ("-", " - "):
                found[-1] = f"{found[-1]}-{word.text}"
                continue
        found.append(word.text)
    return found


def _text(phrase: Phrase) -> str:
    return " ".join(_spelled(word) for word in _joined(phrase.words, phrase.prompt))


def _spelled(word: str) -> str:
    """A counted tag in words: "1girl", "2boys"."""
    match = _TAGGED_COUNT.fullmatch(word)
    return word if match is None else match[2] if match[1] == "1" else f"{match[1]} {match[2]}"


def _thing(phrase: Phrase) -> str:
    """The phrase with the article that it has in the prompt."""
    article = _article(phrase)
    if not article and re.fullmatch(r"1[a-z]+", phrase.words[0].text):
        article = "a"
    return f"{article} {_text(phrase)}" if article else _text(phrase)


_LOOK_BACK = 80


def _article(phrase: Phrase) -> str:
    start = phrase.words[0].start
    # A bounded look back: over a long run of letters the search would take the square of its length.
    before = phrase.prompt[max(0, start - _LOOK_BACK) : start].rstrip(" ")
    match = re.search(r"[A-Za-z]+\Z", before)
    word = match[0].lower() if match else ""
    return word if word in _ARTICLES else ""


def _between(first: Phrase, second: Phrase) -> str | None:
    """What stands between two phrases of one clause, without an article: "on", "next to", or nothing at all ("eating
    chili"); None where they stand apart, or where that is none of the words for it."""
    start = max((word.end for word in first.words if word.end <= second.words[0].start), default=None)
    if start is None or not first.prompt:
        return None
    gap = first.prompt[start : second.words[0].start]
    if len(gap) > _MOST_GAP or not re.fullmatch(r"[A-Za-z _]*", gap):
        return None
    words = gap.lower().replace("_", " ").split()
    if words and words[-1] in _ARTICLES:
        words = words[:-1]
    joined = " ".join(words)
    if joined:
        return joined if joined in _PLACES or joined in _PARTS else None
    last = max((word for word in first.words if word.end <= second.words[0].start), key=lambda word: word.start)
    # Only what it does is done to something: "girl wearing" a gown, but not "woman curly" hair.
    return "" if last.start > first.head.start and not last.tag.startswith("JJ") else None
