"""Weight files: known ones, finding, verifying, fetching on request, loading."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .downloading import Verification, download, file_sha256, verify_file
    from .entry import ModelEntry
    from .files import read_tensors
    from .finding import (
        ModelStatus,
        check_host,
        download_folder,
        find_clip,
        host_model_folders,
        list_models,
        locate,
        model_folders,
    )
    from .registry import NEEDED, REGISTRY, entry_of, needed_by

# Resolved on first use: reading a file needs nothing of what finds, checks and fetches them.
_HOMES = {
    "downloading": ("Verification", "download", "file_sha256", "verify_file"),
    "files": ("read_tensors",),
    "finding": (
        "ModelStatus",
        "check_host",
        "download_folder",
        "find_clip",
        "host_model_folders",
        "list_models",
        "locate",
        "model_folders",
    ),
    "entry": ("ModelEntry",),
    "registry": ("NEEDED", "REGISTRY", "entry_of", "needed_by"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "NEEDED",
    "REGISTRY",
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
