"""What is built from the source archive, installed where no repository is, works from an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import grefine_core

ROOT = Path(__file__).parents[2]
NAME = f"g_refine-{grefine_core.__version__}"
MINIATURE = "grefine_core/miniature/weights"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with the source archive, and with the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


class Installed:
    """The wheel in an environment of its own, which borrows everything else from this one."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder / "environment", with_pip=False)
        self.bin = next((folder / "environment").glob("[bS][ic][nr]*"))
        self.packages = next((folder / "environment").rglob("site-packages"))
        # A folder named in a .pth file is searched after the environment's own, and its own .pth files, this
        # repository's among them, are not followed.
        (self.packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.empty = folder / "empty"
        self.empty.mkdir()
        command = [sys.executable, "-m", "pip", "--python", str(next(self.bin.glob("python*"))), "install", "--quiet"]
        subprocess.run([*command, "--no-index", "--no-deps", "--ignore-installed", str(wheel)], check=True)

    def grefine(self, *arguments: str) -> str:
        """Run the command in the empty folder, which holds no model either; returns what it prints."""
        surroundings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "COMFYUI_PATH")}
        surroundings |= {"HOME": str(self.empty.parent), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [str(next(self.bin.glob("grefine*"))), *arguments],
            capture_output=True,
            text=True,
            cwd=self.empty,
            env=surroundings,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def models(self) -> list[str]:
        """The options that name the small models that come along."""
        weights = self.packages / MINIATURE
        return ["--clip", str(weights / "clip.safetensors"), "--embeddings", str(weights / "pq_embeddings.safetensors")]


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Installed:
    (wheel,) = built.glob("*.whl")
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def test_wheel_holds_the_library_and_research_alone(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"grefine_core", "grefine_research", f"{NAME}.dist-info"}
    packages = (ROOT / "grefine_core", ROOT / "grefine_research")
    files = [path for package in packages for path in package.rglob("*") if path.is_file()]
    data = [path for path in files if "__pycache__" not in path.parts]
    assert len(data) > 100
    assert {path.relative_to(ROOT).as_posix() for path in data} <= set(names)
    assert {f"{NAME}.dist-info/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= set(names)


def test_source_archive_holds_no_more(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.split("/")[1] for name in opened.getnames() if "/" in name}
    expected = {"LICENSE", "NOTICE", "README.md", "pyproject.toml", "PKG-INFO", "setup.cfg"}
    assert names == expected | {"grefine_core", "grefine_research", "g_refine.egg-info"}


def test_score_without_the_repository(installed):
    Image.effect_noise((96, 80), 60).convert("RGB").save(installed.empty / "picture.png")
    printed = installed.grefine("score", "picture.png", "--prompt", "a red cup", *installed.models, "--json")
    assert [0 <= scores["perceptual"] <= 1 for scores in json.loads(printed)] == [True]
    (installed.empty / "picture.png").unlink()


@pytest.mark.slow
def test_every_command_without_the_repository(installed):
    assert "score pictures" in installed.grefine("--help")
    assert str(installed.packages) in installed.grefine("models", "list")  # the embeddings that come along
    assert "refined.png" in installed.grefine("demo")
    (picture,) = (installed.empty / "grefine-output").glob("miniature-??.png")
    installed.grefine("maps", str(picture), "--prompt", "a fish", *installed.models, "-o", "maps")
    assert len(list((installed.empty / "maps").glob("*.png"))) >= 5
