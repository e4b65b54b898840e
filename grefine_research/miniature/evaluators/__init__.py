"""Independent judges of miniature pictures: they only score, and are used nowhere inside the method.

One sees how bad each place of a picture is, and in which way; the other says whether a thing with given attributes is
in it. Both are plain convolutional networks, trained by ``judges.training`` on scenes of the training split *with* the
defects' masks and the items' places. That is allowed to judges alone: no model of the method ever learns from a mask.
"""

from __future__ import annotations

from .contents import ContentsJudge, Question
from .loading import Judges, find_judges, load_judges
from .severity import SeverityJudge

__all__ = ["ContentsJudge", "Judges", "Question", "SeverityJudge", "find_judges", "load_judges"]
