"""Metadata as damage, other programs and ill will leave it: an answer or none, in little time, never a traceback."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grefine_core.errors import InputError
from grefine_core.metadata import read_prompt
from grefine_core.metadata.containers import decode_user_comment
from grefine_core.metadata.infotext import read_infotext

from ..effort import EFFORTS
from .graphs import BASE, encoded, node, read, sampler, saved
from .test_chain import ONE_PROMPT
from .test_conditioning import TOGETHER
from .test_editor import FOX, plain, subgraph, with_subgraph
from .test_texts import KNOWN

GRAPHS = [*ONE_PROMPT.values(), *TOGETHER.values(), *KNOWN.values()]
_MADE, _HELD = with_subgraph((FOX,), subgraph())
EDITED = [plain().content(), _MADE.content(**_HELD)]

#: Anything that JSON can hold, and links to nodes that may be there.
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["6", "3", -10, -20]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
LINKS = st.tuples(st.sampled_from(["3", "4", "5", "6", "7", "8", "20", "98"]), st.integers(-2, 5)).map(list)


def places(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be changed."""
    found = [at] if at else []
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        found += places(value, (*at, key))
    return found


def changed(content: Any, at: tuple[Any, ...], value: Any, drop: bool) -> Any:
    content = copy.deepcopy(content)
    inner = content
    for key in at[:-1]:
        inner = inner[key]
    if drop and isinstance(inner, dict):
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return content


@settings(max_examples=300)
@given(st.data())
def test_a_changed_graph_gives_a_prompt_or_none(data):
    content = data.draw(st.sampled_from(GRAPHS + EDITED))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(places(content)))
        content = changed(content, at, data.draw(ODD | LINKS), data.draw(st.booleans()))
    key = data.draw(st.sampled_from(["prompt", "workflow", "parameters"]))
    found = read_prompt({key: json.dumps(content)})
    assert found.positive is None or found.positive.strip()
    assert isinstance(found.why_none(), str)
    for name in ("3", "6", "The prompt", "nowhere"):
        with suppress(InputError):  # no such node, or nothing in it
            assert read_prompt({key: json.dumps(content)}, node=name).positive


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["prompt", "workflow", "parameters", "Comment", "Dream"]), ODD.map(json.dumps) | st.text()
    )
)
def test_any_entries_give_a_prompt_or_none(entries):
    assert isinstance(read_prompt(entries).why_none(), str)


@settings(max_examples=100)
@given(st.binary(max_size=60), st.sampled_from([b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b"\0" * 8, b""]))
def test_any_user_comment_is_some_text(body, name):
    assert isinstance(decode_user_comment(name + body), str)


@settings(max_examples=100)
@given(st.text(alphabet="abS, :\n0egativ promptSs") | st.text())
def test_an_infotext_loses_no_words(text):
    found = read_infotext(text)
    for part in (found.positive, found.negative, found.settings):
        assert part in "\n".join(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))


# Graphs that are large, deep, or run in circles.


def deep_conditionings(count: int) -> dict:
    nodes = {str(at): node("FluxGuidance", conditioning=[str(at + 1), 0]) for at in range(100, 100 + count)}
    return saved({"3": sampler("100"), **nodes, str(100 + count): encoded(FOX)}, "3")


def wide_combinations(count: int) -> dict:
    nodes = {
        str(at): node("ConditioningCombine", conditioning_1=[str(at + 1), 0], conditioning_2=[str(at + 1), 0])
        for at in range(100, 100 + count)
    }
    return saved({"3": sampler("100"), **nodes, str(100 + count): encoded(FOX)}, "3")


def long_chain_of_samplers(count: int) -> dict:
    nodes = {str(at): sampler("6", latent=str(at + 1), denoise=0.3) for at in range(100, 100 + count)}
    return saved({"6": encoded(FOX), **nodes, str(100 + count): sampler("6")}, "100")


