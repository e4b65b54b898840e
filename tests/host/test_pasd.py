"""Load PASD and Stage-2 Restore in the real host, with tiny PASD weights in the published layout."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grefine_core.engines.pasd import Variant
from grefine_core.engines.pasd.model import PasdSettings
from grefine_core.engines.pasd.restorer import PasdRestorer
from grefine_core.refine.protocols import picture_seed, second_stage_seed

from ..tiny_models.pasd import write_pasd, write_sd15
from .client import PromptRejectedError
from .stage_tools import STAGE2, Bench, noise

#: The node's own defaults, at a size that a CPU does at once.
LOAD: dict[str, Any] = {
    "pasd": "pasd/checkpoint-1",
    "base": "tiny sd15",
    "personalised": "none",
    "precision": "auto",
    "cfg": 2.0,
    "conditioning_scale": 1.0,
    "process_size": 64,
    "added_noise_level": 900,
    "tile_size": 2560,
    "color": "wavelet",
    "added_prompt": "clean",
    "negative_prompt": "blurry",
    "device": "auto",
}


@pytest.fixture(scope="module")
def weights(host_server) -> Iterator[Path]:
    """The host's models folder with both variants of PASD, a base, and another base with other weights."""
    models = host_server.models_dir
    for variant in (Variant(), Variant(light=True, rrdb=True)):
        write_pasd(models / "pasd", variant)
    write_sd15(models / "diffusers" / "tiny sd15")
    other = models / "diffusers" / "tiny person"
    shutil.copytree(models / "diffusers" / "tiny sd15", other)
    scale_weights(other / "unet" / "diffusion_pytorch_model.safetensors", 1.1)
    yield models
    shutil.rmtree(models / "pasd")
    shutil.rmtree(models / "diffusers" / "tiny sd15")
    shutil.rmtree(other)


def scale_weights(path: Path, factor: float) -> None:
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor * factor for name, tensor in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})


@pytest.fixture
def bench(host_server, client, weights) -> Bench:
    return Bench(host_server, client)


def graph_of(bench: Bench, image: Any, *, load: dict | None = None, short: dict | None = None, **options: Any) -> dict:
    """Load PASD as "load", Stage-2 Restore as "stage"; ``short`` puts the double with little memory between."""
    made = bench.add("load", "GRefineLoadPASD", **{**LOAD, **(load or {})})
    if short is not None:
        short = {"cells": 1_000_000, "journal": bench.name, **short}
        made = bench.add("short", "GRefineDoubleShortMemory", restorer=made, **short)
    link = image if isinstance(image, list) else bench.tensor("image", image)
    stage = {**STAGE2, "image": link, "restorer": made, "prompt": "a (red:1.2) balloon", "steps": 2, **options}
    bench.add("stage", "GRefineStage2Restore", **stage)
    return bench.captured("stage")


def restore(bench: Bench, image: Any, **options: Any) -> np.ndarray:
    done = bench.client.run(graph_of(bench, image, **options)).ok()
    assert "stage" in done.executed  # the picture is written anew each time, so nothing is taken from the cache
    return bench.result()


@pytest.mark.parametrize("name", ["pasd/checkpoint-1", "pasd_light_rrdb/checkpoint-1"])
def test_an_odd_picture_is_restored_at_its_own_size(bench, name):
    image = noise(1, 70, 101)
    result = restore(bench, image, load={"pasd": name}, short={})
    assert result.shape == image.shape
    assert np.isfinite(result).all()
    assert np.abs(result - image).mean() > 0.01
    calls = bench.journal()
    assert [call["shape"] for call in calls] == [[2, 4, 9, 13]] * 2  # both conditions in one call, 70 → 72, 101 → 104
    assert calls[0]["type"] == "torch.float32"  # what auto is on a CPU


def test_it_is_what_the_library_gives(bench, weights):
    """The same files, the same seed, no host in between: the same picture."""
    import torch

    from grefine_core.engines.pasd import load_pasd
    from grefine_core.refine.stages import stage2

    image = noise(1, 40, 56)
    result = restore(bench, image, seed=9, strength=0.4)
    settings = PasdSettings(
        guidance_scale=2.0, process_size=64, added_prompt="clean", negative_prompt="blurry", tile_size=320
    )
    model = load_pasd(weights / "pasd" / "pasd", weights / "diffusers" / "tiny sd15", device="cpu")
    expected = stage2(
        torch.from_numpy(image),
        PasdRestorer(model, settings),
        prompts="a (red:1.2) balloon",
        strengths=0.4,
        steps=2,
        seed=second_stage_seed(picture_seed(9, 0)),
        keep_color=False,
    )
    assert np.abs(result - expected.numpy()).max() < 1e-4


