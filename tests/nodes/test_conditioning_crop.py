"""What hangs on a conditioning follows the crop, and stays as it is on the one that was given."""

from __future__ import annotations

import copy

import pytest
import torch

from grefine_core.refine.crops import CropPlan, Place

from .ramps import CASES, crop_of, expected, ramp

TEXT = torch.zeros(1, 2, 3)


@pytest.fixture(scope="module")
def windows(pack):
    return pack("nodes.window")


@pytest.fixture(scope="module")
def follow(pack, windows):
    """``follow(case or place, options, …)``: the options of a conditioning with one entry, cut; None if it ends."""

    def cut(case, options, *, number=0, count=1, part=None, **more):
        place = Place(*crop_of(case)) if isinstance(case, str) else case
        window = windows.Window.of(place, number, count)
        window = window if part is None else window.tile(part)
        cutter = pack("nodes.conditioning_crop").Cutter(window, 8, **more)
        kept = cutter.conditioning([[TEXT, options], [TEXT, {"rest": 1}]], "positive")
        return kept[0][1] if len(kept) == 2 else None

    return cut


class Control:
    """As the host's: copies itself without what it is chained to."""

    upscale_algorithm = "nearest-exact"

    def __init__(self, hint, previous=None, **more):
        self.cond_hint_original, self.previous_controlnet, self.extra_concat_orig = hint, previous, []
        self.strength, self.timestep_percent_range, self.multigpu_clones = 0.7, (0.1, 0.6), {}
        self.__dict__.update(more)

    def copy(self):
        made = copy.copy(self)
        made.previous_controlnet, made.multigpu_clones = None, {}
        return made


def close(found, crop, size=None, part=None, tolerance=1.01):
    wanted = expected(crop, size, part)
    step = max(crop.padded[axis] / crop.sample[axis] for axis in (0, 1))
    assert found.shape[-2:] == wanted.shape[-2:]
    assert (found - wanted).abs().max() <= tolerance * max(1.0, step)


# Nothing to do


def test_a_conditioning_without_places_is_the_very_same(pack, windows):
    given = [[TEXT, {"pooled_output": torch.zeros(1, 8), "guidance": 3.5, "hooks": object(), "start_percent": 0.2}]]
    cutter = pack("nodes.conditioning_crop").Cutter(windows.Window.of(Place(*crop_of("inside"))), 8)
    assert cutter.conditioning(given, "positive") is given


def test_a_whole_picture_needs_no_cutting(pack, windows):
    given = [[TEXT, {"control": object(), "area": (1, 1, 0, 0), "camera_conditions": 1}]]
    cutter = pack("nodes.conditioning_crop").Cutter(windows.Window.whole_of((64, 64)), 8)
    assert cutter.conditioning(given, "positive") is given


# Controls


@pytest.mark.parametrize("case", CASES)
def test_hints_of_a_chain_follow(follow, case):
    size, crop = crop_of(case)
    first = Control(ramp(*size)[None])
    second = Control(
        ramp(*size)[None] + 1000.0, first, extra_concat_orig=[ramp(*size)[None, :1], torch.ones(1, 1, 1, 1)]
    )
    before = second.cond_hint_original.clone()
    options = {"control": second, "control_apply_to_uncond": True}
    found = follow(case, options)["control"]
    assert found is not second
    close(found.cond_hint_original[0] - 1000.0, crop)
    close(found.previous_controlnet.cond_hint_original[0], crop)
    assert (found.extra_concat_orig[0][0, 0] - expected(crop)[0]).abs().max() <= 1.01 * max(
        1.0, crop.padded[0] / crop.sample[0]
    )
    assert found.extra_concat_orig[1].shape == (1, 1, 1, 1)
    assert (found.strength, found.timestep_percent_range) == (0.7, (0.1, 0.6))
    assert second.previous_controlnet is first
    assert torch.equal(second.cond_hint_original, before)
    assert options["control"] is second


