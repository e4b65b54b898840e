"""Embeddings of PQ-Map learned without opinions, beside those learned from true severities, in the miniature world.

    python benchmarks/self_supervised.py [--pictures 60 300] [--copies 4500] [--scenes 500] [--seed 0]

Good training scenes are written to a folder, and ``grefine train pq --self-supervised`` learns embeddings for the
shipped miniature CLIP from them; nothing of the world's own defects is known to it. Then PS is ranked against true
severity on held-back test scenes, with these and with the shipped embeddings, which were learned from severities of
training scenes.
Writes ``results/self_supervised.md``.
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from decision import CLASS, Choice, choose
from miniature_parts.cases import cases, images_of
from miniature_parts.run import RESULTS, Run, read_choices
from numpy.typing import NDArray

from grefine_core.cli import main as grefine
from grefine_core.clip.quality_model import QualityModel
from grefine_core.files import write_text
from grefine_core.miniature.loading import weights_folder
from grefine_core.perceptual import LOWEST, perceptual_quality
from grefine_core.pictures import save_picture
from grefine_research.evaluation.statistics import spearman
from grefine_research.miniature.reference import miniature_reference

POOLED = "with the map"
TARGET = 0.05
"""By how much SROCC may be lower without opinions."""
Values = NDArray[np.float64]


def learn(pictures: int, copies: int, seed: int, folder: Path) -> QualityModel:
    """The shipped miniature CLIP with embeddings learned from so many good training scenes."""
    from grefine_core.miniature.loading import load_miniature_quality_model

    good = folder / f"good-{pictures}"
    good.mkdir(parents=True)
    for number, picture in enumerate(miniature_reference(pictures, "train").good):
        save_picture(picture.load().unsqueeze(0), good / f"{number:04d}.png")
    target = folder / f"own-{pictures}.safetensors"
    command = [
        "train",
        "pq",
        "--self-supervised",
        "--images",
        str(good),
        "--clip",
        str(weights_folder() / "clip.safetensors"),
    ]
    more = ["--copies", str(copies), "--seed", str(seed), "--device", "cpu", "--work", str(folder / f"work-{pictures}")]
    if grefine([*command, *more, "-o", str(target)]):
        raise SystemExit("training failed")
    shipped = load_miniature_quality_model()
    return QualityModel(shipped.module, target, shipped.resolution, None, shipped.tokenizer, blocks=shipped.blocks)


def ranked(run: Run, model: QualityModel) -> tuple[dict[str, Values], Values]:
    """Logarithms of PS of every scene, from the class token and pooled with the map; and the true severities."""
    found: dict[str, list[float]] = {CLASS: [], POOLED: []}
    severities = []
    for group in cases(run, "perceptual", range(run.scenes)):
        seen = perceptual_quality(model, images_of(group), "paper", map_size=model.grid)
        patches = seen.quality_map.flatten(1).double().sort(dim=1).values
        worst = patches[:, : max(1, round(LOWEST * patches.shape[1]))].mean(dim=1).clamp(min=1e-12).log()
        found[CLASS] += seen.log_ratio.tolist()
        found[POOLED] += (seen.log_ratio.double() + worst).tolist()
        severities += [case.sample.severity() for _, case in group]
    return {name: np.array(values) for name, values in found.items()}, np.array(severities)


def compare(way: str, values: dict[str, dict[str, Values]], severity: Values) -> Choice:
    """SROCC by every embedding, and its gain over the first on the same scenes."""
    return choose(
        len(severity),
        {name: lambda rows, each=each[way]: spearman(-each[rows], severity[rows]) for name, each in values.items()},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn, measure, write the page and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[60, 300], help="good ones to learn from")
    parser.add_argument("--copies", type=int, default=4500, help="damaged copies made of them")
    parser.add_argument("--scenes", type=int, default=500, help="held-back scenes")
    parser.add_argument("--seed", type=int, default=0, help="of the damage and of the training")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="for the page")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    run = Run(split="test", scenes=options.scenes, choices=read_choices(None))
    models = {"learned from severities": run.quality()}
    with tempfile.TemporaryDirectory() as folder:
        for count in options.pictures:
            name = f"without opinions, {count} pictures"
            models[name] = learn(count, options.copies, options.seed, Path(folder))
    values, severity = {}, np.empty(0)
    for name, model in models.items():
        values[name], severity = ranked(run, model)
    note = f"Gain: over the embeddings learned from severities, on the same scenes; at least −{TARGET} is the target."
    tables = []
    for way in (CLASS, POOLED):
        found = replace(compare(way, values, severity), chosen="")
        tables.append(found.table(f"PS, {way}", "SROCC with severity", note))
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    page = [
        "# Embeddings without opinions, in the miniature world",
        "",
        f"{options.scenes} held-back test scenes, {options.copies} copies, seed {options.seed}, {today}.",
        "",
        *(line for table in tables for line in table.lines()),
    ]
    write_text(options.out / "self_supervised.md", "\n".join(page))
    print("\n".join(page))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
