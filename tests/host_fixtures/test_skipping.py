"""Without a ComfyUI the tests with the real one are skipped, and the end of the run says so where nobody misses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(comfyui: Path, what: str = "tests/host/test_server.py", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", what, "-p", "no:cacheprovider"]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "COMFYUI_PATH": str(comfyui), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_host_is_said_loudly_with_the_count(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"HOST TESTS SKIPPED: no ComfyUI found at COMFYUI_PATH={tmp_path}; set COMFYUI_PATH" in done.stdout
    assert "host tests: 0 ran, 5 skipped" in done.stdout


def test_a_host_that_does_not_start_fails_the_tests_with_its_log(tmp_path):
    (tmp_path / "comfy").mkdir()
    (tmp_path / "folder_paths.py").touch()
    (tmp_path / "main.py").write_text("raise SystemExit('the host said why')", encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "the host said why" in done.stdout
    assert "0 skipped" in done.stdout


def test_no_browser_is_said_loudly_with_the_count(tmp_path):
    """Whether there is a ComfyUI or not: nothing is started."""
    missing = str(tmp_path / "chromium")
    done = run(tmp_path, "tests/host/browser/test_in_the_browser.py", CHROMIUM_PATH=missing)
    assert done.returncode == 0, done.stdout
    assert f"BROWSER TESTS SKIPPED: no Chromium found at CHROMIUM_PATH={missing}; set CHROMIUM_PATH" in done.stdout
    assert "browser tests: 0 ran, " in done.stdout
    assert "browser tests: 0 ran, 0 skipped" not in done.stdout
