"""The demonstration: the whole method on a picture of the miniature world, with the small models trained on it.

``pictures`` makes the picture, ``through_comfyui`` sends it through a ComfyUI; without one, the command line runs the
library itself.
"""

from __future__ import annotations

from pathlib import Path

#: Sample of the test split that is shown if no other is asked for: the first that was drawn with a wrong attribute and
#: a technical defect and in which the models notice both, whatever becomes of it.
INDEX = 74
#: The same sample as a file, its prompt in its metadata: the picture of the workflow ``grefine_miniature``.
EXAMPLE = Path(__file__).with_name("miniature.png")
#: Longest side of a picture of the user's; larger ones are made smaller. The models were trained on 128 pixels.
LARGEST_SIDE = 512

MODELS = (
    "The models are the small ones of the miniature world, trained on drawn pictures of 128 pixels: coloured shapes "
    "and a few things. They know nothing else."
)
FOREIGN = (
    "Unless this picture is one of that world, its scores, maps and repairs say nothing about it: they only show that "
    "the method runs here. Pictures like it need the large models (`grefine refine`, or the other workflows)."
)
