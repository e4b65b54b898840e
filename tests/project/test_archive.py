"""What the registry's archive holds: all that runs, nothing else, and it works by itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pathspec = pytest.importorskip("pathspec", reason="comes with comfy-cli, in the extra 'dev'")

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (
    "grefine_research",
    "tests",
    "benchmarks",
    "tools",
    ".ci",
    "run.py",
    "constraints.txt",
    "comfy-test.toml",
    "CONTRIBUTING.md",
    ".gitignore",
    ".comfyignore",
)
LARGEST = 60_000_000


@cache
def archive() -> tuple[str, ...]:
    """Names of the files, as the registry's tool chooses them: those that git knows, without what .comfyignore says."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    ours = ["ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run([git, "-C", str(ROOT), *ours], capture_output=True, text=True, check=True)
    lines = [line.strip() for line in (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()]
    ignored = pathspec.PathSpec.from_lines("gitwildmatch", [line for line in lines if line and line[0] != "#"])
    return tuple(name for name in done.stdout.splitlines() if (ROOT / name).is_file() and not ignored.match_file(name))


def test_what_runs_is_in():
    names = set(archive())
    needed = {"__init__.py", "pyproject.toml", "requirements.txt", "README.md", "CHANGELOG.md", "LICENSE", "NOTICE"}
    for folder in ("nodes", "grefine_core", "web", "locales", "workflows", "subgraphs", "docs"):
        found = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
        needed |= {path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts}
    assert needed - names == set()


def test_nothing_else_is_in():
    tops = {name.split("/")[0] for name in archive()}
    assert not tops & set(LEFT_OUT)
    known = {"__init__.py", "pyproject.toml", "requirements.txt", "README.md", "CHANGELOG.md", "LICENSE", "NOTICE"}
    assert tops - known == {"nodes", "grefine_core", "web", "locales", "workflows", "subgraphs", "docs"}
    assert not [name for name in archive() if name.endswith((".pyc", ".pt", ".ckpt", ".part", ".log"))]


def test_it_is_not_large():
    assert sum((ROOT / name).stat().st_size for name in archive()) < LARGEST


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("custom_nodes") / "g-refine"
    for name in archive():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(ROOT / name)
    return folder


def test_every_page_has_its_picture(unpacked):
    for page in (unpacked / "web" / "docs").glob("*.md"):
        assert (unpacked / "web" / "docs" / "pictures" / f"{page.stem}.jpg").is_file()


def test_the_command_line_runs_from_the_folder(unpacked):
    """As the page of models says: nothing installed, in the pack's folder."""
    command = [sys.executable, "-m", "grefine_core.cli", "models", "list", "--for", "grefine_1_start_here", "--json"]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}


@pytest.mark.slow
def test_it_works_in_a_comfyui(tmp_path):
    """Unpacked under the registry's name: every node is there, help pages come with their pictures."""
    import urllib.request

    from grefine_core.comfyui.host_server import HostServer, find_host

    host, looked = find_host()
    if host is None:
        pytest.skip(f"no ComfyUI found at {looked}")
    folder = tmp_path / "g-refine"
    for name in archive():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    recorded = json.loads((ROOT / "tests" / "host" / "object_info.json").read_text(encoding="utf-8"))
    with HostServer(host, tmp_path / "base", packs={"g-refine": folder}) as server:
        with urllib.request.urlopen(f"{server.url}/object_info", timeout=60) as answer:
            there = json.load(answer)
        for name in recorded:
            assert there[name]["python_module"] == "custom_nodes.g-refine"
            address = f"{server.url}/extensions/g-refine/docs/pictures/{name}.jpg"
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert answer.read(2) == b"\xff\xd8"
