"""Loading PASD from the published folders and a Stable Diffusion 1.5 of the user's; nothing is fetched."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import InputError, ModelFileError
from ...models.files import check, shapes_of
from .. import folders, networks
from ..folders import INDEX, arguments_of, read_index, weight_files
from ..loading import need_diffusers
from ..networks import ADVICE, Shape, Weights, empty_network, fill, load_text_encoder, load_vae
from ..prompts import load_tokenizer
from .model import PasdModel, Variant

logger = logging.getLogger(__name__)

# Where PASD's files lie: the published layout, and Stable Diffusion 1.5's configurations where there are none.

#: Configurations of Stable Diffusion 1.5's networks, for files that come without.
SD15_CONFIG = Path(__file__).parents[1] / "configs" / "sd15"
PARTS = ("unet", "controlnet")
_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")


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


def read_config(folder: Path, part: str, name: str = "config.json") -> dict[str, Any]:
    """The configuration in ``folder``, or Stable Diffusion 1.5's own of the network ``part``.

    Raises:
        ModelFileError: as ``engines.folders.read_config``.
    """
    if not (folder / name).is_file():
        logger.info("%s: no %s, taking Stable Diffusion 1.5's.", folder, name)
        folder = SD15_CONFIG / part
    return folders.read_config(folder, name)


# What PASD takes from Stable Diffusion 1.5: text encoder, VAE, schedule; and the UNet of a personalised model.

#: The latent space of Stable Diffusion 1.5's VAE; another factor means another space.
SCALING = 0.18215


@dataclass(frozen=True)
class Base:
    """Everything of Stable Diffusion 1.5 but its UNet."""

    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]


def load_base(path: str | Path, dtype: torch.dtype, device: torch.device, vae_dtype: torch.dtype | None = None) -> Base:
    """Load a base from a diffusers folder or a single checkpoint; its UNet is not read.

    Args:
        path: of the folder or file.
        dtype: of the text encoder.
        device: where both networks go.
        vae_dtype: of the VAE; None = ``dtype``.

    Raises:
        ModelFileError: nothing there, damaged, incomplete, or not Stable Diffusion 1.
    """
    path = Path(path).expanduser()
    vae_dtype = vae_dtype or dtype
    if path.is_dir():
        _check_folder(path)
        text = Weights.open(weight_files(path / "text_encoder", half=dtype == torch.float16))
        vae = Weights.open(weight_files(path / "vae", half=vae_dtype == torch.float16))
    elif path.is_file():
        text, vae = _parts_of_file(path)
    else:
        raise ModelFileError(f"{path}: no such file or folder. Give a diffusers folder or a checkpoint file of SD 1.5.")
    # A single file has no configurations beside it; those of the pack are taken.
    folder = path if path.is_dir() else SD15_CONFIG
    return Base(
        _vae(vae, read_config(folder / "vae", "vae"), vae_dtype, device),
        load_text_encoder(text, read_config(folder / "text_encoder", "text_encoder"), dtype, device),
        load_tokenizer(folder / "tokenizer"),
        _schedule(folder / "scheduler"),
    )


def open_personalised(path: str | Path, layers: int, *, half: bool = False) -> Weights:
    """The UNet's weights of a personalised Stable Diffusion 1.5, under diffusers' names.

    Args:
        path: a checkpoint file (original layout, or a UNet alone), a diffusers folder, or its ``unet`` folder.
        layers: resnets of a down block.
        half: prefer half-precision files.

    Raises:
        ModelFileError: nothing there, damaged, or no UNet in it.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return Weights.open(weight_files(path / "unet" if (path / "unet").is_dir() else path, half=half))
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file or folder. Give a checkpoint or a diffusers folder of SD 1.5.")
    weights = Weights.open([path])
    if any(name.startswith(networks.UNET) for name in weights.shapes):
        weights = _under(weights, networks.UNET)
    if any(name.startswith("input_blocks.") for name in weights.shapes):
        return weights.renamed(lambda name: networks.unet_name(name, layers))
    if "conv_in.weight" not in weights.shapes or "time_embedding.linear_1.weight" not in weights.shapes:
        raise ModelFileError(f"{path}: has no UNet in it. Give a checkpoint of SD 1.5, or its UNet.")
    return weights


def _check_folder(folder: Path) -> None:
    if (folder / "text_encoder_2").is_dir():
        raise ModelFileError(f"{folder}: is Stable Diffusion XL; PASD's weights stand on Stable Diffusion 1.5.")
    if (folder / INDEX).is_file():
        read_index(folder)
    missing = [part for part in ("text_encoder", "vae") if not (folder / part).is_dir()]
    if missing:
        raise ModelFileError(
            f"{folder}: no {' and no '.join(missing)} in it, so it is no diffusers folder of Stable Diffusion 1.5."
        )


