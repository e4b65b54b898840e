"""``grefine evaluate`` from the command line to the files: every table, every kind of data set, killed runs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from grefine_core.cli import main
from grefine_research.evaluation import paper

from ...tiny_models.pasd import write_pasd, write_sd15

#: Untrained models find everything wrong or nothing: let all pictures be repainted where the map is highest.
REFINE = ["--mode", "paper", "--method", "top", "--steps", "2", "--resamples", "20"]


def evaluate(half, kind, data, out, *more):
    return main(["evaluate", half, "--dataset", kind, "--data", str(data), "-o", str(out), "--resamples", "20", *more])


def apart(half, kind, data, out, *more):
    """The same in a process of its own: what other tests did to torch would change a picture's last bits."""
    options = ["--dataset", kind, "--data", str(data), "-o", str(out), "--resamples", "20", *more]
    command = [sys.executable, "-m", "grefine_core.cli", "evaluate", half, *options]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def table(path):
    with Path(path).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_6_and_7(agiqa, clip, weights, tmp_path, capsys):
    out = tmp_path / "out"
    assert evaluate("indicators", "agiqa-3k", agiqa, out, *clip, *weights) == 0
    content = read(out / "indicators.json")
    whole = {line["indicator"]: line for line in content["lines"] if line["part"] == "all"}
    assert set(whole) == {"pq", "aq", "clip-surgery", "clipscore", "pickscore", "hpsv2", "hps", "imagereward"}
    assert {line["name"] for line in content["lines"] if line["part"] == "group"} == {
        "AttnGAN", "DALLE2", "glide", "midjourney", "sd1.5", "xl2.2",
    }  # fmt: skip
    # What is not installed is said, and nothing is made up for it.
    assert "not installed: pyiqa" in content["not run"]["dbcnn"]
    assert "dbcnn" not in whole
    page = (out / "indicators.md").read_text(encoding="utf-8")
    assert "| DBCNN | not run | not run | not run | not run | 0.7488 | 0.7407 | – |" in page

    # Every figure can be made again from the scores that were written.
    rows = table(out / "indicators_scores.csv")
    assert len(rows) == 36
    for name, rating in (("pq", "perception"), ("hpsv2", "alignment")):
        scores = [float(row[name]) for row in rows]
        ratings = [float(row[f"opinion:{rating}"]) for row in rows]
        assert whole[name]["srocc"] == pytest.approx(stats.spearmanr(scores, ratings).statistic)
        assert whole[name]["plcc"] == pytest.approx(stats.pearsonr(scores, ratings).statistic)
    assert (whole["pq"]["paper_srocc"], whole["pq"]["paper_plcc"]) == (0.7054, 0.7084)
    assert (whole["aq"]["paper_srocc"], whole["pickscore"]["paper_srocc"]) == (0.7303, 0.6977)
    assert [row["srocc"] for row in table(out / "indicators.csv")] == [repr(line["srocc"]) for line in content["lines"]]

    made = read(out / "indicators_run.json")
    assert made["versions"]["torch"]
    assert made["seeds"] == {"bootstrap": 20}
    assert made["configuration"]["resamples"] == 20
    assert made["dataset"]["pictures"] == 36
    assert {entry["name"]: entry["licence"] for entry in made["indicators"]}["dbcnn"].startswith("pyiqa: PolyForm")
    assert all((out / name).stat().st_size > 0 for name in ("indicators_srocc.png", "indicators_scatter.png"))
    assert "not run: DBCNN" in capsys.readouterr().err


