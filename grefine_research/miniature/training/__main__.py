"""Train all miniature models, one after another.

    python -m grefine_research.miniature.training --profile cpu --out DIR

and on from the models of another world, where there is a GPU in about ten minutes:

    python -m grefine_research.miniature.training --profile gpu --start grefine_core/miniature/weights
        --processes 12 --together 3 --out DIR

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
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from grefine_core.files import written_whole
from grefine_core.miniature.loading import TEXT_FILE

from ..worlds import SHIPPED, WORLDS, World, world_named
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
        after: modules of the stages whose results it reads.
    """

    module: str
    arguments: tuple[str, ...]
    makes: tuple[Path, ...]
    ships: tuple[Path, ...]
    after: tuple[str, ...] = ()


def stages(
    out: Path, profile: str, world: World = SHIPPED, start: Path | None = None, processes: int = 2
) -> tuple[Stage, ...]:
    """The stages in their order.

    From nothing CLIP comes first: the embeddings are tuned to it and the UNet reads its text tower. From the models of
    another world (``start``, a folder) CLIP, autoencoder and UNet go on, without a guide and with a text tower of the
    UNet's own.
    """
    names = ("guide", "clip", "vae", "unet", "weights", "judges", "data")
    guide, clip, vae, unet, weights, evaluators, data = (out / name for name in names)
    model, autoencoder = clip / "clip.safetensors", vae / "vae.safetensors"
    made = tuple(weights / f"pq_embeddings.{end}" for end in ("safetensors", "training.json"))
    common = ("--profile", profile)
    drawing = (*common, "--processes", str(processes))
    own, named = ("--set", f"world={world.name}"), ("--world", world.name)
    started = (
        {} if start is None else {name: ("--start", str(start / f"{name}.safetensors")) for name in ("vae", "unet")}
    )
    scenes = ("--data", str(data / "scenes"))
    first = Stage(
        "training.guide", (*drawing, "--out", str(guide), "--resume", *own), (guide / "done",), (guide / "log.jsonl",)
    )
    # The UNet's text tower is on its way from the one that it was trained with.
    told_by = model if start is None else start / "clip.safetensors"
    painted = (unet / "unet.safetensors", unet / "unet.log.jsonl", *(() if start is None else (unet / TEXT_FILE,)))
    passing = ("--vae", str(autoencoder)) if world.seen else ()
    return (
        *((first,) if start is None else ()),
        Stage(
            "training.clip",
            (
                *(*drawing, *(("--guide", str(guide)) if start is None else ("--start", str(start)))),
                *("--out", str(clip), "--resume", *own),
            ),
            (clip / "done",),
            (model, clip / "clip.json", clip / "log.jsonl"),
            () if start is not None else ("training.guide",),
        ),
        Stage(
            "training.embeddings",
            (
                *("--clip", str(model), "--out", str(weights), "--work", str(out / "embeddings")),
                *("--processes", str(processes), *named),
            ),
            made,
            (),
            ("training.clip",),
        ),
        Stage(
            "training.calibration",
            ("--folder", str(weights), *named),
            (weights / "clip.safetensors.calibration.json",),
            (),
            ("training.embeddings",),
        ),
        Stage(
            "training.autoencoder",
            (*drawing, *started.get("vae", ()), *scenes, "--out", str(vae), "--resume", *own),
            (vae / "done",),
            (autoencoder, vae / "vae.log.jsonl"),
        ),
        Stage(
            "evaluators.training",
            (*common, *passing, "--out", str(evaluators), *named),
            (evaluators / "judges.json",),
            (),
            ("training.autoencoder",),
        ),
        Stage(
            "training.inpainting",
            (
                *(*drawing, *started.get("unet", ()), *scenes, "--clip", str(told_by), "--vae", str(autoencoder)),
                *("--out", str(unet), "--resume", *own),
            ),
            (unet / "done",),
            painted,
            ("training.autoencoder", *(("training.clip",) if start is None else ())),
        ),
    )


def run(
    out: Path,
    profile: str,
    world: World = SHIPPED,
    start: Path | None = None,
    *,
    processes: int = 2,
    together: int = 1,
) -> Path:
    """Run what is not finished; returns the folder of the weights.

    Args:
        out: folder of everything.
        profile: "cpu" or "gpu".
        world: whose pictures.
        start: folder of models to go on from; None to begin from nothing.
        processes: that draw pictures.
        together: stages at once, each after those whose results it reads.

    Raises:
        SystemExit: a stage ended with an error; its own words stand above.
    """
    weights = out / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    running: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(together) as pool:
        for stage in stages(out, profile, world, start, processes):
            before = [running[name] for name in stage.after]
            running[stage.module] = pool.submit(_run_stage, stage, before, weights)
        failed = [error for each in running.values() if (error := each.exception()) is not None]
    if failed:
        raise failed[0]
    return weights


def _run_stage(stage: Stage, before: Sequence[Future[None]], weights: Path) -> None:
    for each in before:
        each.result()
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


def _copy(file: Path, folder: Path) -> None:
    name = f"{file.parent.name}.{file.name}" if file.name == "log.jsonl" else file.name
    with written_whole(folder / name) as scratch:
        shutil.copyfile(file, scratch)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    from grefine_core.miniature.loading import SHIPPED as WEIGHTS

    from ..evaluators.loading import FOLDER as EVALUATORS

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--profile", choices=("cpu", "gpu"), default="cpu", help="cpu: about five hours on two cores")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything; several GiB of drawn pictures")
    parser.add_argument("--world", choices=tuple(WORLDS), default=SHIPPED.name)
    parser.add_argument("--start", type=Path, help="folder of the models of another world, to go on from")
    parser.add_argument("--processes", type=int, default=2, help="that draw pictures")
    parser.add_argument("--together", type=int, default=1, help="stages at once")
    parser.add_argument("--ship", action="store_true", help="copy the results into the package afterwards")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    weights = run(
        options.out,
        options.profile,
        world_named(options.world),
        options.start,
        processes=options.processes,
        together=options.together,
    )
    if options.ship:
        for source, target in ((weights, WEIGHTS), (options.out / "judges", EVALUATORS)):
            target.mkdir(parents=True, exist_ok=True)
            for file in sorted(source.iterdir()):
                if file.suffix in (".safetensors", ".json", ".jsonl"):
                    _copy(file, target)
    logger.info("done: %s", weights)


if __name__ == "__main__":
    main()
