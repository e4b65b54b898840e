"""The engines that can be chosen by name. One more takes a file with its code and its ``Entry``, and a line here.

Other programs add theirs: ``RESTORERS.register(Entry(...))``.
"""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..refine.protocols import Inpainter, Restorer
from .entry import Entry, Placement, Registry
from .loading import check_inpaint_pipeline, load_inpaint_pipeline, need_diffusers
from .pasd.entry import PASD


def _load_pipeline(pipeline: str, negative_prompt: str, guidance_scale: float, *, place: Placement) -> Inpainter:
    need_diffusers("An inpainting pipeline")
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    # A dozen bars for the parts of one pipeline would bury our own.
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    return load_inpaint_pipeline(
        pipeline,
        device=place.device,
        offload=place.offload,  # type: ignore[arg-type]
        guidance_scale=guidance_scale,
        negative_prompt=negative_prompt,
    )


def _restorer_of_inpainter(*, place: Placement) -> Restorer:
    inpainter: Any = None if place.inpainter is None else place.inpainter()
    if not hasattr(inpainter, "restorer"):
        raise InputError("restorer 'pipeline': this inpainter makes none of its weights; choose another restorer.")
    restorer: Restorer = inpainter.restorer()
    return restorer


#: Engines of stage 1. All get ``pipeline`` (a path), ``negative_prompt`` and ``guidance_scale``, and their own options.
INPAINTERS: Registry[Inpainter] = Registry(
    "inpainter",
    [
        Entry(
            "diffusers",
            "SDXL inpainting",
            "a diffusers folder or a single checkpoint file",
            _load_pipeline,
            check_pipeline=check_inpaint_pipeline,
            node="Load Inpaint Pipeline (diffusers)",
        )
    ],
)

#: Engines of stage 2.
RESTORERS: Registry[Restorer] = Registry(
    "restorer",
    [
        Entry(
            "pipeline",
            "the pipeline",
            "the inpainting pipeline's own weights",
            _restorer_of_inpainter,
            uses_inpainter=True,
        ),
        PASD,
    ],
)
