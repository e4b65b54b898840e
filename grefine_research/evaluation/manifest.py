"""What a run was made with: configuration, versions, seeds, data, indicators."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..datasets import Dataset
from .indicators.protocol import Spec, package_version
from .tables import write_json

PACKAGES = (
    *("torch", "torchvision", "open_clip_torch", "transformers", "diffusers", "numpy", "scipy", "Pillow"),
    *("safetensors", "matplotlib", "pyiqa", "timm"),
)


def versions() -> dict[str, str]:
    """Of Python, of this package and of those that figures may depend on; "absent" where one is not installed."""
    from grefine_core import __version__

    return {
        "g-refine": __version__,
        "python": platform.python_version(),
        **{name: package_version(name) for name in PACKAGES},
    }


def write_manifest(
    file: Path,
    *,
    command: Sequence[str],
    configuration: Mapping[str, Any],
    dataset: Dataset,
    specs: Sequence[Spec],
    obstacles: Mapping[str, str | None],
    seeds: Mapping[str, int],
    device: str,
) -> Path:
    """Write it, as a whole.

    Args:
        file: where to.
        command: the command line.
        configuration: every option with its value.
        dataset: what was evaluated.
        specs: the indicators that were asked for.
        obstacles: indicator -> why it did not run.
        seeds: what was drawn from which seed.
        device: where it ran.
    """
    return write_json(
        file,
        {
            "command": list(command),
            "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "versions": versions(),
            "machine": {"system": platform.system(), "processor": platform.machine(), "device": _device(device)},
            "seeds": dict(seeds),
            "configuration": {name: _plain(value) for name, value in configuration.items()},
            "dataset": {
                "name": dataset.name,
                "kind": dataset.kind,
                "pictures": len(dataset),
                "skipped": len(dataset.skipped),
                "scales": {name: vars(scale) for name, scale in dataset.scales.items()},
            },
            "indicators": [
                {
                    "name": spec.name,
                    "title": spec.title,
                    "licence": spec.licence,
                    "packages": {name: package_version(name) for name in spec.packages},
                    "not run because": obstacles.get(spec.name),
                }
                for spec in specs
            ],
        },
    )


def _device(name: str) -> str:
    import torch

    if name.startswith("cuda") and torch.cuda.is_available():
        return f"{name} ({torch.cuda.get_device_name(torch.device(name))})"
    return name


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value)
