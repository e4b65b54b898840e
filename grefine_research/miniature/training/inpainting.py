"""Train the miniature inpainting model: Stable Diffusion 1.5's kind, nine channels, noise prediction.

    python -m grefine_research.miniature.training.inpainting --profile cpu --clip clip.safetensors --vae vae.safetensors
        --out DIR [--start FILE] [--data DIR] [--resume]

It learns from clean training scenes alone: their latents, the latents of what random masks leave of them, their
captions through the frozen text half of the miniature CLIP, every tenth caption left out for classifier-free guidance.
With ``texts`` the text half learns with it and is written to DIR/text_encoder.safetensors, all but its tokens: what
tells pictures apart is not what paints them.
Close-ups of one item come first, and again every few steps: a quarter of a scene's area, so four times as many a step.
Writes DIR/unet.safetensors (an average over the last steps' weights), DIR/unet.log.jsonl and DIR/checkpoint.pt.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grefine_core.miniature.loading import TEXT_FILE
from grefine_core.miniature.networks import SCHEDULER_CONFIG, build, learning_states, load, save
from grefine_core.models.files import read_tensors, write_tensors

from ...training.precision import quick
from ..worlds import SHIPPED, Name, world_named
from .latents import Latents, cached_closeups, cached_latents, tokenize
from .loop import (
    Averaged,
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
from .text_cache import TextCache

logger = logging.getLogger(__name__)
_CHECKS = 1 << 40  # no step has such a number


@dataclass(frozen=True)
class Profile:
    """Settings of a training run.

    Attributes:
        steps, batch: of optimisation.
        rate, warmup: highest learning rate, and steps until it is reached.
        average: decay of the averaged weights, those that are exported.
        views, pictures: number of examples, and of scenes that they show.
        closeups: number of examples that show one item.
        first, again: so many steps with close-ups at the start, and later one in so many.
        unconditional: share of examples without their caption.
        partial: share of examples with their second caption.
        gamma: least signal-to-noise ratio from which on less noise counts less.
        strongest: most weight of strong noise; it grows with the noise, since that is where colours are decided.
        outside: weight of the error where nothing is to be painted.
        coarse: weight of the error of means over 4×4 latents: of all errors those are the ones that change a ground's
            colour, and among sixteen times as many others they hardly count.
        compiled: whether the loss is compiled; needs a compiler.
        lean: whether the UNet attends at 8×8 latents alone.
        texts: learning rate of its own text tower, as a share of the UNet's; 0 leaves it CLIP's.
        world: whose scenes.
    """

    steps: int = 12500
    batch: int = 32
    rate: float = 8e-4
    warmup: int = 200
    average: float = 0.998
    views: int = 16000
    pictures: int = 24000
    closeups: int = 16000
    first: int = 2800
    again: int = 2
    unconditional: float = 0.1
    partial: float = 0.3
    gamma: float = 5.0
    strongest: float = 6.0
    outside: float = 0.3
    coarse: float = 0.25
    seed: int = SEED
    device: str = "cpu"
    compiled: bool = True
    lean: bool = False
    texts: float = 0.0
    world: Name = SHIPPED.name
    log_every: int = 50
    validate_every: int = 1000
    checked: int = 128


#: On from weights of another world: forms are known, so few steps with close-ups come first.
_FINE: dict[str, Any] = {"rate": 3e-4, "first": 100, "again": 12, "texts": 0.25}
FINE: dict[str, dict[str, Any]] = {
    "cpu": {**_FINE, "steps": 2350, "pictures": 6000, "views": 8000, "closeups": 6000},
    "gpu": {**_FINE, "again": 3, "steps": 4000, "pictures": 24000, "views": 12000, "closeups": 6000, "rate": 6e-4},
}
PROFILES = {
    "cpu": Profile(),
    "gpu": Profile(
        steps=60000, batch=128, average=0.9995, views=240000, pictures=60000, closeups=60000, device="cuda", checked=256
    ),
}


def noise_levels() -> Tensor:
    """Product of the alphas, (1000,) float32: the share of the picture's variance that is left at each time."""
    first, last = SCHEDULER_CONFIG["beta_start"] ** 0.5, SCHEDULER_CONFIG["beta_end"] ** 0.5
    betas = torch.linspace(first, last, SCHEDULER_CONFIG["num_train_timesteps"], dtype=torch.float64).square()
    return (1 - betas).cumprod(0).float()


