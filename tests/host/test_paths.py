"""A server that strangers reach: whatever they write where a file's name belongs, nothing outside is read or written.

The nodes run in the host's surroundings with an eye on every file that Python opens, and the same names go through the
real server's API.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..tiny_models import write_quality_model
from .client import PromptRejectedError

CODE = """
import asyncio, importlib, json, os, shutil, sys, tempfile
from pathlib import Path
import folder_paths, nodes, torch
torch.set_num_threads(1)
assert asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"])), "the pack did not load"
name = os.environ["GREFINE_PACK"].replace(".", "_x_")
part = lambda module: importlib.import_module(f"{name}.{module}")

base = Path(tempfile.mkdtemp())
inside, outside = base / "models" / "grefine", base / "secret"
part("tests.tiny_models").write_quality_model(inside)
part("tests.tiny_models").write_quality_model(outside)     # what would load, if only it were reached
part("tests.tiny_models").write_sdxl_inpaint_folder(outside / "pipeline")
(outside / "table.json").write_text("{}")
(inside / "sub").mkdir()
(inside / "notes.txt").write_text("not a model")
for kind in ("grefine", "diffusers", "checkpoints", "pasd"):
    folder_paths.add_model_folder_path(kind, str(inside if kind == "grefine" else base / "models" / kind))
    (base / "models" / kind).mkdir(exist_ok=True)
home = Path.home()

def ways_to(path):
    "Names that stand for `path`, or would, where something is too trusting."
    up = os.path.relpath(path, inside)
    return [
        str(path), up, "./" + up, "sub/../" + up, "sub/" + os.path.relpath(path, inside / "sub"), up.replace("/", "//"),
        up.replace("/", chr(92)), chr(92) + str(path), "sub" + chr(92) + ".." + chr(92) + up, "file://" + str(path),
        "~/" + os.path.relpath(path, home), "$HOME/" + os.path.relpath(path, home), up.replace(".", "%2e"),
        up.replace("..", "%2e%2e"), up.replace("/", "%2f"), up.replace("/", "\\u2215"), up.replace("/", "\\uff0f"),
        up.replace("..", "\\u2025"), up.replace(".", "\\uff0e"), up.replace("..", ".\\u200b."), up + chr(0),
        "clip.safetensors" + chr(0) + "/../" + up, " " + up, up + " ", up + "/.", "C:" + up, "C:" + str(path),
        "//localhost" + str(path), chr(92) * 2 + "?" + chr(92) + str(path), "\\u202e" + up[::-1], up.upper(),
        "/proc/self/root" + str(path), "a" * 5000 + "/" + up, "\\ud800/" + up,
    ]

opened = []
def watch(event, args):
    if event in ("open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir") and args and watching:
        try:
            opened.append(os.path.realpath(os.fsdecode(args[0])))
        except (TypeError, ValueError):
            pass
watching = False
sys.addaudithook(watch)

quality = part("nodes.quality_model").GRefineLoadQualityModel
good = dict(clip_name="clip.safetensors", architecture="auto", embeddings="pq_embeddings.safetensors",
            calibration="auto", resolution=0, device="cpu")
pipeline = part("nodes.diffusers").GRefineLoadInpaintPipeline
pasd = part("nodes.pasd").GRefineLoadPASD
settings = dict(precision="auto", device="cpu", cfg=5.0, conditioning_scale=1.0, process_size=64, added_noise_level=900,
                tile_size=256, color="wavelet", added_prompt="", negative_prompt="")
