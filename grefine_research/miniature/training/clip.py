"""Training of the miniature CLIP: ``python -m grefine_research.miniature.training.clip --guide DIR --out DIR``.

The model is open_clip's in everything; it sees pictures and captions only. Its text tower comes from the guide's
training and stays as it is. The image tower learns the usual loss of picture and caption, once for full and once for
short captions, and what the guide, which saw captions only as well, makes of the whole picture and of every patch; the
patches are those of V-V attention, of which the maps are made.

With ``--start`` a whole model goes on learning, such as the one of another world, the text tower with it (``FINE``).
Its own patches then learn from captions as the guide's did, words exchanged among them, and where there is no guide,
what the model made of the patches at the start stands in for it.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grefine_core.errors import InputError
from grefine_core.models.files import read_tensors

from ...training.precision import quick_type
from ..worlds import SHIPPED, Name, world_named
from .clip_data import ClipData, draw_batch, load_data, make_data
from .clip_files import export, load_guide
from .clip_guide import PATCH
from .clip_imitation import answer_distance, patch_distance
from .clip_loss import contrastive, local_similarity, own_similarity, presence, right_word
from .clip_run import run
from .clip_towers import Towers, all_but_one
from .loop import Rates, changed, keep_memory

logger = logging.getLogger(__name__)

_HIGHEST_SCALE = math.log(100.0)
_OWN = ("sharpness", "bias")  # of the trainer, beside the model's parameters


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
        texts: whether the text tower learns; its tokens stay as they are.
        local, presence, word, whole_word: weights of what the model's own patches learn from captions, see ``guide``.
        world: whose pictures.
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
    texts: bool = False
    local: float = 0.0
    presence: float = 0.0
    word: float = 0.0
    whole_word: float = 0.0
    world: Name = SHIPPED.name


#: On from a whole model, in another world.
_FINE: dict[str, Any] = {
    **{"rate": 4e-4, "warmup": 50, "validate_every": 300, "texts": True},
    **{"captions": 1.0, "local": 1.0, "presence": 2.0, "word": 1.0, "whole_word": 0.5},
    **{"patches": 2.0, "answers": 0.2, "whole": 1.0},
}
FINE: dict[str, dict[str, Any]] = {
    "cpu": {**_FINE, "groups": 3000, "steps": 1200},
    "gpu": {**_FINE, "groups": 4000, "steps": 1500, "batch": 128, "rate": 8e-4, "validate_every": 500},
}
PROFILES = {
    "cpu": Profile(),
    "gpu": Profile(groups=40000, batch=256, steps=12000, warmup=300, validate_every=3000, device="cuda"),
}


class Trainer:
    """The model, its optimisers, and one step after another.

    Args:
        profile: settings.
        data: what to train on.
        guide: folder of the guide's training, with the text tower in ``clip.safetensors`` and ``clip.json``; None lets
            the model stand in for it as it is at the start.
        start: folder of a whole model to go on from; None for a new image tower.

    Raises:
        InputError: neither, or a guide of other patches.
    """

    def __init__(self, profile: Profile, data: ClipData, guide: Path | None, start: Path | None = None) -> None:
        from open_clip.model import CLIP

        self.profile = profile
        self.data = data
        source = guide or start
        if source is None:
            raise InputError("clip: a guide or a model to start from is needed.")
        self.config: dict[str, Any] = json.loads((source / "clip.json").read_text(encoding="utf-8"))
        torch.manual_seed(profile.seed)
        clip: Any = CLIP(**self.config)
        fresh = {f"visual.{name}": value for name, value in clip.visual.state_dict().items()}
        if start is not None:
            fresh = {name: value.float() for name, value in _read(start).items() if name in fresh}
        clip.load_state_dict({**{name: value.float() for name, value in _read(source).items()}, **fresh})
        self.clip = clip.to(profile.device)
        rows = torch.cat([data.vocabulary, data.strange]).to(profile.device)
        tokens = self.clip.token_embedding.weight.detach()[rows]
        self.guide: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = (
            _Itself(self.clip, tokens, profile.blocks) if guide is None else self._guide(guide)
        )
        # The painter's own text tower shares them, and rows that no caption has could not learn anyway.
        self.tokens = tokens
        # Of the question whether a caption holds of a picture, as the guide has them.
        self.sharpness = nn.Parameter(torch.tensor(2.7, device=profile.device), requires_grad=profile.presence > 0)
        self.bias = nn.Parameter(torch.tensor(-5.0, device=profile.device), requires_grad=profile.presence > 0)
        for name, value in self.clip.named_parameters():
            learns = name.startswith("visual.") or name == "logit_scale" or profile.texts
            value.requires_grad_(learns and name != "token_embedding.weight")
        named = [(name, value) for name, value in self.clip.named_parameters() if value.requires_grad]
        matrices = [value for name, value in named if ".resblocks." in name and value.ndim == 2]
        others = [value for name, value in named if not (".resblocks." in name and value.ndim == 2)]
        others += [value for value in (self.sharpness, self.bias) if value.requires_grad]
        self.parameters = [*matrices, *others]
        # Muon is made for the matrices within blocks, AdamW takes the rest. Torch's Muon reckons in bfloat16 whatever
        # it is given; where that is slow it would cost more than the passes, and AdamW takes all.
        adam = partial(torch.optim.AdamW, lr=profile.rate, betas=(0.9, 0.98), eps=1e-6, fused=True)
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, profile.rate, profile.decay, adjust_lr_fn="match_rms_adamw")
            if quick_type(profile.device) is torch.bfloat16
            else adam(matrices, weight_decay=profile.decay),
            adam(others, weight_decay=0.0),
        ]
        self.rates = Rates(profile.steps, profile.rate, profile.warmup)
        self.done = 0

    def _guide(self, folder: Path) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        patch = self.config["vision_cfg"]["patch_size"]
        if patch != PATCH:
            raise InputError(f"{folder / 'clip.json'}: the guide sees patches of {PATCH} pixels, the model of {patch}.")
        guide = load_guide(folder / "guide.safetensors", self.config["embed_dim"]).to(self.profile.device)

        def look(pixels: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
            whole, local = guide(pixels)
            return whole, local.gather(1, chosen[..., None].expand(-1, -1, local.shape[-1]))

        return look

    def step(self, step: int) -> dict[str, Tensor]:
        """Do step ``step``; its losses and figures."""
        profile, device = self.profile, self.profile.device
        asked = profile.word > 0 or profile.whole_word > 0
        batch = draw_batch(self.data, step, profile.batch, profile.seed, profile.shorts, questions=asked)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.rates.at(step)
        generator = torch.Generator().manual_seed(profile.seed * 1_000_003 + step)
        chosen = all_but_one(profile.batch, math.prod(self.clip.visual.grid_size), generator).to(device)
        pixels = batch.pixels.to(device)
        towers = Towers(self.clip, self.tokens)
        with torch.no_grad():
            guide_whole, guide_local = self.guide(pixels, chosen)
        with torch.set_grad_enabled(profile.texts):
            full = towers.texts(batch.full.to(device), batch.full_ends.to(device))
            short = towers.texts(batch.short.to(device), batch.short_ends.to(device))
        whole, local = towers.pictures(pixels, chosen, profile.blocks)
        assert local is not None
        scale = self.clip.logit_scale.exp()
        logits = scale * whole @ full.T
        same, holds, unsure = batch.same.to(device), batch.holds.to(device), batch.unsure.to(device)
        figures = {
            "full": contrastive(logits, same),
            "short": contrastive(scale * whole @ short.T, holds, unsure),
            "patches": patch_distance(local, guide_local),
            "answers": answer_distance(local, guide_local, short.detach()),
            "whole": (1 - (whole * guide_whole).sum(-1)).mean(),
        }
        if profile.local or profile.presence:
            near = local_similarity(local, short)
            figures["local"] = contrastive(scale * near, holds, unsure)
            figures["presence"] = presence(self.sharpness.exp() * near + self.bias, holds, unsure)
        if asked:
            texts = towers.texts(batch.asked.flatten(0, 1).to(device), batch.asked_ends.flatten().to(device))
            texts, wrong = texts.unflatten(0, batch.wrong.shape), batch.wrong.to(device)
            figures["word"] = right_word(scale * own_similarity(local, texts), wrong)
            figures["whole_word"] = right_word(scale * (texts @ whole[..., None])[..., 0], wrong)
        loss = profile.captions * (figures["full"] + figures["short"])
        for name in ("patches", "answers", "whole", "local", "presence", "word", "whole_word"):
            if name in figures:
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
        own = {name: getattr(self, name).detach() for name in _OWN}
        return {"clip": self.clip.state_dict(), "optimisers": [each.state_dict() for each in self.optimisers], **own}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.clip.load_state_dict(state["clip"])
        with torch.no_grad():
            for name in _OWN:
                getattr(self, name).copy_(state[name])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self.done = int(state["step"])


class _Itself:
    """A model as it was at the start, as a guide: what it knew of patches is not to be lost."""

    def __init__(self, clip: nn.Module, tokens: Tensor, blocks: int) -> None:
        self.towers = Towers(copy.deepcopy(clip).requires_grad_(False), tokens)
        self.blocks = blocks

    def __call__(self, pixels: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        whole, local = self.towers.pictures(pixels, chosen, self.blocks)
        assert local is not None
        return whole, local


def _read(folder: Path) -> dict[str, Tensor]:
    return read_tensors(folder / "clip.safetensors")


def train(
    profile: Profile,
    data: ClipData,
    guide: str | Path | None,
    out: str | Path,
    *,
    start: str | Path | None = None,
    resume: bool = False,
    stop_at: int | None = None,
    evaluate: bool = True,
) -> Path:
    """Train, or go on with a training; returns the exported ``clip.safetensors``.

    Args:
        profile: settings.
        data: what to train on.
        guide: folder of the guide's training; None for none.
        start: folder of a whole model to go on from; None for a new image tower.
        out: folder for ``checkpoint.pt``, ``log.jsonl`` and the exported model.
        resume: go on from the checkpoint in ``out``, if there is one.
        stop_at: leave off after so many steps, with a checkpoint.
        evaluate: whether to measure maps on validation scenes now and then.
    """
    trainer = Trainer(profile, data, Path(guide) if guide else None, Path(start) if start else None)

    def validate(_: int) -> dict[str, float]:
        from .clip_evaluation import evaluate_maps, validation_samples

        samples = validation_samples(world=world_named(profile.world))
        figures = evaluate_maps(trainer.clip.eval(), samples)
        trainer.clip.train()
        return figures

    logged = {"tokens": len(data.vocabulary), **asdict(profile)}
    note = run(trainer, Path(out), logged, validate if evaluate else None, resume=resume, stop_at=stop_at)
    return export(trainer.clip, trainer.config, out, note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the miniature CLIP.")
    parser.add_argument("--profile", choices=tuple(PROFILES), default="cpu")
    parser.add_argument("--guide", type=Path, help="folder of the guide's training")
    parser.add_argument("--start", type=Path, help="folder of a whole model to go on from, its text tower as well")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and model")
    parser.add_argument("--data", type=Path, help="folder for the drawn pictures; the default is beside --out")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--processes", type=int, default=2, help="that draw")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings of the profile")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    keep_memory()
    if options.guide is None and options.start is None:
        parser.error("--guide or --start is needed")
    profile = PROFILES[options.profile]
    profile = changed(replace(profile, **FINE[options.profile]) if options.start else profile, options.set)
    folder = options.data or options.out.parent / "data" / "clip"
    world = world_named(profile.world)
    (data,) = load_data(make_data(folder, profile.groups, 0, options.processes, world=world), world=world)
    file = train(profile, data, options.guide, options.out, start=options.start, resume=options.resume)
    logger.info("written: %s", file)


if __name__ == "__main__":
    main()
