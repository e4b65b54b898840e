"""The parser on prompts whose scene graph is known."""

from __future__ import annotations

from grefine_research.evaluation.store import Record
from grefine_research.evaluation.tables import Table, figure
from grefine_research.miniature.captions.agreement import Agreement, agreement

from .cases import make_case
from .report import Part, Target
from .run import Run
from .stats import ratio
from .store import Store

_OF = {"heads": "phrases", "words": "phrases", "none": "none", "root": "root", "other": "other", "extra": "found"}
_WHAT = {
    "heads": "true heads that head a phrase",
    "words": "true phrases with exactly their words",
    "none": "ancestors of those that have none",
    "root": "ancestors of those that hang on the first phrase",
    "other": "ancestors of all others",
    "extra": "the parser's phrases that are none",
}


def run_language(run: Run) -> list[Record]:
    """One record for each prompt: how many there are of everything, and how many are right."""
    store = Store(run.work / run.split / "language.jsonl", run.fingerprint("language"), run.resume)
    scenes = run.scenes + run.scenes // 10  # some prompts of simple scenes come twice
    for index in store.missing(scenes):
        caption = make_case(run, "language", index).sample.caption
        found: Agreement = agreement([caption])
        counts = {name: found.counts[total] for name, total in _OF.items()}
        right = {name: round(getattr(found, name) * max(1, counts[name])) if counts[name] else 0 for name in _OF}
        store.add(index, {"prompt": caption.prompt, "counts": counts, "right": right})
    return store.records(scenes)


def language_part(run: Run) -> Part:
    """Heads and "other" ancestors against their targets."""
    records = run_language(run)
    figures = {
        name: ratio(
            [record["right"][name] for record in records], [record["counts"][name] for record in records], run.resamples
        )
        for name in _OF
    }
    totals = {name: sum(record["counts"][name] for record in records) for name in _OF}
    distinct = len({record["prompt"] for record in records})
    return Part(
        "language",
        "Language",
        len(records),
        [
            Target("heads of phrases found", 0.95, figures["heads"]),
            Target('"other" ancestors right', 0.95, figures["other"]),
            Target("prompts", 500, ratio([distinct], [1], 1), digits=0),
        ],
        [Table("Scene graphs", ("what", "share", "of"), [[_WHAT[n], figure(figures[n]), str(totals[n])] for n in _OF])],
        {"counts": totals},
        ["Prompts from templates and with wordings that the training never shows."],
    )
