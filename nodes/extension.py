"""The list of nodes, as the host asks for it."""

from __future__ import annotations

from importlib import import_module

from comfy_api.latest import ComfyExtension, io

from .example import place_examples
from .host import input_folder, register_model_folders, user_folder

#: Module of this package → its nodes, in the order of a graph.
NODES = {
    "quality_model": ("GRefineLoadQualityModel", "GRefineCalibrateQualityModel"),
    "miniature": ("GRefineLoadMiniature",),
    "quality": ("GRefinePQMap", "GRefineAQMap"),
    "masks": ("GRefineMergeMaps", "GRefineBinarizeMap"),
    "unpack": ("GRefineUnpackPlan",),
    "prompt": ("GRefinePromptEmphasis",),
    "plan": ("GRefinePlan",),
    "stage1": ("GRefineStage1Inpaint",),
    "open_regions": ("GRefineSplitRegions", "GRefineMergeRegions", "GRefineRepairInstruction"),
    "diffusers": ("GRefineLoadInpaintPipeline", "GRefineStage1InpaintDiffusers"),
    "pasd": ("GRefineLoadPASD",),
    "stage2": ("GRefineRestorerFromModel", "GRefineStage2Restore"),
    "guard": ("GRefineNoHarmGuard",),
    "report": ("GRefineQualityReport",),
}


class GRefineExtension(ComfyExtension):
    """The pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes; an error in one module is an error of the pack, not a silent gap in it.

        The model folders are registered here: hosts up to 0.8 at least never call `on_load`, and the nodes' schemas
        list their files.
        """
        register_model_folders()
        place_examples(input_folder(), user_folder() / "example_placed_in.txt")
        own = [
            getattr(import_module(f".{module}", __package__), name) for module, names in NODES.items() for name in names
        ]
        from .restorers import loader_nodes  # when the modules have registered theirs

        return [*own, *loader_nodes()]
