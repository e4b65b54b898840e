"""What nodes do to texts before they are encoded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from grefine_core.metadata import read_prompt

from .graphs import Graph, encoded, node, prompt, read, sampler, saved

FOX = "a red fox in snow"


def written(nodes: Graph, slot: int = 0) -> Graph:
    """A graph whose encoder's text is what node 20 gives."""
    return saved({"6": encoded(["20", slot]), "3": sampler("6"), **nodes}, "3")


def one(kind: str, slot: int = 0, **inputs: Any) -> Graph:
    return written({"20": node(kind, **inputs)}, slot)


def text(value: str) -> dict[str, Any]:
    return node("PrimitiveStringMultiline", value=value)


RED, IN_SNOW = {"30": text("a red fox")}, {"31": text("in snow")}

KNOWN: dict[str, Graph] = {
    "primitive": one("PrimitiveString", value=FOX),
    "text node": one("Text Multiline", text=FOX),
    "prompt node": one("CR Prompt Text", prompt=FOX),
    "literal": one("String Literal", string=FOX),
    "reroute": written({"20": node("Reroute", **{"": ["30", 0]}), "30": text(FOX)}),
    "joined": one("StringConcatenate", string_a="a red fox", string_b="in snow", delimiter=" "),
    "joined, one empty": one("StringConcatenate", string_a=FOX, string_b="", delimiter=""),
    "joined of links": written(
        {"20": node("JoinStrings", delimiter=" ", string1=["30", 0], string2=["31", 0])} | RED | IN_SNOW
    ),
    "joined of many": written(
        {
            "20": node(
                "Text Concatenate",
                delimiter=" ",
                clean_whitespace="true",
                text_a=["30", 0],
                text_b=["31", 0],
                text_c="",
            )
        }
        | RED
        | IN_SNOW
    ),
    "joined by a separator": written(
        {"20": node("CR Text Concatenate", text1=["30", 0], text2=["31", 0], separator=" ")} | RED | IN_SNOW
    ),
    "joined without one": one("ttN concat", text1="a red fox ", text2="in snow", text3="", delimiter=""),
    "joined with a linked delimiter": written(
        {
            "20": node("StringConcatenate", string_a="a red fox", string_b="in snow", delimiter=["32", 0]),
            "32": text(" "),
        }
    ),
    "joined twice": written(
        {
            "20": node("StringConcatenate", string_a=["21", 0], string_b="snow", delimiter=" "),
            "21": node("StringConcatenate", string_a="a red fox", string_b="in", delimiter=" "),
        }
    ),
    "appended": one(
        "StringFunction|pysssss",
        action="append",
        tidy_tags="no",
        text_a="a red fox ",
        text_b="in snow",
        text_c="",
        result="an old one",
    ),
    "replaced": one("StringReplace", string="a blue fox in snow", find="blue", replace="red"),
    "trimmed": one("StringTrim", string=f"  {FOX} ", mode="Both"),
    "small letters": one("CaseConverter", string=FOX.upper(), mode="lowercase"),
    "switch by number": one("CR Text Input Switch", Input=2, text1="a castle", text2=FOX),
    "switch by condition": one("Text Input Switch", boolean=False, text_a="a castle", text_b=FOX),
    "ComfyUI's switch": one("ComfySwitchNode", switch=True, on_false="a castle", on_true=FOX),
    "switch by a linked condition": written(
        {
            "20": node("ComfySwitchNode", switch=["30", 0], on_false=FOX, on_true="a castle"),
            "30": node("PrimitiveBoolean", value=False),
        }
    ),
    "switch by a linked number": written(
        {
            "20": node("ImpactSwitch", select=["30", 0], input1=["31", 0], input2=["32", 0], sel_mode=False),
            "30": node("PrimitiveInt", value=2),
            "31": text("a castle"),
            "32": text(FOX),
        }
    ),
    "first of any": written(
        {
            "20": node("Any Switch (rgthree)", any_01=["30", 0], any_02=["31", 0]),
            "30": text(FOX),
            "31": text("a castle"),
        }
    ),
    "switch between the same": written(
        {
            "20": node("ImpactSwitch", select=["29", 0], input1=["30", 0], input2=["30", 0]),
            "30": text(FOX),
            "29": node("RandomInt", seed=1),
        }
    ),
    "styler, positive": one("SDXLPromptStyler", text_positive=FOX, text_negative="ugly", style="base", log_prompt="No"),
    "styler with a style": one(
        "SDXLPromptStyler", text_positive=FOX, text_negative="ugly", style="anime", log_prompt="No"
    ),
    "styler, of links": written(
        {
            "20": node("SDXLPromptStyler", text_positive=["30", 0], text_negative=["31", 0], style="base"),
            "30": text(FOX),
            "31": text("ugly"),
        }
    ),
    "wildcards, populated": one(
        "ImpactWildcardProcessor",
        wildcard_text="a {red|blue} fox in __place__",
        populated_text=FOX,
        mode="populate",
        seed=1,
    ),
    "wildcards without any": one("DPRandomGenerator", text=FOX, seed=1, autorefresh="No"),
    "shown, what comes in": written(
        {"20": node("ShowText|pysssss", text=["30", 0], text_0="that of an earlier run"), "30": text(FOX)}
    ),
    "shown, what only the run knew": written(
        {
            "20": node("ShowText|pysssss", text=["30", 0], text_0=FOX),
            "30": node("OllamaGenerate", prompt="describe a fox", model="x"),
        }
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_text_that_was_encoded(name):
    assert prompt(KNOWN[name]) == FOX


UNKNOWN: dict[str, Graph] = {
    "another model's answer": one("OllamaGenerate", prompt="describe a fox", model="llama"),
    "what a picture shows": one("Florence2Run", image=["30", 0], text_input="", task="caption"),
    "tags of a picture": one("WD14Tagger|pysssss", image=["30", 0], model="x", tags="fox"),
    "line of a file": one("Load Prompt From File", file="prompts.txt", index=3),
    "lots": one("DPRandomGenerator", text="a {red|blue} fox", seed=1),
    "wildcards, not populated": one("Wildcard Processor", text="a fox in __place__", seed=1),
    "switch that nobody knows": written(
        {
            "20": node("ImpactSwitch", select=["29", 0], input1=["30", 0], input2=["31", 0]),
            "29": node("RandomInt", seed=1),
            "30": text(FOX),
            "31": text("a castle"),
        }
    ),
    "switch to what is not there": one("ImpactSwitch", select=4, input1=FOX, input2="a castle"),
    "part of it replaced by what nobody knows": written(
        {
            "20": node("StringReplace", string="a fox in X", find="X", replace=["30", 0]),
            "30": node("RandomLine", text="snow\nsand"),
        }
    ),
    "one of several texts": one("Text String", text=FOX, text_b="a castle", text_c="", text_d=""),
    "joined with what nobody knows": written(
        {
            "20": node("StringConcatenate", string_a="a fox", string_b=["30", 0], delimiter=" "),
            "30": node("GeminiNode", prompt="where?"),
        }
    ),
    "joined with what nobody knows between": written(
        {"20": node("StringConcatenate", string_a="a", string_b="b", delimiter=["30", 0]), "30": node("RandomLine")}
    ),
    "several parts replaced": one(
        "CR Text Replace", text="a fox in X", find1="X", replace1="snow", find2="", replace2=""
    ),
    "text with a prefix": one("Add To Prompt", prompt=FOX, prefix="photo of", suffix=""),
    "line of several": one("CR Prompt List", multiline_text="a fox\na castle", start_index=1, max_rows=1),
    "row of a text": one("Some Rows", text="a fox\na castle", index=1),
    "part of a text": one("Text Split", text="a fox, a castle", delimiter=", ", index=0),
    "a node that is not there": written({"20": node("PrimitiveString", value=["44", 0])}),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_in_the_graph_is_not_guessed(name):
    found = read(UNKNOWN[name])
    assert found.positive is None
    assert found.why_none()


def test_the_words_of_a_style_are_said_to_be_missing():
    assert read(KNOWN["styler, positive"]).notes == ()
    (note,) = read(KNOWN["styler with a style"]).notes
    assert "'anime'" in note


def test_an_old_text_that_was_shown_is_said_to_be_one():
    (note,) = read(KNOWN["shown, what only the run knew"]).notes
    assert "20 (ShowText|pysssss)" in note
    # The editor's graph beside it holds what was shown in this run.
    shown = {"nodes": [{"id": 20, "type": "ShowText|pysssss", "widgets_values": [["a red fox on sand"]]}], "links": []}
    graph = json.dumps(KNOWN["shown, what only the run knew"])
    found = read_prompt({"prompt": graph, "workflow": json.dumps(shown)})
    assert (found.positive, found.notes) == ("a red fox on sand", ())


def test_sides_of_a_styler_are_not_confused():
    graph = one("SDXLPromptStyler", text_positive=FOX, text_negative="ugly", style="base")
    graph["7"] = encoded(["20", 1])
    found = read(graph)
    assert (found.positive, found.negative) == (FOX, "ugly")


def test_a_text_that_doubles_itself_is_bounded():
    nodes = {"20": node("StringConcatenate", string_a=["210", 0], string_b=["210", 0], delimiter="")}
    for number in range(210, 310):
        nodes[str(number)] = node(
            "StringConcatenate", string_a=[str(number + 1), 0], string_b=[str(number + 1), 0], delimiter=""
        )
    nodes["310"] = text("fox ")
    found = read(written(nodes))
    assert found.positive is None
    assert "longer than" in found.why_none()
