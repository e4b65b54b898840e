"""One run at a time in a folder, whoever it is, and however the one before has ended."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from grefine_core.cli import main
from grefine_core.errors import InputError
from grefine_research.bulk import lock
from grefine_research.bulk.lock import alone_in

HOLD = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from grefine_research.bulk.lock import alone_in\n"
    "with alone_in(Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(600)\n"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_is_refused_and_a_killed_one_is_no_obstacle(holder, tmp_path, folder, clip, capsys):
    command = ["bulk", "score", "--dataset", "folder", "--data", str(folder), "-o", str(tmp_path), *clip]
    assert main(command) == 1
    assert f"process {holder.pid} on" in capsys.readouterr().err
    assert not (tmp_path / "scores").exists()
    holder.kill()
    holder.wait()
    with alone_in(tmp_path):
        assert (tmp_path / lock.NAME).is_file()
    assert not (tmp_path / lock.NAME).exists()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.1)


class Other:
    """Time as seen by whoever watches, and another machine, which gives a sign whenever some of it has passed."""

    def __init__(self, file):
        self.file, self.lives, self.now = file, True, 0.0
        self.sleep(0.0)

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        if self.lives:
            self.file.write_text(json.dumps({"host": "another", "pid": 7, "beat": self.now}), encoding="utf-8")


def test_another_machine_that_lives_is_heard_and_a_dead_one_is_not_waited_for(tmp_path, monkeypatch):
    # As on a folder whose file system hands no locks on: nothing but the file's content tells.
    file = tmp_path / lock.NAME
    other = Other(file)
    monkeypatch.setattr(lock, "time", other)
    with pytest.raises(InputError, match="process 7 on another is working here"), alone_in(tmp_path):
        pass
    other.lives = False
    with alone_in(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_two_of_one_machine_without_locks_of_the_system(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(lock, "_lock", lambda _: None)
    with alone_in(tmp_path), pytest.raises(InputError, match="is working here"), alone_in(tmp_path):
        pass