@dataclass(frozen=True)
class Batch:
    """What one step needs: noisy latents (n, 4, 16, 16), of close-ups (n, 4, 8, 8); ``weight`` (n, 1, 16, 16)."""

    noisy: Tensor
    mask: Tensor
    masked: Tensor
    times: Tensor
    tokens: Tensor
    unit: Tensor
    weight: Tensor


def draw_batch(latents: Latents, profile: Profile, empty: Tensor, rng: np.random.Generator, count: int) -> Batch:
    """Examples with noise of random strength; ``empty`` (77,) are the tokens of no caption."""
    levels = noise_levels()
    chosen = np.sort(rng.integers(len(latents), size=count))
    clean = torch.from_numpy(latents.clean[chosen]).float()
    mask = torch.from_numpy(latents.mask[chosen])[:, None].float()
    # One time out of each of as many equal parts: the mean loss of a batch varies less.
    times = torch.from_numpy((rng.permutation(count) + rng.random(count)) / count * len(levels)).long()
    left = levels[times][:, None, None, None]
    unit = noise(rng, *clean.shape)
    caption = (rng.random(count) < profile.partial).astype(int)
    tokens = torch.from_numpy(latents.tokens[chosen, caption].astype(np.int64))
    tokens[torch.from_numpy(rng.random(count) < profile.unconditional)] = empty
    ratio = left / (1 - left)
    where = profile.outside + (1 - profile.outside) * mask
    weight = ratio.clamp(max=profile.gamma) / ratio * ratio.rsqrt().clamp(1.0, profile.strongest)
    weight = weight * where / where.mean(dim=(1, 2, 3), keepdim=True)
    return Batch(
        left.sqrt() * clean + (1 - left).sqrt() * unit,
        mask,
        torch.from_numpy(latents.masked[chosen]).float(),
        times,
        tokens,
        unit,
        weight,
    )


def loss_of(
    unet: Any, inputs: Tensor, times: Tensor, states: Tensor, unit: Tensor, weight: Tensor, coarse: float
) -> Tensor:
    """Weighted mean squared error of the noise that is predicted from ``inputs`` (n, 9, h, w), and of its means."""
    with quick(inputs.device):
        guess = unet(inputs, times, states, return_dict=False)[0]
    error = guess.float() - unit
    # A mean of sixteen independent errors has a sixteenth of their square.
    means = 16 * F.avg_pool2d(error, 4).square() * F.avg_pool2d(weight, 4)
    return (error.square() * weight).mean() + coarse * means.mean()


def plain_attention(unet: Any) -> Any:
    """Let a UNet attend by products of matrices: torch's fused attention is slow backwards on a processor."""
    from diffusers.models.attention_processor import AttnProcessor

    unet.set_attn_processor(AttnProcessor())
    return unet


