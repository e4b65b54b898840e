"""Independent evaluators of miniature pictures: they only score, and are used nowhere inside the method.

One sees how bad each place of a picture is, and in which way; the other says whether a thing with given attributes is
in it. Both are plain convolutional networks, trained by ``evaluators.training`` on scenes of the training split *with*
the defects' masks and the items' places. That is allowed to evaluators alone: no model of the method ever learns from a
mask.
"""

from __future__ import annotations

from .contents import ContentsEvaluator, Question
from .loading import Evaluators, find_evaluators, load_evaluators
from .severity import SeverityEvaluator

__all__ = ["ContentsEvaluator", "Evaluators", "Question", "SeverityEvaluator", "find_evaluators", "load_evaluators"]
