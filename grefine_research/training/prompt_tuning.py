"""Learning the prompts of PQ-Map from labelled pictures (paper, section on PQ-Map; method, sections 2 and 7).

The CLIP model is frozen, image side and text side; the context of four pairs of prompts learns, if wished together with
a copy of the text encoder, against ranking and regression on the labels. One MOS for each picture is enough: the
factors then learn jointly, through PS.

``patch_weight`` adds the same losses on scores that are pooled from the V-V patch tokens (multiple-instance learning on
the pictures' own labels, no masks). Without it the map is a by-product, as in the paper: the pairs are only ever asked
at the class token. Whether the addition is worth it is for a benchmark with known masks to say; it is off by default.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grefine_core.clip.embeddings import FACTORS, METADATA_KEY, PerceptualBounds, save_embedding_set
from grefine_core.errors import InputError

from .bounds import good_rows, measured_bounds
from .checkpoint import Progress, adam_state, load_progress, restore_adam
from .feature_store import Features
from .fingerprint import model_fingerprint, tensor_fingerprint
from .losses import all_odds, factor_odds, loss_of, patch_labels, pool
from .options import PromptTuningOptions
from .precision import autocast
from .prompts import PromptPairs
from .schedule import share_of_rate
from .targets import PS, Targets
from .validation import figures_of, monitor

#: Options that say nothing of the training itself.
AFTERWARDS = ("measure_bounds", "bound_quantile")

logger = logging.getLogger(__name__)

EpochEnd = Callable[[Mapping[str, Any], int], None]


@dataclass(frozen=True)
class TunedPrompts:
    """The result of a training."""

    embeddings: dict[str, Tensor]
    """Factor -> (2, 77, W) float32, of the best epoch."""
    bounds: PerceptualBounds
    """β for these embeddings."""
    figures: dict[str, float]
    """SROCC on the validation pictures in the best epoch, by factor, PS, and "patches <name>"."""
    best_epoch: int
    history: list[dict[str, Any]]
    """For each epoch its number, training loss, learning rate and figures."""
    fingerprint: str
    """Of the CLIP model."""
    text_features: dict[str, Tensor] | None = None
    """Factor -> (2, C) as projected, where a text encoder of their own reads the embeddings; else None."""

    def save(self, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write the file that every loader takes, as a whole, with its bounds and figures in its metadata."""
        notes = {
            METADATA_KEY: self.bounds.to_json(),
            "clip_fingerprint": self.fingerprint,
            "figures": json.dumps(self.figures, sort_keys=True),
            "best_epoch": str(self.best_epoch),
        }
        save_embedding_set(self.embeddings, path, {**notes, **(metadata or {})}, self.text_features)


def tune_prompts(
    clip: nn.Module,
    features: Features,
    targets: Targets,
    options: PromptTuningOptions | None = None,
    *,
    tokenizer: Any = None,
    validation: tuple[Features, Targets] | None = None,
    held_back: Tensor | None = None,
    checkpoint: str | Path | None = None,
    epoch_end: EpochEnd | None = None,
) -> TunedPrompts:
    """Learn the four pairs of prompts.

    Args:
        clip: the open_clip model that the features were made with; not changed.
        features: of N pictures, with patch tokens if ``patch_weight`` is above 0.
        targets: their N labels.
        options: all choices; None for the defaults.
        tokenizer: texts -> token ids (n, 77); None for CLIP's own.
        validation: other pictures with labels; None: ``validation_share`` of the N are set aside.
        held_back: which of the N (indices) are set aside instead.
        checkpoint: file to go on from if it is there, written after every epoch; None writes none. A training that was
            interrupted ends with the same bytes as one that was not, on the same machine.
        epoch_end: called after each epoch with its entry of the history and the number of epochs; may raise to stop.

    Returns:
        The prompts of the epoch with the best mean SROCC on the validation pictures (of the last one without any).

    Raises:
        InputError: features of another model or without patch tokens, labels that do not fit, a checkpoint of another
            training.
        ModelFileError: the checkpoint is damaged.
    """
    options = options or PromptTuningOptions()
    _check(clip, features, targets, options)
    if validation is not None:
        _check(clip, *validation, options)
    training, validating = _split(features, targets, validation, held_back, options)
    prompts = PromptPairs(clip, tokenizer or _clip_tokenizer(), options)
    fingerprint = model_fingerprint(clip)
    identity = _identity(fingerprint, (training, validating), options)
    file = None if checkpoint is None else Path(checkpoint)
    state = None if file is None else load_progress(file, identity, prompts.learned())
    if state is None:
        start = _kept(prompts)
        state = Progress(learned=start, best=start)
    elif state.epoch:
        logger.info("Going on after epoch %d of %d.", state.epoch, options.epochs)
    tau = float(clip.logit_scale.detach().float().exp().reshape(-1)[0])  # type: ignore[operator]
    _train(prompts, training, validating, state, options, tau, file, identity, epoch_end)
    prompts.take(state.best)
    with torch.no_grad():
        raw = prompts.features().cpu()
        texts = nn.functional.normalize(raw, dim=-1)
    last = state.history[state.best_epoch - 1]
    bounds = _bounds(validating or training, texts, tau, options)
    own = None if prompts.tower is None else dict(zip(FACTORS, raw, strict=True))
    return TunedPrompts(
        prompts.embeddings(), bounds, dict(last["figures"]), state.best_epoch, state.history, fingerprint, own
    )


