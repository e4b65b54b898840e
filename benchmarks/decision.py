"""Which evidence verdicts are made of, and how PS is pooled: decided on validation scenes of the miniature world.

    python benchmarks/decision.py [--scenes 300] [--resume] [--weights DIR] [--check]

Two questions that the method leaves open, each with its candidates measured on the same pictures:

- Are an_i and as_i those of the picture as a whole (its class token), of the place where the phrase fits best (its
  patches), or of both? Figures: the areas under the ROC curve, missing nouns against nouns that are there, wrong
  modifiers against right ones; their mean decides, since a phrase has one place.
- Is PS pooled with a statistic of the map, and with which? Figure: Spearman's rank correlation with severity.

Chosen is the surest gain over the simplest candidate, that is the highest lower end of a paired 95 % interval; where
none lies above 0, the simplest stays. Then the verdicts are counted: in every picture something unmatched has to mean
AS < 1 and a marked map, and nothing else; and how many pictures without a thing of their prompt are noticed. Writes
``results/decision.md``. ``--check`` ends with 1 where what is chosen is not what the code does
(``alignment.calibration.EVIDENCE``, ``perceptual.LOWEST``). Run it again when the miniature models change.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from miniature_parts.cases import Case, cases, images_of
from miniature_parts.run import RESULTS, Run, read_choices
from miniature_parts.store import Store
from numpy.typing import NDArray
from tqdm import tqdm

from grefine_core.alignment import AlignmentOptions, alignment_quality
from grefine_core.alignment.calibration import EVIDENCE, LocalEvidence
from grefine_core.alignment.scoring import measure
from grefine_core.files import write_text
from grefine_core.perceptual import LOWEST, perceptual_quality
from grefine_core.prompt.syntax import parse_prompt
from grefine_research.evaluation.statistics import SEED, Estimate, auroc, mean, spearman
from grefine_research.evaluation.store import Record
from grefine_research.evaluation.tables import Table, figure
from grefine_research.miniature.captions.agreement import match

PICTURE = "picture"
SHARES = (0.004, 0.02, 0.05, 0.1, 0.2)
#: Candidates for a score, the simplest first: evidence and share of the picture.
EVIDENCES = {PICTURE: (PICTURE, 0.05)} | {
    f"{evidence}, best {share:.1%}": (evidence, share) for evidence in ("both", "place") for share in SHARES
}
#: Candidates for the map's statistic: the share of the picture that it is the mean of.
POOLS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
CLASS = "class token"
RESAMPLES = 200
Figure = Callable[[NDArray[np.int64]], float]


@dataclass(frozen=True)
class Choice:
    """What was measured of some candidates, and which of them it is to be.

    Attributes:
        figures: of each candidate.
        gains: of each over the simplest one, on the same pictures.
        chosen: the name of one.
    """

    figures: dict[str, Estimate]
    gains: dict[str, Estimate]
    chosen: str

    def table(self, title: str, what: str, note: str, more: Mapping[str, Choice] | None = None) -> Table:
        """For the page; ``more``: other figures of the same candidates, by their headings."""
        others = more or {}
        rows = [
            [
                f"**{name}**" if name == self.chosen else name,
                *(figure(other.figures[name]) for other in others.values()),
                figure(found),
                figure(self.gains[name]),
            ]
            for name, found in self.figures.items()
        ]
        return Table(title, ("candidate", *others, what, "gain"), rows, note)


def choose(count: int, figures: Mapping[str, Figure]) -> Choice:
    """The candidate whose gain over the first one is surest; the first, where no interval lies above 0.

    Args:
        count: of what is resampled.
        figures: name -> function of resampled rows, higher is better; the simplest first.
    """
    rng = np.random.default_rng(SEED)
    draws = [np.arange(count), *rng.integers(count, size=(RESAMPLES, count))]
    # The same draws for all, so that a gain is one on the same pictures.
    drawn = {name: np.array([figure_of(rows) for rows in draws]) for name, figure_of in figures.items()}
    simplest = next(iter(drawn))
    found = {name: _estimate(values) for name, values in drawn.items()}
    gains = {name: _estimate(values - drawn[simplest]) for name, values in drawn.items()}
    # The simplest one's own gain is exactly 0.
    return Choice(found, gains, max(gains, key=lambda name: gains[name].low))


def _estimate(values: NDArray[np.float64]) -> Estimate:
    """The first value, and the interval of the others."""
    low, high = np.nanquantile(values[1:], (0.025, 0.975))
    return Estimate(float(values[0]), float(low), float(high))


# The pictures, measured in every way; a record for each.


def run_alignment(run: Run) -> list[Record]:
    """Of each picture what is true of its phrases, their scores by every kind of evidence, and the verdict as it is."""
    store = Store(run.work / run.split / "decision-alignment.jsonl", run.fingerprint("decision-alignment"), run.resume)
    missing = store.missing(run.scenes)
    bar = tqdm(total=len(missing), desc="alignment", mininterval=5, disable=not missing)
    for group in cases(run, "alignment", missing):
        quality = run.quality()
        trees = [parse_prompt(case.prompt) for _, case in group]
        images = images_of(group)
        features = quality.features_of(images)
        usual = AlignmentOptions("contrast")
        measured = {
            name: measure(
                quality,
                features,
                trees,
                replace(usual, evidence=LocalEvidence(evidence, evidence, share)),  # type: ignore[arg-type]
            )
            for name, (evidence, share) in EVIDENCES.items()
        }
        judged = alignment_quality(quality, images, tree=trees, features=features)
        for place, (index, case) in enumerate(group):
            known = match(case.sample.caption, trees[place])
            truth = {known[k]: _truth(case, k) for k in range(len(case.unmatched)) if k in known}
            store.add(
                index,
                {
                    "names": [defect.name for defect in case.sample.defects],
                    "truth": list(truth.values()),
                    "scores": {name: [found[place].scores[k] for k in truth] for name, found in measured.items()},
                    "unmatched": len(judged.unmatched[place]),
                    "measured": judged.measured[place],
                    "score": float(judged.score[place]),
                    "marked": bool(judged.defect_map[place].any()),
                },
            )
            bar.update()
    bar.close()
    return store.records(run.scenes)


def _truth(case: Case, number: int) -> str:
    return (case.verdict or "none") if case.unmatched[number] else "none"


def run_perceptual(run: Run) -> list[Record]:
    """Of each picture its severity, its factors by the class token, and the map by every statistic."""
    store = Store(run.work / run.split / "decision-perceptual.jsonl", run.fingerprint("decision-pq"), run.resume)
    missing = store.missing(run.scenes)
    bar = tqdm(total=len(missing), desc="perceptual", mininterval=5, disable=not missing)
    for group in cases(run, "perceptual", missing):
        found = perceptual_quality(run.quality(), images_of(group), "paper", map_size=run.quality().grid)
        patches = found.quality_map.flatten(1).double().sort(dim=1).values
        for place, (index, case) in enumerate(group):
            store.add(
                index,
                {
                    "severity": case.sample.severity(),
                    "class": float(found.log_ratio[place]),
                    "map": {str(share): _lowest(patches[place], share) for share in POOLS},
                },
            )
            bar.update()
    bar.close()
    return store.records(run.scenes)


def _lowest(patches: torch.Tensor, share: float) -> float:
    return float(patches[: max(1, round(share * len(patches)))].mean())


# The choices.


def areas(records: Sequence[Record], defect: str) -> dict[str, Figure]:
    """How well each candidate's score tells the phrases with a defect ("noun", "modifier") from those without."""
    column = 1 if defect == "noun" else 0
    # A missing thing says nothing of modifiers; a wrong modifier does not make a thing missing.
    asked = ("none", "noun", "modifier") if defect == "noun" else ("none", "modifier")
    kept = [[k for k, true in enumerate(record["truth"]) if true in asked] for record in records]
    starts = np.cumsum([0, *map(len, kept)])
    places = [np.arange(first, last) for first, last in pairwise(starts)]
    right = np.array([r["truth"][k] != defect for r, those in zip(records, kept, strict=True) for k in those], bool)

    def area_of(name: str) -> Figure:
        scores = [r["scores"][name][k][column] for r, those in zip(records, kept, strict=True) for k in those]
        values = np.array(scores)

        def area(drawn: NDArray[np.int64]) -> float:
            phrases = np.concatenate([places[row] for row in drawn])
            return auroc(values[phrases], right[phrases])

        return area

    return {name: area_of(name) for name in EVIDENCES}


