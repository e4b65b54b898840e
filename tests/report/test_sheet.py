from __future__ import annotations

import pytest
import torch
from PIL import Image

from grefine_core.errors import InputError
from grefine_core.plan import plan_refinement
from grefine_core.report import comparison_sheet, sheet
from grefine_core.report.sheet import _MARKS, _map_panels
from grefine_core.report.text import ACCENT, BAD, GOOD

SIZES = [(1, 1), (64, 64), (101, 70), (30, 400), (400, 30)]


def share_of(sheet: torch.Tensor, color: tuple[int, int, int]) -> float:
    return float(((sheet * 255).round() == torch.tensor(color)).all(dim=-1).float().mean())


def picture(height: int, width: int, color: tuple[float, float, float], count: int = 1) -> torch.Tensor:
    return torch.tensor(color, dtype=torch.float32).expand(count, height, width, 3)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_size(make_report, height, width):
    sheet = comparison_sheet(
        picture(height, width, (0, 0, 1)), picture(height, width, (1, 0, 1)), make_report(height, width)
    )
    assert sheet.ndim == 4
    assert sheet.shape[0] == 1
    assert sheet.shape[2:] == (1600, 3)
    assert sheet.dtype == torch.float32
    assert 0 <= float(sheet.min()) <= float(sheet.max()) <= 1
    assert share_of(sheet, (255, 0, 255)) > 0.004  # the result is there, and large enough to be seen


def test_large_pictures_are_reduced(make_report):
    sheet = comparison_sheet(picture(1500, 2500, (0, 0, 1)), picture(1500, 2500, (1, 0, 1)), make_report(1500, 2500))
    assert sheet.shape[1] < 3000


def test_shows_what_it_is_given(make_report):
    sheet = comparison_sheet(picture(40, 60, (0, 0, 1)), picture(40, 60, (1, 0, 1)), make_report())
    for color in (ACCENT, GOOD, BAD, _MARKS["modifier"], _MARKS["none"], _MARKS["style"]):
        assert share_of(sheet, color) > 0
    assert share_of(sheet, _MARKS["noun"]) == 0


def test_nothing_is_called_repainted_where_stage_1_does_not_run(make_report):
    def captions(passes: float) -> list[str]:
        plan = plan_refinement(passes, passes, mode="gated", area=0.5)
        shown = Image.new("RGB", (60, 40))
        found = _map_panels(shown, make_report(plan=plan, guard=()))
        return ["".join(run.text for run in runs) for runs, _ in found]

    assert captions(0.1)[-1] == "Masked for stage 1   50.0% of the picture"
    assert captions(1.0)[-1] == "Masked: stage 1 did not run   50.0% of the picture"


def test_the_figure_of_a_phrase_is_its_share_of_its_bound(make_report, monkeypatch):
    """As on the nodes: its score, 0.70 here, is another figure."""
    drawn = []
    block = sheet.text_block
    monkeypatch.setattr(
        sheet, "text_block", lambda runs, *more, **rest: drawn.extend(runs) or block(runs, *more, **rest)
    )
    comparison_sheet(picture(40, 60, (0, 0, 1)), picture(40, 60, (1, 0, 1)), make_report())
    texts = [run.text for run in drawn]
    assert texts[texts.index("red balloon") + 1] == ": not as described, 0.50 of its bound"
    assert texts[texts.index("green frog") + 1] == ": matched"
    assert texts[texts.index("overall") + 1] == "0.625"
    assert any("share of its bound" in text for text in texts)


def test_what_is_not_there_is_left_out(make_report):
    args = picture(40, 60, (0, 0, 1)), picture(40, 60, (1, 0, 1))
    full = comparison_sheet(*args, make_report())
    bare = comparison_sheet(
        *args,
        make_report(maps={}, phrases=(), guard=(), notes=(), plan=None, prompt="", emphasized_prompt="", shares={}),
    )
    assert bare.shape[1] < full.shape[1] / 1.5
    assert share_of(bare, _MARKS["modifier"]) == 0


