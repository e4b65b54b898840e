"""AQ-Map with known eyes: defect types, regions, maps, scores (method, sections 3.4 to 3.6)."""

from __future__ import annotations

import pytest
import torch

from grefine_core import alignment_quality, assess
from grefine_core.alignment import Bounds, Calibration
from grefine_core.alignment.verdicts import (
    alignment_score,
    ancestor_region,
    classify_phrases,
    defect_map,
    region_map,
    weight,
)
from grefine_core.errors import InputError

GOOD = ("red balloon", "stone castle")


def halves(found, index: int = 0) -> tuple[float, float]:
    """Mean of the defect map over the outer left and right quarters."""
    image = found.defect_map[index]
    quarter = image.shape[1] // 4
    return float(image[:, :quarter].mean()), float(image[:, -quarter:].mean())


@pytest.mark.parametrize("scoring", ["contrast", "softmax"])
def test_everything_matched_marks_nothing_at_all(planted, balloon_tree, scoring):
    model = planted([GOOD])
    found = alignment_quality(model, model.picture(0), tree=balloon_tree, scoring=scoring)
    assert [phrase.defect for phrase in found.phrases[0]] == ["none", "none"]
    assert torch.count_nonzero(found.defect_map) == 0
    assert found.score[0] > 0.95
    assert all(phrase.deficit == 0 and phrase.region is None for phrase in found.phrases[0])


def test_a_wrong_modifier_marks_the_thing_itself(planted, balloon_tree):
    model = planted([("blue balloon", "stone castle"), GOOD])
    found = alignment_quality(model, model.picture(0), tree=balloon_tree)
    balloon, castle = found.phrases[0]
    assert (balloon.defect, balloon.region, castle.defect) == ("modifier", 0, "none")
    assert balloon.head_score > 0.9 > 0.1 > balloon.score
    left, right = halves(found)
    assert left > 0.9
    assert right < 0.1
    good = alignment_quality(model, model.picture(1), tree=balloon_tree)
    assert found.score[0] < 0.1 < good.score[0]


def test_a_missing_thing_marks_where_its_ancestor_is(planted, tree):
    prompt = "a stone castle with a red balloon"
    parsed = tree(prompt, ("stone/NN castle/NN*", None), ("red/JJ balloon/NN*", 0))
    model = planted([("green meadow", "stone castle")])
    found = alignment_quality(model, model.picture(0), tree=parsed)
    castle, balloon = found.phrases[0]
    assert (castle.defect, balloon.defect, balloon.region) == ("none", "noun", 0)
    left, right = halves(found)
    assert right > 0.7
    assert left < 0.1


def test_a_missing_thing_without_ancestor_marks_the_whole_image(planted, balloon_tree):
    model = planted([("green meadow", "stone castle")])
    found = alignment_quality(model, model.picture(0), tree=balloon_tree)
    balloon, castle = found.phrases[0]
    assert (balloon.defect, balloon.region, castle.defect) == ("noun", None, "none")
    assert found.defect_map.max() - found.defect_map.min() < 1e-5
    assert found.defect_map[0, 0, 0].item() == pytest.approx(weight(balloon.deficit))


def test_a_missing_ancestor_is_passed_by(planted, tree):
    parsed = tree("a castle with a knight with a sword", ("castle/NN*", None), ("knight/NN*", 0), ("sword/NN*", 1))
    model = planted([("meadow", "castle")])
    found = alignment_quality(model, model.picture(0), tree=parsed)
    assert [phrase.defect for phrase in found.phrases[0]] == ["none", "noun", "noun"]
    assert [phrase.region for phrase in found.phrases[0]] == [None, 0, 0]
    none = alignment_quality(planted([("meadow", "river")]), model.picture(0), tree=parsed)
    assert [phrase.region for phrase in none.phrases[0]] == [None, None, None]


def test_every_picture_is_judged_by_itself(planted, balloon_tree, tree):
    model = planted([GOOD, ("blue balloon", "stone castle"), ("green meadow", "white horse")])
    pictures = model.picture(0, 1, 2)
    one_prompt = alignment_quality(model, pictures, tree=balloon_tree)
    assert [[phrase.defect for phrase in group] for group in one_prompt.phrases] == [
        ["none", "none"],
        ["modifier", "none"],
        ["noun", "noun"],
    ]
    for index in range(3):
        alone = alignment_quality(model, model.picture(index), tree=balloon_tree)
        torch.testing.assert_close(alone.score[0], one_prompt.score[index], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.defect_map[0], one_prompt.defect_map[index], atol=1e-5, rtol=0)
    horse = tree("a white horse", ("white/JJ horse/NN*", None))
    three = alignment_quality(model, pictures, tree=[balloon_tree, balloon_tree, horse])
    assert [len(group) for group in three.phrases] == [2, 2, 1]
    assert three.phrases[2][0].matched
    assert three.score[2] > 0.9


