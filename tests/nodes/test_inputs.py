"""What a node accepts, and how it matches values to pictures."""

from __future__ import annotations

import math

import pytest
import torch


def pictures(*sizes: tuple[int, int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(*size, 3, generator=generator) for size in sizes]


# Single values


def test_text_is_passed_on_as_it_is(inputs):
    prompt = " a (red:1.3) hat, \n BREAK 🎩 "
    assert inputs.text(prompt, "prompt") is prompt
    assert inputs.text("", "prompt") == ""


@pytest.mark.parametrize("value", [3, 1.5, None, ["a hat"], {"text": "a"}, b"a hat", torch.zeros(1)])
def test_a_prompt_of_another_type_is_refused_by_name(inputs, input_error, value):
    with pytest.raises(input_error, match=r"^prompt: expected text"):
        inputs.text(value, "prompt")


@pytest.mark.parametrize("value", ["1.0", None, True, math.nan, math.inf, -0.1, 1.1, [0.5], torch.rand(2)])
def test_numbers_are_checked(inputs, input_error, value):
    with pytest.raises(input_error, match=r"^tolerance: "):
        inputs.number(value, "tolerance", 0.0, 1.0)


def test_a_number_may_come_as_an_integer(inputs):
    assert inputs.number(1, "tolerance", 0.0, 1.0) == 1.0
    assert inputs.whole_number(4.0, "steps", 1, 10) == 4


@pytest.mark.parametrize("value", [0, 1, True, False])
def test_flags(inputs, value):
    assert inputs.flag(value, "run") is bool(value)


@pytest.mark.parametrize("value", ["true", 2, None, 0.5, []])
def test_other_values_are_no_flags(inputs, input_error, value):
    with pytest.raises(input_error, match=r"^run: expected true or false"):
        inputs.flag(value, "run")


@pytest.mark.parametrize("value", ["Max", "", None, 0, ["max"]])
def test_unknown_choices_list_the_known(inputs, input_error, value):
    with pytest.raises(input_error, match=r"^mode: .*'max', 'mean'"):
        inputs.choice(value, "mode", ("max", "mean"))


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.pt", "a/../../b.pt", "C:\\x.pt", "a\\..\\..\\b.pt", "\\\\server\\x.pt", "//x/y"]
)
def test_file_names_never_leave_the_folders(inputs, input_error, name):
    with pytest.raises(input_error, match=r"^clip_name: .*not inside the model folders"):
        inputs.file_name(name, "clip_name")


@pytest.mark.parametrize("name", ["", "  ", "a\0b", None, 3])
def test_a_missing_file_name_is_refused(inputs, input_error, name):
    with pytest.raises(input_error, match=r"^clip_name: "):
        inputs.file_name(name, "clip_name")


@pytest.mark.parametrize("name", ["x.safetensors", "sub folder/x..y.safetensors", "sub\\x.pt", "..x.pt"])
def test_ordinary_file_names_are_kept(inputs, name):
    assert inputs.file_name(name, "clip_name") == name


@pytest.mark.parametrize(
    ("shape", "fits"), [((1, 8, 6), True), ((3, 8, 6), True), ((2, 8, 6), False), ((3, 6, 8), False)]
)
def test_masks_that_go_together_have_one_size(inputs, input_error, shape, fits):
    maps = torch.ones(3, 8, 6)
    if fits:
        inputs.same_size(torch.ones(shape), "map_b", maps, "map_a")
        return
    with pytest.raises(input_error, match=r"^map_b: shape .* does not match map_a \(3, 8, 6\)"):
        inputs.same_size(torch.ones(shape), "map_b", maps, "map_a")


def test_a_mask_in_which_nothing_is_painted_fits_every_picture(inputs):
    """As Load Image gives it for a picture without alpha."""
    flat = inputs.flatten_images(pictures((1, 8, 6), (1, 5, 9)), "image")
    found = inputs.flatten_masks([torch.zeros(1, 64, 64)], "mask", flat, "image")
    assert [tuple(mask.shape) for mask in found] == [(1, 8, 6), (1, 5, 9)]
    assert not any(mask.any() for mask in found)
    empty, maps = torch.zeros(1, 64, 64), torch.ones(3, 8, 6)
    inputs.same_size(empty, "protect", maps, "defect_map")
    inputs.same_size(maps, "protect", empty, "defect_map")


