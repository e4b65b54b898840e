"""Where weight files lie: the user's folders, and Hugging Face's local cache. Nothing is fetched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, ModelFileError
from .entry import ModelEntry
from .files import SUFFIXES, existing_file
from .registry import CLIP, REGISTRY

# The model folders of a ComfyUI, by reading its settings: its own ``models/`` and its ``extra_model_paths.yaml``.

SETTINGS = "extra_model_paths.yaml"
#: Older names of kinds, which settings may still use.
_LEGACY = {"unet": "diffusion_models", "clip": "text_encoders"}
#: Kinds with more folders than the one of their name.
_MORE = {"diffusion_models": ("unet",), "text_encoders": ("clip",)}
_OPTIONS = ("base_path", "is_default")


def check_host(folder: str | Path) -> Path:
    """The folder of a ComfyUI: with ``main.py`` in it, or with ``models`` alone (a base directory).

    Raises:
        InputError: neither is there.
    """
    host = Path(folder).expanduser()
    if not (host / "main.py").is_file() and not (host / "models").is_dir():
        raise InputError(f"--host {folder}: no ComfyUI there; its folder has main.py and models in it.")
    return host


def host_model_folders(host: Path, kind: str) -> list[Path]:
    """Where a ComfyUI looks for files of a kind (``checkpoints``, ``vae``, ``grefine`` …), the first place first.

    Raises:
        ModelFileError: ``extra_model_paths.yaml`` cannot be read.
    """
    own = [host / "models" / name for name in (kind, *_MORE.get(kind, ()))]
    first, later = _named(host / SETTINGS, kind)
    found = [*first, *own, *later]
    return [path for index, path in enumerate(found) if path not in found[:index]]


def host_target(host: Path, kind: str) -> Path:
    """The folder into which a new file of a kind goes: the first that the host would look into.

    Raises:
        ModelFileError: as ``host_model_folders``.
    """
    return host_model_folders(host, kind)[0]


def _named(file: Path, kind: str) -> tuple[list[Path], list[Path]]:
    """Folders that the settings name for a kind: those of default sections, and the others."""
    if not file.is_file():
        return [], []
    first: list[Path] = []
    later: list[Path] = []
    for section in _read(file).values():
        if not isinstance(section, dict):
            continue
        base = _base(section.get("base_path"), file.parent)
        for name, value in section.items():
            if name in _OPTIONS or _LEGACY.get(name, name) != kind or not isinstance(value, str):
                continue
            paths = [Path(os.path.normpath(base / line)) for line in value.split("\n") if line]
            if section.get("is_default"):
                first[:0] = reversed(paths)  # each goes in front of all others, as the host has it
            else:
                later += paths
    return first, later


def _base(given: object, settings: Path) -> Path:
    if not isinstance(given, str) or not given:
        return settings.absolute()
    return settings.absolute() / Path(os.path.expandvars(given)).expanduser()


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelFileError(f"{file}: cannot be read as YAML ({error}); ComfyUI could not read it either.") from error
    return content if isinstance(content, dict) else {}


FOLDER_VARIABLE = "GREFINE_MODELS"
_CACHE = Path("~/.cache/grefine/models")
Folders = Sequence[str | Path] | None

#: File names in a model's own folder, the safer format first.
_IN_FOLDER = ("open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")


@dataclass(frozen=True)
class ModelStatus:
    """A known model file, and where it was found."""

    entry: ModelEntry
    path: Path | None
    """None if it was not found."""


def model_folders(kind: str = CLIP.folder, host: str | Path | None = None) -> list[Path]:
    """Folders that are searched, in order: those of $GREFINE_MODELS, those of a ComfyUI, ``~/.cache/grefine/models``.

    Args:
        kind: of ComfyUI's model folders; ``models/<kind>`` and what its ``extra_model_paths.yaml`` names.
        host: the ComfyUI; None for the one that $COMFYUI_PATH names, else the one that this pack lies in, if any.

    Raises:
        ModelFileError: the ComfyUI's ``extra_model_paths.yaml`` cannot be read.
    """
    named = _host(host) or _around()
    folders = [] if named is None else host_model_folders(named, kind)
    return [*_own_folders(), *folders, _CACHE.expanduser()]


def download_folder(entry: ModelEntry, host: str | Path | None = None) -> Path:
    """Where a file goes if no folder is named: where the given ComfyUI looks for its kind, else the first of
    ``model_folders``.

    Raises:
        ModelFileError: as ``model_folders``.
    """
    if host is not None:
        return host_target(Path(host).expanduser(), entry.folder)
    named, own = _host(None), _own_folders()
    if own:
        return own[0]
    return _CACHE.expanduser() if named is None else host_target(named, entry.folder)


def list_models(folders: Folders = None, host: str | Path | None = None) -> list[ModelStatus]:
    """Every known model file and where it is, if it is anywhere; arguments as in ``locate``."""
    return [ModelStatus(entry, locate(entry, folders, host)) for entry in REGISTRY]


def locate(entry: ModelEntry, folders: Folders = None, host: str | Path | None = None) -> Path | None:
    """The file of a known model: shipped, in the folders (also one level deep), or in Hugging Face's cache.

    Args:
        entry: which one.
        folders: to be searched; None for ``model_folders`` of its kind.
        host: a ComfyUI whose folders are meant, if no ``folders`` are given.

    Raises:
        ModelFileError: as ``model_folders``.
    """
    if entry.shipped is not None:
        return entry.shipped if entry.shipped.is_file() else None
    for folder in _searched(folders, entry.folder, host):
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
            f"{CLIP.url}), or put the file there yourself, or give its path (--clip). More: docs/models.md."
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


def _searched(folders: Folders, kind: str = CLIP.folder, host: str | Path | None = None) -> list[Path]:
    return model_folders(kind, host) if folders is None else [Path(folder).expanduser() for folder in folders]


def _own_folders() -> list[Path]:
    return [Path(part).expanduser() for part in os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep) if part]


def _host(given: str | Path | None) -> Path | None:
    named = given or os.environ.get("COMFYUI_PATH")
    return Path(named).expanduser() if named else None


def _around() -> Path | None:
    """The ComfyUI in whose ``custom_nodes`` this pack lies."""
    from ..comfyui.host_server import is_host, places_around  # late: it can start servers, too

    return next(filter(is_host, places_around(Path(__file__).parents[2])), None)


def _in_hub_cache(entry: ModelEntry) -> Path | None:
    if entry.repository is None or entry.file is None:
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(entry.repository, entry.file)
    return Path(found) if isinstance(found, str) else None
