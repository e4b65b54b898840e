"""From what is connected to Quality Report to one report for each picture."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

PROMPTS = ("a hat", "a cat")
FACTORS = ("overall", "technical", "rational", "natural")


@pytest.fixture(scope="module")
def parts(pack):
    return pack("nodes.report_data")


@pytest.fixture(scope="module")
def phrase(pack):
    tree, results = pack("grefine_core.prompt.syntax.tree"), pack("grefine_core.alignment.results")

    def make(word: str):
        only = tree.Word(word, 0)
        return results.PhraseQuality(tree.Phrase((only,), only), 0.5, 0.5)

    return make


@pytest.fixture(scope="module")
def two(inputs):
    return inputs.flatten_images([torch.rand(2, 6, 8, 3, generator=torch.Generator().manual_seed(0))], "before")


def measured(perceptual: float, alignment: float, phrases=()):
    """What `assess` gives, with these scores."""
    return SimpleNamespace(
        perceptual=SimpleNamespace(
            score=torch.tensor([perceptual]),
            factors={name: torch.tensor([0.5]) for name in FACTORS},
            defect_map=torch.full((1, 6, 8), 0.25),
            worst_region=torch.tensor([perceptual / 2]),
        ),
        alignment=SimpleNamespace(
            score=torch.tensor([alignment]),
            defect_map=torch.zeros(1, 6, 8),
            phrases=(tuple(phrases),),
            measured=(bool(phrases),),
        ),
    )


def test_nothing_has_to_be_connected(parts, two):
    empty, other = parts.gather(two, dict.fromkeys(("phrases", "plan_reason", "denoise_mask", "stage1_guard")), PROMPTS)
    assert (empty.phrases, empty.plan_reason, empty.maps, empty.guard) == (None, None, {}, ())
    assert other == empty


def test_values_are_matched_to_the_pictures(parts, two, phrase):
    connected = {
        "emphasized_prompt": ["one for both"],
        "plan_reason": ["first", "second"],
        "phrases": [((phrase("hat"),),), ((phrase("cat"),),)],
        "denoise_mask": [torch.stack([torch.zeros(6, 8), torch.ones(6, 8)])],
    }
    first, second = parts.gather(two, connected, PROMPTS)
    assert first.emphasized_prompt == second.emphasized_prompt == "one for both"
    assert (first.plan_reason, second.plan_reason) == ("first", "second")
    assert [extras.phrases[0].phrase.text for extras in (first, second)] == ["hat", "cat"]
    assert [float(extras.maps["denoise"].mean()) for extras in (first, second)] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("plan_reason", ["a", "b", "c"]),
        ("emphasized_prompt", [3]),
        ("denoise_mask", [torch.zeros(3, 6, 8)]),
        ("perceptual_defects", [torch.ones(1, 8, 6)]),
        ("alignment_defects", ["a map"]),
        ("phrases", ["a hat"]),
        ("stage2_guard", ["no JSON"]),
    ],
)
def test_what_does_not_fit_is_refused_by_name(parts, two, input_error, name, values):
    with pytest.raises(input_error, match=rf"^{name}: "):
        parts.gather(two, {name: values}, PROMPTS)


def test_the_report_says_what_was_measured_and_connected(parts, two, phrase):
    mask = torch.zeros(6, 8)
    mask[:3] = 1.0
    connected = {"plan_reason": ["because"], "denoise_mask": [mask], "alignment_defects": [mask]}
    extras = parts.gather(two, connected, PROMPTS)[0]
    before, after = two.items[0], 1.0 - two.items[0]
    report = parts.build(before, after, "a hat", (measured(0.5, 0.25, [phrase("hat")]), measured(0.75, 0.5)), extras)
    data = parts.as_data(report, extras)
    assert json.loads(json.dumps(data)) == data
    assert (data["before"]["perceptual"], data["after"]["perceptual"]) == (0.5, 0.75)
    assert (data["before"]["alignment"], data["after"]["alignment"]) == (0.25, 0.5)
    assert (data["before"]["worst_region"], data["after"]["worst_region"]) == (0.25, 0.375)
    assert data["masked_area"] == 0.5
    assert data["changed"] is True
    assert data["plan"] == {"reason": "because"}
    assert report.notes[0] == "Plan: because", "on the sheet, where decisions stand beside it"
    assert [entry["text"] for entry in data["phrases"]] == ["hat"]
    assert torch.equal(report.maps["alignment_defect"], mask)  # connected
    assert float(report.maps["perceptual_defect"].mean()) == 0.25  # measured
    assert parts.summary(report).splitlines() == [
        "Perceptual score: 0.500 → 0.750 (+0.250)",
        "Alignment score: 0.250 → 0.500 (+0.250)",
    ]


def test_what_bypassed_nodes_hand_on_is_a_note_and_no_error(parts, two):
    """A bypassed guard gives its prompt for a report, a bypassed plan the emphasised prompt for a reason."""
    report = parts.write("stage 2", [], None, None)
    connected = {
        "emphasized_prompt": ["a (hat:1.2)", "a cat"],
        "plan_reason": ["a (hat:1.2)", "because"],
        "stage1_guard": ["a hat", "a cat"],
        "stage2_guard": [report, report],
    }
    first, second = parts.gather(two, connected, PROMPTS)
    assert (first.plan_reason, second.plan_reason) == (None, "because")
    assert first.guard == second.guard == ()
    unguarded = "Stage 1 was not guarded: its guard is bypassed."
    assert first.notes == ("Refine Plan is bypassed: nothing was planned.", unguarded)
    assert second.notes == (unguarded,)
    before = two.items[0]
    built = parts.build(before, before, PROMPTS[0], (measured(0.5, 0.25), measured(0.5, 0.25)), first)
    data = parts.as_data(built, first)
    assert data["plan"] is None
    assert unguarded in data["notes"]
    assert {"text": unguarded, "kind": "warn"} in parts.lines(built)


def test_an_unchanged_picture_is_said_to_be_one(parts, two):
    extras = parts.gather(two, {}, PROMPTS)[0]
    picture = two.items[0]
    report = parts.build(picture, picture.clone(), "", (measured(0.9, 1.0), measured(0.9, 1.0)), extras)
    assert report.changed is False
    assert parts.as_data(report, extras)["masked_area"] is None
    assert parts.summary(report).endswith("The picture is as it was.")


def test_a_prompt_that_names_nothing_is_said_to(parts, two):
    extras = parts.gather(two, {"plan_reason": ["because", "because"]}, PROMPTS)[0]
    picture = two.items[0]
    report = parts.build(picture, picture.clone(), "", (measured(0.9, 1.0), measured(0.9, 1.0)), extras)
    data = parts.as_data(report, extras)
    assert data["alignment_measured"] is False
    assert data["before"]["alignment"] is data["after"]["alignment"] is None
    assert data["notes"] == ["Alignment is not measured: the prompt names nothing to look for."]
    assert parts.summary(report).splitlines()[:2] == [
        "Perceptual score: 0.900 → 0.900 (+0.000)",
        "Alignment is not measured.",
    ]
    # Without any prompt the node says that there is none, beside these lines.
    assert [line["text"] for line in parts.lines(report)][1] == "The picture is as it was."
    styled = parts.build(picture, picture.clone(), "masterpiece", (measured(0.9, 1.0), measured(0.9, 1.0)), extras)
    assert [line["text"] for line in parts.lines(styled)][1] == "Alignment is not measured."


def test_connected_phrases_are_shown_instead_of_measured_ones(parts, two, phrase):
    extras = parts.gather(two, {"phrases": [((phrase("cat"),), (phrase("dog"),))]}, PROMPTS)[1]
    picture = two.items[1]
    report = parts.build(picture, picture, "", (measured(0.5, 0.5, [phrase("hat")]), measured(0.5, 0.5)), extras)
    assert [quality.phrase.text for quality in report.phrases] == ["dog"]


def test_an_empty_reason_takes_no_note_away(parts, two):
    extras = parts.gather(two, {"plan_reason": ["", ""]}, ["a red cup", "a blue cup"])[0]
    picture = two.items[0]
    report = parts.build(picture, picture.clone(), "", (measured(0.9, 1.0), measured(0.9, 1.0)), extras)
    assert report.notes
    assert parts.as_data(report, extras)["notes"] == list(report.notes)
