"""The method on the miniature world: maps, clean pictures and refinement against what is known, and targets beside it.

    python benchmarks/miniature.py [--scenes 500] [--part language …] [--resume]
    python benchmarks/miniature.py --split validation --sweep [perceptual alignment refinement]

Writes ``results/miniature.md``, ``.json``, plots and a sheet of pictures. Every picture's record is kept in
``results/miniature-records``, so a run that was ended goes on with ``--resume``. Nothing is chosen on test scenes:
thresholds and choices are read from the files beside the models, and ``--sweep`` refuses the test split.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from miniature_parts.report import Part, write_report
from miniature_parts.run import RESULTS, Run, read_choices

from grefine_research.miniature.worlds import SHIPPED, WORLDS, world_named
from grefine_research.training.precision import quick_type

PARTS = ("language", "perceptual", "alignment", "clean", "ceilings", "refinement", "pictures")
SWEEPS = ("perceptual", "alignment", "refinement")
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for, and print the targets."""
    options = parse_options(arguments)
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    run = make_run(options)
    name = "miniature" if run.split == "test" else f"miniature_{run.split}"
    if options.sweep is not None:
        from miniature_parts.sweep import sweep

        print(sweep(run, options.sweep or list(SWEEPS), options.variants))
        return 0
    parts, pictures = measure(run, options.part or list(PARTS), name)
    made = {
        "on": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "split": run.split,
        "world": run.world.name,
        "command": f"`{told(arguments or sys.argv[1:])}`",
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {options.threads} thread(s)",
        "diffusion": str(run.dtype).removeprefix("torch."),
    }
    page = write_report(parts, made, run.out, name, pictures)
    for part in parts:
        for target in part.targets:
            print(" | ".join(target.row()))
    print(page)
    return 0


#: Where things lie on somebody's machine: no result depends on it.
PLACES = ("--weights", "--judges", "--work", "--out")


def told(arguments: list[str]) -> str:
    """The command that made a result, without the places of folders and whether it went on from records."""
    kept, rest = ["python", "benchmarks/miniature.py"], iter(arguments)
    for word in rest:
        if word in PLACES:
            next(rest, None)
        elif word != "--resume" and not word.startswith(tuple(f"{place}=" for place in PLACES)):
            kept.append(word)
    return " ".join(kept)


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=500, help="of each part")
    parser.add_argument(
        "--ranked",
        type=int,
        help="of those, so many are refined in every row, the others by the full method; default: all",
    )
    parser.add_argument("--part", nargs="+", choices=PARTS, help="only these; the others stay as they are in the page")
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--world", choices=tuple(WORLDS), default=SHIPPED.name, help="whose scenes")
    parser.add_argument("--sweep", nargs="*", choices=SWEEPS, help="compare choices, on validation scenes only")
    parser.add_argument("--variants", nargs="*", metavar="NAME", help="only these of a refinement sweep")
    parser.add_argument("--resume", action="store_true", help="keep the records that are there")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="the miniature models; default: the shipped ones")
    parser.add_argument("--judges", type=Path, metavar="DIR", help="the evaluators; default: the shipped ones")
    parser.add_argument("--work", type=Path, default=RESULTS / "miniature-records", metavar="DIR", help="for records")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="for the results")
    parser.add_argument("--seed", type=int, default=1, help="of the refinement")
    parser.add_argument("--difficulty", type=float, default=0.5, help="of the scenes, from 0 to 1")
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="of the diffusion networks; default: the quickest")
    parser.add_argument("--together", type=int, default=16, help="pictures refined side by side")
    parser.add_argument("--resamples", type=int, default=2000, help="of every bootstrap")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    options = parser.parse_args(arguments)
    if options.sweep is not None and options.split == "test":
        parser.error("--sweep chooses between ways of working: give --split validation.")
    return options


def make_run(options: argparse.Namespace) -> Run:
    """The run that the command line describes."""
    return Run(
        split=options.split,
        world=world_named(options.world),
        scenes=options.scenes,
        ranked=options.scenes if options.ranked is None else options.ranked,
        weights=options.weights,
        evaluators=options.judges,
        work=options.work,
        out=options.out,
        choices=read_choices(options.weights),
        difficulty=options.difficulty,
        seed=options.seed,
        dtype=DTYPES[options.dtype] if options.dtype else quick_type("cpu"),
        together=options.together,
        resume=options.resume,
        resamples=options.resamples,
    )


def measure(run: Run, wanted: list[str], name: str) -> tuple[list[Part], list[str]]:
    """The parts that are asked for, and the names of all pictures that belong to the page."""
    from miniature_parts.alignment import alignment_part
    from miniature_parts.ceilings import ceilings_part
    from miniature_parts.clean import clean_part
    from miniature_parts.language import language_part
    from miniature_parts.perceptual import perceptual_part
    from miniature_parts.plots import draw_plots, draw_sheet
    from miniature_parts.refinement import run_refinement
    from miniature_parts.refinement_part import refinement_part

    makers: dict[str, Callable[[Run], Any]] = {
        "language": language_part,
        "perceptual": perceptual_part,
        "alignment": alignment_part,
        "clean": clean_part,
        "ceilings": ceilings_part,
        "refinement": refinement_part,
    }
    parts = []
    for part, maker in makers.items():
        if part in wanted:
            start = time.monotonic()
            parts.append(maker(run))
            print(f"{part}: {time.monotonic() - start:.0f} s")
    run.out.mkdir(parents=True, exist_ok=True)
    draw_plots(parts, run.out, name)
    if "pictures" in wanted:
        # Records of the refinement are there already if it was measured just now.
        from dataclasses import replace

        from miniature_parts.refinement import SHEET

        few = replace(run, scenes=min(SHEET, run.scenes), resume=run.resume or "refinement" in wanted)
        draw_sheet(run, run_refinement(few), name)
    return parts, [f"{name}_{what}" for what in ("thresholds.png", "ranks.png", "pictures.jpg")]


if __name__ == "__main__":
    raise SystemExit(main())
