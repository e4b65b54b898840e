"""What PQ-Map and AQ-Map cost, against a plain open_clip encode of the same pictures at the same size (= 1.00).

    python benchmarks/quality.py [--size 512] [--batch 1] [--repeats 15] [--threads 2] [--clock wall] [--json FILE]

Everything runs in one process, interleaved, so that a busy machine slows all alike; medians are compared, and beside
them the best runs, which are the steadier figure where other work goes on. The model has ViT-B/16's architecture with
random weights: what it measures means nothing, what it costs is real. The plain encode gets pictures that are
preprocessed already; ours starts from the pictures (B, H, W, 3) and ends with scores and full-size maps. Pictures are
forgotten before each run; texts are known, or new, as the row says.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

PROMPTS = (
    "a red balloon above an old stone castle, two white swans on the lake",
    "portrait of a young woman with curly hair wearing a blue silk dress, 8k, trending on artstation",
    "three small dogs running on a sandy beach at sunset, a wooden boat in the background",
    "a futuristic city with flying cars, neon lights, rain, cinematic lighting",
    "an oil painting of a grey cat sleeping on a striped sofa next to a tall green plant",
)
TARGETS = {"PQ-Map, four factors": 1.15, "PQ-Map and AQ-Map, texts known": 1.35}


CLOCKS = {"wall": time.perf_counter, "process": time.process_time}


def main() -> None:
    """Measure, print a Markdown table, write JSON on request."""
    options = parse_options()
    torch.set_num_threads(options.threads)
    runs, notes = measure(options)
    base = runs["plain open_clip encode"]
    rows = [
        {
            "what": name,
            "ms": statistics.median(values) * 1e3,
            "ratio": statistics.median(values) / statistics.median(base),
            "best_ms": min(values) * 1e3,
            "best_ratio": min(values) / min(base),
            "target": TARGETS.get(name),
        }
        for name, values in runs.items()
    ]
    parser = parser_time()
    imports = import_time()
    print_report(rows, parser, imports, notes, options)
    if options.json:
        figures = {"rows": rows, "parser_ms_per_prompt": parser, "import_seconds": imports, **notes}
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-16-quickgelu", help="open_clip's name")
    parser.add_argument("--size", type=int, default=512, help="side of the pictures, pixels")
    parser.add_argument("--batch", type=int, default=1, help="pictures at once")
    parser.add_argument("--repeats", type=int, default=15, help="interleaved runs of each")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument(
        "--clock", choices=tuple(CLOCKS), default="wall", help="process: this process's own seconds, for busy CPUs"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, …")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file, too")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of every run of each task, and what they were measured on."""
    import open_clip

    from grefine_core import QualityModel, assess, load_embeddings, parse_prompt, perceptual_quality
    from grefine_core.alignment.calibration import EVIDENCE, Calibration, LocalBounds
    from grefine_core.clip.embeddings import END_POSITION, FACTORS
    from grefine_core.clip.preprocess import normalise, preprocess
    from grefine_core.clip.surgery import encode_image
    from grefine_core.clip.text_encoder import encode_embeddings
    from grefine_core.models.registry import SHIPPED_EMBEDDINGS

    torch.manual_seed(0)
    clip = open_clip.create_model(options.model).eval().to(options.device)
    # As calibrated models do it, which also look at the places of phrases.
    local = None if EVIDENCE is None else LocalBounds(EVIDENCE, Calibration().bounds)
    quality = QualityModel(clip, name=options.model, calibration=Calibration(local=local))
    images = torch.rand(options.batch, options.size, options.size, 3, device=options.device)
    pixels = normalise(preprocess(images, quality.resolution), quality.geometry).to(options.device)
    prompts = [PROMPTS[index % len(PROMPTS)] for index in range(options.batch)]
    trees = [parse_prompt(prompt) for prompt in prompts]
    assess(quality, images, tree=trees)
    texts = prompt_texts_of(quality, trees)
    tokens = quality.tokenizer(texts).to(options.device)

    def plain() -> None:
        clip.encode_image(pixels)

    def surgery() -> None:
        encode_image(clip, pixels)

    def pq() -> None:
        quality.clear_cache(texts=False)
        perceptual_quality(quality, images)

    def both() -> None:
        quality.clear_cache(texts=False)
        assess(quality, images, tree=trees)

    def both_again() -> None:
        assess(quality, images, tree=trees)

    def both_new_prompt() -> None:
        quality.clear_cache(texts=False)
        quality.forget_texts(texts)
        assess(quality, images, tree=trees)

    def own_texts() -> None:
        quality.forget_texts(texts)
        quality.text_features(texts)

    def plain_texts() -> None:
        clip.encode_text(tokens)

    def nothing_shared() -> None:
        # As a script for one factor does it, four times over: a full encode and both texts for every factor.
        for factor in FACTORS:
            encode_image(clip, normalise(preprocess(images, quality.resolution), quality.geometry).to(options.device))
            pair = load_embeddings(SHIPPED_EMBEDDINGS, factor)
            encode_embeddings(clip, pair, END_POSITION)

    tasks: dict[str, Callable[[], None]] = {
        "plain open_clip encode": plain,
        "encode with V-V attention": surgery,
        "PQ-Map, four factors": pq,
        "PQ-Map and AQ-Map, texts known": both,
        "PQ-Map and AQ-Map, new prompt": both_new_prompt,
        "PQ-Map and AQ-Map, same picture again": both_again,
        f"text batch of the prompt ({len(texts)} texts), ours": own_texts,
        f"text batch of the prompt ({len(texts)} texts), open_clip": plain_texts,
        "four factors, nothing shared": nothing_shared,
    }
    if tuple(load_embeddings(SHIPPED_EMBEDDINGS).shape[-1:]) != (clip.token_embedding.weight.shape[1],):
        raise SystemExit("The published embeddings do not belong to a text encoder of this width; choose a ViT-B.")
    spent: dict[str, list[float]] = {name: [] for name in tasks}
    with torch.inference_mode():
        for task in tasks.values():
            task()
        for _ in range(options.repeats):
            for name, task in tasks.items():
                spent[name].append(timed(task, options.device, options.clock))
    notes = {
        "model": options.model,
        "batch": options.batch,
        "picture": f"{options.size}×{options.size}",
        "repeats": options.repeats,
        "threads": options.threads,
        "device": options.device,
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
    }
    return spent, notes


