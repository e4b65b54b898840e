"""From a sampler's conditioning to the texts that it was made of."""

from __future__ import annotations

from typing import Any

import pytest

from .graphs import Graph, encoded, node, prompt, read, sampler, saved

FOX, SNOW = "a red fox", "a snowy wood"


def sampled(nodes: Graph, conditioning: str = "20", slot: int = 0) -> Graph:
    """The nodes, sampled with what one of them gives."""
    return saved(
        {"6": encoded(FOX), "8": encoded(SNOW), "3": sampler(conditioning, positive=[conditioning, slot]), **nodes}, "3"
    )


def one(kind: str, **inputs: Any) -> Graph:
    return sampled({"20": node(kind, **inputs)})


PASSED: dict[str, Graph] = {
    "guidance": one("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
    "reference latent": one("ReferenceLatent", conditioning=["6", 0], latent=["5", 0]),
    "unCLIP": one(
        "unCLIPConditioning", conditioning=["6", 0], clip_vision_output=["30", 0], strength=1, noise_augmentation=0
    ),
    "style model": one(
        "StyleModelApply",
        conditioning=["6", 0],
        style_model=["30", 0],
        clip_vision_output=["31", 0],
        strength=1,
        strength_type="multiply",
    ),
    "control net": one("ControlNetApply", conditioning=["6", 0], control_net=["30", 0], image=["31", 0], strength=1.0),
    "area": one("ConditioningSetArea", conditioning=["6", 0], width=8, height=8, x=0, y=0, strength=1.0),
    "mask": one("ConditioningSetMask", conditioning=["6", 0], mask=["30", 0], strength=1.0, set_cond_area="default"),
    "time": one("ConditioningSetTimestepRange", conditioning=["6", 0], start=0.0, end=0.5),
    "two sides": one(
        "ControlNetApplyAdvanced",
        positive=["6", 0],
        negative=["7", 0],
        control_net=["30", 0],
        image=["31", 0],
        strength=1.0,
    ),
    "inpainting": one(
        "InpaintModelConditioning", positive=["6", 0], negative=["7", 0], vae=["4", 2], pixels=["31", 0], mask=["31", 1]
    ),
    "film": one(
        "WanImageToVideo",
        positive=["6", 0],
        negative=["7", 0],
        vae=["4", 2],
        start_image=["31", 0],
        width=8,
        height=8,
        length=81,
    ),
    "average that is all one": one(
        "ConditioningAverage", conditioning_to=["6", 0], conditioning_from=["8", 0], conditioning_to_strength=1.0
    ),
    "average that is all the other": one(
        "ConditioningAverage", conditioning_to=["8", 0], conditioning_from=["6", 0], conditioning_to_strength=0.0
    ),
    "combined with itself": one("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["6", 0]),
    "reroute": one("Reroute (rgthree)", **{"": ["6", 0]}),
    "reroute of another pack": one("ReroutePrimitive|pysssss", value=["6", 0]),
    "unknown node of one conditioning": one("SomethingNobodyKnows", conditioning=["6", 0], amount=3),
    "context": one("Context (rgthree)", base_ctx=["21", 0])
    | {"21": node("Context (rgthree)", positive=["6", 0], negative=["7", 0])},
    "switch of conditionings": one("ConditioningSwitch", select=1, conditioning_1=["6", 0], conditioning_2=["8", 0]),
    "first of any": one("Any Switch (rgthree)", any_02=["6", 0], any_03=["8", 0]),
    "wrong way round, at the second output": sampled(
        {
            "20": node(
                "ControlNetApplyAdvanced", positive=["8", 0], negative=["6", 0], control_net=["30", 0], image=["31", 0]
            )
        },
        slot=1,
    ),
    "encoder of another pack": sampled(
        {
            "20": node(
                "BNK_CLIPTextEncodeAdvanced",
                text=FOX,
                clip=["4", 1],
                token_normalization="none",
                weight_interpretation="comfy",
            )
        }
    ),
    "encoder of a model for pictures and texts": sampled(
        {"20": node("TextEncodeQwenImageEdit", prompt=FOX, clip=["4", 1], image=["31", 0])}
    ),
    "encoder told which texts to take": sampled(
        {"20": node("smZ CLIPTextEncode", text=SNOW, with_SDXL=True, text_g=FOX, text_l="", clip=["4", 1])}
    ),
    "encoder told to take one": sampled(
        {"20": node("smZ CLIPTextEncode", text=FOX, with_SDXL=False, text_g=SNOW, text_l=SNOW, clip=["4", 1])}
    ),
    "sides of several": one(
        "ConditioningSetMaskAndCombine", positive_1=["6", 0], positive_2=["6", 0], negative_1=["7", 0]
    ),
    "encoder with a system prompt": sampled(
        {"20": node("CLIPTextEncodeLumina2", system_prompt="superior", user_prompt=FOX, clip=["4", 1])}
    ),
    "encoder with the same text twice": sampled(
        {"20": node("CLIPTextEncodeSDXL", width=8, height=8, text_g=FOX, text_l=FOX, clip=["4", 1])}
    ),
    "encoder with an empty second text": sampled(
        {"20": node("CLIPTextEncodeFlux", clip_l="", t5xxl=FOX, guidance=3.5, clip=["4", 1])}
    ),
    "encoder of embeddings": saved(
        {
            "20": node("WanVideoTextEncode", positive_prompt=FOX, negative_prompt="ugly", t5=["30", 0]),
            "3": node(
                "WanVideoSampler",
                model=["4", 0],
                text_embeds=["20", 0],
                steps=20,
                cfg=6,
                seed=1,
                image_embeds=["31", 0],
            ),
        },
        "3",
    ),
    "wildcards encoded at once": sampled(
        {
            "20": node(
                "ImpactWildcardEncode",
                model=["4", 0],
                clip=["4", 1],
                wildcard_text="a {red|blue} fox",
                populated_text=FOX,
                mode="populate",
                seed=1,
            )
        },
        slot=2,
    ),
}


@pytest.mark.parametrize("name", PASSED)
def test_what_changes_a_conditioning_keeps_its_text(name):
    assert prompt(PASSED[name]) == FOX


TOGETHER: dict[str, Graph] = {
    "combine": one("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["8", 0]),
    "concat": one("ConditioningConcat", conditioning_to=["6", 0], conditioning_from=["8", 0]),
    "concat, written the other way": one("ConditioningConcat", conditioning_from=["8", 0], conditioning_to=["6", 0]),
    "average": one(
        "ConditioningAverage", conditioning_to=["6", 0], conditioning_from=["8", 0], conditioning_to_strength=0.7
    ),
    "areas": sampled(
        {
            "20": node("ConditioningCombine", conditioning_1=["21", 0], conditioning_2=["22", 0]),
            "21": node("ConditioningSetArea", conditioning=["6", 0], width=8, height=8, x=0, y=0, strength=1.0),
            "22": node("ConditioningSetArea", conditioning=["8", 0], width=8, height=8, x=8, y=0, strength=1.0),
        }
    ),
    "box": one(
        "GLIGENTextBoxApply",
        text=SNOW,
        width=8,
        height=8,
        x=0,
        y=0,
        conditioning_to=["6", 0],
        clip=["4", 1],
        gligen_textbox_model=["30", 0],
    ),
    "two encoders": sampled({"20": node("CLIPTextEncodeFlux", clip_l=SNOW, t5xxl=FOX, guidance=3.5, clip=["4", 1])}),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_what_is_put_together_is_read_together(name):
    assert prompt(TOGETHER[name]) == f"{FOX}\n{SNOW}"


EMPTY = {
    "zeroed": sampled({"20": node("ConditioningZeroOut", conditioning=["6", 0])}),
    "empty text": sampled({"20": encoded("")}),
    "only a negative text": sampled({"20": node("Efficient Loader", positive="", negative="ugly")}),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_prompt_is_none(name):
    found = read(EMPTY[name])
    assert found.positive is None
    assert found.why_none() == "its prompt is empty"


def test_a_zeroed_negative_is_empty():
    graph = saved({"6": encoded(FOX), "7": node("ConditioningZeroOut", conditioning=["6", 0]), "3": sampler("6")}, "3")
    assert read(graph).negative == ""


def test_what_nothing_is_known_of_gives_no_text():
    found = read(one("MadeOfNothing", thing=["30", 0], other=["31", 0]))
    assert found.positive is None
    assert "20 (MadeOfNothing)" in found.why_none()
