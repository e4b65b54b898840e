"""A loaded PASD on a device with little memory: the networks fail above a number of latent cells at once."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Any

import comfy.model_management

from .journal import note


class ShortMemory:
    """The same restorer with the same networks; ``cells`` 0 fails always. ``delay``: seconds that every call takes."""

    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("GREFINE_RESTORER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "restorer": ("GREFINE_RESTORER",),
                "cells": ("INT", {"default": 1_000_000, "max": 1_000_000}),
                "journal": ("STRING", {"default": ""}),
            },
            "optional": {"delay": ("FLOAT", {"default": 0.0})},
        }

    def make(self, restorer: Any, cells: int, journal: str, delay: float = 0.0) -> tuple[Any]:
        # Copies: the restorer itself lies in the host's cache, for other graphs as well.
        short, model = copy.copy(restorer), replace(restorer.model)
        predict = model.predict

        def limited(latents: Any, timestep: Any, states: Any, condition: Any, scale: float) -> Any:
            entry = {"shape": list(latents.shape), "timestep": float(timestep), "scale": scale}
            note(journal, **entry, type=str(latents.dtype), tokens=list(states.shape))
            time.sleep(delay)
            if latents.shape[-2] * latents.shape[-1] > cells:
                raise comfy.model_management.OOM_EXCEPTION("artificial")
            return predict(latents, timestep, states, condition, scale)

        model.predict = limited
        short.model = model
        return (short,)
