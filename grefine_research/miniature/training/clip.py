"""Training of the miniature CLIP: ``python -m grefine_research.miniature.training.clip --guide DIR --out DIR``.

The model is open_clip's in everything; it sees pictures and captions only. Its text tower comes from the guide's
training and stays as it is. The image tower learns the usual loss of picture and caption, once for full and once for
short captions, and what the guide, which saw captions only as well, makes of the whole picture and of every patch; the
patches are those of V-V attention, of which the maps are made.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grefine_core.errors import InputError
from grefine_core.models.files import read_tensors

from .clip_data import ClipData, draw_batch, load_data, make_data
from .clip_files import export, load_guide
from .clip_guide import PATCH, Guide
from .clip_imitation import answer_distance, patch_distance
from .clip_loss import contrastive
from .clip_run import run
from .clip_towers import Towers, all_but_one
from .loop import Rates, changed, keep_memory

logger = logging.getLogger(__name__)

_HIGHEST_SCALE = math.log(100.0)


@dataclass(frozen=True)
class Profile:
    """How long and with what a training runs.

    Attributes:
        groups: of four pictures each.
        batch: pictures in a step, a multiple of four.
        shorts: short captions of each picture in a step.
        steps: of optimisation.
        rate, warmup: highest learning rate, and steps up to it.
        decay: weight decay.
        patches, answers, whole: weights of what is learned from the guide, beside 1 for captions.
        captions: weight of the losses of captions.
        blocks: last blocks with V-V attention.
        seed: decides everything.
        validate_every: steps between two validations.
        device: "cpu" or "cuda".
    """

    groups: int = 16000
    batch: int = 32
    shorts: int = 2
    steps: int = 3300
    rate: float = 2e-3
    warmup: int = 100
    decay: float = 0.05
    patches: float = 10.0
    answers: float = 1.0
    whole: float = 5.0
    captions: float = 0.5
    blocks: int = 6
    seed: int = 0
    validate_every: int = 550
    device: str = "cpu"


PROFILES = {
    "cpu": Profile(),
    "gpu": Profile(groups=40000, batch=256, steps=12000, warmup=300, validate_every=3000, device="cuda"),
}


class Trainer:
    """The model, its optimisers, and one step after another.

    Args:
        profile: settings.
        data: what to train on.
        start: folder of the guide's training, with the text tower in ``clip.safetensors`` and ``clip.json``.
    """

    def __init__(self, profile: Profile, data: ClipData, start: Path) -> None:
        from open_clip.model import CLIP

        self.profile = profile
        self.data = data
        self.config: dict[str, Any] = json.loads((start / "clip.json").read_text(encoding="utf-8"))
        torch.manual_seed(profile.seed)
        clip: Any = CLIP(**self.config)
        given = {name: value.float() for name, value in read_tensors(start / "clip.safetensors").items()}
        clip.load_state_dict({**given, **{f"visual.{name}": v for name, v in clip.visual.state_dict().items()}})
        self.clip = clip.to(profile.device)
        patch = self.config["vision_cfg"]["patch_size"]
        if patch != PATCH:
            raise InputError(f"{start / 'clip.json'}: the guide sees patches of {PATCH} pixels, the model of {patch}.")
        self.guide: Guide = load_guide(start / "guide.safetensors", self.config["embed_dim"]).to(profile.device)
        for name, value in self.clip.named_parameters():
            value.requires_grad_(name.startswith("visual.") or name == "logit_scale")
        rows = torch.cat([data.vocabulary, data.strange]).to(profile.device)
        self.tokens = self.clip.token_embedding.weight.detach()[rows]
        named = [(name, value) for name, value in self.clip.named_parameters() if value.requires_grad]
        matrices = [value for name, value in named if ".resblocks." in name and value.ndim == 2]
        others = [value for name, value in named if not (".resblocks." in name and value.ndim == 2)]
        self.parameters = [*matrices, *others]
        # Muon is made for the matrices within blocks, AdamW takes the rest.
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, profile.rate, profile.decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, profile.rate, (0.9, 0.98), 1e-6, weight_decay=0.0, fused=True),
        ]
        self.rates = Rates(profile.steps, profile.rate, profile.warmup)
        self.done = 0

    def step(self, step: int) -> dict[str, Tensor]:
        """Do step ``step``; its losses and figures."""
        profile, device = self.profile, self.profile.device
        batch = draw_batch(self.data, step, profile.batch, profile.seed, profile.shorts, questions=False)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.rates.at(step)
        generator = torch.Generator().manual_seed(profile.seed * 1_000_003 + step)
        chosen = all_but_one(profile.batch, math.prod(self.clip.visual.grid_size), generator).to(device)
        pixels = batch.pixels.to(device)
        towers = Towers(self.clip, self.tokens)
        with torch.no_grad():
            guide_whole, guide_local = self.guide(pixels)
            guide_local = guide_local.gather(1, chosen[..., None].expand(-1, -1, guide_local.shape[-1]))
            full = towers.texts(batch.full.to(device), batch.full_ends.to(device))
            short = towers.texts(batch.short.to(device), batch.short_ends.to(device))
        whole, local = towers.pictures(pixels, chosen, profile.blocks)
        assert local is not None
        scale = self.clip.logit_scale.exp()
        logits = scale * whole @ full.T
        same = batch.same.to(device)
        figures = {
            "full": contrastive(logits, same),
            "short": contrastive(scale * whole @ short.T, batch.holds.to(device), batch.unsure.to(device)),
            "patches": patch_distance(local, guide_local),
            "answers": answer_distance(local, guide_local, short),
            "whole": (1 - (whole * guide_whole).sum(-1)).mean(),
        }
        loss = profile.captions * (figures["full"] + figures["short"])
        for name in ("patches", "answers", "whole"):
            loss = loss + getattr(profile, name) * figures[name]
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        figures["norm"] = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        with torch.no_grad():
            self.clip.logit_scale.clamp_(0.0, _HIGHEST_SCALE)
            right = same.gather(1, logits.argmax(1, keepdim=True)).float().mean()
        self.done = step + 1
        figures |= {"loss": loss, "top1": right, "scale": scale, "mentions": torch.tensor(batch.mentions)}
        return {name: value.detach() for name, value in figures.items()}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"clip": self.clip.state_dict(), "optimisers": [each.state_dict() for each in self.optimisers]}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.clip.load_state_dict(state["clip"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self.done = int(state["step"])


def train(
    profile: Profile,
    data: ClipData,
    guide: str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    stop_at: int | None = None,
    evaluate: bool = True,
) -> Path:
    """Train, or go on with a training; returns the exported ``clip.safetensors``.

    Args:
        profile: settings.
        data: what to train on.
        guide: folder of the guide's training.
        out: folder for ``checkpoint.pt``, ``log.jsonl`` and the exported model.
        resume: go on from the checkpoint in ``out``, if there is one.
        stop_at: leave off after so many steps, with a checkpoint.
        evaluate: whether to measure maps on validation scenes now and then.
    """
    trainer = Trainer(profile, data, Path(guide))

    def validate(_: int) -> dict[str, float]:
        from .clip_evaluation import evaluate_maps, validation_samples

        figures = evaluate_maps(trainer.clip.eval(), validation_samples())
        trainer.clip.train()
        return figures

    logged = {"tokens": len(data.vocabulary), **asdict(profile)}
    note = run(trainer, Path(out), logged, validate if evaluate else None, resume=resume, stop_at=stop_at)
    return export(trainer.clip, trainer.config, out, note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the miniature CLIP.")
    parser.add_argument("--profile", choices=tuple(PROFILES), default="cpu")
    parser.add_argument("--guide", type=Path, required=True, help="folder of the guide's training")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and model")
    parser.add_argument("--data", type=Path, help="folder for the drawn pictures; the default is beside --out")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--processes", type=int, default=2, help="that draw")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings of the profile")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    keep_memory()
    profile = changed(PROFILES[options.profile], options.set)
    folder = make_data(options.data or options.out.parent / "data" / "clip", profile.groups, 0, options.processes)
    (data,) = load_data(folder)
    file = train(profile, data, options.guide, options.out, resume=options.resume)
    logger.info("written: %s", file)


if __name__ == "__main__":
    main()