def test_another_type_is_named_with_the_node_that_gives_the_right_one(inputs, input_error):
    with pytest.raises(input_error, match=r"^phrases: expected what AQ-Map gives, got a tensor"):
        inputs.instance(torch.zeros(2, 2), "phrases", tuple, "what AQ-Map gives")


# Lists


def test_values_are_matched_one_to_one_or_one_for_all(inputs):
    assert inputs.per_picture(["a", "b", "c"], "prompt", 3) == ["a", "b", "c"]
    assert inputs.per_picture(["a"], "prompt", 3) == ["a", "a", "a"]
    assert inputs.per_picture("a", "prompt", 2) == ["a", "a"]


@pytest.mark.parametrize("values", [["a", "b"], ["a"] * 4, [], None])
def test_any_other_number_names_both_counts(inputs, input_error, values):
    count = len(values or [])
    with pytest.raises(input_error, match=rf"^prompt: {count} values for 3 pictures"):
        inputs.per_picture(values, "prompt", 3)


def test_one_value_for_the_whole_node(inputs, input_error):
    model = object()
    assert inputs.single([model], "quality_model") is model
    assert inputs.single([model, model], "quality_model") is model
    assert inputs.single(["paper", "paper"], "formula") == "paper"
    with pytest.raises(input_error, match=r"^formula: 2 different values"):
        inputs.single(["paper", "released"], "formula")
    with pytest.raises(input_error, match=r"^quality_model: nothing is connected"):
        inputs.single([None], "quality_model")


def test_tensors_are_one_value_only_if_they_are_the_same_object(inputs, input_error):
    tensor = torch.zeros(2)
    assert inputs.single([tensor, tensor], "x") is tensor
    with pytest.raises(input_error, match="different values"):
        inputs.single([tensor, tensor.clone()], "x")


@pytest.mark.parametrize(("values", "there"), [(None, False), ((None,), False), ([None], False), ([0], True)])
def test_unconnected_and_unevaluated_inputs_are_recognised(inputs, values, there):
    assert inputs.given(values) is there


@pytest.mark.parametrize(
    "batches",
    [[(3, 8, 6)], [(1, 8, 6), (1, 8, 6)], [(2, 8, 6), (1, 4, 4), (3, 5, 7)]],
    ids=["batch", "single", "mixed"],
)
def test_batches_come_back_as_they_went_in(inputs, batches):
    given = pictures(*batches)
    flat = inputs.flatten_images(given, "image")
    assert len(flat) == sum(size[0] for size in batches)
    assert all(item.shape[0] == 1 for item in flat.items)
    back = flat.regroup([item + 0.0 for item in flat.items])
    assert len(back) == len(given)
    assert all(torch.equal(a, b) for a, b in zip(back, given, strict=True))


def test_inputs_are_never_written_to(inputs):
    given = pictures((2, 4, 4))
    kept = given[0].clone()
    flat = inputs.flatten_images(given, "image")
    flat.regroup([item.clone().mul_(0) for item in flat.items])
    assert torch.equal(given[0], kept)


def test_alpha_is_composited_over_white(inputs):
    clear = torch.zeros(1, 2, 2, 4)
    assert torch.equal(inputs.flatten_images([clear], "image").items[0], torch.ones(1, 2, 2, 3))


def test_a_canvas_keeps_values_alpha_and_dtype(inputs):
    given = [torch.rand(2, 3, 3, 4) * 3 - 1, torch.rand(1, 3, 3, 3, dtype=torch.float64)]
    flat = inputs.flatten_images(given, "image", canvas=True)
    for back, batch in zip(flat.regroup(flat.items), given, strict=True):
        assert back.dtype == batch.dtype
        assert torch.equal(back, batch)


