"""The miniature models, from their files: the quality model, the inpainter, and the restorer that it makes.

They ship with the package. The formats are those of the large models, so the same code loads them: open_clip's for
CLIP, diffusers' for UNet and VAE; the text encoder of the diffusion model is CLIP's text tower. Only safetensors are
read. Nothing is fetched.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import InputError, ModelFileError
from ..json_reading import read_json
from ..models.files import read_tensors
from ..models.state_dicts import check, to_floats
from . import diffusion
from .text_tower import text_tower_config, text_tower_weights

if TYPE_CHECKING:
    from ..engines import DiffusersInpainter
    from ..quality_model import QualityModel

#: Names another folder of such files, for models that were trained anew.
FOLDER_VARIABLE = "GREFINE_MINIATURE"
SHIPPED = Path(__file__).with_name("weights")
#: File of each part.
FILES = {
    "clip": "clip.safetensors",
    "clip configuration": "clip.json",
    "embeddings": "pq_embeddings.safetensors",
    "unet": "unet.safetensors",
    "vae": "vae.safetensors",
}
#: Classifier-free guidance of the diffusion model where its ``choices.json`` names none.
GUIDANCE = 4.0
Folder = str | Path | None


def weights_folder() -> Path:
    """The folder of the models' files: $GREFINE_MINIATURE if it is set, else the one that comes with the package."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else SHIPPED


def weights_file(part: str, folder: Folder = None) -> Path:
    """The file of one part, a key of ``FILES``.

    Raises:
        ModelFileError: it is not there.
    """
    place = weights_folder() if folder is None else Path(folder).expanduser()
    file = place / FILES[part]
    if not file.is_file():
        raise ModelFileError(
            f"{file} is missing, the {part} of the miniature models. They come with G-Refine: install it again, or let "
            f"{FOLDER_VARIABLE} name a folder with {', '.join(FILES.values())}."
        )
    return file


def load_miniature_quality_model(
    device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, folder: Folder = None
) -> QualityModel:
    """Load the CLIP of the miniature world with its learned quality embeddings, calibration and words to contrast with.

    It knows the miniature world alone (``miniature.world``): other pictures get numbers without a meaning.

    Args:
        device: where to put the weights.
        dtype: of the weights, which are stored in half precision.
        folder: of the files; None for ``weights_folder()``.

    Raises:
        InputError: a device that is not there, or a type that is none of floats.
        ModelFileError: a file is missing, damaged or of another model.
    """
    from ..models import load_quality_model
    from .choices import load_choices

    weights_file("clip configuration", folder)
    return load_quality_model(
        weights=weights_file("clip", folder),
        embeddings=weights_file("embeddings", folder),
        device=device,
        dtype=dtype,
        blocks=load_choices(folder).blocks,
    )


def load_miniature_inpainter(
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    *,
    guidance_scale: float | None = None,
    negative_prompt: str = "",
    folder: Folder = None,
) -> DiffusersInpainter:
    """Load the diffusion model of the miniature world as the engine of stage 1, and by ``.restorer()`` of stage 2.

    A Stable-Diffusion-1 inpainting model in small: pictures are best 128 pixels wide and high, and show what
    ``miniature.world`` knows.

    Args:
        device: where it runs; None = the GPU if there is one.
        dtype: of the weights; None = float16 on a GPU, float32 elsewhere. The VAE stays in float32.
        guidance_scale: classifier-free guidance; None for what the models were found to draw well with.
        negative_prompt: what the picture should not show.
        folder: of the files; None for ``weights_folder()``.

    Raises:
        InputError: a device that is not there.
        ModelFileError: a file is missing, damaged or of another model.
    """
    from diffusers import EulerDiscreteScheduler, StableDiffusionInpaintPipeline

    from ..engines import DiffusersInpainter
    from ..engines.sampler import LatentSampler
    from ..engines.tokenizer import END, make_tokenizer

    target = torch.device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu"))
    if dtype is None:
        dtype = torch.float16 if target.type == "cuda" else torch.float32
    pipe: Any = StableDiffusionInpaintPipeline(
        unet=diffusion.load(weights_file("unet", folder), "unet", dtype),
        vae=diffusion.load(weights_file("vae", folder), "vae"),
        text_encoder=_text_encoder(folder).to(dtype),
        tokenizer=make_tokenizer(END),
        scheduler=EulerDiscreteScheduler(**diffusion.SCHEDULER_CONFIG),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    try:
        pipe.to(target)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device: the models cannot be put on {str(device)!r} ({str(error)[:200]}).") from error
    guidance = default_guidance(folder) if guidance_scale is None else guidance_scale
    return DiffusersInpainter(LatentSampler(pipe, guidance, negative_prompt))


def default_guidance(folder: Folder = None) -> float:
    """Classifier-free guidance that was chosen for these models.

    Raises:
        ModelFileError: the file of choices is damaged.
    """
    from .choices import load_choices

    chosen = load_choices(folder).guidance
    return GUIDANCE if chosen is None else chosen


def read_weights(part: str, folder: Folder = None) -> dict[str, Tensor]:
    """The tensors of one part as they are stored: half precision, in diffusers' or open_clip's names.

    Raises:
        ModelFileError: the file is missing or damaged.
    """
    return read_tensors(weights_file(part, folder))


def text_tower(folder: Folder = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The diffusion model's text encoder, which is CLIP's text tower: weights and sizes in transformers' names.

    Raises:
        ModelFileError: a file is missing or damaged.
    """
    file = weights_file("clip configuration", folder)
    try:
        config = read_json(file)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{file}: cannot be read as JSON ({error}); install G-Refine again.") from error
    return text_tower_weights(read_weights("clip", folder)), text_tower_config(config)


def _text_encoder(folder: Folder) -> Any:
    """``transformers.CLIPTextModel`` with the text tower's weights, float32."""
    from transformers import CLIPTextConfig, CLIPTextModel

    weights, config = text_tower(folder)
    encoder = CLIPTextModel(CLIPTextConfig(**config))
    own = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items() if "position_ids" not in name}
    # Some versions of transformers keep the same tensors one level deeper than others.
    prefix = "text_model." if any(name.startswith("text_model.") for name in own) else ""
    file = weights_file("clip", folder)
    weights = {
        prefix + name.removeprefix("text_model."): to_floats(file, name, tensor, torch.float32)
        for name, tensor in weights.items()
        if name.startswith("text_model.")
    }
    check(file, {name: tuple(t.shape) for name, t in weights.items()}, own, "the text encoder")
    encoder.load_state_dict(weights, strict=False)
    return encoder.float().eval()
