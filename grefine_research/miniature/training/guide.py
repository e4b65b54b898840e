"""Training of the guide and of the text tower: ``python -m grefine_research.miniature.training.guide --out DIR``.

First half of the miniature CLIP's training (see ``clip_guide`` for why there are two): pictures and captions only. A
short caption has to match some region of the pictures that it holds of better than any region of another, and better
than any other caption matches there. Which region is never told.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..worlds import SHIPPED, Name, world_named
from .clip_data import ClipData, draw_batch, load_data, make_data
from .clip_files import CONFIG, export, export_guide
from .clip_guide import Guide
from .clip_loss import contrastive, local_similarity, own_similarity, presence, right_word
from .clip_run import run
from .clip_towers import Towers
from .loop import Rates, changed, keep_memory

logger = logging.getLogger(__name__)

_HIGHEST_SCALE = math.log(100.0)


@dataclass(frozen=True)
class Profile:
    """How long and with what a training runs.

    Attributes:
        groups, closeups: of four pictures each, scenes and close-ups of one item.
        batch: scenes in a step, a multiple of four; of close-ups, a quarter in size, there are twice as many.
        first: steps at the beginning that see close-ups alone.
        again: of later steps, every so many-th sees close-ups.
        shorts: short captions of each picture in a step.
        steps: of optimisation.
        rate, warmup: highest learning rate, and steps up to it.
        decay: weight decay.
        seed: decides everything.
        validate_every: steps between two validations.
        device: "cpu" or "cuda".
        world: whose pictures.
    """

    groups: int = 16000
    closeups: int = 5000
    batch: int = 64
    first: int = 600
    again: int = 6
    shorts: int = 2
    steps: int = 2700
    rate: float = 2e-3
    warmup: int = 100
    decay: float = 0.05
    seed: int = 0
    validate_every: int = 600
    device: str = "cpu"
    world: Name = SHIPPED.name


PROFILES = {
    "cpu": Profile(),
    "gpu": Profile(groups=40000, closeups=20000, batch=512, steps=6000, warmup=300, validate_every=1500, device="cuda"),
}


class Trainer:
    """Guide and text tower, their optimiser, and one step after another.

    Args:
        profile: settings.
        data: scenes to train on.
        closeups: pictures of one item each, with the same numbers of tokens.
        config: open_clip configuration of the model whose text tower is trained.
    """

    def __init__(
        self, profile: Profile, data: ClipData, closeups: ClipData, config: dict[str, Any] | None = None
    ) -> None:
        from open_clip.model import CLIP

        self.profile = profile
        self.data = data
        self.closeups = closeups
        self.config = CONFIG if config is None else config
        torch.manual_seed(profile.seed)
        self.clip: Any = CLIP(**self.config).to(profile.device)
        self.guide = Guide(self.config["embed_dim"]).to(profile.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        rows: Tensor = self.clip.token_embedding.weight.detach()
        # The optimiser sees the tokens in use alone: the other rows of the matrix stay as they were drawn.
        self.tokens = nn.Parameter(rows[data.vocabulary].clone())
        self.strange = rows[data.strange].clone()
        named = [
            (name, value)
            for name, value in self.clip.named_parameters()
            if not name.startswith(("visual.", "token_embedding."))
        ]
        named += [(f"guide.{name}", value) for name, value in self.guide.named_parameters()]
        flat = ("bias", "embedding", "logit_scale")
        decayed = [value for name, value in named if value.ndim > 1 and not name.endswith(flat)]
        others = [value for name, value in named if value.ndim < 2 or name.endswith(flat)]
        others.append(self.tokens)
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": profile.decay}, {"params": others, "weight_decay": 0.0}],
            lr=profile.rate,
            betas=(0.9, 0.98),
            eps=1e-6,
            fused=True,
        )
        self.parameters = [*decayed, *others]
        self.rates = Rates(profile.steps, profile.rate, profile.warmup)
        self.done = 0

    def step(self, step: int) -> dict[str, Tensor]:
        """Do step ``step``; its losses and figures."""
        profile = self.profile
        near_by = step < profile.first or step % profile.again == 0
        data, size = (self.closeups, 2 * profile.batch) if near_by else (self.data, profile.batch)
        batch = draw_batch(data, step, size, profile.seed, profile.shorts)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rates.at(step)
        device = profile.device
        towers = Towers(self.clip, torch.cat([self.tokens, self.strange]))
        whole, local = self.guide(batch.pixels.to(device))
        full = towers.texts(batch.full.to(device), batch.full_ends.to(device))
        short = towers.texts(batch.short.to(device), batch.short_ends.to(device))
        same, holds, unsure = batch.same.to(device), batch.holds.to(device), batch.unsure.to(device)
        scale = self.clip.logit_scale.exp()
        logits = scale * whole @ full.T
        near = local_similarity(local, short)
        figures = {
            "full": contrastive(logits, same),
            "short": contrastive(scale * whole @ short.T, holds, unsure),
            "local": contrastive(scale * near, holds, unsure),
            "presence": presence(self.guide.sharpness.exp() * near + self.guide.bias, holds, unsure),
        }
        asked = towers.texts(batch.asked.flatten(0, 1).to(device), batch.asked_ends.flatten().to(device))
        asked, wrong = asked.unflatten(0, batch.wrong.shape), batch.wrong.to(device)
        figures["word"] = right_word(scale * own_similarity(local, asked), wrong)
        figures["whole_word"] = right_word(scale * (asked @ whole[..., None])[..., 0], wrong)
        loss = figures["full"] + figures["short"] + figures["local"] + 2.0 * figures["presence"]
        loss = loss + 2.0 * figures["word"] + figures["whole_word"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        figures["norm"] = nn.utils.clip_grad_norm_(self.parameters, 2.0)
        self.optimiser.step()
        with torch.no_grad():
            self.clip.logit_scale.clamp_(0.0, _HIGHEST_SCALE)
            right = same.gather(1, logits.argmax(1, keepdim=True)).float().mean()
        self.done = step + 1
        figures |= {"loss": loss, "top1": right, "scale": scale, "mentions": torch.tensor(batch.mentions)}
        return {name: value.detach() for name, value in figures.items()}

    def model(self) -> nn.Module:
        """The model with its tokens in place; its image tower is not trained."""
        with torch.no_grad():
            self.clip.token_embedding.weight[self.data.vocabulary.to(self.tokens.device)] = self.tokens
        return self.clip

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "clip": self.model().state_dict(),
            "guide": self.guide.state_dict(),
            "tokens": self.tokens.detach(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.clip.load_state_dict(state["clip"])
        self.guide.load_state_dict(state["guide"])
        with torch.no_grad():
            self.tokens.copy_(state["tokens"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = int(state["step"])


def train(
    profile: Profile,
    data: ClipData,
    closeups: ClipData,
    out: str | Path,
    *,
    config: dict[str, Any] | None = None,
    resume: bool = False,
    stop_at: int | None = None,
    evaluate: bool = True,
) -> Path:
    """Train, or go on with a training; returns the exported ``guide.safetensors``.

    Args:
        profile: settings.
        data: scenes to train on.
        closeups: pictures of one item each, with the same numbers of tokens.
        out: folder for ``checkpoint.pt``, ``log.jsonl``, the guide, and ``clip.safetensors`` with the text tower.
        config: open_clip configuration; None for the miniature's.
        resume: go on from the checkpoint in ``out``, if there is one.
        stop_at: leave off after so many steps, with a checkpoint.
        evaluate: whether to measure maps on validation scenes now and then.
    """
    trainer = Trainer(profile, data, closeups, config)

    def validate(_: int) -> dict[str, float]:
        from .clip_evaluation import evaluate_guide, validation_samples

        trainer.guide.eval()
        samples = validation_samples(world=world_named(profile.world))
        figures = evaluate_guide(trainer.guide, trainer.model(), samples)
        trainer.guide.train()
        return figures

    logged = {"tokens": len(data.vocabulary), **asdict(profile)}
    note = run(trainer, Path(out), logged, validate if evaluate else None, resume=resume, stop_at=stop_at)
    export(trainer.model(), trainer.config, out, note)
    return export_guide(trainer.guide, out, note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the guide and the text tower of the miniature CLIP.")
    parser.add_argument("--profile", choices=tuple(PROFILES), default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and models")
    parser.add_argument("--data", type=Path, help="folder for the drawn pictures; the default is beside --out")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--processes", type=int, default=2, help="that draw")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings of the profile")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    keep_memory()
    profile = changed(PROFILES[options.profile], options.set)
    folder = options.data or options.out.parent / "data" / "clip"
    world = world_named(profile.world)
    scenes, near = (
        make_data(folder, groups, 0, options.processes, closeups=closeups, world=world)
        for groups, closeups in ((profile.groups, False), (profile.closeups, True))
    )
    data, closeups = load_data(scenes, near, world=world)
    file = train(profile, data, closeups, options.out, resume=options.resume)
    logger.info("written: %s", file)


if __name__ == "__main__":
    main()
