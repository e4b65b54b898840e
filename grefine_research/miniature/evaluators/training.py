"""Training of the judges: ``python -m grefine_research.miniature.evaluators.training --profile cpu --out DIR``.

Both learn from scenes of the training split, with masks and places (see the package). A run that was ended goes on
where it wrote its last checkpoint and gives the same weights as one that was not. Afterwards both are measured on
validation scenes, whose combinations of attributes no training scene shows.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from grefine_core.errors import InputError
from grefine_core.files import write_text, written_whole

from ...training.precision import quick
from ..worlds import SHIPPED, WORLDS, World, world_named
from .contents import NO_KIND, ContentsEvaluator
from .examples import IGNORE, LABELS, ExampleSet
from .figures import contents_figures, severity_figures
from .loading import CARD, FILES, load_evaluators, save_network
from .severity import SeverityEvaluator

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Profile:
    """How long and on how much is trained.

    Attributes:
        examples: training pictures.
        steps: of each judge.
        batch: pictures in a step.
        rate: the highest learning rate.
        checked: validation pictures for the figures.
        every: steps between checkpoints.
    """

    examples: int
    steps: int
    batch: int
    rate: float = 2e-3
    checked: int = 1500
    every: int = 250


PROFILES = {
    "tiny": Profile(examples=48, steps=4, batch=8, checked=24, every=2),
    "cpu": Profile(examples=10_000, steps=1_000, batch=48, checked=800),
    "gpu": Profile(examples=60_000, steps=20_000, batch=128),
}
"""tiny: for tests; cpu: some six minutes each on one core with bfloat16 units; gpu: minutes."""
NETWORKS: dict[str, Callable[[], nn.Module]] = {"severity": SeverityEvaluator, "contents": ContentsEvaluator}


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="cpu")
    parser.add_argument("--out", required=True, metavar="DIR", help="for weights, log and figures")
    parser.add_argument("--judge", choices=sorted(NETWORKS), action="append", help="only this one; default: both")
    parser.add_argument("--world", choices=tuple(WORLDS), default=SHIPPED.name)
    parser.add_argument("--vae", type=Path, help="vae.safetensors that every third training picture passes through")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    wanted, world = options.judge or list(NETWORKS), world_named(options.world)
    train(options.out, options.profile, wanted, options.seed, options.device, world=world, vae=options.vae)
    return 0


def train(
    out: str | Path,
    profile: str = "cpu",
    evaluators: list[str] | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    *,
    world: World = SHIPPED,
    vae: Path | None = None,
) -> Path:
    """Train evaluators and write weights, ``judges.json`` and ``training.jsonl`` into a folder; goes on where it
    stopped.

    Args:
        out: the folder; made if it is not there.
        profile: one of ``PROFILES``.
        evaluators: "severity", "contents"; None for both.
        seed: of weights, order and augmentation.
        device: to train on.
        world: of the examples.
        vae: weights of the autoencoder that every third example passes through; None for none.

    Returns:
        The folder. Figures are measured once the files of both evaluators are there.

    Raises:
        InputError: an unknown profile or judge.
    """
    if profile not in PROFILES:
        raise InputError(f"profile: expected one of {', '.join(PROFILES)}, got {profile!r}.")
    wanted = list(NETWORKS) if evaluators is None else evaluators
    if unknown := [name for name in wanted if name not in NETWORKS]:
        raise InputError(f"evaluators: expected {' or '.join(NETWORKS)}, got {unknown[0]!r}.")
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    plan = PROFILES[profile]
    examples: ExampleSet | None = None
    for name in wanted:
        if (place / FILES[name]).is_file():
            logger.info("%s: there already", place / FILES[name])
            continue
        if examples is None:
            logger.info("Drawing %d training pictures", plan.examples)
            examples = ExampleSet("train", plan.examples, world=world, passed=_passing(vae))
        network = _train_one(name, plan, examples, place, seed, torch.device(device))
        save_network(network, place / FILES[name])
        _checkpoint(place, name).unlink(missing_ok=True)
    if all((place / file).is_file() for file in FILES.values()):
        _write_card(place, profile, seed, world)
    return place


def _passing(vae: Path | None) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None:
    if vae is None:
        return None
    from grefine_core.miniature.networks import load

    from ..training.autoencoder import reconstruct

    return partial(reconstruct, load(vae, "vae"))


def _train_one(
    name: str, plan: Profile, examples: ExampleSet, place: Path, seed: int, device: torch.device
) -> nn.Module:
    torch.manual_seed(seed)
    network = NETWORKS[name]().to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=0.02)
    loss_of = severity_loss if name == "severity" else contents_loss
    start, spent = _resume(place, name, network, optimizer)
    began = time.monotonic() - spent
    mean = 0.0
    for step in tqdm(range(start, plan.steps), initial=start, total=plan.steps, desc=name, mininterval=10):
        rng = torch.Generator().manual_seed((seed << 32) + step)
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * _schedule(step / plan.steps)
        rows = torch.randint(len(examples), (plan.batch,), generator=rng)
        batch = {key: value.to(device) for key, value in examples.batch(rows, rng).items()}
        with quick(device):
            answer = network(batch["images"])
        loss = loss_of(answer, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        mean += float(loss.detach())
        if (step + 1) % plan.every == 0 or step + 1 == plan.steps:
            steps = (step % plan.every) + 1
            spent = time.monotonic() - began
            line = {"judge": name, "step": step + 1, "loss": round(mean / steps, 5), "seconds": round(spent)}
            with (place / "training.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            mean = 0.0
            _save_checkpoint(place, name, network, optimizer, step + 1, spent)
    return network.eval()


def severity_loss(answer: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Cross entropy against strength times coverage; defects, which are rare, count three times."""
    target = batch["severity"]
    each = F.binary_cross_entropy_with_logits(answer.float(), target, reduction="none")
    return (each * (1.0 + 2.0 * (target > 0))).mean()


