"""Split Regions, Merge Regions and Repair Instruction in the real host, with the host's own nodes between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .in_process import run_in_host
from .stage_tools import GREEN, Bench, box, color, noise

SPLIT = {
    "run": True,
    "strength": 1.0,
    "steps": 4,
    "seed": 5,
    "crop_size": "source",
    "min_side": 16,
    "native_side": 64,
    "context": 0.25,
    "own_phrases": True,
    "size_multiple": 8,
}


@pytest.fixture
def bench(host_server, client) -> Bench:
    return Bench(host_server, client)


def two_regions(height: int, width: int) -> np.ndarray:
    return np.maximum(box(height, width, 16, 16, 48, 48), box(height, width, 21, width - 45, 43, width - 11))


def split(bench: Bench, image, mask, **options):
    link = bench.tensor("image", image)
    if mask is not None:
        options["denoise_mask"] = bench.tensor("mask", mask, 1)
    bench.add("split", "GRefineSplitRegions", image=link, **{**SPLIT, **options})
    return link


def merged(bench: Bench, image, repaired, **options) -> np.ndarray:
    bench.add("merge", "GRefineMergeRegions", image=image, regions=["split", 6], repaired=repaired,
              **{"color_match": False, **options})  # fmt: skip
    bench.client.run(bench.captured("merge")).ok()
    return bench.result()


LEVELS = """
from doubles import tiny_models
plan = part("nodes.schedule").plan_sampling
for kind in ("sd15", "flux"):
    model = tiny_models.tiny_unet(kind)
    for strength in (0.35, 0.6):
        seen[f"{kind} {strength}"] = plan(model, "euler", "normal", 4, strength).sigmas.tolist()
