"""Diagnosis, plan and attempts from node to node, with the shipped miniature models and their example picture."""

from __future__ import annotations

import json
from typing import Any

import pytest

CODE = """
import asyncio, importlib, json, os
import nodes, numpy as np, torch
torch.set_num_threads(1)
assert asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"])), "the pack did not load"
name = os.environ["GREFINE_PACK"].replace(".", "_x_")
part = lambda module: importlib.import_module(f"{name}.{module}")
result = {}
maps, masks, plan = part("nodes.quality"), part("nodes.masks").GRefineBinarizeMap, part("nodes.plan").GRefinePlan
stage1, stage2 = part("nodes.stage1").GRefineStage1Inpaint, part("nodes.stage2").GRefineStage2Restore
guard = part("nodes.guard").GRefineNoHarmGuard
example = part("grefine_core.pictures").load_picture(part("grefine_core.miniature.world").EXAMPLE)
picture, prompt = example.image, example.text["parameters"]
ways = dict(formula="bounded", importance_technical=1.0, importance_rational=1.0, importance_natural=1.0)
aq = dict(scoring="auto", aggregate="product", include_style=False)
area = dict(method="threshold", threshold=0.5, top_share=0.2, floor=0.3, min_area=0.001, grow=0.02, feather=0.02,
            fill_holes=True)
steps = dict(mode="verdicts", perceptual_bar=0.8, alignment_bar=0.8, steps=4, stage1_min=0.5, stage1_max=0.9,
             stage2_strength=0.2)

def planned(image, found_in="own"):
    looks = maps.GRefinePQMap.execute(image, quality, **ways).result
    shows = maps.GRefineAQMap.execute(image, quality, prompt, **aq, diagnosis=looks[-1]).result
    made = masks.execute(looks[1], **area, diagnosis=shows[-1]).result
    decided = plan.execute(looks[3][0], shows[2][0], **steps, area=made[2][0], plan=made[3][0]).result
    return looks, shows, made, decided

with torch.inference_mode():
    model, clip, vae, quality, restorer = part("nodes.miniature").GRefineLoadMiniature.execute().result
    encode = lambda words: nodes.CLIPTextEncode().encode(clip, words)[0]
    looks, shows, made, decided = planned(picture)
    repairs = decided[-1]
    result["unmatched"] = list(repairs.diagnosis.unmatched)
    result["area"], result["runs"] = made[2][0], decided[0]
    result["regions"] = [[list(each.phrases), each.bad, each.strength, each.steps] for each in repairs.regions]
    result["ways"] = sorted(repairs.diagnosis.ways)
    common = dict(image=[picture], denoise_mask=[torch.zeros(1, 128, 128)], model=[model],
                  positive=[encode(prompt)], negative=[encode("")], vae=[vae], run=[False], strength=[0.1], steps=[1],
                  seed=[1], cfg=[2.0], sampler_name=["euler"], scheduler=["normal"], crop_size=["source"],
                  min_side=[128], native_side=[128], context=[0.25], color_match=[False])
    # The plan says what is painted, whatever the inputs of these names say.
    once = stage1.execute(**common, plan=[repairs]).result
    result["painted"] = bool((once[0][0] != picture).any())
    result["outside"] = bool((once[0][0] != picture).any(-1)[0][repairs.composite == 0].any())
    result["crops"] = [[crop.number, crop.strength, crop.steps] for crop in once[3][0].crops]
    result["once"] = json.loads(once[2][0])
    tried = stage1.execute(**common, plan=[repairs], attempts=[3], quality_model=[quality]).result
    result["tried"], result["shown"] = json.loads(tried[2][0]), [list(each.shape) for each in tried[1]]
    again = stage1.execute(**common, plan=[repairs], attempts=[3], quality_model=[quality]).result
    result["same"] = bool((again[0][0] == tried[0][0]).all())
    kept = stage1.execute(**common, plan=[repairs], keep=["1:2"], quality_model=[quality]).result
    result["kept"] = json.loads(kept[2][0])
    passed = guard.execute([kept[0][0]], [picture], [quality], [prompt], ["stage 1"], [0.0],
                           **{name: [value] for name, value in (ways | aq).items()},
                           mask=[repairs.composite.unsqueeze(0)], rule=["gain"], keep=["1"]).result
    result["guard keeps"] = bool((passed[0][0] == kept[0][0]).all())
    whole = stage2.execute(image=[picture], restorer=[restorer], run=[True], strength=[0.2], steps=[2], seed=[1],
                           keep_color=[True], attempts=[2], quality_model=[quality], diagnosis=[shows[-1]]).result
    result["stage 2"] = json.loads(whole[1 + 1][0])
    # A picture in which nothing is found: nothing is loaded, and it comes back itself.
    flat = part("grefine_core.diagnosis").Diagnosis(size=(128, 128), prompt="", perceptual_map=torch.zeros(128, 128))
    nothing = masks.execute(torch.zeros(1, 128, 128), **area, diagnosis=(flat,)).result
    idle = plan.execute(1.0, 1.0, **steps, plan=nothing[3][0]).result
    result["idle"] = [idle[0], idle[3], nothing[2][0]]
    lazy = dict.fromkeys(("model", "positive", "negative", "vae"), [None])
    result["asks"] = stage1.check_lazy_status(**{**common, **lazy}, plan=[idle[-1]])
    result["asks else"] = stage1.check_lazy_status(**{**common, **lazy}, plan=[repairs])
    result["itself"] = stage1.execute(**common, plan=[idle[-1]]).result[0][0] is picture
    errors = {}
    for what, call in {
        "quality_model": lambda: stage1.execute(**common, plan=[repairs], attempts=[2]),
        "keep": lambda: stage1.execute(**common, plan=[repairs], quality_model=[quality], keep=["all"]),
        "diagnosis": lambda: masks.execute(looks[1], **area, diagnosis=shows[-1] * 2),
        "plan": lambda: stage1.execute(**{**common, "image": [torch.rand(1, 64, 64, 3)]}, plan=[repairs]),
    }.items():
        try:
            call()
            errors[what] = "none"
        except Exception as error:
            errors[what] = str(error)
    result["errors"] = errors
print("RESULT", json.dumps(result))
"""


