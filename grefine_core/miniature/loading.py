"""The miniature models, from their files: the quality model, the inpainter, and the restorer that it makes.

They ship with the package. The formats are those of the large models, so the same code loads them: open_clip's for
CLIP, diffusers' for UNet and VAE; the text encoder of the diffusion model is CLIP's text tower. Only safetensors are
read. Nothing is fetched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import InputError, ModelFileError
from ..files import read_json, write_text
from ..memory import put_on
from ..models.files import check, read_tensors, shapes_of, to_floats
from ..refine.crops import CropOptions
from ..refine.protocols import EmphasisOptions, MaskOptions, PlanOptions, RefineOptions
from ..regions import RegionOptions
from . import networks
from .networks import text_tower_config, text_tower_weights

if TYPE_CHECKING:
    from ..clip.quality_model import QualityModel
    from ..engines import DiffusersInpainter


# What the method does in the miniature world where the paper leaves it open, decided on validation scenes.

FILE = "choices.json"
_GROUPS = {
    "masks": MaskOptions,
    "plan": PlanOptions,
    "emphasis": EmphasisOptions,
    "crop": CropOptions,
    "regions": RegionOptions,
}


@dataclass(frozen=True)
class Choices:
    """Options of all steps.

    Attributes:
        options: of ``refine``.
        importance: of the technical, rational and natural factor.
        calibration: "bounded", "paper" or "released": the ``formula`` of ``assess``.
        aggregate: see ``alignment_quality``.
        scoring: the same; None for the calibration file's.
        penalty: the same, of the paper's formula; None for the usual one.
        blocks: last blocks with V-V attention; None for as many as usual.
        guidance: classifier-free guidance of the diffusion model; None for the loader's.
    """

    options: RefineOptions = field(default_factory=RefineOptions)
    importance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    calibration: str = "bounded"
    aggregate: str = "product"
    scoring: str | None = None
    penalty: str | None = None
    blocks: int | None = None
    guidance: float | None = None

    def assessment(self) -> dict[str, Any]:
        """The keywords for ``assess``."""
        keywords: dict[str, Any] = {
            "formula": self.calibration,
            "importance": self.importance,
            "aggregate": self.aggregate,
            "scoring": self.scoring,
        }
        return keywords if self.penalty is None else {**keywords, "penalty": self.penalty}

    def save(self, folder: str | Path) -> Path:
        """Write ``choices.json`` into a folder, as a whole; returns its path."""
        return write_text(Path(folder) / FILE, json.dumps(asdict(self), indent=2) + "\n")


def load_choices(folder: str | Path | None = None) -> Choices:
    """Read the choices beside the models' files; without such a file everything is as everywhere.

    Args:
        folder: of the models' files; None for the usual one.

    Raises:
        ModelFileError: the file is damaged or names what there is not.
    """

    file = (weights_folder() if folder is None else Path(folder).expanduser()) / FILE
    if not file.is_file():
        return Choices()
    try:
        return from_mapping(read_json(file))
    except (InputError, OSError, ValueError, TypeError, OverflowError) as error:
        raise ModelFileError(f"{file}: cannot be read as choices ({error}); install G-Refine again.") from error


def from_mapping(content: Mapping[str, Any]) -> Choices:
    """Choices from nested dictionaries, as :func:`dataclasses.asdict` gives them; what is left out is as everywhere.

    Raises:
        InputError: an unknown name, or an option of a wrong value.
    """
    values = dict(_known(Choices, content))
    if "importance" in values:
        values["importance"] = tuple(float(value) for value in values["importance"])
    if "options" in values:
        given = dict(_known(RefineOptions, values["options"]))
        groups = {
            name: kind(**_known(kind, given[name]))
            for name, kind in _GROUPS.items()
            if name in given and not (name == "regions" and given[name] is None)
        }
        values["options"] = replace(RefineOptions(), **{**given, **groups})
    return replace(Choices(), **values)


def _known(kind: Any, content: Any) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise InputError(f"choices: expected a table of options, got {type(content).__name__}.")
    names = {each.name for each in fields(kind)}
    if unknown := sorted(set(content) - names):
        raise InputError(f"choices: {unknown[0]!r} is no option; there are {', '.join(sorted(names))}.")
    return content


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
#: The diffusion model's own text tower, all but its tokens, which are CLIP's; without the file it is CLIP's.
TEXT_FILE = "text_encoder.safetensors"
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
    from ..clip.loading import load_quality_model

    weights_file("clip configuration", folder)
    quality = load_quality_model(
        weights=weights_file("clip", folder),
        embeddings=weights_file("embeddings", folder),
        device=device,
        dtype=dtype,
        blocks=load_choices(folder).blocks,
    )
    quality.miniature = True
    return quality


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
        OutOfMemory: the device has too little left.
    """
    from diffusers import EulerDiscreteScheduler, StableDiffusionInpaintPipeline

    from ..engines import DiffusersInpainter
    from ..engines.diffusers_sd import LatentSampler
    from ..engines.prompts import END, make_tokenizer

    target = torch.device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu"))
    if dtype is None:
        dtype = torch.float16 if target.type == "cuda" else torch.float32
    pipe: Any = StableDiffusionInpaintPipeline(
        unet=networks.load(weights_file("unet", folder), "unet", dtype),
        vae=networks.load(weights_file("vae", folder), "vae"),
        text_encoder=_text_encoder(folder).to(dtype),
        tokenizer=make_tokenizer(END),
        scheduler=EulerDiscreteScheduler(**networks.SCHEDULER_CONFIG),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    put_on(target, pipe, "the models")
    guidance = default_guidance(folder) if guidance_scale is None else guidance_scale
    return DiffusersInpainter(LatentSampler(pipe, guidance, negative_prompt))


def default_guidance(folder: Folder = None) -> float:
    """Classifier-free guidance that was chosen for these models.

    Raises:
        ModelFileError: the file of choices is damaged.
    """

    chosen = load_choices(folder).guidance
    return GUIDANCE if chosen is None else chosen


def read_weights(part: str, folder: Folder = None) -> dict[str, Tensor]:
    """The tensors of one part as they are stored: half precision, in diffusers' or open_clip's names.

    Raises:
        ModelFileError: the file is missing or damaged.
    """
    return read_tensors(weights_file(part, folder))


def text_tower(folder: Folder = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The diffusion model's text encoder: weights and sizes in transformers' names.

    It is CLIP's text tower, with other weights where the diffusion model has a text tower of its own.

    Raises:
        ModelFileError: a file is missing or damaged.
    """
    file = weights_file("clip configuration", folder)
    try:
        config = read_json(file)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{file}: cannot be read as JSON ({error}); install G-Refine again.") from error
    own = file.with_name(TEXT_FILE)
    tensors = {**read_weights("clip", folder), **(read_tensors(own) if own.is_file() else {})}
    return text_tower_weights(tensors), text_tower_config(config)


def _text_encoder(folder: Folder) -> Any:
    """``transformers.CLIPTextModel`` with the text tower's weights, float32."""
    from transformers import CLIPTextConfig, CLIPTextModel

    weights, config = text_tower(folder)
    encoder = CLIPTextModel(CLIPTextConfig(**config))
    own = {name: shape for name, shape in shapes_of(encoder).items() if "position_ids" not in name}
    # Some versions of transformers keep the same tensors one level deeper than others.
    prefix = "text_model." if any(name.startswith("text_model.") for name in own) else ""
    file = weights_file("clip", folder)
    weights = {
        prefix + name.removeprefix("text_model."): to_floats(file, name, tensor, torch.float32)
        for name, tensor in weights.items()
        if name.startswith("text_model.")
    }
    check(file, shapes_of(weights), own, "the text encoder", "Give the file that came with the pack.")
    encoder.load_state_dict(weights, strict=False)
    return encoder.float().eval()
