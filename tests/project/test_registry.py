"""What the registry's own tool says about the pack, and what its page would show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grefine_core.models.registry import needed_by

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
COMFY = shutil.which("comfy", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(COMFY is None, reason="comfy-cli is not installed, it comes with the extra 'dev'")
def test_the_registrys_tool_accepts_the_pack(tmp_path):
    surroundings = {**os.environ, "HOME": str(tmp_path), "DO_NOT_TRACK": "1", "TERM": "dumb"}
    done = subprocess.run(
        [str(COMFY), "--skip-prompt", "node", "validate"], capture_output=True, text=True, cwd=ROOT, env=surroundings
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "All validation checks passed" in said
    assert "warning" not in said.lower()  # its security rules, which only warn so far, and what it cannot read


def test_what_the_registry_reads():
    read = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, comfy = read["project"], read["tool"]["comfy"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert re.fullmatch(r"[a-z][a-z0-9-]*", project["name"])
    assert not project["name"].startswith("comfy")
    assert project["requires-python"] == ">=3.10"
    assert "Operating System :: OS Independent" in project["classifiers"]
    versions = [line.rsplit(" :: ", 1)[1] for line in project["classifiers"] if " :: Python :: 3." in line]
    assert versions[0] == project["requires-python"].removeprefix(">=")
    # Devices that are named are the only ones: it runs on whatever ComfyUI runs on.
    assert not [line for line in project["classifiers"] if line.startswith("Environment")]
    assert project["description"]
    assert project["license"] == "Apache-2.0"
    assert all((ROOT / name).is_file() for name in [project["readme"], *project["license-files"]])
    assert comfy["DisplayName"]
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    addresses = [*project["urls"].values(), *filter(None, [comfy["Icon"]])]
    assert all(address.startswith("https://") for address in addresses)


#: What comfy-test 0.4 knows; other keys of [test.workflows] and other platforms are errors of its.
KEYS = {"": {"levels", "platforms", "workflows"}, "platforms": {"platforms"}, "workflows": {"cpu", "cuda", "timeout"}}
LEVELS = ["syntax", "coverage", "install", "registration", "instantiation", "static_capture", "validation", "execution"]
PLATFORMS = {f"{system}-cpu" for system in ("linux", "macos", "windows", "windows-portable")}


def test_what_comfy_test_reads():
    read = tomllib.loads((ROOT / "comfy-test.toml").read_text(encoding="utf-8"))["test"]
    assert read.keys() == KEYS[""]
    assert all(read[table].keys() <= KEYS[table] for table in ("platforms", "workflows"))
    assert read["levels"] == [level for level in LEVELS if level in read["levels"]]
    assert set(read["platforms"]["platforms"]) <= PLATFORMS
    for name in read["workflows"]["cpu"]:
        assert (ROOT / "workflows" / name).is_file()
        assert needed_by(name) == [], "there are no model files where it runs"
