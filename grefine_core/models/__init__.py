"""Weight files: known ones, finding, verifying, fetching on request, loading."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architectures import Architecture
    from .downloading import download
    from .files import read_tensors
    from .finding import ModelStatus, download_folder, find_clip, list_models, locate, model_folders
    from .host_folders import check_host, host_model_folders
    from .loading import load_clip, load_quality_model
    from .needs import NEEDED, needed_by
    from .registry import REGISTRY, ModelEntry, entry_of
    from .verifying import Verification, file_sha256, verify_file

# Resolved on first use: `embeddings` needs `files` from here, and `loading` needs `embeddings`.
_HOMES = {
    "architectures": ("Architecture",),
    "downloading": ("download",),
    "files": ("read_tensors",),
    "finding": ("ModelStatus", "download_folder", "find_clip", "list_models", "locate", "model_folders"),
    "host_folders": ("check_host", "host_model_folders"),
    "loading": ("load_clip", "load_quality_model"),
    "needs": ("NEEDED", "needed_by"),
    "registry": ("REGISTRY", "ModelEntry", "entry_of"),
    "verifying": ("Verification", "file_sha256", "verify_file"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "NEEDED",
    "REGISTRY",
    "Architecture",
    "ModelEntry",
    "ModelStatus",
    "Verification",
    "check_host",
    "download",
    "download_folder",
    "entry_of",
    "file_sha256",
    "find_clip",
    "host_model_folders",
    "list_models",
    "load_clip",
    "load_quality_model",
    "locate",
    "model_folders",
    "needed_by",
    "read_tensors",
    "verify_file",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
