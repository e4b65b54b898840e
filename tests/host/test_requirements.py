"""Installing the pack into the environment of a ComfyUI changes no version of what is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from grefine_core.engines.loading import how_to_install

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
#: The library's, which the nodes do without, which come with transformers, or which the pack asks for.
NOT_THE_HOSTS = {"diffusers", "huggingface-hub", "nltk", "open-clip-torch"}
#: A host as it was set up when 0.3.64 was new: transformers 4 does not start with huggingface_hub 1 or later.
WITH_TRANSFORMERS_4 = (
    *("torch==2.9.0", "torchvision==0.24.0", "torchaudio==2.9.0", "numpy==2.2.6", "pillow==11.3.0"),
    *("transformers==4.57.1", "huggingface_hub==0.36.0", "safetensors==0.6.2", "aiohttp==3.13.1"),
)


def name_of(requirement: str) -> str:
    """The package's name, in its normal form."""
    return re.split(r"[^A-Za-z0-9_.-]", requirement.strip())[0].lower().replace("_", "-")


def required(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name_of(line) for line in lines if line.strip() and not line.startswith("#")}


def test_the_host_brings_what_the_pack_does_not_ask_for(host_path):
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    of_the_host = required(host_path / "requirements.txt")
    assert {name_of(line) for line in needed} - NOT_THE_HOSTS <= of_the_host
    assert not required(ROOT / "requirements.txt") & of_the_host


class Environment:
    """An environment in which packages are installed by name only: enough for pip to decide what it would change."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.python = next(folder.glob("[bS]*/python*"))
        self.report = folder / "report.json"
        self.packages = next(p for p in folder.rglob("site-packages"))

    def would_install(self, *arguments: str) -> list[dict[str, Any]]:
        """The metadata of what pip would install; skips the test where there is no package index."""
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--dry-run", "--quiet"]
        done = subprocess.run([*command, "--report", str(self.report), *arguments], capture_output=True, text=True)
        if done.returncode and re.search(
            "NewConnectionError|ConnectTimeout|NameResolution|Failed to estab", done.stderr
        ):
            pytest.skip("no package index can be reached")
        assert done.returncode == 0, done.stderr
        return [item["metadata"] for item in json.loads(self.report.read_text(encoding="utf-8"))["install"]]

    def install(self, metadata: list[dict[str, Any]]) -> None:
        for package in metadata:
            folder = self.packages / f"{package['name'].replace('-', '_')}-{package['version']}.dist-info"
            folder.mkdir()
            lines = ["Metadata-Version: 2.1", f"Name: {package['name']}", f"Version: {package['version']}"]
            lines += [f"Requires-Dist: {line}" for line in package.get("requires_dist", [])]
            lines += [f"Provides-Extra: {line}" for line in package.get("provides_extra", [])]
            (folder / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
            (folder / "RECORD").touch()
            (folder / "INSTALLER").write_text("pip\n")


@pytest.mark.slow
@pytest.mark.parametrize("versions", [(), WITH_TRANSFORMERS_4], ids=["newest", "transformers 4"])
def test_nothing_of_the_host_changes(host_path, tmp_path, versions):
    environment = Environment(tmp_path / "environment")
    (tmp_path / "constraints.txt").write_text("\n".join(versions))
    host = ["-r", str(host_path / "requirements.txt"), "-c", str(tmp_path / "constraints.txt")]
    environment.install(environment.would_install(*host))
    there = {name_of(path.name.split("-")[0]) for path in environment.packages.glob("*.dist-info")}
    assert {"torch", "transformers", "huggingface-hub"} <= there

    ours = environment.would_install("-r", str(ROOT / "requirements.txt"))
    assert {"open-clip-torch", "nltk"} <= {name_of(package["name"]) for package in ours}
    assert there.isdisjoint(name_of(package["name"]) for package in ours)
    environment.install(ours)

    # And what the loaders of PASD and of diffusers pipelines tell to run, with the versions that are there.
    later = environment.would_install("diffusers>=0.30", *pinned(environment.packages))
    assert "diffusers" in {name_of(package["name"]) for package in later}
    assert there.isdisjoint(name_of(package["name"]) for package in later)


def pinned(packages: Path) -> list[str]:
    """What the loaders' command keeps, in that environment instead of this one."""
    kept = re.findall(r" ([A-Za-z_]+)==", how_to_install())
    assert "huggingface_hub" in kept
    return [
        f"{n}=={p.name.removesuffix('.dist-info').split('-')[1]}"
        for n in kept
        for p in packages.glob(f"{n}-*.dist-info")
    ]
