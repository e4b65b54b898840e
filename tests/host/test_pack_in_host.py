"""What loading the pack does to the host: what it imports, registers, and gives to the memory manager.

Two processes in the host's surroundings, each of which collects what several tests look at.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

HEAVY = {"diffusers", "transformers", "open_clip", "timm", "nltk", "kornia"}

LOAD = """
import asyncio, builtins, importlib, json, os, sys, tempfile
import comfy_api.latest, folder_paths, nodes
PACK = os.environ["GREFINE_PACK"]
result = {}

def load():
    assert asyncio.run(nodes.load_custom_node(PACK)), "the pack did not load"
    return PACK.replace(".", "_x_")
"""

LOADING = (
    LOAD
    + """
theirs = tempfile.mkdtemp()
folder_paths.add_model_folder_path("grefine", theirs)     # as extra_model_paths.yaml does, before packs load

before, asked, real, path = set(sys.modules), set(), builtins.__import__, list(sys.path)
def watched(name, globals=None, locals=None, fromlist=(), level=0):
    if level == 0 and str((globals or {}).get("__file__", "")).startswith(PACK):
        asked.add(name.split(".")[0])
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = watched
name = load()
builtins.__import__ = real
result["asked"] = sorted(asked)
result["new"] = sorted({module.split(".")[0] for module in set(sys.modules) - before})

import nodes as again
result["nodes are the host's"] = again is nodes and hasattr(again, "common_ksampler")
result["path untouched"] = sys.path == path
result["own nodes"] = sys.modules[name + ".nodes.quality"].__file__.startswith(PACK)
result["library outside of the pack"] = "grefine_core" in sys.modules

host = importlib.import_module(name + ".nodes.host")
host.register_model_folders()                             # a second time changes nothing
paths, extensions = folder_paths.folder_names_and_paths["grefine"]
result["folders"] = paths == [theirs, os.path.join(folder_paths.models_dir, "grefine")]
# Made where the user has named no other; a file in its place is no reason not to load.
result["made"] = [os.path.isdir(os.path.join(folder_paths.models_dir, kind)) for kind in ("grefine", "pasd")]
taken = os.path.join(tempfile.mkdtemp(), "models")
open(taken, "w").close()
there, folder_paths.models_dir = folder_paths.models_dir, taken
del folder_paths.folder_names_and_paths["pasd"]
host.register_model_folders()
result["taken"] = folder_paths.folder_names_and_paths["pasd"][0] == [os.path.join(taken, "pasd")]
folder_paths.models_dir = there
result["extensions"] = sorted(extensions)
for file in ("a.safetensors", "notes.txt"):
    open(os.path.join(theirs, file), "w").close()
result["listed"] = folder_paths.get_filename_list("grefine")

old = lambda name, default=None: None
new = lambda name, default=None, advanced=None: None
result["known"] = [host.known(old, advanced=True), host.known(new, advanced=True)]
print("RESULT", json.dumps(result))
"""
)

WORKING = (
    LOAD
    + """
import gc, weakref, torch
import comfy.model_management as memory, comfy.utils, comfy.samplers, comfy.sd, execution, latent_preview, node_helpers
HOST = {"comfy", "comfy_api", "comfy_extras", "execution", "folder_paths", "latent_preview", "node_helpers", "nodes"}
def theirs():                                             # functions and classes of the host, and the classes' methods
    found = {}
    for module, content in list(sys.modules.items()):
        if module.split(".")[0] in HOST:
            for key, value in list(vars(content).items()):
                if callable(value):
                    found[module, key] = value
                if isinstance(value, type) and value.__module__.split(".")[0] in HOST:
                    found |= {(module, key, part): part_value for part, part_value in list(vars(value).items())
                              if callable(part_value)}
    return found
before = theirs()
name = load()
part = lambda module: importlib.import_module(f"{name}.{module}")
folder = part("tests.tiny_models").write_quality_model(tempfile.mkdtemp())
folder_paths.add_model_folder_path("grefine", str(folder))
maps, loaders, host = part("nodes.quality"), part("nodes.quality_model"), part("nodes.host")
WAYS = dict(formula="paper", importance_technical=1.0, importance_rational=1.0, importance_natural=1.0)
PROMPT = "a red hat, a cat"
picture = torch.rand(1, 40, 56, 3, generator=torch.Generator().manual_seed(0))

def make(device="auto"):
    return loaders.GRefineLoadQualityModel.execute(
        "clip.safetensors", "auto", "pq_embeddings.safetensors", "auto", 0, device)[0]

with torch.inference_mode():                              # as the host runs nodes
    quality = make()
    maps.GRefinePQMap.execute(picture, quality, **WAYS)
    maps.GRefineAQMap.execute(picture, quality, PROMPT, "auto", "product", False)
    result["calls of both maps"] = [quality.encoder_calls, quality.text_calls]
    guarded = part("nodes.guard").GRefineNoHarmGuard.execute(
        [1.0 - picture], [picture], [quality], [PROMPT], ["stage 1"], [0.0], scoring=["auto"],
        aggregate=["product"], include_style=[False], **{key: [value] for key, value in WAYS.items()})
    result["pictures encoded with the guard"] = quality.pictures_encoded

    result["device"] = host.loaded_patcher(quality).load_device == memory.get_torch_device()
    result["device cpu"] = host.loaded_patcher(make("cpu")).load_device == torch.device("cpu")

