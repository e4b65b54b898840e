"""G-Refine for ComfyUI: what the host loads. Nothing heavy is imported here; the nodes come with the entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ComfyExtension:
    """The host calls this once, after the pack is imported."""
    from .nodes.extension import GRefineExtension

    return GRefineExtension()