"""


@pytest.fixture(scope="module")
def levels(host_run) -> dict[str, list[float]]:
    """The noise levels of Stage 1 below full strength, by kind of model and strength."""
    return run_in_host(host_run, LEVELS)


@pytest.mark.parametrize(
    ("kind", "strength"),
    [("sd15", 1.0), ("sd15_inpaint", 1.0), ("sd15", 0.6), ("sd15_inpaint", 0.35), ("sd15", 0.35), ("flux", 0.6)],
)
def test_the_hosts_custom_sampling_between_the_two_gives_what_stage_1_gives(bench, levels, kind, strength):
    """Real tiny networks and two regions; the host's nodes run over the lists.

    Below full strength a longer schedule is split in the host, and only its end is sampled. The masks' edges lie
    between latent cells, but for the inpainting model: under a mask that covers whole cells the host's node hides whole
    cells, Stage 1 the very pixels.
    """
    image, mask = noise(1, 70, 203), two_regions(70, 203)
    if kind == "sd15_inpaint":
        image = noise(1, 64, 216)
        mask = np.maximum(box(64, 216, 16, 16, 48, 48), box(64, 216, 16, 152, 48, 184))
    channels = 16 if kind == "flux" else 4
    options = {"min_side": 16, "context": 0.25, "strength": strength, "steps": 4}
    bench.stage1(image, mask, bench.tiny_models(kind, channels=channels), **options).ok()
    expected = bench.result()

    bench = Bench(bench.server, bench.client)
    models = bench.tiny_models(kind, channels=channels)
    asked = {"strength": strength, "size_multiple": 0}
    picture = split(bench, image, mask, model=models["model"], vae=models["vae"], **asked)
    if kind != "sd15_inpaint":
        encoded = bench.add("encoded", "VAEEncode", pixels=["split", 0], vae=models["vae"])
        latent = bench.add("latent", "SetLatentNoiseMask", samples=encoded, mask=["split", 1])
        prompts = {"positive": models["positive"], "negative": models["negative"]}
    else:
        bench.add("latent", "InpaintModelConditioning", positive=models["positive"], negative=models["negative"],
                  vae=models["vae"], pixels=["split", 0], mask=["split", 1], noise_mask=True)  # fmt: skip
        latent, prompts = ["latent", 2], {"positive": ["latent", 0], "negative": ["latent", 1]}
    if kind == "flux":  # what Stage 1 gives to a model of this family
        prompts["positive"] = bench.add("guidance", "FluxGuidance", conditioning=prompts["positive"], guidance=3.5)
    bench.add("guider", "CFGGuider", model=models["model"], cfg=1.0, **prompts)
    bench.add("noise", "RandomNoise", noise_seed=["split", 5])
    bench.add("sampler", "KSamplerSelect", sampler_name="euler")
    if strength == 1.0:
        sigmas = bench.add("sigmas", "BasicScheduler", model=models["model"], scheduler="normal", steps=4, denoise=1.0)
    else:
        end = levels[f"{kind.removesuffix('_inpaint')} {strength}"]
        text = " ".join(map(repr, [end[0] * 1.5, end[0] * 1.2, *end]))
        bench.add("levels", "GRefineDoubleSigmas", levels=text)
        sigmas = [bench.add("sigmas", "SplitSigmas", sigmas=["levels", 0], step=2)[0], 1]
    bench.add("custom", "SamplerCustomAdvanced", noise=["noise", 0], guider=["guider", 0], sampler=["sampler", 0],
              sigmas=sigmas, latent_image=latent)  # fmt: skip
    decoded = bench.add("decoded", "VAEDecode", samples=["custom", 0], vae=models["vae"])
    result = merged(bench, picture, decoded)
    assert np.abs(result - expected).max() < 1e-5
    assert np.abs(result - image).max() > 0.05
    assert np.array_equal(result[mask == 0], image[mask == 0])


ANYTHING = {
    "an enlarger": ("ImageScale", {"upscale_method": "bicubic", "width": 300, "height": 180, "crop": "disabled"}),
    "a shrinker": ("ImageScale", {"upscale_method": "area", "width": 40, "height": 24, "crop": "disabled"}),
    "a filter": ("ImageInvert", {}),
    "a blur": ("ImageBlur", {"blur_radius": 4, "sigma": 2.0}),
}


@pytest.mark.parametrize("what", ANYTHING)
def test_whatever_stands_between_no_byte_outside_changes(bench, what):
    image, mask = noise(2, 70, 203), two_regions(70, 203)
    node, options = ANYTHING[what]
    picture = split(bench, image, mask)
    repaired = bench.add("between", node, image=["split", 0], **options)
    result = merged(bench, picture, repaired, color_match=True)
    where = np.repeat(mask, 2, 0) == 0
    assert result.shape == image.shape
    assert np.array_equal(result[where], image[where])
    assert (np.abs(result - image).max(-1)[~where] > 0.01).mean() > 0.9


def test_what_comes_back_at_its_own_size_is_pasted_as_it_is(bench):
    image, mask = noise(1, 64, 192), two_regions(64, 192)
    picture = split(bench, image, mask)
    result = merged(bench, picture, bench.add("between", "ImageInvert", image=["split", 0]))
    assert np.abs(result[mask > 0] - (1.0 - image)[mask > 0]).max() < 1e-6


def test_with_nothing_to_repair_nothing_between_runs(bench):
    image = noise(1, 48, 48)
    models = bench.models()
    picture = split(bench, image, np.zeros((1, 48, 48), np.float32))
    encoded = bench.add("encoded", "VAEEncode", pixels=["split", 0], vae=models["vae"])
    decoded = bench.add("decoded", "VAEDecode", samples=encoded, vae=models["vae"])
    bench.add("shown", "PreviewImage", images=["split", 0])
    assert np.array_equal(merged(bench, picture, decoded), image)
    assert bench.journal("_vae") == []


def test_of_two_pictures_the_clean_one_is_left_alone(bench):
    image = noise(2, 64, 192)
    mask = np.concatenate([np.zeros((1, 64, 192), np.float32), two_regions(64, 192)])
    picture = split(bench, image, mask)
    result = merged(bench, picture, bench.add("between", "ImageInvert", image=["split", 0]))
    assert np.array_equal(result[0], image[0])
    assert np.array_equal(result[mask == 0], image[mask == 0])
    assert np.abs(result[1][mask[1] > 0] - (1.0 - image[1])[mask[1] > 0]).max() < 1e-6


def test_the_crops_of_stage_1_once_more(bench):
    """Its `regions` in place of masks: the repaired picture is split at the same places."""
    image, mask = noise(1, 64, 192), two_regions(64, 192)
    bench.stage1_graph(image, mask, bench.models(), min_side=16, context=0.25)
    bench.add("split", "GRefineSplitRegions", image=["stage", 0], regions=["stage", 3], **SPLIT)
    result = merged(bench, ["stage", 0], bench.add("between", "ImageInvert", image=["split", 0]))
    assert np.array_equal(result[mask == 0], image[mask == 0])
    assert np.abs(result[mask > 0] - (1.0 - color(GREEN))).max() < 2e-3


def test_a_picture_that_stage_1_left_alone_has_no_crops(bench):
    image = noise(1, 64, 192)
    bench.stage1_graph(image, np.zeros((1, 64, 192), np.float32), bench.models())
    bench.add("split", "GRefineSplitRegions", image=["stage", 0], regions=["stage", 3], **SPLIT)
    result = merged(bench, ["stage", 0], bench.add("between", "ImageInvert", image=["split", 0]))
    assert np.array_equal(result, image)


def test_another_number_of_crops_is_a_clear_error(bench):
    image = noise(1, 64, 192)
    picture = split(bench, image, two_regions(64, 192))
    bench.add("first", "ImageFromBatch", image=picture, batch_index=0, length=1)
    bench.add("merge", "GRefineMergeRegions", image=picture, regions=["split", 6], repaired=["first", 0],
              color_match=False)  # fmt: skip
    run = bench.client.run(bench.captured("merge"))
    assert run.status == "error"
    assert "repaired: 1 crops, but Split Regions made 2" in run.error_text


PLANNED = """
from dataclasses import replace
import torch
diagnosis, plan, regions = part("grefine_core.diagnosis"), part("grefine_core.plan"), part("grefine_core.regions")
results, syntax = part("grefine_core.alignment.results"), part("grefine_core.prompt.syntax")
nodes = part("nodes.open_regions")

