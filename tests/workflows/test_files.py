"""The shipped workflow files, without a host: against what the nodes looked like when they were recorded."""

from __future__ import annotations

import copy
import importlib
import json
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from grefine_core.comfyui.workflow import check_workflow, set_picture, set_prompt
from grefine_core.miniature.loading import SHIPPED, default_guidance
from grefine_core.miniature.world import EXAMPLE, SIDE
from grefine_core.models.registry import REGISTRY
from grefine_core.pictures import load_picture

from .checks import api_problems, to_api, ui_problems

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "workflows"
NAMES = [
    "grefine_flux_fill",
    "grefine_maps_only",
    "grefine_miniature",
    "grefine_ordinary_checkpoint",
    "grefine_score_gated_batch",
    "grefine_score_only",
    "grefine_sd15_inpainting",
    "grefine_sdxl_inpainting",
    "grefine_sdxl_inpainting_pasd",
    "grefine_sdxl_supir",
]
# Not fetched by the download command: the user's own, and a model whose tensors nobody here has seen.
NOT_DOWNLOADED = {"your_checkpoint.safetensors", "SUPIR-v0Q_fp16.safetensors"}


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    """What the host and the pack said of their nodes."""
    return load(Path(__file__).parent / "host_nodes.json") | load(ROOT / "tests" / "host" / "object_info.json")


