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

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from .checks import VIRTUAL, api_problems
from .subgraphs import declared, definitions, to_api, workflow_problems

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "workflows"
NAMES = [
    "grefine_1_start_here",
    "grefine_flux2_klein_edit",
    "grefine_flux_fill",
    "grefine_maps_only",
    "grefine_ordinary_checkpoint",
    "grefine_qwen_image_edit",
    "grefine_qwen_image_inpainting",
    "grefine_score_gated_batch",
    "grefine_score_only",
    "grefine_sd15_inpainting",
    "grefine_sdxl_inpainting",
    "grefine_sdxl_inpainting_pasd",
    "grefine_sdxl_supir",
    "grefine_z_image_turbo",
    "grefine_z_image_turbo_seedvr2",
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


@pytest.mark.slow
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
    assert workflow_problems(ui, info) == []


def test_the_api_file_is_sound(api, info):
    assert api_problems(check_workflow(api), info) == []


def all_nodes(ui: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a workflow and of its subgraphs, without notes and without those that stand for subgraphs."""
    known = definitions(ui)
    graphs = (ui, *known.values())
    return [n for graph in graphs for n in graph["nodes"] if n["type"] not in VIRTUAL and n["type"] not in known]


def plain(api: dict[str, Any]) -> dict[str, Any]:
    return {node_id: (node["class_type"], node["inputs"]) for node_id, node in api.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_editors_file_converts_to_the_api_file(name, info):
    ui, api = load(FOLDER / f"{name}.json"), load(FOLDER / "api" / f"{name}.json")
    assert to_api(ui, info) == plain(api)
    assert sorted(node["_meta"]["title"] for node in api.values()) == sorted(
        node.get("title", info[node["type"]]["display_name"]) for node in all_nodes(ui)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_nodes_own_title_is_left_to_the_editor(name, info):
    """The editor writes it in the user's language where the file has none, and keeps what the file says otherwise."""
    nodes = all_nodes(load(FOLDER / f"{name}.json"))
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
    used = files_of(ui)
    assert bool(used) != any(node["type"] == "GRefineLoadMiniature" for node in all_nodes(ui))
    assert used <= names
    for name in used:
        assert name in notes.replace("\\", "")


def files_of(ui: dict[str, Any]) -> set[str]:
    """The model files that a workflow's nodes name."""
    values = [value for node in all_nodes(ui) for value in node["widgets_values"]]
    return {value for value in values if isinstance(value, str) and value.endswith(".safetensors")}


def test_the_editor_can_fetch_every_file_under_the_name_that_is_wanted(ui):
    """``properties.models``: a browser saves a file under the last part of its address."""
    offered = [model for node in all_nodes(ui) for model in node["properties"].get("models", ())]
    assert {model["name"] for model in offered} == files_of(ui) - {"your_checkpoint.safetensors"}
    assert len({(model["directory"], model["name"]) for model in offered}) == len(offered), "each is reported once"
    for model in offered:
        assert model["url"].startswith("https://huggingface.co/")
        assert PurePosixPath(model["url"]).name == model["name"]
        known = [entry for entry in REGISTRY if entry.names[0] == model["name"] and entry.folder == model["directory"]]
        assert known or model["name"] in NOT_DOWNLOADED
        assert all(entry.url == model["url"] for entry in known)
    for node in all_nodes(ui):
        named = {model["name"] for model in node["properties"].get("models", ())}
        assert named <= {value for value in node["widgets_values"] if isinstance(value, str)}, "on its own loader"


def test_every_node_says_which_pack_it_is_of(ui):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for node in all_nodes(ui):
        ours = (project["name"], project["version"])
        expected = ours if node["type"].startswith("GRefine") else ("comfy-core", "0.3.64")
        assert (node["properties"]["cnr_id"], node["properties"]["ver"]) == expected


def test_app_mode_asks_for_picture_prompt_and_files_and_shows_the_results(ui):
    nodes, kinds = {str(node["id"]): node for node in ui["nodes"]}, declared(ui)
    data = ui["extra"]["linearData"]
    asked = [(nodes[key].get("title"), name) for key, name in data["inputs"]]
    assert asked[0] == ("Picture", "image")
    assert "prompt" in {name for _, name in asked}
    for key, name in data["inputs"]:
        assert any(socket["name"] == name and "widget" in socket for socket in nodes[key]["inputs"])
    combos = {
        (str(node["id"]), socket["name"])
        for node in ui["nodes"]
        for socket in node["inputs"]
        if "widget" in socket and socket["type"] == "COMBO" and (node["type"] in kinds or "Loader" in node["type"])
    }
    assert combos <= {(key, name) for key, name in data["inputs"]}, "every file can be chosen"
    shown = [nodes[key].get("title") for key in data["outputs"]]
    results = {node["title"] for node in ui["nodes"] if node["type"].startswith(("Save", "Preview", "MaskPreview"))}
    assert set(shown) == results
    if "Refined picture" in results:
        assert (shown[0], shown[-1]) == ("Refined picture", "Report")
    assert ui["extra"]["linearMode"] is False, "it opens as a graph"


def test_strengths_come_with_the_plan_and_over_no_link_of_their_own(api):
    """A bypassed node hands a value on to the next output of that type: a score must never become a strength."""
    for node in api.values():
        for name, value in node["inputs"].items():
            if name in ("strength", "run", "steps") and node["class_type"].startswith("GRefineStage"):
                assert not isinstance(value, list), (node["class_type"], name)
        if node["class_type"].startswith("GRefineStage"):
            source, slot = node["inputs"]["plan"]
            assert (api[source]["class_type"], slot) == ("GRefinePlan", 7)


def test_the_miniature_workflow_fits_the_miniature_models():
    """Its picture and prompt are those that ship, its sizes and guidance those of the library's own engine."""
    api = load(FOLDER / "api" / "grefine_1_start_here.json")
    inputs = {node["class_type"]: node["inputs"] for node in api.values()}
    assert inputs["LoadImage"]["image"] == EXAMPLE.name
    assert [node["title"] for node in load(FOLDER / "grefine_1_start_here.json")["nodes"]] == [
        *("Picture", "Start here", "G-Refine", "Refined picture", "Report")
    ]
    assert inputs["PrimitiveStringMultiline"]["value"] == load_picture(EXAMPLE).text["parameters"]
    assert inputs["GRefineStage1Inpaint"]["min_side"] == inputs["GRefineStage1Inpaint"]["native_side"] == SIDE
    assert inputs["GRefineStage1Inpaint"]["cfg"] == default_guidance(SHIPPED)
    loader = next(node_id for node_id, node in api.items() if node["class_type"] == "GRefineLoadMiniature")
    assert inputs["GRefineStage2Restore"]["restorer"] == [loader, 4]
    source, slot = inputs["GRefineStage2Restore"]["prompt"]
    assert (api[source]["class_type"], slot) == ("GRefineUnpackPlan", 2)  # the prompt that AQ-Map read


def test_the_pasd_workflow_restores_by_pasd_with_the_prompt_as_caption():
    api = load(FOLDER / "api" / "grefine_sdxl_inpainting_pasd.json")
    inputs = {node["class_type"]: node["inputs"] for node in api.values()}
    loader = next(node_id for node_id, node in api.items() if node["class_type"] == "GRefineLoadPASD")
    assert inputs["GRefineStage2Restore"]["restorer"] == [loader, 0]
    source, slot = inputs["GRefineStage2Restore"]["prompt"]
    assert (api[source]["class_type"], slot) == ("GRefineUnpackPlan", 2)  # the prompt that AQ-Map read
    assert "GRefineRestorerFromModel" not in inputs
    # Where the download command puts the weights is where the loader looks for them.
    folder = f"{inputs['GRefineLoadPASD']['pasd']}/unet"
    assert folder in {str(PurePosixPath(entry.names[0]).parent) for entry in REGISTRY}
    plain_graph = load(FOLDER / "api" / "grefine_sdxl_inpainting.json")
    kinds = [sorted(node["class_type"] for node in graph.values()) for graph in (api, plain_graph)]
    assert [kind for kind in kinds[0] if kind != "GRefineLoadPASD"] == [
        kind for kind in kinds[1] if kind != "GRefineRestorerFromModel"
    ]


def test_every_plan_is_given_what_was_found_in_the_same_picture(api):
    """From the nodes that look, or all of it from one unpacked bundle."""
    for node in api.values():
        if node["class_type"] != "GRefinePlan":
            continue
        links = {name: value for name, value in node["inputs"].items() if isinstance(value, list)}
        kinds = {name: (api[source]["class_type"], slot) for name, (source, slot) in links.items()}
        assert kinds["plan"] == ("GRefineBinarizeMap", 3)
        parts = ("perceptual_score", "alignment_score", "worst_region", "area")
        if kinds["perceptual_score"][0] == "GRefineUnpackPlan":
            assert [kinds[name] for name in parts] == [("GRefineUnpackPlan", slot) for slot in range(3, 7)]
            (unpacked,) = {links[name][0] for name in parts}
            assert api[unpacked]["inputs"]["plan"] == links["plan"]
        else:
            expected = [("GRefinePQMap", 3), ("GRefineAQMap", 2), ("GRefinePQMap", 8), ("GRefineBinarizeMap", 2)]
            assert [kinds[name] for name in parts] == expected
        assert "region_bar" in node["inputs"]


def test_pictures_go_through_one_at_a_time(api):
    """So that every picture gets its own prompt: the pack's nodes get them from Rebatch Images alone."""
    together = {"LoadImage", "ImageBatch"}
    singled = [node for node in api.values() if node["class_type"] == "RebatchImages"]
    assert [node["inputs"]["batch_size"] for node in singled] == [1]
    assert api[singled[0]["inputs"]["images"][0]]["class_type"] in together
    for node in api.values():
        sources = {api[value[0]]["class_type"] for value in node["inputs"].values() if isinstance(value, list)}
        assert not (sources & together) or node["class_type"] in {"RebatchImages", *together}


# The checks themselves: each kind of damage must be noticed.


def damaged(ui: dict[str, Any], how: str) -> None:
    nodes = {node["type"]: node for node in all_nodes(ui)}
    titled = {node.get("title"): node for node in ui["nodes"]}
    inside = {each["name"]: each for each in definitions(ui).values()}
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
        titled["Models"]["pos"] = list(titled["Diagnose"]["pos"])
    elif how == "a value out of range":
        nodes["GRefinePlan"]["widgets_values"][1] = 2.5
    elif how == "an unknown node":
        nodes["RebatchImages"]["type"] = "Rebatch"
    elif how == "a missing link":
        nodes["GRefineStage1Inpaint"]["inputs"][0]["link"] = None
    elif how == "a link inside that ends elsewhere":
        inside["Refine"]["links"][5]["target_slot"] += 1
    elif how == "a port without its link":
        inside["Diagnose"]["inputs"][0]["linkIds"].clear()
    elif how == "an output of another type":
        inside["Diagnose"]["outputs"][0]["type"] = "MASK"
    elif how == "a number given twice":
        nodes["GRefinePlan"]["id"] = titled["Picture"]["id"]
    elif how == "values on the outside":
        titled["Refine"]["widgets_values"] = [20]


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
        "a link inside that ends elsewhere",
        "a port without its link",
        "an output of another type",
        "a number given twice",
        "values on the outside",
    ],
)
def test_damage_to_the_editors_file_is_noticed(info, how):
    ui = load(FOLDER / "grefine_sdxl_inpainting.json")
    damaged(ui, how)
    assert workflow_problems(ui, info) != []


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
