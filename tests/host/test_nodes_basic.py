"""The measuring nodes in the real host, against the library called directly on the same pictures and files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from grefine_core.alignment import alignment_quality
from grefine_core.clip.embeddings import FACTORS
from grefine_core.clip.loading import load_quality_model
from grefine_core.masks import binarize_map, merge_maps
from grefine_core.perceptual import perceptual_quality
from grefine_core.refine.crops import resize_images

from ..tiny_models import write_image_reward, write_quality_model
from .client import PromptRejectedError

PROMPT = "a fox under a (red balloon:1.2), an old stone house, 8k, trending on artstation"
FOLDER = "stand-in"
MEASURE = {
    "formula": "paper",
    "importance_technical": 1.0,
    "importance_rational": 1.0,
    "importance_natural": 1.0,
    "scoring": "auto",
    "aggregate": "geometric",
    "include_style": False,
}
PERCEPTUAL = {key: value for key, value in MEASURE.items() if key.startswith(("formula", "importance"))}
ALIGNMENT = {key: value for key, value in MEASURE.items() if key in ("scoring", "aggregate", "include_style")}


@pytest.fixture(scope="module")
def files(host_server):
    """A tiny untrained quality model in the host's models/grefine."""
    return write_quality_model(host_server.models_dir / "grefine" / FOLDER)


@pytest.fixture(scope="module")
def quality(files):
    return load_quality_model(weights=files / "clip.safetensors", embeddings=files / "pq_embeddings.safetensors")


def loader(**changes):
    inputs = {
        "clip_name": f"{FOLDER}/clip.safetensors",
        "architecture": "auto",
        "embeddings": f"{FOLDER}/pq_embeddings.safetensors",
        "calibration": "auto",
        "resolution": 0,
        "device": "auto",
    }
    return {"class_type": "GRefineLoadQualityModel", "inputs": {**inputs, **changes}}


def show(node: str, output: int):
    return {"class_type": "PreviewAny", "inputs": {"source": [node, output]}}


def show_mask(node: str, output: int):
    return {"class_type": "MaskPreview", "inputs": {"mask": [node, output]}}


def show_image(node: str, output: int):
    return {"class_type": "PreviewImage", "inputs": {"images": [node, output]}}


def picture(seed: int, height: int = 70, width: int = 101) -> np.ndarray:
    """A smooth coloured picture, uint8 (H, W, 3)."""
    small = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(small, size=(height, width), mode="bilinear")
    return (large[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32) / 255.0).unsqueeze(0)


def load(client, seed: int, **size):
    return {"class_type": "LoadImage", "inputs": {"image": client.put_image(picture(seed, **size), f"basic{seed}.png")}}


def pq(source="1", **changes):
    inputs = {"image": [source, 0], "quality_model": ["model", 0], **PERCEPTUAL}
    return {"class_type": "GRefinePQMap", "inputs": {**inputs, **changes}}


def aq(source="1", **changes):
    # Without the formula it is the paper's: graphs that were saved before there was a choice say nothing.
    inputs = {"image": [source, 0], "quality_model": ["model", 0], "prompt": PROMPT, "formula": "bounded", **ALIGNMENT}
    return {"class_type": "GRefineAQMap", "inputs": {**inputs, **changes}}


def grey(shown: np.ndarray) -> np.ndarray:
    return shown[..., 0].astype(np.float32) / 255.0


def as_shown(seed: int) -> np.ndarray:
    """The picture as the host's preview has it: it cuts bits off where others round, so 101 may become 100."""
    return np.clip(255.0 * as_tensor(picture(seed))[0].numpy(), 0, 255).astype(np.uint8)


# The nodes give what the library gives


def test_pq_map_is_the_librarys(client, quality):
    graph = {"model": loader(), "1": load(client, 1), "pq": pq()}
    graph |= {f"show{index}": show("pq", index) for index in range(3, 9)}
    graph |= {"quality": show_mask("pq", 0), "defects": show_mask("pq", 1), "overlay": show_image("pq", 2)}
    run = client.run(graph).ok()
    expected = perceptual_quality(quality, as_tensor(picture(1)), MEASURE["formula"])
    scores = [expected.score, *(expected.factors[name] for name in FACTORS), expected.worst_region]
    for index, score in enumerate(scores):
        assert [float(text) for text in run.texts(f"show{index + 3}")] == pytest.approx(score.tolist(), rel=1e-3)
    for node, values in (("quality", expected.quality_map), ("defects", expected.defect_map)):
        (shown,) = run.images(node)
        assert shown.shape[:2] == (70, 101)
        assert np.abs(grey(shown) - values[0].numpy()).max() <= 1.5 / 255
    (overlay,) = run.images("overlay")
    assert overlay.shape[:2] == (70, 101)
    assert np.abs(overlay[..., :3].astype(int) - picture(1).astype(int)).max() > 10  # something is drawn over it


