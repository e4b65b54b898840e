"""``grefine evaluate refine``: indicators before and after refinement, the paper's Tables 2 to 5, and 8."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grefine_core.cli import engines, miniature, options
from grefine_core.errors import InputError

from . import evaluate_options

if TYPE_CHECKING:
    from ..evaluation.indicators import Context
    from ..evaluation.refining import Refined
    from ..evaluation.variants import Row


def add_command(halves: Any) -> None:
    """Add the half and its options."""
    parser = halves.add_parser(
        "refine",
        help="pictures before and after refinement (Tables 2 to 5, 8)",
        description="Refines every picture in every variant and measures all versions with the thirteen indicators of "
        "the paper, as far as they are installed, and with our own scores.",
    )
    evaluate_options.add_shared_options(parser)
    evaluate_options.add_indicator_options(parser, "the thirteen of Tables 2 to 5")
    group = parser.add_argument_group("versions")
    group.add_argument(
        "--variants",
        nargs="*",
        default=["full"],
        metavar="NAME",
        help="full (default), pq-only, aq-only, stage1-only, stage2-only, img2img, inpaint; nothing: no refinement",
    )
    group.add_argument("--guard", choices=("on", "off", "both"), default="on", help="of the variants")
    group.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="pictures of another program, by the originals' names; repeatable",
    )
    engines.add_inpainter_options(group)
    options.add_mask_options(parser)
    options.add_plan_options(parser)
    engines.add_restorer_options(parser)
    parser.set_defaults(run=run, **dict.fromkeys(miniature.UNNAMED))


def run(arguments: argparse.Namespace) -> int:
    """Write ``refine.md``, ``.csv``, ``.json``, a plot, all pictures, their scores, and what it was made with."""
    from ..evaluation import paper
    from ..evaluation.before_after import measure_versions, versions_of
    from ..evaluation.before_after_report import NAME, as_json, write_before_after
    from ..evaluation.external_results import find_compared, parse_compared
    from ..evaluation.indicators import REFINE
    from ..evaluation.plots import plot_gains
    from ..evaluation.variants import choose_rows

    engines.check_engine_options(arguments)
    evaluate_options.settle(arguments)
    rows = choose_rows(arguments.variants, "off" if arguments.no_guard else arguments.guard)
    compared = dict(parse_compared(text) for text in arguments.compare)
    if rows and not (arguments.pipeline or arguments.miniature):
        raise InputError(
            "--pipeline: refining needs one (or --miniature); --variants with nothing behind it compares folders alone."
        )
    if not rows and not compared:
        raise InputError("--variants, --compare: nothing to compare the originals with.")
    context = evaluate_options.make_context(arguments)
    specs = evaluate_options.chosen_indicators(arguments, REFINE)
    dataset, folder = evaluate_options.open_everything(arguments, NAME)
    for place in compared.values():
        find_compared(place, [example.key for example in dataset.examples])  # before hours of work find it out
    refined = _refine(arguments, rows, context, dataset.examples, folder)
    failures = list(refined.failures)
    versions = versions_of(dataset, rows, folder / "pictures", compared, failures)
    refined.failures = failures
    result = measure_versions(
        dataset,
        versions,
        specs,
        context,
        folder / "records" / NAME,
        refined=refined,
        database=_database(arguments.database or dataset.name, paper.REFINED),
        resamples=arguments.resamples,
        seed=arguments.bootstrap_seed,
        resume=not arguments.restart,
    )
    if all(not version.images for version in versions[1:]):
        reasons = {failure.reason for failure in result.failures}
        raise InputError(f"{dataset.name}: no picture could be refined ({'; '.join(sorted(reasons)[:3])}).")
    evaluate_options.manifest(arguments, folder / f"{NAME}_run.json", dataset, specs, result.obstacles)
    plots = plot_gains(result, folder)
    page = write_before_after(result, folder)
    evaluate_options.print_result(arguments, as_json(result), page, plots)
    return evaluate_options.finish(result.failures, dataset, result.obstacles, {one.name: one.title for one in specs})


def _refine(arguments: argparse.Namespace, rows: list[Row], context: Context, examples: Any, folder: Path) -> Refined:
    from grefine_core.models.files import file_identity

    from ..evaluation.indicators.own import identity
    from ..evaluation.refining import Refined, Work, refine_all

    if not rows:
        return Refined()
    if arguments.guidance_scale is None and not arguments.miniature:
        arguments.guidance_scale = 7.0
    if arguments.miniature:
        from grefine_core.miniature.loading import weights_folder

        loaded, files = (
            engines.Engines.from_options(arguments, partial(miniature.load_inpainter, arguments)),
            weights_folder(),
        )
    else:
        loaded, files = engines.Engines.from_options(arguments), Path(arguments.pipeline)
    engine: tuple[Any, ...] = (file_identity(files), arguments.guidance_scale, arguments.negative_prompt)
    restorer = engines.restorer_identity(arguments)
    if restorer is not None:
        engine = (*engine, restorer)
    work = Work(
        quality=context.quality,
        inpainter=loaded.inpainter,
        restorer=loaded.restorer,
        options=options.refine_options(arguments),
        assessment=context.assessment,
        seed=arguments.seed,
        identity=f"{identity(context)} {engine} {context.device}",
    )
    return refine_all(examples, rows, work, folder / "pictures", folder / "records" / "refine", not arguments.restart)


def _database(name: str, known: dict[str, int]) -> str:
    return next((each for each in known if each.casefold() == name.casefold()), "")