def test_positive_and_negative_share_their_control(pack, windows):
    """The host calls the model once for both only if they have the very same one."""
    size, crop = crop_of("inside")
    control = Control(ramp(*size)[None])
    cutter = pack("nodes.conditioning_crop").Cutter(windows.Window.of(Place(size, crop)), 8)
    pair = [cutter.conditioning([[TEXT, {"control": control}]], name) for name in ("positive", "negative")]
    assert pair[0][0][1]["control"] is pair[1][0][1]["control"]


@pytest.mark.parametrize("part", [(0, 0, 64, 40), (40, 32, 104, 72)])
def test_tiles(follow, part):
    size, crop = crop_of("whole odd picture")
    found = follow("whole odd picture", {"control": Control(ramp(*size)[None])}, part=part)["control"]
    close(found.cond_hint_original[0], crop, part=part)


def test_of_a_batch_of_hints_the_pictures_own(follow, input_error):
    size, crop = crop_of("inside")
    hints = torch.stack([ramp(*size) + 1000.0 * number for number in range(3)])
    found = follow("inside", {"control": Control(hints)}, number=2, count=3)["control"]
    close(found.cond_hint_original[0] - 2000.0, crop)
    with pytest.raises(input_error, match=r"positive: its control \(Control\), pictures: there are 3"):
        follow("inside", {"control": Control(hints)})


def test_controls_that_are_not_known_are_refused_by_name(follow, input_error):
    class Strange:
        cond_hint_original = None

    with pytest.raises(input_error, match=r"positive: its control \(Strange\) was made for the whole picture"):
        follow("inside", {"control": Strange()})
    size, _ = crop_of("inside")
    with pytest.raises(input_error, match=r"\(Control\), own_mask, was made for the whole picture"):
        follow("inside", {"control": Control(None, own_mask=torch.zeros(1, *size))})


# Areas, masks, boxes


@pytest.mark.parametrize(
    ("area", "wanted"),
    [
        ((64, 96, 0, 96), (64, 64, 0, 0)),  # from x = 768 of 1536 on, in a crop that begins there
        ((64, 96, 0, 0), None),  # the other half
        ((16, 8, 8, 100), (16, 8, 8, 4)),
        (("percentage", 1.0, 0.5, 0.0, 0.5), (64, 64, 0, 0)),
        (("percentage", 1.0, 0.5, 0.0, 0.0), None),
        (("percentage", 1.0, 1.0, 0.5, 0.0, 0.0, 0.5), (64, 64, 0, 0)),  # with time in front
        ((1, 64, 96, 0, 0, 96), (64, 64, 0, 0)),
        ((64, 97, 0, 0), (64, 1, 0, 0)),
    ],
)
def test_areas_are_moved_clipped_and_dropped(follow, area, wanted):
    place = Place((512, 1536), CropPlan((0, 768, 512, 1280), (512, 512), (512, 512)))
    options = {"area": area, "strength": 0.5, "set_area_to_bounds": False}
    found = follow(place, options)
    assert (found and found["area"]) == wanted
    assert options["area"] == area


def test_areas_of_an_enlarged_crop(follow):
    place = Place((512, 1536), CropPlan((0, 768, 256, 1024), (256, 256), (512, 512)))
    assert follow(place, {"area": (8, 8, 4, 100)})["area"] == (16, 16, 8, 8)


def test_without_any_area_left_it_says_where(pack, windows, input_error):
    window = windows.Window.of(Place((512, 1536), CropPlan((0, 768, 512, 1280), (512, 512), (512, 512))))
    with pytest.raises(input_error, match=r"positive: none of its areas .* x = 768, y = 0 to 1280, 512"):
        pack("nodes.conditioning_crop").Cutter(window, 8).conditioning([[TEXT, {"area": (64, 96, 0, 0)}]], "positive")


