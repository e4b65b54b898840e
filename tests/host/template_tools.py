"""The shipped templates in the tests with the host: changed as little as small models need, and what came of them."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from grefine_core.comfyui.workflow import set_input

from ..tiny_models import write_quality_model
from .client import HostClient
from .server import HostServer

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "workflows"
PICTURE = ROOT / "tests" / "data" / "coffee.jpg"
SIZE = (101, 70)  # width, height: neither is a multiple of anything a VAE likes
EMBEDDINGS = "standin_embeddings.safetensors"


def put_quality_model(server: HostServer, scratch: Path) -> Path:
    """A small untrained quality model under the name that the templates ask for; returns its folder."""
    quality = write_quality_model(scratch)
    folder = server.models_dir / "grefine"
    folder.mkdir(exist_ok=True)
    for name, to in (("clip.safetensors", "safetensors"), ("clip.json", "json")):
        shutil.copyfile(quality / name, folder / f"open_clip_model.{to}")
    shutil.copyfile(quality / "pq_embeddings.safetensors", folder / EMBEDDINGS)
    return folder


def put_photograph(client: HostClient, size: tuple[int, int] = SIZE, name: str = "coffee_small.png") -> str:
    """A photograph, made small (and by default odd-sized)."""
    small = Image.open(PICTURE).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    return client.put_image(np.asarray(small), name)


def of(graph: dict[str, Any], kind: str, title: str = "") -> str:
    """The id of the node of that kind (and title)."""
    found = [
        i
        for i, n in graph.items()
        if n["class_type"] == kind and (not title or n.get("_meta", {}).get("title") == title)
    ]
    assert len(found) == 1, (kind, title, found)
    return found[0]


def shipped(name: str, picture: str) -> dict[str, Any]:
    """A shipped API file with the picture, and embeddings of the stand-in's width."""
    graph = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    graph = set_input(graph, of(graph, "LoadImage", "Picture"), "image", picture)
    return set_input(graph, of(graph, "GRefineLoadQualityModel"), "embeddings", EMBEDDINGS)


def with_bars(graph: dict[str, Any], bar: float, steps: int | None = None) -> dict[str, Any]:
    """Decided by bars, for an untrained model's verdicts say nothing: ``bar`` 1 lets no picture pass, 0 every one."""
    plan = of(graph, "GRefinePlan")
    graph = set_input(graph, plan, "mode", "gated")
    for key in ("perceptual_bar", "alignment_bar"):
        graph = set_input(graph, plan, key, bar)
    return graph if steps is None else set_input(graph, plan, "steps", steps)


def replaced(graph: dict[str, Any], loader: str, double: str, **inputs: Any) -> dict[str, Any]:
    """The graph with a double in place of the loader of that kind."""
    node = of(graph, loader)
    title = graph[node].get("_meta", {}).get("title", "")
    return {**graph, node: {"class_type": double, "inputs": inputs, "_meta": {"title": title}}}


def with_parts(graph: dict[str, Any], title: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The graph with a node for each output of a checkpoint loader, (class_type, inputs), in its place."""
    graph = copy.deepcopy(graph)
    loader = of(graph, "CheckpointLoaderSimple", title)
    del graph[loader]
    for node in graph.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] == loader:
                node["inputs"][name] = [f"part {value[1]}", 0]
    return graph | {f"part {slot}": part for slot, part in enumerate(parts) if part}


def with_a_part_to_redraw(graph: dict[str, Any]) -> dict[str, Any]:
    """An untrained model finds nothing in particular: the worst fifth of its map, and the worst phrases."""
    for key, value in {"method": "top", "floor": 0.0, "calibrated": False}.items():
        graph = set_input(graph, of(graph, "GRefineBinarizeMap"), key, value)
    return graph


def with_previews(graph: dict[str, Any]) -> dict[str, Any]:
    """The same graph that also shows the picture as loaded, stage 1's result before the guard, the composite mask."""
    graph = copy.deepcopy(graph)
    stage1, mask = of(graph, "GRefineStage1Inpaint"), of(graph, "GRefineBinarizeMap")
    for name, source in {
        "loaded": graph[stage1]["inputs"]["image"],
        "redrawn": [stage1, 0],
        "guarded": [of(graph, "GRefineNoHarmGuard", "No-Harm Guard: stage 1"), 0],
    }.items():
        graph[name] = {"class_type": "PreviewImage", "inputs": {"images": source}}
    emphasis = of(graph, "GRefinePromptEmphasis")
    graph["emphasised"] = {"class_type": "PreviewAny", "inputs": {"source": [emphasis, 0]}}
    graph["mask"] = {"class_type": "MaskPreview", "inputs": {"mask": [mask, 1]}}
    return graph


def kinds(graph: dict[str, Any], nodes: list[str]) -> set[str]:
    return {graph[node]["class_type"] for node in nodes if node in graph}


def only(pictures: list[np.ndarray]) -> np.ndarray:
    assert len(pictures) == 1
    return pictures[0][..., :3]
