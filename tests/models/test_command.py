"""``grefine models`` as a user types it, against a small hub on this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from grefine_core import models
from grefine_core.cli import main
from grefine_core.models import NEEDED, REGISTRY, entry_of, finding, needed_by
from grefine_core.models import registry as needs

from .hub import DATA, ENTRY

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
FILES = (".safetensors", ".pt", ".ckpt", ".sft", ".gguf")


@pytest.fixture
def known(monkeypatch):
    """Two small models that a workflow needs, in folders of two kinds."""
    first = replace(ENTRY, id="tiny-unet", folder="diffusion_models", names=("tiny-unet.safetensors",))
    second = replace(ENTRY, id="tiny-vae", folder="vae", names=("tiny-vae.safetensors", "other.safetensors"))
    registry = (*REGISTRY, first, second)
    monkeypatch.setattr(models.registry, "REGISTRY", registry)
    monkeypatch.setattr(finding, "REGISTRY", registry)
    monkeypatch.setattr(models, "REGISTRY", registry, raising=False)
    monkeypatch.setitem(needs.NEEDED, "grefine_tiny", ("tiny-unet", "tiny-vae"))


@pytest.fixture
def host(tmp_path):
    folder = tmp_path / "ComfyUI"
    (folder / "models").mkdir(parents=True)
    (folder / "extra_model_paths.yaml").write_text(
        f"mine:\n  is_default: true\n  base_path: {tmp_path}/disk\n  vae: vaes\n", encoding="utf-8"
    )
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_everything_for_a_workflow_goes_where_the_host_looks(known, server, host, tmp_path, capsys):
    assert main(["models", "list", "--for", "tiny", "--host", str(host)]) == 0
    told = capsys.readouterr().out
    assert "Missing: 2 of 2" in told
    assert f"grefine models download --for tiny --host {host}" in told
    assert main(["models", "download", "--for", "tiny", "--host", str(host)]) == 0
    placed = ["ComfyUI/extra_model_paths.yaml", "ComfyUI/models/diffusion_models/tiny-unet.safetensors"]
    assert files(tmp_path) == [*placed, "disk/vaes/tiny-vae.safetensors"]
    assert "hash not recorded" in capsys.readouterr().out
    assert main(["models", "list", "--for", "grefine_tiny", "--host", str(host), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [Path(row["path"]).name for row in rows] == ["tiny-unet.safetensors", "tiny-vae.safetensors"]
    assert main(["models", "verify", "--for", "tiny", "--host", str(host)]) == 0


def test_what_is_there_is_not_fetched_again(known, server, host, capsys):
    other = host / "models" / "vae" / "other.safetensors"
    other.parent.mkdir()
    other.write_bytes(DATA)
    assert main(["models", "download", "--for", "tiny", "--host", str(host)]) == 0
    assert f"{other}: is there already" in capsys.readouterr().out
    assert len(server.seen) == 1
    assert main(["models", "download", "--for", "tiny", "--host", str(host)]) == 0
    assert len(server.seen) == 1


def test_a_broken_download_is_continued_by_the_same_command(known, server, host, capsys):
    command = ["models", "download", "tiny-vae", "--host", str(host)]
    server.stop_after = 100_000
    assert main(command) == 1
    assert "again to continue" in capsys.readouterr().err
    server.stop_after = None
    assert main(command) == 0
    assert server.seen == [None, "bytes=100000-"]


def test_one_that_cannot_be_fetched_does_not_keep_the_others(known, server, host, capsys):
    first = host / "models" / "diffusion_models" / "tiny-unet.safetensors"
    first.mkdir(parents=True)  # no file can get that name
    assert main(["models", "download", "--for", "tiny", "--host", str(host), "--json"]) == 1
    told = capsys.readouterr()
    assert "tiny-unet.safetensors: is there already" in told.err
    rows = json.loads(told.out)
    assert "error" in rows[0]
    assert Path(rows[1]["path"]).read_bytes() == DATA


def test_one_that_is_missing_or_wrong_fails(known, host, capsys):
    assert main(["models", "verify", "tiny-vae", "--host", str(host)]) == 1
    told = capsys.readouterr().out
    assert all(str(folder) in told for folder in (host / "models" / "vae", host.parent / "disk" / "vaes"))
    assert "grefine models download tiny-vae" in told
    place = host / "models" / "vae" / "tiny-vae.safetensors"
    place.parent.mkdir()
    place.write_bytes(DATA[:1000])
    assert main(["models", "verify", "--host", str(host)]) == 1
    assert "WRONG tiny-vae" in capsys.readouterr().out


def test_nothing_named_is_wrong_usage(capsys):
    assert main(["models", "download"]) == 2
    assert main(["models", "list", "--for", "nonsense"]) == 1
    assert "grefine_sdxl_inpainting" in capsys.readouterr().err
    assert main(["models", "list", "--host", "/nowhere"]) == 1
    assert "no ComfyUI there" in capsys.readouterr().err


def test_a_host_is_found_by_itself(known, host, monkeypatch, capsys):
    monkeypatch.setenv("COMFYUI_PATH", str(host))
    assert main(["models", "list", "--host"]) == 1  # named, but not one
    assert f"COMFYUI_PATH={host}" in capsys.readouterr().err
    for name in ("main.py", "folder_paths.py"):
        (host / name).touch()
    (host / "comfy").mkdir()
    assert main(["models", "list", "--host"]) == 0
    assert str(host / "models" / "diffusion_models") in capsys.readouterr().out


def test_every_workflow_is_known_and_none_else():
    assert sorted(NEEDED) == WORKFLOWS
    assert set(needs.OWN) <= set(NEEDED)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_asks_for_the_files_that_a_download_brings(name):
    """The names in its loaders are those under which the files are saved."""
    api = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    values = [str(value) for node in api.values() for value in node["inputs"].values() if isinstance(value, str)]
    asked = {value for value in values if value.lower().endswith(FILES)}
    brought = {entry.names[0] for entry in needed_by(name)}
    own = needs.own_of(name) or ""
    unknown = {each for each in asked - brought if each not in own and not each.startswith("your_")}
    assert not unknown
    assert not any(each.startswith("your_") for each in asked) or "of yours" in own
    # PASD's loader asks for the folder of both its files.
    assert {each for each in brought - asked if not any(value and value in each for value in values)} == set()


def test_every_entry_belongs_into_a_folder_of_the_host():
    kinds = {"grefine", "pasd", "checkpoints", "diffusion_models", "text_encoders", "vae", "controlnet", "loras"}
    assert {entry.folder for entry in REGISTRY} <= kinds
    assert entry_of("sdxl-vae").folder == "vae"