@pytest.mark.parametrize("case", CASES)
def test_masks_follow(follow, case):
    size, crop = crop_of(case)
    for mask in (ramp(*size), ramp(*size)[:1], ramp(*size)[0]):
        found = follow(case, {"mask": mask, "mask_strength": 0.5}, count=len(mask))["mask"]
        wanted = expected(crop)[0]
        assert found.shape == ((1, *wanted.shape) if mask.ndim == 3 else wanted.shape)
        step = max(crop.padded[axis] / crop.sample[axis] for axis in (0, 1))
        assert (found - wanted).abs().max() <= 1.01 * max(1.0, step)


def test_a_mask_that_is_nowhere_in_the_crop_ends_its_entry(follow):
    size, crop = crop_of("inside")
    mask = torch.ones(1, *size)
    mask[:, crop.box[0] : crop.box[2], crop.box[1] : crop.box[3]] = 0
    assert follow("inside", {"mask": mask}) is None
    assert not follow("inside", {"mask": mask, "default": True})["mask"].any(), "what fills the rest stays"


def test_boxes_of_gligen(follow):
    place = Place((512, 1536), CropPlan((0, 768, 512, 1280), (512, 512), (512, 512)))
    boxes = [("a", 16, 16, 8, 100), ("b", 16, 16, 8, 0), ("c", 64, 192, 0, 0)]
    value = ("position", "model", boxes)
    found = follow(place, {"gligen": value})["gligen"]
    assert found == ("position", "model", [("a", 16, 16, 8, 4), ("c", 64, 64, 0, 0)])
    assert value[2] is boxes
    assert len(boxes) == 3


def test_attention_masks_over_a_grid(follow):
    """Four texts, and 6 x 8 tokens of the picture: those of the crop are kept, in their order."""
    place = Place((48, 64), CropPlan((16, 32, 48, 64), (32, 32), (32, 32)))
    row = torch.cat([torch.full((4,), -1.0), torch.arange(48.0)])
    options = {"attention_mask": row.expand(1, 52, 52), "attention_mask_img_shape": (6, 8)}
    found = follow(place, options)
    assert found["attention_mask_img_shape"] == (4, 4)
    tokens = [8 * y + x for y in range(2, 6) for x in range(4, 8)]
    assert found["attention_mask"].shape == (1, 20, 20)
    assert found["attention_mask"][0, 0].tolist() == [-1.0] * 4 + tokens
    uniform = {"attention_mask": torch.zeros(1, 6, 6), "attention_mask_img_shape": (1, 1)}
    assert follow(place, uniform) is uniform


# Latents


