"""What the nodes show on themselves, through the real queue: small pictures and words, for the browser alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from grefine_core.miniature.world import EXAMPLE
from grefine_core.pictures import load_picture

from ..tooling import tool

WORDS = "a circle, a green star on snow, 8k"


def node(kind: str, **given: Any) -> dict[str, Any]:
    """A node with its defaults and these inputs."""
    declared = tool("node_record").read()[kind]["input"]
    inputs = {
        name: spec[1].get("default", (spec[1].get("options") or [None])[0])
        for group in ("required", "optional")
        for name, spec in declared.get(group, {}).items()
        if spec[0] in ("COMBO", "INT", "FLOAT", "STRING", "BOOLEAN") and not spec[1].get("forceInput")
    }
    return {"class_type": kind, "inputs": {**inputs, **given}}


def measured(client, *pictures: np.ndarray, prompt: str = WORDS) -> dict[str, Any]:
    """A graph that measures these pictures as one batch; not one of the host's own preview nodes."""
    graph: dict[str, Any] = {"models": node("GRefineLoadMiniature")}
    batch = None
    for index, picture in enumerate(pictures):
        name = client.put_image(picture, f"shown_{picture.shape[0]}_{index}.png")
        graph[f"load {index}"] = {"class_type": "LoadImage", "inputs": {"image": name}}
        both = {"image1": batch, "image2": [f"load {index}", 0]}
        graph[f"batch {index}"] = {"class_type": "ImageBatch", "inputs": both}
        batch = [f"batch {index}", 0] if batch else [f"load {index}", 0]
    graph = {name: entry for name, entry in graph.items() if name != "batch 0"}
    graph["pq"] = node("GRefinePQMap", image=batch, quality_model=["models", 3])
    graph["aq"] = node("GRefineAQMap", image=batch, quality_model=["models", 3], prompt=prompt)
    graph["mask"] = node("GRefineBinarizeMap", defect_map=["pq", 1], method="top", floor=0.0)
    return graph


def cards(run, name: str) -> list[dict[str, Any]]:
    return run.outputs[name]["grefine"]


def words(card: dict[str, Any]) -> list[str]:
    """What was found; what has to be known beside it is another test's."""
    return [line["text"] for line in card["lines"] if line["text"] not in noted(card)]


def noted(card: dict[str, Any]) -> list[str]:
    """What stands beside the figures, in the colour of a warning."""
    return [line["text"] for line in card["lines"] if line["kind"] == "warn" and not line.get("chip")]


@pytest.fixture(scope="module")
def two() -> list[np.ndarray]:
    """Smooth ones, which a JPEG keeps."""
    coarse = np.random.default_rng(5).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(each).resize((130, 90), Image.Resampling.BICUBIC)) for each in coarse]


@pytest.fixture(scope="module")
def example() -> tuple[np.ndarray, str]:
    """The picture with known defects, and its prompt."""
    found = load_picture(EXAMPLE)
    return (found.image[0] * 255).round().byte().numpy(), found.text["parameters"]


def test_maps_and_masks_are_seen_on_their_nodes_with_nothing_behind_them(client, two):
    graph = measured(client, *two)
    graph["overlay"] = {"class_type": "PreviewImage", "inputs": {"images": ["pq", 2]}}
    graph["hard"] = {"class_type": "MaskPreview", "inputs": {"mask": ["mask", 0]}}
    run = client.run(graph).ok()
    for name in ("pq", "aq", "mask"):
        assert set(run.outputs[name]) == {"grefine"}, "other programs find no more pictures or texts than before"
        assert len(cards(run, name)) == 2
    for index, card in enumerate(cards(run, "pq")):
        shown = client.view(card["picture"]).astype(int)
        assert np.abs(shown - run.images("overlay")[index][..., :3]).mean() < 3  # it is a JPEG
        assert words(card)[0].startswith("Perceptual score: 0.")
        assert words(card)[1].startswith("Share of its bound: overall ")
        assert words(card)[2].startswith("Worst region: 0.")
    for index, card in enumerate(cards(run, "mask")):
        shown, hard = client.view(card["picture"]), run.images("hard")[index].max(-1)
        assert shown.shape == hard.shape
        assert (shown[hard == 255] >= 127).all(), "what is sampled anew is white"
        assert (shown[hard == 0] <= 128).all(), "and grey where the old picture shows through"
        assert {0, 255} < set(np.unique(shown))
        assert words(card)[0].endswith("% of the picture")


def test_phrases_are_coloured_by_their_defects(client, two):
    graph = measured(client, two[0])
    graph["phrases"] = {"class_type": "PreviewAny", "inputs": {"source": ["aq", 4]}}
    run = client.run(graph).ok()
    (card,) = cards(run, "aq")
    told = run.texts("phrases")[0].splitlines()
    kinds = {"matched": "good", "there, but": "warn", "not there": "bad", "style": "faint"}
    chips = [line for line in card["lines"] if line.get("chip")]
    assert [chip["title"].splitlines()[0] for chip in chips] == told
    for chip in chips:
        told = chip["title"].splitlines()[0]
        assert chip["kind"] == next(kind for words, kind in kinds.items() if words in told), chip


