"""Indicators: what is known of them, our own, and those that run on open_clip and on ImageReward's backend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from grefine_core import alignment_quality, assess, load_quality_model, perceptual_quality
from grefine_core.errors import InputError, ModelFileError
from grefine_core.pictures import load_picture
from grefine_research.evaluation.indicators import Context, Spec, choose, names, register, unregister
from grefine_research.evaluation.indicators.clip_scores import RECIPES, ClipCosine


def spec(name):
    return next(one for one in choose([name], ()) if one.name == name)


@pytest.fixture(scope="module")
def quality(models):
    folder = models / "quality"
    return load_quality_model(weights=folder / "clip.safetensors", embeddings=folder / "pq_embeddings.safetensors")


@pytest.fixture
def picture(tmp_path, drawn):
    return load_picture(drawn(tmp_path / "picture.png")).image


def test_looking_what_is_installed_imports_nothing_heavy():
    code = (
        "import sys, torch\n"
        "before = set(sys.modules)\n"
        "from grefine_research.evaluation.indicators import Context, choose, names\n"
        "found = {spec.name: spec.obstacle(Context()) for spec in choose(names(), ())}\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "heavy = {'pyiqa', 'open_clip', 'transformers', 'torchvision', 'scipy', 'matplotlib', 'PIL', 'timm'}\n"
        "print(sorted(new & heavy))\n"
        "assert found['pq'] is None and 'weights' in found['hpsv2'], found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_what_is_absent_is_said_with_the_way_to_get_it():
    absent = Spec(
        "x", "X", "perceptual", lambda _: None, lambda _: "", packages=("no_such_package_at_all",), install="pip"
    )
    assert absent.obstacle(Context()) == "not installed: no_such_package_at_all (pip)"
    assert "--weights pickscore=FILE" in (spec("pickscore").obstacle(Context()) or "")
    missing = Context(weights={"hpsv2": Path("/nowhere/HPS.pt")})
    assert "does not exist" in (spec("hpsv2").obstacle(missing) or "")


def test_every_indicator_names_its_licence():
    for one in choose(names(), ()):
        assert one.licence, one.name
    assert "Noncommercial" in spec("musiq").licence


def test_choosing():
    assert [one.name for one in choose([], ("musiq",))] == ["pq", "aq", "musiq"]
    assert [one.name for one in choose(["all"], ("nima",))] == ["pq", "aq", "nima"]
    assert [one.name for one in choose(["aq", "hps"], ())] == ["pq", "aq", "hps"]
    with pytest.raises(InputError, match="'beauty' is none"):
        choose(["beauty"], ())


def test_an_indicator_of_ones_own():
    class Brightness:
        def score(self, image, prompt):
            return float(image.mean())

    own = Spec("brightness", "Brightness", "perceptual", lambda _: Brightness(), lambda _: "1", licence="ours")
    register(own)
    try:
        assert spec("brightness").load(Context()).score(torch.full((1, 4, 4, 3), 0.25), "") == 0.25
        with pytest.raises(InputError, match="known already"):
            register(own)
    finally:
        unregister("brightness")
    with pytest.raises(InputError, match="no name"):
        register(Spec("a/b", "x", "perceptual", lambda _: None, lambda _: ""))


def test_our_own_scores_are_the_librarys(quality, picture):
    context = Context(lambda: quality, {"formula": "paper", "aggregate": "geometric"})
    prompt = "a red cup on a table"
    perceptual = perceptual_quality(quality, picture, "paper")
    assert spec("pq").load(context).score(picture, "") == pytest.approx(float(perceptual.score[0]))
    assert spec("pq-natural").load(context).score(picture, "") == pytest.approx(float(perceptual.factors["natural"][0]))
    alignment = alignment_quality(quality, picture, prompt, aggregate="geometric", formula="paper")
    assert spec("aq").load(context).score(picture, prompt) == pytest.approx(float(alignment.score[0]))
    surgery = spec("clip-surgery").load(context)
    assert surgery.score(picture, prompt) != surgery.score(picture, "two dogs")
    assert spec("pq").identity(context) == spec("aq").identity(context)
    usual = Context(lambda: quality, {"aggregate": "geometric"})
    bounded = assess(quality, picture, prompt, aggregate="geometric")
    # Good pictures tie at 1: what ranks them is not clamped.
    assert spec("pq").load(usual).score(picture, "") == pytest.approx(float(bounded.perceptual.log_ratio[0]))
    assert spec("aq").load(usual).score(picture, prompt) == pytest.approx(
        float(bounded.alignment.log_ratio[0]), abs=1e-5
    )
    other = Context(lambda: quality, {"formula": "released"})
    assert spec("pq").identity(other) != spec("pq").identity(context)


def test_without_a_quality_model_it_is_said():
    with pytest.raises(InputError, match="no quality model"):
        spec("pq").load(Context())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_cosines_are_open_clips(name, models, picture):
    from open_clip import image_transform
    from open_clip.tokenizer import SimpleTokenizer

    from grefine_core.clip.loading import load_clip

    file = models / "quality" / "clip.safetensors"
    prompt, recipe = "a red cup on a table", RECIPES[name]
    found = spec(name).load(Context(weights={name: file})).score(picture, prompt)

    clip, _ = load_clip(file)
    image = Image.fromarray((picture[0] * 255).round().to(torch.uint8).numpy())
    mode = "longest" if recipe.whole else "shortest"
    transform = image_transform(clip.visual.image_size, False, resize_mode=mode)
    seen = clip.encode_image(transform(image).unsqueeze(0), normalize=True)
    read = clip.encode_text(SimpleTokenizer(context_length=77)([recipe.prefix + prompt]), normalize=True)
    cosine = float((seen @ read.T).detach())
    factor = {"clipscore": 2.5, "pickscore": float(clip.logit_scale.exp())}.get(name, 1.0)
    wanted = factor * (max(cosine, 0.0) if name == "clipscore" else cosine)
    # HPSv2 resizes floats, open_clip's transform eight bits.
    assert found == pytest.approx(wanted, abs=factor * (2e-3 if recipe.whole else 1e-5))


def test_hpsv2_sees_the_whole_picture_with_black_around(models):
    from open_clip.tokenizer import SimpleTokenizer

    from grefine_core.clip.loading import load_clip

    clip, _ = load_clip(models / "quality" / "clip.safetensors")
    score = ClipCosine(clip, RECIPES["hpsv2"], SimpleTokenizer(context_length=77))
    side = clip.visual.image_size[0]
    pixels = score.pixels(torch.ones(1, 30, 120, 3))
    assert pixels.shape == (1, 3, side, side)
    rows = pixels[0, 0].mean(dim=1)
    tall = round(30 * side / 120)
    assert int((rows > 0).sum()) == tall
    assert (np.asarray(pixels[0, 0, 0]) < 0).all()
    cut = ClipCosine(clip, RECIPES["pickscore"], SimpleTokenizer(context_length=77)).pixels(torch.ones(1, 30, 120, 3))
    assert (np.asarray(cut[0, 0]) > 0).all()


def test_clipscore_has_no_negative_values(models, picture):
    loaded = spec("clipscore").load(Context(weights={"clipscore": models / "quality" / "clip.safetensors"}))
    assert all(loaded.score(picture, text) >= 0.0 for text in ("a cup", "two dogs", "the sea at night", "x y z"))


def test_imagereward_is_its_backends(models, picture):
    from grefine_core.imagereward import load_image_reward

    file = models / "reward" / "ImageReward.safetensors"
    found = spec("imagereward").load(Context(weights={"imagereward": file})).score(picture, "a red cup")
    assert found == pytest.approx(float(load_image_reward(file).rewards(picture, "a red cup")[0]))


def test_weights_of_something_else_are_an_error(models, tmp_path):
    wrong = tmp_path / "hpc.pth"
    wrong.write_bytes(b"rubbish")
    with pytest.raises(ModelFileError, match=r"hpc\.pth"):
        spec("hps").load(Context(weights={"hps": wrong}))


def test_pyiqa_where_it_is_installed(picture):
    pytest.importorskip("pyiqa")
    from grefine_research.evaluation.indicators import pyiqa_metrics

    # piqe needs no weights.
    found = pyiqa_metrics.spec("piqe", "PIQE", "piqe", (), lower_is_better=True).load(Context())
    import pyiqa

    assert found.score(picture, "") == pytest.approx(float(pyiqa.create_metric("piqe")(picture.permute(0, 3, 1, 2))))
    with pytest.raises(ModelFileError, match="--download lets the package fetch"):
        spec("cnniqa").load(Context())
