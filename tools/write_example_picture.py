"""Writes the pictures that the workflows open with: a sample of the miniature world, and a photograph with a fault.

    python tools/write_example_picture.py      write grefine_core/miniature/miniature.png and the photograph

The photograph is one of the calibration's reference pictures, broken in one place. Run ``tools/build_workflows.py``
afterwards, which takes the prompts from them. Needs G-Refine installed (``pip install -e .``).
"""

from __future__ import annotations

import torch
from PIL import Image

from grefine_core.calibration.damage import damage
from grefine_core.examples import EXAMPLES, GOOD_PHOTOGRAPH, PHOTOGRAPH
from grefine_core.miniature.world import EXAMPLE, EXAMPLE_INDEX
from grefine_core.pictures import load_picture
from grefine_core.report.sheet import to_pillow
from grefine_research.miniature.generator import make_sample
from grefine_research.miniature.sample import write_sample

#: Where it is broken: middle and half axes of an ellipse, as shares of width and height.
PLACE = (0.62, 0.67, 0.11, 0.17)


def broken() -> Image.Image:
    """The photograph with blocks and noise where its spoon lies."""
    image = load_picture(EXAMPLES[GOOD_PHOTOGRAPH]).image[0]
    height, width = image.shape[:2]
    x, y, wide, high = PLACE
    across = (torch.arange(width) / width - x) / wide
    down = (torch.arange(height) / height - y) / high
    inside = (1.0 - (across[None] ** 2 + down[:, None] ** 2)).mul(4.0).clamp(0.0, 1.0)
    for name in ("blocks", "noise"):
        draws = torch.Generator().manual_seed(0)
        image = damage(image, name, strength=1.0, generator=draws, mask=inside).image
    return to_pillow(image)


if __name__ == "__main__":
    write_sample(make_sample("test", EXAMPLE_INDEX), EXAMPLE)
    broken().save(EXAMPLES[PHOTOGRAPH], quality=90, method=6)
