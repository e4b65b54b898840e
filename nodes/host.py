"""Everything of the host that differs between its versions, or that touches its global state. Nothing else does.

Supported: ComfyUI 0.3.64 and newer. What the nodes use of the host beside this module is its schema (`io`, `ui`), which
is the same on all of them.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io
from torch import Tensor, nn

from ..grefine_core.errors import InputError
from ..grefine_core.memory import OutOfMemory, is_out_of_memory
from ..grefine_core.models.files import SUFFIXES as WEIGHTS
from .inputs import file_name

logger = logging.getLogger(__name__)

#: The kind of model folder that is ours: `models/grefine`, or whatever extra_model_paths.yaml says under this name.
FOLDER = "grefine"
#: PASD's own kind, `models/pasd`: its weights lie in folders of several gigabytes that people know by this name.
PASD_FOLDER = "pasd"
CALIBRATIONS = (".json",)
DEVICES = ("auto", "cpu")


# Schema


def known(callee: Callable[..., Any], **optional: Any) -> dict[str, Any]:
    """Those of `optional` that this host's `callee` has a parameter for: newer keywords are a TypeError on older hosts.

    Use as `io.Float.Input("x", default=1.0, **known(io.Float.Input, advanced=True))`.
    """
    parameters = inspect.signature(callee).parameters
    return {name: value for name, value in optional.items() if name in parameters}


def schema(
    *, search_aliases: list[str] | None = None, has_intermediate_output: bool = False, **keywords: Any
) -> io.Schema:
    """An `io.Schema`; keywords that only newer hosts have are passed where they are known.

    has_intermediate_output: what the node shows on itself is shown again when it need not run again, also after the
    page was loaded anew; unlike an output node it runs only for what is behind it.
    """
    newer: dict[str, Any] = {"search_aliases": search_aliases or []}
    if has_intermediate_output:
        newer["has_intermediate_output"] = True
    return io.Schema(**keywords, **known(io.Schema, **newer))


# Model folders


def register_model_folders() -> None:
    """Add `models/grefine` and `models/pasd` and their file types to the host's folders.

    extra_model_paths.yaml is read before packs load and may have named a kind already: its paths stay, and stay in
    front, and its set of extensions (empty, which would list every file) is extended. Where nothing is named, the
    folder is made, as the host's own are there from the start: notes tell people to put files into it.
    """
    for kind in (FOLDER, PASD_FOLDER):
        default = str(Path(folder_paths.models_dir) / kind)
        paths, extensions = folder_paths.folder_names_and_paths.get(kind, ([], set()))
        if not paths:
            _make_folder(Path(default))
        merged = ([*paths, *([] if default in paths else [default])], {*extensions, *WEIGHTS, *CALIBRATIONS})
        folder_paths.folder_names_and_paths[kind] = merged
        folder_paths.filename_list_cache.pop(kind, None)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # read-only, or somebody's file: the pack works without it
        logger.warning("%s could not be made (%s): make it where model files are to go there.", folder, error)


def model_files(kind: str, suffixes: Iterable[str]) -> list[str]:
    """Names, relative to the folders of `kind`, of its files with one of these suffixes; sorted, forward slashes."""
    wanted = tuple(suffixes)
    return [name for name in _listing(kind) if name.lower().endswith(wanted)]


def model_folders(kind: str, suffixes: Iterable[str]) -> list[str]:
    """Names, relative to the folders of `kind`, of its sub-folders that directly hold such a file; sorted."""
    parents = {str(Path(name).parent.as_posix()) for name in model_files(kind, suffixes)}
    return sorted(parents - {"."})


def model_path(kind: str, value: object, name: str, *, folder: bool = False) -> Path:
    """The file (or folder) `value` inside the model folders of `kind`. A file has to be one that the host lists there.

    Raises:
        InputError: not there, or a name that leads out of the folders; the folders searched are listed.
    """
    relative = file_name(value, name).replace("\\", "/")
    if folder or relative in _listing(kind):
        for root in folder_paths.get_folder_paths(kind):
            path = Path(root) / relative
            if path.is_dir() if folder else path.is_file():
                return path
    raise InputError(
        f"{name}: {relative!r} was not found. Searched: {searched(kind)}. Put the file there, then refresh the page "
        "(key R); other places can be added under "
        f"{kind!r} in extra_model_paths.yaml. Where it comes from: docs/models.md of this pack, `grefine models list`."
    )


def model_roots(kind: str) -> list[Path]:
    """The folders of `kind`, in the order in which they are searched."""
    return [Path(root) for root in folder_paths.get_folder_paths(kind)]


def searched(kind: str) -> str:
    """The folders of `kind`, for error messages."""
    return ", ".join(folder_paths.get_folder_paths(kind))


def _listing(kind: str) -> list[str]:
    return sorted({name.replace("\\", "/") for name in folder_paths.get_filename_list(kind)})


def input_folder() -> Path:
    """The host's folder of pictures to load."""
    return Path(folder_paths.get_input_directory())


