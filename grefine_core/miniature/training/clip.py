"""Training of the miniature CLIP on pictures and captions: ``python -m grefine_core.miniature.training.clip``.

The model is open_clip's in everything; it sees pictures and captions only. Most steps look at a quarter, then at half
of the patches, the last ones at all of them. Besides the usual loss of picture and caption, once for full and once for
short captions, the patch features of V-V attention learn from the short captions as well: a caption has to match some
region of the pictures that it holds of better than any region of another. Which region is never told.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...models.files import read_tensors
from .clip_data import ClipData, draw_batch, load_data, make_data
from .clip_files import CONFIG, export
from .clip_loss import contrastive, local_similarity
from .clip_towers import Towers, choose_patches
from .loop import Journal, Rates, load_checkpoint, run_steps, save_checkpoint, today

logger = logging.getLogger(__name__)

_HIGHEST_SCALE = math.log(100.0)


@dataclass(frozen=True)
class Profile:
    """How long and with what a training runs.

    Attributes:
        groups: of four pictures each.
        batch: pictures in a step, a multiple of four.
        phases: (steps, patches of every 2×2 block that they look at).
        rate: highest learning rate.
        warmup: steps up to it.
        decay: weight decay.
        short, local: weights of the losses of short captions and of regions, beside 1 for full captions.
        blocks: last blocks with V-V attention.
        seed: decides everything.
        frozen_text: leave the text tower as it is, for a model that goes on from another with ``start``.
        validate_every: steps between two validations.
        device: "cpu" or "cuda".
    """

    groups: int = 16000
    batch: int = 128
    phases: tuple[tuple[int, int], ...] = ((1500, 1), (450, 2), (50, 4))
    rate: float = 1e-3
    warmup: int = 150
    decay: float = 0.1
    short: float = 1.0
    local: float = 1.0
    blocks: int = 6
    seed: int = 0
    frozen_text: bool = False
    validate_every: int = 250
    device: str = "cpu"

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(steps for steps, _ in self.phases)

    def share(self, step: int) -> int:
        """Patches of every 2×2 block that step ``step`` looks at."""
        for steps, share in self.phases:
            if step < steps:
                return share
            step -= steps
        return self.phases[-1][1]


PROFILES = {
    "cpu": Profile(),
    "gpu": Profile(
        groups=40000,
        batch=512,
        phases=((6000, 2), (2000, 4)),
        warmup=300,
        validate_every=1000,
        device="cuda",
    ),
}


class Trainer:
    """The model, its optimiser, and one step after another.

    Args:
        profile: settings.
        data: what to train on.
        config: open_clip configuration of the model.
        start: weights to begin with; None for new ones.
    """

    def __init__(
        self,
        profile: Profile,
        data: ClipData,
        config: dict[str, Any] | None = None,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        from open_clip.model import CLIP

        self.profile = profile
        self.data = data
        self.config = CONFIG if config is None else config
        torch.manual_seed(profile.seed)
        self.clip: Any = CLIP(**self.config).to(profile.device)
        if start is not None:
            self.clip.load_state_dict({name: value.float() for name, value in start.items()})
        rows: Tensor = self.clip.token_embedding.weight.detach()
        # The optimiser sees the tokens in use alone: the other rows of the matrix stay as they were drawn.
        self.tokens = nn.Parameter(rows[data.vocabulary].clone())
        self.strange = rows[data.strange].clone()
        self.clip.token_embedding.weight.requires_grad_(False)
        if profile.frozen_text:
            self.tokens.requires_grad_(False)
            for name, value in self.clip.named_parameters():
                value.requires_grad_(name.startswith("visual.") or name == "logit_scale")
        named = [(name, value) for name, value in self.clip.named_parameters() if value.requires_grad]
        flat = ("bias", "embedding", "logit_scale")
        decayed = [value for name, value in named if value.ndim > 1 and not name.endswith(flat)]
        others = [value for name, value in named if value.ndim < 2 or name.endswith(flat)]
        others += [self.tokens] if self.tokens.requires_grad else []
        self.optimiser = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": profile.decay},
                {"params": others, "weight_decay": 0.0},
            ],
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
        for group in self.optimiser.param_groups:
            group["lr"] = self.rates.at(step)
        batch = draw_batch(self.data, step, profile.batch, profile.seed)
        generator = torch.Generator().manual_seed(profile.seed * 1_000_003 + step)
        side = self.clip.visual.grid_size[0]
        chosen = choose_patches(profile.batch, side, profile.share(step), generator)
        device = profile.device
        towers = Towers(self.clip, torch.cat([self.tokens, self.strange]))
        whole, local = towers.pictures(
            batch.pixels.to(device), chosen.to(device), profile.blocks if profile.local else 0
        )
        full = towers.texts(batch.full.to(device), batch.full_ends.to(device))
        short = towers.texts(batch.short.to(device), batch.short_ends.to(device))
        scale = self.clip.logit_scale.exp()
        same, holds, unsure = batch.same.to(device), batch.holds.to(device), batch.unsure.to(device)
        logits = scale * whole @ full.T
        figures = {
            "full": contrastive(logits, same),
            "short": contrastive(scale * whole @ short.T, holds, unsure),
        }
        loss = figures["full"] + profile.short * figures["short"]
        if local is not None:
            figures["local"] = contrastive(scale * local_similarity(local, short), holds, unsure)
            loss = loss + profile.local * figures["local"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        figures["norm"] = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        with torch.no_grad():
            self.clip.logit_scale.clamp_(0.0, _HIGHEST_SCALE)
            right = same.gather(1, logits.argmax(1, keepdim=True)).float().mean()
        self.done = step + 1
        figures |= {"loss": loss, "top1": right, "scale": scale, "mentions": torch.tensor(batch.mentions)}
        return {name: value.detach() for name, value in figures.items()}

    def model(self) -> nn.Module:
        """The model with its tokens in place, in evaluation mode; still the one that is trained."""
        with torch.no_grad():
            self.clip.token_embedding.weight[self.data.vocabulary.to(self.tokens.device)] = self.tokens
        return self.clip

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "clip": self.model().state_dict(),
            "tokens": self.tokens.detach(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.clip.load_state_dict(state["clip"])
        with torch.no_grad():
            self.tokens.copy_(state["tokens"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = int(state["step"])


def train(
    profile: Profile,
    data: ClipData,
    out: str | Path,
    *,
    config: dict[str, Any] | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    stop_at: int | None = None,
    evaluate: bool = True,
) -> Path:
    """Train, or go on with a training; returns the exported ``clip.safetensors``.

    Args:
        profile: settings.
        data: what to train on.
        out: folder for ``checkpoint.pt``, ``log.jsonl`` and the exported model.
        config: open_clip configuration; None for the miniature's.
        start: file of weights to begin with, with a schedule of their own; None for new ones.
        resume: go on from the checkpoint in ``out``, if there is one.
        stop_at: leave off after so many steps, with a checkpoint.
        evaluate: whether to measure maps on validation scenes now and then.
    """
    out = Path(out)
    journal = Journal(out / "log.jsonl")
    trainer = Trainer(profile, data, config, None if start is None else read_tensors(Path(start)))
    checkpoint = out / "checkpoint.pt"
    if resume and checkpoint.exists():
        trainer.load(load_checkpoint(checkpoint))
        journal.cut(trainer.done)
    elif journal.path.exists():
        journal.path.unlink()
    journal.write(
        event="start",
        step=trainer.done,
        date=today(),
        tokens=len(data.vocabulary),
        start=start and str(start),
        **asdict(profile),
    )

    def keep(step: int) -> None:
        save_checkpoint(checkpoint, step, trainer.state())

    def validate(step: int) -> None:
        from .clip_evaluation import evaluate_maps, validation_samples

        clip = trainer.model().eval()
        journal.write(event="validation", step=step, **evaluate_maps(clip, validation_samples()))
        clip.train()
        export(clip, trainer.config, out, {"seed": str(profile.seed), "steps": str(step), "date": today()})

    run_steps(
        trainer.done,
        profile.steps,
        trainer.step,
        journal=journal,
        checkpoint=keep,
        validate=validate if evaluate else None,
        validate_every=profile.validate_every,
        stop_at=stop_at,
    )
    note = {"seed": str(profile.seed), "steps": str(trainer.done), "date": today()}
    return export(trainer.model(), trainer.config, out, note)


def _phases(text: str) -> tuple[tuple[int, int], ...]:
    """From "1500:1,450:2": steps and the patches of every block that they look at."""
    pairs = (part.split(":") for part in text.split(","))
    return tuple((int(steps), int(share)) for steps, share in pairs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the miniature CLIP.")
    parser.add_argument("--profile", choices=tuple(PROFILES), default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and model")
    parser.add_argument("--data", type=Path, help="folder for the drawn pictures; the default is beside --out")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--start", type=Path, help="weights to begin with, instead of new ones")
    parser.add_argument("--freeze-text", action="store_true", help="train the image tower alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--groups", type=int, help="groups of four pictures, instead of the profile's number")
    parser.add_argument("--processes", type=int, default=2, help="that draw")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER", help="other settings of the profile")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    changes: dict[str, Any] = {"seed": options.seed, "frozen_text": options.freeze_text}
    for setting in options.set:
        name, _, value = setting.partition("=")
        changes[name] = _phases(value) if name == "phases" else type(getattr(PROFILES["cpu"], name))(value)
    if options.groups:
        changes["groups"] = options.groups
    profile = replace(PROFILES[options.profile], **changes)
    folder = make_data(options.data or options.out.parent / "data" / "clip", profile.groups, 0, options.processes)
    file = train(profile, load_data(folder), options.out, start=options.start, resume=options.resume)
    logger.info("written: %s", file)


if __name__ == "__main__":
    main()
