"""The command line looks, and puts files, where the ComfyUI beside it does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from grefine_core.comfyui.host_server import find_host
from grefine_core.errors import InputError, ModelFileError
from grefine_core.models import (
    check_host,
    download_folder,
    entry_of,
    finding,
    host_model_folders,
    list_models,
    locate,
    model_folders,
)

SETTINGS = """
big_disk:
    base_path: {base}
    checkpoints: models/sd/
    vae: models/vae
    unet: models/unets
    clip: |
        models/texts
        models/more
    grefine: quality
other_ui:
    is_default: true
    base_path: ../elsewhere
    checkpoints: a
    vae: |
        b
        c
nothing:
"""
HOST = find_host()[0]  # now: tests have no home of their own
KINDS = ("checkpoints", "vae", "diffusion_models", "text_encoders")


def make_host(folder: Path) -> None:
    """What a ComfyUI is known by."""
    (folder / "comfy").mkdir(parents=True)
    for name in ("main.py", "folder_paths.py"):
        (folder / name).touch()


@pytest.fixture
def host(tmp_path: Path) -> Path:
    folder = tmp_path / "ComfyUI"
    (folder / "models").mkdir(parents=True)
    (folder / "extra_model_paths.yaml").write_text(SETTINGS.format(base=tmp_path / "disk"), encoding="utf-8")
    return folder


def test_folders_of_a_host_with_settings(host, tmp_path):
    disk, elsewhere, own = tmp_path / "disk", tmp_path / "elsewhere", host / "models"
    assert host_model_folders(host, "checkpoints") == [elsewhere / "a", own / "checkpoints", disk / "models/sd"]
    assert host_model_folders(host, "vae") == [elsewhere / "c", elsewhere / "b", own / "vae", disk / "models/vae"]
    assert host_model_folders(host, "diffusion_models") == [
        own / "diffusion_models",
        own / "unet",
        disk / "models/unets",
    ]
    assert host_model_folders(host, "text_encoders")[2:] == [disk / "models/texts", disk / "models/more"]
    assert host_model_folders(host, "pasd") == [own / "pasd"]


def test_folders_of_a_host_without_settings(tmp_path):
    assert host_model_folders(tmp_path, "vae") == [tmp_path / "models" / "vae"]


def test_settings_that_cannot_be_read_are_named(host):
    (host / "extra_model_paths.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"extra_model_paths\.yaml.*YAML"):
        host_model_folders(host, "vae")


def test_a_folder_that_is_no_host(tmp_path):
    with pytest.raises(InputError, match=r"--host.*no ComfyUI"):
        check_host(tmp_path)
    (tmp_path / "models").mkdir()
    assert check_host(tmp_path) == tmp_path


@pytest.mark.skipif(HOST is None, reason="no ComfyUI found")
def test_the_host_itself_reads_its_settings_in_the_same_way(tmp_path):
    """The real loader of extra_model_paths.yaml, on the same file."""
    settings = tmp_path / "extra_model_paths.yaml"
    settings.write_text(SETTINGS.format(base=tmp_path / "disk"), encoding="utf-8")
    code = (
        "import sys, json; sys.argv = ['main.py', '--cpu']; sys.path.insert(0, '.')\n"
        "from utils.extra_config import load_extra_path_config as load\n"
        "import folder_paths\n"
        f"load({str(settings)!r})\n"
        f"print(json.dumps({{kind: folder_paths.get_folder_paths(kind) for kind in {KINDS!r}}}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HOST, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.splitlines()[-1])
    for kind in KINDS:
        ours = [str(path) for path in host_model_folders(tmp_path, kind)]
        outside = [path for path in theirs[kind] if Path(path).parent != Path(str(HOST)) / "models"]
        assert [path for path in ours if not path.startswith(str(tmp_path / "models"))] == outside, kind
        assert {Path(path).name for path in ours} == {Path(path).name for path in theirs[kind]}, kind


def test_files_are_found_where_their_kind_belongs(host, tmp_path):
    unet, checkpoint = entry_of("sdxl-inpainting-unet"), entry_of("sd15-checkpoint")
    assert locate(unet, host=host) is None
    place = tmp_path / "disk" / "models" / "unets" / unet.names[0]
    place.parent.mkdir(parents=True)
    place.touch()
    assert locate(unet, host=host) == place
    assert {found.entry.id for found in list_models(host=host) if found.path} == {"pq-embeddings", unet.id}
    assert download_folder(checkpoint, host) == tmp_path / "elsewhere" / "a"
    assert download_folder(unet, host) == host / "models" / "diffusion_models"


def test_what_lies_in_the_comfyui_around_the_pack_is_found(tmp_path, monkeypatch):
    module = tmp_path / "custom_nodes" / "g-refine" / "grefine_core" / "models" / "finding.py"
    monkeypatch.setattr(finding, "__file__", str(module))
    own = tmp_path / "models" / "grefine"
    assert own not in model_folders()
    make_host(tmp_path)
    assert own in model_folders()
    # Nothing is put there unasked.
    assert download_folder(entry_of("clip-vit-b-16")) == Path.home() / ".cache" / "grefine" / "models"


@pytest.mark.parametrize("named", ["by the link", "by what it leads to"])
def test_links_lead_into_a_comfyui_or_out_of_it(tmp_path, monkeypatch, named):
    """A clone that custom_nodes links to; and a link from elsewhere to one that lies there."""
    comfyui = tmp_path / "ComfyUI"
    make_host(comfyui)
    inside, outside = comfyui / "custom_nodes" / "g-refine", tmp_path / "clone"
    pack, link = (outside, inside) if named == "by the link" else (inside, outside)
    (pack / "grefine_core" / "models").mkdir(parents=True)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(pack, target_is_directory=True)
    monkeypatch.setattr(finding, "__file__", str(link / "grefine_core" / "models" / "finding.py"))
    assert comfyui / "models" / "grefine" in model_folders()
    assert find_host(link)[0] == comfyui


def test_the_environment_names_a_host(host, tmp_path, monkeypatch):
    vae = entry_of("sdxl-vae")
    cache = Path.home() / ".cache" / "grefine" / "models"
    assert download_folder(vae) == cache
    monkeypatch.setenv("COMFYUI_PATH", str(host))
    assert download_folder(vae) == tmp_path / "elsewhere" / "c"
    assert model_folders() == [host / "models" / "grefine", tmp_path / "disk" / "quality", cache]
    monkeypatch.setenv("GREFINE_MODELS", str(tmp_path / "mine"))
    assert download_folder(vae) == tmp_path / "mine"
    assert download_folder(vae, host) == tmp_path / "elsewhere" / "c"
