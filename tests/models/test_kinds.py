"""Wrong files are named for what they are, and two towers in files of their own are joined."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from grefine_core import load_quality_model, perceptual_quality
from grefine_core.clip.architectures import build, by_name, detect
from grefine_core.clip.loading import load_clip
from grefine_core.errors import ModelFileError
from grefine_core.models.files import shapes_of
from grefine_core.models.kinds import kind_of

from ..tiny_models.clip import CLIP_CONFIG

OTHERS = {
    "diffusion checkpoint": ["model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.x"],
    "diffusion model": ["down_blocks.0.resnets.0.conv1.weight", "conv_in.weight", "time_embedding.linear_1.weight"],
    "VAE": ["encoder.down.0.block.0.conv1.weight", "decoder.up.0.block.0.conv1.weight"],
    "LoRA": ["lora_unet_down_blocks_0.lora_down.weight", "lora_unet_down_blocks_0.lora_up.weight"],
    "T5": ["shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"],
    "SigLIP": ["vision_model.embeddings.patch_embedding.weight", "vision_model.head.probe", "text_model.head.weight"],
    "timm": ["visual.trunk.blocks.0.norm1.weight", "text.token_embedding.weight"],
    "ResNet": ["visual.layer1.0.conv1.weight", "visual.attnpool.q_proj.weight", "token_embedding.weight"],
    "ImageReward": ["blip.visual_encoder.cls_token", "mlp.layers.0.weight"],
    "language model": ["model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight"],
    "without texts": ["cls_token", "blocks.0.norm1.weight", "patch_embed.proj.weight"],
    "PQ embeddings": ["overall", "technical", "rational", "natural"],
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_named_for_what_they_are(tmp_path, kind):
    file = tmp_path / "weights.safetensors"
    save_file({name: torch.zeros(1) for name in OTHERS[kind]}, file)
    with pytest.raises(ModelFileError, match=kind) as error:
        load_clip(file)
    assert str(file) in str(error.value)
    assert len(str(error.value)) < 400


def test_whole_models_are_of_no_other_kind(weights):
    assert kind_of(weights) is None
    assert kind_of(f"text.{name}" if not name.startswith(("visual.", "logit")) else name for name in weights) is None
    assert kind_of(["vision_model.embeddings.class_embedding", "text_model.final_layer_norm.bias"]) is None


def towers(weights, folder):
    vision = {name: tensor for name, tensor in weights.items() if name.startswith("visual.")}
    text = {name: tensor for name, tensor in weights.items() if not name.startswith(("visual.", "logit_scale"))}
    save_file(vision, folder / "vision.safetensors")
    save_file(text, folder / "text.safetensors")
    for name in ("text", "vision"):
        (folder / f"{name}.json").write_text(json.dumps(CLIP_CONFIG), encoding="utf-8")
    return text, vision


def test_a_tower_alone_says_so(folder, weights):
    towers(weights, folder)
    for name, kind, missing in (("text", "text encoder", "image encoder"), ("vision", "vision tower", "text encoder")):
        with pytest.raises(ModelFileError, match=rf"{kind} of a CLIP model alone.*{missing} is missing"):
            load_clip(folder / f"{name}.safetensors")


def test_two_towers_make_a_model(folder, weights, pictures):
    """In either order, under open_clip's or transformers' names; what neither file has is CLIP's own temperature."""
    text, _ = towers(weights, folder)
    whole = load_quality_model(weights=folder / "clip.safetensors", embeddings=folder / "pq.safetensors")
    for first, second in (("text", "vision"), ("vision", "text")):
        joined = load_quality_model(
            weights=folder / f"{first}.safetensors",
            embeddings=folder / "pq.safetensors",
            vision_tower=folder / f"{second}.safetensors",
        )
        texts = ["a cat", "a red ball"]
        torch.testing.assert_close(joined.text_features(texts), whole.text_features(texts))
        torch.testing.assert_close(joined.image_features(pictures).tokens, whole.image_features(pictures).tokens)
        assert joined.temperature == pytest.approx(100.0, rel=1e-4)
        assert perceptual_quality(joined, pictures).score.isfinite().all()

    del text["text_projection"]
    save_file(text, folder / "text.safetensors")
    with pytest.raises(ModelFileError, match=r"text\.safetensors: has no text_projection"):
        load_clip(folder / "text.safetensors", vision=folder / "vision.safetensors")
    with pytest.raises(ModelFileError, match="one file of each"):
        load_clip(folder / "clip.safetensors", vision=folder / "vision.safetensors")
    narrow = {**text, "text_projection": torch.zeros(32, 16)}
    save_file(narrow, folder / "text.safetensors")
    with pytest.raises(ModelFileError, match="do not belong together"):
        load_clip(folder / "text.safetensors", vision=folder / "vision.safetensors")


