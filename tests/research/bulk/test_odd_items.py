"""Odd rows, keys and prompts have rows of their own; a second run finishes; results are never taken for data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from grefine_core.cli import main
from grefine_core.errors import Cancelled, InputError
from grefine_research.bulk import Task, parquet_tasks
from grefine_research.bulk.tasks import unique
from grefine_research.bulk.work import picture_name, row_of

pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, which is in the extra 'dev'")
parquet = pytest.importorskip("pyarrow.parquet")


def bulk(half, data, out, *more, kind="folder"):
    return main(["bulk", half, "--dataset", kind, "--data", str(data), "-o", str(out), *more])


def test_names_and_prompts_that_are_no_unicode_have_rows(drawn, clip, rows, tmp_path):
    data = tmp_path / "data"
    names = ["1.png", "2.png", f"{'n' * 240}.png"]
    for name in names:
        drawn(data / name)
    lines = [json.dumps({"image": name, "prompt": f"a red caf\ud83d {name[:1]}"}) for name in names]
    (data / "prompts.jsonl").write_text("\n".join([*lines, '{"image": "3.p']) + "\n", encoding="ascii")
    wanted = 4
    if os.name != "nt":
        odd = os.fsencode(data) + b"/\xff.png"
        os.rename(drawn(data / "odd.png"), odd)  # noqa: PTH104
        with open(os.fsencode(data) + b"/\xff.txt", "w") as file:  # noqa: PTH123
            file.write("a cat")
        wanted += 1
    assert bulk("score", data, tmp_path / "out", *clip) == 3
    assert bulk("score", data, tmp_path / "out", *clip) == 3
    found = {row["key"]: row for row in rows(tmp_path / "out" / "scores")}
    assert len(found) == wanted
    assert [row["error"] for row in found.values() if row["error"]] == [found["row 4"]["error"]]
    assert found["1.png"]["prompt"] == "a red caf\ufffd 1"


@pytest.mark.parametrize("error", [RecursionError("deep"), MemoryError(), KeyError("k"), UnicodeError("half")])
def test_whatever_an_item_raises_is_in_its_row(error, tmp_path, drawn):
    def work(task, picture):
        raise error

    row = row_of(Task("a", image=str(drawn(tmp_path / "a.png"))), work)
    assert type(error).__name__ in row["error"]


def test_cancelling_is_no_error_of_an_item(tmp_path, drawn):
    def work(task, picture):
        raise Cancelled

    with pytest.raises(Cancelled):
        row_of(Task("a", image=str(drawn(tmp_path / "a.png"))), work)


def test_every_key_is_its_own():
    found = unique([Task("a"), Task("a"), Task("a#2"), Task("a"), Task("\udcff")])
    assert [(task.key, task.error is None) for task in found] == [
        ("a", True),
        ("a#3", False),
        ("a#2", True),
        ("a#4", False),
        ("\\udcff", True),
    ]


def test_keys_make_names_that_every_file_system_takes():
    names = [picture_name(key) for key in ("b\0c", "b_c", "x" * 300, "x" * 301, "\x1b[2J")]
    assert len(set(names)) == len(names)
    for name in names:
        assert name.isprintable()
        assert len(name.rpartition("/")[2].encode()) < 220


def write(file, **columns):
    parquet.write_table(pyarrow.table(columns), file)
    return file


def test_what_is_no_text_is_no_prompt(folder, tmp_path):
    paths = ["00.png", "01.png"]
    nan = parquet_tasks(write(folder / "n.parquet", path=paths, prompt=[float("nan"), None]))
    assert [(task.prompt, task.error) for task in nan] == [("", None), ("", None)]
    lists = parquet_tasks(write(folder / "n.parquet", path=paths, prompt=[["a cat"], ["a dog"]]))
    assert [task.prompt for task in lists] == ["", ""]
    assert all("no text" in task.error for task in lists)
    broken = pyarrow.array([b"a caf\xe9", b"a cat"]).cast(pyarrow.binary())
    text = pyarrow.Array.from_buffers(pyarrow.string(), 2, broken.buffers())
    wrong, right = parquet_tasks(write(folder / "n.parquet", path=paths, prompt=text))
    assert "not in UTF-8" in wrong.error
    assert (right.prompt, right.error) == ("a cat", None)


def test_a_damaged_file_among_others_is_one_row(folder, tmp_path):
    write(tmp_path / "a.parquet", image=[(folder / "00.png").read_bytes()], key=["one"])
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no more")
    good, bad = parquet_tasks(tmp_path)
    assert (good.key, good.error) == ("one", None)
    assert bad.key == "b.parquet"
    assert "cannot be read" in bad.error
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        parquet_tasks(tmp_path)


def test_results_among_the_data_are_not_read_as_data(drawn, clip, models, rows, tmp_path, capsys):
    for name in ("a.png", "b.png", "._a.png", ".b-0123.png"):
        (drawn(tmp_path / name).with_suffix(".txt")).write_text("a cat", encoding="utf-8")
    options = [*clip, "--pipeline", str(models / "pipeline"), "--perceptual-bar", "0", "--alignment-bar", "0"]
    options += ["--region-bar", "0"]
    for out in (tmp_path, tmp_path / "out"):
        for _ in range(2):
            assert bulk("refine", tmp_path, out, *options) == 0
            assert [row["key"] for row in rows(out / "refined")] == ["a.png", "b.png"]


def test_pictures_of_others_in_the_folder_of_results_are_left_alone(drawn, clip, models, tmp_path, capsys):
    drawn(tmp_path / "pictures" / "a.png").with_suffix(".txt").write_text("a cat", encoding="utf-8")
    assert bulk("refine", tmp_path, tmp_path, *clip, "--pipeline", str(models / "pipeline")) == 1
    assert "not from an earlier run" in capsys.readouterr().err


def test_a_damaged_part_is_named(folder, clip, tmp_path, rows, capsys):
    out = tmp_path / "out"
    bulk("score", folder, out, *clip, "--limit", "3", "--part-size", "2")
    part = sorted((out / "scores").glob("part-*"))[0]
    part.write_bytes(part.read_bytes()[:-20])
    capsys.readouterr()
    assert bulk("score", folder, out, *clip) == 1
    told = capsys.readouterr().err
    assert part.name in told
    assert "Remove it" in told
    part.unlink()
    assert bulk("score", folder, out, *clip) == 3
    assert len(rows(out / "scores")) == 13


def test_halves_of_a_killed_run_are_removed(folder, clip, models, tmp_path):
    for name in [f"{number:02}.png" for number in range(12) if number not in (0, 5)]:
        (folder / name).unlink()
    out = tmp_path / "out"
    options = [*clip, "--pipeline", str(models / "pipeline"), "--perceptual-bar", "0", "--alignment-bar", "0"]
    assert bulk("refine", folder, out, *options, "--region-bar", "0") == 3
    before = sorted(path for path in out.rglob("*"))
    (out / "unfinished" / "refined").mkdir(parents=True)
    for half in (out / "pictures" / "00.png", out / "refined" / "part-1.parquet", out / "unfinished/refined/1.jsonl"):
        half.with_name(f".{'0123456789abcdef' * 2}{half.suffix}").write_bytes(b"half")
    assert bulk("refine", folder, out, *options, "--region-bar", "0") == 3
    assert sorted(path for path in out.rglob("*")) == before


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_ended_run_says_and_keeps_what_is_finished(folder, clip, rows, tmp_path):
    out = tmp_path / "out"
    code = (
        "import sys, time\n"
        "from grefine_research.bulk.work import Scoring\n"
        "from grefine_core.cli import main\n"
        "usual, seen = Scoring.__call__, []\n"
        "def waits(self, task, picture):\n"
        "    if len(seen) == 2:\n"
        "        print('waiting', flush=True)\n"
        "        time.sleep(600)\n"
        "    seen.append(task.key)\n"
        "    return usual(self, task, picture)\n"
        "Scoring.__call__ = waits\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = ["bulk", "score", "--dataset", "folder", "--data", str(folder), "-o", str(out), *clip, "--json"]
    process = subprocess.Popen([sys.executable, "-c", code, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"waiting\n"
    process.send_signal(signal.SIGTERM)
    told = json.loads(process.stdout.read())
    process.communicate()
    assert process.returncode == 143
    assert (told["pictures"], told["finished"]) == (13, 2)
    assert len(rows(out / "scores")) == 2
    assert not [path for path in out.rglob("*") if path.name.startswith(".") or path.name == "unfinished"]
    assert main(command) == 3
    assert len(rows(out / "scores")) == 13
