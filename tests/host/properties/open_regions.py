"""The cases of the nodes that take pictures apart, put them together, and say in words what to repair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .giving import Given, Giver
from .judging import is_image

if TYPE_CHECKING:
    from .subjects import Subjects


def _listed(given: Given) -> Given:
    return Given([given.value], given.fine, given.shape)


def _masks(height: int, width: int) -> torch.Tensor:
    mask = torch.zeros(1, height, width)
    mask[:, : max(1, height // 2), : max(1, width // 2)] = 1.0
    return mask


def split(subjects: Subjects, give: Giver) -> str:
    """Any settings: as many crops as masks, prompts and seeds, and outside of them nothing changes."""
    image = give.image()
    size = image.shape[1:] if image.fine else (9, 9)
    mask = give.mask(size, image.shape[0] or 1, True)
    given = {
        "image": _listed(image),
        "run": _listed(give.flag()),
        "strength": _listed(give.number(0.0, 1.0)),
        "steps": _listed(give.number(1, 200, whole=True)),
        "seed": _listed(give.number(0, 2**64 - 1, whole=True)),
        "crop_size": _listed(give.choice(("source", "native"))),
        "min_side": _listed(Given(16)),
        "native_side": _listed(Given(64)),
        "context": _listed(give.number(0.0, 4.0)),
        "own_phrases": _listed(give.flag()),
        "size_multiple": _listed(Given(give.pick((0, 8, 16)))),
        "denoise_mask": _listed(mask),
        "prompt": _listed(give.text()) if give.pick((True, False)) else Given(None),
    }
    merge = subjects.node("open_regions", "GRefineMergeRegions")
    tensors = subjects.part("grefine_core.tensors")

    def right(result: tuple[Any, ...]) -> None:
        lists, handles = result[:6], result[6]
        assert len({len(each) for each in lists}) == 1
        count = sum(len(each.crops) for each in handles if each is not None)
        if count == 0:
            return
        for crop, own in zip(*lists[:2], strict=True):
            is_image(crop, (1, *own.shape[1:]))
        repaired = [1.0 - crop for crop in lists[0]]
        (after,) = merge.execute(
            image=given["image"].value, regions=handles, repaired=repaired, color_match=[False]
        ).result[0]
        before = tensors.as_canvas(image.value)
        outside = tensors.match_masks(tensors.as_masks(mask.value), before) == 0
        assert torch.equal(tensors.as_canvas(after)[outside], before[outside]), "pixels outside of the mask changed"

    return subjects.judge(subjects.node("open_regions", "GRefineSplitRegions"), given, right)


def merge(subjects: Subjects, give: Giver) -> str:
    """Crops of any size come back into the picture that they are of."""
    image = give.image(batch=1)
    core, crops = subjects.part("grefine_core.refine.open_regions"), subjects.part("grefine_core.refine.crops")
    size = image.shape[1:] if image.fine else (9, 9)
    mask = _masks(*size)
    handle = core.open_regions(size, mask[0], None, crops.CropSizes(8, 16, 64))
    given = {
        "image": _listed(image),
        "regions": _listed(give.one_of(handle, ("text", 5))),
        "repaired": _listed(give.image(batch=1)),
        "color_match": _listed(give.flag()),
    }
    tensors = subjects.part("grefine_core.tensors")

    def right(result: tuple[Any, ...]) -> None:
        (after,) = result[0]
        before = tensors.as_canvas(image.value)
        assert torch.equal(tensors.as_canvas(after)[mask == 0], before[mask == 0]), "pixels outside changed"

    return subjects.judge(subjects.node("open_regions", "GRefineMergeRegions"), given, right)


def unpack(subjects: Subjects, give: Giver) -> str:
    """A plan with or without a diagnosis that is whole: what it holds, or what it lacks."""
    prompt = give.text(broken=False).value
    known, planned = subjects.part("grefine_core.diagnosis"), subjects.part("grefine_core.plan")
    looks = torch.zeros(8, 8)
    whole = known.Diagnosis(
        (8, 8),
        prompt=prompt,
        phrases=subjects.phrases(prompt)[0],
        perceptual_score=0.5,
        alignment_score=0.5,
        worst_region=0.25,
        perceptual_map=looks,
        alignment_map=looks,
    )
    plan = planned.RepairPlan(whole, torch.ones(8, 8), torch.ones(8, 8))
    half = planned.RepairPlan(known.Diagnosis((8, 8), perceptual_score=0.5), torch.ones(8, 8), torch.ones(8, 8))

    def right(result: tuple[Any, ...]) -> None:
        assert result[0] == (whole,)
        assert result[2] == prompt
        assert result[3:7] == (0.5, 0.5, 0.25, 1.0)
        assert all(each.shape == (1, 8, 8) for each in result[7:])

    given = {"plan": give.one_of(plan, ("text", 5, half))}
    return subjects.judge(subjects.node("unpack", "GRefineUnpackPlan"), given, right)


def instruction(subjects: Subjects, give: Giver) -> str:
    """Whatever the prompt: one instruction for each picture."""
    prompt = give.text(broken=False).value
    found = subjects.part("grefine_core.diagnosis").Diagnosis(
        (8, 8), prompt=prompt, phrases=subjects.phrases(prompt)[0], perceptual_score=0.5
    )
    given = {
        "keep_rest": _listed(give.flag()),
        "diagnosis": _listed(give.one_of((found,), ("text", 5))),
    }

    def right(result: tuple[Any, ...]) -> None:
        (text,) = result[0]
        assert text.endswith(".")

    return subjects.judge(subjects.node("open_regions", "GRefineRepairInstruction"), given, right)
