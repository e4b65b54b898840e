"""Where diffusers is missing, as in a ComfyUI, the loaders say how to install one that changes nothing else."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version

import pytest

from grefine_core.engines import load_inpaint_pipeline
from grefine_core.engines.loading import need_diffusers
from grefine_core.engines.pasd import load_pasd
from grefine_core.errors import InputError


def test_it_is_found():
    need_diffusers("PASD")


@pytest.fixture
def without_diffusers(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)


def test_the_command_keeps_what_is_there(without_diffusers):
    with pytest.raises(InputError, match="PASD needs the package diffusers") as caught:
        need_diffusers("PASD")
    command = str(caught.value).split(": ", 1)[1]
    assert f'"{sys.executable}" -m pip install "diffusers>=0.30"' in command
    assert dict(re.findall(r"(\w+)==(\S+)", command))["huggingface_hub"] == version("huggingface_hub")


def test_both_loaders_say_so(without_diffusers, tmp_path):
    with pytest.raises(InputError, match="inpainting pipeline needs the package diffusers"):
        load_inpaint_pipeline(tmp_path)
    with pytest.raises(InputError, match="PASD needs the package diffusers"):
        load_pasd(tmp_path, tmp_path)


def test_a_damaged_diffusers_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "diffusers.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [n for n in sys.modules if n.split(".")[0] == "diffusers"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        need_diffusers("PASD")