PROMPT = "a fish on a green square, a dotted yellow star"
maps = [torch.zeros(8, 64) for _ in range(3)]
maps[0][1:6, 1:7] = maps[1][1:6, 1:7] = maps[2][1:6, 55:62] = 1.0
verdicts = {"fish": "noun", "green square": "none", "dotted yellow star": "modifier"}
phrases = tuple(
    results.PhraseQuality(each, 0.5, 0.5, verdicts[each.text], 0.0 if verdicts[each.text] == "none" else 0.6,
                          1 if each.text == "fish" else place, maps[place],
                          1.0 if verdicts[each.text] == "none" else 0.4)
    for place, each in enumerate(syntax.parse_prompt(PROMPT).phrases))
found = diagnosis.Diagnosis((64, 512), prompt=PROMPT, phrases=phrases)
repairs = plan.plan_repairs(found, regions.find_regions(found))
settings = dict(run=[True], strength=[0.7], steps=[4], seed=[5], crop_size=["source"], min_side=[16], native_side=[64],
                context=[0.25], own_phrases=[True], size_multiple=[8])
image = torch.rand(1, 64, 512, 3)
for name, more in {
    "plan": {"plan": [repairs]},
    "masks": {"denoise_mask": [repairs.denoise.unsqueeze(0)], "phrases": [(phrases,)], "prompt": [PROMPT]},
}.items():
    crops, masks, prompts, strengths, steps, seeds, handle = values(
        nodes.GRefineSplitRegions.execute(image=[image], **settings, **more))
    told = values(nodes.GRefineRepairInstruction.execute(keep_rest=[True], regions=handle))
    seen[name] = {"prompts": prompts, "strengths": strengths, "seeds": [str(each) for each in seeds],
                  "whole": told[0], "regions": told[1], "sizes": [list(each.shape) for each in crops]}
whole = values(nodes.GRefineRepairInstruction.execute(keep_rest=[False], diagnosis=[(replace(
    found, perceptual_score=0.3, ratios={"overall": 0.9, "technical": 0.3, "rational": 1.1, "natural": 1.2}),)]))
