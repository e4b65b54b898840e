"""``--miniature``: the commands with the small models, and what is said before any work where models are missing."""

from __future__ import annotations

import json

import pytest

from grefine_core.cli import common, main
from grefine_core.miniature.loading import SHIPPED, load_choices
from grefine_core.miniature.world import EXAMPLE

pytestmark = pytest.mark.skipif(not SHIPPED.is_dir(), reason="MINIATURE MODELS MISSING: train them, see the recipe")


def test_score_says_what_is_missing_with_the_share_of_its_bound(capsys):
    """The one figure, in the words of nodes and sheets; the raw score is in the JSON, under its name."""
    assert main(["score", str(EXAMPLE), "--miniature", "--json", "--device", "cpu"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    (missed,) = [phrase for phrase in result["phrases"] if phrase["share"] < 1.0]
    assert missed["share"] != missed["score"]
    product = 1.0
    for share in result["shares"].values():
        product *= share
    assert result["perceptual"] == pytest.approx(product, abs=1e-4)
    assert main(["score", str(EXAMPLE), "--miniature", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert f"{missed['text']}: not there  ({missed['share']:.2f} of its bound" in said.out
    assert "share of its bound: overall" in said.out
    assert "They know nothing else." in said.err


def test_maps_and_refine_with_what_was_decided_for_that_world(tmp_path, capsys, monkeypatch):
    """Without loading: the options that are not named are those of the small models, and named ones stay."""
    seen = []

    def stop(arguments):
        seen.append(arguments)
        raise RuntimeError("far enough")

    monkeypatch.setattr("grefine_core.cli.miniature.load_quality", stop)
    own = load_choices().options
    assert main(["maps", str(EXAMPLE), "--miniature", "-o", str(tmp_path / "maps"), "--grow", "0.11"]) == 1
    assert main(["refine", str(EXAMPLE), "--miniature", "-o", str(tmp_path / "refined"), "--steps", "3"]) == 1
    maps, refine = seen
    assert (maps.grow, maps.feather, maps.threshold) == (0.11, own.masks.feather, own.masks.threshold)
    assert (refine.steps, refine.stage1_max, refine.base) == (3, own.plan.stage1_max, own)


def test_without_it_everything_is_as_usual(pictures, clip, tmp_path, monkeypatch):
    seen = []

    def stop(arguments):
        seen.append(arguments)
        raise RuntimeError("far enough")

    monkeypatch.setattr(common, "load_model", stop)
    assert main(["maps", str(pictures), "--prompt", "a cup", "-o", str(tmp_path / "maps"), *clip]) == 1
    (maps,) = seen
    assert (maps.method, maps.formula, maps.scoring, maps.aggregate) == ("threshold", "bounded", "auto", "product")
    assert not hasattr(maps, "base")


@pytest.mark.parametrize(
    "more",
    [["--clip", "x"], ["--embeddings", "words"], ["--alignment-encoder", "imagereward"], ["--resolution", "448"]],
)
def test_other_models_beside_it_are_refused(capsys, more):
    assert main(["score", str(EXAMPLE), "--miniature", *more]) == 1
    assert f"--miniature, {more[0]}: one of both" in capsys.readouterr().err


def test_check_says_plainly_what_the_small_models_are(capsys):
    assert main(["check", "--miniature"]) == 0
    said = capsys.readouterr().out
    assert "drawn pictures of 128 × 128 pixels" in said
    assert "grefine models download clip-vit-b-16" in said
    assert "bounds alone" not in said
    weights = str(SHIPPED / "clip.safetensors")
    assert main(["check", "--clip", weights]) == 0
    assert capsys.readouterr().out == said, "by their file they are the same"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "--pipeline: refining needs one"),
        (["--pipeline", "stabilityai/sdxl"], "--pipeline stabilityai/sdxl: no such file or folder"),
        (["--pipeline", "EMPTY"], "no model_index.json in it"),
        (["--pipeline", "FILE"], "damaged or no safetensors file"),
        (["--miniature", "--pipeline", "p"], "--miniature, --pipeline: one of both"),
    ],
)
def test_a_pipeline_that_cannot_be_read_is_said_before_any_work(tmp_path, capsys, monkeypatch, clip, more, message):
    monkeypatch.setattr(common, "load_model", lambda _: pytest.fail("a model was loaded"))
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE.safetensors").write_bytes(b"no model")
    places = {"EMPTY": str(tmp_path / "EMPTY"), "FILE": str(tmp_path / "FILE.safetensors")}
    arguments = [places.get(each, each) for each in more]
    weights = [] if "--miniature" in more else clip
    assert main(["refine", str(EXAMPLE), "-o", str(tmp_path / "out"), *weights, *arguments]) == 1
    said = capsys.readouterr().err
    assert message in said
    if "needs one" in message or "no such" in message:
        assert "hf download" in said
    assert not (tmp_path / "out").exists()
