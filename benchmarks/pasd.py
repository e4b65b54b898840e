"""What PASD costs: memory with and without tiles, and on a GPU seconds and peak memory of whole passes.

    python benchmarks/pasd.py                       # count: real sizes, half precision, nothing is computed
    python benchmarks/pasd.py --check               # the same count against this process's peak, on reduced networks
    python benchmarks/pasd.py --device cuda         # run: 512² to 1024², 10 and 20 steps, half precision

The count runs the networks, full size, on tensors without contents (torch's FakeTensor) and adds up what is alive at
every moment. It is exact for tensors and knows nothing of a library's work space or of an allocator's rounding. It
takes fused attention for granted, as torch has it on every device. ``--check`` runs networks of a tenth of the width
really, each size in a process of its own, and puts the rise of the process's peak beside the count.
Add ``--json FILE`` to have the figures in a file, too.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import grefine_core
from grefine_core.engines.folders import arguments_of
from grefine_core.engines.pasd.model import PasdModel, PasdSettings, Variant
from grefine_core.engines.pasd.restorer import PasdRestorer
from grefine_core.engines.pasd.sampling import Autoencoder, Tiling, predict_tiled
from grefine_core.memory import empty_cache

CONFIGS = Path(grefine_core.__file__).parent / "engines" / "configs" / "sd15"
CARD_GB = 8.0
#: Channels of the reduced networks.
REDUCED = [32, 64, 128, 128]


def main() -> None:
    """Count, check or run; print Markdown tables; write JSON on request."""
    options = parse_options()
    if options.one:
        print(json.dumps(measure_peak(*options.one)))
        return
    if options.check:
        figures = check()
    elif torch.device(options.device).type == "cpu":
        figures = count(options)
    else:
        figures = run(options)
    figures["torch"] = torch.__version__
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--light", action="store_true", help="pasd_light instead of pasd")
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 2048], help="sides to count, pixels")
    parser.add_argument("--tiles", type=int, nargs="+", default=[128, 96, 64], help="tiles to count, latent cells")
    parser.add_argument("--check", action="store_true", help="count and measure reduced networks")
    parser.add_argument("--device", default="cpu", help="cpu counts, another device (cuda) runs")
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 20], help="of the runs")
    parser.add_argument("--repeats", type=int, default=3, help="of every run, after one that does not count")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file, too")
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def build(light: bool, dtype: torch.dtype, widths: list[int] | None = None) -> PasdModel:
    """The networks with whatever weights torch gives them; there is no text encoder."""
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

    from grefine_core.engines.pasd.unet import PasdUNet, build_controlnet

    changed = {"block_out_channels": widths} if widths else {}
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        unet = PasdUNet(light=light, **{**config_of(UNet2DConditionModel, "unet"), **changed})
        controlnet = build_controlnet({**config_of(ControlNetModel, "controlnet"), **changed})
        vae = AutoencoderKL(**{**config_of(AutoencoderKL, "vae"), **changed})
    finally:
        torch.set_default_dtype(before)
    return PasdModel(
        unet=unet.eval().requires_grad_(False),
        controlnet=controlnet.eval().requires_grad_(False),
        vae=vae.eval().requires_grad_(False),
        text_encoder=torch.nn.Identity(),
        tokenizer=None,
        scheduler_config=json.loads((CONFIGS / "scheduler" / "scheduler_config.json").read_text()),
        variant=Variant(light=light),
    )


def config_of(network: Any, part: str) -> dict[str, Any]:
    """Stable Diffusion 1.5's own configuration of one network."""
    return arguments_of(network, json.loads((CONFIGS / part / "config.json").read_text()))