def test_style_takes_no_part_unless_asked_for(planted, tree):
    parsed = tree("a red balloon, trending on artstation", ("red/JJ balloon/NN*", None), ("artstation/NN*", None, True))
    model = planted([("red balloon", "sky")])
    found = alignment_quality(model, model.picture(0), tree=parsed)
    assert torch.count_nonzero(found.defect_map) == 0
    tag = found.phrases[0][1]
    assert (tag.defect, tag.score, tag.map, tag.phrase.is_style) == ("none", 1.0, None, True)
    assert "artstation" not in model.batches[0]
    asked = alignment_quality(model, model.picture(0), tree=parsed, include_style=True)
    assert asked.phrases[0][1].defect == "noun"
    assert asked.score[0] < found.score[0]


def test_aggregates(planted, tree):
    parsed = tree(
        "a blue balloon, a stone castle, a white horse",
        ("blue/JJ balloon/NN*", None),
        ("stone/NN castle/NN*", None),
        ("white/JJ horse/NN*", None),
    )
    model = planted([("red balloon white horse", "stone castle")], temperature=10.0)
    pictures = model.picture(0)
    bounds = Calibration({"contrast": Bounds(0.1, 0.9), "softmax": Bounds(0.1, 0.9)})
    scores = {}
    for aggregate in ("product", "geometric", "min"):
        found = alignment_quality(
            model, pictures, tree=parsed, aggregate=aggregate, calibration=bounds, formula="paper"
        )
        ratios = [min(phrase.score / 0.9, 1) for phrase in found.phrases[0]]
        scores[aggregate] = found.score[0].item()
        assert 0 < min(ratios) < 1
    whole = found.prompt_score[0].item()
    product = ratios[0] * ratios[1] * ratios[2]
    assert scores["product"] == pytest.approx(whole * product, abs=1e-5)
    assert scores["geometric"] == pytest.approx(whole * product ** (1 / 3), abs=1e-5)
    assert scores["min"] == pytest.approx(whole * min(ratios), abs=1e-5)
    assert alignment_score(0.7, [], "product") == 0.7


def test_the_map_of_a_phrase_is_where_the_thing_is(planted, balloon_tree):
    model = planted([GOOD])
    balloon, castle = alignment_quality(model, model.picture(0), tree=balloon_tree).phrases[0]
    assert balloon.map.shape == castle.map.shape == (4, 6)
    assert torch.equal(balloon.map[:, :3], torch.ones(4, 3))
    assert torch.equal(castle.map[:, :3], torch.zeros(4, 3))


def test_a_larger_deficit_weighs_more():
    values = [weight(deficit / 10) for deficit in range(11)]
    assert values == sorted(values)
    assert len(set(values)) == 11
    assert values[0] == 0.5
    assert values[-1] == 1.0


def test_region_maps():
    similarity = torch.tensor([[0.1, 0.2], [0.3, 0.5]])
    torch.testing.assert_close(region_map(similarity), torch.tensor([[0.0, 0.25], [0.5, 1.0]]))
    assert torch.equal(region_map(torch.full((2, 2), 0.3)), torch.ones(2, 2))


def test_the_sum_of_regions_stays_in_range(balloon_tree):
    maps = [torch.ones(2, 2), torch.ones(2, 2)]
    verdicts = classify_phrases(balloon_tree.phrases, [(0.0, 0.0), (0.0, 0.9)], maps, Bounds(0.5, 0.5))
    assert [verdict.defect for verdict in verdicts] == ["noun", "modifier"]
    assert torch.equal(defect_map(verdicts, maps, (2, 2)), torch.ones(2, 2))


@pytest.mark.parametrize(
    ("head", "whole", "defect"),
    [(0.5, 0.4, "none"), (0.499, 0.4, "noun"), (0.5, 0.399, "modifier"), (0.499, 0.399, "noun")],
)
def test_what_reaches_its_bound_matches(balloon_tree, head, whole, defect):
    maps = [torch.ones(2, 2), torch.ones(2, 2)]
    (verdict, _) = classify_phrases(balloon_tree.phrases, [(whole, head), (0.9, 0.9)], maps, Bounds(0.5, 0.4))
    assert verdict.defect == defect


def test_modifiers_are_judged_apart_from_their_noun(balloon_tree):
    """β_p may be above β_n: as, which is never above an, would call a faint thing wrongly described then."""
    maps, bounds = [torch.ones(2, 2), torch.ones(2, 2)], Bounds(0.2, 0.4)
    scores = [(0.3, 0.3), (0.9, 0.9)]

    def said(modifiers, formula="bounded"):
        found = classify_phrases(balloon_tree.phrases, scores, maps, bounds, formula=formula, modifiers=modifiers)
        return found[0].defect, found[0].ratio, found[0].modifier_score

    assert said([0.5, None]) == ("none", pytest.approx(0.5 / 0.4), 0.5)
    assert said([0.3, None]) == ("modifier", pytest.approx(0.3 / 0.4), 0.3)
    assert said([None, None]) == ("none", pytest.approx(0.3 / 0.2), None)
    # The others have as alone, as has whoever does not know m.
    for known, formula in (([0.5, None], "paper"), ([0.5, None], "released"), (None, "bounded")):
        assert said(known, formula) == ("modifier", pytest.approx(0.3 / 0.4), None)