@dataclass(frozen=True)
class _Part:
    """Some pictures of a store with their labels."""

    features: Features
    targets: Targets
    rows: Tensor
    """Places in ``features``, and of ``targets``: (n,)."""


def _train(
    prompts: PromptPairs,
    training: _Part,
    held_back: _Part | None,
    state: Progress,
    options: PromptTuningOptions,
    tau: float,
    file: Path | None,
    identity: str,
    epoch_end: EpochEnd | None,
) -> None:
    """Run the epochs that are left; ``state`` is written to."""
    prompts.take(state.learned)
    learned = prompts.learned()
    rates = [options.learning_rate if name == "context" else options.text_learning_rate for name in learned]
    optimizer = torch.optim.Adam(
        [{"params": [parameter], "lr": rate} for parameter, rate in zip(learned.values(), rates, strict=True)]
    )
    restore_adam(optimizer, list(learned), state.optimizer)
    device = prompts.context.device
    scaler = torch.amp.GradScaler(device.type, enabled=options.precision == "float16")
    if state.scaler:
        scaler.load_state_dict(state.scaler)
    steps = math.ceil(len(training.rows) / options.batch_size)
    while state.epoch < options.epochs and not 0 < options.patience <= state.epoch - state.best_epoch:
        # From the epoch's number: what comes after a resume is what would have come without.
        generator = torch.Generator().manual_seed((options.seed * 1_000_003 + state.epoch) % (1 << 63))
        order = training.rows[torch.randperm(len(training.rows), generator=generator)]
        total = 0.0
        for number, rows in enumerate(order.split(options.batch_size)):
            share = share_of_rate(state.epoch * steps + number, steps * options.epochs, options.schedule)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * share
            with autocast(device, options.precision):
                texts = prompts()
            loss = _loss(texts, training, rows, tau, options)
            # Not backward(): that would fill in gradients of the CLIP model as well, where they are asked for.
            gradients = torch.autograd.grad(scaler.scale(loss), list(learned.values()))
            for parameter, gradient in zip(learned.values(), gradients, strict=True):
                parameter.grad = gradient
            scaler.step(optimizer)
            scaler.update()
            total += float(loss.detach()) * len(rows)
        state.epoch += 1
        state.learned = _kept(prompts)
        state.optimizer = adam_state(optimizer, list(learned))
        state.scaler = scaler.state_dict()
        entry: dict[str, Any] = {"epoch": state.epoch, "loss": total / len(order), "figures": {}, "monitor": None}
        if held_back is not None:
            with torch.no_grad():
                texts = prompts()
            entry["figures"] = figures_of(held_back.features, held_back.targets, held_back.rows, texts, tau, options)
            entry["monitor"] = monitor(entry["figures"], options)
        best = state.history[state.best_epoch - 1]["monitor"] if state.best_epoch else None
        if best is None or entry["monitor"] > best:
            state.best, state.best_epoch = state.learned, state.epoch
        state.history.append(entry)
        if file is not None:
            state.save(file, identity)
        if epoch_end is not None:
            epoch_end(entry, options.epochs)


