"""``grefine bulk score|refine``: a data set of any size to Parquet, by this process or by Ray's workers."""

from __future__ import annotations

import argparse
import copy
import hashlib
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grefine_core.cli import common, engines, miniature, options
from grefine_core.errors import Cancelled, InputError

from . import data_options, evaluate_options

if TYPE_CHECKING:
    from ..bulk import Engine, Parts, Refining, Scoring, Task

#: Options that name files or folders: Ray's workers have another working directory.
_PATHS = (
    *("clip", "embeddings", "calibration", "alignment_encoder", "pipeline"),
    *engines.path_destinations(),
)
#: Options that rows do not depend on.
_ASIDE = (
    *("command", "half", "run", "output", "restart", "retry_errors", "part_size", "json", "verbose", "limit", "check"),
    *("engine", "workers", "ray_address", "gpus_per_worker", "cpus_per_worker", "device", "offload", "base"),
)


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("bulk", help="score or refine whole data sets into Parquet, on one machine or many")
    halves = parser.add_subparsers(dest="half", required=True, metavar="WHAT")
    score = halves.add_parser("score", help="both scores and the phrases of every picture")
    _add_shared(score)
    score.set_defaults(run=run_score, no_guard=False, seed=0)
    other = halves.add_parser("refine", help="every picture refined, with scores before and after")
    _add_shared(other)
    engines.add_inpainter_options(other)
    options.add_mask_options(other)
    options.add_plan_options(other)
    engines.add_restorer_options(other)
    other.set_defaults(run=run_refine, **dict.fromkeys(miniature.UNNAMED))