def test_towers_in_the_layout_of_transformers(tmp_path):
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 1}
    theirs = CLIPModel(
        CLIPConfig(
            text_config={**sizes, "vocab_size": 99, "max_position_embeddings": 77, "eos_token_id": 98},
            vision_config={**sizes, "image_size": 32, "patch_size": 8},
            projection_dim=24,
        )
    ).eval()
    tensors = {name: tensor.contiguous() for name, tensor in theirs.state_dict().items()}
    for name, starts in (("text", ("text_model.", "text_projection.")), ("vision", ("vision_model.", "visual_proj"))):
        part = {key: tensor for key, tensor in tensors.items() if key.startswith(starts)}
        save_file(part, tmp_path / f"{name}.safetensors")
    config = {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 99, "width": 64, "heads": 1, "layers": 2},
    }
    (tmp_path / "text.json").write_text(json.dumps(config), encoding="utf-8")
    ours, _ = load_clip(tmp_path / "text.safetensors", vision=tmp_path / "vision.safetensors")
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        images = theirs.get_image_features(pixel_values=pixels)
    images = getattr(images, "pooler_output", images)
    torch.testing.assert_close(ours.encode_image(pixels), images, atol=1e-4, rtol=1e-4)


def test_a_configuration_in_a_flat_folder_counts_for_its_own_file_alone(folder, weights):
    """`open_clip_config.json` came with one file; that it lies beside others says nothing of their activation."""
    (folder / "clip.json").unlink()
    plain = {name: value for name, value in CLIP_CONFIG.items() if name != "quick_gelu"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": plain}), encoding="utf-8")
    clip, _ = load_clip(folder / "clip.safetensors")  # the only CLIP beside it
    assert type(clip.visual.transformer.resblocks[0].mlp.gelu).__name__ == "GELU"

    save_file(weights, folder / "open_clip_model.safetensors")
    clip, _ = load_clip(folder / "open_clip_model.safetensors")
    assert type(clip.visual.transformer.resblocks[0].mlp.gelu).__name__ == "GELU"
    with pytest.raises(ModelFileError, match=r"cannot be told.*clip\.json"):
        load_clip(folder / "clip.safetensors")

    (folder / "open_clip_model.safetensors").rename(folder / "another.safetensors")
    with pytest.raises(ModelFileError, match="cannot be told"):  # two, and of neither is known that it is its own
        load_clip(folder / "clip.safetensors")


def test_the_activation_of_openais_files_stays_beside_a_foreign_configuration(tmp_path, weights):
    """By sizes: OpenAI's ViT-B/16 in one folder with another model's weights and configuration."""
    shapes = shapes_of(build(by_name("ViT-B-16")))
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": by_name("ViT-B-16").model}))
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": {"hidden_act": "gelu"}}))
    assert detect(tmp_path / "ViT-B-16.safetensors", shapes).name == "ViT-B-16-quickgelu"


def test_open_clips_plain_vits_are_known_by_their_sizes(tmp_path):
    for name in ("ViT-H-14", "ViT-g-14", "ViT-bigG-14", "ViT-B-16-plus-240", "ViT-L-14-280", "ViT-S-32"):
        assert detect(tmp_path / "weights.safetensors", shapes_of(build(by_name(name)))).name == name
