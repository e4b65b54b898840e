"""Memory runs out, raised artificially where much is taken: what can be done smaller is, else it is explained.

In the host's surroundings with the miniature models. Both of the ways in which torch says it are tried.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

CODE = """
import asyncio, importlib, json, os
import nodes, torch, comfy.model_management as memory
torch.set_num_threads(1)
assert asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"])), "the pack did not load"
name = os.environ["GREFINE_PACK"].replace(".", "_x_")
part = lambda module: importlib.import_module(f"{name}.{module}")
loading = part("grefine_core.miniature.loading")
models = part("nodes.miniature").load_models(loading.weights_folder())
quality = models.quality
PROMPT = "a red circle on grass, a blue star"
WAYS = dict(formula="paper", importance_technical=1.0, importance_rational=1.0, importance_natural=1.0)
ALIGNMENT = dict(scoring="auto", aggregate="product", include_style=False)
SETTINGS = dict(run=[True], strength=[0.5], steps=[1], seed=[1])
CROPS = dict(cfg=[2.0], crop_size=["source"], min_side=[128], native_side=[128], context=[0.5], color_match=[False])
noise = lambda *shape: torch.rand(shape, generator=torch.Generator().manual_seed(0))
pictures, picture = noise(5, 70, 90, 3), noise(1, 128, 128, 3)
mask = torch.zeros(1, 128, 128)
mask[:, 30:70, 40:90] = 1.0
result = {}

class Short:
    "Inside of it, calls fail for which `fits(call number, first argument)` is false."
    def __init__(self, owner, function, fits, error):
        self.owner, self.function, self.fits, self.error, self.calls = owner, function, fits, error, 0
    def __enter__(self):
        self.real = getattr(self.owner, self.function)
        def limited(*args, **kwargs):
            self.calls += 1
            tensors = [value for value in args if isinstance(value, torch.Tensor)]
            if not self.fits(self.calls, tensors[0] if tensors else None):
                raise self.error
            return self.real(*args, **kwargs)
        setattr(self.owner, self.function, limited)
        return self
    def __exit__(self, *_):
        try:
            delattr(self.owner, self.function)              # of an object: its class's own shows again
        except AttributeError:
            pass
        if getattr(self.owner, self.function, None) != self.real:
            setattr(self.owner, self.function, self.real)

def error_of(work):
    with torch.inference_mode():
        try:
            work()
        except Exception as error:
            return f"{type(error).__name__} {isinstance(error, memory.OOM_EXCEPTION)} {error}"
    return "no error"

def run(work):
    with torch.inference_mode():
        return work()

maps, guard = part("nodes.quality"), part("nodes.guard").GRefineNoHarmGuard
pq = lambda: maps.GRefinePQMap.execute(pictures, quality, **WAYS).result
aq = lambda: maps.GRefineAQMap.execute(pictures, quality, PROMPT, **ALIGNMENT).result
both = {key: [value] for key, value in {**WAYS, **ALIGNMENT}.items()}
judge = lambda: guard.execute([pictures], [1.0 - pictures], [quality], [PROMPT], ["x"], [1.0], **both)
report = lambda: part("nodes.report").GRefineQualityReport.execute([picture], [picture], [quality], [PROMPT], **both)
model_of = part("grefine_core.clip.quality_model")
EVEN = dict.fromkeys(("weight_a", "weight_b", "weight_c", "weight_d"), 1.0)
AREA = dict(threshold=0.5, top_share=0.2, floor=0.3, min_area=0.0, grow=0.0, feather=0.0, fill_holes=False)
merge = lambda: part("nodes.masks").GRefineMergeMaps.execute(mask, "max", map_b=mask, **EVEN)
binarize = lambda: part("nodes.masks").GRefineBinarizeMap.execute(mask, "threshold", **AREA)

run(pq)
vae, unet = models.vae.first_stage_model, models.model.model.diffusion_model
texts = models.clip.encode_from_tokens_scheduled(models.clip.tokenize(PROMPT))
first = dict(image=[picture], denoise_mask=[mask], model=[models.model], positive=[texts], negative=[texts],
             vae=[models.vae], sampler_name=["euler"], scheduler=["normal"], **SETTINGS, **CROPS)
stage1 = lambda: part("nodes.stage1").GRefineStage1Inpaint.execute(**first).result[0][0]
large = noise(1, 128, 520, 3)                                # the tiles of stage 2 are halved down to 256 pixels
second = dict(image=[large], restorer=[models.restorer], keep_color=[False], prompt=[PROMPT], **SETTINGS)
stage2 = lambda: part("nodes.stage2").GRefineStage2Restore.execute(**second).result[0][0]
engine = loading.load_miniature_inpainter("cpu")
third = dict(image=[picture], denoise_mask=[mask], inpaint_pipeline=[engine], prompt=[PROMPT], negative_prompt=[""],
             **SETTINGS, **CROPS)
diffusers = lambda: part("nodes.diffusers").GRefineStage1InpaintDiffusers.execute(**third).result[0][0]
never = lambda call, tensor: False