@pytest.mark.parametrize("prompt", ["\n" * 100_000, "\u0301" * 100_000, "a cat, " * 14_000])
def test_however_much_there_is_to_tell_a_sheet_stays_one(make_report, prompt):
    """A prompt of 100 kB made pictures of gigabytes."""
    known = make_report()
    report = make_report(
        prompt=prompt,
        emphasized_prompt=f"({prompt}:1.3)",
        phrases=known.phrases * 300,
        guard=(known.guard[0],) * 500,
        notes=(prompt,),
    )
    sheet = comparison_sheet(picture(40, 60, (0, 0, 1)), picture(40, 60, (1, 0, 1)), report)
    assert sheet.shape[1] < 12_000


def test_of_very_many_phrases_it_says_how_many_more(make_report):
    known = make_report().phrases
    args = picture(40, 60, (0, 0, 1)), picture(40, 60, (1, 0, 1))
    many, more = (comparison_sheet(*args, make_report(phrases=known * count)) for count in (200, 300))
    assert many.shape == more.shape
    assert not torch.equal(many, more)


def test_the_worst_region_has_a_line_among_the_scores(make_report):
    args = picture(40, 60, (0, 0, 1)), picture(40, 60, (1, 0, 1))
    with_it = comparison_sheet(*args, make_report())
    without = comparison_sheet(*args, make_report(worst_region=None, worst_region_after=None))
    one_factor_less = comparison_sheet(*args, make_report(shares={"overall": 0.5}))
    assert with_it.shape[1] - without.shape[1] == with_it.shape[1] - one_factor_less.shape[1] > 0


def test_every_picture_has_its_sheet(make_report):
    reports = [make_report(), make_report(notes=("a note",) * 5)]
    both = comparison_sheet(picture(40, 60, (0, 0, 1), 2), picture(40, 60, (1, 0, 1), 2), reports)
    assert both.shape[0] == 2
    alone = comparison_sheet(picture(40, 60, (0, 0, 1)), picture(40, 60, (1, 0, 1)), reports[1])
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-5)


def test_a_figure_that_fell_is_explained_beside_it(make_report):
    args = picture(40, 60, (0, 0, 1)), picture(40, 60, (1, 0, 1))
    unexplained = comparison_sheet(*args, make_report(changed=False))
    explained = comparison_sheet(*args, make_report(changed=False, shares_after={"overall": 0.5, "technical": 0.5}))
    assert explained.shape == unexplained.shape, "a picture that was not changed"
    explained = comparison_sheet(*args, make_report(shares_after={"overall": 0.5, "technical": 0.5}))
    assert explained.shape[1] > unexplained.shape[1]


def test_same_input_same_bytes(make_report):
    args = picture(40, 60, (0, 0, 1)), picture(40, 60, (1, 0, 1)), make_report()
    assert torch.equal(comparison_sheet(*args), comparison_sheet(*args))


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "x" * 3000,
        "schöne красный 红色 🎈👩\u200d🚀 \ud800",
        "a\n\nb\t(c:1.2) \\(d\\) <lora:x:1>",
        "\0\x07",
        "word " * 400,
    ],
)
def test_any_prompt_can_be_drawn(make_report, prompt):
    report = make_report(prompt=prompt, emphasized_prompt=prompt + " (x:1.2)", phrases=())
    sheet = comparison_sheet(picture(8, 8, (0, 0, 1)), picture(8, 8, (1, 0, 1)), report)
    assert share_of(sheet, ACCENT) > 0


def test_inputs_stay(make_report):
    before, report = torch.rand(1, 40, 60, 3), make_report()
    kept, maps = before.clone(), {name: values.clone() for name, values in report.maps.items()}
    comparison_sheet(before, before, report)
    assert torch.equal(before, kept)
    assert all(torch.equal(report.maps[name], values) for name, values in maps.items())


def test_bad_input(make_report):
    one, two = picture(4, 4, (0, 0, 0)), picture(4, 4, (0, 0, 0), 2)
    with pytest.raises(InputError, match="reports: 1 for 2 pictures"):
        comparison_sheet(two, two, [make_report()])
    with pytest.raises(InputError, match=r"before: expected an image"):
        comparison_sheet(torch.zeros(4, 4), one, make_report())
    with pytest.raises(InputError, match="width"):
        comparison_sheet(one, one, make_report(), width=10)
