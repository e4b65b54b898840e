from __future__ import annotations

import copy
import json

import pytest

from grefine_core.comfyui.workflow import check_workflow, read_workflow, set_input, set_picture, set_prompt, title_of
from grefine_core.errors import InputError


def node(kind: str, title: str = "", **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


WORKFLOW = {
    "1": node("LoadImage", "Picture", image="example.png"),
    "2": node("PrimitiveStringMultiline", "Prompt", value="a cat"),
    "3": node("CLIPTextEncode", "Negative prompt", text="blurry", clip=["9", 1]),
    "4": node("KSampler", "", seed=1, steps=["5", 0]),
}


def test_picture_and_prompt_go_to_the_nodes_of_that_title_and_the_original_stays():
    before = copy.deepcopy(WORKFLOW)
    changed = set_prompt(set_picture(WORKFLOW, "mine.png"), "a dog")
    assert changed["1"]["inputs"]["image"] == "mine.png"
    assert changed["2"]["inputs"]["value"] == "a dog"
    assert before == WORKFLOW


def test_titles_decide_between_several_loaders():
    workflow = {**WORKFLOW, "7": node("LoadImage", "Mask", image="mask.png")}
    assert set_picture(workflow, "mine.png")["7"]["inputs"]["image"] == "mask.png"
    del workflow["1"]
    assert set_picture(workflow, "mine.png")["7"]["inputs"]["image"] == "mine.png"  # the only one left


def test_several_without_a_title_are_an_error_that_says_what_to_do():
    workflow = {"1": node("LoadImage", "A", image="a.png"), "2": node("LoadImage", "B", image="b.png")}
    with pytest.raises(InputError, match=r"picture.*title one of them 'Picture'.*'A', 'B'"):
        set_picture(workflow, "mine.png")


def test_a_linked_text_is_not_taken_for_the_prompt():
    workflow = {"1": node("CLIPTextEncode", "Prompt", text=["2", 0]), "2": node("PrimitiveString", "Words", value="x")}
    assert set_prompt(workflow, "new")["2"]["inputs"]["value"] == "new"
    assert set_prompt(workflow, "new")["1"]["inputs"]["text"] == ["2", 0]


def test_any_input_can_be_set_by_title_or_id_even_a_linked_one():
    assert set_input(WORKFLOW, "negative PROMPT", "text", "ugly")["3"]["inputs"]["text"] == "ugly"
    assert set_input(WORKFLOW, "4", "steps", 3)["4"]["inputs"]["steps"] == 3
    with pytest.raises(InputError, match="no input 'cfg'; it has seed, steps"):
        set_input(WORKFLOW, "4", "cfg", 3)
    with pytest.raises(InputError, match="no node is called 'Sampler'"):
        set_input(WORKFLOW, "Sampler", "cfg", 3)


def test_titles_fall_back_to_the_kind_and_the_id():
    assert title_of(WORKFLOW, "4") == "KSampler"
    assert title_of(WORKFLOW, "99") == "99"


def test_the_editors_format_is_named_as_such():
    with pytest.raises(InputError, match="Export"):
        check_workflow({"nodes": [], "links": []})


@pytest.mark.parametrize("content", [[], {}, {"1": {"class_type": "X"}}, {"1": []}, "text", None])
def test_anything_else_is_refused(content):
    with pytest.raises(InputError, match="no ComfyUI workflow"):
        check_workflow(content)


def test_reading_files(tmp_path):
    (tmp_path / "good.json").write_text(json.dumps(WORKFLOW), encoding="utf-8")
    assert read_workflow(tmp_path / "good.json") == WORKFLOW
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.json: is no JSON"):
        read_workflow(tmp_path / "bad.json")
    with pytest.raises(InputError, match=r"gone\.json: cannot be read"):
        read_workflow(tmp_path / "gone.json")