def test_the_released_formula_and_importance_arrive(client, quality):
    changes = {"formula": "released", "importance_rational": 0.6, "importance_natural": 0.8}
    graph = {"model": loader(), "1": load(client, 1), "pq": pq(**changes), "show": show("pq", 3)}
    run = client.run(graph).ok()
    expected = perceptual_quality(quality, as_tensor(picture(1)), "released", (1.0, 0.6, 0.8))
    assert float(run.texts("show")[0]) == pytest.approx(float(expected.score), rel=1e-3)


def test_a_model_is_calibrated_by_pictures_of_ones_own(client):
    """The new model has bounds of its own and says what it cannot tell; few pictures are refused."""
    batch = {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 12}}
    own = {"quality_model": ["model", 0], "image": ["batch", 0], "prompts": "a fox under a red balloon"}
    graph = {"model": loader(), "1": load(client, 1), "batch": batch}
    graph["own"] = {"class_type": "GRefineCalibrateQualityModel", "inputs": own}
    graph |= {"pq": pq(quality_model=["own", 0]), "score": show("pq", 3), "report": show("own", 1)}
    run = client.run(graph).ok()
    (report,) = run.texts("report")
    assert "Measured on 12 good pictures" in report
    assert "Anatomy" in report
    assert 0.0 <= float(run.texts("score")[0]) <= 1.0
    graph["batch"]["inputs"]["amount"] = 3
    assert "too few" in client.run(graph).error_text


def test_aq_map_is_the_librarys(client, quality):
    graph = {"model": loader(), "1": load(client, 1), "aq": aq()}
    graph |= {"map": show_mask("aq", 0), "score": show("aq", 2), "summary": show("aq", 4)}
    run = client.run(graph).ok()
    expected = alignment_quality(quality, as_tensor(picture(1)), PROMPT, aggregate="geometric")
    assert float(run.texts("score")[0]) == pytest.approx(float(expected.score), rel=1e-3)
    assert np.abs(grey(run.images("map")[0]) - expected.defect_map[0].numpy()).max() <= 1.5 / 255
    (summary,) = run.texts("summary")
    lines = summary.splitlines()
    assert [line.rsplit(":", 1)[0] for line in lines] == [item.phrase.text for item in expected.phrases[0]]


def test_image_reward_measures_alignment_where_it_is_chosen(client, files):
    """With each of its maps; gradients pass although the host moves weights and runs nodes in inference mode."""
    write_image_reward(files / "reward")
    encoder = files / "reward" / "ImageReward.safetensors"
    paths = {"weights": files / "clip.safetensors", "embeddings": files / "pq_embeddings.safetensors"}
    for maps in ("gradient", "values"):
        chosen = {"alignment_encoder": f"{FOLDER}/reward/{encoder.name}", "alignment_maps": maps}
        graph = {"model": loader(**chosen), "1": load(client, 1), "aq": aq(), "pq": pq()}
        graph |= {"map": show_mask("aq", 0), "score": show("aq", 2), "perceptual": show("pq", 3)}
        run = client.run(graph).ok()
        library = load_quality_model(**paths, alignment_encoder=encoder, alignment_maps=maps)
        expected = alignment_quality(library, as_tensor(picture(1)), PROMPT, aggregate="geometric")
        assert float(run.texts("score")[0]) == pytest.approx(float(expected.score), rel=1e-3)
        assert np.abs(grey(run.images("map")[0]) - expected.defect_map[0].numpy()).max() <= 2 / 255
        clip = perceptual_quality(library, as_tensor(picture(1)))
        assert float(run.texts("perceptual")[0]) == pytest.approx(float(clip.score), rel=1e-3)


