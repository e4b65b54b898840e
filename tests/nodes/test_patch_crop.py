"""Patches of a model that hold pictures, cut to parts of them."""

from __future__ import annotations

import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from grefine_core.refine.crops import CropPlan, Place

from .ramps import CASES, crop_of, expected, ramp


@pytest.fixture(scope="module")
def windows(pack):
    return pack("nodes.window")


@pytest.fixture(scope="module")
def follow(pack):
    return lambda model, window, name="model": pack("nodes.patch_crop").follow(model, window, 8, name)


@pytest.fixture
def window(windows):
    """Rows 8 to 24 and columns 16 to 48 of a picture of 32 x 48."""
    return windows.Window.of(Place((32, 48), CropPlan((8, 16, 24, 48), (16, 32), (16, 32))))


class SUPIRPatch:
    """As the host's: methods of one object that holds the guiding latent."""

    def __init__(self, latent):
        self.hint_latent, self.cached_features = latent, "of the last picture"

    def middle(self):
        return self.hint_latent

    def upsample(self):
        return self.hint_latent + 1.0


class DiffSynthCnetPatch:
    """As the host's: a callable with a picture, and with what was encoded of it."""

    def __init__(self, image, mask=None):
        self.image, self.mask = image, mask
        self.encoded_image, self.encoded_image_size = torch.ones(1, 5, 7), tuple(image.shape[1:3])
        self.vae = SimpleNamespace(patcher=object())

    def __call__(self, arguments):
        return arguments


class AnimaLLLitePatch:
    def __init__(self, image, mask):
        self.image, self.mask = image, mask


class AnimaLLLiteAttentionPatch:
    def __init__(self, patch):
        self.patch = patch

    def __call__(self):
        return self.patch


class WanUni3CCnetPatch:
    def __init__(self, film):
        self.render_video, self.prepared_render, self.temp_data = film, torch.zeros(1), 1


class AttentionMask:
    """Of another pack: nobody knows what it does with its mask."""

    def __init__(self, mask):
        self.kwargs = [{"mask": mask}]

    def __call__(self):
        return self


def supir_towards(reference):
    def SUPIRs_function(arguments):  # noqa: N802 - what it is recognised by
        return arguments["denoised"] - reference

    return SUPIRs_function


def other(arguments):
    return arguments["denoised"] * 2.0


class Model(SimpleNamespace):
    """Clones as the host does: new dictionaries and lists, the same objects in them."""

    def clone(self):
        def renewed(value):
            if isinstance(value, dict):
                return {key: renewed(each) for key, each in value.items()}
            return list(value) if isinstance(value, list) else value

        return Model(model_options=renewed(self.model_options))


def model_with(**transformer):
    return Model(model_options={"transformer_options": transformer})


def guided(height, width, batch=1):
    latent = torch.arange(float(batch * height * width)).reshape(batch, 1, height, width)
    patch = SUPIRPatch(latent)
    patches = {"a": [patch.middle, print], "b": [(str, patch.upsample)]}
    functions = [other, supir_towards(latent)]
    options = {"transformer_options": {"patches": patches}, "sampler_post_cfg_function": functions}
    return latent, Model(model_options=options)


def test_a_model_without_pictures_stays_the_very_same(follow, window):
    class Scale:
        def __init__(self):
            self.weights = torch.zeros(1, 3, 4)

        def __call__(self):
            return self.weights

    small = torch.zeros(3)
    for options in (
        {},
        {"transformer_options": {}},
        {"transformer_options": {"patches": {"a": [print, (str, len), Scale(), lambda: small]}, "wrappers": {"x": {}}}},
        {
            "transformer_options": {"patches_replace": {"attn1": {("input", 1): Scale()}}},
            "model_function_wrapper": other,
        },
    ):
        model = Model(model_options=options)
        assert follow(model, window) is model


# SUPIR


