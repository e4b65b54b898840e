"""What the single templates have of their own, and the thumbnails; without a host."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .test_files import all_nodes

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def nodes_of(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A template in API format, and the id of its (last) node of each kind."""
    api = json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))
    return api, {node["class_type"]: node_id for node_id, node in api.items()}


def test_flux_is_guided_by_its_own_number_and_has_no_negative_prompt():
    api, ids = nodes_of("grefine_flux_fill")
    encoded = [ids["CLIPTextEncode"], 0]
    assert sum(node["class_type"] == "CLIPTextEncode" for node in api.values()) == 1
    assert api[ids["FluxGuidance"]]["inputs"] == {"conditioning": encoded, "guidance": 30.0}
    assert api[ids["ConditioningZeroOut"]]["inputs"] == {"conditioning": encoded}
    for kind in ("GRefineStage1Inpaint", "GRefineRestorerFromModel"):
        inputs = api[ids[kind]]["inputs"]
        assert inputs["positive"] == [ids["FluxGuidance"], 0]
        assert inputs["negative"] == [ids["ConditioningZeroOut"], 0]
        assert inputs["cfg"] == -1.0, "that of the family, which is 1"
    assert api[ids["GRefinePromptEmphasis"]]["inputs"]["style"] == "repeat"
    assert api[ids["DualCLIPLoader"]]["inputs"]["type"] == "flux"


def test_supir_is_guided_by_the_picture_that_stage_2_restores():
    api, ids = nodes_of("grefine_sdxl_supir")
    guided = api[ids["SUPIRApply"]]["inputs"]
    stage2 = api[ids["GRefineStage2Restore"]]["inputs"]
    assert guided["image"] == stage2["image"]
    assert api[stage2["image"][0]]["_meta"]["title"] == "No-Harm Guard: stage 1"
    assert guided["model_patch"] == [ids["ModelPatchLoader"], 0]
    assert api[ids["GRefineRestorerFromModel"]]["inputs"]["model"] == [ids["SUPIRApply"], 0]
    assert stage2["restorer"] == [ids["GRefineRestorerFromModel"], 0]
    # Stage 1 has nothing of it.
    assert api[ids["GRefineStage1Inpaint"]]["inputs"]["model"] == guided["model"]


#: The host that knows the models of a template, where its nodes do not tell.
MODELS_NEED = {
    "grefine_flux2_klein_edit": "0.10",
    "grefine_qwen_image_edit": "0.8",
    "grefine_z_image_turbo": "0.8",
    "grefine_z_image_turbo_seedvr2": "0.8",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_template_that_needs_a_newer_host_says_which(name):
    recorded = json.loads((Path(__file__).parent / "host_nodes.json").read_text(encoding="utf-8"))
    ui = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    notes = "\n".join(node["widgets_values"][0] for node in ui["nodes"] if node["type"] == "MarkdownNote")
    needs = [recorded.get(node["type"], {}).get("needs_host", "0").removesuffix(".0") for node in all_nodes(ui)]
    newest = max([*needs, MODELS_NEED.get(name, "0")], key=lambda version: [int(part) for part in version.split(".")])
    assert re.findall(r"ComfyUI ([\d.]+) or newer", notes) == ([] if newest == "0" else [newest])


def test_the_gated_batch_says_why_and_saves_all():
    api, ids = nodes_of("grefine_score_gated_batch")
    reasons = [node for node in api.values() if node["_meta"]["title"] == "What was decided"]
    assert [node["inputs"]["source"] for node in reasons] == [[ids["GRefinePlan"], 6]]
    both = [api[source] for source, _ in api[ids["ImageBatch"]]["inputs"].values()]
    assert [node["class_type"] for node in both] == ["LoadImage", "LoadImage"]
    assert [node["_meta"]["title"] for node in both] == ["Picture", "Another picture"]


@pytest.mark.parametrize("name", NAMES)
def test_every_template_has_its_thumbnail(name):
    path = FOLDER / f"{name}.jpg"
    assert path.stat().st_size < 60_000
    with Image.open(path) as picture:
        assert (picture.format, picture.size, picture.mode) == ("JPEG", (512, 512), "RGB")
        pixels = np.asarray(picture, dtype=float)
    assert pixels[-64:].std() > 10.0  # a title, at the foot: editors lay a badge over the head
    assert pixels[:-64].std() > 30.0  # pictures
    assert pixels[:12].std() < 4.0, "nothing at the head"


def test_there_are_no_other_thumbnails():
    assert sorted(path.stem for path in FOLDER.glob("*.jpg")) == NAMES


@pytest.mark.slow
def test_the_thumbnails_are_what_the_tool_draws(tmp_path):
    """Not to the byte: codecs and fonts differ between versions of Pillow."""
    script = ROOT / "tools" / "build_thumbnails.py"
    subprocess.run([sys.executable, str(script), "--output", str(tmp_path)], check=True, capture_output=True)
    assert sorted(path.stem for path in tmp_path.iterdir()) == NAMES
    for name in NAMES:
        drawn, shipped = (np.asarray(Image.open(f / f"{name}.jpg"), dtype=float) for f in (tmp_path, FOLDER))
        assert np.abs(drawn - shipped).mean() < 4.0, name