def measured_graph(client):
    """Load, both maps, merge, binarize, emphasis, plan: everything before the stages."""
    return {
        "model": loader(),
        "1": load(client, 1),
        "pq": pq(),
        "aq": aq(),
        "merge": {
            "class_type": "GRefineMergeMaps",
            "inputs": {
                "map_a": ["pq", 1],
                "map_b": ["aq", 0],
                "mode": "noisy_or",
                "weight_a": 1.0,
                "weight_b": 0.5,
                "weight_c": 1.0,
                "weight_d": 1.0,
            },
        },
        "mask": {
            "class_type": "GRefineBinarizeMap",
            "inputs": {
                "defect_map": ["merge", 0],
                "method": "top",
                "threshold": 0.5,
                "top_share": 0.3,
                "floor": 0.0,
                "min_area": 0.0,
                "grow": 0.02,
                "feather": 0.05,
                "fill_holes": True,
            },
        },
        "emphasis": {
            "class_type": "GRefinePromptEmphasis",
            "inputs": {
                "prompt": PROMPT,
                "phrases": ["aq", 3],
                "minimum": 1.1,
                "maximum": 1.5,
                "style": "weight",
            },
        },
        "plan": {
            "class_type": "GRefinePlan",
            "inputs": {
                "perceptual_score": ["pq", 3],
                "alignment_score": ["aq", 2],
                "area": ["mask", 2],
                "mode": "gated",
                "perceptual_bar": 0.8,
                "alignment_bar": 0.8,
                "steps": 20,
                "stage1_min": 0.5,
                "stage1_max": 0.9,
                "stage2_strength": 0.2,
            },
        },
        "hard": show_mask("mask", 0),
        "soft": show_mask("mask", 1),
        "area": show("mask", 2),
        "prompt": show("emphasis", 0),
        "strength": show("plan", 1),
        "steps": show("plan", 2),
        "reason": show("plan", 6),
    }


def test_from_maps_to_masks_prompt_and_plan(client, quality):
    from grefine_core.plan import plan_refinement
    from grefine_core.prompt.emphasis import emphasize

    run = client.run(measured_graph(client)).ok()
    image = as_tensor(picture(1))
    perceptual = perceptual_quality(quality, image)
    alignment = alignment_quality(quality, image, PROMPT, aggregate="geometric")
    merged = merge_maps([perceptual.defect_map, alignment.defect_map], "noisy_or", [1.0, 0.5])
    mask = binarize_map(merged, "top", top=0.3, floor=0.0, min_area=0.0, grow=0.02, feather=0.05)
    assert 0.2 < float(mask.area) < 0.6
    hard = grey(run.images("hard")[0]) > 0.5
    assert (hard != (mask.denoise[0].numpy() > 0.5)).mean() < 0.002  # the map's last bits may differ between processes
    assert np.abs(grey(run.images("soft")[0]) - mask.composite[0].numpy()).mean() < 0.01
    assert float(run.texts("area")[0]) == pytest.approx(float(mask.area), abs=0.002)
    assert run.texts("prompt") == [emphasize(PROMPT, alignment.phrases[0], minimum=1.1, maximum=1.5)]
    plan = plan_refinement(float(perceptual.score), float(alignment.score), mode="gated", area=float(mask.area))
    assert float(run.texts("strength")[0]) == pytest.approx(plan.stage1_strength, rel=1e-3)
    assert run.texts("steps") == ["10"]
    assert run.texts("reason")[0].startswith(plan.reason[:40])


def test_the_plan_asks_the_worst_region_only_with_a_bar(client, quality):
    """`measured_graph` has neither input, as workflows saved earlier: nothing is asked. Then connected, with a bar."""
    graph = measured_graph(client)
    inputs = graph["plan"]["inputs"]
    inputs |= {"perceptual_bar": 0.0, "alignment_bar": 0.0}
    graph |= {"run 1": show("plan", 0), "run 2": show("plan", 3)}
    run = client.run(graph).ok()
    assert (run.texts("run 1"), run.texts("run 2")) == (["False"], ["False"])
    assert "region" not in run.texts("reason")[0]
    inputs |= {"worst_region": ["pq", 8], "region_bar": 1.0}
    run = client.run(graph).ok()
    assert (run.texts("run 1"), run.texts("run 2")) == (["True"], ["False"])
    worst = float(perceptual_quality(quality, as_tensor(picture(1))).worst_region)
    assert f"worst region {worst:.2f} is below its bar of 1.00" in run.texts("reason")[0]
    del inputs["worst_region"]
    run = client.run(graph).ok()
    assert run.texts("run 1") == ["False"]
    assert "the worst region was not measured" in run.texts("reason")[0]


