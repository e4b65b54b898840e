"""A ComfyUI from outside: its server, its API and queue, workflow files. Standard library only at import."""