def _parts_of_file(path: Path) -> tuple[Weights, Weights]:
    """Text encoder and VAE of a checkpoint in the original layout, under their networks' names."""
    weights = Weights.open([path])
    found = weights.shapes
    for prefix, what in (("conditioner.", "Stable Diffusion XL"), ("cond_stage_model.model.", "Stable Diffusion 2")):
        if any(name.startswith(prefix) for name in found):
            raise ModelFileError(f"{path}: is {what}; PASD's weights stand on Stable Diffusion 1.5.")
    missing = [
        what
        for what, prefix in (("text encoder", networks.TEXT), ("VAE", networks.VAE))
        if not any(name.startswith(prefix) for name in found)
    ]
    if missing:
        raise ModelFileError(
            f"{path}: no {' and no '.join(missing)} in it. Give a whole checkpoint of Stable Diffusion 1.5."
        )
    return _under(weights, networks.TEXT), _under(weights, networks.VAE)


def _under(weights: Weights, prefix: str) -> Weights:
    return weights.renamed(lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None)


def _vae(weights: Weights, config: dict[str, Any], dtype: torch.dtype, device: torch.device) -> nn.Module:
    factor = config.get("scaling_factor", SCALING)
    if not isinstance(factor, int | float) or abs(factor - SCALING) > 1e-6:
        raise ModelFileError(
            f"{weights.title}: its latents are scaled by {factor}, Stable Diffusion 1.5's by {SCALING}; this is the "
            "VAE of another model."
        )
    return load_vae(weights, {**config, "scaling_factor": factor}, dtype, device)


def _schedule(folder: Path) -> dict[str, Any]:
    config = read_config(folder, "scheduler", "scheduler_config.json")
    kind = config.get("prediction_type", "epsilon")
    if kind != "epsilon":
        raise ModelFileError(f"{folder}: a base that predicts {kind!r}; PASD predicts noise, as Stable Diffusion 1.5.")
    return config


# Which PASD a file holds, by its keys: folders have any name, and stock classes drop unknown keys in silence.

_EMBEDDING = "controlnet_cond_embedding."
_DENSE = _EMBEDDING + "preprocesser."
#: Heads that only training uses: they make small pictures of the condition's features for a loss.
_HEADS = _EMBEDDING + "to_rgbs."


def detect(unet: Weights, controlnet: Weights) -> Variant:
    """The variant that the keys of both networks tell.

    Raises:
        ModelFileError: a UNet without any attention to the condition, or with both kinds.
    """
    pixel = any(".pixel_attentions." in name for name in unet.shapes)
    light = any("_plus." in name for name in unet.shapes)
    if pixel and light:
        raise ModelFileError(f"{unet.title}: has the extra tensors of both pasd and pasd_light; no known PASD has.")
    if not (pixel or light):
        raise ModelFileError(
            f"{unet.title}: no PASD UNet: neither pixel_attentions (pasd) nor proj_in_plus, attn2_plus (pasd_light) "
            "are in it. Give the folder of PASD's weights; a plain Stable Diffusion goes into `base` or `personalised`."
        )
    return Variant(light=light, rrdb=any(name.startswith(_DENSE) for name in controlnet.shapes))


def without_heads(controlnet: Weights, channels: list[int]) -> Weights:
    """The ControlNet's weights less the six tensors of the heads; files from which they are already gone are fine.

    Args:
        controlnet: names and shapes as published.
        channels: of the condition's encoder, first to last.

    Raises:
        ModelFileError: heads of other shapes than training has.
    """
    expected: dict[str, Shape] = {}
    for i, width in enumerate(channels[1:]):
        expected[f"{_HEADS}{i}.weight"], expected[f"{_HEADS}{i}.bias"] = (3, width, 3, 3), (3,)
    wrong = [
        f"{name} {list(controlnet.shapes[name])}"
        for name, shape in expected.items()
        if controlnet.shapes.get(name, shape) != shape
    ]
    if wrong:
        raise ModelFileError(f"{controlnet.title}: training heads of unknown shapes ({', '.join(wrong)}).")
    return controlnet.renamed(lambda name: None if name in expected else name)


