"""diffusers, which a ComfyUI does not bring: asked for by name, with the command that changes nothing else."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from ..errors import InputError

#: What diffusers sets bounds on and others in the same environment rely on.
_SHARED = ("huggingface_hub", "safetensors", "numpy")


def need_diffusers(purpose: str) -> None:
    """Return if diffusers can be imported.

    Args:
        purpose: what needs it, the start of the error's sentence.

    Raises:
        InputError: it cannot, with the command that installs one beside what is there. Without the versions in it, pip
            takes the newest, which may replace huggingface_hub and so break the transformers that ComfyUI starts with.
    """
    try:
        import diffusers  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in (None, "diffusers"):
            raise  # it is there, but lacks something of its own
        raise InputError(f"{purpose} needs the package diffusers. {how_to_install()}") from error


def how_to_install() -> str:
    """The sentence with the command, for this interpreter and the versions that it has."""
    kept = [f"{name}=={found}" for name in _SHARED if (found := _version(name))]
    command = " ".join([f'"{sys.executable}" -m pip install "diffusers>=0.30"', *kept])
    return f"Install one that fits what is there, and restart: {command}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
