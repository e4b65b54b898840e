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
#: Tags of verbs that make a sentence: "the fox sleeps".
_FINITE = frozenset(["VBD", "VBP", "VBZ"])
#: Words that are no descriptions though they are taken for adjectives; and those that say how many.
_KINDS = frozenset(["top"])
_AMOUNTS = frozenset(["many", "few", "several", "multiple", "numerous", "countless"])
#: What may follow a verb that says where to.
_DIRECTIONS = frozenset(["up", "down", "out", "away", "back", "past", "from", "off", "to", "for", "as", "like", "and"])
_QUOTED = re.compile(r"[\"“]([^\"“”]+)[\"”]|(?<!\w)'([^']+)'(?!\w)|‘([^‘’]+)’")
_LONGEST_QUOTATION = 200


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
    asked, links = _clause(known, index, wanted)
    above = known[index].phrase.ancestor
    if above is not None and 0 <= above < len(known):
        holder = known[above]
        between = _between(holder.phrase, known[index].phrase)
        if between is not None and holder.measured and holder.defect != "noun":
            text = _chain(known, asked, links, None)
            if between == "with":
                return Sentence(TEMPLATES["noun"].format(thing=text, place=f" to {_named(holder)}"), "noun", asked)
            scene = _row(_named(holder, until=known[index].phrase), between, text)
            return Sentence(TEMPLATES["action"].format(thing=scene), "action", asked)
    end = known[asked[-1]].phrase
    for quality in known:
        if quality.phrase.ancestor != asked[-1] or quality.defect == "noun" or not quality.measured:
            continue
        between = _between(end, quality.phrase)
        # What is not as described is asked for by itself; here it is only named if a verb needs it.
        if between is None or (quality.unmatched and not (between == "" and _doing(end, quality.phrase))):
            continue
        place = _row("", between, _named(quality, placed=True))
        text = _chain(known, asked, links, quality.phrase)
        return Sentence(TEMPLATES["noun"].format(thing=text, place=f" {place}"), "noun", asked)
    return Sentence(TEMPLATES["noun"].format(thing=_chain(known, asked, links, None), place=""), "noun", asked)


def _clause(known: Sequence[PhraseQuality], index: int, wanted: set[int]) -> tuple[tuple[int, ...], list[str]]:
    """What is missing together, "a cat with a red hat": the phrases, and the words between them."""
    asked, links = [index], []
    while True:
        end = asked[-1]
        for child in range(end + 1, len(known)):
            quality = known[child]
            between = _between(known[end].phrase, quality.phrase) if quality.phrase.ancestor == end else None
            if child in wanted and quality.defect == "noun" and between is not None:
                links.append(between)
                asked.append(child)
                break
        else:
            return tuple(asked), links


def _chain(known: Sequence[PhraseQuality], asked: Sequence[int], links: Sequence[str], then: Phrase | None) -> str:
    """The words of what is missing together; ``then``: what comes behind the last of them."""
    phrases = [known[index].phrase for index in asked]
    things = [_thing(phrase, until) for phrase, until in zip(phrases, [*phrases[1:], then], strict=True)]
    return _row(things[0], *(part for pair in zip(links, things[1:], strict=True) for part in pair))


