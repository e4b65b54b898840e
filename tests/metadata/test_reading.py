"""The prompt in a picture's text entries."""

import json

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from grefine_core.errors import InputError
from grefine_core.metadata import prompt_from_metadata, read_prompt
from grefine_core.pictures import load_picture

GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {"positive": ["9", 0], "negative": ["7", 0], "seed": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["10", 0], "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["4", 1]}},
    "9": {"class_type": "ControlNetApplyAdvanced", "inputs": {"negative": ["7", 0], "positive": ["6", 0]}},
    "10": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "a red cup (on:1.2) a table"}},
}


def test_comfyui_graph_is_followed_to_the_positive_text():
    assert prompt_from_metadata({"prompt": json.dumps(GRAPH)}) == "a red cup (on:1.2) a table"


def test_a_cycle_in_the_graph_ends():
    graph = {
        "1": {"class_type": "KSampler", "inputs": {"positive": ["2", 0]}},
        "2": {"class_type": "X", "inputs": {"a": ["2", 0], "b": ["1", 0]}},
    }
    assert prompt_from_metadata({"prompt": json.dumps(graph)}) is None


def test_a_graph_that_is_none_gives_nothing():
    for graph in ({"1": {"inputs": ["x"]}}, {"1": None, "2": {"inputs": {"positive": []}}}, ["x"]):
        assert prompt_from_metadata({"prompt": json.dumps(graph)}) is None


def test_a1111_parameters():
    text = "a cat,\nsitting\nNegative prompt: dog\nSteps: 20, Sampler: Euler"
    assert prompt_from_metadata({"parameters": text}) == "a cat,\nsitting"
    assert prompt_from_metadata({"parameters": "Steps: 20"}) is None
    assert prompt_from_metadata({}) is None


def test_prompt_survives_png_and_jpeg(tmp_path):
    image = Image.new("RGB", (7, 5), "red")
    entries = PngInfo()
    entries.add_text("parameters", "a cat\nNegative prompt: dog")
    image.save(tmp_path / "a.png", pnginfo=entries)
    exif = Image.Exif()
    exif[0x8769] = {0x9286: b"UNICODE\0" + "a čat\nSteps: 3".encode("utf-16-be")}
    image.save(tmp_path / "a.jpg", exif=exif)
    assert prompt_from_metadata(load_picture(tmp_path / "a.png").text) == "a cat"
    assert prompt_from_metadata(load_picture(tmp_path / "a.jpg").text) == "a čat"


def test_a_graph_thousands_of_nodes_deep_is_followed():
    graph = {str(node): {"inputs": {"conditioning": [str(node + 1), 0]}} for node in range(1, 5000)}
    graph |= {"0": {"inputs": {"positive": ["1", 0]}}, "5000": {"inputs": {"text": "a cat"}}}
    assert prompt_from_metadata({"prompt": json.dumps(graph)}) == "a cat"


def test_metadata_that_json_readers_choke_on():
    assert prompt_from_metadata({"prompt": '{"a":' + "1" * 5000 + "}", "parameters": "a cat"}) == "a cat"
    assert prompt_from_metadata({"prompt": "[" * 100_000, "parameters": "a cat"}) == "a cat"
    assert prompt_from_metadata({"parameters": "a cat\u2028on a mat\nSteps: 3"}) == "a cat\u2028on a mat"
    assert prompt_from_metadata({"parameters": "half \ud83d of it"}) == "half \ufffd of it"


def test_entries_that_are_no_prompts_are_none():
    for text in ('{"3": {"class_type": "KSampler", "inputs": {"positive": ["6", 0', '{"a": 1}', "[1, 2]", "{", "null"):
        assert prompt_from_metadata({"prompt": text}) is None, text
    assert prompt_from_metadata({"Comment": "Created with GIMP"}) is None
    assert prompt_from_metadata({"Description": "a holiday"}) is None
    assert prompt_from_metadata({"prompt": json.dumps(GRAPH) + "\0"}) == "a red cup (on:1.2) a table"


def test_a_bare_prompt_may_begin_as_json_does():
    for text in ("{red|blue} fox", "[cat:dog:0.5] on a mat", "1984"):
        assert prompt_from_metadata({"prompt": text}) == text


def test_a_named_node():
    entries = {"prompt": json.dumps(GRAPH)}
    assert read_prompt(entries, node="7").positive == "ugly"
    assert read_prompt(entries, node="3").positive == "a red cup (on:1.2) a table"
    assert read_prompt(entries, node="PrimitiveStringMultiline").positive == "a red cup (on:1.2) a table"
    with pytest.raises(InputError, match=r"several nodes are called 'cliptextencode'.*6, 7"):
        read_prompt(entries, node="cliptextencode")
    with pytest.raises(InputError, match=r"no node '44'.*a red cup"):
        read_prompt(entries, node="44")
    with pytest.raises(InputError, match="no graph of ComfyUI"):
        read_prompt({"parameters": "a cat"}, node="6")
