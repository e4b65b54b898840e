"""Bounds, trust and noise from observations whose distributions are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grefine_core import Calibration
from grefine_core.alignment.calibrate import SMALLEST_BOUND
from grefine_core.calibration.bounds import build, chosen_source
from grefine_core.calibration.fingerprint import ActivationFit, TokenRows
from grefine_core.calibration.notes import finest_size
from grefine_core.clip.embeddings import FACTORS
from grefine_core.clip.quality_model import PUBLISHED, WORDS

from .conftest import KINDS, drawn


@pytest.fixture(scope="module")
def made(observed) -> Calibration:
    return build(observed, made_on="2000-01-01")


def test_nearly_all_good_pictures_pass_bounds_made_without_them(made):
    trust = made.trust
    for name in ("good pictures that pass", "good pictures with an empty map", "good pictures with all nouns found"):
        assert trust[name].value >= 0.9, name
        assert trust[name].count == 64
    assert trust["damaged pictures found"].value > 0.7
    assert trust["absent unrelated nouns found"].value > 0.8
    assert made.notes == ()
    assert finest_size(made) == 2048


def test_long_prompts_get_looser_bounds(made):
    table = made.by_count["contrast"]
    nouns = [table[count].noun for count in sorted(table)]
    assert nouns == sorted(nouns, reverse=True)
    assert made.bounds_for("contrast", 4) == table[5]
    assert made.bounds_for("contrast", 1000) == table[max(table)]
    assert made.bounds_for("contrast") == made.bounds["contrast"]
    assert made.for_formula("bounded", 4)[0]["contrast"] == table[5]
    assert made.for_formula("paper", 4)[0]["contrast"] == made.bounds["contrast"]
    modifiers = [table[count].phrase for count in sorted(table)]
    assert modifiers == sorted(modifiers, reverse=True)


def test_kinds_have_bounds_of_their_own_and_what_is_outside_the_loosest(observed):
    shift = {"photograph": 2.0}
    odds = {source: values + 0.0 for source, values in observed.odds.items()}
    for number, kind in enumerate(observed.kinds):
        for values in odds.values():
            values[number, :, 0] += shift.get(kind, 0.0)
    made = build(replace(observed, odds=odds))
    assert set(made.kinds) == {*KINDS, "outside"}
    scores = {kind: made.for_kind(kind).perceptual.score["technical"] for kind in made.kinds}
    assert scores["photograph"] > max(scores["drawing"], scores["painting"], scores["render"])
    outside = made.for_kind("outside")
    assert scores["outside"] <= min(scores.values())
    assert (outside.perceptual_bar, outside.map_threshold) == (0.0, 1.0)
    assert made.for_kind("photograph").trust == made.trust
    assert made.for_kind("unheard of") is made


def test_what_tells_nothing_opens_no_gate():
    made = build(drawn(apart=0.0, phrases=0.0))
    assert made.perceptual_bar == 0.0
    assert made.map_threshold == 1.0
    assert made.bounds["contrast"].noun == made.bounds["contrast"].phrase == SMALLEST_BOUND
    assert not any(made.trusted(name) for name in ("perceptual", "map", "nouns", "modifiers"))
    assert any("untrained" in note for note in made.notes)
    assert sum("opens no gate" in note for note in made.notes) == 4


def test_what_is_better_is_used_for_the_map_of_quality(observed):
    assert chosen_source(observed) == "own"
    assert chosen_source(drawn(apart=0.0, words=3.0)) == WORDS
    # Neither tells anything: what was learned stays, unless it is another model's.
    poor = replace(drawn(apart=0.0, words=0.0), source="own")
    assert chosen_source(poor) in ("own", WORDS)
    odds = {PUBLISHED: observed.odds["own"], WORDS: observed.odds[WORDS]}
    copies = {
        name: tuple(
            replace(copy, odds={PUBLISHED: copy.odds["own"], WORDS: copy.odds[WORDS]})
            for copy in getattr(observed, name)
        )
        for name in ("damaged", "exchanged")
    }
    published = replace(observed, odds=odds, source=PUBLISHED, **copies)
    assert chosen_source(published) == PUBLISHED
    foreign = replace(published, token_rows=TokenRows("other", 1.4))
    assert chosen_source(foreign) == WORDS
    made = build(foreign, WORDS)
    assert made.embeddings == WORDS
    assert "do not belong to these weights" in made.notes[0]


def test_a_wrong_activation_is_said(observed):
    wrong = ActivationFit("GELU", "QuickGELU", distance=3.0, gain=0.3, error=0.05)
    slight = ActivationFit("GELU", "QuickGELU", distance=3.0, gain=0.02, error=0.001)
    unsure = ActivationFit("GELU", "QuickGELU", distance=3.0, gain=0.3, error=0.2)
    assert (wrong.wrong, slight.wrong, unsure.wrong) == (True, False, False)
    assert "made with QuickGELU" in build(replace(observed, activation=wrong)).notes[0]
    assert build(replace(observed, activation=slight)).notes == ()
    # Weights whose tokens are those of the published embeddings are OpenAI's.
    odds = {PUBLISHED: observed.odds["own"]}
    copies = {
        name: tuple(replace(copy, odds={PUBLISHED: copy.odds["own"]}) for copy in getattr(observed, name))
        for name in ("damaged", "exchanged")
    }
    openai = replace(observed, odds=odds, source=PUBLISHED, activation=slight, **copies)
    assert "made with QuickGELU" in build(openai).notes[0]


def test_noise_is_how_far_indicators_rise_by_chance(made, observed):
    assert made.noise is not None
    # The difference of two draws rises by 1.645 · √2 standard deviations at the 95th percentile.
    assert 0.02 < made.noise.region < 0.6
    assert made.noise.perceptual > 0.3
    assert made.noise.phrase == 0.0  # nothing was changed
    assert build(replace(observed, exchanged=())).noise is None


def test_it_is_kept_as_it_is(made, tmp_path):
    file = made.save(tmp_path / "calibration.json")
    again = Calibration.load(file)
    assert again == made
    assert again.gallery is not None
    assert again.gallery.features.shape == (64, 12)
    assert set(made.perceptual.score) == set(FACTORS)
    older = Calibration(pictures=3, model="clip")
    content = older.save(tmp_path / "older.json").read_text()
    assert "kinds" not in content
    assert "trust" not in content
    assert "local" not in content


def test_modifiers_have_bounds_of_their_own(made):
    verdicts, plain = made.bounds_for("contrast", 5), made.bounds["contrast"]
    # The nouns' bound is no lid on them, as it is on as, which is never above an.
    assert verdicts.phrase > verdicts.noun
    assert plain.phrase <= plain.noun
    assert made.trust["wrong modifiers found"].value > 0.8
    assert made.trust["good pictures with all modifiers found"].value >= 0.9
    assert made.trust["modifiers"].low > 0.9


def test_a_phrase_without_modifiers_leaves_the_others_a_stricter_bound(made):
    few, many = made.bounds_for("contrast", 8, 2), made.bounds_for("contrast", 8, 8)
    assert few.noun == many.noun
    assert few.phrase > many.phrase
    assert made.bounds_for("contrast", 8, 0).phrase == made.bounds_for("contrast", 1).phrase
    assert made.bounds_for("contrast", 8) == many


def test_modifiers_take_nothing_from_nouns(observed):
    def nouns(by: float) -> float:
        """β_n where modifiers do better by so much."""
        phrases = {
            way: tuple(replace(each, described=tuple(value + by for value in each.described)) for each in said)
            for way, said in observed.phrases.items()
        }
        return build(replace(observed, phrases=phrases)).bounds_for("contrast", 5).noun

    assert nouns(-3.0) == nouns(0.0) == nouns(3.0)