def user_folder() -> Path:
    """What the pack remembers, in the host's user folder; by its name newer hosts keep it from being read over HTTP."""
    return Path(folder_paths.get_user_directory()) / "__grefine"


def temporary_folder() -> Path:
    """The host's folder for what is only shown; the host removes it at its start and end."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# Progress and interrupt


def check_interrupted() -> None:
    """Raise the host's own exception if the user has cancelled."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def progress(total: int = 1, preview_side: int = 512) -> Callable[..., None]:
    """A `grefine_core` progress callback that moves the node's bar, shows previews, and honours the user's cancel.

    It is called with ``(done, total)`` or ``(done, total, preview)``.

    total: what is expected at first; every call brings the current total along. preview_side: previews are sent no
    larger than this.
    """
    bar = comfy.utils.ProgressBar(max(1, total))

    def report(done: int, total: int, preview: Tensor | None = None) -> None:
        check_interrupted()
        shown = None if preview is None else ("JPEG", _to_pil(preview), preview_side)
        bar.update_absolute(done, max(1, total), shown)

    return report


def _to_pil(picture: Tensor) -> Any:
    from PIL import Image

    array = (picture[0] if picture.ndim == 4 else picture).detach().float().clamp(0, 1).mul(255).round()
    return Image.fromarray(array.to("cpu", torch.uint8).numpy())


# Devices and memory


class ModuleHolder(nn.Module):
    """A plain module around someone else's.

    The host's patcher sets attributes such as `device` on what it holds; modules of transformers or diffusers have
    properties of that name without a setter, and nothing of the host should be written into models that are not its.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


#: The host's patcher for every object that a node has adopted. Entries end with their object: whatever the host evicts
#: from its cache of node outputs is gone from here and from the memory manager, too.
_patchers: WeakKeyDictionary[Any, comfy.model_patcher.ModelPatcher] = WeakKeyDictionary()


def compute_device(choice: str = "auto") -> torch.device:
    """The device that a node's `device` choice stands for."""
    return torch.device("cpu") if choice == "cpu" else comfy.model_management.get_torch_device()


def network_dtype(device: torch.device) -> torch.dtype:
    """The type in which a UNet computes on `device`, as the host (and its user's flags) would have it.

    Of float16, bfloat16 and float32 only: what the host stores smaller, or casts as it goes, is none of our networks'.
    """
    memory, kinds = comfy.model_management, [torch.float16, torch.bfloat16, torch.float32]
    stored = memory.unet_dtype(device=device, supported_dtypes=kinds)
    computed = memory.unet_manual_cast(stored, device, kinds) or stored
    return computed if computed in kinds else torch.float32


