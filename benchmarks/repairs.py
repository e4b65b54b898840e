"""Masks from verdicts and the guard's rule "gain", on miniature pictures of which everything is known.

    python benchmarks/repairs.py [--scenes 500] [--split test] [--part masks noise guard]

- *masks*: good pictures have to come through untouched, with an empty mask; of defective ones the mask has to meet the
  defect. The same thresholds for both. And over all of them: something unmatched, its region in the mask, stage 1 runs.
- *noise*: how far each indicator rises where good content is exchanged for equally good, 19 times of 20: the noise
  figures of a calibration, measured on validation scenes.
- *guard*: painters whose result is known, through the protocol of an inpainter: one that paints the clean picture, one
  that harms (noise, or another picture), one that exchanges good for equally good, and one that does any of these, with
  one attempt and with four.

Nothing is chosen on test scenes: thresholds and noise are those of the files beside the models.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from miniature_parts.cases import KINDS as CASES
from miniature_parts.cases import Case
from miniature_parts.run import Run, read_choices
from torch import Tensor

from grefine_core.alignment import assess
from grefine_core.masks import feather_mask, label_regions
from grefine_core.refine import CropOptions, Noise, RefineOptions, guard
from grefine_core.refine.attempts import repair
from grefine_core.refine.gains import MAP, Reader, cropped, noise_of, region_place
from grefine_core.refine.pipeline import diagnose
from grefine_research.miniature.draw import draw
from grefine_research.miniature.generator import make_sample

PARTS = ("masks", "noise", "guard")
#: Of defective pictures, as in the benchmark of the whole method.
KINDS = CASES["refinement"]
_GOOD, _BAD, _OTHER = 11, 12, 13
#: Share of wrong painters' answers in the mixed one.
_MIX = ("restores", "noise", "exchanges", "restores")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for, print it, and write it as JSON on request."""
    options = parse_options(arguments)
    torch.set_num_threads(1)
    run = Run(
        split=options.split, scenes=options.scenes, weights=options.weights, choices=read_choices(options.weights)
    )
    bench = Bench(run, options.noise)
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "masks": bench.masks,
        "noise": bench.noise,
        "guard": partial(bench.guard, options.scenes),
    }
    figures = {}
    for part in options.part:
        figures[part] = makers[part]()
        print(f"## {part} ({options.split}, {options.scenes} scenes of each kind)")
        print(json.dumps(figures[part], indent=2))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=500, help="good ones, and as many defective ones")
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--weights", type=Path, metavar="DIR", help="the miniature models; default: the shipped ones")
    parser.add_argument(
        "--noise", type=float, nargs=3, metavar=("REGION", "PERCEPTUAL", "PHRASE"), help="instead of the calibration's"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file, too")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Painter:
    """An inpainter of the miniature world whose answer is known."""

    answer: Callable[[int], Tensor]
    """seed → the whole picture (1, 128, 128, 3) that it paints."""
    size_multiple: int = 8
    min_side: int = 128
    native_side: int = 128

    def inpaint(self, image: Tensor, mask: Tensor, *, seed: int, **_: Any) -> Tensor:  # noqa: ARG002 - the protocol
        """The picture; crops of miniature pictures are all of them."""
        return self.answer(seed).to(image)


class Bench:
    """One run on one split."""

    def __init__(self, run: Run, noise: Sequence[float] | None = None) -> None:
        self.run, self.quality = run, run.quality()
        self.options: RefineOptions = run.choices.options
        self.assess = partial(assess, **run.choices.assessment())
        self.figures = noise_of(self.quality) if noise is None else Noise(*noise)

    def case(self, index: int, kinds: tuple[str, ...], salt: int) -> Case:
        """Picture ``index``."""
        return Case(make_sample(self.run.split, index, kinds=kinds, difficulty=self.run.difficulty, salt=salt))

    def found(self, case: Case) -> Any:
        """What the method finds in it."""
        self.quality.clear_cache(texts=False)
        return diagnose(case.image, [case.prompt], self.quality, self.options, None, self.assess)

    # Masks

    def masks(self) -> dict[str, Any]:
        """Both ends at the same thresholds, and that everything follows from the verdicts."""
        count: Counter[str] = Counter()
        broken = []
        for index in range(self.run.scenes):
            case = self.case(index, (), _GOOD)
            found = self.found(case)
            (plan,), (repairs,) = found.plans, found.repairs
            count["good"] += 1
            count["good, untouched"] += not plan.runs
            count["good, empty mask"] += not bool(found.mask.denoise.any())
            count["good, stage 2"] += plan.run_stage2
            count["good, unmatched"] += bool(repairs.diagnosis.unmatched)
            broken += self._follows(found, index)
            kinds = KINDS[index % len(KINDS)]
            case = self.case(index, kinds, _BAD)
            found = self.found(case)
            (plan,) = found.plans
            wrong = np.logical_or.reduce(case.mended)
            meets = bool((found.mask.denoise[0].numpy() > 0)[wrong].any())
            region = case.mask(*kinds)
            inside = bool((found.mask.denoise[0].numpy() > 0)[region].any())
            for name in ("defective", " and ".join(kinds)):
                count[name] += 1
                count[f"{name}, caught"] += plan.runs
                count[f"{name}, mask meets the defect"] += plan.run_stage1 and (meets or inside)
                count[f"{name}, mask meets what is to change"] += plan.run_stage1 and meets
            broken += self._follows(found, index)
        shares = {name: round(value / count[name.split(",")[0]], 4) for name, value in count.items() if "," in name}
        return {"pictures": count["good"] + count["defective"], "shares": shares, "where it does not follow": broken}

    def _follows(self, found: Any, index: int) -> list[str]:
        """Where mask, plan and verdicts contradict one another."""
        (repairs,), (plan,) = found.repairs, found.plans
        one, wrong = repairs.diagnosis, []
        taken = {number for region in repairs.regions for number in region.phrases}
        left = {region.phrase for region in repairs.left_out}
        if bool(one.unmatched) != (one.alignment_score < 1.0) and self.run.choices.calibration == "bounded":
            wrong.append(f"{index}: unmatched {one.unmatched}, alignment score {one.alignment_score}")
        if taken | left != set(one.unmatched) or taken & left:
            wrong.append(f"{index}: unmatched {one.unmatched}, masked {taken}, left out {left}")
        if one.unmatched and not taken:
            wrong.append(f"{index}: unmatched {one.unmatched}, nothing of it masked")
        if plan.run_stage1 != bool(found.mask.denoise.any()):
            wrong.append(f"{index}: stage 1 {plan.run_stage1}, mask {float(found.mask.area[0])}")
        return wrong

    # Noise

    def noise(self) -> dict[str, Any]:
        """The 95 % rise of each indicator where good content is exchanged for equally good."""
        rises: dict[str, list[float]] = {"region": [], "perceptual": [], "phrase": []}
        falls: dict[str, list[float]] = {"region": [], "perceptual": [], "phrase": []}
        reader = Reader(self.quality, partial(self.assess, map_size=MAP), 8, self.figures)
        for index in range(self.run.scenes):
            case = self.case(index, ("alignment",) if index % 2 else (), _GOOD)
            mask = blob(index)
            if index % 2:
                mask = mask & ~np.logical_or.reduce(case.mended)  # the exchange is of what is good
                if mask.sum() < 64:
                    continue
            changed = pasted(case.image, exchanged(case, index), mask)
            self.quality.clear_cache(texts=False)
            before, after = reader.read([case.image[0], changed[0]], case.prompt)
            box = _box(mask)
            place = region_place(box, torch.from_numpy(mask)[box[0] : box[2], box[1] : box[3]], (128, 128), 128)
            was, now = before, after
            if not place.whole:
                (was,) = reader.read([cropped(case.image[0], place)], case.prompt)
                (now,) = reader.read([cropped(changed[0], place)], case.prompt)
            pairs = {
                "region": [(place.quality(was), place.quality(now))],
                "perceptual": [(before.perceptual, after.perceptual)],
                "phrase": [pair for pair in zip(before.phrases, after.phrases, strict=True) if pair[0] < 1.0],
            }
            for name, values in pairs.items():
                rises[name] += [now - was for was, now in values]
                falls[name] += [was - now for was, now in values]
        return {
            "rise, 95 %": {name: _quantile(values, 0.95) for name, values in rises.items()},
            "fall, 95 %": {name: _quantile(values, 0.95) for name, values in falls.items()},
            "of": {name: len(values) for name, values in rises.items()},
        }

    # Guard

    def guard(self, scenes: int) -> dict[str, Any]:
        """What stays of what known painters paint."""
        return {f"{attempts} attempts": self._guarded(scenes, attempts) for attempts in (1, 4)}

    def _guarded(self, scenes: int, attempts: int) -> dict[str, Any]:
        count: Counter[str] = Counter()
        for index in range(scenes):
            case = self.case(index, KINDS[index % len(KINDS)], _BAD)
            found = self.found(case)
            labels, regions = label_regions(found.mask.denoise[0], self.options.crop.join)
            other = torch.from_numpy(self.case(index + 1, (), _OTHER).sample.clean)[None].float()
            if regions:
                seen = self._seen(case, found, labels, regions)
                for name, answer in {
                    "restores": lambda seed: case.clean,  # noqa: B023, ARG005 - called before the next picture
                    "noise": _noise,
                    "another picture": lambda seed: other,  # noqa: B023, ARG005
                    "mixed": partial(_mixed, case, index),
                }.items():
                    done = self._repair(case, found.mask.denoise, found.mask.composite, answer, attempts)
                    kept = {attempt.region for attempt in done.attempts if attempt.accepted}
                    for region in seen:
                        count[f"{name}, regions"] += 1
                        count[f"{name}, kept"] += region in kept
                    if name == "mixed":
                        before, after = _error(case.image, case.clean), _error(done.image, case.clean)
                        count["mixed, pictures"] += 1
                        count["mixed, closer to the clean picture"] += after < before - 1e-6
                        count["mixed, further from it"] += after > before + 1e-6
            good = self.case(index, (), _GOOD)
            mask = torch.from_numpy(blob(index).astype(np.float32))[None]
            soft = torch.from_numpy(feather_mask(blob(index), 3))[None]
            done = self._repair(good, mask, soft, partial(exchanged, good), attempts)
            count["exchanges, regions"] += 1
            count["exchanges, kept"] += any(attempt.accepted for attempt in done.attempts)
        shares = {
            name.replace(", kept", ""): round(count[name] / count[name.replace("kept", "regions")], 4)
            for name in list(count)
            if name.endswith(", kept")
        }
        for name in ("mixed, closer to the clean picture", "mixed, further from it"):
            shares[name] = round(count[name] / max(count["mixed, pictures"], 1), 4)
        return {"kept": shares, "of": {name: value for name, value in count.items() if name.endswith("s")}}

    def _repair(self, case: Case, denoise: Tensor, soft: Tensor, answer: Any, attempts: int) -> Any:
        def judge(before: Tensor, after: Tensor, mask: Tensor, keep: frozenset[int]) -> Any:
            self.quality.clear_cache(texts=False)
            return guard(
                before,
                after,
                self.quality,
                case.prompt,
                mask=mask,
                join=self.options.crop.join,
                assess=partial(self.assess, map_size=MAP),
                rule="gain",
                noise=self.figures,
                attempts=attempts,
                keep=keep,
            )

        return repair(
            case.image,
            denoise,
            soft,
            Painter(answer),
            judge,
            prompt=case.prompt,
            strength=1.0,
            steps=1,
            seed=case.sample.index,
            attempts=attempts,
            crop=CropOptions(join=self.options.crop.join),
        )

    def _seen(self, case: Case, found: Any, labels: Tensor, regions: int) -> list[int]:
        """The regions that meet the defect because the indicator saw it: by its map, or by the right phrase."""
        (repairs,) = found.repairs
        wrong = torch.from_numpy(np.logical_or.reduce(case.mended))
        kinds = {defect.kind for defect in case.sample.defects}
        seen = []
        for number in range(1, regions + 1):
            if not bool((labels == number)[wrong].any()):
                continue
            planned = repairs.regions[number - 1]
            if ("alignment" in kinds and planned.phrases) or (kinds - {"alignment"} and planned.bad):
                seen.append(number)
        return seen


def blob(index: int) -> Any:
    """An ellipse somewhere in the picture, (128, 128) bool."""
    rng = np.random.default_rng([7, index])
    tall, wide = rng.uniform(15, 32, 2)
    y, x = rng.uniform(28, 100, 2)
    rows, columns = np.mgrid[0:128, 0:128]
    return ((rows - y) / tall) ** 2 + ((columns - x) / wide) ** 2 <= 1.0


def exchanged(case: Case, seed: int) -> Tensor:
    """The scene that the picture shows, as good as it was and another: another texture, items a little turned."""
    scene, rng = case.sample.shown, np.random.default_rng([9, seed % (1 << 32)])
    items = tuple(replace(item, angle=item.angle + float(rng.normal(0.0, 0.04))) for item in scene.items)
    drawn = draw(replace(scene, texture=int(rng.integers(1 << 30)), items=items))
    return torch.from_numpy(np.clip(drawn, 0.0, 1.0))[None].float()


def _noise(seed: int) -> Tensor:
    return torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(seed % (1 << 62)))


def _mixed(case: Case, index: int, seed: int) -> Tensor:
    """Any of the painters, by the seed."""
    drawn = _MIX[int(np.random.default_rng([index, seed % (1 << 32)]).integers(len(_MIX)))]
    if drawn == "restores":
        return case.clean
    return _noise(seed) if drawn == "noise" else exchanged(case, seed)


def pasted(image: Tensor, new: Tensor, mask: Any) -> Tensor:
    """``new`` blended into ``image`` where ``mask`` is, as stage 1 does it."""
    weight = torch.from_numpy(feather_mask(mask, 3))[None, ..., None]
    return image * (1.0 - weight) + new * weight


def _error(image: Tensor, clean: Tensor) -> float:
    return float(((image - clean) ** 2).mean())


def _box(mask: Any) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _quantile(values: Sequence[float], share: float) -> float:
    return round(float(np.quantile(values, share)), 4) if values else float("nan")


if __name__ == "__main__":
    raise SystemExit(main())
