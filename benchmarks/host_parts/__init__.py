"""Parts of benchmarks that run inside of ComfyUI's surroundings; see ``in_host``."""
