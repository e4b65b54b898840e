"""Train all miniature models, one after another.

    python -m grefine_research.miniature.training --profile cpu --out DIR

Every stage is a command of its own that can be ended and goes on where it was; this runs those that are not finished,
in their order, and copies what they make into ``DIR/weights``. ``GREFINE_MINIATURE=DIR/weights`` makes the demo and the
benchmark use it; `--ship` puts it into the package.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grefine_core.files import written_whole

from .loop import today

logger = logging.getLogger(__name__)
_PACKAGE = "grefine_research.miniature"


@dataclass(frozen=True)
class Stage:
    """One command and what it makes.

    Attributes:
        module: to run, below ``grefine_research.miniature``.
        arguments: its command line.
        makes: files; with all of them there the stage is done.
        ships: those of them that belong beside the models, log included.
    """

    module: str
    arguments: tuple[str, ...]
    makes: tuple[Path, ...]
    ships: tuple[Path, ...]


def stages(out: Path, profile: str) -> tuple[Stage, ...]:
    """The stages in their order. CLIP comes first: the embeddings are tuned to it and the UNet reads its text tower."""
    names = ("guide", "clip", "vae", "unet", "weights", "judges")
    guide, clip, vae, unet, weights, evaluators = (out / name for name in names)
    model = clip / "clip.safetensors"
    embeddings = tuple(weights / f"pq_embeddings.{end}" for end in ("safetensors", "training.json"))
    common = ("--profile", profile)
    return (
        Stage("training.guide", (*common, "--out", str(guide), "--resume"), (guide / "done",), (guide / "log.jsonl",)),
        Stage(
            "training.clip",
            (*common, "--guide", str(guide), "--out", str(clip), "--resume"),
            (clip / "done",),
            (model, clip / "clip.json", clip / "log.jsonl"),
        ),
        Stage(
            "training.embeddings",
            ("--clip", str(model), "--out", str(weights), "--work", str(out / "embeddings")),
            embeddings,
            (),
        ),
        Stage("training.calibration", ("--folder", str(weights)), (weights / "clip.safetensors.calibration.json",), ()),
        Stage(
            "training.autoencoder",
            (*common, "--out", str(vae), "--resume"),
            (vae / "done",),
            (vae / "vae.safetensors", vae / "vae.log.jsonl"),
        ),
        Stage(
            "training.inpainting",
            (*common, "--clip", str(model), "--vae", str(vae / "vae.safetensors"), "--out", str(unet), "--resume"),
            (unet / "done",),
            (unet / "unet.safetensors", unet / "unet.log.jsonl"),
        ),
        Stage("evaluators.training", (*common, "--out", str(evaluators)), (evaluators / "judges.json",), ()),
    )


def run(out: Path, profile: str) -> Path:
    """Run what is not finished; returns the folder of the weights.

    Raises:
        SystemExit: a stage ended with an error; its own words stand above.
    """
    weights = out / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    for stage in stages(out, profile):
        if all(file.is_file() for file in stage.makes):
            logger.info("%s: finished already", stage.module)
        else:
            logger.info("%s", stage.module)
            command = [sys.executable, "-m", f"{_PACKAGE}.{stage.module}", *stage.arguments]
            if code := subprocess.run(command).returncode:
                raise SystemExit(f"{stage.module} ended with exit code {code}; run this again to go on.")
            for file in stage.makes:
                if file.name == "done":
                    file.write_text(today() + "\n", encoding="utf-8")
        for file in stage.ships:
            _copy(file, weights)
    return weights


def _copy(file: Path, folder: Path) -> None:
    name = f"{file.parent.name}.{file.name}" if file.name == "log.jsonl" else file.name
    with written_whole(folder / name) as scratch:
        shutil.copyfile(file, scratch)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    from grefine_core.miniature.loading import SHIPPED

    from ..evaluators.loading import FOLDER as EVALUATORS

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--profile", choices=("cpu", "gpu"), default="cpu", help="cpu: about five hours on two cores")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything; several GiB of drawn pictures")
    parser.add_argument("--ship", action="store_true", help="copy the results into the package afterwards")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    weights = run(options.out, options.profile)
    if options.ship:
        for source, target in ((weights, SHIPPED), (options.out / "judges", EVALUATORS)):
            target.mkdir(parents=True, exist_ok=True)
            for file in sorted(source.iterdir()):
                if file.suffix in (".safetensors", ".json", ".jsonl"):
                    _copy(file, target)
    logger.info("done: %s", weights)


if __name__ == "__main__":
    main()