patcher = weakref.ref(host.loaded_patcher(quality))
result["managed"] = patcher() in [loaded.model for loaded in memory.current_loaded_models]
memory.unload_all_models()                                # outside of inference mode, as the host does on /free
result["unloaded"] = patcher() not in [loaded.model for loaded in memory.current_loaded_models]
with torch.inference_mode():
    maps.GRefinePQMap.execute(1.0 - picture, quality, **WAYS)
result["loaded again"] = patcher() in [loaded.model for loaded in memory.current_loaded_models]

seen = []
comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, **more: seen.append([value, total]))
told = comfy.utils.ProgressBar.update_absolute
def tell(bar, value, *more):
    told(bar, value, *more)
    if value >= 16:                                       # not by the hook, which newer hosts call by the clock
        memory.interrupt_current_processing(True)
comfy.utils.ProgressBar.update_absolute = tell
many = torch.rand(40, 16, 16, 3, generator=torch.Generator().manual_seed(0))
encoded = quality.pictures_encoded
try:
    with torch.inference_mode():
        maps.GRefinePQMap.execute(many, quality, **WAYS)
    result["interrupted"] = False
except memory.InterruptProcessingException:
    result["interrupted"] = True
comfy.utils.ProgressBar.update_absolute = told
comfy.utils.set_progress_bar_global_hook(None)
memory.interrupt_current_processing(False)
result["progress"] = list(seen)
result["encoded before the cancel"] = quality.pictures_encoded - encoded

plan, masks, prompts = part("nodes.plan").GRefinePlan, part("nodes.masks"), part("nodes.prompt").GRefinePromptEmphasis
guard, report = part("nodes.guard").GRefineNoHarmGuard, part("nodes.report").GRefineQualityReport
lists = dict(scoring=["auto"], aggregate=["product"], include_style=[False], **{k: [v] for k, v in WAYS.items()})
pair = torch.rand(2, 40, 56, 3, generator=torch.Generator().manual_seed(1))
marks = torch.zeros(1, 40, 56)
marks[:, 2:8, 2:8] = marks[:, 30:38, 46:54] = 1.0
repainted = torch.where(marks.unsqueeze(-1) > 0, 1.0 - pair, pair)
with torch.inference_mode():
    decided = guard.execute([repainted], [pair[:1], pair[1:]], [quality], [PROMPT, "a dog"], ["stage 1"], [1.0],
                            mask=[marks], **lists)
result["regions"] = [[d["region"] for d in json.loads(text)["decisions"]] for text in decided[1]]
result["batches"] = [batch.shape[0] for batch in decided[0]]

area = dict(method="threshold", threshold=0.5, top_share=0.2, floor=0.3, min_area=0.0, grow=0.0, feather=0.0,
            fill_holes=True)
even = dict(mode="max", weight_a=1.0, weight_b=1.0, weight_c=1.0, weight_d=1.0)
steps = dict(mode="gated", perceptual_bar=0.8, alignment_bar=0.8, steps=20, stage1_min=0.5, stage1_max=0.9,
             stage2_strength=0.2)