def _row(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _named(quality: PhraseQuality, *, until: Phrase | None = None, placed: bool = False) -> str:
    """What is there, as one can point at it: without what is wrong with it, and without what it does.

    until: what it does something to, or where: with what stands in between, as "curled up" on a log.
    placed: it stands behind the words that it stands behind in the prompt: "lost in space" has no article there.
    """
    phrase = quality.phrase
    article = _article(phrase)
    if not article:
        article = "" if placed or phrase.head.tag in ("NNP", "NNPS") else "the"
    elif article in ("a", "an", "some", "another"):
        article = "the"
    before = [_plain(phrase.head, phrase.prompt)] if quality.unmatched else _joined(_noun(phrase), phrase)
    return _row(article, *map(_spelled, before), *([] if until is None else _doing(phrase, until)))


# What is there, but not as described


def _other(known: Sequence[PhraseQuality], index: int) -> Sentence:
    phrase = known[index].phrase
    head, nouns = phrase.head, _noun(phrase)
    before = [word for word in phrase.modifiers if word in nouns]
    after = [word for word in phrase.modifiers if word.start > head.start]
    asked: tuple[int, ...] = (index,)
    thing = _thing(phrase)
    if nouns[0].tag == "CD" or _TAGGED_COUNT.fullmatch(nouns[0].text):
        kind = "number"
        thing, asked = _with_object(known, index, "")
    elif nouns[0].text.lower() in _AMOUNTS or any(not word.tag.startswith(("JJ", "RB")) for word in after):
        kind = "action"
        thing, asked = _with_object(known, index, "" if nouns[0].text.lower() in _AMOUNTS else "the")
    elif (before or after) and all(map(_describes, [*before, *after])):
        kind = "adjectives"
    else:
        kind = "kind"
    listed = _listed(_adjectives([*before, *after]))
    name = _spelled(_plain(head, phrase.prompt))
    return Sentence(TEMPLATES[kind].format(head=name, thing=thing, modifiers=listed), kind, asked)


def _describes(word: Word) -> bool:
    """Whether a thing can be made so: "dotted" it can, but a rod is not made fishing, nor a hat top."""
    return word.tag.startswith(("JJ", "RB", "VBN", "VBD")) and word.text.lower() not in _KINDS


def _with_object(known: Sequence[PhraseQuality], index: int, article: str) -> tuple[str, tuple[int, ...]]:
    """An action with what it is done to or where: "the robot watering" a cactus, whether that is there or not."""
    phrase = known[index].phrase
    for child, quality in enumerate(known):
        if quality.phrase.ancestor != index or child < index or quality.phrase.words[0].start < phrase.head.end:
            continue
        between = _between(phrase, quality.phrase)
        if between is not None and _doing(phrase, quality.phrase):
            told = (index, child) if quality.defect == "noun" else (index,)
            return _row(article, _text(phrase, quality.phrase), between, _thing(quality.phrase)), told
    return _row(article, _text(phrase)), (index,)


#: Adverbs that do not end in "ly"; other words that are taken for adverbs ("long black hair") are no less adjectives.
_ADVERBS = frozenset(["very", "too", "so", "quite", "rather", "almost", "half", "more", "most", "less", "slightly"])


def _adjectives(words: Sequence[Word]) -> list[str]:
    """One text for each adjective, with the adverb in front of it: "richly patterned"."""
    found: list[str] = []
    adverb = ""
    for word in words:
        known = word.text.lower()
        if word.tag.startswith("RB") and word is not words[-1] and (known.endswith("ly") or known in _ADVERBS):
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
    """The words up to the head, from the first that is no verb of a sentence: "she has" red hair."""
    words = [word for word in phrase.words if word.start <= phrase.head.start]
    while len(words) > 1 and words[0].tag in ("VBP", "VBZ"):
        words = words[1:]
    return words


def _doing(phrase: Phrase, until: Phrase | None) -> list[str]:
    """What stands behind the head: "curled up", "that looks on helplessly".

    Of several verbs it is the last of a sentence, with what follows. Without what it is done to (``until``) a verb at
    the end says nothing, unless it needs nothing ("erupting"), or only says where to ("kneeling").
    """
    end = len(phrase.prompt) + 1 if until is None else until.words[0].start
    words = [word for word in phrase.words if phrase.head.start < word.start < end]
    quoted = [_quotation(word, phrase) is not None for word in words]
    while until is None and words and not quoted[-1] and _dangles(words[-1], phrase.prompt):
        words, quoted = words[:-1], quoted[:-1]
    # Without an object "left" and "curled" are more often what happened to a thing than what it did.
    done = until is None or bool(_between(phrase, until))
    verbs = [
        place
        for place, word in enumerate(words)
        if word.tag in _FINITE and not quoted[place] and not (word.tag == "VBD" and done)
    ]
    told = [_spelled(word) for word in _joined(words[verbs[-1] :] if verbs else words, phrase)]
    return ["that", *told] if verbs else told


def _dangles(word: Word, prompt: str) -> bool:
    """Whether a verb stands at the end without what it needs."""
    if not word.tag.startswith("VB"):
        return False
    following = re.match(r"\s*([A-Za-z']*)", prompt[word.end : word.end + _LOOK_BACK])
    then = following[1].lower() if following else ""
    if not then:
        return False
    return word.tag in _FINITE or (word.tag in ("VB", "VBG") and then not in _PLACES | _DIRECTIONS)


def _joined(words: Sequence[Word], phrase: Phrase) -> list[str]:
    """The words, with what little stands between them in the prompt: "pair", "of", "lips". A quotation is one word."""
    prompt = phrase.prompt
    found: list[str] = []
    told: tuple[int, int] | None = None
    for place, word in enumerate(words):
        quotation = _quotation(word, phrase)
        if quotation is not None:
            if quotation != told:
                found.append(f'"{prompt[slice(*quotation)]}"')
            told = quotation
            continue
        if place and prompt:
            between = prompt[words[place - 1].end : word.start]
            glue = " ".join(between.split())
            if glue in _GLUE and glue:
                found.append(glue)
            elif between in ("-", " - "):
                found[-1] = f"{found[-1]}-{word.text}"
                continue
        found.append(_plain(word, prompt))
    return found


def _quotation(word: Word, phrase: Phrase) -> tuple[int, int] | None:
    """Where in the prompt the quotation begins and ends that the word is in, without its marks.

    It is what is written on a thing, and no quotation if the thing itself is in it.
    """
    prompt = phrase.prompt
    if not prompt:
        return None
    around = max(0, word.start - _LONGEST_QUOTATION)
    for match in _QUOTED.finditer(prompt, around, word.end + _LONGEST_QUOTATION):
        group = next(number for number in range(1, 4) if match[number] is not None)
        if match.start(group) <= word.start and word.end <= match.end(group):
            inside = match.start(group) <= phrase.head.start < match.end(group)
            return None if inside else match.span(group)
    return None


def _plain(word: Word, prompt: str) -> str:
    """The word, small where only the beginning of a sentence made it large."""
    text = word.text
    if not (text[:1].isupper() and text[1:].islower()) or word.tag in ("NNP", "NNPS"):
        return text
    before = prompt[max(0, word.start - _LOOK_BACK) : word.start].rstrip()
    return text.lower() if not before or before[-1] in ".!?:|" else text


def _text(phrase: Phrase, until: Phrase | None = None) -> str:
    return _row(*map(_spelled, _joined(_noun(phrase), phrase)), *_doing(phrase, until))


def _spelled(word: str) -> str:
    """A counted tag in words: "1girl", "2boys"."""
    match = _TAGGED_COUNT.fullmatch(word)
    return word if match is None else match[2] if match[1] == "1" else f"{match[1]} {match[2]}"


def _thing(phrase: Phrase, until: Phrase | None = None) -> str:
    """The phrase with the article that it has in the prompt."""
    article = _article(phrase)
    if not article and re.fullmatch(r"1[a-z]+", phrase.words[0].text):
        article = "a"
    return _row(article, _text(phrase, until))


_LOOK_BACK = 80


def _article(phrase: Phrase) -> str:
    start = _noun(phrase)[0].start
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
    gap = first.prompt[start : _noun(second)[0].start]
    gap = gap.replace("(", " ").replace("[", " ")  # a weight begins
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
