"""kornia and scipy, kornia and torch, NLTK and the plain loop: what each costs where the project had the choice.

    python benchmarks/libraries.py [--side 1024] [--json FILE]

Seconds are those that the process computed, on one thread. "Off" is the largest difference from the exact answer:
Pillow's resizing in float32, scipy's distances and connected parts, the dilated convolution of torch.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def main() -> None:
    """Measure, print a Markdown table, write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="of the picture, pixels")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(options.side)
    print(f"| {options.side}² | with | seconds | off |\n|---|---|---:|---:|")
    for row in rows:
        print(f"| {row['what']} | {row['by']} | {row['seconds']:.2f} | {row['off']:.1e} |")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def measure(side: int) -> list[dict[str, Any]]:
    """One row for each task and library."""
    import kornia
    from PIL import Image
    from scipy import ndimage

    from grefine_core.masks import grow_mask, label_regions
    from grefine_core.refine.color import wavelet_color
    from grefine_core.refine.crops import resize_images

    draw = torch.Generator().manual_seed(1)
    picture = torch.rand(1, side, side, 3, generator=draw)
    planes = picture.permute(0, 3, 1, 2)
    dots = (torch.rand(1, 1, side, side, generator=draw) > 0.999).float()
    dotted = dots[0, 0].numpy() > 0
    rows: list[dict[str, Any]] = []

    def row(what: str, by: str, work: Callable[[], Tensor], exact: Tensor) -> None:
        begin = time.process_time()
        result = work()
        seconds = time.process_time() - begin
        rows.append({"what": what, "by": by, "seconds": seconds, "off": float((result - exact).abs().max())})

    half = (side // 2, side // 2)
    channels = [
        np.asarray(Image.fromarray(p.numpy()).resize(half, Image.Resampling.BICUBIC)) for p in picture[0].unbind(-1)
    ]
    small = torch.from_numpy(np.stack(channels, -1))[None].clamp(0.0, 1.0)
    row("halve the size, antialiased", "torch", lambda: resize_images(picture, half), small)
    resize = kornia.geometry.transform.resize
    row(
        "halve the size, antialiased",
        "kornia",
        lambda: resize(planes, half, interpolation="bicubic", antialias=True).clamp(0, 1).permute(0, 2, 3, 1),
        small,
    )
    for radius in (2, 5, 10):
        disc = torch.from_numpy(np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius).float()
        grown = torch.from_numpy(grow_mask(dotted, radius)).float()
        row(
            f"grow by {radius} pixels",
            "scipy",
            lambda radius=radius: torch.from_numpy(grow_mask(dotted, radius)).float(),
            grown,
        )
        row(
            f"grow by {radius} pixels",
            "kornia",
            lambda disc=disc: kornia.morphology.dilation(dots, disc)[0, 0],
            grown,
        )
    away = torch.from_numpy(ndimage.distance_transform_edt(~dotted)).float()
    row("distances", "scipy", lambda: torch.from_numpy(ndimage.distance_transform_edt(~dotted)).float(), away)
    row("distances", "kornia", lambda: kornia.contrib.distance_transform(dots)[0, 0], away)
    wide = grow_mask(dotted, 20)
    count = torch.tensor(float(ndimage.label(wide, structure=np.ones((3, 3)))[1]))
    row(
        "number of connected parts",
        "scipy",
        lambda: torch.tensor(float(label_regions(torch.from_numpy(wide))[1])),
        count,
    )
    row("number of connected parts", "kornia", lambda: parts(torch.from_numpy(wide)), count)
    coarse = dilated(planes)
    row("coarse part of five levels", "torch", lambda: dilated(planes), coarse)
    row(
        "coarse part of five levels",
        "kornia",
        lambda: wavelet_color(torch.zeros_like(picture), picture).permute(0, 3, 1, 2),
        coarse,
    )
    return rows


def parts(mask: Tensor) -> Tensor:
    """How many connected parts kornia finds, in as many steps as it takes unasked."""
    from kornia.contrib import connected_components

    return connected_components(mask[None, None].float()).unique().count_nonzero().float()


def dilated(planes: Tensor, levels: int = 5) -> Tensor:
    """The low frequencies of ``(B, C, H, W)`` by dilated convolutions."""
    count = planes.shape[1]
    taps = torch.tensor([0.25, 0.5, 0.25]).repeat(count, 1)
    for far in (2**level for level in range(levels)):
        planes = F.pad(planes, (far, far, 0, 0), mode="replicate")
        planes = F.conv2d(planes, taps[:, None, None, :], dilation=(1, far), groups=count)
        planes = F.pad(planes, (0, 0, far, far), mode="replicate")
        planes = F.conv2d(planes, taps[:, None, :, None], dilation=(far, 1), groups=count)
    return planes


if __name__ == "__main__":
    main()