def test_no_batch_holds_pictures_with_and_without_alpha(inputs):
    flat = inputs.flatten_images([torch.rand(2, 3, 3, 3)], "image", canvas=True)
    (batch,) = flat.regroup([torch.zeros(1, 3, 3, 4), torch.zeros(1, 3, 3, 3)])
    assert batch[0].eq(1).all()
    assert batch[1].eq(0).all()


@pytest.mark.parametrize(
    "value",
    [
        torch.full((1, 4, 4, 3), math.nan),
        torch.zeros(1, 3, 4, 5),
        torch.zeros(4, 4),
        torch.zeros(1, 0, 4, 3),
        torch.zeros(1, 4, 4, 3, dtype=torch.int64),
        "a picture",
    ],
    ids=["nan", "channels", "rank", "empty", "dtype", "text"],
)
def test_bad_pictures_are_refused_by_name(inputs, input_error, value):
    with pytest.raises(input_error, match=r"^before: "):
        inputs.flatten_images([value], "before")


def test_no_picture_at_all(inputs, input_error):
    with pytest.raises(input_error, match=r"^image: no picture is connected"):
        inputs.flatten_images([], "image")


def test_before_and_after_must_be_the_same_pictures(inputs, input_error):
    after = inputs.flatten_images(pictures((2, 8, 6)), "after")
    singles = inputs.like_images(pictures((1, 8, 6), (1, 8, 6)), "before", after, "after")
    assert [tuple(item.shape) for item in singles] == [(1, 8, 6, 3)] * 2
    with pytest.raises(input_error, match=r"^before: 3 pictures, but after has 2"):
        inputs.like_images(pictures((3, 8, 6)), "before", after, "after")
    with pytest.raises(input_error, match=r"^before: picture 2 is 8×6, but 6×8 in after"):
        inputs.like_images(pictures((1, 8, 6), (1, 6, 8)), "before", after, "after")


def test_masks_are_matched_to_pictures_of_any_batching(inputs):
    flat = inputs.flatten_images(pictures((2, 8, 6), (1, 8, 6)), "image")
    three = [torch.rand(1, 8, 6) for _ in range(3)]
    assert all(
        torch.equal(found, mask)
        for found, mask in zip(inputs.flatten_masks(three, "mask", flat, "image"), three, strict=True)
    )
    one = torch.rand(8, 6)
    assert all(torch.equal(found[0], one) for found in inputs.flatten_masks([one], "mask", flat, "image"))


def test_masks_that_do_not_fit(inputs, input_error):
    flat = inputs.flatten_images(pictures((3, 8, 6)), "image")
    with pytest.raises(input_error, match=r"^mask: 2 values for 3 pictures"):
        inputs.flatten_masks([torch.rand(2, 8, 6)], "mask", flat, "image")
    with pytest.raises(input_error, match=r"^mask: size \(6, 8\).* image \(8, 6\)"):
        inputs.flatten_masks([torch.rand(1, 6, 8)], "mask", flat, "image")


def test_groups_of_phrases_are_flattened_per_picture(inputs, input_error):
    assert inputs.flatten_groups([((1, 2), ()), ((3,),)], "phrases", int, "phrases") == [(1, 2), (), (3,)]
    assert inputs.flatten_groups(((1,), (2,)), "phrases", int, "phrases") == [(1,), (2,)]
    for bad in ("a red hat", [("a",)], [3], [[[3.5]]]):
        with pytest.raises(input_error, match=r"^phrases: expected what AQ-Map gives"):
            inputs.flatten_groups(bad, "phrases", int, "what AQ-Map gives")


@pytest.mark.parametrize("value", ["", "{", "[1]", "3", None, 4, "1" * 6000, "[" * 100_000])
def test_reports_that_are_no_json_objects(inputs, input_error, value):
    with pytest.raises(input_error, match=r"^stage1_guard: "):
        inputs.json_object(value, "stage1_guard")
