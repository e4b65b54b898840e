"""``grefine bulk`` in one process: every row is there, finished pictures are not repeated, whatever ends the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import torch

from grefine_core.cli import main
from grefine_core.pictures import load_picture
from grefine_research.bulk.work import Scoring, picture_name

pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, which is in the extra 'dev'")

BROKEN = {"05.png", "absent.png"}


def bulk(half, data, out, *more, kind="folder"):
    return main(["bulk", half, "--dataset", kind, "--data", str(data), "-o", str(out), *more])


@pytest.fixture
def measured(monkeypatch):
    """Keys of the pictures that are measured, in order."""
    seen: list[str] = []
    usual = Scoring.__call__

    def counted(self, task, picture):
        seen.append(task.key)
        return usual(self, task, picture)

    monkeypatch.setattr(Scoring, "__call__", counted)
    return seen


def test_scores_are_those_of_grefine_score_and_what_is_broken_has_a_row(folder, clip, rows, tmp_path, capsys, alike):
    assert bulk("score", folder, tmp_path / "out", *clip, "--json") == 3
    summary = json.loads(capsys.readouterr().out)
    assert (summary["pictures"], summary["failed"], summary["done_before"]) == (13, 2, 0)
    found = {row["key"]: row for row in rows(tmp_path / "out" / "scores")}
    assert {key for key, row in found.items() if row["error"]} == BROKEN
    assert "not a readable picture" in found["05.png"]["error"]
    assert found["05.png"]["perceptual"] is None
    assert not (tmp_path / "out" / "unfinished").exists()

    good = found["03.png"]
    main(["score", str(folder / "03.png"), "--prompt", good["prompt"], *clip, "--json"])
    (alone,) = json.loads(capsys.readouterr().out)
    for name in ("perceptual", "worst_region", "alignment", "phrases"):
        assert alike(good[name], alone[name]), name
    assert len(alone["factors"]) == 4
    assert alike({name: good[name] for name in alone["factors"]}, alone["factors"])


def test_a_second_run_does_what_is_new_and_errors_when_asked(folder, clip, rows, tmp_path, drawn, measured, capsys):
    out = tmp_path / "out"
    assert bulk("score", folder, out, *clip, "--limit", "7") == 3
    first = list(measured)
    assert bulk("score", folder, out, *clip) == 3
    assert len(measured) == len(set(measured)) == 11
    drawn(folder / "05.png")
    assert bulk("score", folder, out, *clip) == 3
    assert len(measured) == 11
    assert bulk("score", folder, out, *clip, "--retry-errors") == 3
    assert measured[11:] == ["05.png"]
    found = rows(out / "scores")
    assert [row["key"] for row in found] == sorted({row["key"] for row in found})
    assert [row["key"] for row in found if row["error"]] == ["absent.png"]
    assert set(first) < set(measured)


def test_results_of_other_options_are_not_mixed(folder, clip, rows, tmp_path, measured, capsys):
    out = tmp_path / "out"
    bulk("score", folder, out, *clip)
    assert bulk("score", folder, out, *clip, "--formula", "released") == 1
    assert "holds results of other models, options or data" in capsys.readouterr().err
    before = rows(out / "scores")
    assert bulk("score", folder, out, *clip, "--formula", "released", "--restart") == 3
    assert len(measured) == 22
    after = rows(out / "scores")
    assert len(after) == 13
    assert [row["perceptual"] for row in after] != [row["perceptual"] for row in before]


def test_a_killed_run_goes_on_where_it_was(folder, clip, rows, tmp_path, measured, capsys, alike):
    out, log = tmp_path / "out", tmp_path / "measured.txt"
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from grefine_research.bulk.work import Scoring\n"
        "from grefine_core.cli import main\n"
        "usual = Scoring.__call__\n"
        "def slow(self, task, picture):\n"
        "    if Path(sys.argv[1]).exists() and len(Path(sys.argv[1]).read_text().split()) == 6: time.sleep(600)\n"
        "    row = usual(self, task, picture)\n"
        "    with open(sys.argv[1], 'a') as file: print(task.key, file=file)\n"
        "    return row\n"
        "Scoring.__call__ = slow\n"
        "main(sys.argv[2:])\n"
    )
    command = ["bulk", "score", "--dataset", "folder", "--data", str(folder), "-o", str(out), *clip, "--part-size", "4"]
    process = subprocess.Popen([sys.executable, "-c", code, str(log), *command], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    journals = out / "unfinished" / "scores"
    while time.monotonic() < deadline and process.poll() is None:
        # Six pictures: one part of four (with the broken one) or more is whole, another one is under way.
        if log.exists() and len(log.read_text().split()) == 6 and any(_lines(file) > 1 for file in journals.glob("*")):
            time.sleep(0.2)
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = log.read_text().split()
    assert len(finished) == 6
    in_parts = {row["key"] for row in rows(out / "scores")}
    under_way = set(finished) - in_parts
    assert in_parts
    assert under_way

    half = out / "scores" / f".{uuid.uuid4().hex}.parquet"
    half.write_bytes(b"half of a part")
    assert main(command) == 3
    assert not set(measured) & set(finished)
    assert len(measured) + len(finished) == 11
    assert bulk("score", folder, tmp_path / "whole", *clip) == 3
    assert alike(rows(out / "scores"), rows(tmp_path / "whole" / "scores"))
    assert not half.exists()


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


def test_refined_pictures_lie_beside_their_rows_and_are_not_made_twice(folder, clip, models, rows, tmp_path, capsys):
    for number in range(2, 12):
        if number != 5:
            (folder / f"{number:02d}.png").unlink()
    out = tmp_path / "out"
    options = [*clip, "--pipeline", str(models / "pipeline"), "--mode", "paper", "--method", "top", "--steps", "2"]
    assert bulk("refine", folder, out, *options) == 3
    found = rows(out / "refined")
    assert len(found) == 13
    good = [row for row in found if not row["error"]]
    assert [row["key"] for row in good] == ["00.png", "01.png"]
    for row in good:
        refined = load_picture(out / row["refined"])
        changed = not torch.equal(refined.image, load_picture(row["image"]).image)
        assert changed == row["changed"]
        if changed:
            assert json.loads(refined.text["grefine"]) == json.loads(row["report"])
        else:
            assert refined.content == Path(row["image"]).read_bytes()
        assert row["perceptual_after"] >= row["perceptual_before"]  # the guard is on
    times = [(out / row["refined"]).stat().st_mtime_ns for row in good]
    assert bulk("refine", folder, out, *options) == 3
    assert [(out / row["refined"]).stat().st_mtime_ns for row in good] == times
    assert rows(out / "refined") == found


def test_no_key_leads_out_of_the_folder_or_meets_another(tmp_path):
    keys = ["a.png", "data/a.png", "/data/a.png", "../a.png", "data/../../a.png", "C:\\data\\a.png", "C:/data/a.png"]
    names = [picture_name(key) for key in keys]
    assert all((tmp_path / name).resolve().is_relative_to(tmp_path.resolve() / "pictures") for name in names)
    assert len(set(names)) == len(keys)
    assert names[:2] == ["pictures/a.png.png", "pictures/data/a.png.png"]


def test_several_workers_need_ray(folder, clip, tmp_path, capsys):
    assert bulk("score", folder, tmp_path / "out", *clip, "--workers", "2") == 1
    assert "--engine ray" in capsys.readouterr().err