clip = outside / "clip.safetensors"
load = lambda **chosen: quality.execute(**{**good, **chosen})
targets = {
    "clip_name": (clip, lambda value: load(clip_name=value)),
    "embeddings": (outside / "pq_embeddings.safetensors", lambda value: load(embeddings=value)),
    "embeddings/": (outside, lambda value: load(embeddings=value + "/")),
    "calibration": (outside / "table.json", lambda value: load(calibration=value)),
    "alignment_encoder": (clip, lambda value: load(alignment_encoder=value)),
    "fingerprint": (clip, lambda value: quality.fingerprint_inputs(**{**good, "clip_name": value})),
    "validate": (clip, lambda value: quality.validate_inputs(value)),
    "pipeline": (outside / "pipeline", lambda value: pipeline.execute(value, "cpu")),
    "pasd": (outside, lambda value: pasd.execute(pasd=value, base="x", personalised="none", **settings)),
}
result = {"calls": 0, "took": [], "opened": [], "errors": []}
quality.execute(**good)
for what, (target, call) in targets.items():
    for value in ways_to(target):
        result["calls"] += 1
        opened.clear()
        watching = True
        try:
            with torch.inference_mode():
                answer = call(value)
            if what not in ("fingerprint", "validate"):
                result["took"].append([what, ascii(value)])
            elif answer in (True,) or "secret" in str(answer).replace(ascii(value)[1:-1], "").replace(value, ""):
                result["took"].append([what, ascii(value), ascii(answer)])
        except Exception as error:
            if type(error).__name__ != "InputError":
                result["errors"].append([what, ascii(value)[:200], f"{type(error).__name__}: {error}"[:300]])
        watching = False
        reached = [path for path in opened if path.startswith(os.path.realpath(outside))]
        result["opened"] += [[what, ascii(value), path] for path in reached]

refused = []
for value in ("notes.txt", "sub", ".", "./clip.safetensors", "CLIP.safetensors", "clip.safetensors/"):
    try:
        quality.execute(**{**good, "clip_name": value})
    except part("grefine_core.errors").InputError:
        refused.append(value)
result["refused"] = refused
(inside / "on another disk").symlink_to(outside, target_is_directory=True)
result["the owner's link"] = quality.execute(**{**good, "clip_name": "on another disk/clip.safetensors"}) is not None
print("RESULT", json.dumps(result))
"""


@pytest.fixture(scope="module")
def result(host_run) -> dict[str, Any]:
    return json.loads(host_run(CODE).split("RESULT ", 1)[1])


def test_no_name_leads_out_of_the_model_folders(result):
    assert result["calls"] > 250
    assert result["took"] == []
    assert result["opened"] == []


def test_each_is_refused_in_plain_words(result):
    assert result["errors"] == []


def test_only_what_the_host_lists_is_loaded(result):
    assert result["refused"] == ["notes.txt", "sub", ".", "./clip.safetensors", "CLIP.safetensors", "clip.safetensors/"]


def test_what_the_owner_has_linked_into_a_folder_works(result):
    """Models often lie on another disk. Strangers cannot make links through the API."""
    assert result["the owner's link"] is True


@pytest.mark.parametrize("name", ["clip_name", "embeddings", "calibration"])
def test_the_server_refuses_as_well(client, host_server, name):
    folder = host_server.models_dir / "grefine"
    write_quality_model(folder / "paths")
    outside = host_server.base / "secret"
    write_quality_model(outside)
    inputs = {
        "clip_name": "paths/clip.safetensors",
        "architecture": "auto",
        "embeddings": "paths/pq_embeddings.safetensors",
        "calibration": "auto",
        "resolution": 0,
        "device": "cpu",
    }
    picture = {"width": 16, "height": 16, "batch_size": 1, "color": 0}
    ways = {"formula": "paper", "importance_technical": 1.0, "importance_rational": 1.0, "importance_natural": 1.0}

    def graph(value: str) -> dict[str, Any]:
        return {
            "1": {"class_type": "GRefineLoadQualityModel", "inputs": {**inputs, name: value}},
            "2": {"class_type": "EmptyImage", "inputs": picture},
            "3": {"class_type": "GRefinePQMap", "inputs": {"image": ["2", 0], "quality_model": ["1", 0], **ways}},
            "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 2]}},
        }

    client.run(graph(inputs[name])).ok()
    for value in (
        "../../secret/clip.safetensors",
        str(outside / "clip.safetensors"),
        "..\\..\\secret\\clip.safetensors",
    ):
        try:
            run = client.run(graph(value))
        except PromptRejectedError:
            continue
        assert run.status == "error"
        assert f"{name}: " in run.error_text
