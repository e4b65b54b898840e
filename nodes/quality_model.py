"""Load Quality Model: the files, the host's memory manager, and the model's way into the other nodes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from comfy_api.latest import io

from ..grefine_core.alignment import Calibration, calibration_path, contrast_vocabulary_path
from ..grefine_core.calibration.auto import measure, without_alignment
from ..grefine_core.calibration.notes import report_lines
from ..grefine_core.calibration.reference import own_reference
from ..grefine_core.calibration.store import FOLDER as KEPT_CALIBRATIONS
from ..grefine_core.clip.architectures import names_by_shapes
from ..grefine_core.clip.loading import load_quality_model
from ..grefine_core.clip.quality_model import QualityModel
from ..grefine_core.errors import InputError, ModelFileError
from ..grefine_core.imagereward import LOCALISATIONS
from ..grefine_core.models.files import SUFFIXES
from ..grefine_core.tensors import as_images
from . import host, inputs, notices, preview
from .io_types import CATEGORY, QualityModelType

#: Pictures measured at once: between them the user's cancel is looked at.
BATCH = 8
#: Good pictures, to set bounds by.
FEWEST = 12
AUTO, NONE, PUBLISHED, WORDS = "auto", "none", "published", "words"
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
            has_intermediate_output=True,
            inputs=[
                io.Combo.Input(
                    "clip_name",
                    options=weights,
                    tooltip="CLIP weights, image and text model in one file, in models/grefine. The published "
                    "embeddings belong to OpenAI's ViT-B/16.",
                ),
                io.Combo.Input(
                    "architecture",
                    options=_architecture_choices(weights),
                    default="auto",
                    tooltip="auto reads the configuration that belongs to the file, or recognises open_clip's models "
                    "by the shapes of their weights. Offered is what the files in models/grefine can be.",
                    **fine,
                ),
                io.Combo.Input(
                    "embeddings",
                    options=[AUTO, PUBLISHED, WORDS, *_embedding_choices()],
                    default=AUTO,
                    tooltip="The prompts for quality. published: the four learned pairs of the paper's authors, for "
                    "OpenAI's ViT-B/16; words: antonyms, for any CLIP; auto: the published ones, or words where these "
                    "do not fit the weights.",
                    **fine,
                ),
                io.Combo.Input(
                    "calibration",
                    options=[AUTO, NONE, *_calibration_choices(weights)],
                    default=AUTO,
                    tooltip="Bounds of the scores, and what can be trusted. auto takes <file that measures "
                    "alignment>.calibration.json if it is there; else it is measured at the first use of the weights, "
                    "which takes about a minute on a CPU, and kept. none: default bounds.",
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
                io.Combo.Input(
                    "vision_tower",
                    options=[NONE, *weights],
                    default=NONE,
                    optional=True,
                    tooltip="The vision tower, if clip_name is the text encoder of a CLIP alone. Both files need their "
                    "projections.",
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
    def validate_inputs(cls, clip_name: object = None) -> bool | str:
        """Say before anything runs where a missing file goes; a linked name is only known later.

        Of one input alone: the host lays what is said here to every input that is named here.
        """
        if clip_name is None:
            return True
        try:
            host.model_path(host.FOLDER, clip_name, "clip_name")
        except InputError as error:
            return str(error).removeprefix("clip_name: ")  # the host puts it in front
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
        vision_tower: object = NONE,
    ) -> Any:
        """Load again when a file was replaced under its old name."""
        try:
            paths = (*_files(clip_name, embeddings, calibration, alignment_encoder), _tower(vision_tower))
        except InputError:  # a linked name, not known yet, or a missing file, which `execute` will name
            return "unknown"
        words = contrast_vocabulary_path(paths[0])  # found by the loader itself, if it is there
        tops = [path for path in (*paths, *_beside(paths[3]), words if words.is_file() else None) if path is not None]
        files = [path for top in tops for path in (sorted(top.iterdir()) if top.is_dir() else [top])]
        stamps = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]
        files_apart = (architecture, resolution, device, alignment_maps)
        return repr((clip_name, embeddings, calibration, alignment_encoder, vision_tower, files_apart, stamps))

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
        vision_tower: str = NONE,
    ) -> io.NodeOutput:
        """Load the files, measure what they can tell if that is not known yet, and hand the model to the host's memory
        manager."""
        inputs.choice(architecture, "architecture", ARCHITECTURES)
        device = inputs.choice(device, "device", host.DEVICES)
        side = inputs.whole_number(resolution, "resolution", 0, 2048)
        ways = inputs.choice(alignment_maps, "alignment_maps", LOCALISATIONS)
        clip, learned, table, encoder = _files(clip_name, embeddings, calibration, alignment_encoder)
        tower = _tower(vision_tower)
        if tower is None and architecture != AUTO:
            _check_architecture(clip, architecture)
        # Weights made in inference mode would not count their writes, by which the caches know that they changed.
        with torch.inference_mode(False):
            quality = load_quality_model(
                None if architecture == AUTO else architecture,
                weights=clip,
                embeddings=learned or str(embeddings),
                resolution=side or None,
                # The file beside the weights is looked for by the loader, which measures where there is none.
                calibration=calibration if calibration in (AUTO, NONE) else table,
                alignment_encoder=encoder,
                alignment_maps=ways,
                vision_tower=tower,
                progress=host.progress(),
            )
        host.adopt(quality, quality.networks, device)
        return io.NodeOutput(quality, ui=preview.cards([_trust_lines(quality)]))


def _trust_lines(quality: QualityModel) -> list[preview.Line]:
    """What cannot be trusted with the weights, or on how many pictures it was measured that all can."""
    calibration = quality.calibration
    if calibration is None or not calibration.calibrated:
        return notices.of_model(quality, ())
    notes = [preview.line(note, "warn", main=True) for note in calibration.notes]
    return notes or [preview.line(f"Calibrated on {calibration.pictures} pictures.", "faint")]


class GRefineCalibrateQualityModel(io.ComfyNode):
    """Measures bounds of a quality model on good pictures of the user's own."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return host.schema(
            node_id="GRefineCalibrateQualityModel",
            display_name="Calibrate Quality Model",
            category=f"{CATEGORY}/quality",
            description="Sets the bounds of a quality model by good pictures of yours, and gives a new model.",
            search_aliases=["bounds", "thresholds", "G-Refine"],
            inputs=[
                QualityModelType.Input("quality_model", tooltip="From Load Quality Model. It stays as it is."),
                io.Image.Input("image", tooltip="Good pictures in your style, twelve or more."),
                io.String.Input(
                    "prompts",
                    default="",
                    multiline=True,
                    dynamic_prompts=False,
                    tooltip="What they show: a line for each picture, or one for all. Empty: the bounds of phrases "
                    "stay as they are.",
                ),
                io.Image.Input(
                    "bad_image", optional=True, tooltip="Pictures that you find bad, to see whether they are found."
                ),
            ],
            outputs=[
                QualityModelType.Output(
                    "calibrated_model", display_name="quality_model", tooltip="The same model with bounds of yours."
                ),
                io.String.Output(
                    "report", display_name="report", tooltip="What can be trusted with these weights, in words."
                ),
            ],
        )

    @classmethod
    def execute(cls, quality_model: object, image: Any, prompts: str = "", bad_image: Any = None) -> io.NodeOutput:
        """Measure the pictures; what prompts name is there."""
        quality = quality_of(quality_model)
        pictures = as_images(image, "image")
        if len(pictures) < FEWEST:
            raise InputError(
                f"image: {len(pictures)} good pictures are too few to set bounds by; give {FEWEST} or more."
            )
        lines = [line.strip() for line in inputs.text(prompts, "prompts").splitlines() if line.strip()]
        if len(lines) not in (0, 1, len(pictures)):
            raise InputError(
                f"prompts: {len(lines)} lines for {len(pictures)} pictures; give one for each, one for all, or none."
            )
        said = (lines or [""]) * (1 if len(lines) == len(pictures) else len(pictures))
        bad = [] if bad_image is None else list(as_images(bad_image, "bad_image"))
        reference = own_reference(zip(pictures, said, strict=True), quality.contrast_vocabulary, bad)
        made = measure(quality, reference, progress=host.progress())
        if not lines:
            made = without_alignment(made, quality.calibration or Calibration())
        found = quality.with_calibration(made)
        host.share(found, quality)
        return io.NodeOutput(found, "\n".join(report_lines(found)))


