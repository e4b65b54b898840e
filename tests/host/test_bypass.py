"""Every node of the templates bypassed or muted, in the real host: the picture goes through, or a message says why.

The graphs are those that the editor would queue (`tests/workflows/bypass.py`), models are tiny. The slow tests print
the table with -s.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ..tiny_models.pasd import write_pasd, write_sd15
from ..workflows.bypass import BYPASSED, MODES, RESULT, Graph, foreseen, in_words, result_nodes
from .client import HostClient, Run
from .template_tools import EMBEDDINGS, WORKFLOWS, of, put_photograph, put_quality_model

#: Of the templates here, what stands for the large models: (node, output) -> double; and settings for a tiny picture.
SD15 = {
    ("CheckpointLoaderSimple", 0): ("GRefineTinyUNet", {"kind": "sd15_inpaint"}),
    ("CheckpointLoaderSimple", 1): ("GRefineTinyTextEncoder", {"kind": "sd15", "width": "tiny"}),
    ("CheckpointLoaderSimple", 2): ("GRefineTinyVAE", {}),
}
SDXL = {
    ("UNETLoader", 0): ("GRefineTinyUNet", {"kind": "sdxl_inpaint"}),
    ("DualCLIPLoader", 0): ("GRefineTinyTextEncoder", {"kind": "sdxl", "width": "tiny"}),
    ("VAELoader", 0): ("GRefineTinyVAE", {}),
}
FLUX = {
    ("UNETLoader", 0): ("GRefineTinyUNet", {"kind": "flux_fill"}),
    ("DualCLIPLoader", 0): ("GRefineTinyTextEncoder", {"kind": "sd15", "width": "tiny"}),
    ("VAELoader", 0): ("GRefineTinyVAE", {"channels": 16}),
}
_READER, _NETWORK = "GRefineTinyLanguageModel", "GRefineTinyFamily"
Z_IMAGE = {
    ("UNETLoader", 0): (_NETWORK, {"family": "Z-Image"}),
    ("CLIPLoader", 0): (_READER, {"family": "Z-Image"}),
    ("VAELoader", 0): ("GRefineTinyVAE", {"channels": 16}),
}
KLEIN = {
    ("UNETLoader", 0): (_NETWORK, {"family": "Flux.2 Klein"}),
    ("CLIPLoader", 0): (_READER, {"family": "Flux.2 Klein"}),
    ("VAELoader", 0): ("GRefineDoubleVAE", {"channels": 128, "factor": 16}),
}
DOUBLES: dict[str, dict[tuple[str, int], tuple[str, dict[str, Any]]]] = {
    "grefine_sd15_inpainting": SD15,
    "grefine_ordinary_checkpoint": SD15,
    "grefine_score_gated_batch": SD15,
    "grefine_sdxl_inpainting": SDXL,
    "grefine_sdxl_inpainting_pasd": SDXL,
    "grefine_flux_fill": FLUX,
    "grefine_z_image_turbo": Z_IMAGE,
    "grefine_flux2_klein_edit": KLEIN,
    "grefine_1_start_here": {},
    "grefine_maps_only": {},
    "grefine_score_only": {},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "GRefineLoadQualityModel": {"embeddings": EMBEDDINGS},
    "GRefineStage1Inpaint": {"native_side": 64, "min_side": 64},
    "GRefineSplitRegions": {"native_side": 64, "min_side": 64},
    "GRefineBinarizeMap": {"method": "top", "floor": 0.0, "calibrated": False},
    "GRefinePlan": {"mode": "gated", "perceptual_bar": 1.0, "alignment_bar": 1.0, "steps": 4},
    "GRefineLoadPASD": {"base": "tiny sd15", "process_size": 64},
}
QUICK = "grefine_sd15_inpainting"
Case = dict[str, int]


class Bench:
    """One template on one host: queues it with nodes bypassed or muted, and compares what happens with what must."""

    def __init__(self, client: HostClient, name: str, picture: str) -> None:
        self.client, self.name, self.picture = client, name, picture
        self.info = client.object_info()
        self.template = Graph(json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8")), self.info)
        self.rows: list[tuple[str, str]] = []
        self._seen: set[str] = set()

    def cases(self, nodes: list[str], together: int = 1) -> Iterator[Case]:
        """Every choice of so many of these nodes, each of them bypassed or muted."""
        for chosen in itertools.combinations(nodes, together):
            for modes in itertools.product(MODES.values(), repeat=together):
                yield dict(zip(chosen, modes, strict=True))

    def own(self) -> list[str]:
        """The pack's nodes in the template."""
        graph = self.template.queued()
        return [node for node in self.template.ids() if node in graph and "GRefine" in graph[node]["class_type"]]

    def told(self, case: Case) -> str:
        words = {mode: word for word, mode in MODES.items()}
        return ", ".join(f"{self.template.name(node)} {words[mode]}" for node, mode in case.items())

    def small(self, graph: dict[str, Any]) -> dict[str, Any]:
        """The graph with the picture and with tiny models."""
        doubles = DOUBLES[self.name]
        made = {}
        for node_id, node in graph.items():
            if any(kind == node["class_type"] for kind, _ in doubles):
                continue
            inputs = {**node["inputs"], **SETTINGS.get(node["class_type"], {})}
            if node["class_type"] == "LoadImage":
                inputs["image"] = self.picture
            for key, value in inputs.items():
                if isinstance(value, list):
                    double = doubles.get((graph[value[0]]["class_type"], value[1]))
                    if double is not None:
                        name = f"{value[0]}/{value[1]}"
                        made[name] = {"class_type": double[0], "inputs": double[1]}
                        inputs[key] = [name, 0]
            made[node_id] = {**node, "inputs": inputs}
        return made

    def of(self, kind: str, title: str = "") -> str:
        """The id of the node of that kind (and title)."""
        return of(self.template.queued(), kind, title)

    def check(self, case: Case, further: dict[str, Any] | None = None) -> Run | None:
        """Queue it, with further nodes; the run, if there was one."""
        graph = self.template.queued(case)
        outcome = foreseen(graph, self.info)
        self.rows.append((self.told(case), in_words(graph, outcome)))
        told = json.dumps(graph, sort_keys=True)
        if told in self._seen:
            return None  # to mute what nothing comes after is to bypass it
        self._seen.add(told)
        sent = {"prompt": {**self.small(graph), **(further or {})}, "client_id": self.client.client_id}
        status, answer = self.client.api.post("/prompt", sent)
        for node, name in outcome.missing:
            errors = answer["node_errors"][node]["errors"]
            assert ("required_input_missing", name) in [
                (error["type"], error["extra_info"]["input_name"]) for error in errors
            ], self.told(case)
        if status != 200:
            assert outcome.missing, (self.told(case), answer)
            return None
        run = self.client.wait(answer["prompt_id"])
        if outcome.runs:
            run.ok()
            self.check_results(graph, run, case)
        elif outcome.undiagnosed and not outcome.missing:
            assert run.status == "error", self.told(case)
            said = ("without a diagnosis", "has not looked at this picture", "nothing says what is to be repaired")
            said += ("strength: this is ",)
            assert any(words in run.error_text for words in said), run.error_text
        elif not outcome.missing:
            assert run.status == "error", self.told(case)
            assert any(f"strength: this is {whose} (" in run.error_text for _, whose in outcome.refused), run.error_text
        else:
            # What does not need it may run, or be refused as well.
            assert run.status == "success" or "strength: this is " in run.error_text, run.error_text
        return run

    def check_results(self, graph: dict[str, Any], run: Run, case: Case) -> None:
        """As many pictures as came in, of their size."""
        for node in result_nodes(graph, self.info):
            if graph[node]["_meta"]["title"] == RESULT:
                pictures = run.images(node)
                batched = any(other["class_type"] == "ImageBatch" for other in graph.values())
                assert len(pictures) == (2 if batched else 1), self.told(case)
                assert {picture.shape[:2] for picture in pictures} == {(64, 96)}, self.told(case)

    def table(self) -> str:
        """What was seen, as a table."""
        lines = [f"{self.name}", "", "| left out | what becomes of the picture |", "|---|---|"]
        return "\n".join([*lines, *(f"| {case} | {outcome} |" for case, outcome in self.rows)])


