"""Hints, areas, masks, references and patches in the real host: what arrives in a crop or a tile is that place's own.

The classes are the host's (ControlNet, T2IAdapter, its conditioning, its model patches); what stands behind them notes
what it is shown. Everything that is shown says where in the picture it lies.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from .server import HERE

CODE = """
import asyncio, importlib, json, os, sys
import nodes, torch
import comfy.controlnet, comfy.model_patcher, comfy.model_base, comfy.latent_formats
torch.set_num_threads(1)
assert asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"])), "the pack did not load"
name = os.environ["GREFINE_PACK"].replace(".", "_x_")
part = lambda module: importlib.import_module(f"{name}.{module}")
sys.path.insert(0, DOUBLES)
from doubles import paint
SCALE = 2048.0                                                # coordinates as brightness

def ramp(height, width):
    "(3, height, width): y, x and nothing, of the middles of pixels."
    y = (torch.arange(height) + 0.5).unsqueeze(1).expand(height, width)
    x = (torch.arange(width) + 0.5).unsqueeze(0).expand(height, width)
    return torch.stack([y, x, torch.zeros(height, width)]) / SCALE

def expected(crop, rows, columns, part):
    "Where rows x columns values over a part of the crop's sample say that they lie."
    sides = []
    for axis, (begin, end, count) in enumerate(((part[0], part[2], rows), (part[1], part[3], columns))):
        step = crop.padded[axis] / crop.sample[axis]
        places = crop.box[axis] + (begin + (torch.arange(count) + 0.5) * (end - begin) / count) * step
        sides.append(places.clamp(crop.box[axis] + 0.5, crop.box[axis + 2] - 0.5))
    return torch.stack([sides[0].unsqueeze(1).expand(rows, columns), sides[1].unsqueeze(0).expand(rows, columns)])

SEEN = {}
def see(what, values):
    SEEN.setdefault(what, []).append(values.detach().float().clone())

class HintNetwork(torch.nn.Module):
    "What a ControlNet of the host holds: it notes the hint, and controls nothing."
    dtype = torch.float32
    def __init__(self, what):
        super().__init__()
        self.weight, self.what = torch.nn.Parameter(torch.zeros(1), requires_grad=False), what
    def forward(self, x, hint, timesteps, context, **_):
        see(self.what, hint)
        return {"input": [], "middle": [], "output": []}

class Adapter(torch.nn.Module):
    unshuffle_amount, input_channels = 8, 3
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
    def forward(self, hint):
        see("adapter", hint)
        return {"input": [], "middle": [], "output": []}

