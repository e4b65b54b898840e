"""Writes the example picture of the workflow ``grefine_miniature``: a sample of the miniature world's test split.

    python tools/write_example_picture.py      write grefine_core/miniature/miniature.png

Run ``tools/build_workflows.py`` afterwards, which takes the prompt from it. Needs G-Refine installed (``pip install -e
.``).
"""

from __future__ import annotations

from grefine_core.miniature.world import EXAMPLE, EXAMPLE_INDEX
from grefine_research.miniature.generator import make_sample
from grefine_research.miniature.sample import write_sample

if __name__ == "__main__":
    write_sample(make_sample("test", EXAMPLE_INDEX), EXAMPLE)