_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def load_pasd(
    folder: str | Path,
    base: str | Path,
    *,
    personalised: str | Path | None = None,
    dtype: torch.dtype | None = None,
    vae_dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
) -> PasdModel:
    """Load PASD's UNet and ControlNet, and the text encoder and VAE that they work with.

    Which variant it is, the names of the tensors tell, never those of the folders. Names and shapes are compared with
    the networks before any tensor is read, and each tensor is then read once, straight into its type and place.

    Args:
        folder: PASD's weights as published: ``checkpoint-N`` with ``unet`` and ``controlnet`` in it, or a variant's
            folder (the newest checkpoint is taken), or a folder with one variant in it. Files are
            ``diffusion_pytorch_model`` as safetensors, whole, in half precision (``.fp16``), or in shards.
        base: Stable Diffusion 1.5, a diffusers folder or one checkpoint file; its UNet is not used.
        personalised: a checkpoint, diffusers folder or UNet whose UNet weights take the place of the stock ones in
            PASD's UNet; what PASD adds stays. To take its text encoder and VAE as well, give it as ``base``, too.
        dtype: float32, float16 or bfloat16; None keeps that of the UNet's file.
        vae_dtype: of the VAE alone, likewise; None = as the others. In float16 some overflow, and work in float32 then
            (see ``sampling.Autoencoder``).
        device: where the networks go; None = the GPU if there is one.

    Raises:
        InputError: an unknown type or device, or diffusers is missing.
        ModelFileError: nothing there, several variants, damaged files, another model, or tensors that are missing,
            unknown or of another shape, which are listed.
    """
    for name, wanted in (("dtype", dtype), ("vae_dtype", vae_dtype)):
        if wanted not in (None, *_TYPES):
            raise InputError(f"{name}: expected float32, float16 or bfloat16, got {wanted}.")
    target = _device(device)
    need_diffusers("PASD")
    checkpoint = find_checkpoint(folder)
    half = dtype == torch.float16
    unet = Weights.open(weight_files(checkpoint / "unet", half=half))
    controlnet = Weights.open(weight_files(checkpoint / "controlnet", half=half))
    variant = detect(unet, controlnet)
    dtype = unet.dtype() if dtype is None else dtype

    empty_unet = build_unet(read_config(checkpoint / "unet", "unet"), variant, checkpoint)
    empty_controlnet = build_controlnet(read_config(checkpoint / "controlnet", "controlnet"), variant, checkpoint)
    controlnet = without_heads(controlnet, list(empty_controlnet.config.conditioning_embedding_out_channels))
    # Both before either is read: a mistake shows at once.
    for part, network, what in ((unet, empty_unet, "UNet"), (controlnet, empty_controlnet, "ControlNet")):
        check(part.title, part.shapes, shapes_of(network), f"PASD's {what} ({variant.name})", ADVICE)
    if personalised is not None:
        unet = _personalise(unet, personalised, empty_unet, half=half)

    parts = load_base(base, dtype, target, vae_dtype)
    _check_fit(empty_unet, empty_controlnet, parts, base)
    model = PasdModel(
        fill(empty_unet, unet, "PASD's UNet", dtype, target),
        fill(empty_controlnet, controlnet, "PASD's ControlNet", dtype, target),
        parts.vae,
        parts.text_encoder,
        parts.tokenizer,
        parts.scheduler_config,
        variant,
    )
    logger.info("Loaded %s from %s on %s (%s, %s)", variant.name, checkpoint, base, dtype, target)
    return model


def build_unet(config: dict[str, Any], variant: Variant, title: object = "PASD") -> Any:
    """PASD's UNet on the meta device: names and shapes, no memory.

    Raises:
        ModelFileError: a configuration that no UNet can be built from.
    """
    from diffusers import UNet2DConditionModel

    from .unet import PasdUNet

    settings = arguments_of(UNet2DConditionModel, config)
    return empty_network(lambda: PasdUNet(light=variant.light, **settings), config, title, "UNet of PASD")


def build_controlnet(config: dict[str, Any], variant: Variant, title: object = "PASD") -> Any:
    """PASD's ControlNet on the meta device, without the heads that only training uses.

    Raises:
        ModelFileError: a configuration that no ControlNet can be built from.
    """
    from diffusers import ControlNetModel

    from .unet import build_controlnet as build

    settings = arguments_of(ControlNetModel, config)
    return empty_network(lambda: build(settings, rrdb=variant.rrdb), config, title, "ControlNet of PASD")


def _personalise(unet: Weights, path: str | Path, network: Any, *, half: bool) -> Weights:
    stock = open_personalised(path, int(network.config.layers_per_block), half=half)
    added = (".pixel_attentions.", "_plus.")
    expected = {name: shape for name, shape in shapes_of(network).items() if not any(part in name for part in added)}
    check(stock.title, stock.shapes, expected, "a Stable Diffusion 1.5 UNet, to go under PASD's attentions", ADVICE)
    return unet.replaced(stock)


def _check_fit(unet: Any, controlnet: Any, base: Base, path: str | Path) -> None:
    """Networks that load one by one need not belong together."""
    pairs = (
        ("ControlNet", "widths", controlnet.config.block_out_channels, unet.config.block_out_channels),
        ("ControlNet", "latent channels", controlnet.config.in_channels, unet.config.in_channels),
        ("ControlNet", "text width", controlnet.config.cross_attention_dim, unet.config.cross_attention_dim),
        (path, "latent channels", base.vae.config.latent_channels, unet.config.in_channels),
        (path, "text width", base.text_encoder.config.hidden_size, unet.config.cross_attention_dim),
    )
    wrong = [
        f"{part}: {what} {theirs}, the UNet's {ours}"
        for part, what, theirs, ours in pairs
        if (list(theirs) if isinstance(theirs, (list, tuple)) else theirs)
        != (list(ours) if isinstance(ours, (list, tuple)) else ours)
    ]
    if wrong:
        raise ModelFileError(f"PASD's UNet does not go with {'; '.join(wrong)}. Give parts of the same model.")


def _device(device: str | torch.device | None) -> torch.device:
    try:
        return torch.device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as e:
        raise InputError(f"device: {device!r} is none ({str(e)[:200]}).") from e
