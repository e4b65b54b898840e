"""Fine-tuning ImageReward's image encoder on ratings of alignment (paper, section on AQ-Map; method, section 7).

Several processes share every batch. Pairs are ranked over the whole batch all the same: each process computes the
rewards of its own pictures, all rewards are exchanged, and gradients are added up, so the number of processes changes
nothing but the time and the last digits.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from grefine_core.clip.preprocess import OPENAI_MEAN, OPENAI_STD, Geometry, normalise, preprocess
from grefine_core.errors import InputError

from ..datasets import Dataset, read_pictures
from .checkpoint import Progress, adam_state, load_progress, restore_adam
from .correlation import srocc
from .fingerprint import model_fingerprint, tensor_fingerprint
from .launch import Launch
from .losses import loss_of
from .precision import autocast
from .reward_options import RewardTuningOptions
from .schedule import share_of_rate

if TYPE_CHECKING:
    from grefine_core.imagereward import ImageReward

logger = logging.getLogger(__name__)

_CHUNK = 16
"""Pictures scored at once."""

EpochEnd = Callable[[Mapping[str, Any], int], None]
Batches = Callable[[int, int], None]


@dataclass(frozen=True)
class TunedReward:
    """The result of a fine-tuning; the network itself holds the weights of the best epoch."""

    figures: dict[str, float]
    """SROCC on the validation pictures, ``before`` and ``after``; empty without any."""
    best_epoch: int
    history: list[dict[str, Any]]


def tune_image_reward(
    model: ImageReward,
    dataset: Dataset,
    labels: Mapping[str, float],
    training: Sequence[str],
    validation: Sequence[str],
    options: RewardTuningOptions | None = None,
    *,
    launch: Launch | None = None,
    checkpoint: str | Path | None = None,
    threads: int = 4,
    epoch_end: EpochEnd | None = None,
    batch_end: Batches | None = None,
) -> TunedReward:
    """Let the image encoder learn; the network of ``model`` is changed in place.

    Args:
        model: with the weights to start from.
        dataset: pictures that can be read as a whole, with their prompts.
        labels: key -> rating in [0, 1], 1 is good.
        training, validation: keys; of the latter there may be none, then the last epoch is kept.
        options: all choices; None for the defaults.
        launch: this process among several; all are called alike.
        checkpoint: file to go on from if it is there, written after every epoch by the first process.
        threads: that read pictures ahead.
        epoch_end: called after each epoch with its entry of the history and the number of epochs; may raise to stop.
        batch_end: called with (done, total) training pictures of an epoch.

    Raises:
        InputError: no training pictures, or a checkpoint of another training.
        ModelFileError: the checkpoint is damaged.
    """
    options, launch = options or RewardTuningOptions(), launch or Launch()
    if not training:
        raise InputError("training: no pictures to learn from.")
    work = _Work(model, dataset, labels, launch, threads, options)
    file = None if checkpoint is None else Path(checkpoint)
    identity = _identity(work, training, validation)
    state = None if file is None else load_progress(file, identity, work.learned)
    launch.wait()  # Nobody writes before all have read.
    if state is None:
        start = work.kept()
        state = Progress(learned=start, best=start)
        before = work.srocc(validation)
        state.history.append({"epoch": 0, "loss": None, "monitor": before})
    work.take(state.learned)
    rates = options.learning_rate
    optimizer = torch.optim.Adam(list(work.learned.values()), lr=rates)
    restore_adam(optimizer, list(work.learned), state.optimizer)
    scaler = torch.amp.GradScaler(work.device.type, enabled=options.precision == "float16")
    if state.scaler:
        scaler.load_state_dict(state.scaler)
    steps = -(-len(training) // options.batch_size) * options.epochs
    while state.epoch < options.epochs and not 0 < options.patience <= state.epoch - state.best_epoch:
        generator = torch.Generator().manual_seed((options.seed * 1_000_003 + state.epoch) % (1 << 63))
        order = [training[row] for row in torch.randperm(len(training), generator=generator).tolist()]
        batches = [order[start : start + options.batch_size] for start in range(0, len(order), options.batch_size)]
        pictures = work.pixels([key for batch in batches for key in work.own(batch)])
        total, done = 0.0, 0
        for number, batch in enumerate(batches):
            optimizer.param_groups[0]["lr"] = rates * share_of_rate(
                state.epoch * len(batches) + number, steps, options.schedule
            )
            loss = work.loss(batch, pictures)
            gradients = torch.autograd.grad(scaler.scale(loss), list(work.learned.values()), allow_unused=True)
            for parameter, gradient in zip(work.learned.values(), gradients, strict=True):
                parameter.grad = launch.sum_(torch.zeros_like(parameter) if gradient is None else gradient)
            scaler.step(optimizer)
            scaler.update()
            total, done = total + float(loss.detach()) * len(batch), done + len(batch)
            if batch_end is not None:
                batch_end(done, len(order))
        state.epoch += 1
        state.learned, state.scaler = work.kept(), scaler.state_dict()
        state.optimizer = adam_state(optimizer, list(work.learned))
        entry = {"epoch": state.epoch, "loss": total / len(order), "monitor": work.srocc(validation)}
        best = state.history[state.best_epoch]["monitor"]
        if best is None or entry["monitor"] > best:
            state.best, state.best_epoch = state.learned, state.epoch
        state.history.append(entry)
        if file is not None and launch.main:
            state.save(file, identity)
        if epoch_end is not None:
            epoch_end(entry, options.epochs)
    work.take(state.best)
    ends = {"before": state.history[0]["monitor"], "after": state.history[state.best_epoch]["monitor"]}
    model.clear_cache()
    figures = {name: value for name, value in ends.items() if value is not None}
    return TunedReward(figures, state.best_epoch, state.history)


class _Work:
    """One process's share of the pictures, and what learns."""

    def __init__(
        self,
        model: ImageReward,
        dataset: Dataset,
        labels: Mapping[str, float],
        launch: Launch,
        threads: int,
        options: RewardTuningOptions,
    ) -> None:
        self.model, self.labels, self.launch, self.options = model, labels, launch, options
        self.device = model.device
        self.prompts = {example.key: example.prompt for example in dataset.examples}
        self._read = read_pictures(dataset, threads)
        sizes = model.network.sizes
        side, patch = (sizes.image_size, sizes.image_size), (sizes.patch_size, sizes.patch_size)
        self._geometry = Geometry(side, patch, OPENAI_MEAN, OPENAI_STD)
        # In evaluation mode: without dropout a training that was killed ends as one that was not.
        self.learned = _learned(model.network.eval(), options.layers)

    def own(self, keys: Sequence[str]) -> list[str]:
        return list(keys[self.launch.rank :: self.launch.world])

    def pixels(self, keys: Sequence[str]) -> Iterator[Tensor]:
        """Pictures as the network takes them in, (3, n, n) uint8, in order."""
        side = self.model.network.sizes.image_size
        for key, picture in zip(keys, self._read(keys), strict=True):
            if picture is None:
                raise InputError(f"{key}: could be read before and cannot be read any more.")
            yield preprocess(picture[None], (side, side))[0]

    def rewards(self, keys: Sequence[str], pictures: Iterator[Tensor]) -> Tensor:
        """Rewards of as many pictures as there are keys."""
        batch = torch.stack([next(pictures) for _ in keys])
        ids, mask = self.model.tokenizer([self.prompts[key] for key in keys])
        with autocast(self.device, self.options.precision):
            return self.model.network(normalise(batch, self._geometry), ids, mask)

    def loss(self, batch: Sequence[str], pictures: Iterator[Tensor]) -> Tensor:
        """Of a whole batch; its gradient goes through this process's own pictures alone."""
        own = self.own(batch)
        rewards = self.rewards(own, pictures) if own else torch.zeros(0, device=self.device)
        odds = self._together(len(batch), rewards.detach())
        odds[self.launch.rank :: self.launch.world] = rewards
        labels = torch.tensor([self.labels[key] for key in batch], device=self.device)
        found = loss_of(odds, labels, self.options)
        # A share of a batch may be empty, and then nothing would be there to differentiate.
        return found if own else found + 0.0 * sum(value.sum() for value in self.learned.values())

    @torch.no_grad()
    def srocc(self, keys: Sequence[str]) -> float | None:
        """Of rewards with ratings, over the pictures of all processes; None without pictures."""
        if not keys:
            return None
        own = self.own(keys)
        pictures = self.pixels(own)
        found = [self.rewards(own[start : start + _CHUNK], pictures) for start in range(0, len(own), _CHUNK)]
        every = self._together(len(keys), torch.cat(found) if found else torch.zeros(0, device=self.device))
        return srocc(every.cpu(), torch.tensor([self.labels[key] for key in keys]))

    def kept(self) -> dict[str, Tensor]:
        return {name: parameter.detach().cpu().clone() for name, parameter in self.learned.items()}

    @torch.no_grad()
    def take(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.learned.items():
            parameter.copy_(values[name])

    def _together(self, count: int, own: Tensor) -> Tensor:
        every = torch.zeros(count, device=self.device)
        every[self.launch.rank :: self.launch.world] = own
        return self.launch.sum_(every)


def _learned(network: Any, layers: int) -> dict[str, nn.Parameter]:
    vision = network.vision_model
    depth = len(vision.encoder.layers)
    if layers > depth:
        raise InputError(f"layers: the image encoder has {depth}, not {layers}.")
    network.requires_grad_(False)
    chosen: Any = [vision] if layers == 0 else [*vision.encoder.layers[-layers:], vision.post_layernorm]
    for module in chosen:
        module.requires_grad_(True)
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def _identity(work: _Work, training: Sequence[str], validation: Sequence[str]) -> str:
    """What a checkpoint belongs to, as JSON. The network is as it was loaded."""
    content: dict[str, Any] = {"model": model_fingerprint(work.model.network)}
    for name, keys in (("pictures", training), ("validation pictures", validation)):
        labels = torch.tensor([work.labels[key] for key in keys])
        content[name] = f"{tensor_fingerprint(labels=labels)} {sorted(keys)[:1]} {len(keys)}"
        content[f"prompts of {name}"] = _digest([f"{key} {work.prompts[key]}" for key in keys])
    return json.dumps({**content, **asdict(work.options)}, sort_keys=True)


def _digest(texts: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=8).hexdigest()
