"""Where PASD's files lie: the published layout, and the weight files of one network in diffusers' layout."""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import ModelFileError

logger = logging.getLogger(__name__)
#: Configurations of Stable Diffusion 1.5's networks, for files that come without.
SD15_CONFIG = Path(__file__).parents[1] / "configs" / "sd15"
PARTS = ("unet", "controlnet")
_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")
_STEMS = ("diffusion_pytorch_model", "model")
_PICKLES = ("diffusion_pytorch_model.bin", "pytorch_model.bin", "diffusion_pytorch_model.fp16.bin")


def find_checkpoint(folder: str | Path) -> Path:
    """The folder with ``unet`` and ``controlnet`` that ``folder`` means.

    Itself, or the newest ``checkpoint-N`` in it (a variant's folder), or that of the only variant in it.

    Raises:
        ModelFileError: nothing there, no PASD in it, or several; lists them.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        what = "a file" if folder.is_file() else "nothing there"
        raise ModelFileError(
            f"{folder}: expected PASD's folder, with {' and '.join(PARTS)} or checkpoint-N in it; this is {what}."
        )
    if _complete(folder):
        return folder
    newest = _newest(folder)
    if newest is not None:
        return newest
    inside = sorted(child for child in folder.iterdir() if child.is_dir())
    found = [place for child in inside for place in (child if _complete(child) else _newest(child),) if place]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(place.relative_to(folder)) for place in found)
        raise ModelFileError(f"{folder}: holds several PASD models ({names}); give the folder of one of them.")
    names = ", ".join(child.name for child in inside) or "no folders"
    raise ModelFileError(
        f"{folder}: no PASD model found. Expected <variant>/checkpoint-N/ with {' and '.join(PARTS)} in it, "
        f"as published; it has: {names}."
    )


def _complete(folder: Path) -> bool:
    return all((folder / part).is_dir() for part in PARTS)


def _newest(folder: Path) -> Path | None:
    """The ``checkpoint-N`` with the highest N; those that lack a network do not count."""
    numbered = [(int(match[1]), child) for child in folder.iterdir() if (match := _CHECKPOINT.match(child.name))]
    whole = [(number, child) for number, child in numbered if _complete(child)]
    if not whole:
        return None
    number, newest = max(whole)
    half = [child.name for other, child in numbered if other > number]
    if half:
        logger.warning(
            "%s: %s incomplete (no %s), taking %s.", folder, ", ".join(half), " or ".join(PARTS), newest.name
        )
    return newest


def weight_files(folder: Path, *, half: bool = False) -> list[Path]:
    """The weight file of one network, or all its shards.

    Looks for ``diffusion_pytorch_model`` and ``model`` as safetensors, whole or with an index, then for pickles.
    ``half`` prefers the ``.fp16`` files where both are there.

    Raises:
        ModelFileError: none, or shards of the index are not there.
    """
    middles = (".fp16", "") if half else ("", ".fp16")
    for middle in middles:
        for stem in _STEMS:
            whole = folder / f"{stem}{middle}.safetensors"
            if whole.is_file():
                return [whole]
            # diffusers puts the variant's name before "json", transformers before "safetensors".
            for index in (f"{stem}{middle}.safetensors.index.json", f"{stem}.safetensors.index{middle}.json"):
                if (folder / index).is_file():
                    return _shards(folder / index)
    for name in _PICKLES:
        if (folder / name).is_file():
            return [folder / name]
    there = ", ".join(sorted(child.name for child in folder.iterdir())) if folder.is_dir() else "no such folder"
    raise ModelFileError(
        f"{folder}: no weights found. Expected {_STEMS[0]}.safetensors, {_STEMS[0]}.fp16.safetensors, or shards with "
        f"{_STEMS[0]}.safetensors.index.json; it has: {there or 'nothing'}."
    )


def _shards(index: Path) -> list[Path]:
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        names = sorted(str(name) for name in named)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise ModelFileError(f"{index}: no valid index of shards ({type(e).__name__}: {e}).") from e
    if any(Path(name).name != name for name in names):
        raise ModelFileError(f"{index}: names files outside of its folder; it is not trusted.")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing or not names:
        raise ModelFileError(f"{index}: shards missing: {', '.join(missing) or 'it lists none'}. Fetch them too.")
    return [index.parent / name for name in names]


def read_config(folder: Path, part: str, name: str = "config.json") -> dict[str, Any]:
    """The configuration in ``folder``, or Stable Diffusion 1.5's own of the network ``part``.

    Raises:
        ModelFileError: no valid JSON object.
    """
    file = folder / name
    if not file.is_file():
        logger.info("%s: no %s, taking Stable Diffusion 1.5's.", folder, name)
        file = SD15_CONFIG / part / name
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise ModelFileError(f"{file}: no valid configuration ({e}).") from e
    if not isinstance(config, dict):
        raise ModelFileError(f"{file}: no valid configuration (expected an object, got {type(config).__name__}).")
    return config


def arguments_of(network: Callable[..., Any], config: dict[str, Any]) -> dict[str, Any]:
    """Those entries of a configuration that ``network``'s constructor takes; others are logged and left out."""
    known = inspect.signature(network).parameters
    ignored = [key for key in config if key not in known and not key.startswith("_")]
    if ignored:
        logger.info("Settings without a meaning here: %s", ", ".join(ignored))
    return {key: value for key, value in config.items() if key in known}