def _kept(prompts: PromptPairs) -> dict[str, Tensor]:
    return {name: parameter.detach().cpu().clone() for name, parameter in prompts.learned().items()}


def _loss(texts: Tensor, part: _Part, rows: Tensor, tau: float, options: PromptTuningOptions) -> Tensor:
    """Mean over what has labels, at the class token and, weighted, at what is pooled from the patches."""
    labels = {name: values[rows].to(texts.device) for name, values in part.targets.columns().items()}
    weights = {name: options.mos_weight if name == PS else 1.0 for name in labels}
    scale = 1.0 / max(sum(weights.values()), 1e-12)
    odds = all_odds(factor_odds(part.features.class_tokens[rows].to(texts.device), texts, tau), options.bounds.score)
    total = texts.new_zeros(())
    for name, values in labels.items():
        total = total + scale * weights[name] * loss_of(odds[name], values, options)
    if options.patch_weight > 0:
        tokens = part.features.patches(rows).to(texts.device)
        odds = all_odds(factor_odds(tokens, texts, tau), options.bounds.patches)
        for name, values in labels.items():
            loss = loss_of(pool(odds[name], options), patch_labels(values, options), options)
            total = total + options.patch_weight * scale * weights[name] * loss
    return total


def _bounds(part: _Part, texts: Tensor, tau: float, options: PromptTuningOptions) -> PerceptualBounds:
    if options.measure_bounds == "none":
        return options.bounds
    rows = part.rows[good_rows(part.targets.rows(part.rows), options.tie)]
    score = torch.sigmoid(factor_odds(part.features.class_tokens[rows], texts, tau))
    patches = None
    if part.features.has_patches:
        chunks = [factor_odds(part.features.patches(chunk), texts, tau) for chunk in rows.split(256)]
        patches = torch.sigmoid(torch.cat(chunks, dim=1))
    return measured_bounds(score, patches, options.measure_bounds, options.bound_quantile)


def _split(
    features: Features,
    targets: Targets,
    validation: tuple[Features, Targets] | None,
    held_back: Tensor | None,
    options: PromptTuningOptions,
) -> tuple[_Part, _Part | None]:
    rows = torch.arange(len(features))
    if validation is None and held_back is not None:
        kept = torch.ones(len(rows), dtype=torch.bool)
        kept[held_back] = False
        if not kept.any() or kept.all():
            raise InputError(
                f"held_back: {len(held_back)} of {len(rows)} pictures; some have to be left on either side."
            )
        return _Part(features, targets, rows[kept]), _Part(features, targets, rows[~kept])
    if validation is not None:
        return _Part(features, targets, rows), _Part(*validation, torch.arange(len(validation[0])))
    count = round(options.validation_share * len(rows))
    if count == 0:
        return _Part(features, targets, rows), None
    order = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(options.seed))]
    return _Part(features, targets, order[count:].sort().values), _Part(features, targets, order[:count].sort().values)


def _check(clip: nn.Module, features: Features, targets: Targets, options: PromptTuningOptions) -> None:
    from grefine_core.clip.surgery import vision_tower

    if len(targets) != len(features):
        raise InputError(f"targets: {len(targets)} labels for the features of {len(features)} pictures.")
    if features.fingerprint and features.fingerprint != model_fingerprint(vision_tower(clip)):
        raise InputError("features: made with another image encoder than that of this model; build them again.")
    if options.patch_weight > 0 and not features.has_patches:
        raise InputError("features: patch_weight is above 0, but no patch tokens were kept; build with patches=True.")


def _identity(fingerprint: str, parts: tuple[_Part, _Part | None], options: PromptTuningOptions) -> str:
    """What a checkpoint belongs to, as JSON."""
    content: dict[str, Any] = {"model": fingerprint}
    for name, part in zip(("pictures", "validation pictures"), parts, strict=True):
        if part is not None:
            labels = {f"label {label}": values for label, values in part.targets.columns().items()}
            content[name] = tensor_fingerprint(rows=part.rows, tokens=part.features.class_tokens, **labels)
    # The bounds are measured after the training, and can be so again in another way.
    trained = {name: value for name, value in asdict(options).items() if name not in AFTERWARDS}
    return json.dumps({**content, **trained}, sort_keys=True)


def _clip_tokenizer() -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=77)