def many_ways_of_pictures(count: int) -> dict:
    nodes = {
        str(at): node("ImageBlend", image1=[str(at + 1), 0], image2=[str(at + 1), 0]) for at in range(100, 100 + count)
    }
    ends = {str(100 + count): node("VAEDecode", samples=["3", 0])}
    return saved({"3": sampler("6"), "6": encoded(FOX), **nodes, **ends}, "100", latent=False)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize(
    "graph", [deep_conditionings, wide_combinations, long_chain_of_samplers, many_ways_of_pictures]
)
def test_large_graphs_take_time_by_size_alone(graph, effort):
    def spent(count):
        content = json.dumps(graph(count))
        assert read_prompt({"prompt": content}).positive == FOX
        return effort(lambda: read_prompt({"prompt": content}))

    # Eight times as large: far below the 64 times that every pair of nodes would cost.
    assert spent(4_000) < 20 * spent(500)


@pytest.mark.parametrize("effort", EFFORTS)
def test_many_outputs_and_samplers_take_time_by_size_alone(effort):
    def spent(count):
        nodes = {**BASE, "6": encoded(FOX), "8": encoded("a castle")}
        for at in range(count):
            nodes[f"s{at}"] = sampler("6" if at else "8", latent=f"s{at - 1}" if at else "5", denoise=0.3)
            nodes[f"d{at}"] = node("VAEDecode", samples=[f"s{at}", 0])
            nodes[f"o{at}"] = node("SaveImage", images=[f"d{at}", 0], filename_prefix="x")
        content = json.dumps(nodes)
        assert read_prompt({"prompt": content}).positive == "a castle"
        return effort(lambda: read_prompt({"prompt": content}))

    assert spent(1_600) < 20 * spent(200)


def test_names_and_texts_made_to_be_slow_are_not():
    """That it ends at all: made for expressions that would try every way through them."""
    for text in (
        "{" + "|" * 100_000,
        "{" * 100_000,
        "_" * 100_000,
        "__a" * 30_000,
        "<segment" * 30_000,
        '"' + "\\" * 99_999,
    ):
        entries = {
            "prompt": json.dumps(
                saved({"6": encoded(["20", 0]), "20": node("Wildcards", text=text), "3": sampler("6")}, "3")
            )
        }
        assert isinstance(read_prompt(entries).why_none(), str)
        assert isinstance(
            read_prompt({"Dream": text, "parameters": json.dumps({"sui_image_params": {"prompt": text}})}).why_none(),
            str,
        )
    for name in ("1" * 50_000 + "x", "_" * 50_000, "pos_" * 20_000, "text_" * 20_000 + "!", "image " * 20_000):
        nodes = {
            "20": node("Any Switch", **{name: ["6", 0]}),
            "6": encoded(FOX),
            "3": sampler("20", **{name: ["6", 0]}),
        }
        assert isinstance(read(saved(nodes, "3")).why_none(), str)


@pytest.mark.parametrize("kind", [["CONDITIONING"], {"a": 1}, 3, None])
def test_types_of_slots_may_be_anything(kind):
    content = plain().content()
    for one in content["nodes"]:
        for slot in (*one["inputs"], *one["outputs"]):
            slot["type"] = kind
    assert isinstance(read_prompt({"workflow": json.dumps(content)}).why_none(), str)


def test_circles_end():
    circle = {"20": node("FluxGuidance", conditioning=["21", 0]), "21": node("FluxGuidance", conditioning=["20", 0])}
    found = read(saved({"3": sampler("20"), **circle}, "3"))
    assert found.positive is None
    assert "circle" in found.why_none()
    assert read(
        saved({"3": sampler("6", latent="8"), "8": node("LatentBlend", samples=["3", 0]), "6": encoded(FOX)}, "3")
    ).positive in (FOX, None)


def test_deep_json_and_long_numbers():
    for text in (
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"3": ' + "1" * 10_000 + "}",
        '{"3": {"inputs": {"seed": 1e999}}}',
        "{",
        "\0",
    ):
        assert read_prompt({"prompt": text, "workflow": text}).positive is None
        assert read_prompt({"prompt": text, "parameters": "a cat"}).positive == "a cat"
