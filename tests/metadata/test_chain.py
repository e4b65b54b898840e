"""Which sampler's prompt is that of the saved picture."""

from __future__ import annotations

import pytest

from .graphs import BASE, Graph, encoded, node, prompt, read, sampler, saved

FOX, CASTLE, FACE = "a red fox in snow", "an unrelated castle", "detailed face, blue eyes"


def decoded(samples: str) -> dict:
    return node("VAEDecode", samples=[samples, 0], vae=["4", 2])


def detailer(kind: str, image: str, positive: str, **inputs) -> dict:
    settings = {"seed": 1, "steps": 20, "cfg": 8, "denoise": 0.5, "wildcard": ""}
    links = {"image": [image, 0], "positive": [positive, 0], "negative": ["7", 0], "model": ["4", 0]}
    return node(kind, **{**settings, **links, **inputs})


GUIDED = {
    "13": node(
        "SamplerCustomAdvanced",
        noise=["25", 0],
        guider=["22", 0],
        sampler=["16", 0],
        sigmas=["17", 0],
        latent_image=["5", 0],
    ),
    "25": node("RandomNoise", noise_seed=1),
    "16": node("KSamplerSelect", sampler_name="euler"),
    "17": node("BasicScheduler", scheduler="simple", steps=20, denoise=1.0, model=["4", 0]),
    "6": encoded(FOX),
}

