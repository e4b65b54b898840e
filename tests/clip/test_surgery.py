"""V-V attention: against the golden numbers, against the formula written out plainly, on every kind of ViT."""

from __future__ import annotations

import copy
from dataclasses import fields

import pytest
import torch
from open_clip.model import CLIP, CLIPVisionCfg, CustomTextCLIP

from grefine_core.clip.surgery import encode_image, positional_embedding
from grefine_core.errors import InputError

VISION = {"image_size": 32, "layers": 4, "width": 32, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 77, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
CUSTOM_BLOCKS = pytest.mark.skipif(
    "block_type" not in {field.name for field in fields(CLIPVisionCfg)}, reason="this open_clip has no custom blocks"
)


def make_clip(kind: type = CLIP, seed: int = 0, **vision: object) -> torch.nn.Module:
    torch.manual_seed(seed)
    clip = kind(24, {**VISION, **vision}, TEXT).eval()
    # open_clip starts the biases at zero: give them values, or a lost bias would go unnoticed.
    for parameter in clip.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return clip


def pixels(batch: int = 2, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(3))


def split(x: torch.Tensor, heads: int) -> list[torch.Tensor]:
    return [part.squeeze(0) for part in x.chunk(heads, dim=-1)]


def plain_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """softmax(q kᵀ / √d) v, head by head, of (L, D)."""
    out = []
    for qh, kh, vh in zip(*(x.chunk(heads, dim=-1) for x in (q, k, v)), strict=True):
        out.append(torch.softmax(qh @ kh.T * qh.shape[-1] ** -0.5, dim=-1) @ vh)
    return torch.cat(out, dim=-1)


@torch.no_grad()
def by_the_formula(clip: torch.nn.Module, picture: torch.Tensor, blocks: int) -> torch.Tensor:
    """The method's section 1 for one picture (3, H, W), written out."""
    visual = clip.visual
    patches = visual.conv1(picture[None]).flatten(2)[0].T
    x = visual.ln_pre(torch.cat([visual.class_embedding[None], patches]) + visual.positional_embedding)
    layers = list(visual.transformer.resblocks)
    new = None
    for index, block in enumerate(layers):
        if index == len(layers) - blocks:
            new = x.clone()
        y = block.ln_1(x)
        q, k, v = (y @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).chunk(3, dim=-1)
        if new is not None:
            new = new + block.attn.out_proj(plain_attention(v, v, v, block.attn.num_heads))
        x = x + block.attn.out_proj(plain_attention(q, k, v, block.attn.num_heads))
        x = x + block.mlp(block.ln_2(x))
    tokens = x if new is None else torch.cat([x[:1], new[1:]])
    return visual.ln_post(tokens) @ visual.proj


def test_the_golden_features(golden, golden_clip):
    with torch.no_grad():
        features = encode_image(golden_clip, golden.preprocessed, 6)
    torch.testing.assert_close(features, golden.image_features, atol=1e-4, rtol=0)


@pytest.mark.parametrize("blocks", [0, 1, 3, 4])
def test_the_formula(blocks):
    clip = make_clip()
    batch = pixels()
    expected = torch.stack([by_the_formula(clip, picture, blocks) for picture in batch])
    with torch.no_grad():
        torch.testing.assert_close(encode_image(clip, batch, blocks), expected, atol=1e-5, rtol=1e-4)


def test_the_patches_differ_from_an_ordinary_encode_and_the_class_token_does_not():
    clip = make_clip()
    with torch.no_grad():
        ordinary, surgical = encode_image(clip, pixels(), 0), encode_image(clip, pixels(), 3)
        torch.testing.assert_close(surgical[:, 0], clip.encode_image(pixels()), atol=1e-5, rtol=1e-4)
    assert (ordinary[:, 1:] - surgical[:, 1:]).abs().max() > 0.01


@pytest.mark.parametrize("vision", [{}, {"ls_init_value": 0.5}, {"pool_type": "avg"}, {"no_ln_pre": True}], ids=str)
@pytest.mark.parametrize("kind", [CLIP, CustomTextCLIP])
def test_the_class_token_is_the_models_own_for_every_kind(kind, vision):
    clip = make_clip(kind, **vision)
    with torch.no_grad():
        features = encode_image(clip, pixels(), 3)
        torch.testing.assert_close(features[:, 0], clip.encode_image(pixels()), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(encode_image(clip.visual, pixels(), 3), features)


@pytest.mark.parametrize(
    "vision",
    [{"pool_type": "avg", "final_ln_after_pool": True}, pytest.param({"block_type": "custom"}, marks=CUSTOM_BLOCKS)],
    ids=str,
)
def test_unusual_pooling_and_blocks(vision):
    clip = make_clip(**vision)
    with torch.no_grad():
        features = encode_image(clip, pixels(), 3)
        torch.testing.assert_close(features[:, 0], clip.encode_image(pixels()), atol=1e-5, rtol=1e-4)
    assert features.shape == (2, 17, 24)


@CUSTOM_BLOCKS
def test_custom_blocks_give_the_same_as_ordinary_ones_with_the_same_weights():
    ordinary, custom = make_clip(), make_clip(block_type="custom")
    custom.load_state_dict(ordinary.state_dict())
    with torch.no_grad():
        expected = encode_image(ordinary, pixels(), 3)
        torch.testing.assert_close(encode_image(custom, pixels(), 3), expected, atol=1e-5, rtol=1e-4)


def test_layer_scale_applies_to_the_new_path():
    clip = make_clip(ls_init_value=0.5)
    with torch.no_grad():
        before = encode_image(clip, pixels(), 1)
        clip.visual.transformer.resblocks[-1].ls_1.gamma.zero_()
        after = encode_image(clip, pixels(), 1)
        # Without any update the new path keeps the last block's input.
        visual = clip.visual
        x = visual.conv1(pixels()).flatten(2).transpose(1, 2)
        x = torch.cat([visual.class_embedding.expand(2, 1, -1), x], dim=1) + visual.positional_embedding
        x = visual.ln_pre(x)
        for block in visual.transformer.resblocks[:-1]:
            x = block(x) if block.attn.batch_first else block(x.transpose(0, 1)).transpose(0, 1)
        torch.testing.assert_close(after[:, 1:], (visual.ln_post(x) @ visual.proj)[:, 1:], atol=1e-5, rtol=1e-4)
    assert (before - after).abs().max() > 1e-3


def test_tokens_first_models_of_older_versions():
    clip = make_clip()
    old = copy.deepcopy(clip)
    for block in old.visual.transformer.resblocks:
        block.attn.batch_first = False
    with torch.no_grad():
        torch.testing.assert_close(
            encode_image(old, pixels(), 2), encode_image(clip, pixels(), 2), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("size", [(48, 48), (64, 32), (24, 40)])
def test_other_sizes_interpolate_the_positions_and_leave_the_model_alone(size):
    clip = make_clip()
    before = {name: tensor.clone() for name, tensor in clip.state_dict().items()}
    with torch.no_grad():
        own = clip.encode_image(pixels())
        features = encode_image(clip, pixels(2, *size), 3)
        again = clip.encode_image(pixels())
    grid = (size[0] // 8, size[1] // 8)
    assert features.shape == (2, 1 + grid[0] * grid[1], 24)
    torch.testing.assert_close(own, again, rtol=0, atol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in clip.state_dict().items())

    # A model of that size with the positions interpolated by hand gives the same class token.
    large = make_clip(image_size=size)
    weights = dict(before)
    positions = weights["visual.positional_embedding"]
    square = positions[1:].reshape(1, 4, 4, 32).permute(0, 3, 1, 2)
    square = torch.nn.functional.interpolate(square, size=grid, mode="bilinear", align_corners=False)
    weights["visual.positional_embedding"] = torch.cat([positions[:1], square.flatten(2)[0].T])
    large.load_state_dict(weights)
    with torch.no_grad():
        torch.testing.assert_close(features[:, 0], large.encode_image(pixels(2, *size)), atol=1e-5, rtol=1e-4)


def test_own_grid_is_not_interpolated():
    visual = make_clip().visual
    assert positional_embedding(visual, (4, 4)) is visual.positional_embedding


def test_a_batch_gives_what_single_pictures_give():
    clip = make_clip()
    batch = pixels(4)
    with torch.no_grad():
        together = encode_image(clip, batch, 3)
        alone = torch.cat([encode_image(clip, picture[None], 3) for picture in batch])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models(dtype):
    clip = make_clip()
    with torch.no_grad():
        expected = encode_image(clip, pixels(), 3)
        features = encode_image(copy.deepcopy(clip).to(dtype), pixels(), 3)
    assert features.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(features, expected, dim=-1).min() > 0.99


def test_patch_dropout_never_applies():
    clip = make_clip(patch_dropout=0.5).train()
    with torch.no_grad():
        first, second = encode_image(clip, pixels(), 3), encode_image(clip, pixels(), 3)
    assert first.shape == (2, 17, 24)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-5)


def test_gradients_flow_and_the_input_is_not_written_to():
    batch = pixels().requires_grad_()
    kept = batch.detach().clone()
    encode_image(make_clip(), batch, 3).sum().backward()
    assert batch.grad.abs().sum() > 0
    assert torch.equal(batch.detach(), kept)


def test_image_encoders_of_other_kinds_are_refused():
    resnet = CLIP(24, {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8}, TEXT)
    with pytest.raises(InputError, match="ModifiedResNet"):
        encode_image(resnet, pixels(1, 64, 64))
    pooled = make_clip(attentional_pool=True, attn_pooler_heads=4)
    with pytest.raises(InputError, match="attentional pooling"):
        encode_image(pooled, pixels())
    with pytest.raises(InputError, match="Linear"):
        encode_image(torch.nn.Linear(2, 2), pixels())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(1, 32, 32, 3), "B, 3, H, W"),
        (torch.zeros(3, 32, 32), "B, 3, H, W"),
        (torch.zeros(1, 3, 30, 32), "multiple of the patch size 8×8"),
        (torch.zeros(0, 3, 32, 32), "empty"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "floats"),
        (torch.full((1, 3, 32, 32), float("nan")), "NaN"),
        ("picture", "str"),
    ],
)
def test_bad_pictures(values, message):
    with pytest.raises(InputError, match=message):
        encode_image(make_clip(), values, 2)


@pytest.mark.parametrize("blocks", [-1, 5, 1.0, True, None])
def test_bad_depths(blocks):
    with pytest.raises(InputError, match="blocks"):
        encode_image(make_clip(), pixels(), blocks)
