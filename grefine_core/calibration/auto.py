"""Calibration at the first load of weights, embeddings and resolution that were not seen before."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..alignment.calibration import Calibration
from ..clip.quality_model import PUBLISHED, WORDS, QualityModel
from ..errors import Cancelled, GRefineError
from . import store
from .bounds import build, chosen_source
from .fingerprint import activation_of, compare_token_rows
from .measuring import Progress, RoundTrip, observe
from .reference import Reference, load_reference

logger = logging.getLogger(__name__)

VARIABLE = "GREFINE_CALIBRATION"
"""Environment variable: "none" measures nothing by itself, for programs that start often with ever new weights."""


def measure(
    model: QualityModel,
    reference: Reference | None = None,
    *,
    choose: bool = False,
    round_trip: RoundTrip | None = None,
    progress: Progress | None = None,
    made_on: str | None = None,
    key: str = "",
) -> Calibration:
    """Measure a calibration of a quality model, which stays as it is.

    Args:
        model: the quality model. With an alignment encoder of its own the bounds of AQ-Map are left at their defaults:
            they belong to that encoder.
        reference: pictures; None for those that come with the package.
        choose: whether words may take the place of the learned embeddings, where these do not belong to the weights or
            tell nothing; ``Calibration.embeddings`` says which it is.
        round_trip: pictures through a VAE and back, as one more exchange of good content for as good.
        progress: called with (encodes done, encodes in all); may raise to stop.
        made_on: date for the file; today without it.
        key: of the files that it is measured with.

    Raises:
        ModelFileError: the reference pictures are missing.
        OutOfMemory: the device has too little left.
    """
    pictures = load_reference() if reference is None else reference
    other = model.with_words() if choose and model.embedding_source != WORDS else None
    seen = observe(
        model,
        pictures,
        alternatives=() if other is None else (other,),
        round_trip=round_trip,
        progress=progress,
        alignment=model.alignment_encoder is None,
    )
    return build(seen, chosen_source(seen) if choose else None, made_on=made_on, key=key)


def with_calibration(model: QualityModel, calibration: Calibration) -> QualityModel:
    """The model with a calibration, and with the pairs of PQ-Map that it was measured with."""
    if calibration.embeddings == WORDS and model.embedding_source != WORDS:
        model = model.with_words()
    return model.with_calibration(calibration)


def calibrate_at_load(
    model: QualityModel,
    weights: Path,
    parts: tuple[object, ...],
    *,
    choose: bool,
    own: Calibration | None = None,
    progress: Progress | None = None,
    told: Callable[[str], None] | None = None,
) -> QualityModel:
    """The model with the calibration that was kept for these files, else with one that is measured now and kept.

    Args:
        model: as it was loaded.
        weights: its file, beside which the calibration is kept.
        parts: all that a calibration depends on: files as paths, settings as anything with a text.
        choose: see :func:`measure`.
        own: the bounds of an alignment encoder, which measures alignment in the place of the model's CLIP.
        progress: called with (encodes done, encodes in all); may raise to stop, and then nothing is kept.
        told: given each sentence about what cannot be trusted; None logs them as warnings.

    Returns:
        The model itself, with no other bounds than its own, where measuring is not possible; the log says why.
    """
    say = told or logger.warning
    if os.environ.get(VARIABLE) == "none":
        return model.with_words() if choose and not plausible(model) else model
    try:
        reference = load_reference()
        settings = (model.resolution, model.blocks, activation_of(model.module), model.name, choose, reference.key)
        key = store.key_of(*parts, *settings)
        found = store.find(weights, key)
        if found is None:
            logger.info("%s: not seen before, so what it can tell is measured once.", weights)
            found = measure(model, reference, choose=choose, progress=progress, key=key)
            kept = store.keep(found, weights, key)
            logger.info("Calibration of %s, from %d pictures: %s", model.name, found.pictures, kept)
    except Cancelled:
        raise
    except GRefineError as error:
        logger.warning("Not calibrated, default bounds are used: %s", error)
        return model
    for note in found.notes:
        say(note)
    return with_calibration(model, without_alignment(found, own))


def plausible(model: QualityModel) -> bool:
    """Whether learned embeddings may belong to the weights, by what costs nothing to see."""
    return model.embedding_source != PUBLISHED or compare_token_rows(model).belonging != "other"


def without_alignment(calibration: Calibration, own: Calibration | None) -> Calibration:
    """Perceptual measurements joined with the bounds of another encoder's alignment."""
    if own is None:
        return calibration
    kinds = {
        name: replace(kind, bounds=own.bounds, by_count={}, local=own.local) for name, kind in calibration.kinds.items()
    }
    return replace(
        calibration,
        bounds=own.bounds,
        by_count={},
        local=own.local,
        scoring=own.scoring,
        temperature=own.temperature,
        kinds=kinds,
    )
