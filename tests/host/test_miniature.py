"""The miniature models in the real host: its own classes give diffusers' and open_clip's numbers, and its sampler runs.

All of it with untrained weights in the very same files: what is compared are two implementations of one network.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

CODE = """
import asyncio, importlib, json, os
import nodes, torch, comfy.samplers, comfy.utils
torch.set_num_threads(1)
assert asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"])), "the pack did not load"
name = os.environ["GREFINE_PACK"].replace(".", "_x_")
part = lambda module: importlib.import_module(f"{name}.{module}")
node, loading = part("nodes.miniature"), part("grefine_core.miniature.loading")
os.environ["GREFINE_MINIATURE"] = FOLDER
result = {}

def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

def gap(a, b):
    assert a.shape == b.shape, (a.shape, b.shape)
    assert a.isfinite().all() and b.isfinite().all()
    return [float((a.float() - b.float()).abs().max()), float(b.float().std())]

with torch.inference_mode():                                # as the host runs nodes
    model, clip, vae, quality, restorer = node.GRefineLoadMiniature.execute().result
    again = node.GRefineLoadMiniature.execute().result
    result["shared"] = all(a is b for a, b in zip(again, (model, clip, vae, quality, restorer)))
    engine = loading.load_miniature_inpainter("cpu")
    pipe = engine.pipe

    # The text encoder, with weights, with an empty text, and over one chunk of 75 tokens.
    prompts = part("grefine_core.engines.prompts")
    for place, text in enumerate(("a (red:1.4) circle on grass", "", "a blue star beside " * 30 + "a ring")):
        theirs, _ = prompts.encode_prompts(pipe, text, None, torch.device("cpu"))
        ((ours, _),) = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        result[f"text {place}"] = gap(ours, theirs.sequence)

    # One call of the UNet.
    latents, text = noise(2, 9, 16, 16), noise(2, 77, 96, seed=1)
    steps = torch.tensor([17.0, 801.0])
    theirs = pipe.unet(latents, steps, encoder_hidden_states=text, return_dict=False)[0]
    ours = model.model.diffusion_model.to("cpu")(latents, steps, context=text)
    result["unet"] = gap(ours, theirs)

    # The autoencoder both ways; the host scales latents at the sampler, diffusers' engine at the VAE.
    picture = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(2))
    theirs = pipe.vae.encode(picture.permute(0, 3, 1, 2) * 2 - 1).latent_dist.mode()
    result["scaling"] = [model.model.latent_format.scale_factor, pipe.vae.config.scaling_factor]
    inner = vae.first_stage_model                           # its own encode would draw from the distribution
    mean_and_spread = inner.quant_conv(inner.encoder(picture.permute(0, 3, 1, 2) * 2 - 1))
    result["vae encode"] = gap(mean_and_spread.chunk(2, dim=1)[0], theirs)
    latent = noise(1, 4, 16, 16, seed=3)
    theirs = (pipe.vae.decode(latent, return_dict=False)[0] / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    result["vae decode"] = gap(vae.decode(latent), theirs)

    # The noise schedule.
    levels = model.model.model_sampling.sigmas
    schedule = importlib.import_module(f"{name}.grefine_core.engines.diffusers_sd")
    theirs = ((1 - engine.sampler._alphas()) / engine.sampler._alphas()) ** 0.5
    result["sigmas"] = gap(levels.cpu(), theirs)
    result["inpainting"] = bool(model.model.concat_keys)

    # The host's own sampler, by its own nodes.
    encode = lambda words: nodes.CLIPTextEncode().encode(clip, words)[0]
    mask = torch.zeros(1, 128, 128)
    mask[:, 30:70, 40:90] = 1
    positive, negative, latent = nodes.InpaintModelConditioning().encode(
        encode("a red circle"), encode(""), picture, vae, mask, True)
    sampled = nodes.common_ksampler(model, 7, 4, 4.0, "euler", "normal", positive, negative, latent, denoise=0.8)[0]
    pixels = nodes.VAEDecode().decode(vae, sampled)[0]
    result["sampled"] = [list(pixels.shape), bool(pixels.isfinite().all())]

    # Both stages' nodes; the restorer reads the prompt that it gets.
    stage1 = part("nodes.stage1").GRefineStage1Inpaint
    repainted = stage1.execute(
        image=[picture], denoise_mask=[mask], model=[model], positive=[encode("a red circle")], negative=[encode("")],
        vae=[vae], run=[True], strength=[0.7], steps=[3], seed=[1], cfg=[4.0], sampler_name=["euler"],
        scheduler=["normal"], crop_size=["source"], min_side=[128], native_side=[128], context=[0.5],
        color_match=[True],
    ).result[0][0]
    changed = (repainted != picture).any(-1)
    result["stage 1"] = [list(repainted.shape), bool(changed[mask > 0].any()), bool(changed[mask == 0].any()),
                         bool(repainted.isfinite().all())]
    # A small region of a larger picture, its sizes left to the model and given.
    wide, spot, sizes = torch.rand(1, 400, 300, 3), torch.zeros(1, 400, 300), []
    spot[:, 180:200, 140:160] = 1
    hook = model.model.diffusion_model.register_forward_pre_hook(lambda _, args: sizes.append(list(args[0].shape[2:])))
    for crop_size, *given in (("source", 0, 0), ("native", 0, 0), ("source", 192, 0), ("native", 0, 192)):
        stage1.execute(
            image=[wide], denoise_mask=[spot], model=[model], positive=[encode("a red circle")], negative=[encode("")],
            vae=[vae], run=[True], strength=[0.7], steps=[1], seed=[1], cfg=[1.0], sampler_name=["euler"],
            scheduler=["normal"], crop_size=[crop_size], min_side=[given[0]], native_side=[given[1]], context=[0.5],
            color_match=[True])
    hook.remove()
    result["cells"] = sizes
    split = part("nodes.open_regions").GRefineSplitRegions
    given = dict(image=[wide], run=[True], strength=[0.7], steps=[1], seed=[1], native_side=[0], context=[0.5],
                 own_phrases=[False], size_multiple=[0], denoise_mask=[spot], crop_size=["source"], min_side=[0])
    result["crops"] = [list(split.execute(**given, **more).result[0][0].shape[1:3])
                       for more in ({"model": [model], "vae": [vae]}, {})]
    stage2 = part("nodes.stage2").GRefineStage2Restore
    def restored(image, prompt):
        return stage2.execute(image=[image], restorer=[restorer], run=[True], strength=[0.3], steps=[3], seed=[1],
                              keep_color=[False], prompt=[prompt]).result[0][0]
    red, blue = restored(picture, "a red circle"), restored(picture, "a blue star on sand")
    result["stage 2"] = [list(red.shape), bool(red.isfinite().all()), bool((red != blue).any())]
    odd = torch.rand(1, 41, 70, 3)
    result["stage 2, odd and small"] = list(restored(odd, "a ring").shape)

    # Files that are not there, or not what they should be.
    import pathlib, shutil, tempfile
    errors = {}
    for file, how in (("unet.safetensors", "gone"), ("vae.safetensors", "cut"), ("clip.safetensors", "other"),
                      ("vae.safetensors", "other"), ("unet.safetensors", "other")):
        broken = pathlib.Path(tempfile.mkdtemp()) / "models"
        shutil.copytree(FOLDER, broken)
        if how == "gone":
            (broken / file).unlink()
        elif how == "cut":
            (broken / file).write_bytes((broken / file).read_bytes()[:4000])
        else:
            shutil.copy(broken / "pq_embeddings.safetensors", broken / file)
        os.environ["GREFINE_MINIATURE"] = str(broken)
        try:
            node.GRefineLoadMiniature.execute()
            errors[f"{how} {file}"] = "none"
        except Exception as error:
            errors[f"{how} {file}"] = f"{type(error).__name__}: {error}"
    result["errors"] = errors

import gc
held = list(node._loaded.values())
result["held"] = len(held)
del held, model, clip, vae, quality, restorer, again
gc.collect()
result["dropped with its models"] = len(node._loaded) == 0
print("RESULT", json.dumps(result))
"""


@pytest.fixture(scope="module")
def result(host_run, miniature_folder) -> dict[str, Any]:
    out = host_run(f"FOLDER = {str(miniature_folder)!r}\n" + CODE)
    return json.loads(out.split("RESULT ", 1)[1])


@pytest.mark.parametrize("what", ["text 0", "text 1", "text 2", "unet", "vae encode", "vae decode", "sigmas"])
def test_the_hosts_networks_give_the_numbers_of_diffusers(result, what):
    gap, spread = result[what]
    assert gap < 1e-3
    assert spread > 0.05, "numbers that are all alike would prove nothing"


def test_latents_are_scaled_alike(result):
    assert result["scaling"][0] == result["scaling"][1] == 0.18215
    assert result["inpainting"] is True


def test_the_hosts_sampler_gives_a_finite_picture_of_the_right_size(result):
    assert result["sampled"] == [[1, 128, 128, 3], True]


def test_crops_are_as_large_as_the_models_were_trained_on_unless_it_is_said(result):
    """128 pixels are 16 cells. Without a model a crop has 512, of which this picture has only 400."""
    assert result["cells"] == [[16, 16], [16, 16], [24, 24], [24, 24]]
    own, none = result["crops"]
    assert own == [128, 128]
    assert min(none) == 512


def test_both_stages_work_with_it(result):
    shape, inside, outside, finite = result["stage 1"]
    assert (shape, inside, outside, finite) == ([1, 128, 128, 3], True, False, True)
    shape, finite, differ_by_prompt = result["stage 2"]
    assert (shape, finite, differ_by_prompt) == ([1, 128, 128, 3], True, True)
    assert result["stage 2, odd and small"] == [1, 41, 70, 3]


def test_the_models_are_loaded_once_and_dropped_with_the_hosts_results(result):
    assert result["shared"] is True
    assert result["held"] == 1
    assert result["dropped with its models"] is True


def test_missing_and_damaged_files_are_named(result):
    for case, message in result["errors"].items():
        assert message.startswith("ModelFileError"), (case, message)
        assert case.split()[1] in message, case
