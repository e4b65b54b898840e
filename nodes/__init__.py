"""The ComfyUI nodes: thin skins over `grefine_core`.

Nothing is imported here. `inputs` and `options` work without the host and have their own tests; the rest needs it.
"""
