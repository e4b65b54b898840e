"""The fixtures themselves: the server runs, shows pictures, and names the nodes that ran."""

from __future__ import annotations

import numpy as np
import pytest

from .client import PromptRejectedError


def _invert(name: str) -> dict:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }


def test_a_graph_runs_and_its_picture_comes_back(client):
    picture = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    run = client.run(_invert(client.put_image(picture, "server_test.png"))).ok()
    assert run.executed == ["1", "2", "3"]
    shown = run.images("3")[0].astype(int)
    assert np.abs(shown - (255 - picture.astype(int))).max() <= 1  # the host cuts off where others round


def test_a_second_run_is_cached(client):
    picture = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    graph = _invert(client.put_image(picture, "cached_test.png"))
    client.run(graph).ok()
    again = client.run(graph).ok()
    assert again.executed == []
    assert sorted(again.cached) == ["1", "2", "3"]


def test_a_broken_graph_is_rejected_with_the_node(client):
    with pytest.raises(PromptRejectedError) as caught:
        client.run({"1": {"class_type": "PreviewImage", "inputs": {}}})
    assert "1" in caught.value.node_errors


def test_code_runs_in_the_hosts_surroundings(host_run):
    assert "ok True" in host_run("import nodes; print('ok', hasattr(nodes, 'common_ksampler'))")


def test_nothing_is_written_into_the_hosts_folder(host_path, client):
    picture = np.zeros((8, 8, 3), np.uint8)
    client.run(_invert(client.put_image(picture, "written_test.png"))).ok()
    assert not list((host_path / "temp").glob("*")) if (host_path / "temp").exists() else True
    assert not (host_path / "input" / "written_test.png").exists()
