"""The diffusers nodes in the real host, with a tiny pipeline on disk."""

from __future__ import annotations

import numpy as np
import pytest

from ..tiny_models.sdxl import write_sdxl_inpaint_folder
from .client import PromptRejectedError
from .stage_tools import STAGE1, Bench, box, noise

OPTIONS = {name: value for name, value in STAGE1.items() if name not in ("sampler_name", "scheduler")}
SIZE = (72, 61)
MASK = box(*SIZE, 16, 16, 40, 40)


@pytest.fixture(scope="module")
def pipeline(host_server) -> str:
    write_sdxl_inpaint_folder(host_server.models_dir / "diffusers" / "tiny inpaint")
    return "tiny inpaint"


@pytest.fixture
def bench(host_server, client) -> Bench:
    return Bench(host_server, client)


def run(bench, pipeline, image, mask, **options):
    loaded = bench.add("load", "GRefineLoadInpaintPipeline", pipeline=pipeline, device=options.pop("device", "auto"))
    inputs = {"image": bench.tensor("image", image), "denoise_mask": bench.tensor("mask", mask, 1)}
    texts = {"prompt": "a (red:1.2) apple", "negative_prompt": ""}
    inputs |= {"inpaint_pipeline": loaded, **texts, **OPTIONS, "steps": 2, **options}
    bench.add("stage", "GRefineStage1InpaintDiffusers", **inputs)
    return bench.client.run(bench.captured("stage"))


def test_the_mask_is_repainted_and_nothing_else_and_twice_the_same(bench, pipeline):
    image = noise(1, *SIZE)
    results = []
    for seed in (3, 3, 4):
        done = run(bench, pipeline, image, MASK, seed=seed).ok()
        assert "stage" in done.executed  # the picture is written anew each time, so nothing is taken from the cache
        results.append(bench.result())
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    assert np.array_equal(results[0][MASK == 0], image[MASK == 0])
    assert np.abs(results[0][MASK == 1] - image[MASK == 1]).mean() > 0.01


def test_each_picture_has_its_own_prompt_and_the_clean_one_is_untouched(bench, pipeline, host_server, client):
    image = noise(3, *SIZE)
    mask = np.concatenate([MASK, np.zeros_like(MASK), MASK])
    prompts = bench.values("prompts", "a red apple", "nothing", "a blue car")
    run(bench, pipeline, image, mask, prompt=prompts, seed=bench.values("seeds", 5, 5, 5, output=2)).ok()
    assert np.array_equal(bench.result()[1], image[1])
    for number, prompt in ((0, "a red apple"), (2, "a blue car")):
        alone = Bench(host_server, client)
        run(alone, pipeline, image[number : number + 1], MASK, prompt=prompt, seed=5).ok()
        np.testing.assert_allclose(bench.result()[number], alone.result()[0], rtol=0, atol=1e-3)


def test_clean_pictures_load_no_pipeline(bench, pipeline):
    image = noise(1, *SIZE)
    done = run(bench, pipeline, image, np.zeros_like(MASK)).ok()
    assert "load" not in done.executed
    assert np.array_equal(bench.result(), image)


def test_what_is_on_disk_is_offered(pipeline, client):
    spec = client.object_info("GRefineLoadInpaintPipeline")["GRefineLoadInpaintPipeline"]["input"]["required"]
    assert pipeline in spec["pipeline"][1]["options"]


@pytest.mark.parametrize("name", ["not there", "../outside", "/etc", ""])
def test_a_missing_pipeline_is_named_with_the_folders_searched(bench, pipeline, host_server, name):
    try:
        text = run(bench, name, noise(1, *SIZE), MASK).error_text
    except PromptRejectedError as rejected:  # newer hosts check the choice
        text = str(rejected)
    assert "pipeline" in text
    if name == "not there" and "was not found" in text:
        assert str(host_server.models_dir / "diffusers") in text
        assert "docs/models.md" in text


def test_a_damaged_file_is_named(bench, pipeline, host_server):
    path = host_server.models_dir / "checkpoints" / "damaged.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x10\0\0\0\0\0\0\0 not a header")
    done = run(bench, "damaged.safetensors", noise(1, *SIZE), MASK)
    assert done.status == "error"
    assert "damaged.safetensors" in done.error_text


def test_two_prompts_for_one_picture_is_an_error(bench, pipeline):
    done = run(bench, pipeline, noise(1, *SIZE), MASK, prompt=bench.values("prompts", "one", "two"))
    assert done.status == "error"
    assert "prompt: 2 values for 1 pictures" in done.error_text
