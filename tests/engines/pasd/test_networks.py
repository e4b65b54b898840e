"""The networks give the reference implementation's numbers, whatever the size, batch or scale."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel

from grefine_core.engines.folders import arguments_of
from grefine_core.engines.pasd.model import PasdModel, Variant
from grefine_core.engines.pasd.unet import PasdUNet, build_controlnet
from grefine_core.errors import InputError

from ...tiny_models.naming import fill_by_name

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
CONFIG = json.loads((GOLDEN / "pasd_tiny_config.json").read_text())
CASES = list(CONFIG["cases"])
#: What the golden numbers allow.
TOLERANCE = 1e-4


def fill(network: torch.nn.Module) -> torch.nn.Module:
    """The golden numbers' weights: 0.05 noise, norms around 1."""
    norms = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.GroupNorm | torch.nn.LayerNorm)
    }
    return fill_by_name(network, lambda name, noise: (name in norms) + 0.05 * noise, salt="")


def networks(light: bool, rrdb: bool, layers: int = 1) -> SimpleNamespace:
    config = {**CONFIG["tiny_unet_config"], "layers_per_block": layers}
    control = arguments_of(ControlNetModel, {**config, **CONFIG["controlnet_extra"]})
    return SimpleNamespace(
        unet=fill(PasdUNet(light=light, **config)), controlnet=fill(build_controlnet(control, rrdb=rrdb))
    )


@pytest.fixture(scope="module")
def tiny():
    kept = {}

    def get(light=False, rrdb=False, layers=1):
        key = (light, rrdb, layers)
        if key not in kept:
            kept[key] = networks(*key)
        return kept[key]

    return get


@pytest.fixture(scope="module", params=CASES)
def case(request, tiny):
    settings = CONFIG["cases"][request.param]
    with np.load(GOLDEN / "pasd_tiny_golden.npz") as data:
        numbers = {
            name.removeprefix(request.param + "/"): torch.from_numpy(data[name])
            for name in data.files
            if name.startswith(request.param + "/")
        }
    nets = tiny(settings["variant"] == "pasd_light", settings["use_rrdb"], settings["layers_per_block"])
    return SimpleNamespace(**settings, numbers=numbers, nets=nets)


def residuals(nets, sample, states, condition, timestep=500, scale=1.0):
    with torch.no_grad():
        return nets.controlnet(
            sample,
            timestep,
            encoder_hidden_states=states,
            controlnet_cond=condition,
            conditioning_scale=scale,
            return_dict=False,
        )


def run(nets, sample, states, condition, timestep=500, scale=1.0):
    down, middle = residuals(nets, sample, states, condition, timestep, scale)
    with torch.no_grad():
        return nets.unet(sample, timestep, states, down, middle)


def inputs(n=1, h=8, w=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, 4, h, w, generator=generator),
        torch.randn(n, 7, 32, generator=generator),
        torch.rand(n, 3, 8 * h, 8 * w, generator=generator),
    )


def golden_inputs(case):
    return [case.numbers[f"input.{name}"] for name in ("sample", "encoder_hidden_states", "controlnet_cond")]