def test_the_words_of_decisions(client, two):
    graph = measured(client, two[0])
    graph["merged"] = node("GRefineBinarizeMap", defect_map=["pq", 1], protect=["everything", 0])
    size = {"height": 90, "width": 130}
    graph["everything"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, **size}}
    scores = {"perceptual_score": ["pq", 3], "alignment_score": ["aq", 2]}
    graph["plan"] = node("GRefinePlan", **scores)
    graph["emphasis"] = node("GRefinePromptEmphasis", prompt=WORDS, phrases=["aq", 3])
    graph["black"] = {"class_type": "EmptyImage", "inputs": {**size, "batch_size": 1, "color": 0}}
    measure = {"quality_model": ["models", 3], "prompt": WORDS}
    pair = {"before": ["load 0", 0], "after": ["black", 0]}
    graph["guard"] = node("GRefineNoHarmGuard", stage="my stage", **pair, **measure)
    graph["same"] = node("GRefineNoHarmGuard", before=["load 0", 0], after=["load 0", 0], **measure)
    graph["report"] = node("GRefineQualityReport", stage1_guard=["guard", 1], **pair, **measure)
    for name in ("plan", "emphasis", "guard", "same"):
        slot = {"plan": 6, "guard": 1, "same": 1}.get(name, 0)
        graph[f"{name} text"] = {"class_type": "PreviewAny", "inputs": {"source": [name, slot]}}
    run = client.run(graph).ok()
    assert words(cards(run, "merged")[0]) == ["Nothing is masked: stage 1 has nothing to do."]
    assert words(cards(run, "plan")[0]) == run.texts("plan text")
    (prompt,) = run.texts("emphasis text")
    assert words(cards(run, "emphasis")[0]) == [prompt if prompt != WORDS else "As it was."]
    decisions = json.loads(run.texts("guard text")[0])["decisions"]
    verdicts = ["good" if decision["accepted"] else "bad" for decision in decisions]
    judged = [line for line in cards(run, "guard")[0]["lines"] if line["text"].startswith("my stage")]
    assert [line["kind"] for line in judged] == verdicts
    assert judged[0]["text"].startswith("my stage, the whole picture: ")
    assert words(cards(run, "same")[0]) == ["Nothing had changed."]
    (card,) = cards(run, "report")
    told = [line for line in card["lines"] if line["text"] not in noted(card)]
    before, after = (client.view(picture) for picture in card["compare"])
    assert before.shape == after.shape == (90, 130, 3)
    assert np.abs(before.astype(int) - two[0]).mean() < 3, "it is a JPEG"
    assert after.max() < 4
    assert [line["text"].split(":")[0] for line in told[:2]] == ["Perceptual score", "Alignment score"]
    assert told[-1]["text"].startswith("Stage 1, the whole picture: ")
    assert [line["kind"] for line in told if line["text"].startswith("Stage 1")] == verdicts
    assert sum(line.get("chip", False) for line in told) == len(
        [x for x in cards(run, "aq")[0]["lines"] if "chip" in x]
    )


def test_what_a_user_has_to_know_stands_beside_the_figures(client, two, example):
    """No prompt; another language; small models that are asked about what they do not know."""
    picture, prompt = example
    inside = client.run(measured(client, picture, prompt=prompt)).ok()
    assert [noted(cards(inside, name)[0]) for name in ("pq", "aq")] == [[], []]
    graph = measured(client, two[0], prompt="")
    graph["foreign"] = node("GRefineAQMap", image=["load 0", 0], quality_model=["models", 3], prompt="ein roter Apfel")
    graph["strange"] = node("GRefineAQMap", image=["load 0", 0], quality_model=["models", 3], prompt="a dog on grass")
    graph["emphasis"] = node("GRefinePromptEmphasis", prompt="", phrases=["aq", 3])
    graph["shown"] = {"class_type": "PreviewAny", "inputs": {"source": ["emphasis", 0]}}
    run = client.run(graph).ok()
    size = "a picture of 130 × 90 pixels"
    assert [size in text for text in noted(cards(run, "pq")[0])] == [True]
    missing, outside = noted(cards(run, "aq")[0])
    assert missing.startswith("No prompt is given")
    assert size in outside
    assert noted(cards(run, "emphasis")[0]) == [missing]
    assert noted(cards(run, "foreign")[0])[0].startswith("The prompt is not English (German)")
    assert "'dog'" in noted(cards(run, "strange")[0])[0]


def test_large_pictures_are_shown_small(client):
    large = np.zeros((300, 1600, 3), np.uint8)
    large[:, 800:] = 255
    run = client.run(measured(client, large)).ok()
    for name in ("pq", "aq", "mask"):
        assert client.view(cards(run, name)[0]["picture"]).shape[:2] == (96, 512)


def test_of_a_large_batch_the_first_are_shown(client, host_server):
    pictures = [np.full((32, 32, 3), 12 * index, np.uint8) for index in range(18)]
    run = client.run(measured(client, *pictures)).ok()
    for name in ("pq", "aq", "mask"):
        assert len(cards(run, name)) == 17
        assert sum("picture" in card for card in cards(run, name)) == 16
        assert words(cards(run, name)[-1]) == ["and 2 more pictures"]


def test_what_is_cached_is_shown_again_and_not_drawn_again(client, host_server, two):
    def files() -> set[Path]:
        return set((host_server.base / "temp").rglob("grefine_*"))

    graph = measured(client, *two, prompt="a square")
    first = client.run(graph).ok()
    drawn = files()
    again = client.run(graph).ok()
    assert not set(again.executed) & {"pq", "aq", "mask"}
    assert files() == drawn
    for name in ("pq", "aq", "mask"):
        assert cards(again, name) == cards(first, name)


def test_the_example_shows_what_it_lacks_in_colour(client, example):
    """Trained models and a picture with known defects: what is not there is red, what is there green."""
    with_defects, prompt = example
    run = client.run(measured(client, with_defects, prompt=prompt)).ok()
    kinds = {line["text"].split(":")[0]: line["kind"] for line in cards(run, "aq")[0]["lines"] if line.get("chip")}
    assert kinds == {"two small black diamonds float": "bad", "fish": "good", "water": "good"}