def test_a_batch_gives_what_single_pictures_give(client):
    """Scores, maps and phrases of a batch, and of the same pictures one after the other, are equal."""
    graph = {"model": loader(), "1": load(client, 1), "2": load(client, 2)}
    graph["batch"] = {"class_type": "ImageBatch", "inputs": {"image1": ["1", 0], "image2": ["2", 0]}}
    graph["singles"] = {"class_type": "RebatchImages", "inputs": {"images": ["batch", 0], "batch_size": 1}}
    for name in ("batch", "singles"):
        graph[f"pq {name}"], graph[f"aq {name}"] = pq(name), aq(name)
        graph[f"ps {name}"], graph[f"as {name}"] = show(f"pq {name}", 3), show(f"aq {name}", 2)
        graph[f"map {name}"] = show_mask(f"pq {name}", 1)
        graph[f"words {name}"] = show(f"aq {name}", 4)
        emphasis = measured_graph(client)["emphasis"]
        graph[f"emphasis {name}"] = {**emphasis, "inputs": {**emphasis["inputs"], "phrases": [f"aq {name}", 3]}}
        graph[f"prompt {name}"] = show(f"emphasis {name}", 0)
    run = client.run(graph).ok()
    for kind in ("words", "prompt"):
        assert len(run.texts(f"{kind} batch")) == 2
        assert run.texts(f"{kind} batch") == run.texts(f"{kind} singles")
    for kind in ("ps", "as"):
        batch, singles = ([float(text) for text in run.texts(f"{kind} {name}")] for name in ("batch", "singles"))
        assert len(batch) == 2
        assert batch == pytest.approx(singles, rel=1e-4)
    assert all(
        np.abs(one.astype(int) - other.astype(int)).max() <= 1
        for one, other in zip(run.images("map batch"), run.images("map singles"), strict=True)
    )


# Guard and report


def guarded(client, before=(1,), after=(2,), **changes):
    graph = {"model": loader()}
    for name, seeds in (("before", before), ("after", after)):
        for place, seed in enumerate(seeds):
            graph[f"{name}{place}"] = load(client, seed)
        graph[name] = graph.pop(f"{name}0") if len(seeds) == 1 else _batch(name, len(seeds))
    inputs = {"after": ["after", 0], "before": ["before", 0], "quality_model": ["model", 0], "prompt": PROMPT}
    inputs |= {"stage": "stage 1", "tolerance": 0.0, **MEASURE}
    graph["guard"] = {"class_type": "GRefineNoHarmGuard", "inputs": {**inputs, **changes}}
    graph["kept"], graph["why"] = show_image("guard", 0), show("guard", 1)
    return graph


def _batch(name: str, count: int):
    assert count == 2
    return {"class_type": "ImageBatch", "inputs": {"image1": [f"{name}0", 0], "image2": [f"{name}1", 0]}}


def scores(quality, seed):
    image = as_tensor(picture(seed))
    alignment = alignment_quality(quality, image, PROMPT, aggregate="geometric", formula=MEASURE["formula"])
    return float(perceptual_quality(quality, image, MEASURE["formula"]).score), float(alignment.score)


@pytest.fixture(scope="module")
def better_and_worse(quality):
    """Seeds of two pictures of which one scores lower in both ways."""
    found = {seed: scores(quality, seed) for seed in range(1, 12)}
    for good, high in found.items():
        for bad, low in found.items():
            if high[0] > 1.05 * low[0] and high[1] > 1.05 * low[1]:
                return good, bad
    pytest.fail("no such pair of pictures")


def test_the_guard_takes_back_what_got_worse(client, better_and_worse):
    good, bad = better_and_worse
    run = client.run(guarded(client, before=(good,), after=(bad,))).ok()
    assert np.array_equal(run.images("kept")[0][..., :3], as_shown(good))
    report = json.loads(run.texts("why")[0])
    assert (report["stage"], report["changes"], report["refused"]) == ("stage 1", 1, 1)
    assert "falls" in report["decisions"][0]["reason"]


def test_the_guard_keeps_what_got_better(client, better_and_worse):
    good, bad = better_and_worse
    run = client.run(guarded(client, before=(bad,), after=(good,))).ok()
    assert np.array_equal(run.images("kept")[0][..., :3], as_shown(good))
    report = json.loads(run.texts("why")[0])
    assert report["refused"] == 0
    assert report["after"]["perceptual"] > report["before"]["perceptual"]


