"""One case for each node: draws its inputs and says what must come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch

from . import open_regions
from .giving import Given, Giver
from .judging import is_image, is_mask, is_score, judge

WAYS = ("formula", "importance_technical", "importance_rational", "importance_natural")
ALIGNMENT = ("scoring", "aggregate", "include_style")


class Subjects:
    """The nodes under test with the models they need; ``part`` imports a module of the pack."""

    def __init__(self, part: Callable[[str], Any]) -> None:
        self.part = part
        errors = part("grefine_core.errors")
        self.errors = (errors.GRefineError, ValueError)

    @cached_property
    def models(self) -> Any:
        folder = self.part("grefine_core.miniature.loading").weights_folder()
        return self.part("nodes.miniature").load_models(folder)

    @cached_property
    def conditioning(self) -> Any:
        clip = self.models.clip
        with torch.inference_mode():
            return clip.encode_from_tokens_scheduled(clip.tokenize("a red circle on grass"))

    @cached_property
    def pipeline(self) -> Any:
        with torch.inference_mode(False):
            return self.part("grefine_core.miniature.loading").load_miniature_inpainter("cpu")

    def node(self, module: str, name: str) -> Any:
        return getattr(self.part(f"nodes.{module}"), name)

    def phrases(self, prompt: str) -> tuple[Any, ...]:
        found = self.part("grefine_core.alignment").alignment_quality(
            self.models.quality, torch.rand(1, 8, 8, 3), prompt
        )
        return found.phrases

    def judge(self, node: Any, given: dict[str, Given], right: Any, **more: Any) -> str:
        return judge(node, given, right, self.errors, **more)

    # Loading

    def quality_model_files(self, give: Giver) -> str:
        node = self.node("quality_model", "GRefineLoadQualityModel")
        there = ("clip.safetensors", "sub/../clip.safetensors")
        names = {
            name: Given(give.text().value, fine=False)
            for name in ("clip_name", "embeddings", "calibration")
            if give.pick((True, False))
        }
        given = {
            "clip_name": Given(there[0]),
            "architecture": give.choice(("auto",)),
            "embeddings": Given("pq_embeddings.safetensors"),
            "calibration": Given("auto"),
            "resolution": Given(0) if give.pick((True, True, False)) else give.number(0, 2048, whole=True),
            "device": give.choice(("auto", "cpu")),
            **names,
        }
        side = given["resolution"]
        if side.fine and side.value % 8:  # the stand-in's patch
            given["resolution"] = Given(side.value, fine=False)
        return self.judge(node, given, lambda result: None)

    def miniature(self, give: Giver) -> str:
        return self.judge(self.node("miniature", "GRefineLoadMiniature"), {}, lambda result: None)

    def pipeline_files(self, give: Giver) -> str:
        node = self.node("diffusers", "GRefineLoadInpaintPipeline")
        given = {"pipeline": Given(give.text().value, fine=False), "device": give.choice(("auto", "cpu"))}
        return self.judge(node, given, lambda result: None)

    def pasd_files(self, give: Giver) -> str:
        node = self.node("pasd", "GRefineLoadPASD")
        none = Given("", fine=False)
        given = {name: Given(give.text().value, fine=False) for name in ("pasd", "base", "personalised")}
        given |= {
            "precision": give.choice(("auto", "fp32")),
            "device": give.choice(("auto", "cpu")),
            "cfg": give.number(0.0, 100.0),
            "conditioning_scale": give.number(0.0, 2.0),
            "process_size": give.number(64, 4096, whole=True),
            "added_noise_level": give.number(-1, 999, whole=True),
            "tile_size": give.number(256, 8192, whole=True),
            "color": give.choice(("wavelet", "adain", "none")),
            "added_prompt": give.text(),
            "negative_prompt": give.text(),
            "pasd": none,
        }
        return self.judge(node, given, lambda result: None)

    def calibrate(self, give: Giver) -> str:
        count = give.pick((12, 12, 12, 13, 11))
        image, prompts = give.image(batch=count), give.text()
        bad = give.image() if give.pick((True, False)) else Given(None)
        given = {
            "quality_model": give.one_of(self.models.quality),
            "image": Given(image.value, image.fine and count >= 12),
            "prompts": prompts,
            "bad_image": Given(bad.value, bad.fine or bad.value is None),  # None is one that is not connected
        }
        lines = [line for line in prompts.value.splitlines() if line.strip()] if prompts.fine else []
        clash = [] if len(lines) in (0, 1, count) else ["prompts"]
        bounds = repr(self.models.quality.calibration)

        def right(result: tuple[Any, ...]) -> None:
            model, report = result
            assert model is not self.models.quality
            assert repr(self.models.quality.calibration) == bounds, "the model that was given has other bounds"
            assert model.calibration is not None
            assert f"Measured on {count} good pictures" in report

        return self.judge(self.node("quality_model", "GRefineCalibrateQualityModel"), given, right, clash=clash)

    # Measuring

    def _ways(self, give: Giver) -> dict[str, Given]:
        return {
            "formula": give.choice(("bounded", "paper", "released")),
            **{name: give.number(0.05, 1.05) for name in WAYS[1:]},
        }

    def _alignment(self, give: Giver) -> dict[str, Given]:
        return {
            "scoring": give.choice(("auto", "contrast", "softmax")),
            "aggregate": give.choice(("product", "geometric", "min")),
            "include_style": give.flag(),
        }

    def pq_map(self, give: Giver) -> str:
        image = give.image()
        given = {"image": image, "quality_model": give.one_of(self.models.quality), **self._ways(give)}

        def right(result: tuple[Any, ...]) -> None:
            quality, defects, overlay, *scores, diagnoses = result
            assert [one.size for one in diagnoses] == [tuple(image.shape[1:3])] * image.shape[0]
            is_mask(quality, image.shape)
            is_mask(defects, image.shape)
            is_image(overlay, image.shape)
            assert torch.allclose(quality + defects, torch.ones(()), atol=1e-6)
            for each in scores:
                assert len(each) == image.shape[0]
                for score in each:
                    is_score(score)

        return self.judge(self.node("quality", "GRefinePQMap"), given, right)

    def aq_map(self, give: Giver) -> str:
        image = give.image()
        given = {
            "image": image,
            "quality_model": give.one_of(self.models.quality),
            "prompt": give.text(),
            **self._alignment(give),
        }

        def right(result: tuple[Any, ...]) -> None:
            defects, overlay, scores, phrases, summary, diagnoses = result
            assert [one.phrases for one in diagnoses] == list(phrases)
            is_mask(defects, image.shape)
            is_image(overlay, image.shape)
            assert len(scores) == len(phrases) == len(summary) == image.shape[0]
            for score, group, words in zip(scores, phrases, summary, strict=True):
                is_score(score)
                assert words
                for phrase in group:
                    is_score(phrase.score)
                    is_score(phrase.head_score)
                    assert phrase.map is None or phrase.map.numel() < 4096, "a map beyond patch resolution"

        return self.judge(self.node("quality", "GRefineAQMap"), given, right)

    # Masks and prompts

    def merge(self, give: Giver) -> str:
        first = give.mask()
        count, size = first.shape[0] or 1, first.shape[1:] if first.fine else (5, 7)
        given = {"map_a": first, "mode": give.choice(("max", "mean", "noisy_or"))}
        given |= {f"weight_{letter}": give.number(0.0, 1.0) for letter in "abcd"}
        clash = []
        for letter in "bcd":
            kind = give.pick(("none", "same", "single", "other"))
            if kind == "none" or not first.fine:
                given[f"map_{letter}"] = Given(None)
                continue
            other = (size[0] + 1, size[1]) if kind == "other" else size
            given[f"map_{letter}"] = give.mask(other, 1 if kind == "single" else count)
            if kind == "other" and painted(first) and painted(given[f"map_{letter}"]):
                clash.append(f"map_{letter}")
            elif kind == "other" and given[f"map_{letter}"].fine:  # of another size is only what is painted
                given[f"map_{letter}"] = Given(None)
        used = [letter for letter in "abcd" if given[f"map_{letter}"].value is not None or letter == "a"]
        given = {
            name: each
            for name, each in given.items()
            if not name.startswith("weight") or name[-1] in used or each.fine  # of unconnected ones nobody looks at it
        }
        for letter in "abcd":
            given.setdefault(f"weight_{letter}", Given(1.0))
        weights = [given[f"weight_{letter}"] for letter in used]
        if given["mode"].value == "mean" and all(each.fine and each.value == 0 for each in weights):
            clash.append("weights")

        def right(result: tuple[Any, ...]) -> None:
            is_mask(result[0], first.shape)

        return self.judge(self.node("masks", "GRefineMergeMaps"), given, right, clash=clash)

    def binarize(self, give: Giver) -> str:
        map_ = give.mask()
        shapes = {"threshold": 1.0, "top_share": 1.0, "floor": 1.0, "min_area": 1.0, "grow": 0.5, "feather": 0.5}
        given = {
            "defect_map": map_,
            "method": give.choice(("threshold", "otsu", "top")),
            **{name: give.number(0.0, high) for name, high in shapes.items()},
            "fill_holes": give.flag(),
            "protect": Given(None),
        }
        if map_.fine and give.pick((True, False)):
            given["protect"] = give.mask(map_.shape[1:], give.pick((1, map_.shape[0])), sparse=True)

        def right(result: tuple[Any, ...]) -> None:
            denoise, composite, area, plans = result
            assert plans == [None] * map_.shape[0]  # no diagnosis
            is_mask(denoise, map_.shape)
            is_mask(composite, map_.shape)
            assert ((denoise == 0) | (denoise == 1)).all()
            assert (composite[denoise == 0] == 0).all()
            assert len(area) == map_.shape[0]
            assert torch.allclose(torch.tensor(area), denoise.mean(dim=(1, 2)), atol=1e-4)
            if isinstance(given["protect"].value, torch.Tensor):
                shield = self.part("grefine_core.tensors").as_masks(given["protect"].value).expand_as(denoise)
                assert (denoise[shield > 0] == 0).all()

        return self.judge(self.node("masks", "GRefineBinarizeMap"), given, right)

    def emphasis(self, give: Giver) -> str:
        prompt = give.text()
        groups = self.phrases(prompt.value if prompt.fine else "a red cat")
        other = give.pick((None, None, None, "a dog in a green hat")) if prompt.fine else None
        given = {
            "prompt": prompt,
            "phrases": give.one_of(groups, (None, "text", ((1,),), 5)),
            "minimum": give.number(1.0, 3.0),
            "maximum": give.number(1.0, 3.0),
            "style": give.choice(("weight", "repeat")),
        }
        if other is not None:
            given["phrases"] = Given(self.phrases(other))  # perhaps of another prompt: an error, or nothing to find
        low, high = given["minimum"], given["maximum"]
        clash = ["minimum"] if low.fine and high.fine and low.value > high.value else []
        if other is not None:
            clash.append("phrases")

        def right(result: tuple[Any, ...]) -> None:
            assert len(result[0]) == len(groups)
            assert all(isinstance(text, str) for text in result[0])
            if all(phrase.defect == "none" or phrase.phrase.is_style for phrase in groups[0]):
                assert result[0][0] == prompt.value

        node = self.node("prompt", "GRefinePromptEmphasis")
        return self.judge(node, given, right, clash=clash, ignored=other is not None)

    def plan(self, give: Giver) -> str:
        shares = ("perceptual_score", "alignment_score", "perceptual_bar", "alignment_bar", "stage1_min", "stage1_max")
        given = {name: give.number(0.0, 1.0) for name in (*shares, "stage2_strength")}
        given |= {"mode": give.choice(("verdicts", "gated", "paper")), "steps": give.number(2, 400, whole=True)}
        for name in ("area", "worst_region"):
            given[name] = Given(None) if give.pick((True, False)) else give.number(0.0, 1.0)
        given["region_bar"] = give.number(0.0, 1.0)
        for name in ("area", "worst_region"):
            if given[name].value is None:
                given[name] = Given(None)
        low, high = given["stage1_min"], given["stage1_max"]
        clash = ["stage1_min"] if low.fine and high.fine and low.value > high.value else []

        def right(result: tuple[Any, ...]) -> None:
            assert result[-1] is None  # no plan of regions
            for value in result[:-1]:
                assert isinstance(value, bool | int | float | str), f"{value!r}"
                if isinstance(value, float):
                    is_score(value)

        return self.judge(self.node("plan", "GRefinePlan"), given, right, clash=clash)

    # Stages

    def _stage(self, give: Giver, image: Given) -> dict[str, Given]:
        return {
            "image": Given([image.value], image.fine),
            "run": Given([True]) if give.pick((True, True, True, False)) else _listed(give.flag()),
            "strength": _listed(give.number(0.0, 1.0)),
            "steps": _listed(Given(give.pick((1, 1, 2))) if not give.broken() else give.number(0, 200, whole=True)),
            "seed": _listed(give.number(0, 2**64 - 1, whole=True)),
        }

    def _stage1(self, give: Giver, image: Given) -> tuple[dict[str, Given], list[str], bool]:
        given = self._stage(give, image)
        given["steps"] = _few(given["steps"])
        clash, size = [], image.shape[1:] if image.fine else (9, 9)
        for name in ("denoise_mask", "composite_mask"):
            kind = give.pick(("same", "same", "same", "single", "other"))
            if name == "composite_mask" and give.pick((True, False)):
                given[name] = Given(None)
                continue
            fits = kind != "other"
            mask = give.mask(
                size if fits else (size[0], size[1] + 1), 1 if kind == "single" else image.shape[0] or 1, True
            )
            given[name] = Given([mask.value], mask.fine, mask.shape)
            if not fits and image.fine and painted(mask):
                clash.append(name)
        given |= {
            "cfg": _listed(give.number(-1.0, 100.0)),
            "crop_size": _listed(give.choice(("source", "native"))),
            "min_side": _listed(Given(16) if give.pick((True, False)) else give.number(16, 128, whole=True)),
            "native_side": _listed(Given(64) if give.pick((True, False)) else _own(give.number(0, 128, whole=True))),
            "context": _listed(give.number(0.0, 4.0)),
            "color_match": _listed(give.flag()),
        }
        return given, clash, self._idle(given)

    def _idle(self, given: dict[str, Given]) -> bool:
        """Whether nothing may be left to do, so that the rest of the inputs may go unnoticed."""
        values = {name: given[name].value[0] for name in ("run", "strength", "steps")}
        if not values["run"] or any(given[name].fine and values[name] == 0 for name in ("strength", "steps")):
            return True
        both = torch.ones(1, dtype=torch.bool)  # by picture: masked, and pasted as well
        for name in ("denoise_mask", "composite_mask"):
            mask = given.get(name)
            if mask is None or mask.value is None:
                continue
            if not mask.fine:
                return True
            both = both & (self.part("grefine_core.tensors").as_masks(mask.value[0]) > 0).flatten(1).any(dim=1)
        return not bool(both.any())

    def _same_outside(self, given: dict[str, Given], shape: tuple[int, int, int]) -> Callable[[tuple[Any, ...]], None]:
        tensors = self.part("grefine_core.tensors")

        def right(result: tuple[Any, ...]) -> None:
            (after,) = result[0]
            before = tensors.as_canvas(given["image"].value[0])
            if after is not given["image"].value[0]:
                is_image(after, shape, like=before)
            name = "composite_mask" if given["composite_mask"].value is not None else "denoise_mask"
            mask = tensors.match_masks(tensors.as_masks(given[name].value[0]), before)
            now = tensors.as_canvas(after)
            assert torch.equal(now[mask == 0], before[mask == 0]), "pixels outside of the mask changed"

        return right

    def stage1(self, give: Giver) -> str:
        image = give.image()
        given, clash, idle = self._stage1(give, image)
        models = self.models
        given |= {
            "model": _listed(Given(models.model)),
            "vae": _listed(Given(models.vae)),
            "positive": _listed(give.one_of(self.conditioning, ("text", 5, [], [1]))),
            "negative": _listed(give.one_of(self.conditioning, ("text", 5, [], [1]))),
            "sampler_name": _listed(give.choice(("euler", "dpmpp_2m", "heun", "ddim"))),
            "scheduler": _listed(give.choice(("normal", "karras"))),
        }
        node = self.node("stage1", "GRefineStage1Inpaint")
        return self.judge(node, given, self._same_outside(given, image.shape), clash=clash, ignored=idle)

    def stage1_diffusers(self, give: Giver) -> str:
        image = give.image()
        given, clash, idle = self._stage1(give, image)
        given |= {
            "inpaint_pipeline": _listed(give.one_of(self.pipeline, ("text", 5))),
            "prompt": _listed(give.text()),
            "negative_prompt": _listed(give.text()),
        }
        node = self.node("diffusers", "GRefineStage1InpaintDiffusers")
        return self.judge(node, given, self._same_outside(given, image.shape), clash=clash, ignored=idle)

    def restorer(self, give: Giver) -> str:
        given = {
            "model": Given(self.models.model),
            "vae": Given(self.models.vae),
            "positive": give.one_of(self.conditioning, (None, "text", 5, [], [1])),
            "negative": give.one_of(self.conditioning, (None, "text", 5, [], [1])),
            "cfg": give.number(-1.0, 100.0),
            "guidance": give.number(-1.0, 100.0),
            "sampler_name": give.choice(("auto", "euler", "dpmpp_2m", "heun")),
            "scheduler": give.choice(("normal", "karras")),
            "tile_size": give.number(64, 8192, whole=True),
        }
        return self.judge(self.node("stage2", "GRefineRestorerFromModel"), given, lambda result: None)

    def stage2(self, give: Giver) -> str:
        image = give.image()
        given = self._stage(give, image)
        given["steps"] = _few(given["steps"])
        given |= {
            "restorer": _listed(give.one_of(self.models.restorer, ("text", 5))),
            "keep_color": _listed(give.flag()),
            "prompt": _listed(give.text()) if give.pick((True, False)) else Given(None),
        }
        idle = self._idle(given)

        def right(result: tuple[Any, ...]) -> None:
            (after,) = result[0]
            before = given["image"].value[0]
            if after is not before:
                is_image(after, image.shape, like=self.part("grefine_core.tensors").as_canvas(before))

        return self.judge(self.node("stage2", "GRefineStage2Restore"), given, right, ignored=idle)

    # Judging

    def guard(self, give: Giver) -> str:
        after = give.image()
        shape = after.shape if after.fine else (1, 9, 9)
        before = give.image(shape[1:], shape[0])
        given = {
            "after": _listed(after),
            "before": _listed(before),
            "quality_model": _listed(give.one_of(self.models.quality, ("text", 5))),
            "prompt": _listed(give.text()),
            "stage": _listed(give.text()),
            "tolerance": _listed(give.number(0.0, 1.0)),
            **{name: _listed(each) for name, each in {**self._ways(give), **self._alignment(give)}.items()},
            "mask": Given(None),
        }
        if give.pick((True, False)):
            mask = give.mask(shape[1:], give.pick((1, shape[0])), sparse=True)
            given["mask"] = _listed(mask)

        def right(result: tuple[Any, ...]) -> None:
            (image,), reports = result
            assert len(reports) == shape[0]
            for text in reports:
                assert set(json.loads(text)) >= {"decisions", "before", "after"}
            tensors = self.part("grefine_core.tensors")
            old, new = tensors.as_canvas(before.value), tensors.as_canvas(after.value)
            is_image(image, shape, like=old.to(torch.promote_types(old.dtype, new.dtype)))
            if old.shape != new.shape:  # what they look like, then
                image, old, new = (tensors.as_images(each) for each in (image, old, new))
                fits = (image - old).abs().le(1e-2) | (image - new).abs().le(1e-2)
                fits |= (tensors.as_canvas(before.value)[..., -1:] < 0.05).expand_as(fits)
            else:
                fits = (image == old) | (image == new)
            assert fits.all(), "a pixel that is neither the old nor the new one"

        return self.judge(self.node("guard", "GRefineNoHarmGuard"), given, right)

    def report(self, give: Giver) -> str:
        before = give.image()
        shape = before.shape if before.fine else (1, 9, 9)
        after = give.image(shape[1:], shape[0])
        prompt = give.text()
        given = {
            "before": _listed(before),
            "after": _listed(after),
            "quality_model": _listed(give.one_of(self.models.quality, ("text", 5))),
            "prompt": _listed(prompt),
            **{name: _listed(each) for name, each in {**self._ways(give), **self._alignment(give)}.items()},
        }
        for name in ("perceptual_defects", "alignment_defects", "denoise_mask"):
            if give.pick((True, False)):
                given[name] = _listed(give.mask(shape[1:], give.pick((1, shape[0])), sparse=True))
        for name in ("emphasized_prompt", "plan_reason"):
            if give.pick((True, False)):
                given[name] = _listed(give.text())
        # A text that is the prompt comes from a guard that is bypassed, and is no error.
        prompts = [given[name].value[0] for name in ("prompt", "emphasized_prompt") if name in given]
        for name in ("stage1_guard", "stage2_guard"):
            if give.pick((True, False, False)):
                told = give.pick(("", "{", "[]", "{}", '{"decisions": 5}', "null", 5))
                given[name] = _listed(Given(told, fine=told in prompts))

        def right(result: tuple[Any, ...]) -> None:
            sheets, texts = result
            assert len(sheets) == len(texts) == shape[0]
            for sheet in sheets:
                is_image(sheet, (1, *sheet.shape[1:3]))
            for text in texts:
                text.encode("utf-8")
                json.loads(text)

        return self.judge(self.node("report", "GRefineQualityReport"), given, right)


#: Node → its case.
CASES = {
    "GRefineLoadQualityModel": Subjects.quality_model_files,
    "GRefineCalibrateQualityModel": Subjects.calibrate,
    "GRefineLoadMiniature": Subjects.miniature,
    "GRefinePQMap": Subjects.pq_map,
    "GRefineAQMap": Subjects.aq_map,
    "GRefineMergeMaps": Subjects.merge,
    "GRefineBinarizeMap": Subjects.binarize,
    "GRefinePromptEmphasis": Subjects.emphasis,
    "GRefinePlan": Subjects.plan,
    "GRefineStage1Inpaint": Subjects.stage1,
    "GRefineSplitRegions": open_regions.split,
    "GRefineMergeRegions": open_regions.merge,
    "GRefineRepairInstruction": open_regions.instruction,
    "GRefineUnpackPlan": open_regions.unpack,
    "GRefineLoadInpaintPipeline": Subjects.pipeline_files,
    "GRefineStage1InpaintDiffusers": Subjects.stage1_diffusers,
    "GRefineLoadPASD": Subjects.pasd_files,
    "GRefineRestorerFromModel": Subjects.restorer,
    "GRefineStage2Restore": Subjects.stage2,
    "GRefineNoHarmGuard": Subjects.guard,
    "GRefineQualityReport": Subjects.report,
}
#: Nodes that sample get smaller pictures: what they cost is the model's.
SAMPLING = ("GRefineStage1Inpaint", "GRefineStage1InpaintDiffusers", "GRefineStage2Restore")


def painted(given: Given) -> bool:
    """Whether it is a mask with anything in it: one of zeros has every size."""
    return given.fine and isinstance(given.value, torch.Tensor) and bool(given.value.any())


def _listed(given: Given) -> Given:
    """As nodes that take lists receive it. A list of none is an input that is not connected."""
    return Given([given.value], given.fine, given.shape)


def _own(side: Given) -> Given:
    """Not the model's own resolution, 0: it is larger than the pictures of these cases."""
    return Given(64) if side.fine and side.value == 0 else side


def _few(steps: Given) -> Given:
    """Never as many steps as it may be: they cost time."""
    value = steps.value[0]
    return Given([2]) if steps.fine and value > 2 else steps