def test_a_bare_noun_is_not_described_wrongly(planted):
    model = planted([GOOD])
    for scoring in ("contrast", "softmax"):
        calibration = Calibration({way: Bounds(0.001, 1.0) for way in ("contrast", "softmax")})
        found = alignment_quality(
            model, model.picture(0), "a balloon, a red balloon", scoring=scoring, calibration=calibration
        )
        bare, red = found.phrases[0]
        assert (bare.defect, bare.modifier_score) == ("none", None)
        assert red.defect == "modifier"
        assert red.modifier_score is not None


def test_a_colour_is_told_though_the_thing_is_faint(planted):
    """One thing among many: an is low, and as with it whatever its colour; m is not."""
    model = planted([("red balloon castle mountain river forest", "bridge tower cat")], temperature=20.0)
    right, wrong = (
        alignment_quality(model, model.picture(0), prompt, calibration=Calibration()).phrases[0][0]
        for prompt in ("a red balloon", "a green balloon")
    )
    assert right.score == pytest.approx(right.head_score)  # capped
    assert right.modifier_score > 1.2 * wrong.modifier_score
    assert right.modifier_score > 0.5 > wrong.modifier_score


def test_bounds_where_none_were_measured():
    assert Calibration().bounds == {"contrast": Bounds(0.8, 0.3), "softmax": Bounds(0.5, 0.5)}


def test_circles_of_ancestors_end(tree):
    parsed = tree("a cat and a dog", ("cat/NN*", 1), ("dog/NN*", 0))
    assert ancestor_region(parsed.phrases, [False, False], 0) is None
    assert ancestor_region(parsed.phrases, [False, True], 0) == 1


def test_both_maps_from_one_encode(planted, balloon_tree):
    model = planted([GOOD])
    found = assess(model, model.picture(0), tree=balloon_tree)
    assert model.encoder_calls == 1
    assert len(model.batches) == 1
    alone = alignment_quality(model, model.picture(0), tree=balloon_tree)
    torch.testing.assert_close(found.alignment.defect_map, alone.defect_map, rtol=0, atol=1e-4)
    assert found.perceptual.quality_map.shape == (1, 40, 60)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": ["a", 3]}, "prompt"),
        ({"prompt": ["a", "b", "c"]}, "prompt: 3 values for 2"),
        ({"prompt": []}, "prompt: 0 values for 2"),
        ({"tree": "a cat"}, "tree"),
        ({"prompt": "a", "scoring": "rank"}, "scoring"),
        ({"prompt": "a", "aggregate": "mean"}, "aggregate"),
        ({"prompt": "a", "template": "a photo"}, "template"),
        ({"prompt": "a", "template": "{0} {}"}, "template"),
        ({"prompt": "a", "template": "{} and }"}, "template"),
    ],
)
def test_bad_input(planted, keywords, message):
    model = planted([GOOD, GOOD])
    for function in (alignment_quality, assess):
        with pytest.raises(InputError, match=message):
            function(model, model.picture(0, 1), **keywords)
    with pytest.raises(InputError, match="image"):
        alignment_quality(model, torch.zeros(2, 3, 8, 8), "a cat")
    assert model.encoder_calls == 0


def test_no_text_asks_for_nothing(planted, tree):
    model = planted([GOOD])
    for prompt in ("", "  \n", ", ,"):
        found = alignment_quality(model, model.picture(0), tree=tree(prompt))
        assert found.score[0] == 1.0
        assert torch.count_nonzero(found.defect_map) == 0
        assert found.phrases == ((),)


def test_uncalibrated_warns_once(planted, balloon_tree, caplog):
    model = planted([GOOD])
    for _ in range(2):
        alignment_quality(model, model.picture(0), tree=balloon_tree)
    assert sum("not calibrated" in record.message for record in caplog.records) == 1
    caplog.clear()
    model = planted([GOOD])
    model.calibration = Calibration(pictures=10)
    alignment_quality(model, model.picture(0), tree=balloon_tree)
    assert not caplog.records


def test_the_calibration_decides(planted, balloon_tree):
    model = planted([("blue balloon", "stone castle")])
    mild = Calibration({"contrast": Bounds(1e-3, 1e-12), "softmax": Bounds(1e-3, 1e-12)})
    assert all(
        p.matched for p in alignment_quality(model, model.picture(0), tree=balloon_tree, calibration=mild).phrases[0]
    )
    model.calibration = Calibration(scoring="softmax")
    chosen = alignment_quality(model, model.picture(0), tree=balloon_tree)
    asked = alignment_quality(model, model.picture(0), tree=balloon_tree, scoring="softmax")
    assert chosen.phrases[0][0].score == asked.phrases[0][0].score