def contents_loss(answer: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Cross entropies of kind, attributes (where there are any) and ground, summed; of the kind, cells of items and the
    many more that none covers count alike."""
    total = 0.5 * F.cross_entropy(answer["ground"].float(), batch["ground"])
    for place, name in enumerate(LABELS):
        labels = batch["labels"][:, place]
        each = F.cross_entropy(answer[name].float(), labels, ignore_index=IGNORE, reduction="none")
        items = batch["labels"][:, 0] != NO_KIND
        for part in (labels != IGNORE) & items, (labels != IGNORE) & ~items:
            total = total + (each * part).sum() / part.sum().clamp(min=1) * (2.0 if name == "kind" else 1.0)
    return total


def _schedule(done: float) -> float:
    """Share of the highest rate: rises over the first 4 %, then falls as a cosine."""
    return min(1.0, done / 0.04 + 1e-3) * 0.5 * (1.0 + math.cos(math.pi * done))


def _checkpoint(place: Path, name: str) -> Path:
    return place / f"{name}.checkpoint.pt"


def _save_checkpoint(
    place: Path, name: str, network: nn.Module, optimizer: torch.optim.Optimizer, step: int, spent: float
) -> None:
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": spent}
    with written_whole(_checkpoint(place, name)) as scratch:
        torch.save(state, scratch)


def _resume(place: Path, name: str, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    file = _checkpoint(place, name)
    if not file.is_file():
        return 0, 0.0
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    logger.info("%s: goes on at step %d", name, state["step"])
    return int(state["step"]), float(state["seconds"])


def _write_card(place: Path, profile: str, seed: int, world: World) -> None:
    """Measure both on validation scenes and write ``judges.json``."""
    plan = PROFILES[profile]
    card: dict[str, Any] = {
        "profile": {"name": profile, **asdict(plan)},
        "seed": seed,
        "world": world.name,
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "threshold": 0.5,
        "noise": 0.0,
        "jitter": 0.0,
    }
    _write(place / CARD, card)
    evaluators = load_evaluators(place)
    logger.info("Measuring on %d validation pictures", plan.checked)
    card["severity"], card["noise"] = severity_figures(evaluators.severity, plan.checked, world)
    card["contents"], card["threshold"], card["jitter"] = contents_figures(evaluators.contents, plan.checked, world)
    _write(place / CARD, card)
    logger.info("%s", json.dumps({"severity": card["severity"], "contents": card["contents"]}))


def _write(path: Path, card: dict[str, Any]) -> None:
    write_text(path, json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
