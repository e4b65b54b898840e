"""The shipped workflows through the real host's queue, on a real picture.

Model names in the files are left as they are: small generated files of these names lie in the models folder (see
``generated.py``). Replaced is only what the host refuses at that size, text encoders and VAE of an SDXL checkpoint; and
the side at which is sampled, which would cost minutes on a CPU.
"""

from __future__ import annotations

import json
import shutil
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest

from grefine_core.comfyui.workflow import set_input

from ..tiny_models.pasd import write_pasd, write_sd15
from ..workflows.subgraphs import to_api
from .client import Run
from .generated import FILES, VAE_FILE, code
from .template_tools import (
    ROOT,
    SIZE,
    WORKFLOWS,
    kinds,
    of,
    only,
    put_photograph,
    put_quality_model,
    shipped,
    with_a_part_to_redraw,
    with_bars,
    with_parts,
    with_previews,
)

LARGE_MODELS = {"UNETLoader", "GRefineTestTextEncoders", "VAELoader", "CLIPTextEncode"}
LARGE_MODELS |= {"GRefineRestorerFromModel", "GRefineLoadPASD"}


@pytest.fixture(scope="module")
def models(host_server, host_run, tmp_path_factory):
    """Every file that the shipped workflows name, small and untrained, in the host's models folder."""
    for kind in ("sdxl", "sd15"):
        host_run(code(kind, str(host_server.models_dir)))
    yield put_quality_model(host_server, tmp_path_factory.mktemp("quality"))
    for name in FILES:
        (host_server.models_dir / name).unlink()  # half a gigabyte, needed by nobody else


@pytest.fixture
def coffee(client) -> str:
    return put_photograph(client)


def full(
    picture: str, *, bar: float = 1.0, steps: int | None = None, side: int = 64, name: str = "grefine_sdxl_inpainting"
) -> dict[str, Any]:
    """The full workflow; ``bar`` 1 lets no picture pass untouched, 0 lets every one."""
    texts = {"class_type": "GRefineTestTextEncoders", "inputs": {}}
    vae = {"class_type": "VAELoader", "inputs": {"vae_name": PurePosixPath(VAE_FILE).name}}
    graph = with_parts(shipped(name, picture), "Text encoders and VAE", [{}, texts, vae])
    graph = set_input(graph, of(graph, "GRefineStage1Inpaint"), "native_side", side)
    graph = with_bars(graph, bar, steps)
    return with_a_part_to_redraw(graph)


def emphasised(run: Run) -> str:
    """What the text encoder was given, as the graph says by a node of its own."""
    return run.texts("emphasised")[0]


def check_guard(report: dict[str, Any], **pictures: np.ndarray) -> None:
    """Both stages are in the report; the picture behind stage 1's guard is what its decisions make of it."""
    stages = [entry["stage"] for entry in report["guard"]]
    assert set(stages) == {1, 2}
    for entry in report["guard"]:
        gained = "→" in entry["reason"] and not entry["reason"].startswith("no gain")
        assert entry["accepted"] == gained, entry["reason"]
    first = [entry for entry in report["guard"] if entry["stage"] == 1]
    if not any(entry["accepted"] for entry in first):
        np.testing.assert_array_equal(pictures["guarded"], pictures["loaded"])
    if all(entry["accepted"] for entry in first):
        np.testing.assert_array_equal(pictures["guarded"], pictures["redrawn"])


def test_the_full_workflow_finds_repairs_guards_and_reports(client, models, coffee):
    graph = with_previews(full(coffee, steps=6))
    run = client.run(graph).ok()
    assert set(graph) <= set(run.executed) | set(run.cached)
    loaded, redrawn, guarded = (only(run.images(name)) for name in ("loaded", "redrawn", "guarded"))
    refined = only(run.images(of(graph, "SaveImage", "Refined picture")))
    assert loaded.shape == redrawn.shape == guarded.shape == refined.shape == (SIZE[1], SIZE[0], 3)
    inside = only(run.images("mask")).max(-1) > 0
    assert 0.05 < inside.mean() < 0.95
    np.testing.assert_array_equal(redrawn[~inside], loaded[~inside])
    assert (redrawn[inside] != loaded[inside]).any(-1).mean() > 0.5

    report = json.loads(run.texts(of(graph, "PreviewAny", "Report as JSON"))[0])
    assert report["size"] == {"height": SIZE[1], "width": SIZE[0]}
    assert report["emphasized_prompt"] == emphasised(run)
    assert {"cup", "saucer", "spoon"} <= {phrase["head"] for phrase in report["phrases"]}
    assert "3 steps" in report["plan"]["reason"]
    check_guard(report, redrawn=redrawn, guarded=guarded, loaded=loaded)
    assert report["changed"] == bool((refined != loaded).any()) == any(one["accepted"] for one in report["guard"])
    sheet = only(run.images(of(graph, "SaveImage", "Report")))
    assert sheet.shape[0] > SIZE[1]
    assert sheet.shape[1] > SIZE[0]
    assert run.images(of(graph, "GRefineQualityReport")), "the report is also shown on its node"


