"""Reading weight files without running what is in them: safetensors, or torch archives of tensors alone."""

from __future__ import annotations

import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, ModelFileError

PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
SUFFIXES = (".safetensors", *PICKLE_SUFFIXES)


def existing_file(path: object, what: str = "weights") -> Path:
    """Return ``path`` as a Path to a file that can be read.

    Raises:
        InputError: ``path`` is no path at all.
        ModelFileError: nothing there, or something that is not a file.
    """
    if not isinstance(path, str | Path) or not str(path).strip():
        raise InputError(f"{what}: expected the path of a file, got {path!r}.")
    file = Path(path).expanduser()
    if not file.exists():
        raise ModelFileError(
            f"{what}: {file} does not exist. Check the path, or see `grefine models` for where to get it."
        )
    if not file.is_file():
        raise ModelFileError(f"{what}: {file} is not a file. Give the path of the weight file itself.")
    return file


def read_shapes(path: Path, suffix: str | None = None) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of a file; of a safetensors file without reading the tensors themselves.

    ``suffix`` is the ending by which the file is read, of one that does not have its name yet.

    Raises:
        ModelFileError: as :func:`read_tensors`.
    """
    if (suffix or path.suffix).lower() != ".safetensors":
        return {name: tuple(tensor.shape) for name, tensor in read_tensors(path, suffix).items()}
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as handle:
            return {name: tuple(handle.get_slice(name).get_shape()) for name in handle.keys()}  # noqa: SIM118
    except Exception as error:
        raise _damaged(path, error) from error


def read_metadata(path: Path) -> dict[str, str]:
    """The notes in the head of a safetensors file; none are an empty dictionary. No tensor is read.

    Raises:
        ModelFileError: as :func:`read_tensors`.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as handle:
            return dict(handle.metadata() or {})
    except Exception as error:
        raise _damaged(path, error) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file as a whole: whoever is interrupted leaves the older file, or none, in its place."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.touch()
    mode = part.stat().st_mode
    try:
        save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, part, dict(metadata or {}))
        # safetensors makes files that their owner alone can read; others are to be as any other file here.
        part.chmod(mode)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_tensors(path: Path, suffix: str | None = None, *, mmap: bool = False) -> dict[str, Tensor]:
    """Read a weight file into a flat dictionary of CPU tensors.

    Accepts safetensors, and torch archives that hold tensors only (optionally under ``state_dict``, ``model`` or
    ``params``; a leading ``module.`` of data-parallel training is dropped). ``mmap``: see :func:`read_pickle`;
    ``suffix``: see :func:`read_shapes`.

    Raises:
        ModelFileError: damaged or cut short, of another format, a TorchScript archive, or holding code or objects
            other than tensors, which are refused.
    """
    if (suffix or path.suffix).lower() == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except Exception as error:
            raise _damaged(path, error) from error
    tensors = _unwrap(read_pickle(path, mmap=mmap))
    if tensors is None:
        raise ModelFileError(f"{path}: holds no dictionary of named tensors, so it is not a file of weights.")
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def read_pickle(path: Path, *, mmap: bool = False) -> Any:
    """Read a torch archive with ``weights_only=True``.

    ``mmap`` leaves the tensors on the disk until they are used, for those who copy only some of them.

    Raises:
        ModelFileError: as :func:`read_tensors`.
    """
    if is_torchscript(path):
        raise ModelFileError(
            f"{path}: is a TorchScript archive, which holds a program and not only weights; programs are not loaded. "
            "Take the same weights as safetensors: for OpenAI's ViT-B/16 `open_clip_model.safetensors` of "
            "timm/vit_base_patch16_clip_224.openai, or `model.safetensors` of openai/clip-vit-base-patch16."
        )
    try:
        if tarfile.is_tarfile(path):
            # torch's first format, whose reader ran code even so until torch 2.6.
            raise ValueError("it is of a format that no torch writes any more")
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            f"{path}: is damaged, or holds something other than tensors, which could run code when it is read. Such "
            "files are refused; take the weights as safetensors."
        ) from error
    except Exception as error:
        raise _damaged(path, error) from error


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive (a zip with code in it)."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _unwrap(value: Any) -> dict[str, Tensor] | None:
    for _ in range(3):
        if not isinstance(value, Mapping):
            return None
        if value and all(isinstance(name, str) and isinstance(item, Tensor) for name, item in value.items()):
            return dict(value)
        inner = next((value[key] for key in ("state_dict", "model", "params") if key in value), None)
        if inner is None:
            return None
        value = inner
    return None


def _damaged(path: Path, error: Exception) -> ModelFileError:
    size = path.stat().st_size if path.is_file() else 0
    return ModelFileError(
        f"{path}: cannot be read ({type(error).__name__}: {str(error)[:200]}). The file ({size} bytes) is damaged, cut "
        f"short, or of another format than its ending {path.suffix!r} says; fetch it again."
    )
