"""Load Quality Model: the files, the host's memory manager, and the model's way into the other nodes."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import torch
from comfy_api.latest import io

from ..grefine_core.alignment import calibration_path, contrast_vocabulary_path
from ..grefine_core.clip.loading import load_quality_model
from ..grefine_core.clip.quality_model import QualityModel
from ..grefine_core.errors import InputError
from ..grefine_core.imagereward import LOCALISATIONS
from ..grefine_core.models.files import SUFFIXES
from . import host, inputs
from .io_types import CATEGORY, QualityModelType

#: Pictures measured at once: between them the user's cancel is looked at.
BATCH = 8
PUBLISHED = "published"
CLIP = "CLIP"
CONFIGS = ("open_clip_config.json", "config.json")
#: open_clip's plain ViTs. Others are recognised by the `open_clip_config.json` beside their weights.
ARCHITECTURES = (
    "auto",
    "ViT-B-16-quickgelu",
    "ViT-B-16",
    "ViT-B-32-quickgelu",
    "ViT-B-32",
    "ViT-L-14-quickgelu",
    "ViT-L-14",
    "ViT-L-14-336-quickgelu",
    "ViT-L-14-336",
    "ViT-H-14-quickgelu",
    "ViT-H-14",
    "ViT-g-14",
    "ViT-bigG-14",
)


def quality_of(value: object, name: str = "quality_model") -> QualityModel:
    """The `quality_model` input (or the one of that `name`), brought onto its device by the host's memory manager.

    Raises:
        InputError: no quality model.
    """
    quality = inputs.instance(value, name, QualityModel, "the output of Load Quality Model")
    grids = [quality.grid, *([] if quality.alignment_encoder is None else [quality.alignment_encoder.grid])]
    tokens = max(1 + rows * columns for rows, columns in grids)
    # Activations of one pass: about a hundred vectors of the encoder's width for each token, four bytes each.
    with host.explained("loading the quality model", "Choose device cpu in Load Quality Model."):
        host.ready(quality, memory=BATCH * tokens * 1024 * 4 * 100)
    return quality


class GRefineLoadQualityModel(io.ComfyNode):
    """Loads CLIP with surgery and the learned quality embeddings."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs; the lists of files are read anew each time."""
        weights = host.model_files(host.FOLDER, SUFFIXES)
        fine = host.known(io.Combo.Input, advanced=True)
        return host.schema(
            node_id="GRefineLoadQualityModel",
            display_name="Load Quality Model",
            category=f"{CATEGORY}/quality",
            description="Loads the CLIP model that measures quality, and its learned embeddings.",
            search_aliases=["load clip", "image quality", "G-Refine"],
            inputs=[
                io.Combo.Input(
                    "clip_name",
                    options=weights,
                    tooltip="CLIP weights, image and text model in one file, in models/grefine. The published "
                    "embeddings belong to OpenAI's ViT-B/16.",
                ),
                io.Combo.Input(
                    "architecture",
                    options=list(ARCHITECTURES),
                    default="auto",
                    tooltip="auto reads open_clip_config.json beside the file, or recognises OpenAI's models by the "
                    "shapes of their weights.",
                    **fine,
                ),
                io.Combo.Input(
                    "embeddings",
                    options=[PUBLISHED, *_embedding_choices()],
                    default=PUBLISHED,
                    tooltip="The learned prompts for quality. published: the four pairs of the paper's authors, which "
                    "come with the pack.",
                    **fine,
                ),
                io.Combo.Input(
                    "calibration",
                    options=["auto", *_calibration_choices(weights)],
                    default="auto",
                    tooltip="Bounds of the alignment scores, made by `grefine calibrate`. auto takes "
                    "<file that measures alignment>.calibration.json if it is there.",
                    **fine,
                ),
                io.Int.Input(
                    "resolution",
                    default=0,
                    min=0,
                    max=2048,
                    tooltip="Side in pixels at which pictures are measured; 0 is the model's own. Otherwise a multiple "
                    "of its patch size: larger is slower and finer.",
                    **host.known(io.Int.Input, advanced=True),
                ),
                io.Combo.Input(
                    "device",
                    options=list(host.DEVICES),
                    default="auto",
                    tooltip="auto leaves it to ComfyUI's memory manager; cpu keeps the graphics memory free.",
                    **fine,
                ),
                io.Combo.Input(
                    "alignment_encoder",
                    options=[CLIP, *weights],
                    default=CLIP,
                    optional=True,
                    tooltip="What AQ-Map measures with: the same CLIP, or ImageReward's weights (ImageReward.pt in "
                    "models/grefine), which the paper starts from. PQ-Map always uses CLIP.",
                    **fine,
                ),
                io.Combo.Input(
                    "alignment_maps",
                    options=list(LOCALISATIONS),
                    default=LOCALISATIONS[0],
                    optional=True,
                    tooltip="With ImageReward: how a phrase is found in the picture. gradient: gradient times "
                    "attention; values: V-V attention; slices: one part of the picture at a time, which is slow.",
                    **fine,
                ),
            ],
            outputs=[
                QualityModelType.Output(
                    "quality_model", display_name="quality_model", tooltip="For PQ-Map, AQ-Map, guard and report."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, clip_name: object = None, alignment_encoder: object = None) -> bool | str:
        """Name the folders that were searched before anything runs; a linked name is only known later."""
        try:
            if clip_name is not None:
                host.model_path(host.FOLDER, clip_name, "clip_name")
            if alignment_encoder not in (None, CLIP):
                host.model_path(host.FOLDER, alignment_encoder, "alignment_encoder")
        except InputError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(
        cls,
        clip_name: object = None,
        architecture: object = None,
        embeddings: object = None,
        calibration: object = None,
        resolution: object = None,
        device: object = None,
        alignment_encoder: object = None,
        alignment_maps: object = None,
    ) -> Any:
        """Load again when a file was replaced under its old name."""
        try:
            paths = _files(clip_name, embeddings, calibration, alignment_encoder)
        except InputError:  # a linked name, not known yet, or a missing file, which `execute` will name
            return "unknown"
        words = contrast_vocabulary_path(paths[0])  # found by the loader itself, if it is there
        tops = [path for path in (*paths, *_beside(paths[3]), words if words.is_file() else None) if path is not None]
        files = [path for top in tops for path in (sorted(top.iterdir()) if top.is_dir() else [top])]
        stamps = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]
        files_apart = (architecture, resolution, device, alignment_maps)
        return repr((clip_name, embeddings, calibration, alignment_encoder, files_apart, stamps))

    @classmethod
    def execute(
        cls,
        clip_name: str,
        architecture: str,
        embeddings: str,
        calibration: str,
        resolution: int,
        device: str,
        alignment_encoder: str = CLIP,
        alignment_maps: str = LOCALISATIONS[0],
    ) -> io.NodeOutput:
        """Load the files and hand the model to the host's memory manager."""
        architecture = inputs.choice(architecture, "architecture", ARCHITECTURES)
        device = inputs.choice(device, "device", host.DEVICES)
        side = inputs.whole_number(resolution, "resolution", 0, 2048)
        ways = inputs.choice(alignment_maps, "alignment_maps", LOCALISATIONS)
        clip, learned, table, encoder = _files(clip_name, embeddings, calibration, alignment_encoder)
        # Weights made in inference mode would not count their writes, by which the caches know that they changed.
        with torch.inference_mode(False):
            quality = load_quality_model(
                None if architecture == "auto" else architecture,
                weights=clip,
                embeddings=learned,
                resolution=side or None,
                calibration=table,
                alignment_encoder=encoder,
                alignment_maps=ways,
            )
        host.adopt(quality, quality.networks, device)
        return io.NodeOutput(quality)


def _embedding_choices() -> list[str]:
    """Files that may hold all four factors, and folders with one file each, which end with a slash."""
    return host.model_files(host.FOLDER, (".safetensors",)) + [
        f"{name}/" for name in host.model_folders(host.FOLDER, (".safetensors", ".pth"))
    ]


def _calibration_choices(weights: list[str]) -> list[str]:
    """JSON files that are neither the configuration nor the contrast words of a model."""
    configs = {str(PurePosixPath(name).with_suffix(ending)) for name in weights for ending in (".json", ".banks.json")}
    tables = host.model_files(host.FOLDER, host.CALIBRATIONS)
    return [name for name in tables if name not in configs and PurePosixPath(name).name not in CONFIGS]


def _files(
    clip_name: object, embeddings: object, calibration: object, alignment_encoder: object
) -> tuple[Path, Path | None, Path | None, Path | None]:
    """The chosen files: weights, embeddings (None: those that come with the pack), calibration (None: none), weights of
    the encoder for alignment (None: CLIP itself).

    Raises:
        InputError: one is not there; the folders searched are listed.
    """
    clip = host.model_path(host.FOLDER, clip_name, "clip_name")
    learned = None
    if embeddings != PUBLISHED:
        learned = host.model_path(host.FOLDER, embeddings, "embeddings", folder=str(embeddings).endswith("/"))
    encoder = None
    if alignment_encoder not in (None, CLIP):
        encoder = host.model_path(host.FOLDER, alignment_encoder, "alignment_encoder")
    if calibration != "auto":
        return clip, learned, host.model_path(host.FOLDER, calibration, "calibration"), encoder
    beside = calibration_path(encoder or clip)
    return clip, learned, beside if beside.is_file() else None, encoder


def _beside(encoder: Path | None) -> list[Path]:
    """Files that belong to the weights of the encoder for alignment: its sizes and its contrast words, where it has
    any."""
    if encoder is None:
        return []
    return [path for path in (encoder.with_suffix(".json"), contrast_vocabulary_path(encoder)) if path.is_file()]