def test_same_seed_same_bytes(bench):
    image = noise(1, 40, 56)
    results = [restore(bench, image, seed=seed) for seed in (7, 7, 8)]
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_every_setting_reaches_the_sampling(bench):
    image = noise(1, 64, 64)
    reference = restore(bench, image, strength=1.0)
    changes: dict[str, Any] = {"cfg": 5.0, "conditioning_scale": 0.5, "added_noise_level": -1, "color": "none"}
    changes |= {"added_prompt": "dull", "negative_prompt": "sharp", "process_size": 96, "precision": "bf16"}
    for name, value in changes.items():
        assert not np.array_equal(restore(bench, image, strength=1.0, load={name: value}), reference), name
    restore(bench, noise(1, 264, 300), load={"tile_size": 256}, short={}, steps=1)
    assert {tuple(call["shape"][2:]) for call in bench.journal()} == {(32, 32)}


def test_strength_one_is_the_published_pass_and_less_starts_later(bench):
    for strength, expected in ((1.0, 999), (0.2, 0.2 * 999)):
        own = Bench(bench.server, bench.client)
        restore(own, noise(1, 64, 64), short={}, strength=strength, steps=10)
        calls = own.journal()
        assert len(calls) == 10
        assert calls[0]["timestep"] == pytest.approx(expected, abs=1)


def test_without_guidance_half_the_work(bench):
    restore(bench, noise(1, 64, 64), load={"cfg": 1.0}, short={})
    assert [call["shape"][0] for call in bench.journal()] == [1, 1]


def test_a_personalised_base_goes_under_the_attentions(bench):
    image = noise(1, 64, 64)
    stock, person = (restore(bench, image, load={"personalised": name}) for name in ("tiny sd15", "tiny person"))
    assert np.abs(stock - person).max() > 1e-4


def test_a_plan_with_nothing_to_do_loads_nothing(bench):
    image = noise(2, 64, 64)
    for idle in ({"run": False}, {"strength": 0.0}):
        done = bench.client.run(graph_of(bench, image, **idle)).ok()
        assert "load" not in done.executed
        assert np.array_equal(bench.result(), image)


def test_each_picture_of_a_batch_has_its_own_prompt_and_strength(bench, host_server, client):
    image = noise(3, 64, 72)
    prompts = bench.values("prompts", "a cat", "a dog", "a hat")
    strengths = bench.values("strengths", 0.3, 0.0, 0.6, output=1)
    seeds = bench.values("seeds", 5, 5, 5, output=2)
    together = restore(bench, image, prompt=prompts, strength=strengths, seed=seeds)
    assert np.array_equal(together[1], image[1])
    for place, prompt, strength in ((0, "a cat", 0.3), (2, "a hat", 0.6)):
        own = Bench(host_server, client)
        alone = restore(own, image[place : place + 1], prompt=prompt, strength=strength, seed=5)
        assert np.abs(together[place] - alone[0]).max() < 1e-5


def test_progress_counts_denoiser_calls(bench):
    done = bench.client.run(graph_of(bench, noise(2, 64, 64), steps=3)).ok()
    seen = [(data["value"], data["max"]) for event, data, _ in done.messages if event == "progress"]
    assert [entry for entry in seen if entry[1] == 6][-1] == (6, 6)
    steps = [value for value, most in seen if most == 6]  # newer hosts pass on only some of them, by the clock
    assert set(steps) <= set(range(7))
    assert steps == sorted(steps)


def test_cancel_stops_within_a_tile(bench, client):
    short = {"delay": 0.3}
    graph = graph_of(bench, noise(1, 264, 520), load={"tile_size": 256}, short=short, steps=40)
    prompt = client.start(graph)
    while len(bench.journal()) < 3:
        time.sleep(0.02)
    client.interrupt()
    asked = len(bench.journal())
    assert client.wait(prompt).status == "interrupted"
    assert len(bench.journal()) <= asked + 1
    restore(Bench(bench.server, client), noise(1, 64, 64))  # and the host goes on


def test_when_memory_is_short_the_tiles_become_smaller(bench, host_server, client):
    image = noise(1, 520, 528)
    result = restore(bench, image, short={"cells": 33 * 33}, steps=1)
    shapes = [tuple(call["shape"][2:]) for call in bench.journal()]
    assert shapes[0] == (65, 66)
    assert set(shapes[1:]) == {(32, 32)}
    own = Bench(host_server, client)
    wanted = restore(own, image, load={"tile_size": 256}, short={}, steps=1)
    np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-3)