def test_a_part_is_guided_by_its_own_place(follow, window):
    latent, model = guided(4, 6)
    before = copy.deepcopy(latent)
    fitted = follow(model, window)
    patches = fitted.model_options["transformer_options"]["patches"]
    wanted = latent[..., 1:3, 2:6]
    assert torch.equal(patches["a"][0](), wanted)
    assert patches["a"][1] is print
    replaced, function = patches["b"][0]
    assert replaced is str
    assert torch.equal(function(), wanted + 1.0)
    assert function.__self__ is patches["a"][0].__self__, "one object still, whose state the methods share"
    assert function.__self__.cached_features is None
    denoised = torch.rand(1, 1, 2, 4)
    first, second = fitted.model_options["sampler_post_cfg_function"]
    assert first is other
    assert torch.equal(second({"denoised": denoised}), denoised - wanted)
    # The model that was given is as it was.
    given = model.model_options["transformer_options"]["patches"]["a"][0]
    assert torch.equal(given(), before)
    assert given.__self__.cached_features == "of the last picture"
    assert torch.equal(model.model_options["sampler_post_cfg_function"][1]({"denoised": before}), before * 0)


def test_the_padding_of_a_picture_repeats_the_last_cell(follow, windows):
    """The guide of 3 × 5 cells in a picture of 25 × 41 pixels, which was padded to 4 × 6 cells."""
    latent, model = guided(3, 5)
    fitted = follow(model, windows.Window.of(Place((25, 41), CropPlan((0, 0, 25, 41), (32, 48), (32, 48)))))
    cut = fitted.model_options["transformer_options"]["patches"]["a"][0]()
    assert torch.equal(cut[..., :3, :5], latent)
    assert torch.equal(cut[..., 3, :5], latent[..., 2, :])
    assert torch.equal(cut[..., :, 5], cut[..., :, 4])


def test_an_enlarged_crop_gets_an_enlarged_guide(follow, windows):
    latent, model = guided(4, 6)
    fitted = follow(model, windows.Window.of(Place((32, 48), CropPlan((8, 16, 24, 48), (16, 32), (32, 64)))))
    found = fitted.model_options["transformer_options"]["patches"]["a"][0]()
    assert found.shape[-2:] == (4, 8)
    assert found.min() >= latent[..., 1:3, 2:6].min()
    assert torch.equal(found[..., 0, 0], latent[..., 1, 2])


@pytest.mark.parametrize(
    ("size", "batch", "words"),
    [((4, 8), 1, "about 64×32"), ((6, 6), 1, "48×48"), ((2, 6), 1, "48×16"), ((4, 6), 2, "Rebatch Images")],
)
@pytest.mark.parametrize("whole", [True, False])
def test_another_picture_or_several_are_refused_in_words(
    follow, windows, window, input_error, size, batch, words, whole
):
    _, model = guided(*size, batch=batch)
    with pytest.raises(input_error, match=f"restorer: .*{words}"):
        follow(model, windows.Window.whole_of((32, 48)) if whole else window, "restorer")


def test_of_guides_for_each_picture_its_own(follow, windows):
    latent, model = guided(4, 6, batch=2)
    window = windows.Window.of(Place((32, 48), CropPlan((8, 16, 24, 48), (16, 32), (16, 32))), 1, 2)
    assert torch.equal(
        follow(model, window).model_options["transformer_options"]["patches"]["a"][0](), latent[1:, :, 1:3, 2:6]
    )


def scaled(value, picture=None):
    return value if picture is None else value * picture.mean()


def with_a_default(picture):
    def patch(value, own=picture):
        return value * own.mean()

    return patch


def bound(picture):
    return partial(scaled, picture=picture)


@pytest.mark.parametrize("made", [bound, with_a_default])
def test_pictures_that_a_function_was_given_beforehand_are_refused(follow, window, input_error, made):
    model = model_with(patches={"double_block": [made(torch.rand(1, 32, 48, 3))]})
    with pytest.raises(input_error, match=r"model: its patch (scaled|with_a_default.*) holds a whole picture"):
        follow(model, window)
    harmless = model_with(patches={"double_block": [made(torch.rand(3))]})
    assert follow(harmless, window) is harmless


def test_the_method_of_a_patch_follows_with_what_it_was_given_beforehand(follow, window):
    latent, _ = guided(4, 6)
    model = model_with(patches={"a": [partial(SUPIRPatch(latent).middle)]})
    (fitted,) = follow(model, window).model_options["transformer_options"]["patches"]["a"]
    assert torch.equal(fitted(), latent[..., 1:3, 2:6])