@pytest.fixture(params=NAMES)
def ui(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(FOLDER / f"{request.param}.json")


@pytest.fixture(params=NAMES)
def api(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(FOLDER / "api" / f"{request.param}.json")


def test_the_folder_holds_these_workflows_in_both_formats():
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == NAMES
    assert sorted(path.stem for path in (FOLDER / "api").glob("*.json")) == NAMES


def test_the_files_are_what_the_script_builds():
    script = ROOT / "tools" / "build_workflows.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_notices_and_mends_an_old_file(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    script = importlib.import_module("build_workflows")
    where = ["--output", str(tmp_path)]
    assert script.main([*where, "--check"]) == 1
    assert list(tmp_path.iterdir()) == []
    assert script.main(where) == 0
    spoiled = tmp_path / "workflows" / "grefine_maps_only.json"
    spoiled.write_text("{}", encoding="utf-8")
    capsys.readouterr()
    assert script.main([*where, "--check"]) == 1
    assert capsys.readouterr().out.count("out of date") == 1
    assert script.main(where) == 0
    assert spoiled.read_bytes() == (FOLDER / "grefine_maps_only.json").read_bytes()


def test_the_editors_file_is_sound(ui, info):
    assert ui_problems(ui, info) == []


def test_the_api_file_is_sound(api, info):
    assert api_problems(check_workflow(api), info) == []


def plain(api: dict[str, Any]) -> dict[str, Any]:
    return {node_id: (node["class_type"], node["inputs"]) for node_id, node in api.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_editors_file_converts_to_the_api_file(name, info):
    ui, api = load(FOLDER / f"{name}.json"), load(FOLDER / "api" / f"{name}.json")
    assert to_api(ui, info) == plain(api)
    assert [node["_meta"]["title"] for node in api.values()] == [
        node.get("title", info[node["type"]]["display_name"]) for node in ui["nodes"] if node["type"] != "MarkdownNote"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_nodes_own_title_is_left_to_the_editor(name, info):
    """The editor writes it in the user's language where the file has none, and keeps what the file says otherwise."""
    nodes = [node for node in load(FOLDER / f"{name}.json")["nodes"] if node["type"] != "MarkdownNote"]
    assert not [node for node in nodes if node.get("title") == info[node["type"]]["display_name"]]
    assert [node for node in nodes if "title" not in node]


@pytest.mark.parametrize("name", NAMES)
def test_comfy_cli_converts_it_to_the_same(name, info):
    """An implementation that is not ours."""
    conversion = pytest.importorskip("comfy_cli.workflow_to_api", reason="COMFY-CLI MISSING: no second conversion")
    converted = conversion.convert_ui_to_api(load(FOLDER / f"{name}.json"), info)
    assert plain(converted) == plain(load(FOLDER / "api" / f"{name}.json"))


def test_picture_and_prompt_can_be_put_in(api):
    changed = set_prompt(set_picture(api, "mine.png"), "a red boat")
    assert sum(node["inputs"].get("image") == "mine.png" for node in changed.values()) == 1
    assert sum(node["inputs"].get("value") == "a red boat" for node in changed.values()) == 1


def test_file_names_are_those_of_the_download_command_and_explained_in_a_note(ui):
    names = {entry.names[0] for entry in REGISTRY} | NOT_DOWNLOADED
    notes = "\n".join(node["widgets_values"][0] for node in ui["nodes"] if node["type"] == "MarkdownNote")
    used = {
        value
        for node in ui["nodes"]
        if node["type"] != "MarkdownNote"
        for value in node["widgets_values"]
        if isinstance(value, str) and value.endswith(".safetensors")
    }
    assert bool(used) != any(node["type"] == "GRefineLoadMiniature" for node in ui["nodes"])
    assert used <= names
    for name in used - {"your_checkpoint.safetensors"}:
        assert f"`{name}`" in notes


def test_the_miniature_workflow_fits_the_miniature_models():
    """Its picture and prompt are those that ship, its sizes and guidance those of the library's own engine."""
    api = load(FOLDER / "api" / "grefine_miniature.json")
    inputs = {node["class_type"]: node["inputs"] for node in api.values()}
    assert inputs["LoadImage"]["image"] == EXAMPLE.name
    assert inputs["PrimitiveStringMultiline"]["value"] == load_picture(EXAMPLE).text["parameters"]
    assert inputs["GRefineStage1Inpaint"]["min_side"] == inputs["GRefineStage1Inpaint"]["native_side"] == SIDE
    assert inputs["GRefineStage1Inpaint"]["cfg"] == default_guidance(SHIPPED)
    loader = next(node_id for node_id, node in api.items() if node["class_type"] == "GRefineLoadMiniature")
    assert inputs["GRefineStage2Restore"]["restorer"] == [loader, 4]
    assert inputs["GRefineStage2Restore"]["prompt"] == inputs["GRefineAQMap"]["prompt"]


def test_the_pasd_workflow_restores_by_pasd_with_the_prompt_as_caption():
    api = load(FOLDER / "api" / "grefine_sdxl_inpainting_pasd.json")
    inputs = {node["class_type"]: node["inputs"] for node in api.values()}
    loader = next(node_id for node_id, node in api.items() if node["class_type"] == "GRefineLoadPASD")
    assert inputs["GRefineStage2Restore"]["restorer"] == [loader, 0]
    assert inputs["GRefineStage2Restore"]["prompt"] == inputs["GRefineAQMap"]["prompt"]
    assert "GRefineRestorerFromModel" not in inputs
    # Where the download command puts the weights is where the loader looks for them.
    folder = f"{inputs['GRefineLoadPASD']['pasd']}/unet"
    assert folder in {str(PurePosixPath(entry.names[0]).parent) for entry in REGISTRY}
    without = {**api, loader: {"inputs": {}, "class_type": "", "_meta": {}}}
    plain_graph = load(FOLDER / "api" / "grefine_sdxl_inpainting.json")
    kinds = [sorted(node["class_type"] for node in graph.values()) for graph in (without, plain_graph)]
    assert [kind for kind in kinds[0] if kind] == [kind for kind in kinds[1] if kind != "GRefineRestorerFromModel"]


def test_every_plan_is_given_the_worst_region_of_the_same_map(api):
    for node in api.values():
        if node["class_type"] == "GRefinePlan":
            source, slot = node["inputs"]["worst_region"]
            assert source == node["inputs"]["perceptual_score"][0]
            assert (api[source]["class_type"], slot) == ("GRefinePQMap", 8)
            assert "region_bar" in node["inputs"]


def test_pictures_go_through_one_at_a_time(api):
    """So that every picture gets its own prompt: the pack's nodes get them from Rebatch Images alone."""
    together = {"LoadImage", "ImageBlur", "ImageBatch"}
    singled = [node for node in api.values() if node["class_type"] == "RebatchImages"]
    assert [node["inputs"]["batch_size"] for node in singled] == [1]
    assert api[singled[0]["inputs"]["images"][0]]["class_type"] in together
    for node in api.values():
        sources = {api[value[0]]["class_type"] for value in node["inputs"].values() if isinstance(value, list)}
        assert not (sources & together) or node["class_type"] in {"RebatchImages", *together}


# The checks themselves: each kind of damage must be noticed.


def damaged(ui: dict[str, Any], how: str) -> None:
    nodes = {node["type"]: node for node in ui["nodes"]}
    if how == "a widget value too many":
        nodes["GRefineStage1Inpaint"]["widgets_values"].insert(0, 1)
    elif how == "no control after the seed":
        nodes["GRefineStage2Restore"]["widgets_values"].remove("fixed")
    elif how == "no upload value":
        nodes["LoadImage"]["widgets_values"].pop()
    elif how == "a wrong type in a link":
        ui["links"][5][5] = "LATENT"
    elif how == "a link that ends elsewhere":
        ui["links"][5][4] += 1
    elif how == "nodes over each other":
        nodes["VAELoader"]["pos"] = list(nodes["UNETLoader"]["pos"])
    elif how == "a value out of range":
        nodes["GRefinePlan"]["widgets_values"][1] = 2.5
    elif how == "an unknown node":
        nodes["RebatchImages"]["type"] = "Rebatch"
    elif how == "a missing link":
        nodes["GRefineStage1Inpaint"]["inputs"][0]["link"] = None


@pytest.mark.parametrize(
    "how",
    [
        "a widget value too many",
        "no control after the seed",
        "no upload value",
        "a wrong type in a link",
        "a link that ends elsewhere",
        "nodes over each other",
        "a value out of range",
        "an unknown node",
        "a missing link",
    ],
)
def test_damage_to_the_editors_file_is_noticed(info, how):
    ui = load(FOLDER / "grefine_sdxl_inpainting.json")
    damaged(ui, how)
    assert ui_problems(ui, info) != []


def test_damage_to_the_api_file_is_noticed(info):
    good = load(FOLDER / "api" / "grefine_sdxl_inpainting.json")
    stage1 = next(node_id for node_id, node in good.items() if node["class_type"] == "GRefineStage1Inpaint")
    vae = good[stage1]["inputs"]["vae"]
    changes = {"vae": good[stage1]["inputs"]["model"], "image": ["999", 0], "strength": 3.0, "cfg": "six", "nothing": 1}
    for key, value in {**changes, "model": 1, "positive": [vae[0], 7]}.items():
        bad = copy.deepcopy(good)
        bad[stage1]["inputs"][key] = value
        assert any(f".{key}:" in problem for problem in api_problems(bad, info)), key
    del good[stage1]["inputs"]["image"]
    assert any("image is missing" in problem for problem in api_problems(good, info))