def test_out_of_memory_with_the_smallest_tiles_is_said_in_plain_words(bench):
    done = bench.client.run(graph_of(bench, noise(1, 64, 72), short={"cells": 0}))
    assert done.status == "error"
    assert "OutOfMemoryError" in done.error_text
    assert "Out of memory while restoring 72×64 pixels with PASD" in done.error_text


def test_what_is_on_disk_is_offered(bench, client, weights):
    shutil.copytree(weights / "pasd" / "pasd" / "checkpoint-1", weights / "grefine" / "mine")
    (weights / "pasd" / "half" / "unet").mkdir(parents=True)  # no controlnet: no PASD
    try:
        spec = client.object_info("GRefineLoadPASD")["GRefineLoadPASD"]["input"]["required"]
    finally:
        shutil.rmtree(weights / "grefine" / "mine")
        shutil.rmtree(weights / "pasd" / "half")
    assert spec["pasd"][1]["options"] == ["mine", "pasd/checkpoint-1", "pasd_light_rrdb/checkpoint-1"]
    assert {"tiny sd15", "tiny person"} <= set(spec["base"][1]["options"])
    assert spec["personalised"][1]["options"][0] == "none"


def test_the_defaults_are_the_published_ones(client):
    spec = client.object_info("GRefineLoadPASD")["GRefineLoadPASD"]["input"]["required"]
    own = PasdSettings()
    defaults = {name: entry[1].get("default") for name, entry in spec.items()}
    assert defaults["cfg"] == own.guidance_scale
    assert defaults["tile_size"] == 8 * own.tile_size
    names = ("conditioning_scale", "process_size", "added_noise_level", "color", "added_prompt", "negative_prompt")
    for name in names:
        assert defaults[name] == getattr(own, name), name


def damage(folder: Path, how: str) -> None:
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    if how == "short":
        unet.write_bytes(unet.read_bytes()[:1000])
    elif how == "stock":
        shutil.copyfile(folder.parents[2] / "diffusers" / "tiny sd15" / "unet" / unet.name, unet)
    else:
        shutil.rmtree(folder / "controlnet")
        (folder / "controlnet").mkdir()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("short", "cannot be read"),
        ("stock", "attention"),
        ("empty", "no weights found"),
    ],
)
def test_wrong_files_are_explained(bench, weights, how, message):
    folder = weights / "pasd" / "wrong" / "checkpoint-1"
    shutil.copytree(weights / "pasd" / "pasd" / "checkpoint-1", folder)
    try:
        damage(folder, how)
        done = bench.client.run(graph_of(bench, noise(1, 64, 64), load={"pasd": "wrong/checkpoint-1"}))
    finally:
        shutil.rmtree(folder.parent)
    assert done.status == "error"
    assert "ModelFileError" in done.error_text
    assert str(folder) in done.error_text
    assert message in done.error_text, done.error_text


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ({"pasd": "not there"}, "pasd: 'not there' was not found"),
        ({"base": "not there"}, "base: 'not there' was not found"),
        ({"personalised": "not there"}, "personalised: 'not there' was not found"),
        ({"pasd": "../pasd"}, "pasd: '../pasd' is not inside"),
        ({"pasd": ""}, "pasd: no file is selected"),
        ({"precision": "int4"}, "precision: 'int4'"),
        ({"color": "sepia"}, "color: 'sepia'"),
    ],
)
def test_a_wrong_choice_is_a_clear_error(bench, host_server, load, message):
    try:
        text = bench.client.run(graph_of(bench, noise(1, 64, 64), load=load)).error_text
    except PromptRejectedError as rejected:  # newer hosts check the choice
        text, message = str(rejected), next(iter(load))
    assert message in text, text
    if message.endswith("not found"):
        assert str(host_server.models_dir) in text
        assert "docs/models.md" in text


# In the host's surroundings, without a server: what the memory manager knows.