def test_tables_2_to_5_and_8(agiqa, clip, models, weights, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    for picture in agiqa.glob("*.jpg"):
        (other / picture.name).write_bytes(picture.read_bytes())
    missing = next(iter(sorted(other.iterdir())))
    missing.unlink()
    code = evaluate(
        "refine", "agiqa-3k", agiqa, out, *clip, *weights, *REFINE, "--pipeline", str(models / "pipeline"),
        "--variants", "full", "pq-only", "aq-only", "stage1-only", "stage2-only", "img2img", "inpaint",
        "--guard", "off", "--limit", "6", "--compare", f"DASR={other}",
    )  # fmt: skip
    content = read(out / "refine.json")
    assert content["paper's database"] == "AGIQA-3K"
    chosen = {row["key"] for row in table(out / "refine_scores.csv")}
    assert len(chosen) == 6
    assert code == (3 if missing.name in chosen else 0)
    cells = {(row["version"], row["indicator"], row["group"]): row for row in content["changes"]}
    titles = ["full", "PQ only", "AQ only", "stage 1 only", "stage 2 only", "img2img of the whole"]
    versions = [*(f"{title}, guard off" for title in [*titles, "inpainting of the whole"]), "DASR"]
    assert list(dict.fromkeys(row["version"] for row in content["changes"])) == ["original pictures", *versions]

    # Means and gains are those of the scores of every picture.
    rows = table(out / "refine_scores.csv")
    for version in ("full, guard off", "img2img of the whole, guard off"):
        for name in ("pq", "imagereward"):
            now = {row["key"]: float(row[name]) for row in rows if row["version"] == version}
            before = {row["key"]: float(row[name]) for row in rows if row["version"] == "original pictures"}
            gain = [now[key] - before[key] for key in now]
            assert len(gain) == 6
            assert cells[version, name, ""]["mean"] == pytest.approx(sum(now.values()) / 6)
            assert cells[version, name, ""]["gain"] == pytest.approx(sum(gain) / 6, abs=1e-9)
            assert cells[version, name, ""]["improved"] == pytest.approx(sum(one > 0 for one in gain) / 6)
    unchanged = cells["DASR", "pq", ""]
    assert unchanged["gain"] == 0.0
    assert unchanged["pictures"] == 6 - (missing.name in chosen)
    # The paper's figures beside ours, also another program's, by its name.
    assert cells["full, guard off", "imagereward", ""]["paper"] == 0.2663
    assert cells["original pictures", "clipscore", ""]["paper"] == paper.value(
        5, "AGIQA-3K", paper.ORIGINAL, "CLIPScore"
    )
    assert cells["DASR", "hpsv2", ""]["paper"] == paper.value(5, "AGIQA-3K", "DASR", "HPSv2")
    assert cells["img2img of the whole, guard off", "pq", ""]["paper"] is None
    page = (out / "refine.md").read_text(encoding="utf-8")
    assert "### Means (Table 5)" in page
    assert "| paper: G-Refine |" in page
    assert "### Ablations (Table 8)" in page
    assert "| paper: SD Cascade | PQ+AQ | PQ+AQ | 1,2 |" in page
    assert "### By generator" in page
    assert (out / "refine_gains.png").stat().st_size > 0
    # Different ways of refining give different pictures.
    name = f"{min(chosen)}.png"
    pictures = {(out / "pictures" / f"{row}-unguarded" / name).read_bytes()
                for row in ("full", "stage1-only", "stage2-only", "img2img", "inpaint")}  # fmt: skip
    assert len(pictures) == 5
    done = content["refinement"]["full-unguarded"]
    assert (done["pictures"], done["changed"]) == (6, 1.0)


def test_the_second_stage_by_pasd(agiqa, clip, models, tmp_path):
    """Tables 2 to 5 are of the paper's restorer: its pictures are others, and never taken for the pipeline's."""
    out = tmp_path / "out"
    write_pasd(tmp_path / "pasd")
    pasd = ["--pasd", str(tmp_path / "pasd" / "pasd"), "--pasd-base", str(write_sd15(tmp_path / "base"))]
    options = [*clip, *REFINE, "--pipeline", str(models / "pipeline"), "--limit", "1", "--indicators", "pq"]
    options += ["--variants", "stage2-only", "--guard", "off"]

    def picture():
        (file,) = (out / "pictures" / "stage2-only-unguarded").iterdir()
        return file.read_bytes()

    assert evaluate("refine", "agiqa-3k", agiqa, out, *options) == 0
    plain = picture()
    by_pasd = [*options, "--restorer", "pasd", "--pasd-process-size", "64", *pasd]
    assert evaluate("refine", "agiqa-3k", agiqa, out, *by_pasd) == 0
    assert picture() != plain
    assert evaluate("refine", "agiqa-3k", agiqa, out, *options, "--pasd", "x") == 1


def test_the_guard_never_lets_our_own_scores_fall(agiqa, clip, models, tmp_path):
    out = tmp_path / "out"
    options = [*clip, *REFINE, "--pipeline", str(models / "pipeline"), "--limit", "4", "--indicators", "none"]
    assert evaluate("refine", "agiqa-3k", agiqa, out, *options) == 0
    found = {
        row["indicator"]: row for row in read(out / "refine.json")["changes"] if row["version"] == "full, guard on"
    }
    assert set(found) == {"pq", "aq"}
    # Pictures are saved in eight bits: what was measured before that is a little off.
    assert all(row["gain"] >= -1e-3 for row in found.values())


@pytest.mark.slow
def test_a_killed_refinement_goes_on_and_ends_with_the_same_figures(agiqa, clip, models, tmp_path, alike):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = [*clip, *REFINE, "--pipeline", str(models / "pipeline"), "--limit", "5", "--indicators", "none"]
    options += ["--variants", "full", "img2img", "--guard", "off"]
    assert apart("refine", "agiqa-3k", agiqa, whole, *options) == 0

    command = ["evaluate", "refine", "--dataset", "agiqa-3k", "--data", str(agiqa), "-o", str(killed), *options]
    process = subprocess.Popen([sys.executable, "-m", "grefine_core.cli", *command], stderr=subprocess.DEVNULL)
    records = killed / "records" / "refine" / "refined-img2img-unguarded.jsonl"
    until = time.monotonic() + 240
    while process.poll() is None and (not records.is_file() or records.read_bytes().count(b"\n") < 3):
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in (killed / "pictures").rglob("[!.]*.png")}
    finished = records.read_bytes().count(b"\n") - 1
    assert finished >= 2
    assert not (killed / "refine.json").exists()
    keys = [json.loads(line)["key"] for line in records.read_text().splitlines()[1 : 1 + finished]]

    assert apart("refine", "agiqa-3k", agiqa, killed, *options) == 0
    for key in keys:
        picture = killed / "pictures" / "img2img-unguarded" / f"{key}.png"
        assert picture.stat().st_mtime_ns == done[picture], "a finished picture was repeated"
    pictures = sorted(path.relative_to(whole) for path in (whole / "pictures").rglob("*.png"))
    assert len(pictures) == 10
    for path in pictures:
        first, second = (np.asarray(Image.open(folder / path), dtype=int) for folder in (whole, killed))
        assert abs(first - second).max() <= 1, path
    for name in ("refine.json", "refine.csv", "refine_scores.csv", "refine.md"):
        assert alike((killed / name).read_text(), (whole / name).read_text())