def train(
    out: str | Path,
    profile: Profile,
    latents: Latents,
    closeups: Latents,
    validation: Latents,
    clip: nn.Module,
    *,
    resume: bool = False,
    start: str | Path | None = None,
    stop_at: int | None = None,
    notes: dict[str, str] | None = None,
) -> Path | None:
    """Train and export; returns the weights' path, or None where ``stop_at`` ended it early.

    Args:
        out: folder for the weights, the journal and the checkpoint.
        profile: the settings.
        latents: of the training views.
        closeups: of the training close-ups.
        validation: of validation views, for the figures in the journal.
        clip: the miniature CLIP, an open_clip module; it stays as it is, unless ``texts`` lets its text half learn.
        start: weights of a UNet to go on from, and of its text half where that lies beside it; a lean UNet leaves out
            what it does not have.
        resume: go on from the checkpoint in ``out``, if there is one.
        stop_at: end, with a checkpoint, after so many steps.
        notes: go into the metadata of the weights.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(profile.seed)
    device = profile.device
    clip = clip.to(device).eval()
    empty = tokenize([""])[0]
    tower = _text_half(clip.requires_grad_(False)).requires_grad_(profile.texts > 0)
    states_of = partial(learning_states, clip) if profile.texts else TextCache(clip)
    unet = build("unet", profile.lean)
    if start is not None:
        unet.load_state_dict({**unet.state_dict(), **_fitting(load(start, "unet"), unet)})
        own = Path(start).with_name(TEXT_FILE)
        if profile.texts and own.is_file():
            tower.load_state_dict({name: value.float() for name, value in read_tensors(own).items()})
    unet = unet.to(device, memory_format=torch.channels_last).train()
    if device == "cpu":
        plain_attention(unet)
    rates = Rates(profile.steps, profile.rate, profile.warmup)
    groups = [(unet, 1.0), *([(tower, profile.texts)] if profile.texts else [])]
    optimizer = torch.optim.AdamW(
        [{"params": list(part.parameters()), "share": share} for part, share in groups],
        lr=profile.rate,
        betas=(0.9, 0.99),
        weight_decay=1e-2,
    )
    average, told = Averaged(unet, profile.average), Averaged(tower, profile.average)
    journal, kept, first = Journal(out / "unet.log.jsonl"), out / "checkpoint.pt", 0
    if resume and kept.exists():
        state = load_checkpoint(kept)
        unet.load_state_dict(state["unet"])
        optimizer.load_state_dict(state["optimizer"])
        average.shadow = {name: value.to(device) for name, value in state["average"].items()}
        if profile.texts:
            tower.load_state_dict(state["tower"])
            told.shadow = {name: value.to(device) for name, value in state["told"].items()}
        first = int(state["step"])
        journal.cut(first)
    else:
        journal.path.unlink(missing_ok=True)
    journal.write(date=today(), training="inpainting", **asdict(profile), **({"from_step": first} if first else {}))
    loss: Callable[..., Tensor] = torch.compile(loss_of, dynamic=False) if profile.compiled else loss_of

    def prepared(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        inputs = torch.cat([batch.noisy, batch.mask, batch.masked], dim=1)
        states = states_of(batch.tokens.to(device))
        inputs = inputs.to(device, memory_format=torch.channels_last)
        return inputs, batch.times.to(device), states, batch.unit.to(device), batch.weight.to(device)

    def one_step(step: int) -> dict[str, Tensor]:
        rng = step_seed(profile.seed, step)
        near_by = step < profile.first or step % profile.again == 0
        source, count = (closeups, 4 * profile.batch) if near_by else (latents, profile.batch)
        values = prepared(draw_batch(source, profile, empty, rng, count))
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * rates.at(step)
        error = loss(unet, *values, profile.coarse)
        optimizer.zero_grad(set_to_none=True)
        error.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        if profile.texts:
            torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
            told.update(step)
        optimizer.step()
        average.update(step)
        return {"loss": error, "loss_of_closeups" if near_by else "loss_of_scenes": error}

    checked = build("unet", profile.lean).to(device).eval()

    @torch.no_grad()
    def validated() -> float:
        """Mean loss of the averaged weights: the same examples, times and noise each time."""
        checked.load_state_dict(average.shadow)
        whole = replace(profile, unconditional=0.0, partial=0.0)
        errors = []
        for first in range(0, profile.checked, 32):
            batch = draw_batch(validation, whole, empty, step_seed(profile.seed, _CHECKS + first), 32)
            errors.append(loss_of(checked, *prepared(batch), profile.coarse))
        return float(torch.stack(errors).mean())

    def validate(step: int) -> None:
        journal.write(step=step, validation_loss=validated())

    def checkpoint(step: int) -> None:
        parts = {"unet": unet.state_dict(), "optimizer": optimizer.state_dict(), "average": average.shadow}
        save_checkpoint(kept, step, {**parts, "tower": tower.state_dict(), "told": told.shadow})

    done = run_steps(
        first, profile.steps, one_step, journal=journal, checkpoint=checkpoint, validate=validate,
        log_every=profile.log_every, validate_every=profile.validate_every, stop_at=stop_at,
    )  # fmt: skip
    if done < profile.steps:
        return None
    figure = validated()
    journal.write(step=done, validation_loss_of_export=figure)
    notes = {"date": today(), "seed": str(profile.seed), "steps": str(done), "loss": f"{figure:.4f}", **(notes or {})}
    if profile.texts:
        write_tensors(out / TEXT_FILE, {name: value.half() for name, value in told.shadow.items()}, notes)
    return save(checked, out / "unet.safetensors", "unet", notes)


def _text_half(clip: Any) -> nn.Module:
    """What learns of the text tower, under its own names: all but the tokens, and the projection, which is not used."""
    half = nn.Module()
    half.transformer, half.ln_final = clip.transformer, clip.ln_final
    half.positional_embedding = clip.positional_embedding
    return half


def _fitting(source: nn.Module, target: nn.Module) -> dict[str, Tensor]:
    """The tensors of ``source`` that ``target`` has as well."""
    wanted = target.state_dict()
    return {name: value for name, value in source.state_dict().items() if name in wanted}


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the pictures, encode them, train, export."""
    from grefine_core.clip.loading import load_clip

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--profile", choices=sorted(PROFILES), default="cpu")
    parser.add_argument("--clip", type=Path, help="clip.safetensors, with clip.json beside it")
    parser.add_argument("--vae", type=Path, required=True, help="vae.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, journal and checkpoint")
    parser.add_argument("--data", type=Path, help="folder for pictures and latents; default: OUT/data")
    parser.add_argument("--start", type=Path, help="unet.safetensors to go on from, its text tower as well")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings of the profile")
    parser.add_argument("--processes", type=int, default=1, help="that draw")
    parser.add_argument("--no-compile", action="store_true", help="where there is no compiler; about half as fast")
    parser.add_argument("--prepare", action="store_true", help="only draw and encode the pictures; needs no CLIP")
    options = parser.parse_args(arguments)
    if options.clip is None and not options.prepare:
        parser.error("--clip is needed, except with --prepare")
    keep_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    profile = PROFILES[options.profile]
    profile = changed(replace(profile, **FINE[options.profile]) if options.start else profile, options.set)
    profile = replace(profile, compiled=profile.compiled and not options.no_compile)
    data = options.data or options.out / "data"
    autoencoder = load(options.vae, "vae").to(profile.device)
    world = world_named(profile.world)
    given: dict[str, Any] = {"device": profile.device, "compiled": profile.compiled, "world": world}
    pictures = cached_pictures(data, profile.pictures, world=world, processes=options.processes)
    with compiled_in(data / "compiled"):
        latents = cached_latents(data, autoencoder, pictures, profile.views, **given)
        closeups = cached_closeups(data, autoencoder, profile.closeups, **given)
    given["compiled"] = False
    known = cached_pictures(data, 256, "validation", world=world)
    validation = cached_latents(data, autoencoder, known, 256, "validation", **given)
    if options.prepare:
        return
    clip, _ = load_clip(options.clip)
    with compiled_in(options.out / "compiled"):
        train(options.out, profile, latents, closeups, validation, clip, start=options.start, resume=options.resume)


if __name__ == "__main__":
    main()
