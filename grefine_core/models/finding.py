"""Where weight files lie: the user's folders, and Hugging Face's local cache. Nothing is fetched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFileError
from .files import SUFFIXES, existing_file
from .registry import CLIP, REGISTRY, ModelEntry

FOLDER_VARIABLE = "GREFINE_MODELS"
Folders = Sequence[str | Path] | None

#: File names in a model's own folder, the safer format first.
_IN_FOLDER = ("open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")


@dataclass(frozen=True)
class ModelStatus:
    """A known model file, and where it was found."""

    entry: ModelEntry
    path: Path | None
    """None if it was not found."""


def model_folders() -> list[Path]:
    """The folders that are searched, in order: those of $GREFINE_MODELS, ``models/grefine`` of the ComfyUI that
    $COMFYUI_PATH names, and ``~/.cache/grefine/models``."""
    folders = [Path(part).expanduser() for part in os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep) if part]
    host = os.environ.get("COMFYUI_PATH")
    if host:
        folders.append(Path(host).expanduser() / "models" / "grefine")
    return [*folders, Path.home() / ".cache" / "grefine" / "models"]


def list_models(folders: Folders = None) -> list[ModelStatus]:
    """Every known model file and where it is, if it is anywhere."""
    searched = _searched(folders)
    return [ModelStatus(entry, locate(entry, searched)) for entry in REGISTRY]


def locate(entry: ModelEntry, folders: Folders = None) -> Path | None:
    """The file of a known model: shipped, in the folders (also one level deep), or in Hugging Face's cache."""
    if entry.shipped is not None:
        return entry.shipped if entry.shipped.is_file() else None
    for folder in _searched(folders):
        for name in entry.names:
            for candidate in (folder / name, folder / entry.id / name, *sorted(folder.glob(f"*/{name}"))):
                if candidate.is_file():
                    return candidate
    return _in_hub_cache(entry)


def find_clip(folders: Folders = None) -> Path:
    """The CLIP weights of the quality model.

    Raises:
        ModelFileError: nowhere; lists the folders searched, the names looked for, and what to do.
    """
    searched = _searched(folders)
    found = locate(CLIP, searched)
    if found is None:
        raise ModelFileError(
            f"CLIP weights not found. Looked for {', '.join(CLIP.names)} in {', '.join(map(str, searched))} and in "
            f"Hugging Face's local cache. Get them with `grefine models download {CLIP.id}` ({CLIP.size_text}, from "
            f"{CLIP.url}), or put the file there yourself, or give its path (--clip)."
        )
    return found


def weight_file(path: str | Path) -> Path:
    """The weight file that a path means: itself, or the one in a model's folder.

    Raises:
        InputError, ModelFileError: as ``existing_file``; also for a folder without weights.
    """
    if isinstance(path, str | Path) and str(path).strip() and Path(path).expanduser().is_dir():
        folder = Path(path).expanduser()
        named = [folder / name for name in _IN_FOLDER if (folder / name).is_file()]
        files = named or [file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES]
        if not named and len(files) != 1:
            raise ModelFileError(f"{folder}: has {len(files) or 'no'} weight files; give the path of the one to load.")
        return files[0]
    return existing_file(path)


def _searched(folders: Folders) -> list[Path]:
    return model_folders() if folders is None else [Path(folder).expanduser() for folder in folders]


def _in_hub_cache(entry: ModelEntry) -> Path | None:
    if entry.repository is None or entry.file is None:
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(entry.repository, entry.file)
    return Path(found) if isinstance(found, str) else None
