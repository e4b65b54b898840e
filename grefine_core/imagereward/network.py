"""ImageReward's network, of transformers' BLIP parts: a ViT, a BERT that reads the picture by cross-attention, a head.

The reference (THUDM/ImageReward, Apache-2.0) is BLIP's code of 2022 with a head of five linear layers. Two things
differ from the library's defaults and show in no name and no shape: the image encoder's norms have eps 1e-6, and the
text encoder has twelve heads.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError, ModelFileError
from ..files import read_json, write_text

# How large an ImageReward network is: the published one, or a smaller one that says so beside its weights.

FORMAT = "grefine-imagereward-1"
LARGEST, MOST_LAYERS = 1 << 24, 256
"""Beyond any network; one is built from its sizes before its weights are looked at."""


@dataclass(frozen=True)
class Sizes:
    """Widths, depths and numbers of heads; the defaults are the published network's (BLIP, ViT-L/16 and BERT-base).

    Raises:
        InputError: a size below 1, or widths that the heads do not divide.
    """

    image_size: int = 224
    patch_size: int = 16
    vision_width: int = 1024
    vision_layers: int = 24
    vision_heads: int = 16
    vision_mlp: int = 4096
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    text_mlp: int = 3072
    vocabulary: int = 30524
    """bert-base-uncased's 30522 tokens, then ``[DEC]`` and ``[ENC]``."""
    positions: int = 512
    text_length: int = 35
    """Tokens of a text at most, with start and end; longer ones are cut."""
    joint_width: int = 256

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            most = MOST_LAYERS if "layers" in name else LARGEST
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise InputError(f"sizes: {name} has to be a whole number from 1 to {most}, got {value!r:.100}.")
        if self.vision_width % self.vision_heads or self.text_width % self.text_heads:
            raise InputError("sizes: the widths have to be multiples of the numbers of heads.")
        if self.image_size % self.patch_size:
            raise InputError("sizes: image_size has to be a multiple of patch_size.")
        if self.text_length > self.positions:
            raise InputError("sizes: text_length may not be above positions.")

    @property
    def side(self) -> int:
        """Patches in a row, and in a column."""
        return self.image_size // self.patch_size

    def save(self, weights: str | Path) -> Path:
        """Write them as ``<stem>.json`` beside a weight file, where loading finds them; returns that path."""
        content = {"format": FORMAT, **asdict(self)}
        return write_text(Path(weights).with_suffix(".json"), json.dumps(content, indent=2) + "\n")


PUBLISHED = Sizes()


def sizes_of(weights: Path) -> Sizes:
    """The sizes in ``<stem>.json`` beside a weight file; the published ones where there is no such file.

    Raises:
        ModelFileError: it is damaged, or about something else.
    """
    file = weights.with_suffix(".json")
    if not file.is_file():
        return PUBLISHED
    try:
        content = read_json(file)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{file}: cannot be read as JSON ({error}); take it away, or write it anew.") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ModelFileError(
            f"{file}: lies beside {weights.name}, but does not name the sizes of an ImageReward network ({FORMAT}). "
            "Give the published weights a folder of their own."
        )
    known = {field.name for field in fields(Sizes)}
    if unknown := sorted(set(content) - known):
        raise ModelFileError(f"{file}: unknown sizes {', '.join(unknown)}; it may have {', '.join(sorted(known))}.")
    try:
        return Sizes(**content)
    except (InputError, TypeError) as error:
        raise ModelFileError(f"{file}: is damaged ({error}).") from error


REWARD_MEAN = 0.16717362830052426
REWARD_STD = 1.0333394966054072
"""Mean and spread of the head's output over the pictures it was trained on; rewards are given relative to them."""


