"""What ImageReward was trained to see of a picture: its centre, with the short side at 224 pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def crop(images: Tensor, side: int) -> Tensor:
    """Bring pictures (B, H, W, 3) in [0, 1] to (B, 3, side, side) uint8 on the CPU, before normalisation.

    As the reference has it: 8 bits, the short side resized by Pillow (bicubic), then the centre; by torchvision's own
    transforms, since other libraries' image processors differ by a pixel or a grey level.
    """
    import numpy as np
    from PIL import Image
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    transform = Compose([Resize(side, interpolation=InterpolationMode.BICUBIC), CenterCrop(side)])
    pictures = []
    for image in images:
        picture = Image.fromarray(image.mul(255.0).round_().to(torch.uint8).cpu().numpy())
        pictures.append(torch.from_numpy(np.array(transform(picture))).permute(2, 0, 1))
    return torch.stack(pictures)