def _embedding_choices() -> list[str]:
    """Files that may hold all four factors, and folders with one file each, which end with a slash."""
    return host.model_files(host.FOLDER, (".safetensors",)) + [
        f"{name}/" for name in host.model_folders(host.FOLDER, (".safetensors", ".pth"))
    ]


def _architecture_choices(weights: list[str]) -> list[str]:
    """Those that a file there can be; all of them where there is one of which that is not known."""
    fitting: set[str] = set()
    for name in weights:
        try:
            file = host.model_path(host.FOLDER, name, "clip_name")
            found = file.stat()
        except (InputError, OSError):
            continue  # gone since the list was made
        names = _names_of(file, found.st_size, found.st_mtime_ns)
        if names is None:
            return list(ARCHITECTURES)
        fitting.update(names)
    return [name for name in ARCHITECTURES if name == AUTO or name in fitting or not fitting]


@lru_cache(256)
def _names_of(file: Path, _size: int, _time: int) -> tuple[str, ...] | None:
    """The architectures that a file can be; None where that cannot be seen at once. Kept until the file changes."""
    if file.suffix.lower() != ".safetensors":
        return None
    try:
        return names_by_shapes(file)
    except ModelFileError:
        return ()


def _calibration_choices(weights: list[str]) -> list[str]:
    """JSON files that are neither configuration nor contrast words of a model, nor kept by the loader itself."""
    configs = {str(PurePosixPath(name).with_suffix(ending)) for name in weights for ending in (".json", ".banks.json")}
    tables = host.model_files(host.FOLDER, host.CALIBRATIONS)
    return [
        name
        for name in tables
        if name not in configs
        and PurePosixPath(name).name not in CONFIGS
        and PurePosixPath(name).parent.name != KEPT_CALIBRATIONS
    ]


