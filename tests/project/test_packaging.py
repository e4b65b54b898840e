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


def test_requirements_are_in_step_with_the_package():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == project()["dependencies"]


def test_nothing_is_pinned_only_lower_bounds():
    for requirement in project()["dependencies"]:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+>=[0-9.]+", requirement), requirement


def test_version_is_stated_once_and_the_same():
    import grefine_core

    assert grefine_core.__version__ == project()["version"]


def modules() -> list[str]:
    package = ROOT / "grefine_core"
    found = []
    for path in sorted(package.rglob("*.py")):
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
        "print(callable(g.surgery.encode_image), callable(g.perceptual.load_embeddings), callable(g.cli.main))\n"
        "print(all(hasattr(g, name) for name in dir(g)), hasattr(g, 'nothing_of_the_kind'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "docs", check=True)
    assert done.stdout.split() == ["True", "True", "True", "True", "False"]


def test_tests_do_not_put_the_repository_on_the_path():
    # `nodes` is also a module of the host: with the root on sys.path, the host would import ours.
    assert str(ROOT) not in [str(Path(p).resolve()) for p in sys.path if p]


def test_wheel_holds_the_library_alone(tmp_path):
    import zipfile

    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"grefine_core", f"{wheel.name.split('-')[0]}-{project()['version']}.dist-info"}
    data = [path for path in (ROOT / "grefine_core").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert len(data) > 100
    assert {path.relative_to(ROOT).as_posix() for path in data} <= set(names)
