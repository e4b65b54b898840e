"""Training of the miniature CLIP: what it is shown, what it must not be shown, a few steps, going on, the export."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from grefine_core import load_quality_model
from grefine_core.errors import InputError
from grefine_core.miniature.layout import fits, sample_scene
from grefine_core.miniature.scene import Item, Scene
from grefine_core.miniature.training import clip as training
from grefine_core.miniature.training import clip_data
from grefine_core.miniature.training.clip_captions import draw_mention, draw_short, facts_of, mentions_defect
from grefine_core.miniature.training.clip_evaluation import auc, evaluate_maps, validation_samples
from grefine_core.miniature.training.clip_groups import change, draw_group
from grefine_core.miniature.training.clip_loss import contrastive, local_similarity
from grefine_core.miniature.training.clip_towers import Towers, choose_patches
from grefine_core.preprocess import geometry, normalise
from grefine_core.standins.clip import build_embeddings
from grefine_core.surgery import encode_image

TINY = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 128, "layers": 6, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PROFILE = training.Profile(batch=16, phases=((3, 1), (2, 2), (1, 4)), warmup=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return clip_data.make_data(tmp_path_factory.mktemp("clip"), 8, processes=1)


@pytest.fixture(scope="module")
def data(folder):
    return clip_data.load_data(folder)


def _circle(colour: str) -> Scene:
    return Scene("grass", (Item("circle", colour, None, "small", 1, 64.0, 64.0, 11.0),), (), 5)


def test_at_most_a_tenth_of_pictures_and_captions_are_of_defects(folder, data):
    drawn = [picture for index in range(8) for picture in draw_group(index)[0]]
    faulty = [picture.fault is not None for picture in drawn]
    assert 0 < sum(faulty) <= 0.1 * len(faulty)
    lines = [json.loads(line) for line in (folder / "captions-000000.jsonl").read_text().splitlines()]
    told = [[mentions_defect(text) for text in line["captions"]] for line in lines]
    assert sum(map(sum, told)) <= 0.1 * sum(map(len, told))
    # Full captions tell of every defect, and of none that is not there.
    assert [all(row[: clip_data.FULLS]) for row in told] == faulty
    assert [any(row) for row in told] == faulty
    assert np.allclose(data.mentions, np.mean(told, axis=1))


def test_too_many_defects_are_refused(folder, tmp_path):
    for name in ("images.u8", "part-000000.npz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    part = dict(np.load(tmp_path / "part-000000.npz"))
    np.savez(tmp_path / "part-000000.npz", **{**part, "mentions": np.full_like(part["mentions"], 0.2)})
    with pytest.raises(InputError, match="mention"):
        clip_data.load_data(tmp_path)
    (tmp_path / "images.u8").write_bytes(b"short")
    with pytest.raises(InputError, match="not drawn to the end"):
        clip_data.load_data(tmp_path)


def test_drawn_once_and_the_same_every_time(folder):
    before = (folder / "part-000000.npz").stat().st_mtime_ns
    assert clip_data.make_data(folder.parent, 8, processes=1) == folder
    assert (folder / "part-000000.npz").stat().st_mtime_ns == before
    first, second = draw_group(3)[0], draw_group(3)[0]
    assert all(np.array_equal(a.image, b.image) and a.scene == b.scene for a, b in zip(first, second, strict=True))


def test_changed_scenes_stay_in_the_split():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        scene = sample_scene(rng, "train", 1.0)
        changed = change(scene, rng)
        if changed is not None and changed != scene:
            found += 1
            assert fits(changed, "train")
    assert found > 10


def test_short_captions_hold_of_their_own_picture_alone_where_colours_differ():
    rng = np.random.default_rng(1)
    red, blue = (facts_of(_circle(colour)) for colour in ("red", "blue"))
    for _ in range(100):
        short = draw_short(_circle("red"), rng)
        holds = [all(any(fact & ~seen == 0 for seen in facts) for fact in short.facts) for facts in (red, blue)]
        assert holds == [True, "red" not in short.text]
        assert not mentions_defect(short.text)
    assert all(mentions_defect(draw_mention(name, rng).text) for name in ("blur", "broken", "wrong_colour"))
    assert draw_mention("blur", rng).facts[0] in facts_of(_circle("red"), "blur")


def test_batches_are_whole_groups_and_own_captions_hold(data):
    batch = clip_data.draw_batch(data, 2, 16, 0)
    assert batch.pixels.shape == (16, 128, 128, 3)
    assert batch.pixels.dtype == torch.uint8
    assert batch.holds.diagonal().all()
    assert batch.same.diagonal().all()
    assert not (batch.holds & batch.unsure).any()
    again = clip_data.draw_batch(data, 2, 16, 0)
    assert torch.equal(batch.pixels, again.pixels)
    assert torch.equal(batch.full, again.full)
    first, second = (clip_data._groups_of(8, step, 4, 0) for step in (0, 1))
    assert sorted([*first, *second]) == list(range(8))
    # Every text ends with CLIP's token of the end.
    numbers = torch.cat([data.vocabulary, data.strange])[batch.full]
    assert (numbers[torch.arange(16), batch.full_ends] == 49407).all()


def test_patches_are_chosen_from_every_block():
    for share in (1, 2, 4):
        chosen = choose_patches(5, 16, share, torch.Generator().manual_seed(0))
        assert chosen.shape == (5, 64 * share - 1)
        blocks = (chosen // 32) * 8 + chosen % 16 // 2
        for row, block in zip(chosen, blocks, strict=True):
            assert len(set(row.tolist())) == len(row)
            counts = torch.bincount(block, minlength=64)
            assert counts.max() == share
            assert counts.min() == share - 1


def test_towers_are_the_models_own(data):
    trainer = training.Trainer(PROFILE, data, TINY)
    clip = trainer.model().eval()
    batch = clip_data.draw_batch(data, 0, 8, 0, strange=0.0)
    chosen = torch.arange(64)[None].expand(8, -1)
    with torch.no_grad():
        towers = Towers(clip, trainer.tokens, torch.float32)
        whole, local = towers.pictures(batch.pixels, chosen, 4)
        expected = encode_image(clip, normalise(batch.pixels.permute(0, 3, 1, 2), geometry(clip)), 4)
        expected = F.normalize(expected, dim=-1)
        assert torch.allclose(whole, expected[:, 0], atol=1e-5)
        assert local is not None
        assert torch.allclose(local, expected[:, 1:], atol=1e-5)
        tokens = torch.zeros(8, 77, dtype=torch.long)
        for row, end in enumerate(batch.full_ends.tolist()):
            tokens[row, : end + 1] = data.vocabulary[batch.full[row, : end + 1]]
        expected = clip.encode_text(tokens, normalize=True)
        assert torch.allclose(towers.texts(batch.full, batch.full_ends), expected, atol=1e-5)
        low = Towers(clip, trainer.tokens).texts(batch.full, batch.full_ends)
        assert torch.allclose(low, expected, atol=0.03)


def test_loss_with_one_right_answer_is_clips_own():
    logits = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    right = torch.arange(6)
    expected = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
    own = torch.eye(6, dtype=torch.bool)
    assert torch.allclose(contrastive(logits, own), expected)
    # A pair that nothing is known of has no say.
    unsure = torch.zeros(6, 6, dtype=torch.bool)
    unsure[0, 1] = True
    other = logits.clone()
    other[0, 1] = 9.0
    assert torch.equal(contrastive(logits, own, unsure), contrastive(other, own, unsure))
    # Two right answers: best where both are equally near.
    both = own.clone()
    both[0, 1] = both[1, 0] = True
    near = torch.where(both, 10.0, -10.0)
    assert contrastive(near, both) < contrastive(near + 5.0 * torch.eye(6), both)


def test_one_matching_patch_is_enough():
    texts = torch.eye(4)[:1]
    patches = torch.eye(4)[1].expand(2, 9, 4).clone()
    patches[0, 3] = torch.eye(4)[0]
    there, absent = local_similarity(patches, texts)[:, 0]
    assert there > 0.9
    assert absent.abs() < 1e-6


def test_training_goes_on_as_if_it_had_not_stopped(data, tmp_path):
    straight = training.train(PROFILE, data, tmp_path / "a", config=TINY, evaluate=False)
    training.train(PROFILE, data, tmp_path / "b", config=TINY, evaluate=False, stop_at=4)
    resumed = training.train(PROFILE, data, tmp_path / "b", config=TINY, evaluate=False, resume=True)
    first, second = load_file(straight), load_file(resumed)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    steps = [json.loads(line) for line in (tmp_path / "b" / "log.jsonl").read_text().splitlines()]
    figures = [line for line in steps if "loss" in line]
    assert figures[-1]["step"] == PROFILE.steps
    assert all(np.isfinite(line["loss"]) and line["mentions"] <= 0.2 for line in figures)


def test_only_tokens_in_use_learn(data):
    trainer = training.Trainer(PROFILE, data, TINY)
    before = trainer.clip.token_embedding.weight.detach().clone()
    for step in range(3):
        trainer.step(step)
    after = trainer.model().token_embedding.weight
    changed = (after != before).any(1)
    used = torch.zeros_like(changed)
    used[data.vocabulary] = True
    assert not changed[~used].any()
    assert changed[49406]
    assert changed[49407]
    assert float(trainer.clip.logit_scale.detach().exp()) <= 100.0


def test_going_on_from_a_model_with_its_text_tower_frozen(data, tmp_path):
    file = training.export(training.Trainer(PROFILE, data, TINY).model(), TINY, tmp_path, {})
    start = load_file(file)
    trainer = training.Trainer(replace(PROFILE, frozen_text=True), data, TINY, start)
    for step in range(2):
        trainer.step(step)
    after = {name: value.half() for name, value in trainer.model().state_dict().items()}
    changed = {name for name, value in after.items() if not torch.equal(value, start[name])}
    assert changed
    assert all(name.startswith("visual.") or name == "logit_scale" for name in changed)


def test_export_loads_as_any_model_does(data, tmp_path):
    trainer = training.Trainer(PROFILE, data, TINY)
    file = training.export(trainer.model(), TINY, tmp_path, {"seed": "0"})
    save_file(build_embeddings(), tmp_path / "pq.safetensors")
    quality = load_quality_model(weights=file, embeddings=tmp_path / "pq.safetensors")
    assert quality.geometry.size == (128, 128)
    picture = torch.from_numpy(data.images[:1].astype(np.float32) / 255.0)
    tokens = quality.image_features(picture).tokens
    expected = encode_image(
        trainer.model().eval(), normalise((picture * 255).permute(0, 3, 1, 2), quality.geometry), quality.blocks
    )
    assert torch.allclose(tokens, expected, atol=0.02)
    assert not list(tmp_path.glob("*.part"))


def test_evaluation_gives_all_figures(data):
    trainer = training.Trainer(PROFILE, data, TINY)
    figures = evaluate_maps(trainer.model().eval(), validation_samples(3, 4), blocks=(5, 6))
    names = {"top1", "phrase_auc", "noun_auc", "colour_auc", "point_5", "iou_6", "iou_norm_6", "probe_natural"}
    assert names <= set(figures)
    assert all(0.0 <= value <= 1.0 for value in figures.values())
    assert auc(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == 1.0


def test_profile_phases():
    profile = replace(PROFILE, phases=((2, 1), (1, 4)))
    assert profile.steps == 3
    assert [profile.share(step) for step in range(4)] == [1, 1, 4, 4]
    assert training._phases("2:1,1:4") == profile.phases
