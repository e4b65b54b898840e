"""AQ-Map against what is known of every phrase, with its ablations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from grefine_core.alignment import AlignmentQuality, alignment_quality
from grefine_core.alignment.calibration import SCORINGS
from grefine_core.alignment.verdicts import AGGREGATES, PENALTIES
from grefine_core.prompt.syntax import PromptTree, parse_prompt
from grefine_research.evaluation.statistics import Estimate, mean
from grefine_research.evaluation.store import Record
from grefine_research.evaluation.tables import Table, figure
from grefine_research.miniature.captions.agreement import match

from .cases import Case, cases, images_of
from .report import Part, Target
from .run import Run
from .stats import f1, ratio, srocc
from .store import Store

FULL = "as chosen"
WHOLE = "whole prompt at once"


def ways(run: Run) -> dict[str, dict[str, Any]]:
    """Every way of measuring: keywords of ``alignment_quality``."""
    chosen = {name: value for name, value in run.choices.assessment().items() if name != "importance"}
    calibration = run.quality().calibration
    scoring = chosen["scoring"] or (calibration.scoring if calibration else SCORINGS[0])
    other = next(way for way in SCORINGS if way != scoring)
    return {
        FULL: chosen,
        WHOLE: {**chosen, "syntax": False},
        "missing things at their own map": {**chosen, "missing_at": "own"},
        "missing things on the whole image": {**chosen, "missing_at": "image"},
        "empty string not subtracted": {**chosen, "subtract_empty": False},
        f"scoring by {other}": {**chosen, "scoring": other},
    }


def run_alignment(run: Run) -> list[Record]:
    """One record for each scene: of each way, what was found of every true phrase, and where the map points."""
    store = Store(run.work / run.split / "alignment.jsonl", run.fingerprint("alignment"), run.resume)
    missing = store.missing(run.scenes)
    quality = run.quality() if missing else None
    chosen = ways(run) if missing else {}
    bar = tqdm(total=len(missing), desc=f"alignment ({run.split})", mininterval=5, disable=not missing)
    for group in cases(run, "alignment", missing):
        images = images_of(group)
        trees = [parse_prompt(case.prompt) for _, case in group]
        assert quality is not None
        found = {name: alignment_quality(quality, images, tree=trees, **keywords) for name, keywords in chosen.items()}
        formulas: dict[str, dict[str, Any]] = {"bounded": {"formula": "bounded"}} | {
            f"paper, {penalty}": {"formula": "paper", "penalty": penalty} for penalty in PENALTIES
        }
        scores = {
            f"{aggregate}, {name}": alignment_quality(
                quality, images, tree=trees, **{**chosen[FULL], "aggregate": aggregate, **formula}
            ).score
            for aggregate in AGGREGATES
            for name, formula in formulas.items()
        }
        for place, (index, case) in enumerate(group):
            names = [defect.name for defect in case.sample.defects]
            store.add(
                index,
                {
                    "prompt": case.prompt,
                    "name": names[0] if names else None,
                    "unmatched": list(case.unmatched),
                    "local": bool(names) and not case.mask("alignment").all(),
                    "scores": {name: float(values[place]) for name, values in scores.items()},
                    "ways": {name: _outcome(case, trees[place], answer, place) for name, answer in found.items()},
                },
            )
            bar.update()
    bar.close()
    return store.records(run.scenes)


def _outcome(case: Case, tree: PromptTree, answer: AlignmentQuality, place: int) -> Record:
    """Hits, false alarms and misses over phrases, right types, and the share of the map's peak that is well placed."""
    verdicts = answer.phrases[place]
    if len(verdicts) != len(tree.phrases):
        # The prompt as one: what is said of it is said of every phrase.
        said = [verdicts[0].defect if verdicts else "none"] * len(case.unmatched)
        extra = 0
    else:
        matched = match(case.sample.caption, tree)
        said = [verdicts[matched[k]].defect if k in matched else "none" for k in range(len(case.unmatched))]
        known = set(matched.values())
        extra = sum(v.defect != "none" for i, v in enumerate(verdicts) if i not in known)
    truth = case.unmatched
    hits = [k for k, wrong in enumerate(truth) if wrong and said[k] != "none"]
    return {
        "hits": len(hits),
        "false": extra + sum(not wrong and said[k] != "none" for k, wrong in enumerate(truth)),
        "missed": sum(truth) - len(hits),
        "types": sum(said[k] == case.verdict for k in hits),
        "points": _pointing(answer.defect_map[place].numpy(), case.mask("alignment")) if any(truth) else None,
    }