class ImageRewardNetwork(nn.Module):
    """The network, with random weights (see ``load_network`` for published ones), in evaluation mode.

    Submodules: ``vision_model``, ``text_encoder``, ``vision_proj``, ``text_proj`` (BLIP's joint space, of which the
    reward makes no use) and ``mlp`` (the head).

    Args:
        sizes: of the network.
    """

    def __init__(self, sizes: Sizes = PUBLISHED) -> None:
        from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

        super().__init__()
        self.sizes = sizes
        # Only plain attention can say where it looked.
        plain: dict[str, Any] = {"attn_implementation": "eager", "hidden_act": "gelu"}
        vision = BlipVisionConfig(
            hidden_size=sizes.vision_width,
            intermediate_size=sizes.vision_mlp,
            num_hidden_layers=sizes.vision_layers,
            num_attention_heads=sizes.vision_heads,
            image_size=sizes.image_size,
            patch_size=sizes.patch_size,
            layer_norm_eps=1e-6,
            **plain,
        )
        text = BlipTextConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.text_width,
            encoder_hidden_size=sizes.vision_width,
            intermediate_size=sizes.text_mlp,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=sizes.text_heads,
            max_position_embeddings=sizes.positions,
            layer_norm_eps=1e-12,
            # As in the published configuration; only training has any of it.
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
            # Creates the cross-attentions; the forward pass is never a decoder's.
            is_decoder=True,
            pad_token_id=0,
            # [DEC] begins what BLIP writes, and [SEP] ends it; nothing is written here.
            bos_token_id=sizes.vocabulary - 2,
            sep_token_id=min(102, sizes.vocabulary - 1),
            **plain,
        )
        self.vision_model = BlipVisionModel(vision)
        self.text_encoder = BlipTextModel(text, add_pooling_layer=False)
        layers: Any = self.text_encoder.encoder.layer
        for layer in layers:
            own = layer.crossattention.self
            own.key, own.value = SharedLinear.like(own.key), SharedLinear.like(own.value)
        self.vision_proj = nn.Linear(sizes.vision_width, sizes.joint_width)
        self.text_proj = nn.Linear(sizes.text_width, sizes.joint_width)
        self.mlp = Head(sizes.text_width)
        self.eval()

    def image_embeds(self, pixel_values: Tensor) -> Tensor:
        """All tokens of pictures, class token first: (B, 3, n, n) normalised -> (B, 1 + h·w, vision width)."""
        weight = self.vision_proj.weight
        pixels = pixel_values.to(device=weight.device, dtype=weight.dtype)
        # Not the pooled output, which goes through the last norm a second time.
        states: Tensor = self.vision_model(pixel_values=pixels).last_hidden_state
        return states

    def text_states(
        self, input_ids: Tensor, attention_mask: Tensor, image_embeds: Tensor | None, attentions: bool = False
    ) -> Any:
        """transformers' output of the text encoder over (B, L) token ids, looking at ``image_embeds`` (B, N, width).

        None instead of pictures runs the texts alone. ``attentions`` records the attention probabilities. One picture
        for many texts is best given as ``tokens.expand(B, -1, -1)``: its keys and values are then computed once.
        """
        device = self.vision_proj.weight.device
        return self.text_encoder(
            input_ids=input_ids.to(device),
            attention_mask=attention_mask.to(device),
            encoder_hidden_states=image_embeds,
            output_attentions=attentions,
            return_dict=True,
        )

    def reward(self, text_cls: Tensor) -> Tensor:
        """Rewards (B,) of the text encoder's class tokens (B, text width), after looking at the picture.

        Args:
            text_cls: (B, text width).

        Returns:
            (B,), mean 0 and standard deviation 1 over the authors' data.

        Source: Xu et al., ImageReward (arXiv 2304.05977), and its published code for mean and deviation.
        """
        raw: Tensor = self.mlp(text_cls)[:, 0].float()
        return (raw - REWARD_MEAN) / REWARD_STD

    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Rewards (B,) of pictures (B, 3, n, n) for texts (B, L), one each.

        Args:
            pixel_values: (B, 3, n, n), normalised as CLIP's.
            input_ids: (B, L) token ids.
            attention_mask: (B, L), 1 for a token, 0 for padding.

        Returns:
            (B,) float, no bounds; higher is better.

        Source: Xu et al., ImageReward (arXiv 2304.05977).
        """
        embeds = self.image_embeds(pixel_values)
        return self.reward(self.text_states(input_ids, attention_mask, embeds).last_hidden_state[:, 0])


class Head(nn.Module):
    """Five linear layers without activations between them; the numbers of its layers are in the weights' names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, 1024),
            nn.Dropout(0.2),
            nn.Linear(1024, 128),
            nn.Dropout(0.2),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.Linear(64, 16),
            nn.Linear(16, 1),
        )

    def forward(self, states: Tensor) -> Tensor:
        """(B, width) -> (B, 1)."""
        result: Tensor = self.layers(states)
        return result


class SharedLinear(nn.Linear):
    """A linear layer that works once on an input which is one and the same for the whole batch (an expanded view).

    Keys and values of one picture for hundreds of texts would otherwise be most of the work.
    """

    @classmethod
    def like(cls, layer: nn.Linear) -> SharedLinear:
        """The same layer, with the same parameters."""
        shared = cls(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        shared.weight, shared.bias = layer.weight, layer.bias
        return shared

    def forward(self, states: Tensor) -> Tensor:
        """(B, N, in) -> (B, N, out)."""
        if states.ndim == 3 and len(states) > 1 and states.stride(0) == 0:
            once = F.linear(states[:1], self.weight, self.bias)
            return once.expand(len(states), -1, -1)
        return F.linear(states, self.weight, self.bias)


def position_ids(sizes: Sizes) -> Tensor:
    """The text encoder's only buffer, which is in no file of today's transformers."""
    return torch.arange(sizes.positions).expand((1, -1))


# What ImageReward was trained to see of a picture: its centre, with the short side at 224 pixels.


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