def step_of(model: PasdModel, side: int, tile: int | None) -> Callable[[], Any]:
    """One denoiser call with guidance for a picture of ``side``²; ``tile`` None predicts it at once."""
    cells = side // 8
    device, dtype = model.device, model.dtype
    latents = torch.zeros(1, 4, cells, cells, device=device)
    picture = torch.zeros(1, 3, side, side, device=device, dtype=dtype)
    states = torch.zeros(2, 77, 768, device=device, dtype=dtype)

    def predict(part: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        return model.predict(torch.cat([part.to(dtype)] * 2), 500, states, torch.cat([below] * 2), 1.0)

    return lambda: predict_tiled(predict, latents, picture, Tiling(tile or cells, 8))


class Alive(TorchDispatchMode):
    """Adds up the bytes of all storages that are made while it is on, for as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        known = {id(storage) for storage in map(storage_of, tree_leaves((args, kwargs))) if storage is not None}
        for storage in map(storage_of, tree_leaves(result)):
            if storage is None or storage in self._known or id(storage) in known:
                continue
            self._known.add(storage)
            size = storage.nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, size)
        return result

    def _gone(self, size: int) -> None:
        self.now -= size


def storage_of(value: Any) -> torch.UntypedStorage | None:
    """The storage of a tensor; None for anything else."""
    return value.untyped_storage() if isinstance(value, torch.Tensor) else None


def peak_of(work: Callable[[], Any]) -> float:
    """Gigabytes alive at most while ``work`` runs, beyond what was there before."""
    gc.collect()
    with torch.no_grad(), Alive() as alive:
        work()
    return alive.peak / 1e9


@contextmanager
def without_contents() -> Iterator[None]:
    """Tensors have shapes and types, but no memory."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def count(options: argparse.Namespace) -> dict[str, Any]:
    """Peaks of the activations, real sizes, half precision."""
    rows: list[dict[str, Any]] = []
    with without_contents():
        model = build(options.light, torch.float16)
        weights = {name: size_of(network) for name, network in model.networks.items()}
        for side in options.sides:
            whole = peak_of(step_of(model, side, None))
            row: dict[str, Any] = {"side": side, "whole": whole}
            row["tiles"] = {tile: peak_of(step_of(model, side, tile)) for tile in options.tiles if tile * 8 < side}
            for name, above in (("vae_whole", side), ("vae_tiled", 1)):
                vae = Autoencoder(model, above, empty_cache)
                latents = torch.zeros(1, 4, side // 8, side // 8)
                pictures = torch.zeros(1, 3, side, side)
                row[name] = max(
                    peak_of(lambda v=vae, p=pictures: v.encode(p)), peak_of(lambda v=vae, z=latents: v.decode(z))
                )
            rows.append(row)
    name = model.variant.name
    print(f"{name}, one picture with guidance, float16, gigabytes. Weights: ", end="")
    print(", ".join(f"{part} {size:.2f}" for part, size in weights.items() if part != "text_encoder") + ".\n")
    heads = [f"tiles of {tile}" for tile in options.tiles]
    print("| picture | denoiser, whole | " + " | ".join(heads) + " | VAE, whole | VAE, tiles |")
    print("|---|" + "---:|" * (len(heads) + 3))
    for row in rows:
        cells = [f"{row['whole']:.2f}"]
        for tile in options.tiles:
            peak = row["tiles"].get(tile)
            cells.append("" if peak is None else f"{peak:.2f} (1/{row['whole'] / peak:.1f})")
        cells += [f"{row['vae_whole']:.2f}", f"{row['vae_tiled']:.2f}"]
        print(f"| {row['side']}² | " + " | ".join(cells) + " |")
    return {"variant": name, "weights_gb": weights, "rows": rows}


def size_of(network: torch.nn.Module) -> float:
    """Gigabytes of its weights."""
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values()) / 1e9


def check(cases: tuple[tuple[int, int], ...] = ((512, 0), (512, 32))) -> dict[str, Any]:
    """The count against the peak of a process that really computes; reduced networks, float32."""
    rows = []
    for side, tile in cases:
        with without_contents():
            counted = peak_of(step_of(build(False, torch.float32, REDUCED), side, tile or None))
        command = [sys.executable, __file__, "--one", str(side), str(tile)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows.append({"side": side, "tile": tile, "counted": counted, **json.loads(answer)})
    print(f"Networks of {REDUCED} channels, float32, one picture with guidance; {platform.machine()}\n")
    print("| picture | tiles | counted, MB | measured, MB |\n|---|---|---:|---:|")
    for row in rows:
        tiles = f"{row['tile']}" if row["tile"] else "none"
        print(f"| {row['side']}² | {tiles} | {row['counted'] * 1e3:.0f} | {row['measured'] * 1e3:.0f} |")
    return {"channels": REDUCED, "rows": rows}


def measure_peak(side: int, tile: int) -> dict[str, float]:
    """How far one denoiser call raises the peak of this process, in gigabytes."""
    model = build(False, torch.float32, REDUCED)
    with torch.no_grad():
        step_of(model, 64, None)()
        work = step_of(model, side, tile or None)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        work()
    unit = 1e9 if sys.platform == "darwin" else 1e6
    rise = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit
    return {"measured": rise, "seconds": time.perf_counter() - start}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """512² to 1024² on a GPU, with random weights: seconds and peak memory."""
    torch.manual_seed(0)
    with torch.device(options.device):
        model = build(options.light, torch.float16)
    model.encode_prompts = lambda texts: torch.zeros(len(texts), 77, 768, device=options.device)  # type: ignore[method-assign]
    image = torch.rand(1, 512, 512, 3)
    rows = []
    for steps in options.steps:
        for tile in (320, 64):
            restorer = PasdRestorer(model, PasdSettings(tile_size=tile, factor=2.0))
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            seconds = []
            for _ in range(options.repeats + 1):
                torch.cuda.synchronize()
                start = time.perf_counter()
                restorer.upscale(image, steps=steps)
                torch.cuda.synchronize()
                seconds.append(time.perf_counter() - start)
            rows.append(
                {
                    "steps": steps,
                    "tile": tile,
                    "seconds": statistics.median(seconds[1:]),
                    "allocated_gb": torch.cuda.max_memory_allocated() / 1e9,
                    "reserved_gb": torch.cuda.max_memory_reserved() / 1e9,
                }
            )
    name = torch.cuda.get_device_name()
    print(f"{model.variant.name}, 512² to 1024², float16, random weights, {name}, torch {torch.__version__}\n")
    print(f"| steps | tiles | seconds | allocated, GB | reserved, GB | fits {CARD_GB:.0f} GB |")
    print("|---:|---:|---:|---:|---:|---|")
    for row in rows:
        fits = "yes" if row["reserved_gb"] < CARD_GB - 0.7 else "no"  # a desktop and the driver want something, too
        print(
            f"| {row['steps']} | {row['tile']} | {row['seconds']:.2f} | {row['allocated_gb']:.2f} | "
            f"{row['reserved_gb']:.2f} | {fits} |"
        )
    return {"variant": model.variant.name, "device": name, "rows": rows}


if __name__ == "__main__":
    main()