def test_the_whole_picture_needs_no_copies(follow, windows):
    _, model = guided(4, 6)
    assert follow(model, windows.Window.whole_of((32, 48))) is model
    patched = model_with(patches={"double_block": [DiffSynthCnetPatch(torch.rand(1, 32, 48, 3))]})
    assert follow(patched, windows.Window.whole_of((32, 48))) is patched


# Pictures in pixels


@pytest.mark.parametrize("case", CASES)
def test_pictures_and_masks_of_a_patch_follow(follow, windows, case):
    size, crop = crop_of(case)
    image = torch.cat([ramp(*size), torch.zeros(1, *size)]).movedim(0, -1)[None] / 600.0
    patch = DiffSynthCnetPatch(image, ramp(*size)[None, None, 1:])
    model = Model(model_options={"transformer_options": {"patches": {"double": [patch], "noise": [patch]}}})
    fitted = follow(model, windows.Window.of(Place(size, crop)))
    moved = fitted.model_options["transformer_options"]["patches"]
    new = moved["double"][0]
    assert moved["noise"][0] is new
    assert new is not patch
    tolerance = 1.01 * max(1.0, *(crop.padded[axis] / crop.sample[axis] for axis in (0, 1)))
    assert (new.image[0, ..., :2].movedim(-1, 0) * 600.0 - expected(crop)).abs().max() <= tolerance
    assert new.mask.shape == (1, 1, 1, *crop.sample)
    assert (new.mask[0, 0, 0] - expected(crop)[1]).abs().max() <= tolerance
    assert new.encoded_image.numel() == 0, "nothing of the whole picture's is left"
    assert new.encoded_image_size is None
    assert patch.image is image
    assert patch.encoded_image.numel() == 35
    assert patch.encoded_image_size == size
    assert new.vae is patch.vae


def test_patches_of_another_patch_follow_with_it(follow, windows):
    """The host looks up what the first one has made by the object itself."""
    size, crop = crop_of("inside")
    patch = AnimaLLLitePatch(ramp(*size).movedim(0, -1)[None] / 600.0, ramp(*size)[None, :1])
    helper = AnimaLLLiteAttentionPatch(patch)
    model = Model(model_options={"transformer_options": {"patches": {"post_input": [patch], "attn1": [helper]}}})
    moved = follow(model, windows.Window.of(Place(size, crop))).model_options["transformer_options"]["patches"]
    assert moved["attn1"][0].patch is moved["post_input"][0]
    assert moved["attn1"][0] is not helper
    assert helper.patch is patch
    assert moved["post_input"][0].mask.shape[-2:] == crop.sample


def test_a_film_is_no_batch(follow, windows):
    size, crop = crop_of("inside")
    model = Model(
        model_options={"transformer_options": {"patches": {"double": [WanUni3CCnetPatch(torch.zeros(5, *size, 3))]}}}
    )
    new = follow(model, windows.Window.of(Place(size, crop))).model_options["transformer_options"]["patches"]["double"][
        0
    ]
    assert new.render_video.shape == (5, *crop.sample, 3)
    assert new.prepared_render is None


def test_what_is_not_known_is_refused_by_name(follow, windows, input_error):
    size, crop = crop_of("inside")
    window = windows.Window.of(Place(size, crop))
    mask = torch.zeros(1, *size)
    for place in (
        {"patches_replace": {"attn2": {("input", 4): AttentionMask(mask)}}},
        {"patches": {"a": [AttentionMask(mask)]}},
    ):
        with pytest.raises(input_error, match="model: its patch AttentionMask holds a whole picture or mask"):
            follow(model_with(**place), window)

    def masked(arguments):
        return arguments * mask

    with pytest.raises(input_error, match="masked holds a whole picture"):
        follow(Model(model_options={"model_function_wrapper": masked}), window)
    whole = Model(model_options={"model_function_wrapper": masked})
    assert follow(whole, windows.Window.whole_of(size)) is whole