@pytest.mark.slow
def test_a_killed_scoring_goes_on_and_ends_with_the_same_figures(agiqa, clip, weights, tmp_path, alike):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = [*clip, *weights, "--indicators", "clipscore", "clip-surgery", "--limit", "12"]
    assert apart("indicators", "agiqa-3k", agiqa, whole, *options) == 0
    command = ["evaluate", "indicators", "--dataset", "agiqa-3k", "--data", str(agiqa), "-o", str(killed), *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "grefine_core.cli", *command, "--resamples", "20"], stderr=subprocess.DEVNULL
    )
    records = killed / "records" / "indicators" / "aq.jsonl"
    until = time.monotonic() + 240
    while process.poll() is None and (not records.is_file() or records.read_bytes().count(b"\n") < 3):
        assert time.monotonic() < until
        time.sleep(0.005)
    process.kill()
    process.wait()
    before = records.read_bytes()
    assert apart("indicators", "agiqa-3k", agiqa, killed, *options) == 0
    kept = before[: before.rfind(b"\n") + 1]
    assert records.read_bytes().startswith(kept)
    for name in ("indicators.json", "indicators.csv", "indicators_scores.csv", "indicators.md"):
        assert alike((killed / name).read_text(), (whole / name).read_text())


def test_bad_pictures_are_listed_and_do_not_stop_the_run(agiqa, clip, models, tmp_path, capsys):
    names = sorted(path.name for path in agiqa.glob("*.jpg"))
    (agiqa / names[0]).unlink()
    # Its head is that of a picture: only reading all of it shows the damage.
    whole = (agiqa / names[1]).read_bytes()
    (agiqa / names[1]).write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    options = ["--check", "exists", *clip, "--indicators", "none"]
    assert evaluate("indicators", "agiqa-3k", agiqa, out, *options) == 3
    content = read(out / "indicators.json")
    assert [row["key"] for row in content["skipped"]] == [names[0]]
    assert {row["key"] for row in content["failures"]} == {names[1]}
    assert {line["pictures"] for line in content["lines"] if line["part"] == "all"} == {34}
    assert "### Failed" in (out / "indicators.md").read_text(encoding="utf-8")
    assert names[1] in capsys.readouterr().err
    for name in names[6:]:
        (agiqa / name).unlink()
    more = [*REFINE, "--pipeline", str(models / "pipeline"), "--guard", "off"]
    assert evaluate("refine", "agiqa-3k", agiqa, out, *options, *more) == 3
    assert names[1] in {row["key"] for row in read(out / "refine.json")["failures"]}


