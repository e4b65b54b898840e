"""What a run of the benchmark is given: which scenes, which models, which choices, where to write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from grefine_core.clip.quality_model import QualityModel
from grefine_core.miniature.loading import Choices, load_choices
from grefine_core.miniature.world import Split
from grefine_research.miniature.worlds import SHIPPED, World

RESULTS = Path(__file__).parents[1] / "results"


@dataclass
class Run:
    """One run.

    Attributes:
        split: "test", or "validation" to choose on.
        scenes: of each part.
        ranked: of those of the refinement, so many first ones are refined in every row; the others by the full
            method alone.
        weights: folder of the miniature models; None for the usual one.
        evaluators: folder of the evaluators; None for the usual one.
        work: folder of the records.
        out: folder of the results.
        choices: options of the method, from the models' folder.
        difficulty: of the scenes.
        seed: of the refinement.
        dtype: of the diffusion networks.
        together: pictures that are refined side by side, their network calls joined.
        resume: whether records that are there already are kept.
        resamples: of every bootstrap.
        world: of the scenes.
    """

    split: Split = "test"
    scenes: int = 500
    ranked: int = 500
    weights: Path | None = None
    evaluators: Path | None = None
    work: Path = RESULTS / "miniature-records"
    out: Path = RESULTS
    choices: Choices = field(default_factory=Choices)
    difficulty: float = 0.5
    seed: int = 1
    dtype: torch.dtype = torch.bfloat16
    together: int = 16
    resume: bool = False
    resamples: int = 2000
    world: World = SHIPPED
    loaded: dict[str, Any] = field(default_factory=dict, repr=False)

    def quality(self) -> QualityModel:
        """The miniature quality model, loaded once."""
        if "quality" not in self.loaded:
            from grefine_core.miniature.loading import load_miniature_quality_model

            model = load_miniature_quality_model(folder=self.weights)
            self.loaded["quality"] = changed_model(model, blocks=self.choices.blocks)
        return self.loaded["quality"]  # type: ignore[no-any-return]

    def assess(self) -> Callable[..., Any]:
        """PQ-Map and AQ-Map as chosen: ``assess(quality, images, prompts)``."""
        return partial(_assess, self.choices.assessment())

    def fingerprint(self, part: str) -> str:
        """Tells records of other models, scenes or choices from this run's."""
        from grefine_core.miniature.loading import weights_folder
        from grefine_research.miniature.evaluators import find_evaluators

        digest = hashlib.blake2b(digest_size=6)
        place = self.weights or weights_folder()
        files = [] if part == "language" else sorted(place.glob("*"))
        files += sorted(find_evaluators(self.evaluators).glob("*")) if part in ("perceptual", "refinement") else []
        for file in files:
            if file.suffix in (".safetensors", ".json") and file.name != "choices.json":
                digest.update(file.name.encode() + file.read_bytes())
        settings = (self.split, self.world.name, self.difficulty, self.seed, str(self.dtype), part)
        digest.update(json.dumps([settings, asdict(self.choices)], sort_keys=True, default=str).encode())
        return digest.hexdigest()


def _assess(chosen: dict[str, Any], quality: QualityModel, images: torch.Tensor, prompts: Any) -> Any:
    from grefine_core.alignment import assess

    return assess(quality, images, prompts, **chosen)


def changed_model(model: QualityModel, *, blocks: int | None = None) -> QualityModel:
    """The same weights, embeddings and bounds with another number of blocks with V-V attention; a cache of its own."""
    if blocks is None or blocks == model.blocks:
        return model
    return QualityModel(
        model.module,
        model.embeddings,
        model.resolution,
        model.calibration,
        model.tokenizer,
        blocks=blocks,
        name=model.name,
        perceptual_bounds=model.perceptual_bounds,
        **({"contrast_vocabulary": model.contrast_vocabulary} if hasattr(model, "contrast_vocabulary") else {}),
    )


def read_choices(weights: Path | None) -> Choices:
    """The choices beside the models' files."""
    return load_choices(weights)


def with_split(run: Run, split: Split, scenes: int | None = None) -> Run:
    """The same run on other scenes; the loaded models are shared."""
    return replace(run, split=split, scenes=run.scenes if scenes is None else scenes)