@pytest.fixture(scope="module")
def models(host_server, tmp_path_factory) -> Iterator[None]:
    put_quality_model(host_server, tmp_path_factory.mktemp("quality"))
    folder = host_server.models_dir / "pasd" / "pasd"
    write_pasd(folder.parent).rename(folder / "checkpoint-100000")
    write_sd15(host_server.models_dir / "diffusers" / "tiny sd15")
    yield
    shutil.rmtree(folder)
    shutil.rmtree(host_server.models_dir / "diffusers" / "tiny sd15")


@pytest.fixture
def bench(client, models) -> Callable[[str], Bench]:
    picture = put_photograph(client, (96, 64), "coffee_even.png")
    return lambda name: Bench(client, name, picture)


def check_all(bench: Bench, nodes: list[str], together: int = 1) -> None:
    for case in bench.cases(nodes, together):
        bench.check(case)
    print(f"\n{bench.table()}")  # noqa: T201 - for -s


def test_a_bypassed_plan_turns_no_score_into_a_strength(bench):
    """Templates wire its bundle, so that the stages' own numbers count; older graphs have a wire for each number."""
    template = bench(QUICK)
    plan, stage1 = template.of("GRefinePlan"), template.of("GRefineStage1Inpaint")
    assert template.check({plan: BYPASSED}).error_text == ""
    wired = template.template.queued()
    wired[stage1]["inputs"]["strength"] = [template.of("GRefineAQMap"), 2]
    del wired[stage1]["inputs"]["plan"]
    run = template.client.run(template.small(wired))
    assert "Stage1Inpaint" in run.error_text, "it is refused before anything is painted"
    assert re.search(r"strength: this is AQ-Map's score \(.*Refine Plan is bypassed", run.error_text)


def test_a_bypassed_guard_is_no_guard(bench):
    template = bench(QUICK)
    guards = [template.of("GRefineNoHarmGuard", f"No-Harm Guard: stage {stage}") for stage in (1, 2)]
    stage2 = template.of("GRefineStage2Restore")
    shown = {"restored": {"class_type": "PreviewImage", "inputs": {"images": [stage2, 0]}}}
    run = template.check(dict.fromkeys(guards, BYPASSED), shown)
    (saved,), (restored,) = run.images(template.of("SaveImage", RESULT)), run.images("restored")
    np.testing.assert_array_equal(saved, restored)
    report = json.loads(run.texts(template.of("PreviewAny", "Report as JSON"))[0])
    assert report["guard"] == []
    assert [note for note in report["notes"] if "bypassed" in note] == [
        f"Stage {stage} was not guarded: its guard is bypassed." for stage in (1, 2)
    ]


def test_without_masks_and_emphasis_the_picture_goes_through(bench):
    """Bypassed, they hand on the soft map and the prompt."""
    template = bench(QUICK)
    template.check(dict.fromkeys((template.of("GRefineBinarizeMap"), template.of("GRefinePromptEmphasis")), BYPASSED))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DOUBLES))
def test_every_node_of_every_template(bench, name):
    template = bench(name)
    check_all(template, template.template.ids())


@pytest.mark.slow
def test_every_pair_of_the_packs_nodes(bench):
    template = bench(QUICK)
    check_all(template, template.own(), 2)
