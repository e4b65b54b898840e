"""The same by Ray's workers. Without Ray (extra ``ray``) these are skipped, and say so."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, which is in the extra 'dev'")

from grefine_core.cli import main


@pytest.fixture
def bulk(folder, clip, tmp_path, monkeypatch):
    """Runs ``grefine bulk`` in a process of its own, with one thread as a worker has."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # Ray's workers are nice, and hardly move on a machine that has other things to do.
    monkeypatch.setenv("RAY_worker_niceness", "0")

    def run(half, name, *more):
        command = ["bulk", half, "--dataset", "folder", "--data", str(folder), "-o", str(tmp_path / name), *clip]
        done = subprocess.run(
            [sys.executable, "-m", "grefine_core.cli", *command, "--json", *more], capture_output=True, text=True
        )
        assert done.returncode in (0, 3), done.stderr  # 3: some rows have an error
        return json.loads(done.stdout[done.stdout.index("{") :])

    return run


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'g-refine[ray]'")
def test_two_workers_give_the_same_rows_and_go_on_where_others_ended(bulk, rows, tmp_path):
    # The first rows by this process, the others by workers: nobody can tell them apart.
    alone = bulk("score", "local")
    assert bulk("score", "ray", "--limit", "6", "--engine", "local")["done_before"] == 0
    before = {row["key"] for row in rows(tmp_path / "ray" / "scores")}
    together = bulk("score", "ray", "--engine", "ray", "--workers", "2")
    assert together["done_before"] == len(before)
    assert (together["pictures"], together["failed"]) == (alone["pictures"], alone["failed"]) == (13, 2)
    assert rows(tmp_path / "ray" / "scores") == rows(tmp_path / "local" / "scores")


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_way_to_get_it_is_said(folder, clip, tmp_path, capsys):
    command = ["bulk", "score", "--dataset", "folder", "--data", str(folder), "-o", str(tmp_path / "out"), *clip]
    assert main([*command, "--engine", "ray"]) == 1
    assert "pip install 'g-refine[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "out" / "scores").exists()
