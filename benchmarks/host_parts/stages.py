"""Stage 1 against a bare graph of the host's own nodes, and a small mask against the whole frame; see ``stages.py``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import torch
from in_host import Bench
from torch import Tensor, nn

import nodes

#: Networks by name: channels of the UNet's first level (Stable Diffusion 1.5 has 320), and those of the VAE's (128).
SIZES = {"sd15": (320, 128), "fifth": (64, 32)}
CFG, STRENGTH = 6.0, 0.7


def main(bench: Bench) -> None:
    """The tasks that the options name; rows of seconds, interleaved in one process."""
    options = bench.options
    torch.manual_seed(0)
    if options["task"] == "scoring":
        scoring(bench, options["side"], options["repeats"])
        return
    with torch.inference_mode(False):
        model, vae = unet(options["network"]), autoencoder(SIZES[options["network"]][1])
    text = [[torch.randn(1, 77, 768), {"pooled_output": torch.zeros(1, 768)}]]
    models = {"model": [model], "positive": [text], "negative": [text], "vae": [vae]}
    if options["task"] == "overhead":
        overhead(bench, models, options["side"], options["steps"], options["repeats"])
    else:
        crop(bench, models, options["side"], options["steps"], options["repeats"], options["share"])


class Inside:
    """What goes on inside of the networks: seconds, and the sizes of what they were given."""

    def __init__(self, model: Any, vae: Any) -> None:
        self.seconds, self.calls = 0.0, list[tuple[int, ...]]()
        for owner, function in (
            (model.model.diffusion_model, "forward"),
            (vae.first_stage_model, "encode"),
            (vae.first_stage_model, "decode"),
        ):
            setattr(owner, function, self._timed(getattr(owner, function)))

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(first: Tensor, *args: Any, **kwargs: Any) -> Any:
            self.calls.append(tuple(first.shape))
            begin = now()
            result = function(first, *args, **kwargs)
            self.seconds += now() - begin
            return result

        return timed


def overhead(bench: Bench, models: dict[str, Any], side: int, steps: int, repeats: int) -> None:
    """The same work both ways: one picture, all of it sampled, as many calls.

    Seconds of the two are compared, and what each takes outside of the networks: that is steadier where other work
    disturbs the networks, which do the same in both.
    """
    model, vae, text = models["model"][0], models["vae"][0], models["positive"][0]
    inside = Inside(model, vae)

    def bare(side: int = side, steps: int = steps) -> None:
        (latent,) = nodes.VAEEncode().encode(vae, pictures[side])
        (latent,) = nodes.SetLatentNoiseMask().set_mask(latent, box(side, 0.3))
        (latent,) = nodes.common_ksampler(model, 1, steps, CFG, "euler", "normal", text, text, latent, denoise=STRENGTH)
        nodes.VAEDecode().decode(vae, latent)

    def ours(side: int = side, steps: int = steps) -> None:
        stage1(bench, models, pictures[side], box(side, 0.3), steps, min_side=side)

    tasks = {"bare": bare, "ours": ours}
    pictures = {length: torch.rand(1, length, length, 3) for length in (side, side // 2)}
    for task in tasks.values():
        task(side // 2, 1)
    rows: dict[str, dict[str, list[Any]]] = {name: {"seconds": [], "outside": [], "calls": []} for name in tasks}
    for number in range(repeats):
        for name in list(tasks) if number % 2 == 0 else list(tasks)[::-1]:
            inside.seconds, inside.calls = 0.0, []
            begin = now()
            tasks[name]()
            spent = now() - begin
            rows[name]["seconds"].append(spent)
            rows[name]["outside"].append(spent - inside.seconds)
            rows[name]["calls"] = sorted(inside.calls)
    for name, row in rows.items():
        bench.tell(what=name, **row)


def scoring(bench: Bench, side: int, repeats: int) -> None:
    """PQ-Map and AQ-Map of one picture with ViT-B/16 and random weights: nothing that a bare graph would do."""
    import open_clip

    with torch.inference_mode(False):
        clip = open_clip.create_model("ViT-B-16-quickgelu").eval()
        quality = bench.part("grefine_core.clip.quality_model").QualityModel(clip, name="random")
    maps, picture = bench.part("nodes.quality"), torch.rand(1, side, side, 3)
    prompt = "a red balloon above an old stone castle, two white swans on the lake"

    def score() -> None:
        quality.clear_cache(texts=False)
        maps.GRefinePQMap.execute(picture, quality, "paper", 1.0, 1.0, 1.0)
        maps.GRefineAQMap.execute(picture, quality, prompt, "auto", "product", False)

    interleaved(bench, {"scoring": score}, repeats)


def crop(bench: Bench, models: dict[str, Any], side: int, steps: int, repeats: int, share: float) -> None:
    """The whole frame masked, and a square of ``share`` of it; with the node's own context and with more."""
    picture = torch.rand(1, side, side, 3)

    def task(masked: float, context: float) -> Callable[[], None]:
        return lambda: stage1(bench, models, picture, box(side, masked), steps, context=context, min_side=side // 2)

    interleaved(
        bench, {"full": task(1.0, 0.25), "context 0.25": task(share, 0.25), "context 0.5": task(share, 0.5)}, repeats
    )


def stage1(
    bench: Bench,
    models: dict[str, Any],
    picture: Tensor,
    mask: Tensor,
    steps: int,
    *,
    min_side: int,
    context: float = 0.25,
) -> None:
    """Stage-1 Inpaint as the host calls it."""
    bench.part("nodes.stage1").GRefineStage1Inpaint.execute(
        image=[picture],
        denoise_mask=[mask],
        run=[True],
        strength=[STRENGTH],
        steps=[steps],
        seed=[1],
        cfg=[CFG],
        sampler_name=["euler"],
        scheduler=["normal"],
        crop_size=["source"],
        min_side=[min_side],
        native_side=[1024],
        context=[context],
        color_match=[True],
        **models,
    )


def interleaved(bench: Bench, tasks: dict[str, Callable[[], None]], repeats: int) -> None:
    """Seconds of each task, one after the other in every round, so that a busy machine slows all alike."""
    for task in tasks.values():
        task()
    spent: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(repeats):
        order = list(tasks) if number % 2 == 0 else list(tasks)[::-1]
        for name in order:
            begin = now()
            tasks[name]()
            spent[name].append(now() - begin)
    for name, seconds in spent.items():
        bench.tell(what=name, seconds=seconds)


def now() -> float:
    """Seconds that this process computed; on a GPU those of the clock, when all is done."""
    if comfy.model_management.get_torch_device().type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def box(side: int, share: float) -> Tensor:
    """A mask ``(1, side, side)`` with a square of that share in its middle."""
    mask, length = torch.zeros(1, side, side), round(side * share**0.5)
    start = (side - length) // 2
    mask[:, start : start + length, start : start + length] = 1.0
    return mask


def unet(name: str) -> Any:
    """Stable Diffusion 1.5's UNet with random weights, with fewer channels perhaps.

    The real size keeps its weights in half precision, as its files do; on the CPU they are cast layer by layer.
    """
    device = comfy.model_management.get_torch_device()
    channels = SIZES[name][0]
    config = comfy.supported_models.SD15(
        {
            "image_size": 32,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": channels,
            "num_res_blocks": [2, 2, 2, 2],
            "channel_mult": [1, 2, 4, 4],
            "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
            "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
            "transformer_depth_middle": 1,
            "context_dim": 768,
            "use_spatial_transformer": True,
            "legacy": False,
            "use_linear_in_transformer": False,
            "use_temporal_attention": False,
            "num_classes": None,
            "adm_in_channels": None,
        }
    )
    config.unet_config["num_heads"], config.unet_config["num_head_channels"] = 8, -1
    half = device.type != "cpu" or name == "sd15"
    config.set_inference_dtype(
        torch.float16 if half else torch.float32, torch.float32 if device.type == "cpu" else None
    )
    model = config.get_model({}, "", device)
    fill(model.diffusion_model)
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))


def autoencoder(channels: int) -> Any:
    """Stable Diffusion's VAE with random weights, with fewer channels perhaps."""
    settings = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": channels,
        "ch_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    vae = comfy.sd.VAE(sd={}, config={"params": {"ddconfig": settings, "embed_dim": 4}})
    fill(vae.first_stage_model)
    return vae


def fill(network: nn.Module) -> None:
    """Weights that keep the size of what flows through them."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 2:
                parameter.fill_(0.5)
            else:
                parameter.normal_(0.0, parameter[0].numel() ** -0.5)
