"""Prompts of the miniature world: true to the scene, the same by seed, held apart by split, read by the parser."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from grefine_core.miniature.world import COLOURS, COUNTS, GROUNDS, KINDS, PATTERNS, SPLITS, Split
from grefine_research.miniature.captions import Caption, describe, describe_partly
from grefine_research.miniature.captions.agreement import agreement
from grefine_research.miniature.captions.naming import noun
from grefine_research.miniature.captions.wordings import PREPOSITIONS, STRUCTURES, VERBS
from grefine_research.miniature.layout import sample_scene
from grefine_research.miniature.scene import Item, Relation, Scene

_SIZES = {"little": "small", "big": "large"}


def draw(split: Split, seed: int, difficulty: float = 1.0, captions: int = 1) -> list[tuple[Scene, Caption]]:
    rng = np.random.default_rng((31, SPLITS.index(split), seed))
    scene = sample_scene(rng, split, difficulty)
    return [(scene, describe(scene, rng, split)) for _ in range(captions)]


@pytest.fixture(scope="module")
def drawn() -> dict[Split, list[tuple[Scene, Caption]]]:
    """500 test scenes; of the other splits fewer, told several times, since drawing scenes takes longest."""
    pairs = {split: [pair for seed in range(100) for pair in draw(split, seed, captions=4)] for split in SPLITS[:2]}
    return {**pairs, "test": [pair for seed in range(500) for pair in draw("test", seed)]}


def every(drawn: dict[Split, list[tuple[Scene, Caption]]]) -> Iterator[tuple[Scene, Caption]]:
    for pairs in drawn.values():
        yield from pairs


def item(kind: str, *, colour: str | None = None, pattern: str | None = None, size: str | None = None, count: int = 1):
    return Item(kind, colour, pattern, size, count, 64.0, 64.0, 10.0)


def test_the_parser_finds_the_scene_graph_of_held_back_templates(drawn) -> None:
    result = agreement(caption for _, caption in drawn["test"])
    assert result.counts["prompts"] == 500
    assert result.counts["other"] >= 100
    assert result.heads >= 0.95
    assert result.other >= 0.95
    assert min(result.none, result.root) >= 0.95
    assert result.extra <= 0.05


def test_words_of_phrases_stand_in_the_prompt(drawn) -> None:
    for _, caption in every(drawn):
        taken: set[int] = set()
        for phrase in caption.phrases:
            assert len(phrase.words) == len(phrase.starts)
            assert list(phrase.starts) == sorted(phrase.starts)
            for word, start in zip(phrase.words, phrase.starts, strict=True):
                assert caption.prompt[start : start + len(word)] == word
                assert start not in taken
                taken.add(start)
            assert phrase.head in phrase.words
        firsts = [phrase.starts[0] for phrase in caption.phrases]
        assert firsts == sorted(firsts)


def test_ancestors_lead_to_the_first_phrase(drawn) -> None:
    for _, caption in every(drawn):
        assert caption.phrases[0].ancestor is None
        for index, phrase in enumerate(caption.phrases[1:], start=1):
            assert phrase.ancestor is not None
            assert phrase.ancestor < index


def test_every_item_is_named_once_in_full(drawn) -> None:
    for scene, caption in every(drawn):
        for index, wanted in enumerate(scene.items):
            named = next(phrase for phrase in caption.phrases if phrase.item == index)
            words = {_SIZES.get(word, word) for word in named.words}
            assert words >= {*wanted.modifiers, noun(wanted)}
            assert named.head == noun(wanted)
            assert not words & ({*COLOURS, *PATTERNS, "small", "large", *COUNTS.values()} - set(wanted.modifiers))


def test_every_relation_is_told(drawn) -> None:
    for scene, caption in every(drawn):
        told = {
            frozenset((phrase.item, caption.phrases[phrase.ancestor].item))
            for phrase in caption.phrases
            if phrase.ancestor is not None and not phrase.ground
        }
        for relation in scene.relations:
            assert frozenset((relation.subject, relation.object)) in told


def test_relations_keep_their_sense() -> None:
    lower = Scene("snow", (item("apple"), item("tree")), (Relation(0, "above", 1),), 0)
    upper = re.compile(r"apple\b.* (above|over) .*tree|tree\b.* (below|under|beneath|underneath) .*apple")
    turned = re.compile(r"with (an? )?(apple (above|over)|tree (below|under|beneath|underneath)) it")
    for split in SPLITS:
        for seed in range(60):
            prompt = describe(lower, np.random.default_rng(seed), split).prompt
            assert upper.search(prompt) or turned.search(prompt), prompt


def test_most_prompts_name_the_ground(drawn) -> None:
    for pairs in drawn.values():
        grounds = [[p.head for p in caption.phrases if p.ground] for _, caption in pairs]
        assert all(found in ([], [scene.ground]) for (scene, _), found in zip(pairs, grounds, strict=True))
        assert sum(bool(found) for found in grounds) >= 0.85 * len(pairs)


def test_prompts_are_well_written(drawn) -> None:
    texts = [caption.prompt for _, caption in every(drawn)]
    partly = [
        describe_partly(scene, np.random.default_rng(seed), split)
        for split, pairs in drawn.items()
        for seed, (scene, _) in enumerate(pairs[:150])
    ]
    for text in texts + partly:
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|\ban? (an?|two|three)\b|  | [,.;:]|[,;:][^ ]", text), text
        assert not re.search(r"\b(is|that is|there is) (two|three)\b|\bthere are (an?|one)\b", text), text
        assert text == text.strip().lower()
        assert text.isascii()
        assert text


def test_same_seed_same_caption() -> None:
    for split in SPLITS:
        assert draw(split, 3) == draw(split, 3)
        assert len({caption.prompt for seed in range(40) for _, caption in draw(split, seed, 0.5)}) > 30


def test_structures_of_the_splits_are_disjoint() -> None:
    assert [len(STRUCTURES[split]) for split in SPLITS] == [16, 6, 12]
    every_structure = [structure for structures in STRUCTURES.values() for structure in structures]
    assert len(set(every_structure)) == len(every_structure)
    forms = [(s.opening, s.link, s.join, s.ground, s.articles) for s in every_structure]
    assert len(set(forms)) == len(forms)


def skeleton(caption: Caption) -> str:
    """The prompt with X for items, G for the ground, R for relations, whatever their words and number are."""
    text = caption.prompt
    spans = [(start, start + len(word), p.ground) for p in caption.phrases
             for word, start in zip(p.words, p.starts, strict=True)]  # fmt: skip
    for start, end, ground in sorted(spans, reverse=True):
        text = text[:start] + ("G" if ground else "X") + text[end:]
    relations = sorted({word for pools in PREPOSITIONS.values() for pool in pools for word in pool}, key=len)
    for word in reversed(relations):
        text = re.sub(rf"\b{word} (?=(an? |the )?X|it\b|them\b)", "R ", text)
    text = re.sub(
        r"\b(an?|are|these|them) ", lambda m: {"are ": "is ", "these ": "this ", "them ": "it "}.get(m[0], ""), text
    )
    return re.sub(r"X( X)+", "X", text)


def test_no_prompt_of_one_split_has_the_form_of_another_splits(drawn) -> None:
    forms = {split: Counter(skeleton(caption) for _, caption in pairs) for split, pairs in drawn.items()}
    assert not set(forms["train"]) & set(forms["test"])
    assert not set(forms["train"]) & set(forms["validation"])
    assert not set(forms["validation"]) & set(forms["test"])
    assert len(forms["test"]) > 60


def test_some_words_are_the_tests_alone(drawn) -> None:
    words = {split: set(" ".join(c.prompt for _, c in pairs).split()) for split, pairs in drawn.items()}
    assert {"alongside", "underneath", "upon", "illustration"} <= words["test"] - words["train"] - words["validation"]
    for pools in (*PREPOSITIONS.values(), *VERBS.values()):
        assert not set(pools[0]) & set(pools[1])


def test_the_tokenizer_takes_every_prompt(drawn, clip_tokenizer) -> None:
    for _, caption in every(drawn):
        tokens = clip_tokenizer.encode(caption.prompt)
        assert len(tokens) <= 75
        joined = re.sub(r"[^a-z0-9]", "", caption.prompt)
        assert re.sub(r"[^a-z0-9]", "", clip_tokenizer.decode(tokens)) == joined


def test_a_circle_of_relations_is_told() -> None:
    items = (item("apple"), item("tree"), item("star", colour="red"))
    relations = (Relation(0, "above", 1), Relation(1, "beside", 2), Relation(2, "below", 0))
    for split in SPLITS:
        for seed in range(30):
            caption = describe(Scene("sand", items, relations, 0), np.random.default_rng(seed), split)
            pairs = {frozenset((p.item, caption.phrases[p.ancestor].item)) for p in caption.phrases if p.ancestor}
            pairs |= {frozenset((p.item, caption.phrases[0].item)) for p in caption.phrases if p.ancestor == 0}
            assert {frozenset((0, 1)), frozenset((1, 2)), frozenset((0, 2))} <= pairs


def test_several_of_a_kind_are_told_apart_when_mentioned_again() -> None:
    items = (item("star", colour="red"), item("star", colour="blue"), item("star", colour="green", count=2))
    scene = Scene("wood", items, (Relation(0, "above", 1), Relation(1, "beside", 2)), 0)
    for seed in range(60):
        caption = describe(scene, np.random.default_rng(seed), "train")
        for phrase in caption.phrases:
            if phrase.item is not None:
                assert items[phrase.item].colour in phrase.words


def test_short_captions_are_true_and_varied(drawn) -> None:
    counts: Counter[str] = Counter()
    for seed, (scene, _) in enumerate(drawn["train"]):
        text = describe_partly(scene, np.random.default_rng(seed), "train")
        words = [_SIZES.get(word, word) for word in text.split()]
        nouns = {form for shown in scene.items for form in (shown.kind, noun(shown), noun(item(shown.kind, count=2)))}
        plurals = {noun(item(kind, count=2)) for kind in KINDS}
        assert {word for word in words if word in KINDS or word in plurals} <= nouns
        assert {word for word in words if word in GROUNDS} <= {scene.ground}
        known = {word for shown in scene.items for word in shown.modifiers}
        assert {word for word in words if word in {*COLOURS, *PATTERNS, "small", "large"}} <= known
        counts["bare"] += len(words) == 1
        counts["no article"] += words[0] not in ("a", "an")
        counts["pair"] += len([word for word in words if word in nouns]) > 1
        counts["ground alone"] += words[-1] in GROUNDS and not nouns & set(words)
    assert counts["bare"] >= 80
    assert counts["no article"] >= 200
    assert min(counts["pair"], counts["ground alone"]) >= 30


def test_of_a_sample_what_is_shown_counts() -> None:
    from grefine_research.miniature.generator import make_sample

    sample = make_sample("train", 0)
    for seed in range(5):
        rng, again = np.random.default_rng(seed), np.random.default_rng(seed)
        assert describe_partly(sample, rng, "train") == describe_partly(sample.shown, again, "train")