def test_tolerance_lets_a_fall_pass(client, better_and_worse):
    good, bad = better_and_worse
    run = client.run(guarded(client, before=(good,), after=(bad,), tolerance=1.0)).ok()
    assert np.array_equal(run.images("kept")[0][..., :3], as_shown(bad))


def test_the_guard_decides_for_each_picture_and_keeps_batches(client, better_and_worse):
    good, bad = better_and_worse
    run = client.run(guarded(client, before=(good, bad), after=(bad, good))).ok()
    assert [np.array_equal(shown[..., :3], as_shown(good)) for shown in run.images("kept")] == [True, True]
    assert [json.loads(text)["refused"] for text in run.texts("why")] == [1, 0]


@pytest.mark.parametrize("worse", [True, False])
def test_what_was_enlarged_on_the_way_is_judged_at_its_size_before(client, better_and_worse, worse):
    """An upscale model in between: what it made comes out as it is, or the old picture at the new size."""
    good, bad = better_and_worse
    graph = guarded(client, before=(good if worse else bad,), after=(bad if worse else good,))
    height, width = as_shown(good).shape[:2]
    scaled = {"upscale_method": "nearest-exact", "width": 3 * width, "height": 3 * height, "crop": "disabled"}
    graph["large"] = {"class_type": "ImageScale", "inputs": {"image": ["after", 0], **scaled}}
    graph["guard"]["inputs"]["after"] = ["large", 0]
    run = client.run(graph).ok()
    shown = run.images("kept")[0][..., :3]
    assert shown.shape[:2] == (3 * height, 3 * width)
    assert json.loads(run.texts("why")[0])["refused"] == int(worse)
    expected = as_shown(good).repeat(3, 0).repeat(3, 1)
    if worse:  # the old picture, enlarged
        large = resize_images(as_tensor(picture(good)), (3 * height, 3 * width))[0].numpy()
        expected = np.clip(255.0 * large, 0, 255).astype(np.uint8)
    assert np.abs(shown.astype(int) - expected.astype(int)).max() <= 1


def test_different_pictures_are_no_before_and_after(client):
    graph = guarded(client, before=(1,), after=(2, 3))
    run = client.run(graph)
    assert run.status == "error"
    assert "before: 1 pictures, but after has 2" in run.error_text


def test_the_report_is_shown_on_the_node_and_given_as_picture_and_json(client):
    graph = measured_graph(client)
    graph["2"] = load(client, 2)
    inputs = {"before": ["1", 0], "after": ["2", 0], "quality_model": ["model", 0], "prompt": PROMPT, **MEASURE}
    inputs |= {"emphasized_prompt": ["emphasis", 0], "phrases": ["aq", 3], "perceptual_defects": ["pq", 1]}
    inputs |= {"alignment_defects": ["aq", 0], "denoise_mask": ["mask", 0], "plan_reason": ["plan", 6]}
    graph["guard"] = guarded(client)["guard"]
    graph["guard"]["inputs"] |= {"after": ["2", 0], "before": ["1", 0], "mask": ["mask", 0]}
    inputs["stage1_guard"] = ["guard", 1]
    graph["report"] = {"class_type": "GRefineQualityReport", "inputs": inputs}
    graph["sheet"], graph["json"] = show_image("report", 0), show("report", 1)
    run = client.run(graph).ok()
    (on_node,), (given,) = run.images("report"), run.images("sheet")
    assert np.array_equal(on_node, given)
    assert on_node.shape[0] > 70
    assert on_node.shape[1] > 200
    assert run.texts("report")
    report = json.loads(run.texts("json")[0])
    assert "before" in report
    assert "after" in report


def test_the_report_needs_no_more_than_two_pictures(client):
    graph = {"model": loader(), "1": load(client, 1), "2": load(client, 2)}
    inputs = {"before": ["1", 0], "after": ["2", 0], "quality_model": ["model", 0], "prompt": PROMPT, **MEASURE}
    graph["report"] = {"class_type": "GRefineQualityReport", "inputs": inputs}
    run = client.run(graph).ok()
    assert len(run.images("report")) == 1


# Bad input: a clear error that names the input, and the host lives on


def failed(client, graph) -> str:
    """The host's message, whether it refused the graph or a node did."""
    try:
        run = client.run(graph)
    except PromptRejectedError as refused:
        return str(refused)
    assert run.status == "error", run.status
    return run.error_text


