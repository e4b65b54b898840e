"""Graphs as ComfyUI writes them into pictures, small."""

from __future__ import annotations

import json
from typing import Any

from grefine_core.metadata import FoundPrompt, read_prompt

Graph = dict[str, dict[str, Any]]


def node(kind: str, title: str | None = None, **inputs: Any) -> dict[str, Any]:
    """A node of the API format."""
    made: dict[str, Any] = {"class_type": kind, "inputs": inputs}
    return made if title is None else {**made, "_meta": {"title": title}}


def encoded(text: Any) -> dict[str, Any]:
    """A text encoder; ``text`` may be a link."""
    return node("CLIPTextEncode", text=text, clip=["4", 1])


def sampler(source: str, negative: str = "7", latent: str = "5", **inputs: Any) -> dict[str, Any]:
    """A sampler of the positive conditioning ``source``, with all the inputs that ComfyUI writes."""
    settings = {"seed": 1, "steps": 20, "cfg": 8, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"positive": [source, 0], "negative": [negative, 0], "latent_image": [latent, 0], "model": ["4", 0]}
    return node("KSampler", **{**settings, **links, **inputs})


BASE: Graph = {
    "4": node("CheckpointLoaderSimple", ckpt_name="x.safetensors"),
    "5": node("EmptyLatentImage", width=512, height=512, batch_size=1),
    "7": encoded("ugly, blurry"),
}


def saved(nodes: Graph, last: str, latent: bool = True, prefix: str = "ComfyUI") -> Graph:
    """The nodes with a base, and what saves the picture that ``last`` gives."""
    if latent:
        ends = {
            "98": node("VAEDecode", samples=[last, 0], vae=["4", 2]),
            "99": node("SaveImage", images=["98", 0], filename_prefix=prefix),
        }
    else:
        ends = {"99": node("SaveImage", images=[last, 0], filename_prefix=prefix)}
    return {**BASE, **nodes, **ends}


def read(graph: Graph, **arguments: Any) -> FoundPrompt:
    """What is found in a graph of the API format."""
    return read_prompt({"prompt": json.dumps(graph)}, **arguments)


def prompt(graph: Graph) -> str | None:
    """The prompt in a graph of the API format."""
    return read(graph).positive