MANAGED = """
import asyncio, copy, gc, importlib, json, os, sys, weakref
import comfy_api.latest, folder_paths, nodes, torch
import comfy.model_management as memory, comfy.model_patcher
THEIRS = os.path.join(folder_paths.models_dir, "my pasd")
folder_paths.add_model_folder_path("pasd", THEIRS)        # as extra_model_paths.yaml does, before packs load
assert asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"])), "the pack did not load"
part = lambda module: importlib.import_module(os.environ["GREFINE_PACK"].replace(".", "_x_") + "." + module)
host, pasd, tiny_models = part("nodes.host"), part("nodes.pasd"), part("tests.tiny_models.pasd")
result = {"folders": folder_paths.get_folder_paths("pasd")}

def tell(call):
    try:
        call()
    except (Exception, memory.InterruptProcessingException) as error:  # of newer hosts, no Exception
        return f"{type(error).__name__} {error}"

load = lambda **more: pasd.GRefineLoadPASD.execute(**{**LOAD, **more})[0]
result["nothing there"] = tell(lambda: load(pasd=""))
tiny_models.write_pasd(THEIRS)
tiny_models.write_sd15(os.path.join(folder_paths.models_dir, "diffusers", "tiny sd15"))
tiny_models.write_sd15(os.path.join(folder_paths.models_dir, "diffusers", "deep", "down"))
result["listed"] = pasd.checkpoints()

def loaded(patcher):
    return patcher in [entry.model for entry in memory.current_loaded_models]

def restore(restorer, **more):
    picture = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():                          # as the host runs nodes
        return restorer.restore(picture, prompt="a hat", strength=0.3, steps=2, seed=1, **more)

with torch.inference_mode():
    restorer = load()
    half = load(precision="fp16")
    deep = load(base="deep/down", pasd="pasd", device="cpu")
result["types"] = [str(entry.model.dtype) for entry in (restorer, half)]
result["variant's folder"] = deep.model.variant.name
result["device cpu"] = str(host.loaded_patcher(deep).load_device)
patcher = weakref.ref(host.loaded_patcher(restorer))
size = sum(v.numel() * v.element_size() for n in restorer.model.networks.values() for v in n.state_dict().values())
result["counted"] = [patcher().model_size(), size]
result["before"] = loaded(patcher())

seen = []
first = restore(restorer, progress=lambda done, total, preview: seen.append((done, total, preview is not None)))
result["progress"] = seen
result["after"] = loaded(patcher())
memory.unload_all_models()                                # outside of inference mode, as the host does on /free
result["unloaded"] = not loaded(patcher())
result["again"] = torch.equal(restore(restorer), first) and loaded(patcher())

network = torch.nn.Linear(4, 4)
other = comfy.model_patcher.ModelPatcher(host.ModuleHolder(network), memory.get_torch_device(), torch.device("cpu"))
memory.load_models_gpu([other])
result["other before"] = loaded(other)
host.make_room(restorer)
result["other after"] = [loaded(other), loaded(patcher())]

asked = []
real = memory.load_models_gpu
def refused(models, **options):
    asked.append(options["memory_required"])
    raise memory.OOM_EXCEPTION("CUDA out of memory. Tried to allocate")
memory.load_models_gpu = refused
result["too large"] = tell(lambda: restore(restorer))
memory.load_models_gpu = real
result["asked for"] = asked

memory.interrupt_current_processing(True)
result["cancelled"] = tell(lambda: restore(restorer))
memory.interrupt_current_processing(False)

from comfy.cli_args import args, LatentPreviewMethod
args.preview_method = LatentPreviewMethod.Latent2RGB
shown = []
restore(restorer, progress=lambda done, total, preview: shown.append(list(preview.shape)))
result["previews"] = shown

del restorer, half, deep
gc.collect()
result["evicted with the host's cache"] = patcher() is None
print("RESULT", json.dumps(result))
"""


@pytest.fixture(scope="module")
def managed(host_run) -> dict[str, Any]:
    return json.loads(host_run(f"LOAD = {LOAD!r}\n" + MANAGED).split("RESULT ")[1])


def test_folders_of_the_users_own_are_searched(managed):
    assert [Path(path).name for path in managed["folders"]] == ["my pasd", "pasd"]
    assert managed["listed"] == ["pasd/checkpoint-1"]
    assert managed["nothing there"].startswith("InputError pasd: no PASD weights were found")
    assert "my pasd" in managed["nothing there"]


def test_the_networks_are_the_memory_managers(managed):
    assert managed["counted"][0] == managed["counted"][1] > 0
    assert not managed["before"]  # only once they are used
    assert managed["after"]
    assert managed["unloaded"]
    assert managed["again"]
    assert managed["evicted with the host's cache"]


def test_room_is_made_by_moving_the_other_models_away(managed):
    assert managed["other before"]
    assert managed["other after"] == [False, True]
    assert managed["asked for"][0] > 64 * 64


def test_networks_that_do_not_fit_are_said_to_be_too_large(managed):
    assert managed["too large"].startswith("OutOfMemoryError Out of memory while bringing PASD (")
    assert "fp16" in managed["too large"]


def test_precision_and_device(managed):
    assert managed["types"] == ["torch.float32", "torch.float16"]
    assert managed["device cpu"] == "cpu"
    assert managed["variant's folder"] == "pasd"


def test_cancel_and_previews_are_the_hosts(managed):
    assert managed["cancelled"].startswith("InterruptProcessingException")
    assert managed["progress"] == [[1, 2, False], [2, 2, False]]  # the host's default: no previews
    assert managed["previews"] == [[1, 8, 8, 3]] * 2
