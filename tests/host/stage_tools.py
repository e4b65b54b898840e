"""Graphs of the stage nodes with the doubles, exact pictures in and out, and the doubles' journals."""

from __future__ import annotations

import json
import uuid
from typing import Any

import numpy as np

from .client import HostClient, Run
from .server import HostServer

#: Defaults for small test pictures: crops are the pictures' own size, and nothing is done to the colours.
STAGE1 = {
    "run": True,
    "strength": 0.7,
    "steps": 4,
    "seed": 5,
    "cfg": 1.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "crop_size": "source",
    "min_side": 16,
    "native_side": 64,
    "context": 0.5,
    "color_match": False,
}
STAGE2 = {"run": True, "strength": 0.2, "steps": 4, "seed": 5, "keep_color": False}
RESTORER = {"cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "tile_size": 1024}
GREEN, RED, BLUE = "0.1 0.9 0.2", "0.9 0.1 0.1", "0.1 0.2 0.9"


def color(text: str) -> np.ndarray:
    return np.array([float(part) for part in text.split()], np.float32)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """A picture with different bytes everywhere, in [0, 1]."""
    return np.random.default_rng(seed).random((*shape, 3), np.float32)


def box(height: int, width: int, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """A mask (1, H, W) that is 1 inside a rectangle."""
    mask = np.zeros((1, height, width), np.float32)
    mask[:, top:bottom, left:right] = 1.0
    return mask


class Bench:
    """One test's place at the server: names of its own, so that nothing is cached from another test."""

    def __init__(self, server: HostServer, client: HostClient) -> None:
        self.server, self.client = server, client
        self.name = f"bench_{uuid.uuid4().hex[:8]}"
        self.graph: dict[str, Any] = {}

    def add(self, node: str, class_type: str, **inputs: Any) -> list[Any]:
        """Adds a node and gives a link to its first output."""
        self.graph[node] = {"class_type": class_type, "inputs": inputs}
        return [node, 0]

    def tensor(self, node: str, array: np.ndarray, output: int = 0) -> list[Any]:
        """A picture (output 0) or mask (output 1) exactly as it is."""
        name = f"{self.name}_{node}"
        np.save(self.server.input_dir / f"{name}.npy", array)
        return [self.add(node, "GRefineDoubleTensor", name=name)[0], output]

    def values(self, node: str, *lines: Any, output: int = 0) -> list[Any]:
        """A list of texts (output 0), floats (1), integers (2) or truth values (3)."""
        self.add(node, "GRefineDoubleValues", lines="\n".join(str(line) for line in lines))
        return [node, output]

    def models(self, kind: str = "ordinary", *, color: Any = GREEN, negative: Any = GREEN, **options: Any) -> dict:
        """The model inputs of a stage: doubles that paint ``color``. options: channels, factor, delay, fail_at."""
        channels = options.pop("channels", 16 if kind.endswith("16") else 4)
        vae = {"channels": channels, "factor": options.pop("factor", 8), "video": kind == "video16"}
        return {
            "model": self.add("model", "GRefineDoubleModel", kind=kind, journal=self.name, **options),
            "vae": self.add("vae", "GRefineDoubleVAE", **vae, journal=f"{self.name}_vae"),
            "positive": self.add("positive", "GRefineDoubleConditioning", color=color),
            "negative": self.add("negative", "GRefineDoubleConditioning", color=negative),
        }

    def tiny_models(self, kind: str, prompt: str = "a red apple", channels: int = 4) -> dict:
        """The model inputs of a stage: real networks, tiny."""
        encoder = "sdxl" if kind.startswith("sdxl") else "sd15"
        clip = self.add("clip", "GRefineTinyTextEncoder", kind=encoder, width="tiny")
        return {
            "model": self.add("model", "GRefineTinyUNet", kind=kind),
            "vae": self.add("vae", "GRefineTinyVAE", channels=channels),
            "positive": self.add("positive", "CLIPTextEncode", clip=clip, text=prompt),
            "negative": self.add("negative", "CLIPTextEncode", clip=clip, text=""),
        }

    def stage1(self, image: Any, mask: Any, models: dict, **options: Any) -> Run:
        """Runs the graph with Stage-1 Inpaint as node "stage"; arrays are put in as they are."""
        return self.client.run(self.stage1_graph(image, mask, models, **options))

    def stage1_graph(self, image: Any, mask: Any, models: dict, **options: Any) -> dict[str, Any]:
        """That graph, not yet queued."""
        link = image if isinstance(image, list) else self.tensor("image", image)
        where = mask if isinstance(mask, list) else self.tensor("mask", mask, 1)
        if isinstance(options.get("composite_mask"), np.ndarray):
            options["composite_mask"] = self.tensor("composite", options["composite_mask"], 1)
        self.add("stage", "GRefineStage1Inpaint", image=link, denoise_mask=where, **{**STAGE1, **models, **options})
        return self.captured("stage")

    def stage2(self, image: Any, models: dict, *, restorer: dict | None = None, **options: Any) -> Run:
        """Runs the graph with Stage-2 Restore as node "stage", its restorer from ``models``."""
        link = image if isinstance(image, list) else self.tensor("image", image)
        made = self.add("restorer", "GRefineRestorerFromModel", **{**RESTORER, **models, **(restorer or {})})
        self.add("stage", "GRefineStage2Restore", image=link, restorer=made, **{**STAGE2, **options})
        return self.client.run(self.captured("stage"))

    def captured(self, node: str) -> dict[str, Any]:
        """The graph, with the output of ``node`` captured for ``result``."""
        self.add("capture", "GRefineDoubleCapture", tensor=[node, 0], name=self.name)
        return self.graph

    def result(self, number: int = 0) -> np.ndarray:
        """What came out: picture batch ``number`` of the list."""
        return np.load(self.server.output_dir / f"{self.name}_{number}.npy")

    def journal(self, suffix: str = "") -> list[dict[str, Any]]:
        """The calls of this bench's model (of its VAE with ``_vae``), in order."""
        path = self.server.base / "temp" / f"{self.name}{suffix}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