@pytest.fixture(scope="module")
def result(host_run) -> dict[str, Any]:
    return json.loads(host_run(CODE).split("RESULT ", 1)[1])


def test_the_gate_opens_where_something_is_found(result):
    assert result["area"] > 0
    assert result["runs"] is True
    assert result["regions"]
    assert {phrase for phrases, *_ in result["regions"] for phrase in phrases} == set(result["unmatched"][:4])
    assert all(0.5 <= strength <= 0.9 and steps == 2 for _, _, strength, steps in result["regions"])


def test_the_plan_says_what_is_painted(result):
    assert result["painted"]
    assert not result["outside"]
    assert [crop[1:] for crop in result["crops"]] == [
        [pytest.approx(strength), steps] for _, _, strength, steps in result["regions"]
    ]
    assert result["once"] == {"calls": 0, "kept": 0, "attempts": []}


def test_all_attempts_are_shown_and_repeatable(result):
    tried = result["tried"]
    assert 1 <= len(tried["attempts"]) <= 3 * len(result["regions"])
    assert len(result["shown"]) == len(tried["attempts"])
    assert tried["calls"] == 2 * len(tried["attempts"])
    assert all("reason" in each["decision"] for each in tried["attempts"])
    assert result["same"]


def test_a_person_keeps_what_the_guard_refused(result):
    first = [each for each in result["kept"]["attempts"] if each["region"] == 1]
    assert [(each["attempt"], each["kept"]) for each in first] == [(2, True)]
    assert result["guard keeps"] or len(result["regions"]) > 1


def test_stage_2_is_tried_again_as_well(result):
    attempts = result["stage 2"]["attempts"]
    assert [each["attempt"] for each in attempts] in ([1], [1, 2])
    assert attempts[-1]["kept"] or len(attempts) == 2


def test_a_picture_without_findings_is_not_touched(result):
    assert result["idle"] == [False, False, 0.0]
    assert result["asks"] == []
    assert result["asks else"] == ["model", "positive", "negative", "vae"]
    assert result["itself"]


def test_what_does_not_fit_is_named(result):
    assert "several attempts" in result["errors"]["quality_model"]
    assert "is no region" in result["errors"]["keep"]
    assert "of 2 pictures" in result["errors"]["diagnosis"]
    assert "of a picture of 128×128" in result["errors"]["plan"]