for kind, make in {
    "torch": lambda: memory.OOM_EXCEPTION("CUDA out of memory. Tried to allocate 20.00 GiB."),
    "words": lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."),
}.items():
    seen = result[kind] = {"fallback": {}, "explained": {}, "after": {}}
    plain, alike = {}, {}
    for what, work in (("pq", pq), ("aq", aq), ("stage1", stage1), ("stage2", stage2), ("diffusers", diffusers)):
        quality.clear_cache()
        plain[what] = run(work)

    # Smaller, until it fits.
    for what, work, function in (("pq", pq, "encode_image"), ("aq", aq, "encode_tokens")):
        quality.clear_cache()
        with Short(model_of, function, lambda call, tensor: tensor is None or len(tensor) <= 2, make()) as short:
            found = run(work)
        size = [float((a - b).abs().max()) for a, b in zip(found[:2], plain[what][:2])]
        seen["fallback"][what] = [max(size), short.calls > 1]
    if kind == "torch":                                     # the host's own: tiles, where it knows the error
        with Short(vae, "decode", lambda call, tensor: call > 1, make()) as short:
            seen["fallback"]["vae decode"] = [0.0 if run(stage1).isfinite().all() else 1.0, short.calls > 1]
    with Short(unet, "forward", lambda call, tensor: tensor.shape[-1] * tensor.shape[-2] <= 16 * 40, make()) as short:
        found = run(stage2)
        right = found.shape == large.shape and bool(found.isfinite().all())
        seen["fallback"]["tiles"] = [0.0 if right else 1.0, short.calls > 1]

    # Nothing smaller is left.
    quality.clear_cache()
    for what, work, owner, function in (
        ("pq", pq, model_of, "encode_image"), ("aq", aq, model_of, "encode_tokens"),
        ("guard", judge, model_of, "encode_image"), ("report", report, model_of, "encode_image"),
        ("load", pq, memory, "load_models_gpu"),
        ("vae encode", stage1, vae, "encode"), ("vae decode", stage1, vae, "decode"), ("unet", stage1, unet, "forward"),
        ("stage 2, vae", stage2, vae, "encode"), ("stage 2, unet", stage2, unet, "forward"),
        ("diffusers", diffusers, engine.pipe.unet, "forward"),
        ("merged maps", merge, part("nodes.masks"), "merge_maps"),
        ("masks", binarize, part("nodes.masks"), "binarize_map"),
        ("overlay", pq, part("nodes.quality"), "overlay"), ("sheet", report, part("nodes.report"), "comparison_sheet"),
        ("stage 1, result", stage1, part("grefine_core.refine.stages"), "paste"),
        ("stage 2, result", stage2, part("nodes.stage2"), "stage2"),
    ):
        if what != "load":
            quality.clear_cache()
        with Short(owner, function, never, make()):
            seen["explained"][what] = error_of(work)

    # And all is well afterwards.
    for what, work in (("stage1", stage1), ("stage2", stage2), ("diffusers", diffusers)):
        seen["after"][what] = torch.equal(run(work), plain[what])
    for what, work in (("pq", pq), ("aq", aq)):
        quality.clear_cache()
        seen["after"][what] = all(torch.equal(a, b) for a, b in zip(run(work)[:2], plain[what][:2]))
print("RESULT", json.dumps(result))
"""
KINDS = ("torch", "words")


@pytest.fixture(scope="module")
def result(host_run) -> dict[str, Any]:
    return json.loads(host_run(CODE).split("RESULT ", 1)[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["pq", "aq", "tiles"])
def test_what_can_be_done_in_smaller_parts_is(result, kind, what):
    gap, tried_again = result[kind]["fallback"][what]
    assert tried_again
    assert gap < 1e-4


def test_the_hosts_vae_goes_on_in_tiles(result):
    assert result["torch"]["fallback"]["vae decode"] == [0.0, True]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("pq", ("measuring pictures", "device cpu")),
        ("aq", ("measuring texts", "device cpu")),
        ("guard", ("measuring pictures", "device cpu")),
        ("report", ("measuring pictures", "device cpu")),
        ("load", ("loading the quality model", "device cpu")),
        ("vae encode", ("encoding 128×128 pixels", "min_side")),
        ("vae decode", ("decoding 16×16 latent cells", "min_side")),
        ("unet", ("sampling 16×16 latent cells", "min_side")),
        ("stage 2, vae", ("encoding", "tile_size")),
        ("stage 2, unet", ("sampling", "tile_size")),
        ("diffusers", ("sampling 128×128 pixels", "smaller crops")),
        ("merged maps", ("making masks", "smaller pictures")),
        ("masks", ("making masks", "smaller pictures")),
        ("overlay", ("measuring pictures", "smaller pictures")),
        ("sheet", ("drawing the report", "smaller pictures")),
        ("stage 1, result", ("putting crops", "smaller pictures")),
        ("stage 2, result", ("putting restored parts", "smaller pictures")),
    ],
)
def test_else_it_is_said_where_and_what_to_do(result, kind, what, words):
    message = result[kind]["explained"][what]
    assert message.split(" ", 1)[1].startswith("True Out of memory while"), message  # the host frees its models on it
    for word in words:
        assert word in message


@pytest.mark.parametrize("kind", KINDS)
def test_afterwards_all_is_as_before(result, kind):
    assert result[kind]["after"] == dict.fromkeys(("stage1", "stage2", "diffusers", "pq", "aq"), True)