seen["bad"] = whole[0]
nothing = tuple(replace(each, defect="none", deficit=0.0, ratio=1.0) for each in phrases)
seen["nothing"] = values(nodes.GRefineRepairInstruction.execute(
    keep_rest=[True], diagnosis=[(replace(found, phrases=nothing),)]))[0]

# A clean picture in front; then one that was split by a mask alone, with what AQ-Map found in both.
masks = torch.cat([torch.zeros_like(repairs.denoise).unsqueeze(0), repairs.denoise.unsqueeze(0)])
bare = values(nodes.GRefineSplitRegions.execute(image=[image.repeat(2, 1, 1, 1)], **settings, denoise_mask=[masks]))[6]
seen["afterwards"] = values(nodes.GRefineRepairInstruction.execute(
    keep_rest=[False], regions=bare, diagnosis=[(found, found)]))[1]
fails = {"of none": {}, "of one": {"diagnosis": [(found,)]}, "not of it": {"plan": [repairs, None]}}
for name, more in fails.items():
    try:
        nodes.GRefineRepairInstruction.execute(keep_rest=[False], regions=bare, **more)
    except part("grefine_core.errors").InputError as error:
        seen[name] = str(error)

class Coarse:
    downscale_ratio = 32
seen["multiples"] = [nodes._sizes(typed, 16, 0, None, Coarse()).size_multiple for typed in (0, 8, 48)]
asked = lambda **more: nodes.GRefineSplitRegions.check_lazy_status(
    image=[image], model=(None,), vae=(None,), **{**settings, "denoise_mask": [masks[1:]], **more})
seen["asked"] = {"some": asked(), "no strength": asked(strength=[0.0]), "no mask": asked(denoise_mask=[masks[:1]]),
                 "no crops": asked(regions=[replace(bare[1], crops=())])}
"""


@pytest.fixture(scope="module")
def planned(host_run) -> dict[str, Any]:
    """What Split Regions and Repair Instruction make of plans, masks and findings."""
    return run_in_host(host_run, PLANNED)


def test_every_region_has_its_own_words_strength_and_seed(planned):
    seen = planned
    prompt = "a fish on a green square, a dotted yellow star"
    for name in ("plan", "masks"):
        found = seen[name]
        assert found["prompts"] == [f"fish, {prompt}", f"dotted yellow star, {prompt}"]
        assert len(set(found["seeds"])) == 2
        assert found["seeds"][0] == "5"
        rest = "Keep everything else unchanged."
        assert found["whole"] == [f"Add a fish on the green square. Make the star dotted and yellow. {rest}"]
        assert found["regions"] == [
            f"Add a fish on the green square. {rest}",
            f"Make the star dotted and yellow. {rest}",
        ]
    assert seen["plan"]["strengths"] == pytest.approx([0.74, 0.74])
    assert seen["masks"]["strengths"] == [0.7, 0.7]
    assert seen["bad"] == [
        "Add a fish on the green square. Make the star dotted and yellow. "
        "Remove noise, blur, compression blocks and colour banding."
    ]
    assert seen["nothing"] == ["Keep everything unchanged."]


def test_regions_of_masks_alone_are_told_what_was_found(planned):
    """An instruction for each crop, never fewer: the host would give the last one to all that are left."""
    assert planned["afterwards"] == ["Add a fish on the green square.", "Make the star dotted and yellow."]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("of none", "diagnosis: nothing says what was found."),
        ("of one", "diagnosis: of 1 pictures, but regions are of 2."),
        ("not of it", "diagnosis: nothing says what was found in picture 2,"),
    ],
)
def test_where_nothing_says_what_was_found_that_is_said(planned, case, message):
    assert planned[case].startswith(message)


def test_crops_are_whole_cells_of_a_vae_alone_whatever_is_typed(planned):
    """Of other sides it would cut off the edge without a word."""
    assert planned["multiples"] == [32, 32, 96]


def test_models_are_asked_for_only_where_there_will_be_crops(planned):
    nothing = {"no strength": [], "no mask": [], "no crops": []}
    assert planned["asked"] == {"some": ["model", "vae"], **nothing}