def _add_shared(parser: argparse.ArgumentParser) -> None:
    data_options.add_data_options(parser, ("parquet",))
    common.add_prompt_from_option(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where everything goes")
    parser.add_argument("--restart", action="store_true", help="forget what an earlier run has finished")
    parser.add_argument("--retry-errors", action="store_true", help="try pictures again that failed in an earlier run")
    parser.add_argument("--part-size", type=int, default=500, metavar="N", help="rows of one Parquet file at most")
    group = parser.add_argument_group("engine")
    group.add_argument("--engine", choices=("local", "ray"), default="local", help="this process, or Ray's workers")
    group.add_argument("--workers", type=int, metavar="N", help="of Ray; default: one for each GPU, or two CPUs")
    group.add_argument(
        "--ray-address", metavar="ADDRESS", help="of a running cluster; default: $RAY_ADDRESS, else this machine alone"
    )
    group.add_argument(
        "--gpus-per-worker", type=float, metavar="X", help="a share is fine; default: 1 if there are any"
    )
    group.add_argument("--cpus-per-worker", type=int, default=1, metavar="N", help="also a worker's number of threads")
    parser.add_argument("--miniature", action="store_true", help="use the small models that come along")
    common.add_model_options(parser)
    common.add_measure_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(**dict.fromkeys(miniature.UNNAMED), check="exists")


def run_score(arguments: argparse.Namespace) -> int:
    """Write ``scores/part-*.parquet``."""
    from ..bulk import Scoring

    return _run(_settled(arguments), Scoring, make_scoring)


def run_refine(arguments: argparse.Namespace) -> int:
    """Write ``refined/part-*.parquet`` and ``pictures/…``."""
    from ..bulk import Refining

    engines.check_engine_options(arguments)
    if not (arguments.pipeline or arguments.miniature):
        raise InputError("--pipeline: refining needs one (or --miniature).")
    if arguments.pipeline and not Path(arguments.pipeline).exists():
        raise InputError(f"--pipeline {arguments.pipeline}: no such file or folder.")
    pictures = Path(arguments.output) / "pictures"
    if pictures.is_dir() and not (pictures.parent / "refined_run.json").exists():
        raise InputError(
            f"{pictures}: is there already, and not from an earlier run; choose another folder (--output)."
        )
    return _run(_settled(arguments), Refining, make_refining)


def make_scoring(arguments: argparse.Namespace) -> Scoring:
    """What a worker scores with, loaded from files."""
    from ..bulk import Scoring

    return Scoring(evaluate_options.load_quality(arguments), common.measure_options(arguments))


def make_refining(arguments: argparse.Namespace) -> Refining:
    """What a worker refines with."""
    from ..bulk import Refining

    load = partial(miniature.load_inpainter, arguments) if arguments.miniature else None
    loaded = engines.Engines.from_options(arguments, load)
    return Refining(
        evaluate_options.load_quality(arguments),
        loaded.inpainter,
        loaded.restorer,
        options.refine_options(arguments),
        common.measure_options(arguments),
        arguments.seed,
        Path(arguments.output),
    )


def _settled(arguments: argparse.Namespace) -> argparse.Namespace:
    """Every option with its value, every path absolute."""
    arguments = copy.copy(arguments)
    evaluate_options.settle(arguments)
    for name in _PATHS:
        value = getattr(arguments, name, None)
        if value and Path(value).expanduser().exists():
            setattr(arguments, name, str(Path(value).expanduser().absolute()))
    if getattr(arguments, "guidance_scale", 0) is None and not arguments.miniature:
        arguments.guidance_scale = 7.0
    arguments.output = str(common.output_folder(arguments.output).absolute())
    arguments.data = str(Path(arguments.data).expanduser().absolute())
    return arguments


def _run(arguments: argparse.Namespace, kind: Any, make: Any) -> int:
    from grefine_core.checks import whole_number

    from ..bulk.lock import alone_in

    whole_number(arguments.part_size, "--part-size", 1, 1 << 20)
    with alone_in(Path(arguments.output)):
        return _alone(arguments, kind, make)


def _alone(arguments: argparse.Namespace, kind: Any, make: Any) -> int:
    from ..bulk import Parts, run_bulk
    from ..evaluation.manifest import versions

    tasks = _tasks(arguments)
    results = Parts(Path(arguments.output), kind.what, kind.columns, _fingerprint(arguments))
    hidden = {"run", "base", "assessment"}
    chosen = {name: str(value) for name, value in vars(arguments).items() if name not in hidden and value is not None}
    note = {"command": ["grefine", *sys.argv[1:]], "configuration": chosen, "versions": versions()}
    try:
        with _engine(arguments) as engine:
            results.begin(note, anew=arguments.restart)
            summary = run_bulk(
                tasks,
                partial(make, arguments),
                results,
                engine,
                part_size=arguments.part_size,
                retry_errors=arguments.retry_errors,
            )
    except (KeyboardInterrupt, Cancelled):
        _say_finished(arguments, tasks, results)
        raise
    if arguments.json:
        common.print_json({**vars(summary), "parts": str(results.folder)})
    else:
        print(f"{summary.pictures} pictures, {summary.done_before} of them by earlier runs, {summary.failed} failed")
        print(f"  {results.folder}")
    return 0 if not summary.failed else 1 if summary.failed == summary.pictures else 3


def _say_finished(arguments: argparse.Namespace, tasks: list[Task], results: Parts) -> None:
    """What a cancelled run leaves."""
    rows = results.finished()
    there = [rows[task.key] for task in tasks if task.key in rows]
    if arguments.json:
        counts = {"pictures": len(tasks), "finished": len(there), "failed": there.count(False)}
        common.print_json({**counts, "parts": str(results.folder)})
    else:
        print(f"{len(there)} of {len(tasks)} pictures are finished, {there.count(False)} of them failed; the same")
        print(f"command does the others.\n  {results.folder}")


def _tasks(arguments: argparse.Namespace) -> list[Task]:
    from ..bulk import parquet_tasks, tasks_of

    if arguments.dataset != "parquet":
        return tasks_of(data_options.open_data(arguments))
    if arguments.prompt_from is not None:
        raise InputError("--prompt-from: Parquet files have their prompts in them.")
    if arguments.table or arguments.scale:
        raise InputError("--table, --scale: Parquet files have their prompts in them, and ratings are not asked for.")
    columns = data_options.named(arguments.column, "--column")
    return parquet_tasks(arguments.data, images=arguments.images, columns=columns, limit=arguments.limit)


def _engine(arguments: argparse.Namespace) -> AbstractContextManager[Engine]:
    from grefine_core.checks import number, whole_number

    from ..bulk.run import Local

    if arguments.engine == "local":
        if arguments.workers not in (None, 1):
            raise InputError("--workers: several of them need --engine ray.")
        return nullcontext(Local())
    from ..bulk.on_ray import OnRay

    if arguments.workers is not None:
        whole_number(arguments.workers, "--workers", 1, 1 << 16)
    whole_number(arguments.cpus_per_worker, "--cpus-per-worker", 1, 1 << 10)
    if arguments.gpus_per_worker is not None:
        number(arguments.gpus_per_worker, "--gpus-per-worker", 0, 64)
    gpus = 0.0 if arguments.device == "cpu" else arguments.gpus_per_worker
    return OnRay(arguments.workers, arguments.ray_address, gpus, arguments.cpus_per_worker)


def _fingerprint(arguments: argparse.Namespace) -> str:
    """Of data set, weights and options; the same whatever the engine and the device."""
    from grefine_core.models.files import file_identity

    from ..training.fingerprint import model_fingerprint, tensor_fingerprint

    on_cpu = copy.copy(arguments)
    on_cpu.device = "cpu"
    model = evaluate_options.load_quality(on_cpu)  # and what is wrong with it is found out before any worker starts
    said = {name: str(value) for name, value in vars(arguments).items() if name not in _ASIDE}
    if arguments.prompt_from is None:  # runs of versions that had no such option can be continued
        del said["prompt_from"]
    files = [Path(said[name]) for name in ("embeddings", *_PATHS[4:]) if said.get(name, "None") != "None"]
    encoder = model.alignment_encoder
    if arguments.miniature and arguments.half == "refine":
        from grefine_core.miniature.loading import weights_folder

        files.append(weights_folder())
    parts = [
        sorted(said.items()),
        str(arguments.base) if arguments.half == "refine" else "",
        [file_identity(file) for file in files],
        model_fingerprint(model.module),
        tensor_fingerprint(**model.embeddings),
        "" if encoder is None else model_fingerprint(getattr(encoder, "module", model.module)),
        [model.resolution, model.blocks, model.perceptual_bounds, model.calibration, model.contrast_vocabulary],
    ]
    return hashlib.blake2b(str(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()
