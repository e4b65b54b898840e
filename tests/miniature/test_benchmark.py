"""The benchmark on the miniature world: its figures, its records, its truth, and that all of it runs."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from grefine_research.miniature.generator import make_sample

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from grefine_research.miniature.evaluators.training import train

    from ..tiny_models.miniature import write_miniature_models

    folder = tmp_path_factory.mktemp("models")
    return write_miniature_models(folder), train(folder / "judges", "tiny")


def test_iou_and_auroc_from_histograms():
    from miniature_parts.stats import BINS, auroc, histogram, ious

    rng = np.random.default_rng(0)
    values = rng.random((16, 16), dtype=np.float32)
    mask = values > 0.7
    inside, outside = (np.asarray(histogram(values, where), float) for where in (mask, ~mask))
    assert inside.sum() == mask.sum()
    curve = ious(inside[None], outside[None])[0]
    for threshold in (0.25, 0.5, 0.7):
        chosen = values >= threshold
        wanted = (chosen & mask).sum() / (chosen | mask).sum()
        assert curve[round(threshold * BINS)] == pytest.approx(wanted)
    assert auroc(inside, outside) == pytest.approx(1.0)
    assert auroc(inside, inside) == pytest.approx(0.5)


def test_bootstrap_intervals_hold_the_figure_and_are_the_same_again():
    from miniature_parts.stats import f1, mean, ratio, srocc

    values = np.random.default_rng(1).random(80)
    first = mean(values, 200)
    assert first == mean(values, 200)
    assert first.low < first.value < first.high
    assert f1([1, 2], [0, 0], [0, 0], 20).value == 1.0
    assert ratio([1, 1], [2, 2], 20).value == 0.5
    assert srocc(values, values**3, 50).value == pytest.approx(1.0)
    assert np.isnan(mean([], 10).value)


def test_psnr_and_ssim_over_a_mask():
    from miniature_parts.stats import psnr, ssim

    rng = np.random.default_rng(2)
    picture = rng.random((32, 32, 3))
    mask = np.zeros((32, 32), bool)
    mask[:16] = True
    other = picture.copy()
    other[16:] = 0.0
    assert psnr(picture, other, mask) == 60.0
    assert psnr(picture, picture + 0.1, mask) == pytest.approx(20.0)
    assert ssim(picture, picture, mask) == pytest.approx(1.0)
    assert np.isnan(psnr(picture, other, ~mask & mask))


def test_ranks_share_ties():
    from miniature_parts.stats import ranks

    assert ranks(np.asarray([[0.5, 0.9, 0.5001]]), 2).tolist() == [[2.5, 1.0, 2.5]]


def test_a_target_beyond_its_ceiling_gives_way(tmp_path):
    from miniature_parts.report import Part, Target, write_report

    from grefine_research.evaluation.statistics import Estimate

    def target(goal: float, value: float, **options: object) -> Target:
        return Target("figure", goal, Estimate(value, value, value), **options)

    assert not target(0.8, 0.7).passed
    assert not target(0.8, 0.7, ceiling=0.9).passed
    assert target(0.8, 0.7, ceiling=0.72).passed
    assert not target(0.8, 0.68, ceiling=0.72).passed
    assert target(0.02, 0.031, at_least=False, ceiling=0.03).passed
    assert not target(0.02, 0.031, at_least=False, ceiling=0.01).passed
    assert target(0.8, 0.7, ceiling=0.72).row()[1:4] == ["≥ 0.800", "0.720, so ≥ 0.684", "0.700"]
    made = {"on": "a day"}
    # Ceilings are measured apart, perhaps another day.
    write_report([Part("ceilings", "Ceilings", 1, data={"matched": 0.72})], made, tmp_path, "page", [])
    write_report([Part("refinement", "Refinement", 1, [target(0.8, 0.7, limit="matched")])], made, tmp_path, "page", [])
    assert "| figure | ≥ 0.800 | 0.720, so ≥ 0.684 | 0.700 |" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_questions_say_what_the_phrases_say_and_no_more():
    from miniature_parts.cases import Case, shows

    found = {"missing": 0, "wrong_attribute": 0, "wrong_partner": 0}
    for index in range(30):
        case = Case(make_sample("test", index, kinds=("alignment",)))
        assert len(case.questions) == len(case.sample.caption.phrases)
        assert all(shows(case.sample.scene, question) for question in case.questions)
        defect = case.sample.defects[0]
        assert case.unmatched[defect.phrase]
        found[defect.name] += 1
    assert all(found.values())
    clean = Case(make_sample("test", 3, kinds=()))
    assert not any(clean.unmatched)
    assert clean.verdict is None


def test_records_survive_a_torn_line_and_go_with_another_run(tmp_path):
    from miniature_parts.store import Store

    path = tmp_path / "part.jsonl"
    store = Store(path, "one", keep=True)
    store.add(0, {"value": 1})
    store.add(2, {"value": 3})
    with path.open("a") as file:
        file.write('{"index": 3, "val')
    again = Store(path, "one", keep=True)
    assert again.missing(4) == [1, 3]
    assert [record["value"] for record in again.records(4)] == [1, 3]
    assert Store(path, "two", keep=True).missing(2) == [0, 1]
    again.add(1, {"value": 2})
    assert Store(path, "one", keep=False).missing(2) == [0, 1]


def test_network_calls_of_several_threads_meet():
    from miniature_parts.engines import Meeting

    seen = []

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = torch.nn.Parameter(torch.ones(1))

        def forward(self, sample, timestep, encoder_hidden_states, return_dict):
            seen.append(len(sample))
            return (sample + timestep.view(-1, 1, 1, 1) * encoder_hidden_states.mean(),)

    meeting = Meeting(Network(), 8)
    answers = {}

    def work(number):
        try:
            for step in range(2 + number):
                sample = torch.full((2, 1, 1, 1), float(number))
                states = torch.ones(2, 3, 4)
                answers[number, step] = meeting(sample, torch.tensor(10.0 * step), encoder_hidden_states=states)[0]
        finally:
            meeting.leave()

    meeting.enter(3)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert {key: float(value[0]) for key, value in answers.items()} == {
        (number, step): number + 10.0 * step for number in range(3) for step in range(2 + number)
    }
    assert seen == [6, 6, 4, 2]


def test_an_error_in_the_network_reaches_every_thread():
    from miniature_parts.engines import Meeting

    class Broken(torch.nn.Module):
        def forward(self, *_, **__):
            raise RuntimeError("broken")

    meeting = Meeting(Broken(), 8)
    meeting.enter(1)
    with pytest.raises(RuntimeError, match="broken"):
        meeting(torch.zeros(1, 1, 1, 1), torch.tensor(0.0), encoder_hidden_states=torch.zeros(1, 1, 1))


def test_an_answer_is_made_once():
    from miniature_parts.engines import EngineCache

    class Engine:
        size_multiple, min_side, native_side = 8, 8, 8
        calls = 0

        def inpaint(self, image, mask, *, prompt, strength, steps, seed, progress):
            Engine.calls += 1
            return image + Engine.calls

        def restorer(self):
            return self

    cache = EngineCache(Engine())
    picture, mask = torch.zeros(1, 8, 8, 3), torch.ones(1, 8, 8)
    request = {"prompt": "a", "strength": 0.5, "steps": 2, "seed": 1}
    first = cache.inpaint(picture, mask, **request, index=0, progress=None)
    first += 5.0
    assert float(cache.inpaint(picture, mask, **request).max()) == 1.0
    assert float(cache.inpaint(picture, mask, **{**request, "seed": 2}).max()) == 2.0
    assert (cache.asked, cache.answered) == (3, 2)


def test_a_row_without_the_perceptual_map_knows_no_worst_region():
    """It lies under the bar and both scores pass: only the row that has the map is to repaint anything."""
    from miniature_parts.rows import Refiner

    from grefine_core.alignment.quality import Assessment
    from grefine_core.alignment.results import AlignmentQuality
    from grefine_core.perceptual import PerceptualQuality
    from grefine_core.refine.protocols import PlanOptions, RefineOptions

    defects = torch.zeros(1, 32, 32)
    defects[:, :12, :12] = 0.9
    one = torch.ones(1)

    def assess(quality, images, prompts):
        perceptual = PerceptualQuality(one, {"overall": one}, 1 - defects, defects, 0.1 * one)
        return Assessment(perceptual, AlignmentQuality(one, defects, ((),), one, one.log()))

    class Engine:
        size_multiple, min_side, native_side = 8, 8, 32

        def inpaint(self, image, mask, **options):
            return 1.0 - image

    # More attempts than one are for guarded rows: these have no guard, and run all the same.
    options = RefineOptions(plan=PlanOptions(region_bar=0.5), stage1_keep_color=False, attempts=3)
    make = Refiner(None, Engine(), options, assess, seed=1)
    answers = {row: make(row, False, torch.full((1, 32, 32, 3), 0.25), "a cat") for row in ("PQ only", "AQ only")}
    assert {row: answer.report.plan.run_stage1 for row, answer in answers.items()} == {
        "PQ only": True,
        "AQ only": False,
    }
    assert [answer.report.changed for answer in answers.values()] == [True, False]


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_all_parts_run_and_write_the_page(models, tmp_path, capsys):
    import miniature

    weights, evaluators = models
    common = ["--weights", str(weights), "--judges", str(evaluators), "--work", str(tmp_path / "records")]
    common += ["--out", str(tmp_path), "--resamples", "20", "--together", "2", "--dtype", "float32"]
    assert miniature.main([*common, "--scenes", "2"]) == 0
    page = (tmp_path / "miniature.md").read_text(encoding="utf-8")
    content = json.loads((tmp_path / "miniature.json").read_text(encoding="utf-8"))
    assert list(content["parts"]) == ["language", "perceptual", "alignment", "clean", "ceilings", "refinement"]
    for title in ("## Targets", "PQ-Map", "AQ-Map", "Mean ranks", "stage 1 only, guard off", "perfect repair"):
        assert title in page
    assert (tmp_path / "miniature_pictures.jpg").is_file()
    clean, measured, refined = (
        [json.loads(line) for line in (tmp_path / "records" / "test" / name).read_text("utf-8").splitlines()[1:]]
        for name in ("clean.jsonl", "perceptual.jsonl", "refinement.jsonl")
    )
    for found in (*clean, *(record["ways"]["as chosen"] for record in measured), *(r["plan"] for r in refined)):
        assert 0 < found["worst_region"] < 1
    assert "| worst region |" in page
    records = tmp_path / "records" / "test" / "refinement.jsonl"
    lines = records.read_text(encoding="utf-8")
    assert len(lines.splitlines()) == 3
    methods = ("full", "stage 1 only")
    assert all(f"{method}, guard on" in record["rows"] for record in refined for method in methods)
    # What is there already is not made again.
    assert miniature.main([*common, "--scenes", "2", "--part", "refinement", "--resume"]) == 0
    assert records.read_text(encoding="utf-8") == lines
    assert "language" in json.loads((tmp_path / "miniature.json").read_text(encoding="utf-8"))["parts"]
    capsys.readouterr()


def test_figures_of_a_row_are_of_the_scenes_that_have_it(models):
    from miniature_parts.refinement_part import Figures, _fewer
    from miniature_parts.rows import ROWS

    from grefine_research.miniature.evaluators import load_evaluators

    def judged(severity: float, changed: bool) -> dict[str, object]:
        inside = {"inside": [severity], "psnr": [20.0], "ssim": [0.5], "answers": [0.9]}
        whole = {"severity": severity, "psnr_whole": 20.0, "ssim_whole": 0.5, "outside": 0.0}
        return {**inside, **whole, "changed": changed, "judged": 1, "refused": 0}

    def record(after: float, rows: tuple[str, ...]) -> dict[str, object]:
        given = {row: judged(after, True) for row in rows}
        return {"kinds": ["technical"], "unmatched": [False], "before": judged(0.8, False), "rows": given}

    figures = Figures([record(0.4, ROWS), record(0.0, ROWS[:2])], load_evaluators(models[1]), 20)
    assert figures.rows == list(ROWS)
    assert figures.fall(ROWS[0], "technical").value == pytest.approx(0.75)
    assert figures.fall(ROWS[2], "technical").value == pytest.approx(0.5)
    assert figures.whole("before", "severity").value == pytest.approx(0.8)
    assert figures.changed(ROWS[0]).value == 1.0
    assert len(figures.rank_tables()["mean"]) == 1
    assert "first 1 scenes" in _fewer(figures)[0]
    assert not _fewer(Figures([record(0.4, ROWS)], load_evaluators(models[1]), 20))


def test_bars_of_the_worst_region_are_tried_on_the_records(tmp_path, monkeypatch):
    """Clean pictures over all bars, defective ones found, for every bar: nothing is measured anew."""
    from miniature_parts import sweep
    from miniature_parts.perceptual import FULL
    from miniature_parts.run import Run

    clean = [{"ps": 0.9, "as": 0.9, "worst_region": worst} for worst in (0.12, 0.35, 0.6, 0.8)]
    clean[3]["ps"] = 0.1
    defective = [
        {"kinds": kinds, "ways": {FULL: {"score": score, "worst_region": worst}}}
        for kinds, score, worst in ((["technical"], 0.9, 0.08), (["technical"], 0.1, 0.9), (["natural"], 0.9, 0.27))
    ]
    monkeypatch.setattr(sweep, "run_clean", lambda run: clean if run.resume else pytest.fail("measured anew"))
    monkeypatch.setattr(sweep, "run_perceptual", lambda run: defective if run.resume else pytest.fail("measured anew"))
    rows = {row[0]: row[1:] for row in sweep._region_bars(Run(split="validation", work=tmp_path)).rows}
    assert rows["0"] == ["0.750", "0.500", "–", "0.000"]
    assert rows["0.1"] == ["0.750", "1.000", "–", "0.000"]
    assert rows["0.3"] == ["0.500", "1.000", "–", "1.000"]
    assert rows["0.5"] == ["0.250", "1.000", "–", "1.000"]


def test_nothing_is_chosen_on_test_scenes(capsys):
    import miniature

    with pytest.raises(SystemExit):
        miniature.main(["--sweep", "perceptual"])
    assert "validation" in capsys.readouterr().err


def test_the_true_place_is_where_the_picture_differs_from_the_clean_scene():
    from miniature_parts.cases import Case
    from miniature_parts.ceilings import true_place

    from grefine_research.miniature.worlds import SECOND

    for kinds in (("technical",), ("alignment",)):
        case = Case(make_sample("validation", 1, kinds=kinds, world=SECOND))
        place = true_place(case)[0].numpy() > 0
        differs = np.abs(case.image - case.clean).amax(-1)[0].numpy() > 0.05
        assert differs.any()
        assert (differs <= place).all()
        assert place.mean() < 0.8


def test_choices_are_read_from_beside_the_models(tmp_path):
    from dataclasses import replace

    from grefine_core.errors import ModelFileError
    from grefine_core.miniature.loading import Choices, load_choices
    from grefine_core.refine.protocols import MaskOptions, PlanOptions, RefineOptions

    assert load_choices(tmp_path) == Choices()
    options = replace(RefineOptions(), masks=MaskOptions(threshold=0.4), plan=PlanOptions(region_bar=0.25))
    chosen = replace(Choices(), options=options, importance=(1.0, 0.6, 0.8))
    chosen.save(tmp_path)
    assert load_choices(tmp_path) == chosen
    (tmp_path / "choices.json").write_text('{"options": {"masks": {"treshold": 0.4}}}')
    with pytest.raises(ModelFileError, match="treshold"):
        load_choices(tmp_path)


def test_the_command_that_is_told_names_nobodys_folders():
    import miniature

    command = ["--scenes", "3", "--work", "/home/me/records", "--out=/tmp", "--part", "clean", "--resume"]
    assert miniature.told(command) == "python benchmarks/miniature.py --scenes 3 --part clean"