def test_other_kinds_of_data_sets(drawn, clip, models, tmp_path):
    def table_of(path, head, rows):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")

    for number in range(8):
        drawn(tmp_path / "20k" / "test" / f"DALLE2_000{number}.png", number / 8)
        drawn(tmp_path / "1k" / "file" / f"deepai_0_3_0_{number}.jpg", number / 8)
        drawn(tmp_path / "ddb" / "part-000001" / f"p{number}.png", number / 8)
        drawn(tmp_path / "gen" / "glide" / "val" / "ai" / f"GLIDE_1000_200_00_10{number}_glide_0001{number}.png")
        drawn(tmp_path / "folder" / f"p{number}.png", number / 8)
        (tmp_path / "folder" / f"p{number}.txt").write_text(f"{number} red cups\n", encoding="utf-8")
    numbers = range(8)
    table_of(
        tmp_path / "20k" / "info_test.csv", "name,prompt,mos", [f"DALLE2_000{n}.png,{n} cups,{n / 2}" for n in numbers]
    )
    table_of(
        tmp_path / "1k" / "AIGC_MOS_Zscore.csv",
        "Image,Prompt,MOS",
        [f"deepai_0_3_0_{n}.jpg,{n} cups,{n / 2}" for n in numbers],
    )
    entries = {f"p{n}.png": {"p": f"{n} cups"} for n in numbers}
    (tmp_path / "ddb" / "part-000001" / "part-000001.json").write_text(json.dumps(entries))

    few = [*clip, "--indicators", "none"]
    for kind, place, rating in (("aigiqa-20k", "20k", "mos"), ("agiqa-1k", "1k", "mos")):
        out = tmp_path / f"out-{place}"
        assert evaluate("indicators", kind, tmp_path / place, out, *few) == 0
        content = read(out / "indicators.json")
        assert {line["opinion"] for line in content["lines"]} == {rating}
        figures = {line["indicator"]: line["paper_srocc"] for line in content["lines"]}
        assert figures == ({"pq": 0.7073, "aq": 0.6117} if place == "20k" else {"pq": None, "aq": None})
    more = [*REFINE, "--pipeline", str(models / "pipeline"), "--limit", "2", "--guard", "off"]
    for kind, place, number in (
        ("diffusiondb", "ddb", 2),
        ("genimage", "gen", 3),
        ("agiqa-1k", "1k", 4),
        ("folder", "folder", None),
    ):
        out = tmp_path / f"refined-{place}"
        assert evaluate("refine", kind, tmp_path / place, out, *few, *more) == 0
        page = (out / "refine.md").read_text(encoding="utf-8")
        assert (f"### Means (Table {number})" if number else "### Means\n") in page
    # Without ratings there is nothing to compare indicators with.
    assert evaluate("indicators", "folder", tmp_path / "folder", tmp_path / "none", *few) == 1


