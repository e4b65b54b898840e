"""With --novram the host loads next to nothing and streams its own layers; the pack's networks have torch's."""

from __future__ import annotations

import json
from typing import Any

import pytest

CODE = """
import asyncio, importlib, json, logging, os
import nodes, torch, comfy.model_management as memory
assert asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"])), "the pack did not load"
host = importlib.import_module(os.environ["GREFINE_PACK"].replace(".", "_x_") + ".nodes.host")
said = []
class Listener(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger(host.__name__).addHandler(Listener())
gpu = torch.device("meta")                                    # one on which nothing is computed, and which all have
memory.get_free_memory = lambda device=None, torch_free_too=False: (1e12, 1e12) if torch_free_too else 1e12
class Owner:
    pass
result = {}
for kind, state in {"novram": memory.VRAMState.NO_VRAM, "normal": memory.VRAMState.NORMAL_VRAM}.items():
    memory.vram_state = state
    said.clear()
    owner, network = Owner(), torch.nn.Sequential(torch.nn.Linear(9, 9), torch.nn.LayerNorm(9))
    host.adopt(owner, network)
    patcher = host.loaded_patcher(owner)
    patcher.load_device = gpu
    host.ready(owner)
    result[kind] = {"where": sorted({each.device.type for each in network.parameters()}),
                    "counted": patcher.loaded_size() == patcher.model_size(), "said": [*said]}
    said.clear()
    host.ready(owner)
    result[kind]["again"] = [*said]
    network = torch.nn.Linear(9, 9)
    own = Owner()
    host.adopt(own, network, "cpu")
    host.ready(own)
    result[kind]["cpu"] = sorted({each.device.type for each in network.parameters()})
print("RESULT", json.dumps(result))
"""


@pytest.fixture(scope="module")
def result(host_run) -> dict[str, Any]:
    return json.loads(host_run(CODE).split("RESULT ", 1)[1])


@pytest.mark.parametrize("kind", ["novram", "normal"])
def test_networks_are_loaded_whole(result, kind):
    assert result[kind]["where"] == ["meta"]
    assert result[kind]["counted"]
    assert result[kind]["cpu"] == ["cpu"]


def test_it_is_said_once_and_only_then(result):
    assert len(result["novram"]["said"]) == 1
    assert "choose cpu as the device" in result["novram"]["said"][0]
    assert result["novram"]["again"] == []
    assert result["normal"]["said"] == []