def choose_evidence(records: Sequence[Record]) -> tuple[Choice, dict[str, Choice]]:
    """By the mean of both areas; and these by themselves."""
    nouns, modifiers = areas(records, "noun"), areas(records, "modifier")

    def mean_of(name: str) -> Figure:
        return lambda rows: (nouns[name](rows) + modifiers[name](rows)) / 2.0

    each = {"missing things, AUC": choose(len(records), nouns), "wrong modifiers, AUC": choose(len(records), modifiers)}
    return choose(len(records), {name: mean_of(name) for name in EVIDENCES}), each


def choose_pool(records: Sequence[Record]) -> Choice:
    """Whose PS orders pictures best by how bad they are."""
    severity = np.array([record["severity"] for record in records])
    whole = np.array([record["class"] for record in records])
    values = {CLASS: whole}
    for share in POOLS:
        pooled = np.log(np.maximum([record["map"][str(share)] for record in records], 1e-12))
        values[_pool_name(share)] = whole + pooled
        values[f"{_pool_name(share)} alone"] = pooled
    return choose(
        len(records),
        {name: lambda rows, each=each: spearman(-each[rows], severity[rows]) for name, each in values.items()},
    )


def _pool_name(share: float) -> str:
    return "mean of the map" if share == 1.0 else f"mean of the worst {share:.0%}"


