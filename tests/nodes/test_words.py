"""Results in words, and the guard's report from node to node."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(scope="module")
def preview(pack):
    return pack("nodes.preview")


@pytest.fixture(scope="module")
def guard_report(pack):
    return pack("nodes.report_data")


@pytest.fixture(scope="module")
def phrases(pack):
    """What AQ-Map might say of "a fox under a red balloon, 8k"."""
    tree, results = pack("grefine_core.prompt.syntax.tree"), pack("grefine_core.alignment.results")

    def phrase(*words, style=False):
        parts = tuple(tree.Word(word, index) for index, word in enumerate(words))
        return tree.Phrase(parts, parts[-1], is_style=style)

    return (
        results.PhraseQuality(phrase("fox"), 0.93, 0.97, ratio=1.5),
        results.PhraseQuality(phrase("red", "balloon"), 0.1, 0.12, "noun", 0.8, 0, ratio=0.2),
        results.PhraseQuality(phrase("old", "tree"), 0.3, 0.95, "modifier", 0.4, 2, ratio=0.6),
        results.PhraseQuality(phrase("moon"), 0.1, 0.2, "noun", 0.8, None, ratio=0.998),
        results.PhraseQuality(phrase("8k", style=True), 1.0, 1.0),
    )


def test_one_line_for_each_phrase(preview, phrases):
    assert preview.phrase_lines(phrases).splitlines() == [
        "fox: matched (1.00 of its bound, score 0.93)",
        "red balloon: not there (0.20 of its bound, score 0.12), to be drawn in the region of 'fox'",
        "old tree: there, but not as described (0.60 of its bound, score 0.30), "
        "to be redrawn in the region of 'old tree'",
        "moon: not there (0.99 of its bound, score 0.20), to be drawn in the whole picture",
        "8k: style, left out",
    ]


def test_style_takes_part_if_asked(preview, phrases):
    assert preview.phrase_lines(phrases[-1:], include_style=True) == "8k: matched (1.00 of its bound, score 1.00)"


def test_a_prompt_without_phrases_is_said_to_have_none(preview):
    assert preview.phrase_lines(()) == "The prompt names nothing to look for."


def test_what_is_not_measured_has_no_figure(preview, phrases, pack):
    results = pack("grefine_core.alignment.results")
    style = (results.PhraseQuality(phrases[-1].phrase, 1.0, 1.0, measured=False),)
    foreign = (results.PhraseQuality(phrases[0].phrase, 1.0, 1.0, measured=False),)
    assert preview.phrase_lines(foreign) == "fox: not measured"
    said = [preview.alignment(1.0, group)["text"] for group in ((), style, foreign)]
    assert said == [
        "Alignment is not measured: the prompt names nothing to look for.",
        "Alignment is not measured: the prompt names style alone, nothing to look for.",
        "Alignment is not measured: the prompt names nothing that can be measured.",
    ]
    assert preview.alignment(0.25, phrases)["text"] == "Alignment score: 0.250"
    (line,) = preview.phrases(foreign, preview.phrase_lines(foreign))
    assert (line["text"], line["kind"], line["title"]) == ("fox: not measured", "faint", "fox: not measured")


@pytest.fixture(scope="module")
def entries(pack):
    entry = pack("grefine_core.report.data").GuardEntry
    return [
        entry(1, (0, 4, 8, 12), True, (0.5, 0.25), (0.6, 0.3), "neither score falls"),
        entry(1, None, False, (0.5, 0.25), (0.4, 0.3), "perceptual score falls"),
    ]


def test_the_guards_report_survives_the_way_through_the_graph(guard_report, entries):
    text = guard_report.write("stage 1", entries, (0.5, 0.25), (0.6, 0.3))
    assert guard_report.read(text, "stage1_guard", 1) == entries


def test_the_guards_report_says_what_was_refused(guard_report, entries):
    report = json.loads(guard_report.write("faces", entries, (0.5, 0.25), (0.6, 0.3)))
    assert (report["stage"], report["changes"], report["refused"]) == ("faces", 2, 1)
    assert report["before"] == {"perceptual": 0.5, "alignment": 0.25}
    assert report["decisions"][0]["region"] == [0, 4, 8, 12]
    assert [decision["accepted"] for decision in report["decisions"]] == [True, False]


def test_an_unchanged_picture_has_no_figures(guard_report):
    report = json.loads(guard_report.write("stage 1", [], None, None))
    assert report["before"] is None
    assert report["decisions"] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("0, 4, 8, 12", "0, 4, 8, 1e999"), ("true", '"false"'), ("0.5", "NaN"), ("0.5", "1e999"), ("0.5", '"0.5"')],
)
def test_figures_that_no_guard_gives_are_refused(guard_report, input_error, entries, old, new):
    text = " ".join(guard_report.write("faces", entries, None, None).split()).replace("[ ", "[").replace(" ]", "]")
    assert old in text
    with pytest.raises(input_error, match=r"^stage1_guard: is not the report"):
        guard_report.read(text.replace(old, new, 1), "stage1_guard", 1)


@pytest.mark.parametrize(
    "text", ["{}", '{"decisions": 3}', '{"decisions": [{}]}', '{"decisions": [{"region": [1]}]}', "[]", "no", 5]
)
def test_what_is_no_report_is_refused_by_name(guard_report, input_error, text):
    with pytest.raises(input_error, match=r"^stage2_guard: "):
        guard_report.read(text, "stage2_guard", 2)