class Boxes(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
    def set_position(self, shape, boxes, device):
        SEEN.setdefault("boxes", []).append([list(box[1:]) for box in boxes])
        return lambda x, options: x
    def set_empty(self, shape, device):
        return lambda x, options: x

class Network(paint.PaintNetwork):
    "Notes what the patches of a model see, as the host's networks call them."
    def forward(self, x, timesteps, context, transformer_options={}, **more):
        patches = transformer_options.get("patches", {})
        for patch in patches.get("double_block", []):
            patch({"x": x, "img": torch.zeros(1, 1, 1), "img_input": torch.zeros(1, 1, 1), "block_index": 0,
                   "txt": None, "pe": None, "vec": None, "transformer_options": transformer_options})
        for patch in patches.get("middle_block_after_patch", []):
            see("guide", patch.__self__.hint_latent)
        SEEN.setdefault("shapes", []).append(list(x.shape))
        return super().forward(x, timesteps, context, **more)

class Model(comfy.model_base.BaseModel):
    "Notes the conditioning that reaches the model."
    def extra_conds(self, **kwargs):
        if kwargs.get("reference_latents") is not None:
            for number, latent in enumerate(kwargs["reference_latents"]):
                see(f"reference {number}", latent)
        for key in ("concat_latent_image", "guiding_frames"):
            if kwargs.get(key) is not None:
                see(key, kwargs[key][0] if isinstance(kwargs[key], list) else kwargs[key])
        if kwargs.get("prompt_type") == "positive" and kwargs.get("mask") is not None:
            see("mask", kwargs["mask"])
        return super().extra_conds(**kwargs)

def model():
    made = paint.paint_model("ordinary")
    made.model.__class__ = type("Noting", (Model,), {})
    made.model.diffusion_model = Network(made.model.latent_format, "", 0.0, 0)
    return made

VAE = paint.block_mean_vae()
def text(color, **options):
    return [[paint.PaintConditioning().make(color)[0][0][0], {"pooled_output": torch.zeros(1, 8), **options}]]
GREEN, RED, BLUE = "0.1 0.9 0.2", "0.9 0.1 0.1", "0.1 0.2 0.9"

def control(what, hint, previous=None):
    network = comfy.controlnet.ControlNet(HintNetwork(what), load_device=torch.device("cpu"))
    made = network.copy().set_cond_hint(hint, 0.5, (0.0, 1.0))
    return made if previous is None else made.set_previous_controlnet(previous)

def adapter(hint, previous):
    made = comfy.controlnet.T2IAdapter(Adapter(), 3, 8, "nearest-exact", torch.device("cpu"))
    return made.set_cond_hint(hint, 0.5, (0.0, 1.0)).set_previous_controlnet(previous)

def options(**more):
    given = dict(run=True, strength=0.7, steps=2, seed=5, cfg=3.0, sampler_name="euler", scheduler="normal",
                 crop_size="source", min_side=64, native_side=256, context=0.25, color_match=False)
    return {key: [value] for key, value in {**given, **more}.items()}

def stage1(image, mask, positive, negative, unet=None, **more):
    SEEN.clear()
    lists = {key: more.pop(key) for key in ("whole_references",) if key in more}
    with torch.inference_mode():
        found = part("nodes.stage1").GRefineStage1Inpaint.execute(
            image=[image], denoise_mask=[mask], model=[unet or model()], positive=positive, negative=negative,
            vae=[VAE], **options(**more), **lists)
    return found.result[0][0], found.result[-1]

def stage2(image, positive, negative, tile, unet=None):
    SEEN.clear()
    with torch.inference_mode():
        restorer = part("nodes.stage2").restorer_from_model(
            unet or model(), positive, negative, VAE, 3.0, "euler", "normal", tile)
        given = {key: [value] for key, value in dict(run=True, strength=0.5, steps=1, seed=5, keep_color=False).items()}
        found = part("nodes.stage2").GRefineStage2Restore.execute(image=[image], restorer=[restorer], **given)
    return found.result[0][0]

def box_mask(size, *boxes):
    mask = torch.zeros(1, *size)
    for top, left, bottom, right in boxes:
        mask[:, top:bottom, left:right] = 1.0
    return mask

#: Latents of the painting VAE are brightness from -1 to 1.
LATENTS = ("reference 0", "concat_latent_image", "guiding_frames")
def brightness(what, values):
    return values[:, :2] / 2.0 + 0.5 if what in LATENTS else values

def error(values, crop, part=None, offset=0.0, axes=(0, 1)):
    "How far from its own place, in pixels of the picture, whatever arrived says that it lies; at most."
    values = values.reshape(-1, *values.shape[-2:])
    wanted = expected(crop, *values.shape[-2:], part or (0, 0, *crop.sample))
    inside = torch.ones_like(wanted[0], dtype=torch.bool)
    for axis in (0, 1):                                       # a VAE's first and last cells have no neighbours
        inside &= (wanted[axis] >= 8) & (wanted[axis] <= size[axis] - 8)
    return max(float(((values[place] - offset) * SCALE - wanted[axis]).abs()[inside].max())
               for place, axis in zip(range(len(axes)), axes))

result = {"arrived": {}, "same": {}}
CROPS = {
    "odd crops": ((301, 419), [(101, 123, 138, 177), (230, 301, 268, 340)], {}),
    "border": ((240, 320), [(210, 290, 240, 320)], {}),
    "odd picture": ((101, 71), [(10, 10, 40, 50)], {"min_side": 200}),
    "enlarged": ((240, 320), [(100, 120, 140, 180)], {"crop_size": "native"}),
    "enlarged at an odd border": ((243, 321), [(200, 290, 243, 321)], {"crop_size": "native"}),
}
def latent_of(picture):
    with torch.inference_mode():
        return VAE.encode(picture.movedim(1, -1))

def everything(picture):
    "A conditioning with a place for all of it, and the objects that must not be written to."
    first = control("first", picture)
    second = adapter(picture, first)
    third = control("third", picture, second)
    boxes = comfy.model_patcher.ModelPatcher(Boxes(), torch.device("cpu"), torch.device("cpu"))
    latent = latent_of(picture)
    return dict(control=third, control_apply_to_uncond=False, mask=picture[:, 1], mask_strength=1.0,
                gligen=("position", boxes, [(torch.zeros(1, 8), 4, 5, 13, 16)]),
                reference_latents=[latent, torch.zeros(1, 4, 9, 9)], concat_latent_image=latent,
                guiding_frames=[latent])

for case, (size, regions, more) in CROPS.items():
    picture = ramp(*size)[None]
    own = everything(picture)
    held = {key: (value, list(value) if isinstance(value, list) else None) for key, value in own.items()}
    image, mask = torch.rand(1, *size, 3, generator=torch.Generator().manual_seed(0)), box_mask(size, *regions)
    positive, negative = [text(GREEN, **own)], [text(GREEN, control=own["control"])]
    before = [positive[0][0][1].copy(), negative[0][0][1].copy()]
    painted, places = stage1(image, mask, positive, negative, **more)
    crops = [each.crop for each in places[0].crops]
    shown = {what: values for what, values in SEEN.items() if what not in ("shapes", "boxes")}
    found = {}
    for what, values in shown.items():
        if what == "reference 1":
            found[what] = [list(each.shape) for each in values]
            continue
        each = len(values) // len(crops)                      # so often for every crop
        axes = (1,) if what == "mask" else (0, 1)
        found[what] = [error(brightness(what, value), crops[number // each], axes=axes)
                       for number, value in enumerate(values)]
    cells = [[(13 * 8 - crop.box[0]) * crop.sample[0] / crop.padded[0] / 8 for crop in crops],
             [(16 * 8 - crop.box[1]) * crop.sample[1] / crop.padded[1] / 8 for crop in crops]]
    result["arrived"][case] = {
        "found": found, "regions": len(crops), "expected": len(regions),
        "outside": bool((painted[mask == 0] == image[mask == 0]).all()),
        "painted": float((painted[mask > 0] - torch.tensor([0.1, 0.9, 0.2])).abs().max()),
        "boxes": SEEN.get("boxes", []), "cells": cells, "calls": len(SEEN["shapes"]),
        "sizes": sorted({tuple(shape[-2:]) for shape in SEEN["shapes"]}),
        "samples": sorted({tuple(side // 8 for side in crop.sample) for crop in crops}),
    }
    same = all(own[key] is value and (copy is None or own[key] == copy or all(a is b for a, b in zip(own[key], copy)))
               for key, (value, copy) in held.items())
    chain = [own["control"], own["control"].previous_controlnet, own["control"].previous_controlnet.previous_controlnet]
    same &= all(each.cond_hint_original is picture and each.cond_hint is None for each in chain)
    same &= all(given[0][0][1].keys() == old.keys() and all(given[0][0][1][key] is old[key] for key in old)
                for given, old in zip((positive, negative), before))
    result["same"][case] = bool(same)

# Tiles of stage 2, of a picture of odd size
size = (301, 419)
picture = ramp(*size)[None]
own = everything(picture)
image = torch.rand(1, *size, 3, generator=torch.Generator().manual_seed(0))
stage2(image, text(GREEN, **own), text(GREEN, control=own["control"]), 160)
window = part("nodes.tiles").plan_tiles((304, 424), 160, 16)
whole = part("grefine_core.refine.crops").CropPlan((0, 0, *size), (304, 424), (304, 424))
places = [(tile.top, tile.left, tile.bottom, tile.right) for tile in window]
found = {}
for what in ("first", "adapter", "third", "mask", "concat_latent_image", "guiding_frames", "reference 0"):
    values, axes = SEEN[what], (1,) if what == "mask" else (0, 1)
    each = len(values) // len(places)
    found[what] = [error(brightness(what, value), whole, places[number // each], axes=axes)
                   for number, value in enumerate(values)]
result["tiles"] = {"found": found, "count": len(places), "calls": len(SEEN["shapes"])}

# A batch with a hint for each picture
size = (200, 200)
pictures = torch.cat([ramp(*size)[None], ramp(*size)[None] + 0.25])
chain = control("first", pictures, control("shared", pictures[:1]))
image, mask = torch.rand(2, *size, 3), box_mask(size, (60, 60, 90, 90)).repeat(2, 1, 1)
_, places = stage1(image, mask, [text(GREEN, control=chain)], [text(GREEN, control=chain)])
crops = [each.crops[0].crop for each in places]
each = len(SEEN["first"]) // 2
result["batch"] = {"first": [error(value, crops[number // each], offset=0.25 * (number // each))
                             for number, value in enumerate(SEEN["first"])],
                   "shared": [error(value, crops[0]) for value in SEEN["shared"]], "calls": len(SEEN["shapes"])}
SEEN.clear()
stage2(image, text(GREEN, control=chain), text(GREEN, control=chain), 1024)
crop = part("grefine_core.refine.crops").CropPlan((0, 0, *size), size, size)
each = len(SEEN["first"]) // 2
result["batch"]["stage 2"] = [error(value, crop, offset=0.25 * (number // each))
                              for number, value in enumerate(SEEN["first"])]
try:
    stage1(image[:1], mask[:1], [text(GREEN, control=chain)], [text(GREEN)])
except Exception as wrong:
    result["batch"]["one"] = f"{type(wrong).__name__} {wrong}"

# Areas and masks by what is painted where; the case at x = 768 of 1536
def colors(painted):
    "How far from red left of x = 768, and from blue right of it, but for a cell or two on the border itself."
    right = painted[..., 784:, :][mask[..., 784:] > 0]
    left = painted[..., :752, :][mask[..., :752] > 0]
    return [float((values - torch.tensor(color)).abs().max()) for values, color in
            ((left, [0.9, 0.1, 0.1]), (right, [0.1, 0.2, 0.9])) if len(values)]
size = (512, 1536)
image = torch.rand(1, *size, 3)
half = box_mask(size, (0, 0, 512, 768))
result["areas"] = {}
for place, regions in {"left": [(100, 100, 140, 140)], "right": [(300, 1200, 340, 1300)],
                       "over the middle": [(200, 740, 260, 800)]}.items():
    mask = box_mask(size, *regions)
    for kind, pair in {
        "area": (text(RED, area=(64, 96, 0, 0), strength=1.0) + text(BLUE, area=(64, 96, 0, 96), strength=1.0)),
        "percentage": (text(RED, area=("percentage", 1.0, 0.5, 0.0, 0.0))
                       + text(BLUE, area=("percentage", 1.0, 0.5, 0.0, 0.5))),
        "mask": (text(RED, mask=half, mask_strength=1.0) + text(BLUE, mask=1.0 - half, mask_strength=1.0)),
        "bounds": (text(RED, mask=half, mask_strength=1.0, set_area_to_bounds=True)
                   + text(BLUE, mask=1.0 - half, mask_strength=1.0, set_area_to_bounds=True)),
    }.items():
        for size_of_crop in ("source", "native"):
            painted, _ = stage1(image, mask, [pair], [text(GREEN)], cfg=1.0, min_side=256, crop_size=size_of_crop)
            result["areas"][f"{place}, {kind}, {size_of_crop}"] = [colors(painted), len(SEEN["shapes"])]
mask = box_mask(size, (100, 100, 140, 140))
try:
    stage1(image, mask, [text(BLUE, area=(64, 96, 0, 96))], [text(GREEN)])
except Exception as wrong:
    result["areas"]["none left"] = f"{type(wrong).__name__} {wrong}"

# References that are asked for as a whole
size = (240, 320)
latent = latent_of(ramp(*size)[None])
image, mask = torch.rand(1, *size, 3), box_mask(size, (100, 120, 140, 180))
stage1(image, mask, [text(GREEN, reference_latents=[latent])], [text(GREEN)], whole_references=[True])
result["whole"] = [bool(torch.equal(value, latent)) for value in SEEN["reference 0"]]

# Patches of the host that hold pictures
import comfy_extras.nodes_model_patch as patches
class Encoded(torch.nn.Module):
    additional_in_dim = 4
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
    def process_input_latent_image(self, latent):
        see("patch", latent)
        return torch.zeros(1, 1, 1)
    def control_block(self, img, encoded, block):
        return img
result["patches"] = {}
FILMS = paint.block_mean_vae(16, 8, video=True)               # as Qwen-Image's
for case in ("odd crops", "enlarged", "border"):
    size, regions, more = CROPS[case]
    picture = ramp(*size)
    holder = comfy.model_patcher.ModelPatcher(Encoded(), torch.device("cpu"), torch.device("cpu"))
    with torch.inference_mode():
        where = picture[None, None, None, 1]
        patch = patches.DiffSynthCnetPatch(holder, FILMS, picture.movedim(0, -1)[None], 1.0, where)
    unet = model()
    unet.set_model_double_block_patch(patch)
    kept = (patch.image, patch.mask, patch.encoded_image, patch.encoded_image_size)
    _, places = stage1(torch.rand(1, *size, 3), box_mask(size, *regions), [text(GREEN)], [text(GREEN)], unet, **more)
    crops = [each.crop for each in places[0].crops]
    values = [(value[:, :2] / 2.0 + 0.5) for value in SEEN["patch"]]
    result["patches"][case] = {
        "latents": [error(value, crops[number]) for number, value in enumerate(values)],
        "masks": [error(value[:, 16:17], crops[number], axes=(1,)) for number, value in enumerate(SEEN["patch"])],
        "count": len(crops), "same": all(a is b for a, b in zip(
            kept, (patch.image, patch.mask, patch.encoded_image, patch.encoded_image_size)))}
class Controls(Encoded):
    additional_in_dim, n_control_layers = 17, 1
    def forward(self, txt, encoded, pe, vec):
        see("z-image", encoded)
        return torch.zeros(1, 1, 1)
    def forward_control_block(self, layer, x, img, mask, pe, vec):
        return torch.zeros(1, 1, 1), x
if hasattr(patches, "ZImageControlPatch"):
    size, regions, more = CROPS["odd crops"]
    picture, flux = ramp(*size), paint.block_mean_vae(16)
    holder = comfy.model_patcher.ModelPatcher(Controls(), torch.device("cpu"), torch.device("cpu"))
    with torch.inference_mode():
        patch = patches.ZImageControlPatch(holder, flux, picture.movedim(0, -1)[None], 1.0,
                                           picture.movedim(0, -1)[None], torch.ones(1, 1, 1, *size))
    unet = model()
    unet.set_model_noise_refiner_patch(patch)
    unet.set_model_double_block_patch(patch)
    _, places = stage1(torch.rand(1, *size, 3), box_mask(size, *regions), [text(GREEN)], [text(GREEN)], unet, **more)
    crops = [each.crop for each in places[0].crops]
    each = len(SEEN["z-image"]) // len(crops)
    back = lambda values: comfy.latent_formats.Flux().process_out(values)[:, :2] / 2.0 + 0.5
    result["patches"]["z-image"] = [
        error(back(values), crops[number // each]) for number, value in enumerate(SEEN["z-image"])
        for values in (value[:, :16], value[:, 17:])]
try:
    from comfy.ldm.supir.supir_patch import SUPIRPatch
except ImportError:
    SUPIRPatch = None
if SUPIRPatch is not None:
    size, regions, more = CROPS["enlarged"]
    latent = latent_of(ramp(*size)[None])
    holder = comfy.model_patcher.ModelPatcher(Encoded(), torch.device("cpu"), torch.device("cpu"))
    for case in ("border", "enlarged"):
        _, regions, more = CROPS[case]
        unet = model()
        SUPIRPatch(holder, [], latent, 1.0, 1.0).register(unet)
        given = (torch.rand(1, *size, 3), box_mask(size, *regions), [text(GREEN)], [text(GREEN)], unet)
        _, places = stage1(*given, **more)
        result["patches"][f"supir, {case}"] = [
            error(value[:, :2] / 2.0 + 0.5, places[0].crops[0].crop) for value in SEEN["guide"]]

# Without any of it: the very models that were given
sampling, crops = part("nodes.sampling"), part("grefine_core.refine.crops")
models = sampling.HostModels(model(), text(GREEN), text(RED), VAE)
place = crops.Place((240, 320), crops.CropPlan((80, 80, 160, 176), (80, 96), (80, 96)))
window = sampling.Follows().window(place)
result["nothing"] = sampling.Follows().cut(models, window, torch.zeros(1, 4, 10, 12), "model", "") is models
print("RESULT", json.dumps(result))
"""
CASES = ("odd crops", "border", "odd picture", "enlarged", "enlarged at an odd border")
WHATS = (
    "first",
    "adapter",
    "third",
    "mask",
    "reference 0",
    "concat_latent_image",
    "guiding_frames",
)
#: Pixels of the picture. A latent cell of the doubles is the mean of eight by eight.
HALF_A_PIXEL, HALF_A_CELL = 0.51, 4.0


@pytest.fixture(scope="module")
def result(host_run) -> dict[str, Any]:
    return json.loads(host_run(CODE.replace("DOUBLES", repr(str(HERE)))).split("RESULT ", 1)[1])


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize("case", CASES)
def test_it_arrives_as_the_crops_own(result, case, what):
    errors = result["arrived"][case]["found"][what]
    assert errors
    resized = case not in ("odd crops", "border")
    latents = what in ("reference 0", "concat_latent_image", "guiding_frames")
    assert max(errors) <= (HALF_A_CELL if latents else HALF_A_PIXEL) * resized + 1e-3


@pytest.mark.parametrize("case", CASES)
def test_all_else_is_as_without_hints(result, case):
    found = result["arrived"][case]
    assert found["regions"] == found["expected"]
    assert found["calls"] == found["regions"] * 2 * 2, (
        "positive and negative hold boxes of their own, so no joint calls"
    )
    assert found["sizes"] == found["samples"]
    assert found["outside"]
    assert found["painted"] < 0.04
    assert found["found"]["reference 1"] == [[1, 4, 9, 9]] * found["regions"], "a reference of another size is whole"


@pytest.mark.parametrize("case", CASES)
def test_what_the_user_has_made_stays_as_it_was(result, case):
    assert result["same"][case]


def test_boxes_lie_where_they_belong(result):
    for case in CASES:
        found = result["arrived"][case]
        each = len(found["boxes"]) // found["regions"]
        for number, boxes in enumerate(found["boxes"]):
            top, left = (side[number // each] for side in found["cells"])
            height, width = found["samples"][number // each % len(found["samples"])]
            assert bool(boxes) == (0 <= top < height and 0 <= left < width)
            for _, _, y, x in boxes:
                assert (y, x) == pytest.approx((top, left), abs=0.51)


def test_every_tile_gets_its_own(result):
    found = result["tiles"]
    assert found["count"] == 6
    assert set(found["found"]) == set(WHATS)
    for what, errors in found["found"].items():
        assert len(errors) % 6 == 0, what
        assert max(errors) < 1e-3, what


def test_of_a_batch_of_hints_every_picture_gets_its_own(result):
    found = result["batch"]
    assert len(found["stage 2"]) == 2
    assert max(*found["first"], *found["shared"], *found["stage 2"]) < 1e-3
    assert found["calls"] == 2 * 2, "positive and negative still share a call"
    assert found["one"].startswith("InputError positive: its control (ControlNet), pictures: there are 2")


@pytest.mark.parametrize("size", ["source", "native"])
@pytest.mark.parametrize("kind", ["area", "percentage", "mask", "bounds"])
@pytest.mark.parametrize("place", ["left", "right", "over the middle"])
def test_regional_prompts_paint_where_they_are(result, place, kind, size):
    """Red left of x = 768 in a picture of 1536, blue right of it."""
    errors, calls = result["areas"][f"{place}, {kind}, {size}"]
    assert len(errors) == (2 if place == "over the middle" else 1)
    assert max(errors) < 0.01
    if place != "over the middle":
        assert calls == 2, "what lies outside costs nothing"


def test_with_no_area_left_it_is_said_where(result):
    message = result["areas"]["none left"]
    assert message.startswith(
        "InputError positive: none of its areas and masks reaches the part of the picture from x = "
    )


def test_references_stay_whole_if_asked(result):
    assert result["whole"] == [True]


@pytest.mark.parametrize("case", ["odd crops", "enlarged", "border"])
def test_pictures_of_patches_follow(result, case):
    found = result["patches"][case]
    assert len(found["latents"]) == len(found["masks"]) == found["count"]
    assert max(found["latents"]) < (HALF_A_CELL if case == "enlarged" else 1e-3)
    assert max(found["masks"]) < (HALF_A_CELL if case == "enlarged" else 1e-3)
    assert found["same"]


@pytest.mark.parametrize("case", ["z-image", "supir, border", "supir, enlarged"])
def test_patches_of_newer_hosts_follow(result, case):
    if case not in result["patches"]:
        pytest.skip("this ComfyUI does not have it")
    errors = result["patches"][case]
    assert errors
    assert max(errors) < (HALF_A_CELL if case == "supir, enlarged" else 1e-3)


def test_a_run_without_any_of_it_works_on_the_very_models(result):
    assert result["nothing"]
