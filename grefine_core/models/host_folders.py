"""The model folders of a ComfyUI, by reading its settings: its own ``models/`` and its ``extra_model_paths.yaml``.

The nodes ask the host itself. This is for the command line, which runs beside it: what it finds and fetches lies where
the host looks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import InputError, ModelFileError

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