def latent_ramp(size, channels=4):
    """Latents of a picture of `size` whose first two channels are the cells' middles in pixels."""
    rows, columns = size[0] // 8, size[1] // 8
    y, x = ramp(rows, columns, (rows * 8, columns * 8))
    offset = [(side % 8) // 2 for side in size]
    more = torch.zeros(channels - 2, rows, columns)
    return torch.cat([(y + offset[0])[None], (x + offset[1])[None], more])[None]


def close_cells(found, crop, size):
    grid = (crop.sample[0] // 8, crop.sample[1] // 8)
    assert found.shape[-2:] == grid
    wanted = expected(crop, grid)
    inside = (wanted > 12) & (wanted < torch.tensor(size).view(2, 1, 1) - 12)
    step = max(crop.padded[axis] / crop.sample[axis] for axis in (0, 1))
    assert ((found[0, :2].reshape(2, *grid) - wanted).abs()[inside] <= 4.5 * max(1.0, step)).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("key", ["concat_latent_image", "reference_latents", "guiding_frames", "of_another_pack"])
def test_latents_follow(follow, case, key):
    size, crop = crop_of(case)
    latent = latent_ramp(size)
    for value in (latent, [latent, latent]) if key != "reference_latents" else ([latent],):
        if key == "concat_latent_image" and isinstance(value, list):
            continue
        found = follow(case, {key: value})[key]
        for each in found if isinstance(found, list) else [found]:
            close_cells(each, crop, size)
    film = latent.unsqueeze(2)
    close_cells(follow(case, {key: [film]})[key][0], crop, size)


def test_concat_masks_follow(follow):
    for case in CASES:
        size, crop = crop_of(case)
        found = follow(case, {"concat_mask": ramp(*size)[1][None, None]})["concat_mask"]
        step = max(crop.padded[axis] / crop.sample[axis] for axis in (0, 1))
        assert (found[0, 0] - expected(crop)[1]).abs().max() <= 1.01 * max(1.0, step)


def test_references_of_another_size_and_whole_ones_stay(follow):
    size, _ = crop_of("inside")
    own, other = latent_ramp(size), torch.zeros(1, 4, 9, 9)
    options = {"reference_latents": [own, other], "reference_latents_method": "offset"}
    found = follow("inside", options)
    assert found["reference_latents"][0] is not own
    assert found["reference_latents"][1] is other
    assert options["reference_latents"][0] is own
    assert follow("inside", options, whole_references=True) is options
    only_other = {"reference_latents": [other]}
    assert follow("inside", only_other) is only_other


def test_cells_that_the_crop_does_not_lie_on_go_through_pixels(follow):
    """A crop that begins within a cell, and an enlarged one: the pixels arrive at their own place, exactly."""
    asked = []

    def pixels(latent):
        asked.append(latent)
        return ramp(240, 320).movedim(0, -1)[None] / 400.0

    for case, tolerance in (("odd crop", 1e-3), ("enlarged", 0.6), ("odd enlarged at the border", 1.1)):
        size, crop = crop_of(case)
        asked.clear()
        drawn = lambda latent, size=size: pixels(latent)[:, : size[0] // 8 * 8, : size[1] // 8 * 8]  # noqa: E731
        found = follow(
            case, {"reference_latents": [latent_ramp(size)]}, pixels=drawn, redraw=lambda image: image.movedim(-1, 1)
        )["reference_latents"][0]
        assert len(asked) == 1
        offset = torch.tensor([(side % 8) // 2 for side in size]).view(2, 1, 1)
        wanted = expected(crop) - offset
        inside = (wanted > 2) & (wanted < torch.tensor([side // 8 * 8 - 2 for side in size]).view(2, 1, 1))
        assert ((found[0] * 400.0 - wanted).abs()[inside] <= tolerance).all(), case


def test_on_the_grid_no_vae_is_asked(follow):
    place = Place((512, 1536), CropPlan((64, 768, 512, 1280), (448, 512), (448, 512)))
    never = {"pixels": lambda latent: pytest.fail("decoded"), "redraw": lambda image: pytest.fail("encoded")}
    latent = latent_ramp((512, 1536))
    found = follow(place, {"reference_latents": [latent]}, **never)["reference_latents"][0]
    assert torch.equal(found, latent[..., 8:64, 96:160])


def test_what_has_the_pictures_size_is_cut_whatever_it_is_called(follow):
    size, crop = crop_of("inside")
    found = follow("inside", {"normals": ramp(*size).movedim(0, -1)[None], "depth": ramp(*size)[None, 1]})
    close(found["normals"][0].movedim(-1, 0), crop)
    assert (found["depth"][0] - expected(crop)[1]).abs().max() <= 0.51


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("camera_conditions", torch.zeros(1, 2, 3)),
        ("keyframe_idxs", torch.zeros(1, 3, 5)),
        ("nested", {"frames": [torch.zeros(1, 4, 30, 40)]}),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name(follow, input_error, key, value):
    with pytest.raises(input_error, match=f"positive: its {key} was made for the whole picture"):
        follow("inside", {key: value})


def test_of_latents_for_each_picture_its_own(follow, input_error):
    size, crop = crop_of("inside")
    latents = torch.cat([latent_ramp(size), latent_ramp(size) + 1000.0])
    found = follow("inside", {"reference_latents": [latents]}, number=1, count=2)["reference_latents"][0]
    close_cells(found - 1000.0, crop, size)
    with pytest.raises(input_error, match="reference_latents: there are 2"):
        follow("inside", {"reference_latents": [latents]}, count=3)
