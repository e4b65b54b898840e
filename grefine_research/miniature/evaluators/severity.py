"""How bad every place of a picture is, without knowing the clean one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..sample import FACTORS
from .network import OUT, Trunk, planes


class SeverityEvaluator(nn.Module):
    """Estimates the strength of technical, rational and natural defects in every cell.

    What it learned to say of a cell is the defect's strength times the share of the cell that it covers; a cell without
    defects is 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.head = nn.Conv2d(OUT, len(FACTORS), 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> logits (B, 3, H/4, W/4) in the order of ``FACTORS``."""
        cells, _ = self.trunk(pictures)
        logits: Tensor = self.head(cells)
        return logits

    @torch.no_grad()
    def maps(self, images: Tensor, batch: int = 32) -> Tensor:
        """Score pictures.

        Args:
            images: (B, H, W, 3) float32 in [0, 1].
            batch: pictures at once, at most.

        Returns:
            (B, 3, H/4, W/4) float32 in [0, 1], one map for each of ``FACTORS``.
        """
        device = self.head.weight.device
        return torch.cat([torch.sigmoid(self(planes(part.to(device)))).cpu() for part in images.split(batch)])


def inside(maps: Tensor, mask: Tensor) -> Tensor:
    """Mean of every map over a mask.

    Args:
        maps: (K, h, w).
        mask: (H, W), a multiple of the maps' size; above 0 counts.

    Returns:
        (K,); 0 where the mask is empty.
    """
    height, width = maps.shape[-2:]
    share = F.adaptive_avg_pool2d((mask > 0).float()[None, None], (height, width))[0, 0]
    total = share.sum()
    if float(total) == 0.0:
        return maps.new_zeros(maps.shape[0])
    return (maps * share).sum(dim=(1, 2)) / total


def overall(maps: Tensor) -> Tensor:
    """Severity of whole pictures (B, 3, h, w) -> (B,): mean over the cells of ``1 - Π (1 - s_f)``."""
    return (1.0 - (1.0 - maps).prod(dim=1)).mean(dim=(1, 2))
