"""What the package promises to whoever installs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
HEAVY = (
    "diffusers",
    "transformers",
    "open_clip",
    "timm",
    "nltk",
    "kornia",
    "scipy",
    "matplotlib",
    "PIL",
    "safetensors",
)


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


#: What ComfyUI-Manager is to install where a host lives. Anything more could change what is there:
#: the newest diffusers replaces the huggingface_hub that a transformers 4 needs, and the host no longer starts.
FOR_THE_HOST = ["open_clip_torch", "nltk"]


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_.-]", requirement)[0]


def test_requirements_are_in_step_with_the_package():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert listed == [line for line in project()["dependencies"] if name_of(line) in FOR_THE_HOST]
    assert [name_of(line) for line in listed] == FOR_THE_HOST


def test_nothing_is_pinned_only_lower_bounds():
    for requirement in project()["dependencies"]:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+>=[0-9.]+", requirement), requirement


def test_version_is_stated_once_and_the_same():
    import grefine_core

    assert grefine_core.__version__ == project()["version"]


def modules() -> list[str]:
    found = []
    for path in sorted([*(ROOT / "grefine_core").rglob("*.py"), *(ROOT / "grefine_research").rglob("*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] in ("__init__", "__main__"):
            parts = parts[:-1]
        found.append(".".join(parts))
    return sorted(set(found))


def test_importing_any_module_loads_nothing_heavy_and_no_host():
    code = (
        "import sys, importlib, torch\n"
        "before = set(sys.modules)\n"
        f"for name in {modules()!r}: importlib.import_module(name)\n"
        "new = {n.split('.')[0] for n in set(sys.modules) - before}\n"
        f"print(sorted(new & set({HEAVY!r}) | new & {{'comfy', 'folder_paths', 'nodes', 'comfy_api'}}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "docs")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_every_public_name_resolves():
    import grefine_core

    assert [name for name in grefine_core.__all__ if not callable(getattr(grefine_core, name))] == []


def test_submodules_are_attributes_without_an_import_of_their_own():
    code = (
        "import grefine_core as g\n"
        "from grefine_core import alignment, emphasis, masks, perceptual, quality_model, refine, surgery, syntax\n"
        "print(callable(g.surgery.encode_image), callable(g.perceptual.load_embeddings), callable(g.cli.main))\n"
        "print(all(hasattr(g, name) for name in dir(g)), hasattr(g, 'nothing_of_the_kind'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "docs", check=True)
    assert done.stdout.split() == ["True", "True", "True", "True", "False"]


def test_tests_do_not_put_the_repository_on_the_path():
    # `nodes` is also a module of the host: with the root on sys.path, the host would import ours.
    assert str(ROOT) not in [str(Path(p).resolve()) for p in sys.path if p]
