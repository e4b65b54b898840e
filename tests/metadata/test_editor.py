"""Graphs in the format of ComfyUI's editor, as pictures hold them beside the one that was run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from grefine_core.metadata import read_prompt

FOX, CASTLE = "a red fox in snow", "a castle"
SUBGRAPH = "11111111-2222-3333-4444-555555555555"


class Editor:
    """Builds a graph of the editor: nodes with their links."""

    def __init__(self) -> None:
        self.nodes: dict[Any, dict[str, Any]] = {}
        self.links: list[list[Any]] = []

    def node(self, key: Any, kind: str, inputs: str = "", outputs: str = "", values: Any = (), **more: Any) -> None:
        """``inputs`` and ``outputs`` as ``name:TYPE name:TYPE``."""
        entries = [dict(zip(("name", "type"), each.split(":"), strict=True), link=None) for each in inputs.split()]
        given = [dict(zip(("name", "type"), each.split(":"), strict=True), links=[]) for each in outputs.split()]
        values = list(values) if isinstance(values, tuple) else values
        self.nodes[key] = {
            "id": key,
            "type": kind,
            "mode": 0,
            "inputs": entries,
            "outputs": given,
            "widgets_values": values,
            **more,
        }

    def link(self, origin: Any, slot: int, target: Any, name: str | int) -> None:
        """Join an output to an input, by its name, or by its number at the ends of a subgraph."""
        number = len(self.links) + 1
        place = name
        if target in self.nodes:
            entries = self.nodes[target]["inputs"]
            place = next(at for at, entry in enumerate(entries) if entry["name"] == name)
            entries[place]["link"] = number
        self.links.append([number, origin, slot, target, place, "*"])

    def content(self, **more: Any) -> dict[str, Any]:
        return {"nodes": list(self.nodes.values()), "links": self.links, "version": 0.4, **more}


def plain(text: Any = FOX) -> Editor:
    """A text, a sampler and a saved picture."""
    made = Editor()
    made.node(4, "CheckpointLoaderSimple", outputs="MODEL:MODEL CLIP:CLIP VAE:VAE", values=("x.safetensors",))
    made.node(5, "EmptyLatentImage", outputs="LATENT:LATENT", values=(512, 512, 1))
    made.node(6, "CLIPTextEncode", "clip:CLIP", "CONDITIONING:CONDITIONING", (text,), title="The prompt")
    made.node(7, "CLIPTextEncode", "clip:CLIP", "CONDITIONING:CONDITIONING", ("ugly",))
    made.node(
        3,
        "KSampler",
        "model:MODEL positive:CONDITIONING negative:CONDITIONING latent_image:LATENT",
        "LATENT:LATENT",
        (1, "randomize", 20, 8, "euler", "normal", 1),
    )
    made.node(8, "VAEDecode", "samples:LATENT vae:VAE", "IMAGE:IMAGE")
    made.node(9, "SaveImage", "images:IMAGE", values=("ComfyUI",))
    made.node(90, "Note", values=("a note about a dog",))
    for origin, slot, target, name in (
        *((4, 0, 3, "model"), (4, 1, 6, "clip"), (4, 1, 7, "clip"), (4, 2, 8, "vae")),
        *((6, 0, 3, "positive"), (7, 0, 3, "negative"), (5, 0, 3, "latent_image")),
        *((3, 0, 8, "samples"), (8, 0, 9, "images")),
    ):
        made.link(origin, slot, target, name)
    return made


def read(content: Any, **arguments: Any):
    return read_prompt({"workflow": json.dumps(content)}, **arguments)


def relinked(made: Editor, target: Any, name: str, origin: Any, slot: int = 0) -> None:
    """Let an input come from elsewhere."""
    made.links = [
        link for link in made.links if not (link[3] == target and made.nodes[target]["inputs"][link[4]]["name"] == name)
    ]
    number = 1 + max(link[0] for link in made.links)
    entries = made.nodes[target]["inputs"]
    place = next(at for at, entry in enumerate(entries) if entry["name"] == name)
    entries[place]["link"] = number
    made.links.append([number, origin, slot, target, place, "*"])


def test_a_plain_graph():
    found = read(plain().content())
    assert (found.positive, found.negative) == (FOX, "ugly")
    assert read(plain().content(), node="the prompt").positive == FOX
    assert read(plain().content(), node="7").positive == "ugly"


def test_links_may_be_written_by_name():
    made = plain()
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [dict(zip(names, link, strict=True)) for link in made.links]
    assert read({**made.content(), "links": links}).positive == FOX


def test_the_graph_that_was_run_goes_before_the_editors():
    run = {
        "3": {"class_type": "KSampler", "inputs": {"positive": ["6", 0], "seed": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": CASTLE}},
    }
    entries = {"workflow": json.dumps(plain("a {red|blue} fox").content()), "prompt": json.dumps(run)}
    assert read_prompt(entries).positive == CASTLE


def test_choices_that_the_editor_made_are_not_in_its_graph():
    found = read(plain("a {red|blue} fox").content())
    assert found.positive is None
    assert "by chance" in found.why_none()


def test_widgets_may_be_named_in_order_or_in_a_dictionary():
    made = plain()
    made.node(6, "SomeTextEncode", "clip:CLIP", "CONDITIONING:CONDITIONING", {"speed": 3, "prompt": FOX})
    made.nodes[6]["inputs"][0]["link"] = 2
    assert read(made.content()).positive == FOX
    made.node(6, "SomeTextEncode", "clip:CLIP first:STRING second:STRING", "CONDITIONING:CONDITIONING", ("strict", FOX))
    made.nodes[6]["inputs"][0]["link"] = 2
    for entry, name in zip(made.nodes[6]["inputs"][1:], ("mode", "prompt"), strict=True):
        entry |= {"name": name, "widget": {"name": name}}
    assert read(made.content()).positive == FOX


def test_reroutes_primitives_and_named_wires():
    made = plain("an old text")
    made.nodes[6]["inputs"].append({"name": "text", "type": "STRING", "link": None, "widget": {"name": "text"}})
    made.node(20, "PrimitiveNode", outputs="STRING:STRING", values=(FOX,))
    made.node(21, "Reroute", ":*", ":STRING")
    made.link(20, 0, 21, "")
    made.link(21, 0, 6, "text")
    made.node(22, "SetNode", "CONDITIONING:CONDITIONING", "*:*", ("positive",))
    made.node(23, "GetNode", outputs="CONDITIONING:CONDITIONING", values=("positive",))
    made.link(6, 0, 22, "CONDITIONING")
    relinked(made, 3, "positive", 23)
    assert read(made.content()).positive == FOX


@pytest.mark.parametrize("mode", [2, 4])
def test_muted_and_bypassed_nodes(mode):
    made = plain()
    made.node(
        20,
        "ConditioningCombine",
        "conditioning_1:CONDITIONING conditioning_2:CONDITIONING",
        "CONDITIONING:CONDITIONING",
        mode=mode,
    )
    made.node(21, "CLIPTextEncode", "clip:CLIP", "CONDITIONING:CONDITIONING", (CASTLE,))
    made.link(6, 0, 20, "conditioning_1")
    made.link(21, 0, 20, "conditioning_2")
    relinked(made, 3, "positive", 20)
    # A bypassed node passes its first input of the type on; a muted one gives nothing.
    assert read(made.content()).positive == (FOX if mode == 4 else None)


def test_a_muted_output_is_none():
    made = plain()
    made.node(30, "CLIPTextEncode", "clip:CLIP", "CONDITIONING:CONDITIONING", (CASTLE,))
    made.node(
        31, "KSampler", "positive:CONDITIONING latent_image:LATENT", "LATENT:LATENT", (1, "fixed", 20, 8, "a", "b", 1)
    )
    made.node(32, "VAEDecode", "samples:LATENT", "IMAGE:IMAGE")
    made.node(33, "SaveImage", "images:IMAGE", values=("other",))
    for origin, target, name in ((30, 31, "positive"), (31, 32, "samples"), (32, 33, "images")):
        made.link(origin, 0, target, name)
    assert read(made.content()).positive is None
    made.nodes[33]["mode"] = 2
    assert read(made.content()).positive == FOX


def subgraph(text: str = "an old text", linked: bool = True) -> dict[str, Any]:
    """A subgraph that encodes a text, its own or that of its input, and gives the conditioning."""
    inside = Editor()
    inside.node(1, "CLIPTextEncode", "clip:CLIP text:STRING", "CONDITIONING:CONDITIONING", (text,))
    inside.nodes[1]["inputs"][1]["widget"] = {"name": "text"}
    inside.link(-10, 0, 1, "clip")
    if linked:
        inside.link(-10, 1, 1, "text")
    inside.link(1, 0, -20, 0)
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {
        "id": SUBGRAPH,
        "name": "Encode",
        "nodes": list(inside.nodes.values()),
        "links": [dict(zip(names, link, strict=True)) for link in inside.links],
        "inputs": [
            {"name": "clip", "type": "CLIP", "linkIds": [1]},
            {"name": "text", "type": "STRING", "linkIds": [2]},
        ],
        "outputs": [{"name": "CONDITIONING", "type": "CONDITIONING", "linkIds": [3]}],
    }


def with_subgraph(values: Any, held: dict[str, Any], **more: Any) -> tuple[Editor, dict[str, Any]]:
    made = plain("not this one")
    made.node(40, SUBGRAPH, "clip:CLIP text:STRING", "CONDITIONING:CONDITIONING", values, **more)
    made.link(4, 1, 40, "clip")
    relinked(made, 3, "positive", 40)
    return made, {"definitions": {"subgraphs": [held]}}


def test_a_subgraphs_text_is_typed_outside_or_inside():
    made, definitions = with_subgraph((FOX,), subgraph())
    assert read(made.content(**definitions)).positive == FOX
    made, definitions = with_subgraph((), subgraph(FOX))
    assert read(made.content(**definitions)).positive == FOX
    made, definitions = with_subgraph((), subgraph(FOX, linked=False))
    found = read(made.content(**definitions), node="40:1")
    assert found.positive == FOX


def test_a_subgraphs_text_may_be_linked():
    made, definitions = with_subgraph(("an old text",), subgraph())
    made.node(41, "PrimitiveStringMultiline", outputs="STRING:STRING", values=(FOX,))
    made.link(41, 0, 40, "text")
    assert read(made.content(**definitions)).positive == FOX


def test_a_bypassed_subgraph_passes_on_what_fits():
    held = subgraph()
    made, definitions = with_subgraph((CASTLE,), held, mode=4)
    made.nodes[40]["inputs"].append({"name": "conditioning", "type": "CONDITIONING", "link": None})
    made.link(6, 0, 40, "conditioning")
    made.nodes[6]["widgets_values"] = [FOX]
    assert read(made.content(**definitions)).positive == FOX


def test_subgraphs_in_subgraphs():
    inner = subgraph()
    outer = Editor()
    outer.node(7, SUBGRAPH, "clip:CLIP text:STRING", "CONDITIONING:CONDITIONING")
    outer.link(-10, 0, 7, "clip")
    outer.link(-10, 1, 7, "text")
    outer.link(7, 0, -20, 0)
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    held = {**inner, "id": "outer", "nodes": list(outer.nodes.values())}
    held["links"] = [dict(zip(names, link, strict=True)) for link in outer.links]
    made = plain("not this one")
    made.node(40, "outer", "clip:CLIP text:STRING", "CONDITIONING:CONDITIONING", (FOX,))
    relinked(made, 3, "positive", 40)
    content = made.content(definitions={"subgraphs": [inner, held]})
    assert read(content).positive == FOX
    assert read(content, node="40:7:1").positive == FOX


def test_subgraphs_that_hold_one_another_end():
    held = subgraph()
    held["nodes"] += [{"id": number, "type": SUBGRAPH} for number in (50, 51)]
    made, definitions = with_subgraph((FOX,), held)
    assert read(made.content(**definitions)).positive is None