aq = ("auto", "product", False)
grey, nan = torch.full((1, 4, 4), 0.5), float("nan")
bad = {
    "image: contains NaN": lambda: maps.GRefinePQMap.execute(picture * nan, quality, **WAYS),
    "image: expected an image": lambda: maps.GRefineAQMap.execute(grey[0], quality, PROMPT, *aq),
    "image: expected 1, 3 or 4 channels": lambda: maps.GRefinePQMap.execute(torch.zeros(1, 3, 8, 8), quality, **WAYS),
    "image: empty tensor": lambda: maps.GRefinePQMap.execute(torch.zeros(1, 0, 8, 3), quality, **WAYS),
    "image: expected a torch tensor": lambda: maps.GRefinePQMap.execute(None, quality, **WAYS),
    "quality_model: expected the output of Load": lambda: maps.GRefinePQMap.execute(picture, "model", **WAYS),
    "prompt: expected text, got 5": lambda: maps.GRefineAQMap.execute(picture, quality, 5, *aq),
    "prompt: expected text, got a list": lambda: maps.GRefineAQMap.execute(picture, quality, ["a", "b"], *aq),
    "map_b: shape (1, 5, 4)": lambda: masks.GRefineMergeMaps.execute(grey, map_b=torch.ones(1, 5, 4), **even),
    "map_d: contains NaN": lambda: masks.GRefineMergeMaps.execute(grey, map_d=grey * nan, **even),
    "mode: 'sum' is not known": lambda: masks.GRefineMergeMaps.execute(grey, **{**even, "mode": "sum"}),
    "protect: shape (1, 4, 5)": lambda: masks.GRefineBinarizeMap.execute(grey, protect=torch.ones(1, 4, 5), **area),
    "defect_map: expected a mask": lambda: masks.GRefineBinarizeMap.execute(picture, **area),
    "perceptual_score: nan": lambda: plan.execute(nan, 0.5, **steps),
    "alignment_score: expected a number": lambda: plan.execute(0.5, "high", **steps),
    "worst_region: nan": lambda: plan.execute(0.5, 0.5, **steps, worst_region=nan, region_bar=0.5),
    "region_bar: 2 is out of range": lambda: plan.execute(0.5, 0.5, **steps, region_bar=2.0),
    "stage1_min: 0.95 is over": lambda: plan.execute(0.5, 0.5, **{**steps, "stage1_min": 0.95}),
    "phrases: expected the phrases": lambda: prompts.execute(PROMPT, "a hat", 1.1, 1.5, "weight"),
    "minimum: 2 is over": lambda: prompts.execute(PROMPT, ((),), 2.0, 1.5, "weight"),
    "before: 1 pictures, but after has 2": lambda: guard.execute([pair], [picture], [quality], [PROMPT], ["x"], [0.0],
                                                                 **lists),
    "prompt: 3 values for 2 pictures": lambda: guard.execute([pair], [pair], [quality], ["a", "b", "c"], ["x"], [0.0],
                                                             **lists),
    "mask: size (4, 4)": lambda: guard.execute([pair], [pair], [quality], ["a"], ["x"], [0.0], mask=[grey], **lists),
    "after: 1 pictures, but before has 2": lambda: report.execute([pair], [picture], [quality], ["a"], **lists),
}
result["errors"] = {}
for start, call in bad.items():
    try:
        with torch.inference_mode():
            call()
        result["errors"][start] = "no error"
    except Exception as error:
        result["errors"][start] = f"{type(error).__name__} {error}"

after = theirs()
result["of the host"] = len(before)
result["replaced"] = [".".join(key) for key, value in before.items() if after.get(key) is not value]
del quality, guarded, decided, bad, call
gc.collect()
result["evicted with the host's cache"] = patcher() is None
print("RESULT", json.dumps(result))
"""
)


@pytest.fixture(scope="module")
def loading(host_run) -> dict[str, Any]:
    return json.loads(host_run(LOADING).split("RESULT ")[1])


@pytest.fixture(scope="module")
def working(host_run) -> dict[str, Any]:
    return json.loads(host_run(WORKING).split("RESULT ")[1])


def test_loading_the_pack_imports_nothing_heavy(loading):
    """Neither as a new module, nor, should the host have it already, by an import statement of the pack's own."""
    assert "torch" in loading["asked"]  # the watch works
    assert not set(loading["asked"]) & HEAVY
    assert not set(loading["new"]) & HEAVY


def test_the_hosts_own_nodes_module_stays_the_hosts(loading):
    assert loading["nodes are the host's"]
    assert loading["own nodes"]
    assert loading["path untouched"]


def test_the_library_is_the_packs_own_whatever_is_installed(loading):
    assert not loading["library outside of the pack"]


def test_the_model_folder_is_merged_with_what_the_user_configured(loading):
    assert loading["folders"]  # the user's first, ours once
    assert {".safetensors", ".json"} <= set(loading["extensions"])
    assert loading["listed"] == ["a.safetensors"]


def test_a_model_folder_is_made_where_the_user_has_named_no_other(loading):
    assert loading["made"] == [False, True]
    assert loading["taken"]  # registered all the same


def test_a_newer_keyword_is_passed_only_where_it_is_known(loading):
    assert loading["known"] == [{}, {"advanced": True}]


def test_one_encode_serves_both_maps_and_the_guard(working):
    assert working["calls of both maps"] == [1, 1]  # four factors, all phrases
    assert working["pictures encoded with the guard"] == 2  # it knows the picture before


def test_the_quality_model_is_the_memory_managers(working):
    assert working["managed"]
    assert working["unloaded"]
    assert working["loaded again"]
    assert working["evicted with the host's cache"]


def test_nothing_of_the_host_is_replaced(working):
    """Neither by loading the pack nor by the work of its nodes: others' nodes find what they know."""
    assert working["of the host"] > 1000
    assert working["replaced"] == []


def test_the_device_choice(working):
    assert working["device"]
    assert working["device cpu"]


def test_cancelling_stops_between_parts_of_a_batch(working):
    assert working["interrupted"]
    # Newer hosts pass on only some of the steps, by the clock.
    steps = [done for done, total in working["progress"] if total == 40]
    assert steps == sorted(set(steps) & {0, 8, 16, 24, 32})
    assert steps[0] == 0
    assert working["encoded before the cancel"] <= 32


def test_the_guard_decides_region_by_region_with_one_mask_for_many_pictures(working):
    assert working["regions"] == [[[2, 2, 8, 8], [30, 46, 38, 54]]] * 2
    assert working["batches"] == [2]


def test_bad_input_is_an_error_that_names_it(working):
    assert len(working["errors"]) > 20
    for start, message in working["errors"].items():
        assert message.startswith(f"InputError {start}"), message
