"""Reading weight files without running what is in them: safetensors, or torch archives of tensors alone."""

from __future__ import annotations

import logging
import pickle
import re
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, ModelFileError
from ..files import written_whole

logger = logging.getLogger(__name__)

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

    with written_whole(path) as scratch:
        scratch.touch()
        mode = scratch.stat().st_mode
        save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, scratch, dict(metadata or {}))
        scratch.chmod(mode)  # safetensors makes files that their owner alone can read; this is to be as any other here


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


# Names and shapes of CLIP weights: other formats brought to open_clip's names, and compared with an architecture.

_BUFFERS = ("input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask")
_TRANSFORMERS = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.weight$", "visual.conv1.weight"),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^text_model\.embeddings\.token_embedding\.weight$", "token_embedding.weight"),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm1\.", ".ln_1."),
    (r"\.layer_norm2\.", ".ln_2."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)
_PART = re.compile(r"^(.*)\.self_attn\.([qkv])_proj\.(weight|bias)$")


def to_open_clip(tensors: Mapping[str, Tensor], custom_text: bool = False) -> dict[str, Tensor]:
    """Bring weights to open_clip's names.

    Takes open_clip's and OpenAI's own layout (text encoder at the top or under ``text.``), and that of transformers'
    ``CLIPModel``; counters and masks that are no weights are left out.

    Args:
        tensors: name -> tensor.
        custom_text: whether the text encoder's weights go under ``text.`` (open_clip's CustomTextCLIP).
    """
    named = from_transformers(tensors) if is_transformers(tensors) else dict(tensors)
    named = {name: tensor for name, tensor in named.items() if name not in _BUFFERS}
    towers = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")
    result = {}
    for name, tensor in named.items():
        bare = name.removeprefix("text.")
        result[f"text.{bare}" if custom_text and bare.startswith(towers) else bare] = tensor
    return result


def is_transformers(names: Mapping[str, object]) -> bool:
    """Whether the names are those of transformers' CLIPModel, or of one of its two parts."""
    return "vision_model.embeddings.class_embedding" in names or "text_model.embeddings.token_embedding.weight" in names


def from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of transformers' CLIPModel under open_clip's names; query, key and value are put together."""
    result: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.endswith(".position_ids"):
            continue
        if name in ("visual_projection.weight", "text_projection.weight"):
            result["visual.proj" if name.startswith("visual") else "text_projection"] = tensor.T.contiguous()
            continue
        part = _PART.match(name)
        if part:
            parts.setdefault(f"{part[1]}.attn.in_proj_{part[3]}", {})[part[2]] = tensor
            continue
        result[_rename(name)] = tensor
    for name, three in parts.items():
        if set(three) == set("qkv"):
            result[_rename(name)] = torch.cat([three[letter] for letter in "qkv"])
    return result


def _rename(name: str) -> str:
    for pattern, replacement in _TRANSFORMERS:
        name = re.sub(pattern, replacement, name)
    return name


def to_floats(
    title: object, name: str, tensor: Tensor, dtype: torch.dtype, device: torch.device | None = None
) -> Tensor:
    """A weight in the type and place where it is computed with, after making sure that it is finite numbers.

    With a single NaN among its weights a network still answers, and its scores would be compared as if they were any.

    Args:
        title: of the file, for the message.
        name: of the tensor.
        tensor: of any type of floats.
        dtype: float32, float16 or bfloat16.
        device: None for where it is.

    Raises:
        ModelFileError: as :func:`check_values`; also for whole numbers, truth values and complex numbers.
    """
    if not tensor.is_floating_point():
        raise ModelFileError(
            f"{title}: {name} is of type {tensor.dtype}, expected floats: the file is quantised or damaged. Take the "
            "model in float32, float16 or bfloat16."
        )
    found = tensor.to(device=device, dtype=dtype)
    check_values(title, {name: found})
    return found


def check_values(title: object, tensors: Mapping[str, Tensor]) -> None:
    """Return if all values are finite numbers; whole numbers are passed over. See :func:`to_floats`.

    Raises:
        ModelFileError: a value is not, or not any more in the type it was converted to; names its tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.is_meta and not is_finite(tensor):
            raise ModelFileError(
                f"{title}: {name} contains NaN, infinite values, or values beyond the range of {tensor.dtype}. The "
                "file is damaged, or not meant for this type: take another copy, or load it in float32."
            )


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite numbers."""
    if not tensor.numel():
        return True
    # One pass at the speed of memory: NaN and infinity show in the sum. A sum beyond the range of floats does, too.
    wide = torch.float32 if tensor.dtype.itemsize < 4 else tensor.dtype
    return bool(torch.isfinite(tensor.sum(dtype=wide))) or bool(torch.isfinite(tensor).all())


_SHOWN = 8
_ADVICE = "Take the file that belongs to the model, or name the model that belongs to the file (--architecture)."


def check(
    title: object,
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    model: str,
    advice: str = _ADVICE,
) -> None:
    """Compare names and shapes of a file's tensors with those of a network.

    Args:
        title: of the file, for the message.
        found: name -> shape in the file.
        expected: name -> shape in the network.
        model: what the network is.
        advice: ends the message.

    Raises:
        ModelFileError: anything missing, surplus or of another shape; lists it, up to eight of each kind (the log has
            them all).
    """
    kinds = {
        "missing": [name for name in expected if name not in found],
        "unknown": [name for name in found if name not in expected],
        "of another shape": [
            f"{name} ({list(shape)} instead of {list(expected[name])})"
            for name, shape in found.items()
            if name in expected and shape != expected[name]
        ],
    }
    parts = [f"{len(names)} {kind}: {listed(names)}" for kind, names in kinds.items() if names]
    if not parts:
        return
    for kind, names in kinds.items():
        if len(names) > _SHOWN:
            logger.error("%s: %s: %s", title, kind, ", ".join(names))
    raise ModelFileError(f"{title}: these are not the weights of {model}; of its tensors {'; '.join(parts)}. {advice}")


def listed(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def shapes_of(tensors: nn.Module | Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name to shape of a network's weights, or of tensors by name."""
    named = tensors.state_dict() if isinstance(tensors, nn.Module) else tensors
    return {name: tuple(tensor.shape) for name, tensor in named.items()}


def file_identity(path: Path) -> str:
    """Name, size and time of a file, or of the files of a folder: enough to tell other weights from these."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return f"{path.name} {stats}"
