"""The learning rate over the steps of a training."""

from __future__ import annotations

import math

from .options import Schedule


def share_of_rate(step: int, steps: int, schedule: Schedule) -> float:
    """What of the learning rate is used in step 0, 1, … of ``steps``: all of it, or half a cosine down to none."""
    if schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * step / steps))