def vae_dtype(device: torch.device) -> torch.dtype:
    """The type in which a Stable Diffusion VAE computes on `device`, as the host (and its user's flags) would have it.

    Not float16 unless the user says so: some VAEs overflow in it.
    """
    return comfy.model_management.vae_dtype(device, [torch.bfloat16, torch.float32])


def adopt(owner: Any, module: nn.Module, device: str = "auto") -> None:
    """Give `module`, which belongs to `owner`, to the host's memory manager.

    It stays where it is until `ready(owner)` is called, and may be moved away again whenever the host needs the memory.
    """
    load = compute_device(device)
    offload = torch.device("cpu") if device == "cpu" else comfy.model_management.unet_offload_device()
    _patchers[owner] = comfy.model_patcher.ModelPatcher(ModuleHolder(module), load_device=load, offload_device=offload)


def share(owner: Any, other: Any) -> None:
    """Let `owner`, which has the same module as `other`, be managed with it."""
    patcher = _patchers.get(other)
    if patcher is not None:
        _patchers[owner] = patcher


def patcher(model: Any, load: torch.device, offload: torch.device) -> comfy.model_patcher.ModelPatcher:
    """A MODEL of the host around one of its own networks."""
    return comfy.model_patcher.ModelPatcher(model, load_device=load, offload_device=offload)


def ready(owner: Any, memory: int = 0) -> None:
    """Have the host bring the module of `owner` onto its device, freeing `memory` bytes beside it for the work.

    Objects that were never adopted (made by another pack, or in a test) are left where they are.
    """
    patcher = _patchers.get(owner)
    if patcher is not None:
        comfy.model_management.load_models_gpu([patcher], memory_required=memory, force_full_load=True)
        _bring_the_rest(patcher)


def _bring_the_rest(patcher: comfy.model_patcher.ModelPatcher) -> None:
    """Load what the host has left behind.

    With --novram it loads next to nothing, whatever is asked for, and brings weights layer by layer while its own
    layers work. Ours are torch's, which cannot do that: they would compute on the CPU, in a type made for the GPU, or
    not at all.
    """
    device, model = patcher.load_device, patcher.model
    left = sum(tensor.nbytes for tensor in model.parameters() if tensor.device.type != device.type)
    if not left:
        return
    logger.warning(
        "The host has left %.1f GB of a model on the CPU (--novram?), whose layers cannot be brought one by one. It is "
        "loaded onto %s as a whole; if that is too much, choose cpu as the device where it is loaded.",
        left / 1e9,
        device,
    )
    patcher.load(device, full_load=True)


SMALLER = "Give smaller pictures, or fewer at a time."
"""What helps where it is the pictures themselves that take the memory."""


@contextmanager
def explained(what: str, advice: str) -> Iterator[None]:
    """Where memory runs out inside, say in plain words at what, and what to do. A decorator, too.

    Raises:
        OOM_EXCEPTION: the host's, which unloads all models then. What says so itself already goes through as it is.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if (
            isinstance(error, OutOfMemory)
            or not is_out_of_memory(error)
            or str(error).startswith("Out of memory while")
        ):
            raise
        raise comfy.model_management.OOM_EXCEPTION(f"Out of memory while {what}. {advice}") from error


def make_room(owner: Any) -> None:
    """Move every other model off the device of `owner`'s module, and give back what torch keeps for later."""
    memory, patcher = comfy.model_management, _patchers.get(owner)
    if patcher is not None:
        own = [loaded for loaded in memory.current_loaded_models if loaded.model is patcher]
        memory.free_memory(1e30, patcher.load_device, keep_loaded=own)
    memory.soft_empty_cache()


def to_host(tensor: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """A result as the host passes it on: float32 (or as it came), where the host keeps what goes between nodes."""
    return tensor.detach().to(comfy.model_management.intermediate_device(), dtype)


def loaded_patcher(owner: Any) -> comfy.model_patcher.ModelPatcher | None:
    """The host's patcher of an adopted object, or None."""
    return _patchers.get(owner)
