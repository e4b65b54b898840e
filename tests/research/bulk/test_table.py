"""Pictures and prompts from Parquet: paths, bytes, and both, as data sets come."""

from __future__ import annotations

import pytest

from grefine_core.cli import main
from grefine_core.errors import InputError
from grefine_core.pictures import load_picture
from grefine_research.bulk import parquet_tasks
from grefine_research.bulk.tasks import from_json, to_json

pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, which is in the extra 'dev'")
parquet = pytest.importorskip("pyarrow.parquet")

NAMES = ["00.png", "01.png", "02.png", "05.png"]


def write(file, **columns):
    parquet.write_table(pyarrow.table(columns), file, row_group_size=2)
    return file


@pytest.fixture
def contents(folder):
    return [(folder / name).read_bytes() for name in NAMES]


def test_paths_bytes_and_both_give_the_same_pictures(folder, contents, tmp_path):
    prompts = ["a", "b", None, "d"]
    by_path = parquet_tasks(write(folder / "p.parquet", path=NAMES, caption=prompts, key=list("wxyz")))
    by_bytes = parquet_tasks(write(tmp_path / "b.parquet", image=contents, prompt=prompts))
    both = [{"bytes": content, "path": name} for content, name in zip(contents, NAMES, strict=True)]
    by_both = parquet_tasks(write(tmp_path / "s.parquet", image=both, text=prompts))
    assert [task.key for task in by_path] == list("wxyz")
    assert [task.key for task in by_bytes] == [f"b.parquet#{row}" for row in range(4)]
    assert [task.key for task in by_both] == NAMES
    for tasks in (by_path, by_bytes, by_both):
        assert [task.prompt for task in tasks] == ["a", "b", "", "d"]
        tasks = from_json(to_json(tasks))
        for task, name in zip(tasks[:3], NAMES, strict=False):
            assert task.picture().image.equal(load_picture(folder / name).image)
        with pytest.raises(InputError, match="not a readable picture"):
            tasks[3].picture()


def test_rows_without_a_picture_and_rows_of_the_same_key_are_errors_not_lost(folder, contents, tmp_path):
    write(tmp_path / "a.parquet", image=[contents[0], None], id=["one", "two"])
    write(tmp_path / "b.parquet", image=[contents[1], contents[2]], id=["one", "three"])
    tasks = parquet_tasks(tmp_path)
    assert [task.key for task in tasks] == ["one", "two", "one#2", "three"]
    with pytest.raises(InputError, match="is empty in this row"):
        tasks[1].picture()
    with pytest.raises(InputError, match="another row with the key 'one'"):
        tasks[2].picture()
    assert [task.key for task in parquet_tasks(tmp_path, limit=2)] == ["one", "one#2"]


def test_what_is_no_table_of_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no Parquet file"):
        parquet_tasks(tmp_path)
    file = write(tmp_path / "n.parquet", number=[1, 2])
    with pytest.raises(InputError, match=r"no column of pictures among number"):
        parquet_tasks(file)
    with pytest.raises(InputError, match=r"expected paths, bytes"):
        parquet_tasks(file, columns={"image": "number"})
    file.write_bytes(b"PAR1 is how it begins")
    with pytest.raises(InputError, match=r"cannot be read as Parquet"):
        parquet_tasks(file)


def test_the_command_takes_it(folder, contents, clip, rows, tmp_path, capsys):
    file = write(tmp_path / "in.parquet", picture=contents, prompt=["a red bird"] * 4)
    out = tmp_path / "out"
    chosen = ["--dataset", "parquet", "--data", str(file), "--column", "image=picture"]
    assert main(["bulk", "score", *chosen, "-o", str(out), *clip]) == 3
    found = rows(out / "scores")
    assert [row["key"] for row in found] == [f"in.parquet#{row}" for row in range(4)]
    assert [bool(row["error"]) for row in found] == [False, False, False, True]
    assert all(row["alignment"] is not None for row in found[:3])