def batch_against_singles(options: argparse.Namespace, batch: int = 8) -> dict[str, float]:
    """What a picture costs in a batch, and what it costs by itself (= 1.00); both maps, interleaved, texts known."""
    import open_clip

    from grefine_core import QualityModel, assess, parse_prompt

    torch.manual_seed(0)
    quality = QualityModel(open_clip.create_model(options.model).eval().to(options.device), name=options.model)
    images = torch.rand(batch, options.size, options.size, 3, device=options.device)
    tree = parse_prompt(PROMPTS[0])

    def together() -> None:
        quality.clear_cache(texts=False)
        assess(quality, images, tree=tree)

    def one_by_one() -> None:
        quality.clear_cache(texts=False)
        for image in images.split(1):
            assess(quality, image, tree=tree)

    spent: dict[str, list[float]] = {"together": [], "one_by_one": []}
    with torch.inference_mode():
        one_by_one()
        together()
        for _ in range(options.repeats):
            spent["one_by_one"].append(timed(one_by_one, options.device, options.clock))
            spent["together"].append(timed(together, options.device, options.clock))
    single, whole = (statistics.median(spent[name]) / batch for name in ("one_by_one", "together"))
    return {"batch": batch, "single_ms": single * 1e3, "batch_ms": whole * 1e3, "ratio": whole / single}


def prompt_texts_of(quality: Any, trees: list[Any]) -> list[str]:
    """The texts that a new prompt needs: all but the model's contrast vocabulary, which stays known."""
    from grefine_core.alignment.texts import prompt_texts

    words = quality.contrast_vocabulary
    known = {entry.name for entry in words.things} | set(words.captions)
    found: dict[str, None] = {}
    for tree in trees:
        texts = prompt_texts(tree, quality.token_count, quality.context_length, "contrast", contrast_vocabulary=words)
        found.update(dict.fromkeys(texts))
    return [text for text in found if text not in known]


def timed(task: Callable[[], None], device: str, clock: str = "wall") -> float:
    """Seconds of one run."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    start = CLOCKS[clock]()
    task()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return CLOCKS[clock]() - start


def parser_time(rounds: int = 20) -> float:
    """Median milliseconds of parsing one prompt, the model loaded."""
    from grefine_core import parse_prompt

    spent = []
    for _ in range(rounds):
        for prompt in PROMPTS:
            start = time.perf_counter()
            parse_prompt(prompt)
            spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1e3


def import_time() -> dict[str, float]:
    """Seconds that importing our modules adds to an interpreter that has torch already, each in a fresh process."""
    modules = ("grefine_core", "grefine_core.clip.quality_model", "grefine_core.alignment", "grefine_core.models")
    result = {}
    for module in modules:
        code = f"import torch, time; s = time.perf_counter(); import {module}; print(time.perf_counter() - s)"
        runs = []
        for _ in range(3):
            answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            runs.append(float(answer.stdout))
        result[module] = min(runs)
    return result


def print_report(
    rows: list[dict[str, Any]],
    parser: float,
    imports: dict[str, float],
    notes: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    """The figures as Markdown."""
    print(
        f"{notes['model']}, {options.batch} × {notes['picture']}, {notes['threads']} threads, {notes['device']}, ",
        end="",
    )
    print(f"torch {notes['torch']}, median of {notes['repeats']} interleaved runs\n")
    print("| what | ms | ratio | best ms | ratio of the best | target |\n|---|---:|---:|---:|---:|---:|")
    for row in rows:
        target = f"≤ {row['target']:.2f}" if row["target"] else ""
        figures = (f"{row['ms']:.1f}", f"{row['ratio']:.2f}", f"{row['best_ms']:.1f}", f"{row['best_ratio']:.2f}")
        print("| " + " | ".join((row["what"], *figures, target)) + " |")
    print(f"\nParser: {parser:.2f} ms a prompt (target ≤ 5 ms).")
    print(
        "Import after torch: " + ", ".join(f"{name} {seconds * 1e3:.0f} ms" for name, seconds in imports.items()) + "."
    )


if __name__ == "__main__":
    main()