# The verdicts, counted.


def consistency(records: Sequence[Record]) -> Table:
    """Whether score, map and verdicts say the same of every picture, and what becomes of those without their thing."""
    same = [
        (record["score"] < 1.0) == (record["unmatched"] > 0) == record["marked"] and record["measured"]
        for record in records
    ]
    rows = [["something unmatched, AS < 1 and a marked map, all or none", f"{sum(same)} of {len(same)}", ""]]
    for name in ("missing", "wrong_partner", "wrong_attribute", None):
        chosen = [r for r in records if (name in r["names"] if name else not r["names"])]
        if chosen:
            below = mean([float(record["score"] < 1.0) for record in chosen], RESAMPLES)
            words = (name or "matching").replace("_", " ")
            rows.append([f"AS < 1, {words}", str(len(chosen)), figure(below)])
    return Table("Verdicts as they are", ("what", "pictures", "share"), rows)


def main(arguments: list[str] | None = None) -> int:
    """Measure, choose, write the page and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=300, help="of each question")
    parser.add_argument("--resume", action="store_true", help="keep the records that are there")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="the miniature models; default: the shipped ones")
    parser.add_argument("--work", type=Path, default=RESULTS / "miniature-records", metavar="DIR", help="for records")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="for the page")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--check", action="store_true", help="end with 1 where the code does something else")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    run = Run(
        split="validation",
        scenes=options.scenes,
        weights=options.weights,
        work=options.work,
        out=options.out,
        choices=read_choices(options.weights),
        resume=options.resume,
    )
    records, severities = run_alignment(run), run_perceptual(run)
    evidence, each = choose_evidence(records)
    pool = choose_pool(severities)
    tables = [
        evidence.table("Is it there, and as described?", "mean of both", "Gain: over the picture as a whole.", each),
        pool.table("PS", "SROCC with severity", "Logarithms of unclamped ratios; with the map's statistic, their sum."),
        consistency(records),
    ]
    chosen = {"evidence": evidence.chosen, "PS": pool.chosen}
    used = {"evidence": _used(), "PS": _pool_name(LOWEST)}
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    page = [
        "# Decisions, on validation scenes",
        "",
        f"{options.scenes} scenes for each question, {today}; bold: chosen. In the code: "
        + "; ".join(f"{what}: {name}" for what, name in used.items())
        + ".",
        "",
        *(line for table in tables for line in table.lines()),
    ]
    text = "\n".join(page)
    options.out.mkdir(parents=True, exist_ok=True)
    write_text(options.out / "decision.md", text)
    print(text)
    wrong = {what for what in chosen if chosen[what] != used[what]}
    for what in sorted(wrong):
        print(f"{what}: chosen is {chosen[what]}, the code has {used[what]}")
    return 1 if options.check and wrong else 0


def _used() -> str:
    """The name of the candidate that the code has."""
    return PICTURE if EVIDENCE is None else f"{EVIDENCE.noun}, best {EVIDENCE.share:.1%}"


if __name__ == "__main__":
    raise SystemExit(main())