def test_steps_are_those_of_the_plan(client, models, coffee):
    """20 steps of both stages together: ten denoiser calls each, whatever the strengths."""
    graph = full(coffee)
    client.free()
    run = client.run(graph).ok()
    counted = {
        graph[data["node"]]["class_type"]: data["max"]
        for event, data, _ in run.messages
        if event == "progress" and data["node"] in graph
    }
    assert counted["GRefineStage1Inpaint"] % 10 == 0  # ten for every crop
    assert counted["GRefineStage2Restore"] == 10


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(client, models, coffee):
    graph = with_previews(full(coffee, steps=4))
    first = client.run(graph).ok()
    client.free()
    again = client.run(graph).ok()
    stage1, saved = of(graph, "GRefineStage1Inpaint"), of(graph, "SaveImage", "Refined picture")
    assert stage1 in again.executed
    for node in ("redrawn", saved):
        # The models were loaded anew in between, to another place in memory: a level of 255 may round otherwise.
        np.testing.assert_allclose(only(first.images(node)), only(again.images(node)), rtol=0, atol=1)
    other = client.run(set_input(graph, stage1, "seed", 7)).ok()
    assert (only(other.images("redrawn")) != only(first.images("redrawn"))).any()


def test_a_good_picture_passes_untouched_and_no_large_model_is_loaded(client, models, coffee):
    graph = with_previews(full(coffee, bar=0.0))
    client.free()
    run = client.run(graph).ok()
    assert not LARGE_MODELS & kinds(graph, [*run.executed, *run.cached])
    assert {"GRefineStage1Inpaint", "GRefineStage2Restore"} <= kinds(graph, run.executed)
    refined = only(run.images(of(graph, "SaveImage", "Refined picture")))
    np.testing.assert_array_equal(refined, only(run.images("loaded")))


def test_cancel_stops_within_a_step_and_the_host_goes_on(client, models, coffee):
    graph = full(coffee, steps=400, side=256)
    stage1 = of(graph, "GRefineStage1Inpaint")

    def sampling(event: str, data: dict[str, Any]) -> bool:
        return event == "progress" and data.get("node") == stage1 and data["value"] >= 2

    prompt_id = client.start(graph)
    seen = client.wait_for(prompt_id, sampling)["value"]
    client.interrupt()
    run = client.wait(prompt_id)
    assert run.status == "interrupted"
    last = max(data["value"] for event, data, _ in run.messages if event == "progress" and data["node"] == stage1)
    assert last <= seen + 2  # the step that ran when the request was on its way, and at most the one it arrived in
    client.run(full(coffee, bar=0.0)).ok()


def test_an_ordinary_checkpoint_as_it_is_shipped(client, models, coffee):
    """No node is replaced: the host loads UNet, text encoder and VAE from one generated file."""
    graph = with_previews(shipped("grefine_ordinary_checkpoint", coffee))
    graph = set_input(graph, of(graph, "GRefineStage1Inpaint"), "min_side", 64)
    run = client.run(with_a_part_to_redraw(with_bars(graph, 1.0, 4))).ok()
    loaded, redrawn = only(run.images("loaded")), only(run.images("redrawn"))
    inside = only(run.images("mask")).max(-1) > 0
    assert 0.05 < inside.mean() < 0.95
    np.testing.assert_array_equal(redrawn[~inside], loaded[~inside])
    assert (redrawn[inside] != loaded[inside]).any()
    assert only(run.images(of(graph, "SaveImage", "Refined picture"))).shape == loaded.shape


@pytest.fixture
def pasd(host_server):
    """PASD's weights, tiny, where the workflow looks for them, and a base, which is small in diffusers' layout only."""
    folder = host_server.models_dir / "pasd" / "pasd"
    write_pasd(folder.parent).rename(folder / "checkpoint-100000")
    write_sd15(host_server.models_dir / "diffusers" / "tiny sd15")
    yield
    shutil.rmtree(folder)
    shutil.rmtree(host_server.models_dir / "diffusers" / "tiny sd15")