def test_a_plain_table_with_splits_and_chosen_columns(drawn, clip, tmp_path, capsys):
    rows = ["file,text,looks,fits,made by,part"]
    for number in range(16):
        drawn(tmp_path / f"{number}.png", number / 16)
        rows.append(f"{number}.png,{number} cups,{number},{16 - number},m{number % 2},{('train', 'test')[number // 8]}")
    (tmp_path / "mine.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    named = ("image=file", "prompt=text", "perception=looks", "alignment=fits", "group=made by", "split=part")
    columns = [text for pair in named for text in ("--column", pair)]
    out = tmp_path / "out"
    options = [*columns, *clip, "--indicators", "none"]
    assert evaluate("indicators", "csv", tmp_path / "mine.csv", out, *options, "--database", "AGIQA-3K") == 0
    lines = read(out / "indicators.json")["lines"]
    assert {(line["part"], line["name"], line["pictures"]) for line in lines if line["indicator"] == "pq"} == {
        ("all", "", 16), ("group", "m0", 8), ("group", "m1", 8), ("split", "test", 8), ("split", "train", 8),
    }  # fmt: skip
    assert next(line for line in lines if line["indicator"] == "pq")["paper_srocc"] == 0.7054
    # All the same against one rating, and of one split.
    again = [*options, "--split", "test", "--perceptual-score", "alignment"]
    assert evaluate("indicators", "csv", tmp_path / "mine.csv", tmp_path / "out2", *again) == 0
    assert {
        (line["opinion"], line["pictures"])
        for line in read(tmp_path / "out2" / "indicators.json")["lines"]
        if line["part"] == "all"
    } == {("alignment", 8)}
    capsys.readouterr()
    assert evaluate("indicators", "csv", tmp_path / "mine.csv", out, *options, "--json") == 0
    assert json.loads(capsys.readouterr().out) == read(out / "indicators.json")
    assert evaluate("indicators", "csv", tmp_path / "mine.csv", out, *options, "--perceptual-score", "beauty") == 1
    assert "no ratings 'beauty'; it has" in capsys.readouterr().err


@pytest.mark.slow
def test_the_miniature_world(tmp_path):
    """With the trained miniature models: figures that mean something."""
    out = tmp_path / "out"
    data = ["--split", "test", "--miniature"]
    assert evaluate("indicators", "miniature", tmp_path / "data", out, *data, "--limit", "60") == 0
    found = {line["indicator"]: line for line in read(out / "indicators.json")["lines"] if line["part"] == "all"}
    assert {"pq", "aq", "clip-surgery", "pq-technical", "pq-rational", "pq-natural"} == set(found)
    assert found["pq"]["opinion"] == "mos"
    assert found["pq"]["srocc"] > 0.4
    assert found["aq"]["srocc"] > 0.4
    more = ["--limit", "3", "--steps", "4", "--indicators", "none", "--variants", "full", "pq-only"]
    assert evaluate("refine", "miniature", tmp_path / "data", out, *data, *more) == 0
    content = read(out / "refine.json")
    full = {row["indicator"]: row["gain"] for row in content["changes"] if row["version"] == "full, guard on"}
    # A thing that comes may cost some of the looks, never some of what matched.
    assert full["aq"] > -0.01
    assert sum(full.values()) > 0
    assert read(out / "refine_run.json")["configuration"]["threshold"] is not None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--variants", "everything"], "'everything' is none"),
        (["--variants"], "nothing to compare"),
        ([], "--pipeline"),
        (["--variants", "--compare", "x=/nowhere"], "is no folder"),
        (["--miniature", "--weights", "beauty=x"], "is no indicator"),
        (["--miniature", "--clip", "x"], "one of both"),
    ],
)
def test_what_is_asked_for_wrongly(agiqa, tmp_path, capsys, more, message):
    assert evaluate("refine", "agiqa-3k", agiqa, tmp_path / "out", *more) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "refine.json").exists()
