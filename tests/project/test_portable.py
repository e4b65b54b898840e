"""The checks and the tests give the same answers whatever the checkout is called and whenever they are collected."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed, it comes with the extra 'dev'")
@pytest.mark.parametrize("name", ["g-refine", "ComfyUI G-Refine (2)", "g.refine [1]", "1é雪"])
def test_the_linter_does_not_mind_the_folders_name(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(ROOT / "nodes", folder / "nodes", ignore=shutil.ignore_patterns("__pycache__"))
    for path in ("pyproject.toml", "__init__.py", "grefine_core/__init__.py", "grefine_core/cli/__main__.py"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    done = subprocess.run([str(RUFF), "check", "--no-cache", "."], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_two_collections_find_the_same():
    """In another second, with other hashes: what a test is called hangs on neither."""
    found = []
    for seed in ("1", "2"):
        command = [sys.executable, "-c", "import pytest, sys; sys.exit(pytest.main())"]
        done = subprocess.run(
            [*command, "--collect-only", "-q", "-m", "slow or not slow", "-p", "no:cacheprovider"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        found.append([line for line in done.stdout.splitlines() if "::" in line])
    assert found[0] == found[1]