def test_the_workflow_with_pasd(client, models, coffee, pasd):
    """Both stages run, the second by PASD; and nothing of it is loaded for a picture that is good already."""
    graph = full(coffee, steps=4, name="grefine_sdxl_inpainting_pasd")
    for key, value in {"base": "tiny sd15", "process_size": 64}.items():
        graph = set_input(graph, of(graph, "GRefineLoadPASD"), key, value)
    stage2 = of(graph, "GRefineStage2Restore")
    graph["restored"] = {"class_type": "PreviewImage", "inputs": {"images": [stage2, 0]}}
    run = client.run(with_previews(graph)).ok()
    assert "GRefineLoadPASD" in kinds(graph, run.executed)
    restored = only(run.images("restored"))
    assert restored.shape == (SIZE[1], SIZE[0], 3)
    assert (restored != only(run.images("guarded"))).any(-1).mean() > 0.5
    counted = {d["node"]: d["max"] for event, d, _ in run.messages if event == "progress" and d["node"] in graph}
    assert counted[stage2] == 2
    report = json.loads(run.texts(of(graph, "PreviewAny", "Report as JSON"))[0])
    assert {entry["stage"] for entry in report["guard"]} == {1, 2}

    client.free()
    good = client.run(full(coffee, bar=0.0, name="grefine_sdxl_inpainting_pasd")).ok()
    assert not LARGE_MODELS & kinds(graph, [*good.executed, *good.cached])


def test_maps_only(client, models, coffee):
    graph = shipped("grefine_maps_only", coffee)
    run = client.run(graph).ok()
    for title in ("Perceptual defects", "Alignment defects"):
        assert only(run.images(of(graph, "PreviewImage", title))).shape == (SIZE[1], SIZE[0], 3)
    mask = only(run.images(of(graph, "MaskPreview")))
    assert mask.shape == (SIZE[1], SIZE[0], 3)
    assert set(np.unique(mask)) <= {0, 255}


def test_score_only_of_a_batch_scores_each_picture(client, models, coffee):
    graph = shipped("grefine_score_only", coffee)
    graph["bright"] = {"class_type": "ImageInvert", "inputs": {"image": [of(graph, "LoadImage"), 0]}}
    both = {"image1": [of(graph, "LoadImage"), 0], "image2": ["bright", 0]}
    graph["both"] = {"class_type": "ImageBatch", "inputs": both}
    single = client.run(graph).ok()
    batch = client.run(set_input(graph, of(graph, "RebatchImages"), "images", ["both", 0])).ok()
    for what in ("Perceptual", "Alignment"):
        node = of(graph, "PreviewAny", f"{what} quality")
        (alone,), pair = single.texts(node), batch.texts(node)
        assert 0.0 <= float(alone) <= 1.0
        assert len(pair) == 2
        assert float(pair[0]) == pytest.approx(float(alone), abs=1e-5)
        assert float(pair[1]) != pytest.approx(float(alone), abs=1e-5)
    phrases = batch.texts(of(graph, "PreviewAny", "Phrases"))
    assert len(phrases) == 2
    assert all("saucer" in text and len(text.splitlines()) >= 4 for text in phrases)


def recorded() -> dict[str, Any]:
    """The record of the host's nodes that the files are built and checked with."""
    return json.loads((ROOT / "tests" / "workflows" / "host_nodes.json").read_text(encoding="utf-8"))


def skip_if_older(client, server, kinds_used: set[str]) -> None:
    """Skips, by name and version, what came to the host after the one that is tested with. Others must be there."""
    missing = {kind: info["needs_host"] for kind, info in recorded().items() if "needs_host" in info}
    for kind in kinds_used & set(missing):
        if not client.object_info(kind):
            pytest.skip(f"NODE MISSING: {kind} came with ComfyUI {missing[kind]}, this is {server.version}")


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.json")), ids=lambda path: path.stem)
def test_the_editors_file_converts_to_the_api_file_by_this_hosts_own_nodes(client, host_server, path):
    expected = json.loads((WORKFLOWS / "api" / path.name).read_text(encoding="utf-8"))
    skip_if_older(client, host_server, {node["class_type"] for node in expected.values()})
    converted = to_api(json.loads(path.read_text(encoding="utf-8")), client.object_info())
    assert converted == {k: (v["class_type"], v["inputs"]) for k, v in expected.items()}


@pytest.mark.parametrize("name", sorted(recorded()))
def test_the_hosts_nodes_are_as_recorded(client, host_server, name):
    """As far as the files need it. Newer hosts give outputs to nodes that had none: files without them still load."""
    skip_if_older(client, host_server, {name})
    info, real = recorded()[name], client.object_info(name)[name]
    count = len(info["output"])
    assert real["output"][:count] == info["output"]
    assert real["output_name"][:count] == info["output_name"]
    assert not info["output"] or len(real["output"]) == count
    for kind in ("required", "optional"):
        assert list(real["input"].get(kind, {})) == list(info["input"].get(kind, {}))


def test_the_template_browser_lists_the_workflows(client, host_server):
    listed = client.get("/workflow_templates")[host_server.pack_folder]
    assert sorted(listed) == sorted(path.stem for path in WORKFLOWS.glob("*.json"))
