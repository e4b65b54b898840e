"""Setting up by `run.py`: whatever state the environment was left in, it works or says what to do."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import venv
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

RUN = Path(__file__).resolve().parents[2] / "run.py"
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "small"
version = "1"
"""
#: What pip needs of a project to install it without an index.
BACKEND = """
import zipfile
NAME = "small-1.dist-info"
def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/small-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small.py", "")
        metadata = "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\nProvides-Extra: dev\\n"
        try:
            metadata += "Requires-Dist: " + open("needs.txt").read() + "\\n"
        except FileNotFoundError:
            pass
        wheel.writestr(f"{NAME}/METADATA", metadata)
        wheel.writestr(f"{NAME}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{NAME}/RECORD", "")
    return "small-1-py3-none-any.whl"
"""
pytestmark = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="there is no pip to install with")


def load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The `run.py` of a checkout."""
    spec = importlib.util.spec_from_file_location("run_of_a_checkout", folder / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "add_pip", partial(add_pip, module))
    return module


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A small one, in a folder with an awkward name."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    folder = tmp_path / "ComfyUI G-Refine (2) [é]"
    folder.mkdir()
    shutil.copy(RUN, folder)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "constraints.txt").write_text("small==1\n")
    return folder


def add_pip(run: ModuleType) -> None:
    """What `ensurepip` takes long for: the one at hand, with a command that calls it."""
    pip = importlib.util.find_spec("pip")
    assert pip
    assert pip.origin
    (packages,) = run.VENV.glob("lib/python*/site-packages")
    (packages / "pip").symlink_to(Path(pip.origin).parent)
    command = run.BIN / "pip"
    command.write_text(f"#!/bin/sh\nexec '{run.python()}' -m pip \"$@\"\n")
    command.chmod(0o755)


def set_up(run: ModuleType) -> None:
    with (run.ROOT / ".venv.lock").open("w") as lock:
        run.set_up(None, lock)


def nothing(run: ModuleType) -> None:
    pass


def stopped_at_once(run: ModuleType) -> None:
    run.BIN.mkdir(parents=True)


def without_pip(run: ModuleType) -> None:
    venv.create(run.VENV, symlinks=True)
    (run.VENV / "kept").write_text("somebody's")


def without_interpreter(run: ModuleType) -> None:
    venv.create(run.VENV, symlinks=True)
    for path in run.BIN.glob("python*"):
        path.unlink()
    run.python().symlink_to("/nowhere/python")
    run.STAMP.write_text("")


def moved(run: ModuleType) -> None:
    """One that works, but whose commands call the interpreter at another place, which is still there."""
    venv.create(run.VENV, symlinks=True)
    add_pip(run)
    old = shutil.copytree(run.VENV, run.ROOT / "old", symlinks=True)
    (run.BIN / "pip").write_text(f"#!/bin/sh\nexec '{old}/bin/python' -m pip \"$@\"\n")


@pytest.mark.skipif(os.name == "nt", reason="an environment of links")
@pytest.mark.parametrize("left", [nothing, stopped_at_once, without_pip, without_interpreter, moved])
def test_whatever_is_there_it_works_afterwards_and_is_quick_again(left, checkout, monkeypatch):
    run = load(checkout, monkeypatch)
    left(run)
    kept = [path for path in (run.VENV / "kept",) if path.exists()]
    set_up(run)
    assert run.pip_works()
    assert run.answer(run.python(), "-I", "-c", "import small, sys; print(sys.prefix)") == str(run.VENV)
    assert all(path.exists() for path in kept)
    monkeypatch.setattr(run, "install", lambda host: pytest.fail("installed again"))
    set_up(run)


def test_what_is_no_environment_is_left_alone(checkout, monkeypatch):
    run = load(checkout, monkeypatch)
    run.VENV.mkdir()
    (run.VENV / "letter.txt").write_text("mine")
    with pytest.raises(run.SetupError, match=r"no virtual environment\. Move it away"):
        set_up(run)
    assert (run.VENV / "letter.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["venv", "ensurepip"])
def test_a_python_without_the_means_says_what_to_do(name, checkout, monkeypatch):
    run = load(checkout, monkeypatch)
    monkeypatch.undo()  # its own way of adding pip
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(run.SetupError, match=rf"without {name}, .*apt install python3-venv"):
        set_up(run)


def test_an_old_python_is_told(checkout, monkeypatch):
    run = load(checkout, monkeypatch)
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit, match=r"Python 3\.10 or newer is needed; .* is 3\.9"):
        run.main()


@pytest.mark.skipif(os.name == "nt", reason="an environment of links")
def test_when_pip_fails_it_says_so_and_the_next_run_goes_on(checkout, monkeypatch, capfd):
    run = load(checkout, monkeypatch)
    (checkout / "needs.txt").write_text("nowhere-to-be-found")
    with pytest.raises(run.SetupError, match=r"failed: .*(?s:.)*Free on this disk: .* GB"):
        set_up(run)
    assert "nowhere-to-be-found" in capfd.readouterr().err
    assert not run.STAMP.exists()
    (checkout / "needs.txt").unlink()
    set_up(run)
    assert run.up_to_date(None)


@pytest.mark.skipif(os.name == "nt", reason="its locks are never shared")
def test_nobody_changes_the_environment_under_another_run(checkout, monkeypatch):
    run = load(checkout, monkeypatch)
    path = checkout / ".venv.lock"
    with path.open("w") as first, path.open("w") as second, path.open("w") as third:
        run.claim(first, alone=False)
        run.claim(second, alone=False)
        alone = threading.Event()
        waiting = threading.Thread(target=lambda: (run.claim(third, alone=True), alone.set()))
        waiting.start()
        assert not alone.wait(0.2)
        first.close()
        assert not alone.wait(0.2)
        second.close()
        waiting.join(60)
        assert alone.is_set()


def test_a_checkout_that_cannot_be_written_to_is_worked_on_in_a_copy(checkout, monkeypatch, tmp_path, capfd):
    run = load(checkout, monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (checkout / "tests" / "old").mkdir(parents=True)
    (checkout / "tests" / "old" / "test_old.py").write_text("old")
    (checkout / ".git").write_text("gitdir: elsewhere")
    checkout.chmod(0o555)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    try:
        assert run.run_in_a_copy(None) == 1  # without a command it tells its two, from the copy
    finally:
        checkout.chmod(0o755)
    assert "python run.py demo" in capfd.readouterr().err
    (copy,) = (tmp_path / "home" / ".cache" / "grefine" / "checkouts").iterdir()
    assert (copy / "tests" / "old" / "test_old.py").read_text() == "old"
    assert not (copy / ".git").exists()

    (copy / "made").write_text("by the run")
    (copy / "tests" / "old" / "__pycache__").mkdir()
    shutil.rmtree(checkout / "tests" / "old")
    (checkout / "tests" / "test_new.py").write_text("new")
    run.copy_checkout(copy)
    assert sorted(path.name for path in (copy / "tests").rglob("*")) == ["test_new.py"]
    assert (copy / "made").read_text() == "by the run"


def test_the_two_commands_are_told(checkout):
    done = subprocess.run([sys.executable, checkout / "run.py"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "python run.py test" in done.stderr


@pytest.mark.slow
def test_pip_comes_with_python(checkout, monkeypatch):
    pytest.importorskip("ensurepip")
    run = load(checkout, monkeypatch)
    monkeypatch.undo()  # its own way of adding pip
    run.make_environment()
    assert run.pip_works()