def test_residuals_are_the_reference(case):
    down, middle = residuals(case.nets, *golden_inputs(case), case.timestep, case.conditioning_scale)
    assert len(down) == sum(name.startswith("down") for name in case.numbers)
    for i, tensor in enumerate(down):
        torch.testing.assert_close(tensor, case.numbers[f"down{i}.full"], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(middle, case.numbers["mid.full"], rtol=0, atol=TOLERANCE)


def test_noise_is_the_reference(case):
    out = run(case.nets, *golden_inputs(case), case.timestep, case.conditioning_scale)
    torch.testing.assert_close(out, case.numbers["out"], rtol=0, atol=TOLERANCE)


def test_unet_on_the_references_residuals(case):
    """The UNet by itself: a mistake in the ControlNet cannot hide one here."""
    sample, states, _ = golden_inputs(case)
    down = [case.numbers[f"down{i}.full"] for i in range(8)]
    with torch.no_grad():
        out = case.nets.unet(sample, torch.tensor(case.timestep), states, down, case.numbers["mid.full"])
    torch.testing.assert_close(out, case.numbers["out"], rtol=0, atol=TOLERANCE)


def test_stock_classes_lose_the_attention_to_the_condition(case):
    """diffusers' own UNet takes the same weights with a warning at most, and is far off."""
    sample, states, _ = golden_inputs(case)
    stock = fill(UNet2DConditionModel(**CONFIG["tiny_unet_config"]))
    ours, theirs = case.nets.unet.state_dict(), stock.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    down = [case.numbers[f"down{i}.full"] for i in range(8)]
    with torch.no_grad():
        out = stock(
            sample,
            case.timestep,
            states,
            down_block_additional_residuals=down,
            mid_block_additional_residual=case.numbers["mid.full"],
        ).sample
    assert (out - case.numbers["out"]).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("light", [False, True])
def test_every_attention_to_the_condition_counts(light, tiny):
    """Take one of them out at a time: the result changes, and only by that."""
    nets, given = tiny(light), inputs()
    whole = run(nets, *given)
    seen = 0
    for block in nets.unet.up_blocks:
        for k, resnet in enumerate(block.resnets):
            if light:
                if not hasattr(block, "attentions"):
                    continue
                last = block.attentions[k].transformer_blocks[0].attn2_plus.to_out[0]
            else:
                last = block.pixel_attentions[k].proj_out
            kept = {name: tensor.clone() for name, tensor in last.state_dict().items()}
            with torch.no_grad():
                last.weight.zero_()
                last.bias.zero_()
            without = run(nets, *given)
            last.load_state_dict(kept)
            assert (without - whole).abs().max() > 1e-4, (resnet.out_channels, k)
            seen += 1
    assert seen == (6 if light else 8)
    torch.testing.assert_close(run(nets, *given), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("light", [False, True])
def test_context_is_the_residual_alone(light, tiny):
    """Residuals move the result even where the skips take them back: the attentions see them by themselves."""
    nets, (sample, states, condition) = tiny(light), inputs()
    down, middle = residuals(nets, sample, states, condition)
    zero = [torch.zeros_like(tensor) for tensor in down]
    unet = nets.unet

    def compensated(residual_values):
        """The UNet with skips that lack what the residuals add."""
        steps = iter(residual_values)

        def subtract(module, args, output):
            hidden, more = output
            return hidden, tuple(skip - next(steps) for skip in more)

        first = next(steps)
        handles = [block.register_forward_hook(subtract) for block in unet.down_blocks]
        # conv_in's output goes both on and to the first skip, so its residual cannot be taken back: leave it out.
        values = [torch.zeros_like(first), *residual_values[1:]]
        try:
            with torch.no_grad():
                return unet(sample, 500, states, values, torch.zeros_like(middle))
        finally:
            for handle in handles:
                handle.remove()

    assert (compensated(list(down)) - compensated(zero)).abs().max() > 1e-3


@pytest.mark.parametrize(("light", "rrdb"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_batch_is_its_rows(light, rrdb, scale, tiny):
    nets, given = tiny(light, rrdb), inputs(n=2, h=9, w=7)
    both = run(nets, *given, scale=scale)
    for row in range(2):
        one = run(nets, *(part[row : row + 1] for part in given), scale=scale)
        torch.testing.assert_close(both[row : row + 1], one, rtol=0, atol=1e-5)
    assert (both[0] - both[1]).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(8, 24), (9, 7), (13, 16), (1, 1), (5, 18)])
@pytest.mark.parametrize("light", [False, True])
def test_any_size(size, light, tiny):
    out = run(tiny(light), *inputs(h=size[0], w=size[1]))
    assert out.shape == (1, 4, *size)
    assert torch.isfinite(out).all()


def test_size_of_stock_diffusers(tiny):
    """Odd sizes go through the up path as in diffusers: with the attentions silenced the two agree."""
    nets = networks(light=False, rrdb=False)
    given = inputs(h=9, w=14)
    for block in nets.unet.up_blocks:
        for attention in block.pixel_attentions:
            torch.nn.init.zeros_(attention.proj_out.weight)
            torch.nn.init.zeros_(attention.proj_out.bias)
    stock = fill(UNet2DConditionModel(**CONFIG["tiny_unet_config"]))
    down, middle = residuals(nets, *given)
    with torch.no_grad():
        theirs = stock(
            given[0],
            500,
            given[1],
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        ours = nets.unet(given[0], 500, given[1], down, middle)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("light", [False, True])
def test_two_layers_a_block_as_the_real_ones_have(light, tiny):
    nets = tiny(light, layers=2)
    assert len(residuals(nets, *inputs())[0]) == 12
    assert run(nets, *inputs(h=7)).shape == (1, 4, 7, 8)


def test_scale_scales_the_residuals(tiny):
    given = inputs()
    (down, middle), (half, half_middle) = (residuals(tiny(), *given, scale=s) for s in (1.0, 0.5))
    torch.testing.assert_close(half_middle, 0.5 * middle)
    for one, other in zip(down, half, strict=True):
        torch.testing.assert_close(other, 0.5 * one)
    outs = [run(tiny(), *given, scale=scale) for scale in (0.0, 0.5, 1.0)]
    assert all((a - b).abs().max() > 1e-3 for a, b in ((outs[0], outs[1]), (outs[1], outs[2])))


def model_of(nets, light=False):
    """A PasdModel without text encoder; ``predict`` needs none."""
    vae = SimpleNamespace(config=SimpleNamespace(block_out_channels=[1] * 4, scaling_factor=0.18215, latent_channels=4))
    return PasdModel(nets.unet, nets.controlnet, vae, None, None, {}, Variant(light=light))


@pytest.mark.parametrize("timestep", [500, 500.0, torch.tensor(500), np.int64(500)])
def test_predict_is_both_networks(timestep, tiny):
    given = inputs(n=2)
    ours = model_of(tiny()).predict(given[0], timestep, given[1], given[2], 0.7)
    torch.testing.assert_close(ours, run(tiny(), *given, scale=0.7), rtol=0, atol=1e-4)
    assert not ours.requires_grad


def test_predict_in_half_precision_answers_in_the_callers_type():
    nets, given = networks(light=False, rrdb=True), inputs()
    exact = run(nets, *given)
    for network in (nets.unet, nets.controlnet):
        network.to(torch.bfloat16)
    model = model_of(nets)
    out = model.predict(given[0], 500, given[1], given[2])
    assert model.dtype == torch.bfloat16
    assert out.dtype == torch.float32
    assert (out - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize(
    ("part", "shape", "name"),
    [
        (0, (1, 3, 8, 8), "latents"),
        (1, (2, 7, 32), "states"),
        (1, (1, 7, 33), "states"),
        (2, (1, 3, 64, 56), "condition"),
        (2, (2, 3, 64, 64), "condition"),
    ],
)
def test_predict_names_what_does_not_fit(part, shape, name, tiny):
    given = list(inputs())
    given[part] = torch.zeros(shape)
    with pytest.raises(InputError, match=rf"^{name}: expected"):
        model_of(tiny()).predict(given[0], 500, given[1], given[2])


def test_unet_wants_all_residuals(tiny):
    sample, states, condition = inputs()
    down, middle = residuals(tiny(), sample, states, condition)
    with pytest.raises(InputError, match="expected 8 of them, got 7"):
        tiny().unet(sample, 500, states, down[:-1], middle)


@pytest.mark.parametrize(
    "changed",
    [
        {"only_cross_attention": True},
        {"class_embed_type": "timestep"},
        {"encoder_hid_dim": 16, "encoder_hid_dim_type": "text_proj"},
        {"up_block_types": ["UpBlock2D", "SimpleCrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]},
        {"addition_embed_type": "text"},
    ],
)
def test_settings_that_forward_would_pass_over_are_refused(changed):
    with pytest.raises(InputError, match=next(iter(changed))):
        PasdUNet(**{**CONFIG["tiny_unet_config"], **changed})


def test_seam_for_sdxl():
    """A UNet of SDXL's kind: three blocks, its own number of heads in each, pooled text and sizes added."""
    config = {
        "block_out_channels": [32, 64, 64],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": [2, 4, 8],
        "transformer_layers_per_block": [1, 1, 2],
        "layers_per_block": 2,
        "norm_num_groups": 8,
        "cross_attention_dim": 32,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 16 + 6 * 8,
    }
    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    nets = SimpleNamespace(
        unet=fill(PasdUNet(**config)),
        controlnet=fill(build_controlnet({**arguments_of(ControlNetModel, config), **added})),
    )
    assert [len(pixels.transformer_blocks) for pixels in nets.unet.up_blocks[0].pixel_attentions] == [2, 2, 2]
    assert nets.unet.up_blocks[0].pixel_attentions[0].transformer_blocks[0].attn2.heads == 8
    sample, states, condition = inputs()
    extra = {"text_embeds": torch.randn(1, 16), "time_ids": torch.ones(1, 6)}
    with torch.no_grad():
        down, middle = nets.controlnet(sample, 5, states, condition, added_cond_kwargs=extra, return_dict=False)
        out = nets.unet(sample, 5, states, down, middle, extra)
        other = nets.unet(sample, 5, states, down, middle, {**extra, "text_embeds": torch.randn(1, 16)})
    assert out.shape == sample.shape
    assert not torch.equal(out, other)
    with pytest.raises(InputError, match="added_cond_kwargs"):
        nets.unet(sample, 5, states, down, middle)


def test_time_and_added_conditions_are_stock_diffusers(tiny):
    """Against diffusers' own embedding: whole numbers, fractions, one a row, half precision."""
    unet = tiny().unet
    stock = fill(UNet2DConditionModel(**CONFIG["tiny_unet_config"]))
    sample = torch.zeros(2, 4, 8, 8)
    for timestep in (0, 999, 123.5, torch.tensor(7), torch.tensor([7, 8])):
        with torch.no_grad():
            theirs = stock.time_embedding(stock.get_time_embed(sample, timestep))
            torch.testing.assert_close(unet._time(sample, timestep, None), theirs, rtol=0, atol=1e-4)
