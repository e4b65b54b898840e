"""Small weight files in every layout that is read."""

from __future__ import annotations

import copy
import json
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from grefine_core.clip.embeddings import save_embedding_set

from ..tiny_models.clip import CLIP_CONFIG, build_embeddings
from .hub import Handler


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch, tmp_path_factory) -> None:
    """No folders of this machine, no hub: what is found was put there by the test."""
    empty = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(empty))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("GREFINE_MODELS", "COMFYUI_PATH"):
        monkeypatch.delenv(name, raising=False)
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(empty / "hub"))


@pytest.fixture(scope="session")
def weights(small_clip) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in small_clip.state_dict().items()}


@pytest.fixture
def folder(tmp_path, weights) -> Path:
    """A folder as a user has it: weights, their configuration, embeddings of that width."""
    save_file(weights, tmp_path / "clip.safetensors")
    (tmp_path / "clip.json").write_text(json.dumps(copy.deepcopy(CLIP_CONFIG)), encoding="utf-8")
    save_embedding_set(build_embeddings(), tmp_path / "pq.safetensors")
    return tmp_path


@pytest.fixture
def server(monkeypatch):
    """The class of the server's handler; changing its attributes changes what it does."""
    handler = type("OwnHandler", (Handler,), {"seen": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_port}")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    yield handler
    running.shutdown()
    running.server_close()
