"""Pictures in and out without the rounding of picture files, and lists of plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch


class LoadTensor:
    """``input/NAME.npy`` as an IMAGE and, the same numbers, as a MASK; nothing is checked or converted."""

    CATEGORY, FUNCTION = "grefine tests", "load"
    RETURN_TYPES = ("IMAGE", "MASK")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"name": ("STRING", {"default": ""})}}

    @classmethod
    def IS_CHANGED(cls, name: str) -> float:  # noqa: N802
        return (Path(folder_paths.get_input_directory()) / f"{name}.npy").stat().st_mtime_ns

    def load(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        tensor = torch.from_numpy(np.load(Path(folder_paths.get_input_directory()) / f"{name}.npy"))
        return tensor, tensor


class CaptureTensors:
    """Writes every tensor of the list that it gets to ``output/NAME_0.npy``, ``NAME_1.npy`` …"""

    CATEGORY, FUNCTION, OUTPUT_NODE, INPUT_IS_LIST = "grefine tests", "capture", True, True
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"tensor": ("*", {}), "name": ("STRING", {"default": "capture"})}}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types: dict[str, str]) -> bool:  # noqa: N802
        return True

    def capture(self, tensor: list[torch.Tensor], name: list[str]) -> dict[str, Any]:
        folder = Path(folder_paths.get_output_directory())
        folder.mkdir(parents=True, exist_ok=True)
        for number, value in enumerate(tensor):
            np.save(folder / f"{name[0]}_{number}.npy", value.detach().cpu().numpy())
        return {"ui": {"text": [str(len(tensor))]}}


class Values:
    """Lines of text as lists: as they are, and as numbers and truth values where they are some."""

    CATEGORY, FUNCTION = "grefine tests", "split"
    RETURN_TYPES = ("STRING", "FLOAT", "INT", "BOOLEAN")
    OUTPUT_IS_LIST = (True, True, True, True)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"lines": ("STRING", {"default": "", "multiline": True})}}

    def split(self, lines: str) -> tuple[list[str], list[float], list[int], list[bool]]:
        texts = lines.splitlines()

        def number(text: str) -> float:
            try:
                return float(text)
            except ValueError:
                return 0.0

        numbers = [number(text) for text in texts]
        return texts, numbers, [int(value) for value in numbers], [value != 0 for value in numbers]


class Sigmas:
    """SIGMAS from numbers with blanks between, exactly."""

    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "read", ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"levels": ("STRING", {"default": "1 0"})}}

    def read(self, levels: str) -> tuple[torch.Tensor]:
        return (torch.tensor([float(level) for level in levels.split()]),)