BAD_LOADERS = {
    "missing": (
        {"clip_name": "nothing.safetensors"},
        ["clip_name", "nothing.safetensors", "Searched", "models/grefine", "docs/models.md"],
    ),
    "absolute": ({"clip_name": "/etc/passwd"}, ["clip_name", "not inside the model folders"]),
    "outside": ({"clip_name": "../../secret.safetensors"}, ["clip_name", "not inside the model folders"]),
    "corrupt": ({"clip_name": f"{FOLDER}/corrupt.safetensors"}, ["corrupt.safetensors"]),
    "pickle": ({"clip_name": f"{FOLDER}/code.pt"}, ["code.pt"]),
    "embeddings": ({"embeddings": "nothing.safetensors"}, ["embeddings", "nothing.safetensors"]),
    "embeddings outside": ({"embeddings": "../x.safetensors"}, ["embeddings"]),
    "width": ({"embeddings": "published"}, ["embeddings", "512", "32"]),
    "architecture": ({"architecture": "GPT-7"}, ["architecture", "GPT-7"]),
    "resolution": ({"resolution": 63}, ["resolution", "63", "patch"]),
    "device": ({"device": "tpu"}, ["device", "tpu"]),
    "calibration": ({"calibration": "nothing.json"}, ["calibration", "nothing.json"]),
}


class _Code:
    def __reduce__(self):
        return (open, ("CODE_HAS_RUN", "w"))


@pytest.fixture(scope="module")
def bad_files(files):
    (files / "corrupt.safetensors").write_bytes((files / "clip.safetensors").read_bytes()[:5000])
    torch.save({"weights": _Code()}, files / "code.pt")
    return files


@pytest.mark.parametrize("case", BAD_LOADERS)
def test_bad_files_are_refused_with_what_to_do(client, bad_files, host_path, case):
    changes, expected = BAD_LOADERS[case]
    message = failed(client, {"model": loader(**changes), "1": load(client, 1), "pq": pq(), "show": show("pq", 3)})
    for part in expected:
        assert part in message
    assert not (host_path / "CODE_HAS_RUN").exists()


def test_a_missing_file_is_told_once_and_nothing_else_is_blamed(client, files):
    graph = {"model": loader(clip_name="nothing.safetensors"), "1": load(client, 1), "pq": pq(), "show": show("pq", 3)}
    with pytest.raises(PromptRejectedError) as refused:
        client.run(graph)
    (error,) = refused.value.node_errors["model"]["errors"]
    assert error["extra_info"]["input_name"] == "clip_name"
    assert error["details"].startswith("clip_name - 'nothing.safetensors' was not found. Searched: ")


BAD_INPUTS = {
    "formula": (pq(formula="mine"), ["formula", "mine"]),
    "importance": (pq(importance_natural=3.0), ["importance_natural"]),
    "scoring": (aq(scoring="best"), ["scoring", "best"]),
    "aggregate": (aq(aggregate="sum"), ["aggregate", "sum"]),
    "prompt is a list": (aq(prompt=["a", "b", "c"]), ["prompt"]),
    "prompt is a picture": (aq(prompt=["1", 0]), ["prompt"]),
    "image is a mask": (pq(image=["1", 1]), ["image"]),
    "model is a picture": (pq(quality_model=["1", 0]), ["quality_model"]),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs_are_refused_by_name(client, files, case):
    node, expected = BAD_INPUTS[case]
    graph = {"model": loader(), "1": load(client, 1), "node": node, "show": show("node", 3)}
    graph["text"] = show("node", 2)
    message = failed(client, graph)
    for part in expected:
        assert part in message


def test_a_replaced_file_is_loaded_again(client, files, host_server):
    folder = host_server.models_dir / "grefine" / "replaced"
    shutil.copytree(files, folder, dirs_exist_ok=True)
    graph = {
        "model": loader(clip_name="replaced/clip.safetensors", embeddings="replaced/pq_embeddings.safetensors"),
        "1": load(client, 1),
        "pq": pq(),
        "show": show("pq", 3),
    }
    first = client.run(graph).ok().texts("show")
    assert client.run(graph).ok().executed == []
    from safetensors.torch import load_file, save_file

    learned = load_file(folder / "pq_embeddings.safetensors")
    save_file(
        {name: tensor.flip(0).contiguous() for name, tensor in learned.items()}, folder / "pq_embeddings.safetensors"
    )
    again = client.run(graph).ok()
    assert "model" in again.executed
    assert again.texts("show") != first
