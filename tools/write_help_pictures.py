"""Writes the pictures of the help pages, ``web/docs/pictures/<NodeId>.jpg``: real results of the small models.

    python tools/write_help_pictures.py               write all of them
    python tools/write_help_pictures.py GRefinePQMap  write some of them

The same every time on the same machine: samples, weights and seeds are fixed. Needs G-Refine installed (``pip install
-e .``) and takes about a minute on a CPU. Look at them afterwards.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import help_scenes
import help_stages
import torch
from help_drawing import save
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "web" / "docs" / "pictures"
log = logging.getLogger("write_help_pictures")

SCENES: dict[str, Callable[[], Image.Image]] = {
    "GRefineLoadQualityModel": help_scenes.load_quality_model,
    "GRefineCalibrateQualityModel": help_scenes.calibrate_quality_model,
    "GRefinePQMap": help_scenes.pq_map,
    "GRefineAQMap": help_scenes.aq_map,
    "GRefineMergeMaps": help_scenes.merge,
    "GRefineBinarizeMap": help_scenes.binarize,
    "GRefineUnpackPlan": help_scenes.unpack,
    "GRefinePromptEmphasis": help_scenes.emphasis,
    "GRefinePlan": help_scenes.plan,
    "GRefineStage1Inpaint": help_stages.stage1_inpaint,
    "GRefineSplitRegions": help_stages.split_regions,
    "GRefineMergeRegions": help_stages.merge_crops,
    "GRefineRepairInstruction": help_stages.repair_instruction,
    "GRefineStage1InpaintDiffusers": help_stages.stage1_diffusers,
    "GRefineLoadInpaintPipeline": help_stages.inpaint_pipeline,
    "GRefineLoadPASD": help_stages.pasd,
    "GRefineRestorerFromModel": help_stages.restorer,
    "GRefineStage2Restore": help_stages.stage2_restore,
    "GRefineNoHarmGuard": help_stages.no_harm_guard,
    "GRefineQualityReport": help_stages.quality_report,
    "GRefineLoadMiniature": help_scenes.miniature,
}


def main(names: list[str]) -> int:
    """Write the pictures of these nodes, of all if none is named."""
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)  # of this tool, not of the stages
    unknown = sorted(set(names) - set(SCENES))
    if unknown:
        log.error("No picture of %s; there are %s", ", ".join(unknown), ", ".join(SCENES))
        return 2
    torch.set_num_threads(1)  # sums in one order
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or SCENES:
        size = save(SCENES[name](), FOLDER / f"{name}.jpg")
        log.info("%s: %d bytes", name, size)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
