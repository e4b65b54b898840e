"""What a weight file is, told by the names of its tensors: to say of a wrong file what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

TEXT_ALONE = "the text encoder of a CLIP model alone"
VISION_ALONE = "the vision tower of a CLIP model alone"

_VISION = ("visual.", "vision_model.")
_TEXT = (
    "text_model.",
    "token_embedding.",
    "text.token_embedding.",
    "transformer.resblocks.",
    "text.transformer.resblocks.",
)


@dataclass(frozen=True)
class _Names:
    """Of a file's tensors."""

    all: frozenset[str]

    def starts(self, *prefixes: str) -> bool:
        return any(name.startswith(prefixes) for name in self.all)

    def has(self, *parts: str) -> bool:
        return any(part in name for name in self.all for part in parts)


#: What it is, how it is told, and what to take instead or where to give it. The first that holds counts.
_KINDS: tuple[tuple[str, Callable[[_Names], bool], str], ...] = (
    (
        "a LoRA",
        lambda names: names.has("lora_up.", "lora_down.", "lora_A.", "lora_B."),
        "It changes another model and measures nothing.",
    ),
    (
        "a diffusion checkpoint",
        lambda names: names.starts("model.diffusion_model.", "first_stage_model.", "cond_stage_model.", "conditioner."),
        "It has no image encoder of CLIP's. Load it with Load Checkpoint; the quality model needs a CLIP.",
    ),
    (
        "a VAE",
        lambda names: names.has("decoder.up.", "decoder.up_blocks.") and not names.starts("down_blocks."),
        "It belongs in models/vae.",
    ),
    (
        "a diffusion model",
        lambda names: (
            names.starts("down_blocks.", "double_blocks.", "joint_blocks.", "transformer_blocks.")
            or names.starts("input_blocks.", "controlnet_", "single_transformer_blocks.")
        ),
        "It draws pictures and measures none.",
    ),
    (
        "a T5 text encoder",
        lambda names: names.starts("encoder.block.0.layer.0.SelfAttention", "decoder.block.0.layer.0.SelfAttention"),
        "It has no image encoder.",
    ),
    (
        "ImageReward, or another model made of BLIP",
        lambda names: names.starts("blip.", "visual_encoder."),
        "Give it as the encoder of alignment (--alignment-encoder, or alignment_encoder of Load Quality Model).",
    ),
    (
        "SigLIP",
        lambda names: (
            names.starts("vision_model.head.", "visual.trunk.attn_pool.")
            or (names.starts("vision_model.") and "text_model.head.weight" in names.all)
        ),
        "Its image encoder has no class token, which the maps need. Take a CLIP with a ViT.",
    ),
    (
        "a CLIP with an image encoder of timm (EVA, ConvNeXt, SigLIP, …)",
        lambda names: names.starts("visual.trunk."),
        "V-V attention needs open_clip's own ViT. Take a CLIP with one, such as ViT-B/16.",
    ),
    (
        "a CLIP with a ResNet",
        lambda names: names.starts("visual.layer1.", "visual.attnpool."),
        "V-V attention needs a ViT. Take ViT-B/16, for one.",
    ),
    (
        "a language model",
        lambda names: names.starts("model.layers.0.", "model.embed_tokens."),
        "It has no image encoder.",
    ),
    (
        "an image encoder without texts (DINO or the like)",
        lambda names: names.starts("blocks.0.", "encoder.layer.0.") and names.has("cls_token", "patch_embed"),
        "The quality model compares pictures with texts: take a CLIP.",
    ),
    (
        "PQ embeddings",
        lambda names: (
            {"overall", "technical", "rational", "natural"} <= names.all
            or any(name.startswith("prompt_learner.") for name in names.all)
        ),
        "Give them as embeddings; the weights are those of a CLIP.",
    ),
    (
        TEXT_ALONE,
        lambda names: names.starts(*_TEXT) and not names.starts(*_VISION),
        "The image encoder is missing. Take the whole model in one file, or give the vision tower that belongs to it "
        "as well (--clip-vision, or vision_tower of Load Quality Model).",
    ),
    (
        VISION_ALONE,
        lambda names: names.starts(*_VISION) and not names.starts(*_TEXT),
        "The text encoder is missing. Take the whole model in one file, or give the text encoder that belongs to it as "
        "the weights and this file as their vision tower (--clip-vision, or vision_tower of Load Quality Model).",
    ),
)


def kind_of(names: Iterable[str]) -> tuple[str, str] | None:
    """What a file with tensors of these names is, and what to do with it; None for a whole CLIP with a ViT, and for
    what is not known."""
    found = _Names(frozenset(names))
    return next(((kind, advice) for kind, is_it, advice in _KINDS if is_it(found)), None)
