"""PQ embeddings of the miniature world: ``python -m grefine_research.miniature.training.embeddings``.

The project's own prompt tuning (:mod:`grefine_research.training`) on samples of the training split. It sees pictures
and one severity for each factor; masks only score the finished maps, on validation samples.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from grefine_core.clip.loading import load_clip
from grefine_core.clip.quality_model import QualityModel
from grefine_core.clip.surgery import DEFAULT_BLOCKS
from grefine_core.files import write_text
from grefine_core.models.finding import weight_file

from ...training import PromptTuningOptions, TunedPrompts, build_features, tune_prompts
from ...training.fingerprint import model_fingerprint
from ...training.prompt_tuning import AFTERWARDS
from ...training.settings import parse_settings
from ..source_mark import source_mark
from ..worlds import SHIPPED, WORLDS, World, world_named
from .embedding_data import Pictures, map_figures
from .loop import today

logger = logging.getLogger(__name__)

NAME = "pq_embeddings"

#: What the shipped embeddings were trained with.
DEFAULTS = PromptTuningOptions(
    epochs=60,
    learning_rate=2e-2,
    patch_weight=1.0,
    patch_target="presence",
    pool_share=0.08,
    # A mean would lie within the spread of good pictures, which differs from ground to ground.
    measure_bounds="quantile",
    bound_quantile=0.2,
    start="words",
    words={
        "overall": ("a clean picture", "an odd picture"),
        "technical": ("sharp clear", "blurry noisy pixelated"),
        "rational": ("whole complete", "broken deformed doubled"),
        "natural": ("natural color", "strange color and texture"),
    },
)


def train_embeddings(
    clip_file: Path,
    out: Path,
    *,
    work: Path,
    pictures: int,
    validation: int,
    options: PromptTuningOptions = DEFAULTS,
    overall: bool = False,
    difficulty: float = 0.5,
    blocks: int = DEFAULT_BLOCKS,
    map_samples: int = 200,
    processes: int = 2,
    world: World = SHIPPED,
    arguments: Mapping[str, Any] | None = None,
) -> TunedPrompts:
    """Draw, encode, train, and write ``pq_embeddings.safetensors`` with ``pq_embeddings.training.json``.

    Args:
        clip_file: weights of the miniature CLIP, configuration beside them.
        out: folder of the result; each file is written in one move.
        work: folder of pictures, features and checkpoint; whatever of it is there is used.
        pictures, validation: samples of either split.
        options: of the prompt tuning.
        overall: whether the overall factor has a label of its own; else it learns through PS.
        difficulty: of the samples.
        blocks: last blocks with V-V attention.
        map_samples: validation samples that score the maps at the end; 0 for none.
        processes: that draw.
        world: of the samples.
        arguments: noted in the log.
    """
    from tqdm import tqdm

    started = time.monotonic()
    clip, _ = load_clip(clip_file)
    data = []
    for split, count in (("train", pictures), ("validation", validation)):
        drawn = Pictures(work / "pictures", split, count, difficulty, processes, world)  # type: ignore[arg-type]
        with tqdm(total=count, desc=f"encoding {split}", unit="picture", mininterval=5, disable=None) as bar:
            features = build_features(
                work / f"features-{world.name}-{split}-{blocks}",
                clip,
                drawn.keys,
                drawn.read,
                patches=True,
                blocks=blocks,
                progress=lambda done, _, bar=bar: bar.update(done - bar.n),  # type: ignore[misc]
            )
        data.append((features, drawn.targets(overall)))
    # Other bounds need no other training: they are measured anew from its checkpoint.
    trained = replace(options, **{name: getattr(DEFAULTS, name) for name in AFTERWARDS})
    with tqdm(total=options.epochs, desc="training", unit="epoch", mininterval=5, disable=None) as bar:

        def epoch_end(entry: Mapping[str, Any], _: int) -> None:
            bar.update(entry["epoch"] - bar.n)
            bar.set_postfix(loss=f"{entry['loss']:.4f}", srocc=f"{entry['monitor']:.4f}")

        settings = (trained, pictures, validation, overall, difficulty, blocks, world.name, source_mark())
        name = _name(clip, *settings)
        found = tune_prompts(
            clip,
            *data[0],
            options,
            validation=data[1],
            checkpoint=work / f"checkpoint-{name}.safetensors",
            epoch_end=epoch_end,
        )
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{NAME}.safetensors"
    found.save(target, {"grefine": "miniature PQ embeddings", "seed": str(options.seed), "date": today()})
    figures: dict[str, float] = dict(found.figures)
    if map_samples:
        scored = map_figures(QualityModel(clip, target, blocks=blocks), map_samples, difficulty, world=world)
        figures |= {f"scenes {name}": value for name, value in scored.items()}
    log = {
        "date": today(),
        "seed": options.seed,
        "arguments": dict(arguments or {}),
        "pictures": {"train": pictures, "validation": validation, "scored": map_samples},
        "options": asdict(options),
        "clip_fingerprint": found.fingerprint,
        "best_epoch": found.best_epoch,
        "bounds": asdict(found.bounds),
        "figures": {name: round(value, 4) for name, value in figures.items()},
        "history": found.history,
        "seconds": round(time.monotonic() - started),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    write_text(out / f"{NAME}.training.json", json.dumps(log, indent=1) + "\n")
    logger.info("%s: best epoch %d, %s", target, found.best_epoch, json.dumps(log["figures"]))
    return found


def _name(clip: nn.Module, *settings: object) -> str:
    """Short and different for every training, so that trials can share a folder of pictures and features."""
    text = f"{model_fingerprint(clip)} {settings!r}"
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the PQ embeddings of the miniature world.")
    parser.add_argument("--clip", type=Path, required=True, help="clip.safetensors with clip.json beside it")
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {NAME}.safetensors and its log")
    parser.add_argument(
        "--work", type=Path, help="folder for pictures, features and checkpoint; default: embeddings, beside the model"
    )
    parser.add_argument("--pictures", type=int, default=5000, help="training samples")
    parser.add_argument("--validation", type=int, default=600, help="validation samples")
    parser.add_argument("--map-samples", type=int, default=200, help="validation samples that score the maps")
    parser.add_argument("--difficulty", type=float, default=0.5, help="of the samples, 0 to 1")
    parser.add_argument("--blocks", type=int, default=DEFAULT_BLOCKS, help="last blocks with V-V attention")
    parser.add_argument("--overall", choices=("joint", "own"), default="own", help="how the overall factor learns")
    parser.add_argument("--processes", type=int, default=2, help="that draw")
    parser.add_argument("--world", choices=tuple(WORLDS), default=SHIPPED.name)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other options of the prompt tuning")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options = parse_settings([f"seed={chosen.seed}", *chosen.set], DEFAULTS)
    file = weight_file(chosen.clip)
    noted = {name: str(value) if isinstance(value, Path) else value for name, value in vars(chosen).items()}
    train_embeddings(
        file,
        chosen.out,
        work=chosen.work or file.parent / "embeddings",
        pictures=chosen.pictures,
        validation=chosen.validation,
        options=options,
        overall=chosen.overall == "own",
        difficulty=chosen.difficulty,
        blocks=chosen.blocks,
        map_samples=chosen.map_samples,
        processes=chosen.processes,
        world=world_named(chosen.world),
        arguments={name: value for name, value in noted.items() if name not in ("clip", "out", "work")},
    )


if __name__ == "__main__":
    main()