ONE_PROMPT: dict[str, Graph] = {
    "plain": saved({"3": sampler("6"), "6": encoded(FOX)}, "3"),
    "negative written before the positive": saved({"2": encoded(FOX), "3": sampler("2")}, "3"),
    "another chain that is only previewed": saved(
        {
            "1": sampler("2"),
            "2": encoded(CASTLE),
            "8": decoded("1"),
            "9": node("PreviewImage", images=["8", 0]),
            "13": sampler("6"),
            "6": encoded(FOX),
        },
        "13",
    ),
    "another chain that ends nowhere": saved(
        {"1": sampler("2"), "2": encoded(CASTLE), "13": sampler("6"), "6": encoded(FOX)}, "13"
    ),
    "nothing saved, one previewed": {
        **BASE,
        "3": sampler("6"),
        "6": encoded(FOX),
        "8": decoded("3"),
        "9": node("PreviewImage", images=["8", 0]),
    },
    "hires fix with another prompt": saved(
        {
            "3": sampler("6"),
            "6": encoded(FOX),
            "14": node("LatentUpscaleBy", samples=["3", 0], upscale_method="nearest-exact", scale_by=1.5),
            "15": sampler("16", latent="14", denoise=0.4),
            "16": encoded("best quality, 8k"),
        },
        "15",
    ),
    "hires fix by pixels, enlarged by a model": saved(
        {
            "3": sampler("6"),
            "6": encoded(FOX),
            "8": decoded("3"),
            "14": node("ImageUpscaleWithModel", upscale_model=["19", 0], image=["8", 0]),
            "19": node("UpscaleModelLoader", model_name="x4.pth"),
            "18": node("VAEEncode", pixels=["14", 0], vae=["4", 2]),
            "15": sampler("16", latent="18", denoise=0.3),
            "16": encoded("sharp"),
        },
        "15",
    ),
    "refiner": saved(
        {
            "3": node(
                "KSamplerAdvanced", **sampler("6")["inputs"], add_noise="enable", start_at_step=0, end_at_step=20
            ),
            "6": encoded(FOX),
            "10": node(
                "KSamplerAdvanced",
                positive=["15", 0],
                negative=["7", 0],
                latent_image=["3", 0],
                add_noise="disable",
                start_at_step=20,
            ),
            "15": encoded("fox"),
        },
        "10",
    ),
    "face detailer": saved(
        {
            "3": sampler("6"),
            "6": encoded(FOX),
            "8": decoded("3"),
            "2": detailer("FaceDetailer", "8", "20"),
            "20": encoded(FACE),
        },
        "2",
        latent=False,
    ),
    "two detailers, one behind the other": saved(
        {
            "3": sampler("6"),
            "6": encoded(FOX),
            "8": decoded("3"),
            "1": detailer("FaceDetailer", "8", "20"),
            "2": detailer("DetailerForEach", "1", "21", segs=["30", 0]),
            "30": node("BboxDetectorSEGS", image=["1", 0], bbox_detector=["31", 0]),
            "20": encoded(FACE),
            "21": encoded("detailed hands"),
        },
        "2",
        latent=False,
    ),
    "tiled enlarger with another prompt": saved(
        {
            "3": sampler("6"),
            "6": encoded(FOX),
            "8": decoded("3"),
            "2": detailer("UltimateSDUpscale", "8", "20", upscale_by=2.0, denoise=0.2),
            "20": encoded("masterpiece"),
        },
        "2",
        latent=False,
    ),
    "enlarged picture from a file": saved(
        {
            "1": node("LoadImage", image="fox.png"),
            "2": detailer("UltimateSDUpscale", "1", "6", upscale_by=2.0, denoise=0.2),
            "6": encoded(FOX),
        },
        "2",
        latent=False,
    ),
    "picture from a file painted over": saved(
        {
            "1": node("LoadImage", image="dog.png"),
            "18": node("VAEEncode", pixels=["1", 0], vae=["4", 2]),
            "3": sampler("6", latent="18", denoise=0.8),
            "6": encoded(FOX),
        },
        "3",
    ),
    "control picture that another sampler made": saved(
        {
            "1": sampler("2"),
            "2": encoded(CASTLE),
            "8": decoded("1"),
            "9": node("Canny", image=["8", 0], low_threshold=0.1, high_threshold=0.3),
            "20": node(
                "ControlNetApplyAdvanced",
                positive=["6", 0],
                negative=["7", 0],
                control_net=["30", 0],
                image=["9", 0],
                strength=1.0,
            ),
            "3": sampler("20"),
            "6": encoded(FOX),
        },
        "3",
    ),
    "adapter picture that another sampler made": saved(
        {
            "1": sampler("2"),
            "2": encoded(CASTLE),
            "8": decoded("1"),
            "20": node("IPAdapter", model=["4", 0], ipadapter=["31", 0], image=["8", 0], weight=1.0),
            "3": sampler("6", model=["20", 0]),
            "6": encoded(FOX),
        },
        "3",
    ),
    "size of a picture that another sampler made": saved(
        {
            "1": sampler("2"),
            "2": encoded(CASTLE),
            "8": decoded("1"),
            "20": node("GetImageSize", image=["8", 0]),
            "5": node("EmptyLatentImage", width=["20", 0], height=["20", 1], batch_size=1),
            "3": sampler("6"),
            "6": encoded(FOX),
        },
        "3",
    ),
    "mask of a picture that another sampler made": saved(
        {
            "1": sampler("2"),
            "2": encoded(CASTLE),
            "8": decoded("1"),
            "20": node("ImageToMask", image=["8", 0], channel="red"),
            "21": node("SetLatentNoiseMask", samples=["5", 0], mask=["20", 0]),
            "3": sampler("6", latent="21"),
            "6": encoded(FOX),
        },
        "3",
    ),
    "two outputs of one chain": {
        **saved(
            {"3": sampler("6"), "6": encoded(FOX), "15": sampler("16", latent="3", denoise=0.4), "16": encoded("8k")},
            "15",
        ),
        "96": decoded("3"),
        "97": node("SaveImage", images=["96", 0], filename_prefix="base"),
    },
    "two outputs of one prompt": {
        **saved({"3": sampler("6"), "6": encoded(FOX), "15": sampler("16", seed=2), "16": encoded(FOX)}, "15"),
        "96": decoded("3"),
        "97": node("SaveImage", images=["96", 0], filename_prefix="other"),
    },
    "saved mask beside the picture": {
        **saved({"3": sampler("6"), "6": encoded(FOX)}, "3"),
        "1": node("LoadImage", image="dog.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="original"),
    },
    "savers of other packs": {
        **BASE,
        "3": sampler("6"),
        "6": encoded(FOX),
        "8": decoded("3"),
        "9": node("Image Save", images=["8", 0], output_path="x", filename_prefix="y"),
    },
    "film": {
        **BASE,
        "3": sampler("6"),
        "6": encoded(FOX),
        "8": decoded("3"),
        "10": node("CreateVideo", images=["8", 0], fps=24),
        "9": node("SaveVideo", video=["10", 0], filename_prefix="video/x"),
    },
    "switch that takes the one": saved(
        {
            "1": sampler("2"),
            "2": encoded(CASTLE),
            "3": sampler("6"),
            "6": encoded(FOX),
            "20": node("ImpactSwitch", select=2, input1=["1", 0], input2=["3", 0]),
        },
        "20",
    ),
    "inpainted crop, stitched": saved(
        {
            "1": node("LoadImage", image="dog.png"),
            "2": node("InpaintCrop", image=["1", 0], mask=["1", 1]),
            "20": node(
                "InpaintModelConditioning",
                positive=["6", 0],
                negative=["7", 0],
                vae=["4", 2],
                pixels=["2", 1],
                mask=["2", 2],
            ),
            "3": node("KSampler", **{**sampler("20")["inputs"], "negative": ["20", 1], "latent_image": ["20", 2]}),
            "6": encoded(FOX),
            "8": decoded("3"),
            "9": node("InpaintStitch", stitcher=["2", 0], inpainted_image=["8", 0]),
        },
        "9",
        latent=False,
    ),
    "guider of one conditioning": saved(
        {**GUIDED, "22": node("BasicGuider", model=["4", 0], conditioning=["6", 0])}, "13"
    ),
    "guider with guidance": saved(
        {
            **GUIDED,
            "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
            "22": node("BasicGuider", model=["4", 0], conditioning=["26", 0]),
        },
        "13",
    ),
    "guider of two sides": saved(
        {**GUIDED, "22": node("CFGGuider", model=["4", 0], positive=["6", 0], negative=["7", 0], cfg=4.0)}, "13"
    ),
    "guider of two sides and a picture": saved(
        {**GUIDED, "22": node("DualCFGGuider", model=["4", 0], cond1=["6", 0], cond2=["7", 0], negative=["7", 0])}, "13"
    ),
    "guider that goes away from the empty text": saved(
        {
            **GUIDED,
            "8": encoded(""),
            "22": node(
                "PerpNegGuider", model=["4", 0], positive=["6", 0], negative=["7", 0], empty_conditioning=["8", 0]
            ),
        },
        "13",
    ),
    "sampler with sigmas": saved(
        {
            **GUIDED,
            "13": node(
                "SamplerCustom",
                add_noise=True,
                noise_seed=1,
                cfg=8,
                model=["4", 0],
                positive=["6", 0],
                negative=["7", 0],
                sampler=["16", 0],
                sigmas=["17", 0],
                latent_image=["5", 0],
            ),
        },
        "13",
    ),
    "second guided pass on split sigmas": saved(
        {
            **GUIDED,
            "22": node("BasicGuider", model=["4", 0], conditioning=["6", 0]),
            "40": node("SplitSigmas", sigmas=["17", 0], step=10),
            "41": node(
                "SamplerCustomAdvanced",
                noise=["42", 0],
                guider=["43", 0],
                sampler=["16", 0],
                sigmas=["40", 1],
                latent_image=["13", 0],
            ),
            "42": node("DisableNoise"),
            "43": node("BasicGuider", model=["4", 0], conditioning=["44", 0]),
            "44": encoded("fox"),
        },
        "41",
    ),
    "pipe": saved(
        {
            "1": node("ToBasicPipe", model=["4", 0], clip=["4", 1], vae=["4", 2], positive=["6", 0], negative=["7", 0]),
            "3": node("ImpactKSamplerBasicPipe", basic_pipe=["1", 0], seed=1, steps=20, latent_image=["5", 0]),
            "6": encoded(FOX),
        },
        "3",
    ),
    "pipe from a loader": {
        "1": node("easy fullLoader", ckpt_name="x", positive=FOX, negative="ugly", batch_size=1),
        "2": node("easy preSampling", pipe=["1", 0], steps=20, cfg=8, denoise=1.0, seed=1),
        "3": node("easy kSampler", pipe=["2", 0], image_output="Save", save_prefix="x"),
    },
    "detailer of segments": saved(
        {
            "1": node(
                "ToBasicPipe", model=["4", 0], clip=["4", 1], vae=["4", 2], positive=["20", 0], negative=["7", 0]
            ),
            "3": sampler("6"),
            "6": encoded(FOX),
            "8": decoded("3"),
            "10": node("BboxDetectorSEGS", bbox_detector=["30", 0], image=["8", 0]),
            "11": node("SEGSDetailer", image=["8", 0], segs=["10", 0], basic_pipe=["1", 0], seed=1, denoise=0.5),
            "12": node("SEGSPaste", image=["8", 0], segs=["11", 0], feather=5),
            "20": encoded(FACE),
        },
        "12",
        latent=False,
    ),
    "saver that writes its own parameters": {
        **BASE,
        "3": sampler("6"),
        "6": encoded(FOX),
        "8": decoded("3"),
        "9": node("Image Saver", images=["8", 0], positive="an old text", negative="", steps=20, cfg=8.0, filename="x"),
    },
    "loader that holds both texts": saved(
        {
            "1": node("Efficient Loader", ckpt_name="x", positive=FOX, negative="ugly", empty_latent_width=512),
            "3": node(
                "KSampler (Efficient)",
                model=["1", 0],
                seed=1,
                steps=20,
                positive=["1", 1],
                negative=["1", 2],
                latent_image=["1", 3],
            ),
        },
        "3",
    ),
    "film of a picture that a prompt made": {
        **BASE,
        "1": sampler("6"),
        "6": encoded(FOX),
        "8": decoded("1"),
        "12": node("SVD_img2vid_Conditioning", clip_vision=["4", 1], init_image=["8", 0], vae=["4", 2], width=512),
        "3": node("KSampler", **{**sampler("12")["inputs"], "negative": ["12", 1], "latent_image": ["12", 2]}),
        "9": decoded("3"),
        "10": node("SaveAnimatedWEBP", images=["9", 0], filename_prefix="x"),
    },
    "service that takes a prompt": {
        "1": node("FluxProUltraImageNode", prompt=FOX, seed=1, aspect_ratio="16:9"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
    },
}


@pytest.mark.parametrize("name", ONE_PROMPT)
def test_the_prompt_of_the_saved_picture(name):
    assert prompt(ONE_PROMPT[name]) == FOX


SEVERAL: dict[str, Graph] = {
    "two outputs": {
        **saved({"3": sampler("6"), "6": encoded(FOX), "13": sampler("16"), "16": encoded(CASTLE)}, "3"),
        "96": decoded("13"),
        "97": node("SaveImage", images=["96", 0], filename_prefix="other"),
    },
    "two pictures in one batch": saved(
        {
            **{"3": sampler("6"), "6": encoded(FOX), "13": sampler("16"), "16": encoded(CASTLE)},
            **{"8": decoded("3"), "9": decoded("13"), "10": node("ImageBatch", image1=["8", 0], image2=["9", 0])},
        },
        "10",
        latent=False,
    ),
    "one picture put onto another": saved(
        {
            **{"3": sampler("6"), "6": encoded(FOX), "13": sampler("16"), "16": encoded(CASTLE)},
            **{"8": decoded("3"), "9": decoded("13")},
            "10": node("ImageCompositeMasked", destination=["8", 0], source=["9", 0], x=0, y=0, mask=["1", 0]),
        },
        "10",
        latent=False,
    ),
    "painted anew from another prompt's picture": saved(
        {"3": sampler("6"), "6": encoded(FOX), "13": sampler("16", latent="3", denoise=1.0), "16": encoded(CASTLE)},
        "13",
    ),
    "switch that nobody knows": saved(
        {
            **{"3": sampler("6"), "6": encoded(FOX), "13": sampler("16"), "16": encoded(CASTLE)},
            "20": node("ImpactSwitch", select=["30", 0], input1=["3", 0], input2=["13", 0]),
            "30": node("RandomInt", seed=3),
        },
        "20",
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_prompts_none_is_guessed(name):
    found = read(SEVERAL[name])
    assert found.positive is None
    assert {each.text for each in found.candidates} >= {FOX, CASTLE}
    assert "ugly, blurry" not in {each.text for each in found.candidates}
    assert FOX in found.why_none()
    assert CASTLE in found.why_none()
    assert read(SEVERAL[name], node="3").positive == FOX
    assert read(SEVERAL[name], node="16").positive == CASTLE


def test_the_files_name_tells_the_output_that_wrote_it():
    graph = SEVERAL["two outputs"]
    assert read(graph, name="other_00012_.png").positive == CASTLE
    assert read(graph, name="ComfyUI_00001_.png").positive == FOX
    assert read(graph, name="renamed.png").positive is None
    alike = {**graph, "97": node("SaveImage", images=["96", 0], filename_prefix="ComfyUI")}
    assert read(alike, name="ComfyUI_00001_.png").positive is None


def test_a_saved_picture_that_no_prompt_made_has_none():
    graph = {
        **BASE,
        "1": node("LoadImage", image="dog.png"),
        "2": node("ImageScale", image=["1", 0], width=8, height=8),
        "9": node("SaveImage", images=["2", 0], filename_prefix="x"),
        "3": sampler("6"),
        "6": encoded(FOX),
        "8": decoded("3"),
        "10": node("PreviewImage", images=["8", 0]),
    }
    found = read(graph)
    assert found.positive is None
    assert "no sampler leads to the picture" in found.why_none()
    assert FOX in found.why_none()


def test_what_repairs_a_part_of_a_file_does_not_tell_the_pictures_prompt():
    graph = saved(
        {"1": node("LoadImage", image="dog.png"), "2": detailer("FaceDetailer", "1", "20"), "20": encoded(FACE)},
        "2",
        latent=False,
    )
    found = read(graph)
    assert found.positive is None
    assert FACE in found.why_none()


def test_the_negative_prompt_is_read_beside_it():
    for name in ("plain", "hires fix with another prompt", "guider of two sides", "pipe"):
        assert read(ONE_PROMPT[name]).negative == "ugly, blurry", name
    assert read(ONE_PROMPT["guider of one conditioning"]).negative == ""


def test_measuring_samplers_without_a_text_are_passed_over():
    graph = saved(
        {
            "1": node("LotusConditioning"),
            "2": sampler("1", negative="1"),
            "8": decoded("2"),
            "20": node(
                "InstructPixToPixConditioning", positive=["6", 0], negative=["7", 0], vae=["4", 2], pixels=["8", 0]
            ),
            "3": node("KSampler", **{**sampler("20")["inputs"], "latent_image": ["20", 2]}),
            "6": encoded(FOX),
        },
        "3",
    )
    assert prompt(graph) == FOX
