"""What is true of each phrase that a prompt was parsed into: matched by the picture, its thing missing, or other."""

from __future__ import annotations

from grefine_core.alignment.calibrate import Truth
from grefine_core.alignment.results import Defect
from grefine_core.prompt.syntax.tree import PromptTree

from .captions import TruePhrase
from .sample import Sample

#: Name of an alignment defect -> what it makes of the phrase that it violates, as AQ-Map tells defects.
DEFECTS: dict[str, Defect] = {"missing": "noun", "wrong_partner": "noun", "wrong_attribute": "modifier"}


def phrase_truth(sample: Sample, tree: PromptTree) -> Truth:
    """Return the truth about each phrase of ``tree``, the parsed prompt of ``sample``.

    Phrases are found by the place of their heads. An item that is mentioned twice is unmatched both times; a mention
    that says nothing of the wrong attribute is matched.

    Returns:
        One a phrase: "none", "noun", "modifier", or None for phrases that the caption does not have.
    """
    true = {_head_start(phrase): phrase for phrase in sample.caption.phrases}
    violated = {
        sample.caption.phrases[defect.phrase].item: DEFECTS[defect.name]
        for defect in sample.defects
        if defect.phrase is not None
    }
    found: list[Defect | None] = []
    for phrase in tree:
        meant = true.get(phrase.head.start)
        if meant is None or phrase.is_style:
            found.append(None)
            continue
        verdict = None if meant.item is None else violated.get(meant.item)
        if verdict == "modifier" and not _says_what_is_wrong(sample, meant):
            verdict = None
        found.append(verdict or "none")
    return tuple(found)


def _head_start(phrase: TruePhrase) -> int:
    return phrase.starts[phrase.words.index(phrase.head)]


def _says_what_is_wrong(sample: Sample, phrase: TruePhrase) -> bool:
    """Whether a phrase names the colour or pattern that its item should have and has not."""
    assert phrase.item is not None
    wanted, shown = sample.scene.items[phrase.item], sample.shown.items[phrase.item]
    pairs = ((wanted.colour, shown.colour), (wanted.pattern, shown.pattern))
    return any(right in phrase.words for right, seen in pairs if right is not None and right != seen)