def _tower(vision_tower: object) -> Path | None:
    """The file of the vision tower; None for none.

    Raises:
        InputError: it is not there.
    """
    return None if vision_tower in (None, NONE) else host.model_path(host.FOLDER, vision_tower, "vision_tower")


def _check_architecture(file: Path, architecture: str) -> None:
    """Raise InputError where a file's shapes are those of another architecture; unknown ones are left to the loader."""
    found = file.stat()
    fitting = _names_of(file, found.st_size, found.st_mtime_ns)
    if fitting and architecture not in fitting:
        raise InputError(
            f"architecture: {file.name} has the shapes of {fitting[0]}, not of {architecture}. Choose auto, or "
            f"{' or '.join(fitting)}."
        )


def _files(
    clip_name: object, embeddings: object, calibration: object, alignment_encoder: object
) -> tuple[Path, Path | None, Path | None, Path | None]:
    """The chosen files: weights, embeddings (None: named, no file), calibration (None: none there), weights of
    the encoder for alignment (None: CLIP itself).

    Raises:
        InputError: one is not there; the folders searched are listed.
    """
    clip = host.model_path(host.FOLDER, clip_name, "clip_name")
    learned = None
    if embeddings not in (AUTO, PUBLISHED, WORDS):
        learned = host.model_path(host.FOLDER, embeddings, "embeddings", folder=str(embeddings).endswith("/"))
    encoder = None
    if alignment_encoder not in (None, CLIP):
        encoder = host.model_path(host.FOLDER, alignment_encoder, "alignment_encoder")
    if calibration == NONE:
        return clip, learned, None, encoder
    if calibration != AUTO:
        return clip, learned, host.model_path(host.FOLDER, calibration, "calibration"), encoder
    beside = calibration_path(encoder or clip)
    return clip, learned, beside if beside.is_file() else None, encoder


def _beside(encoder: Path | None) -> list[Path]:
    """Files that belong to the weights of the encoder for alignment: its sizes and its contrast words, where it has
    any."""
    if encoder is None:
        return []
    return [path for path in (encoder.with_suffix(".json"), contrast_vocabulary_path(encoder)) if path.is_file()]
