"""Train the miniature autoencoder: factor 8, four latent channels, Stable Diffusion's scaling.

    python -m grefine_research.miniature.training.autoencoder --profile cpu --out DIR [--start FILE] [--resume]

First on random crops of clean training scenes, some of them damaged; then on crops that show items, most of a scene
being ground, with an eye on their colours; then the decoder alone on whole pictures. There is no adversary: the scenes
are flat enough for pixels and their differences. At the end the latents are brought to zero mean and to the
variance that the scaling 0.18215 expects, by changing the two 1x1 convolutions around them; no picture changes.
Writes DIR/vae.safetensors, DIR/vae.log.jsonl and DIR/checkpoint.pt; the weights a first time
when the encoder is final, so that pictures can be encoded for the UNet meanwhile.
"""

from __future__ import annotations

import argparse
import copy
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from grefine_core.miniature.networks import FACTOR, LATENT_CHANNELS, SCALING, build, load, save

from ...training.precision import quick
from ..worlds import SHIPPED, Name, world_named
from .damage import damage
from .loop import (
    Journal,
    Rates,
    changed,
    compiled_in,
    keep_memory,
    load_checkpoint,
    noise,
    run_steps,
    save_checkpoint,
    step_seed,
    today,
)
from .pictures import SEED, cached_pictures

logger = logging.getLogger(__name__)
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Profile:
    """Settings of a training run.

    Attributes:
        steps: of optimisation in all.
        focus_from: from this step on the most colourful of a few crops is taken, and mean colours count as well.
        whole_from: from this step on whole pictures are shown, a quarter as many, and the encoder stays as it is.
        crop, batch: side and number of the crops.
        rate, warmup: highest learning rate, and steps until it is reached.
        pictures: number of training scenes.
        kl: weight of the divergence of the latents, a mean over their elements.
        damaged: share of crops that are damaged.
        compiled: whether the loss is compiled; needs a compiler.
        world: whose scenes.
    """

    steps: int = 7400
    focus_from: int = 4400
    whole_from: int = 6000
    crop: int = 64
    batch: int = 16
    rate: float = 1e-3
    warmup: int = 100
    pictures: int = 24000
    kl: float = 3e-4
    damaged: float = 0.15
    seed: int = SEED
    device: str = "cpu"
    compiled: bool = True
    world: Name = SHIPPED.name
    log_every: int = 50
    validate_every: int = 1000
    checked: int = 64


_CANDIDATES = 3  # crops of which the most colourful is taken

#: On from weights of another world.
_FINE: dict[str, Any] = {"rate": 1e-4, "kl": 1e-6, "focus_from": 0}
FINE: dict[str, dict[str, Any]] = {
    # The encoder stays, so that pictures can be encoded for the UNet at once: what falls short is what is decoded.
    "cpu": {**_FINE, "steps": 800, "whole_from": 0, "rate": 3e-4, "validate_every": 300, "pictures": 6000},
    "gpu": {**_FINE, "steps": 4000, "whole_from": 3000, "validate_every": 1000, "pictures": 24000, "rate": 2e-4},
}
PROFILES = {
    "cpu": Profile(),
    "gpu": Profile(
        steps=40000, focus_from=20000, whole_from=32000, batch=64, rate=6e-4, pictures=60000, device="cuda", checked=256
    ),
}


def loss_terms(
    autoencoder: Any, pictures: Tensor, unit: Tensor, kl: float, colour: Tensor, frozen: bool
) -> tuple[Tensor, Tensor]:
    """(loss, squared error of pixels in [0, 1]) of a batch (n, 3, s, s) in [-1, 1].

    ``unit`` is the latents' noise, ``kl`` and ``colour`` are the weights of their divergence and of mean
    colours; a ``frozen`` encoder gets no gradients.
    """
    with quick(pictures.device):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            mean, logvar = autoencoder.quant_conv(autoencoder.encoder(pictures)).chunk(2, dim=1)
        logvar = logvar.float().clamp(-20, 10)
        latents = mean.float() + torch.exp(0.5 * logvar) * unit
        again = autoencoder.decoder(autoencoder.post_quant_conv(latents))
    difference = again.float() - pictures
    squared = difference.square().mean()
    loss = difference.abs().mean() + 2.0 * squared + 0.5 * _slopes(difference)
    loss = loss + 0.5 * _slopes(F.avg_pool2d(difference, 2)) + colour * F.avg_pool2d(difference, FACTOR).abs().mean()
    divergence = 0.5 * (mean.float().square() + logvar.exp() - 1.0 - logvar).mean()
    return loss + kl * divergence, squared / 4