def _pointing(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Share of the map's highest places that lie in the mask; 0 for a map that marks nothing."""
    top = float(values.max())
    if top <= 0.0:
        return 0.0
    return float(mask[values >= top - 1e-6].mean())


def alignment_part(run: Run) -> Part:
    """Phrases, types and places against their targets; ablations; the score and the number of phrases."""
    records = run_alignment(run)
    names = list(records[0]["ways"])
    results = {name: _figures(records, name, run.resamples) for name in names}
    full = results[FULL]
    columns = ("f1", "precision", "recall", "types", "points", "local")
    return Part(
        "alignment",
        "AQ-Map",
        len(records),
        [
            Target("unmatched phrases: F1", 0.88, full["f1"]),
            Target("type of the defect, of those found", 0.95, full["types"]),
            Target("pointing at the region to change", 0.80, full["points"]),
        ],
        [
            Table(
                "Ways of measuring",
                ("way", "F1", "precision", "recall", "type", "pointing", "pointing, local regions"),
                [[name, *(figure(results[name][column]) for column in columns)] for name in names],
                "Pointing: whether the highest place of the defect map lies in the region to change; a map that marks "
                "nothing points nowhere. Where a missing thing hangs on nothing the region is the whole picture; the "
                "last column leaves those out.",
            ),
            _by_name(records, run.resamples),
            _by_length(records, run.resamples),
        ],
    )


def _figures(records: Sequence[Record], name: str, resamples: int) -> dict[str, Estimate]:
    of = [record["ways"][name] for record in records]
    hits, false, missed = ([each[key] for each in of] for key in ("hits", "false", "missed"))
    local = [record["ways"][name]["points"] for record in records if record["local"]]
    return {
        "f1": f1(hits, false, missed, resamples),
        "precision": ratio(hits, np.add(hits, false), resamples),
        "recall": ratio(hits, np.add(hits, missed), resamples),
        "types": ratio([each["types"] for each in of], hits, resamples),
        "points": mean([each["points"] for each in of if each["points"] is not None], resamples),
        "local": mean([value for value in local if value is not None], resamples),
    }


def _by_name(records: Sequence[Record], resamples: int) -> Table:
    rows = []
    for name in ("missing", "wrong_attribute", "wrong_partner", None):
        chosen = [record for record in records if record["name"] == name]
        if not chosen:
            continue
        found = _figures(chosen, FULL, resamples)
        alarms = mean([record["ways"][FULL]["false"] for record in chosen], resamples)
        cells = [figure(found[key]) for key in ("recall", "types", "points")] if name else ["–"] * 3
        rows.append([(name or "matching").replace("_", " "), *cells, figure(alarms), str(len(chosen))])
    header = ("defect", "recall", "type", "pointing", "false alarms a picture", "scenes")
    return Table("Kinds of defects", header, rows)


def _by_length(records: Sequence[Record], resamples: int) -> Table:
    """Whether a long prompt alone lowers the score, and how well the score tells matching pictures from others."""
    from grefine_research.evaluation.statistics import auroc

    matching = [record for record in records if not any(record["unmatched"])]
    rows = []
    for name in records[0]["scores"]:
        lengths = [len(record["unmatched"]) for record in matching]
        apart = auroc([record["scores"][name] for record in records], [not any(r["unmatched"]) for r in records])
        level = mean([record["scores"][name] for record in matching], resamples)
        found = srocc([record["scores"][name] for record in matching], lengths, resamples)
        rows.append([name, figure(found), figure(level), f"{apart:.3f}"])
    return Table(
        "The score AS and the number of phrases",
        ("aggregate, formula, penalty", "SROCC with the number of phrases", "mean", "AUC, matching against not"),
        rows,
        "Correlation and mean over matching pictures.",
    )
