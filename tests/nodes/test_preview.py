"""What a node says of itself in the browser: lines and their colours, without the host."""

from __future__ import annotations

import pytest
import torch

from grefine_core.report import sheet


@pytest.fixture(scope="module")
def preview(pack):
    return pack("nodes.preview")


@pytest.fixture(scope="module")
def entry(pack):
    return pack("grefine_core.report").GuardEntry


@pytest.mark.parametrize(
    ("old", "new", "kind", "text"),
    [
        (0.5, 0.75, "good", "PS: 0.500 → 0.750 (+0.250)"),
        (0.5, 0.25, "bad", "PS: 0.500 → 0.250 (-0.250)"),
        (0.5, 0.5001, "", "PS: 0.500 → 0.500 (+0.000)"),
    ],
)
def test_scores_are_coloured_by_what_became_of_them(preview, old, new, kind, text):
    assert preview.change("PS", old, new) == {"text": text, "kind": kind, "main": True}


def test_decisions_say_where_and_why(preview, entry):
    scores = {"before": (0.5, 0.5), "after": (0.4, 0.5)}
    (refused,) = preview.decision(entry(1, (3, 4, 13, 24), False, **scores, reason="it fell"), "Stage 1")
    assert refused == {"text": "Stage 1, 20 × 10 at (4, 3): refused – it fell", "kind": "bad", "main": True}
    (kept,) = preview.decision(entry(2, None, True, **scores, reason="nothing falls"), "Stage 2")
    assert kept == {"text": "Stage 2, the whole picture: kept – nothing falls", "kind": "good", "main": True}


def test_what_fell_though_a_change_is_kept_is_a_line_of_its_own(preview, entry):
    reason = "'fish' 0.40 → 0.90; though natural falls from 0.70 to 0.50; though rational falls from 0.9 to 0.8"
    kept, fell = preview.decision(entry(1, None, True, (0.5, 0.5), (0.6, 0.6), reason=reason), "Stage 1")
    assert (kept["text"], kept["kind"]) == ("Stage 1, the whole picture: kept – 'fish' 0.40 → 0.90", "good")
    assert fell["text"] == "Kept, though natural falls from 0.70 to 0.50, rational falls from 0.9 to 0.8."
    assert fell["kind"] == "warn"


def test_the_figure_of_a_factor_is_its_share_of_its_bound(preview):
    line = preview.factors({"overall": 1.2, "technical": 0.9996, "map": 0.5}, {"overall": 0.93, "technical": 0.91})
    assert line["text"] == "Share of its bound: overall 1.00 · technical 0.99 · map 0.50"
    assert line["title"].endswith("Raw scores: overall 0.93, technical 0.91")


def test_the_figure_of_a_phrase_goes_with_its_colour(preview, pack):
    """A matched phrase may score lower than one that is missed: their bounds differ."""
    parse = pack("grefine_core.prompt.syntax").parse_prompt
    quality = pack("grefine_core.alignment.results").PhraseQuality
    star, fish = parse("a yellow star and a fish").phrases
    verdicts = [
        quality(star, 0.58, 0.6, "none", ratio=1.4),
        quality(fish, 0.72, 0.7, "noun", deficit=0.004, ratio=0.996),
    ]
    good, bad = preview.phrases(verdicts, preview.phrase_lines(verdicts))
    assert (good["text"], good["kind"]) == ("yellow star: matched", "good")
    assert (bad["text"], bad["kind"]) == ("fish: not there, 0.99 of its bound", "bad")
    assert "not there" in bad["title"]


def test_a_card_for_each_picture_and_an_end_to_them(preview):
    found = preview.cards([preview.line(f"picture {index}")] for index in range(preview.MOST + 4))
    assert list(found) == ["grefine"], "lists by key: the host joins those of several runs of a node"
    assert len(found["grefine"]) == preview.MOST + 1
    assert found["grefine"][-1]["lines"][0]["text"] == "and 4 more pictures"


def test_a_card_is_no_book(preview):
    (card,) = preview.cards([[preview.line(f"phrase {index}") for index in range(3000)]])["grefine"]
    assert len(card["lines"]) == preview.MOST_LINES + 1
    assert card["lines"][-1]["text"] == f"and {3000 - preview.MOST_LINES} more"


@pytest.mark.parametrize("shape", [(4097, 1), (1, 4097), (768, 768), (70, 101), (1000, 2000)])
def test_pictures_are_reduced_and_never_enlarged(shape):
    picture = torch.full((*shape, 3), 0.5)
    size = sheet.small(picture, 768).size
    assert max(size) == min(768, max(shape))
    assert min(size) >= 1
    assert sheet.small(picture[..., 0], 768).size == size
    assert sheet.small(picture, 768).getpixel((0, 0)) == (128, 128, 128)


def test_reducing_averages(preview):
    checks = torch.zeros(2 * preview.SIDE, 2 * preview.SIDE)
    checks[::2, ::2] = 1.0
    assert sheet.small(checks, preview.SIDE).getextrema() == ((64, 64),) * 3