def _slopes(difference: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels: edges count again."""
    across = (difference[..., 1:] - difference[..., :-1]).abs().mean()
    return across + (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()


def draw_batch(pictures: Pictures, profile: Profile, step: int) -> tuple[Tensor, Tensor]:
    """Batch (n, 3, s, s) in [-1, 1] and noise (n, 4, s/8, s/8) of one step, from (seed, step) alone."""
    rng = step_seed(profile.seed, step)
    whole = step >= profile.whole_from
    count = max(1, profile.batch // 4) if whole else profile.batch
    side = pictures.shape[1] if whole else profile.crop
    crops: list[NDArray[np.float32]] = []
    for index in rng.integers(len(pictures), size=count):
        found = _crop(pictures[index], side, rng, _CANDIDATES if step >= profile.focus_from and not whole else 1)
        crop = found.astype(np.float32) / np.float32(255)
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        crops.append(damage(crop, rng) if rng.random() < profile.damaged else crop)
    batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) * 2 - 1
    return batch, noise(rng, count, LATENT_CHANNELS, side // FACTOR, side // FACTOR)


def _crop(picture: Pictures, side: int, rng: np.random.Generator, candidates: int) -> Pictures:
    """The most colourful of a few random crops."""
    corners = rng.integers(picture.shape[0] - side + 1, size=(candidates, 2))
    crops = [picture[y : y + side, x : x + side] for y, x in corners]
    return max(crops, key=lambda crop: float(crop[::4, ::4].var(axis=(0, 1)).sum())) if candidates > 1 else crops[0]


@torch.no_grad()
def reconstruct(autoencoder: Any, pictures: Pictures, device: str = "cpu", batch: int = 16) -> NDArray[np.float32]:
    """Encode and decode (n, H, W, 3) uint8 pictures: (n, H, W, 3) float32 in [0, 1]."""
    out = []
    for first in range(0, len(pictures), batch):
        part = to_network(pictures[first : first + batch]).to(device)
        out.append(autoencoder.decode(autoencoder.encode(part).latent_dist.mode()).sample.float().cpu())
    return (torch.cat(out).permute(0, 2, 3, 1) / 2 + 0.5).clamp(0, 1).numpy()


def to_network(pictures: Pictures) -> Tensor:
    """(n, H, W, 3) uint8 to (n, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def psnr(autoencoder: Any, pictures: Pictures, device: str = "cpu") -> float:
    """Mean over pictures of the peak signal-to-noise ratio of their reconstructions, in dB."""
    again = reconstruct(autoencoder, pictures, device)
    squared = np.square(again - pictures.astype(np.float32) / 255).mean(axis=(1, 2, 3))
    return float((-10 * np.log10(np.maximum(squared, 1e-10))).mean())


@torch.no_grad()
def fit_latents(autoencoder: Any, pictures: Pictures, device: str = "cpu", batch: int = 16) -> dict[str, list[float]]:
    """Shift and scale the latents, channel by channel, to zero mean and standard deviation 1 / 0.18215.

    The change is folded into ``quant_conv`` and undone in ``post_quant_conv``. Returns what was found before.
    """
    latents = torch.cat(
        [
            autoencoder.encode(to_network(pictures[first : first + batch]).to(device)).latent_dist.mode().float().cpu()
            for first in range(0, len(pictures), batch)
        ]
    )
    mean, spread = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    scale = (1 / (SCALING * spread)).to(device)
    shift = mean.to(device)
    before, after = autoencoder.quant_conv, autoencoder.post_quant_conv
    after.bias += after.weight[:, :, 0, 0] @ shift
    after.weight /= scale[None, :, None, None]
    before.weight[:LATENT_CHANNELS] *= scale[:, None, None, None]
    before.bias[:LATENT_CHANNELS] = (before.bias[:LATENT_CHANNELS] - shift) * scale
    before.bias[LATENT_CHANNELS:] += 2 * scale.log()
    return {"mean": mean.tolist(), "std": spread.tolist()}


def train(
    out: str | Path,
    profile: Profile,
    pictures: Pictures,
    validation: Pictures,
    *,
    start: str | Path | None = None,
    resume: bool = False,
    stop_at: int | None = None,
) -> Path | None:
    """Train and export; returns the weights' path, or None where ``stop_at`` ended it early.

    Args:
        out: folder for the weights, the journal and the checkpoint.
        profile: the settings.
        pictures: training scenes, (n, 128, 128, 3) uint8.
        validation: scenes for the figures in the journal.
        start: weights to go on from; None for new ones. Its latents have the variance that the scaling expects, which
            is more than a new one's: ``kl`` has to be smaller, or it would pull them together (``FINE``).
        resume: go on from the checkpoint in ``out``, if there is one.
        stop_at: end, with a checkpoint, after so many steps.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(profile.seed)
    device = profile.device
    autoencoder = load(start, "vae") if start is not None else build("vae")
    autoencoder = autoencoder.to(device, memory_format=torch.channels_last).train()
    rates = Rates(profile.steps, profile.rate, profile.warmup)
    optimizer = torch.optim.AdamW(autoencoder.parameters(), lr=profile.rate, betas=(0.9, 0.99), weight_decay=1e-4)
    journal, kept, first = Journal(out / "vae.log.jsonl"), out / "checkpoint.pt", 0
    if resume and kept.exists():
        state = load_checkpoint(kept)
        autoencoder.load_state_dict(state["autoencoder"])
        optimizer.load_state_dict(state["optimizer"])
        first = int(state["step"])
        journal.cut(first)
    else:
        journal.path.unlink(missing_ok=True)
    journal.write(date=today(), training="autoencoder", **asdict(profile), **({"from_step": first} if first else {}))
    terms: Callable[..., tuple[Tensor, Tensor]] = loss_terms
    if profile.compiled:
        terms = torch.compile(loss_terms, dynamic=False)

    def one_step(step: int) -> dict[str, Tensor]:
        batch, unit = draw_batch(pictures, profile, step)
        batch = batch.to(device, memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group["lr"] = rates.at(step)
        colour = torch.tensor(float(step >= profile.focus_from), device=device)
        frozen = step >= profile.whole_from
        if step == profile.whole_from:
            export(autoencoder, out, profile, pictures, validation, final=False)
        loss, squared = terms(autoencoder, batch, unit.to(device), profile.kl, colour, frozen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(autoencoder.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss, "squared": squared}

    def validate(step: int) -> None:
        autoencoder.eval()
        with quick(device):
            journal.write(step=step, psnr=psnr(autoencoder, validation[: profile.checked], device))
        autoencoder.train()

    def checkpoint(step: int) -> None:
        save_checkpoint(kept, step, {"autoencoder": autoencoder.state_dict(), "optimizer": optimizer.state_dict()})

    done = run_steps(
        first, profile.steps, one_step, journal=journal, checkpoint=checkpoint, validate=validate,
        log_every=profile.log_every, validate_every=profile.validate_every, stop_at=stop_at,
    )  # fmt: skip
    return export(autoencoder, out, profile, pictures, validation) if done == profile.steps else None


def export(
    trained: Any, out: Path, profile: Profile, pictures: Pictures, validation: Pictures, final: bool = True
) -> Path:
    """Bring the latents of a copy to scale, round to half precision, measure, write; returns the weights' path.

    The encoder's part depends on the encoder alone, so it is the same whenever the decoder goes on.
    """
    autoencoder = copy.deepcopy(trained).eval()
    found = fit_latents(autoencoder, pictures[:512], profile.device)
    autoencoder = autoencoder.half().float()
    notes = {"date": today(), "seed": str(profile.seed), "steps": str(profile.steps)}
    if final:
        figure = psnr(autoencoder, validation, profile.device)
        notes["psnr"] = f"{figure:.2f}"
        Journal(out / "vae.log.jsonl").write(
            step=profile.steps, psnr_of_all=figure, validation=len(validation), latents=found
        )
    return save(autoencoder, out / "vae.safetensors", "vae", notes)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the pictures, train, export."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--profile", choices=sorted(PROFILES), default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, journal and checkpoint")
    parser.add_argument("--data", type=Path, help="folder for the drawn pictures; default: OUT/data")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")
    parser.add_argument("--start", type=Path, help="weights to go on from, at a lower rate")
    parser.add_argument("--steps", type=int, help="another number of steps, with the same shares")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings of the profile")
    parser.add_argument("--processes", type=int, default=1, help="that draw")
    parser.add_argument("--no-compile", action="store_true", help="where there is no compiler; about half as fast")
    options = parser.parse_args(arguments)
    keep_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    profile = PROFILES[options.profile]
    if options.start:
        profile = replace(profile, **FINE[options.profile])
    if options.steps:
        share = options.steps / profile.steps
        starts = {name: math.ceil(getattr(profile, name) * share) for name in ("focus_from", "whole_from")}
        profile = replace(profile, steps=options.steps, **starts)
    if options.no_compile:
        profile = replace(profile, compiled=False)
    profile = changed(profile, options.set)
    world = world_named(profile.world)
    data = options.data or options.out / "data"
    pictures = cached_pictures(data, profile.pictures, world=world, processes=options.processes)
    validation = cached_pictures(data, 256, "validation", world=world)
    with compiled_in(options.out / "compiled"):
        train(options.out, profile, pictures, validation, start=options.start, resume=options.resume)


if __name__ == "__main__":
    main()
