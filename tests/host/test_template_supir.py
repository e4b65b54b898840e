"""The template with SUPIR, on hosts that have its nodes; older ones skip it by name.

A real SUPIR network, tiny, on a tiny SDXL: what it draws means nothing, but all of the host's code runs.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from grefine_core.comfyui.workflow import set_input

from .stage_tools import Bench, noise
from .template_tools import (
    SIZE,
    kinds,
    of,
    only,
    put_photograph,
    put_quality_model,
    replaced,
    shipped,
    with_a_part_to_redraw,
    with_bars,
    with_parts,
    with_previews,
)

pytestmark = pytest.mark.usefixtures("supir")


@pytest.fixture
def supir(client, host_server) -> None:
    if not client.object_info("SUPIRApply"):
        pytest.skip(f"NODE MISSING: SUPIRApply came with ComfyUI 0.20.0, this is {host_server.version}")


@pytest.fixture(scope="module")
def quality(host_server, tmp_path_factory):
    return put_quality_model(host_server, tmp_path_factory.mktemp("quality"))


def template(picture: str, bar: float) -> dict[str, Any]:
    """The shipped template with tiny models; the checkpoint's three outputs come from three doubles."""
    graph = replaced(shipped("grefine_sdxl_supir", picture), "ModelPatchLoader", "GRefineTinySUPIR")
    parts = [
        {"class_type": "GRefineTinyUNet", "inputs": {"kind": "sdxl"}},
        {"class_type": "GRefineTinyTextEncoder", "inputs": {"kind": "sdxl", "width": "tiny"}},
        {"class_type": "GRefineTinyVAE", "inputs": {}},
    ]
    graph = with_parts(graph, "Checkpoint", parts)
    graph = set_input(graph, of(graph, "GRefineStage1Inpaint"), "native_side", 64)
    graph = with_previews(with_a_part_to_redraw(with_bars(graph, bar, 4)))
    graph["restored"] = {"class_type": "PreviewImage", "inputs": {"images": [of(graph, "GRefineStage2Restore"), 0]}}
    return graph


def test_the_template_runs_on_a_picture_of_any_size(client, quality):
    """Its sides are no multiples of 8: the guide is one cell smaller than the padded picture."""
    graph = template(put_photograph(client), 1.0)
    graph = set_input(graph, of(graph, "GRefinePlan"), "stage2_strength", 1.0)
    run = client.run(graph).ok()
    guarded, restored = only(run.images("guarded")), only(run.images("restored"))
    assert restored.shape == (SIZE[1], SIZE[0], 3)
    assert (restored != guarded).any(-1).mean() > 0.5
    report = json.loads(run.texts(of(graph, "PreviewAny", "Report as JSON"))[0])
    assert {entry["stage"] for entry in report["guard"]} == {1, 2}
    for name, value in {"strength_start": 0.5, "restore_cfg": 0.0}.items():
        other = client.run(set_input(graph, of(graph, "SUPIRApply"), name, value)).ok()
        assert (only(other.images("restored")) != restored).any(), f"{name} is heard"


def test_a_good_picture_loads_none_of_it(client, quality):
    client.free()
    graph = template(put_photograph(client), 0.0)
    run = client.run(graph).ok()
    ran = kinds(graph, [*run.executed, *run.cached])
    assert "GRefineStage2Restore" in ran
    assert not ran & {"SUPIRApply", "GRefineTinySUPIR", "GRefineTinyUNet", "GRefineTinyVAE", "GRefineRestorerFromModel"}


def guided(bench: Bench, image: np.ndarray, *, guide: np.ndarray | None = None, **supir: Any) -> dict[str, Any]:
    """The models of stage 2, guided by SUPIR; by the picture itself if no other is given."""
    models = bench.tiny_models("sdxl")
    picture = bench.tensor("guide", image if guide is None else guide)
    values = {"strength_start": 1.0, "strength_end": 1.0, "restore_cfg": 4.0, "restore_cfg_s_tmin": 0.05, **supir}
    patch = bench.add("patch", "GRefineTinySUPIR")
    models["model"] = bench.add(
        "apply", "SUPIRApply", model=models["model"], vae=models["vae"], model_patch=patch, image=picture, **values
    )
    return models


def test_the_guide_of_a_tile_is_that_of_its_place(host_server, client):
    """A picture of one tile, twice beside itself: the first tile is restored as the single picture is."""
    image = noise(1, 64, 64)
    wide = np.concatenate([image, noise(1, 64, 64, seed=1)], axis=2)
    results = []
    for picture in (image, wide):
        bench = Bench(host_server, client)
        models = guided(bench, picture)
        models["vae"] = bench.add("blocks", "GRefineDoubleVAE", channels=4, factor=8)
        bench.graph["apply"]["inputs"]["vae"] = models["vae"]
        bench.stage2(picture, models, restorer={"tile_size": 64}, strength=1.0).ok()
        results.append(bench.result())
    columns = slice(0, 32)  # the next tile begins there
    assert np.isfinite(results[1]).all()
    np.testing.assert_allclose(results[1][:, :, columns], results[0][:, :, columns], atol=1e-5)


def test_another_picture_as_guide_is_refused_in_words(bench):
    image = noise(1, 64, 64)
    run = bench.stage2(image, guided(bench, image, guide=noise(1, 96, 64)), strength=1.0)
    assert run.status == "error"
    assert "SUPIR was given a picture of about 64×96" in run.error_text


def test_several_pictures_as_guide_are_refused_in_words(bench):
    image = noise(1, 64, 64)
    run = bench.stage2(image, guided(bench, image, guide=noise(2, 64, 64)), strength=1.0)
    assert run.status == "error"
    assert "Rebatch Images" in run.error_text


@pytest.fixture
def bench(host_server, client) -> Bench:
    return Bench(host_server, client)
