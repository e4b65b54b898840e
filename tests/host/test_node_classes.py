"""The nodes as classes in the real host: their inputs by name, and the node that a registered restorer gets."""

from __future__ import annotations

import json

import pytest

CODE = """
import asyncio, importlib, inspect, importlib.util, json, os, sys
from pathlib import Path
import folder_paths, torch

pack = Path(os.environ["GREFINE_PACK"])
spec = importlib.util.spec_from_file_location("pack", pack / "__init__.py", submodule_search_locations=[str(pack)])
sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["pack"])
entry = importlib.import_module("pack.grefine_core.engines.entry")
registry = importlib.import_module("pack.grefine_core.engines.registry")
errors = importlib.import_module("pack.grefine_core.errors")

class Brighter:
    size_multiple = min_side = 1
    def __init__(self, by): self.by = by
    def restore(self, image, *, prompt, strength, steps, seed, index=0, progress=None): return image + self.by

seen = []
def load(weights, by=0.5, way=None, words=None, *, place):
    seen.append([weights.name, by, way, words, place.device])
    return Brighter(by)

registry.RESTORERS.register(entry.Entry("brighter", "Brighter", "more light", load, (
    entry.Option("weights", Path, "its weights", needed="a file"),
    entry.Option("by", float, "how much", default=0.25),
    entry.Option("way", str, "how", choices=("a", "b")),
    entry.Option("words", str, "what it is told"),
    entry.Option("tuning", int, "without a default: only on the command line"),
)))
folder = Path(folder_paths.models_dir) / "grefine"
folder.mkdir(parents=True, exist_ok=True)
(folder / "brighter.safetensors").write_bytes(b"")

extension = asyncio.run(sys.modules["pack"].comfy_entrypoint())
classes = asyncio.run(extension.get_node_list())
nodes = {node.GET_SCHEMA().node_id: node for node in classes}
unnamed = []
for name, each in nodes.items():
    fields = {field.id for field in each.GET_SCHEMA().inputs}
    for hook in ("execute", "check_lazy_status", "fingerprint_inputs"):
        if not each.__module__.endswith(".restorers") and hook in vars(each):  # their inputs are what an entry says
            parameters = set(inspect.signature(getattr(each, hook)).parameters)
            unnamed += [f"{name}.{hook}: {parameters ^ fields}"] if parameters != fields else []
node = nodes["GRefineLoadBrighter"]
schema = node.GET_SCHEMA()
options = {field.id: getattr(field, "options", None) for field in schema.inputs}
values = {"weights": "brighter.safetensors", "by": 0.5, "way": "none", "words": "", "device": "cpu"}
restorer = node.execute(**values).args[0]
node.execute(**{**values, "way": "b", "words": "x"})
wrong = {}
for name, value in (("way", "c"), ("by", "much"), ("weights", "../other"), ("device", "tpu")):
    try:
        node.execute(**{**values, name: value})
    except errors.InputError as error:
        wrong[name] = str(error)
stage = nodes["GRefineStage2Restore"]
image = torch.full((1, 8, 8, 3), 0.25)
lists = {"image": [image], "restorer": [restorer], "run": [True], "strength": [0.2], "steps": [1], "seed": [0]}
inputs = importlib.import_module("pack.nodes.inputs")
find, prepared = inputs.find_work, []
inputs.find_work = lambda *given, **named: prepared.append(1) or find(*given, **named)
fresh = lambda: {name: list(value) for name, value in lists.items()}  # as the host makes them for each call
needed = stage.check_lazy_status(**{**fresh(), "restorer": (None,)}, keep_color=[False], prompt=["x"])
needed = [needed, stage.check_lazy_status(**fresh(), keep_color=[False], prompt=["x"])]
restored = stage.execute(**fresh(), keep_color=[False], prompt=["x"]).args[0][0]
needed.append(len(prepared))
try:
    stage.execute(**{**lists, "restorer": [5]}, keep_color=[False])
except errors.InputError as error:
    wrong["restorer"] = str(error)
told = [options, seen, wrong, restored.mean().item(), schema.display_name, needed, unnamed, len(nodes)]
(folder / "brighter.safetensors").unlink()  # the folder is that of other tests, too
print("RESULT", json.dumps(told))
"""


@pytest.fixture(scope="module")
def found(host_run) -> list:
    line = next(line for line in host_run(CODE).splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def test_every_node_names_its_inputs(found):
    *_, unnamed, count = found
    assert unnamed == []
    assert count > 10


def test_a_registered_restorer_gets_a_node(found):
    options, seen, wrong, restored, title, needed, *_ = found
    assert title == "Load Brighter"
    assert list(options) == ["weights", "by", "way", "words", "device"]
    assert "brighter.safetensors" in options["weights"]
    assert options["way"] == ["none", "a", "b"]
    assert seen == [["brighter.safetensors", 0.5, None, None, "cpu"], ["brighter.safetensors", 0.5, "b", "x", "cpu"]]
    assert abs(restored - 0.75) < 1e-6
    assert needed == [["restorer"], [], 1]  # three calls, prepared once
    assert set(wrong) == {"way", "by", "weights", "device", "restorer"}
    assert all(text.startswith(f"{name}: ") for name, text in wrong.items())
    assert "(from Load PASD or Restorer from Model)" in wrong["restorer"]
