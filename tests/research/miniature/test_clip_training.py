"""Training of the miniature CLIP: what it is shown, what it must not be shown, a few steps, going on, the export."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from grefine_core import load_quality_model
from grefine_core.clip.preprocess import geometry, normalise
from grefine_core.clip.surgery import encode_image
from grefine_core.errors import InputError
from grefine_research.miniature.layout import fits, sample_scene
from grefine_research.miniature.scene import Item, Scene
from grefine_research.miniature.training import clip as training
from grefine_research.miniature.training import clip_data, guide, loop
from grefine_research.miniature.training.clip_captions import draw_mention, draw_short, facts_of, mentions_defect
from grefine_research.miniature.training.clip_evaluation import auc, evaluate_guide, evaluate_maps, validation_samples
from grefine_research.miniature.training.clip_files import export
from grefine_research.miniature.training.clip_groups import change, draw_closeups, draw_group
from grefine_research.miniature.training.clip_imitation import answer_distance, patch_distance
from grefine_research.miniature.training.clip_loss import (
    contrastive,
    local_similarity,
    own_similarity,
    presence,
    right_word,
)
from grefine_research.miniature.training.clip_swaps import Swap, ask
from grefine_research.miniature.training.clip_towers import Towers, all_but_one
from grefine_research.miniature.worlds import FIRST, SECOND

from ...tiny_models.clip import build_embeddings

TINY = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 128, "layers": 6, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PROFILE = training.Profile(batch=8, steps=4, warmup=2)
GUIDE = guide.Profile(batch=16, steps=4, warmup=2, first=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return clip_data.make_data(tmp_path_factory.mktemp("clip"), 8, processes=1, world=FIRST)


@pytest.fixture(scope="module")
def both(folder):
    closeups = clip_data.make_data(folder.parent, 8, processes=1, closeups=True, world=FIRST)
    return clip_data.load_data(folder, closeups, world=FIRST)


@pytest.fixture(scope="module")
def data(both):
    return both[0]


def _circle(colour: str) -> Scene:
    return Scene("grass", (Item("circle", colour, None, "small", 1, 64.0, 64.0, 11.0),), (), 5)


def test_at_most_a_tenth_of_captions_mention_a_defect(folder, data):
    drawn = [picture for index in range(8) for picture in draw_group(index, world=FIRST)[0]]
    faulty = [picture.fault is not None for picture in drawn]
    assert sum(faulty) == len(faulty) // 4
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
        clip_data.load_data(tmp_path, world=FIRST)
    (tmp_path / "images.u8").write_bytes(b"short")
    with pytest.raises(InputError, match="not drawn to the end"):
        clip_data.load_data(tmp_path, world=FIRST)


def test_drawn_once_and_the_same_every_time(folder):
    before = (folder / "part-000000.npz").stat().st_mtime_ns
    assert clip_data.make_data(folder.parent, 8, processes=1, world=FIRST) == folder
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


def test_close_ups_show_one_item_that_differs_in_one_thing(both):
    closeups = both[1]
    assert closeups.images.shape == (32, 72, 72, 3)
    assert clip_data.draw_batch(closeups, 0, 16, 0).pixels.shape == (16, 64, 64, 3)
    for index in range(8):
        drawn, _ = draw_closeups(index)
        base, *others = (picture.scene for picture in drawn)
        assert len(base.items) == 1
        for other in others:
            item = replace(other.items[0], kind=base.items[0].kind)
            alike = sum(getattr(item, name) == getattr(base.items[0], name) for name in ("colour", "pattern"))
            assert alike >= 1
            assert other.ground == base.ground
            assert fits(other, "train")


def test_several_short_captions_of_each_picture(data):
    batch = clip_data.draw_batch(data, 2, 16, 0, shorts=3)
    assert batch.short.shape[0] == batch.holds.shape[1] == 48
    own = torch.arange(16).repeat_interleave(3)
    assert batch.holds[own, torch.arange(48)].all()


def test_questions_exchange_one_word_and_are_wrong_of_the_picture(data):
    batch = clip_data.draw_batch(data, 0, 16, 0)
    assert batch.wrong.any(1).sum() > 8
    assert not batch.wrong[:, 0].any()
    different = (batch.asked != batch.asked[:, :1]).sum(2)
    assert (different[batch.wrong] == 1).all()
    assert (different <= 1).all()
    without = clip_data.draw_batch(data, 0, 16, 0, questions=False)
    assert without.asked.numel() == 0
    assert torch.equal(without.short, batch.short)
    assert (data.vocabulary[batch.asked].gather(2, batch.asked_ends[..., None]) == 49407).all()


def test_a_word_that_holds_as_well_is_not_wrong():
    table = {5: Swap(1, ((6, 2), (7, 4)), 1.0)}
    tokens, wanted = np.array([[1, 5, 2]]), np.array([[1, 0]])
    # The picture shows the second of the three as well.
    texts, wrong = ask(tokens, wanted, np.array([[1, 2]]), table, np.random.default_rng(0))
    assert {int(text[1]): bool(bad) for text, bad in zip(texts[0], wrong[0], strict=True)} == {
        5: False,
        6: False,
        7: True,
    }
    texts, wrong = ask(np.array([[1, 9, 2]]), wanted, np.array([[1, 2]]), table, np.random.default_rng(0))
    assert not wrong.any()
    assert (texts == [1, 9, 2]).all()


def test_all_patches_but_one():
    chosen = all_but_one(5, 256, torch.Generator().manual_seed(0))
    assert chosen.shape == (5, 255)
    assert all(len(set(row.tolist())) == 255 for row in chosen)
    assert int(chosen.max()) <= 255


def test_towers_are_the_models_own(both, data):
    trainer = guide.Trainer(GUIDE, *both, TINY)
    clip = trainer.model().eval()
    batch = clip_data.draw_batch(data, 0, 8, 0, strange=0.0)
    chosen = torch.arange(256)[None].expand(8, -1)
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
    torch.testing.assert_close(contrastive(logits, own, unsure), contrastive(other, own, unsure), rtol=0, atol=1e-5)
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


def test_presence_weighs_right_and_wrong_alike():
    holds = torch.tensor([[True], [False], [False], [False]])
    none = torch.zeros_like(holds)
    assert presence(torch.where(holds, 20.0, -20.0), holds, none) < 1e-6
    # Saying yes to all costs as much as saying no to all.
    yes = presence(torch.full((4, 1), 5.0), holds, none)
    assert torch.allclose(yes, presence(torch.full((4, 1), -5.0), holds, none))
    # Nothing is known of the last two: only the second is wrong.
    unsure = torch.tensor([[False], [False], [True], [True]])
    logits = torch.tensor([[3.0], [-3.0], [9.0], [9.0]])
    assert torch.allclose(presence(logits, holds, unsure), F.softplus(torch.tensor(-3.0)))


def test_right_word_counts_what_was_asked():
    wrong = torch.tensor([[False, True, False], [False, False, False]])
    logits = torch.tensor([[1.0, 0.0, 50.0], [0.0, 9.0, 9.0]])
    assert torch.allclose(right_word(logits, wrong), F.cross_entropy(logits[:1, :2], torch.tensor([0])))
    assert right_word(logits, torch.zeros_like(wrong)) == 0.0


def test_what_texts_share_says_where_to_look():
    shared, red, blue = torch.eye(4)[:3]
    # Something blue of another kind lies elsewhere in the picture.
    patches = F.normalize(torch.stack([shared + red, blue, torch.eye(4)[3]]), dim=-1)[None]
    texts = F.normalize(torch.stack([shared + red, shared + blue]), dim=-1)[None]
    right, wrong = own_similarity(patches, texts)[0]
    assert right > 0.9
    assert wrong < 0.55


def test_imitation_is_nought_for_the_guides_own_features():
    guide_patches = F.normalize(torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    other = guide_patches.roll(1, dims=1)
    texts = guide_patches[0, :3]
    assert patch_distance(guide_patches, guide_patches).abs() < 1e-6
    assert answer_distance(guide_patches, guide_patches, texts) == 0.0
    assert patch_distance(other, guide_patches) > 0.1
    assert answer_distance(other, guide_patches, texts) > 0.1


def test_a_patch_unlike_its_picture_weighs_more():
    guide_patches = torch.eye(4)[torch.tensor([[0, 0, 0, 0, 0, 0, 0, 1]])]
    one_ground, the_item = guide_patches.clone(), guide_patches.clone()
    one_ground[0, 0] = the_item[0, 7] = torch.eye(4)[2]
    assert patch_distance(the_item, guide_patches) > 2 * patch_distance(one_ground, guide_patches)


@pytest.fixture(scope="module")
def guided(both, tmp_path_factory):
    """The folder of a guide of a few steps."""
    folder = tmp_path_factory.mktemp("guide")
    guide.train(GUIDE, *both, folder, config=TINY, evaluate=False)
    return folder


def _goes_on(run, folder, steps):
    """A run in one go gives the same file as one that was ended and went on."""
    straight = run(folder / "a")
    run(folder / "b", stop_at=steps - 1)
    resumed = run(folder / "b", resume=True)
    first, second = load_file(straight), load_file(resumed)
    assert first.keys() == second.keys()
    assert all(torch.allclose(value, second[name], rtol=0, atol=1e-3) for name, value in first.items())
    lines = [json.loads(line) for line in (folder / "b" / "log.jsonl").read_text().splitlines()]
    figures = [line for line in lines if "loss" in line]
    assert figures[-1]["step"] == steps
    assert all(np.isfinite(line["loss"]) and line["mentions"] <= 0.2 for line in figures)


def test_the_guides_training_goes_on_as_if_it_had_not_stopped(both, tmp_path):
    def run(out, **how):
        return guide.train(GUIDE, *both, out, config=TINY, evaluate=False, **how)

    _goes_on(run, tmp_path, GUIDE.steps)


def test_training_goes_on_as_if_it_had_not_stopped(data, guided, tmp_path):
    def run(out, **how):
        return training.train(PROFILE, data, guided, out, evaluate=False, **how)

    _goes_on(run, tmp_path, PROFILE.steps)


def test_only_tokens_in_use_learn(both, data):
    trainer = guide.Trainer(GUIDE, *both, TINY)
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


def test_the_text_tower_stays_the_guides(data, guided):
    start = load_file(guided / "clip.safetensors")
    trainer = training.Trainer(PROFILE, data, guided)
    for step in range(2):
        trainer.step(step)
    after = {name: value.half() for name, value in trainer.clip.state_dict().items()}
    changed = {name for name, value in after.items() if not torch.equal(value, start[name])}
    assert any(".resblocks." in name for name in changed)
    assert all(name.startswith("visual.") or name == "logit_scale" for name in changed)


def test_a_guide_of_other_patches_is_refused(data, guided, tmp_path):
    for file in guided.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((guided / "clip.json").read_text())
    config["vision_cfg"]["patch_size"] = 16
    (tmp_path / "clip.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"patches of 8"):
        training.Trainer(PROFILE, data, tmp_path)


def test_export_loads_as_any_model_does(both, data, tmp_path):
    trainer = guide.Trainer(GUIDE, *both, TINY)
    file = export(trainer.model(), TINY, tmp_path, {"seed": "0"})
    save_file(build_embeddings(), tmp_path / "pq.safetensors")
    quality = load_quality_model(weights=file, embeddings=tmp_path / "pq.safetensors")
    assert quality.geometry.size == (128, 128)
    picture = torch.from_numpy(data.images[:1].astype(np.float32) / 255.0)
    tokens = quality.image_features(picture).tokens
    expected = encode_image(
        trainer.model().eval(), normalise((picture * 255).permute(0, 3, 1, 2), quality.geometry), quality.blocks
    )
    assert torch.allclose(tokens, expected, atol=0.02)
    assert {path.name for path in tmp_path.iterdir()} == {"clip.safetensors", "clip.json", "pq.safetensors"}


def test_evaluation_gives_all_figures(both):
    trainer = guide.Trainer(GUIDE, *both, TINY)
    figures = evaluate_maps(trainer.model().eval(), validation_samples(3, 4), blocks=(5, 6))
    names = {"top1", "phrase_auc", "noun_auc", "colour_auc", "point_5", "iou_6", "iou_norm_6", "probe_natural"}
    assert names <= set(figures)
    assert all(0.0 <= value <= 1.0 for value in figures.values())
    assert auc(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == 1.0


def test_evaluation_of_the_guide_gives_the_same_figures(both):
    trainer = guide.Trainer(GUIDE, *both, TINY)
    figures = evaluate_guide(trainer.guide.eval(), trainer.model().eval(), validation_samples(3, 4))
    assert {"top1", "noun_auc", "point_0", "iou_norm_0", "mention_rational"} <= set(figures)
    assert all(0.0 <= value <= 1.0 for value in figures.values())


def test_settings_keep_their_types():
    changed = loop.changed(PROFILE, ["steps=7", "rate=1e-4", "device=cuda"])
    assert changed == replace(PROFILE, steps=7, rate=1e-4, device="cuda")


def test_a_whole_model_goes_on_with_its_text_tower(tmp_path, data):
    from open_clip.model import CLIP

    torch.manual_seed(0)
    export(CLIP(**TINY), TINY, tmp_path / "start", {})
    changes = {"texts": True, "local": 1.0, "presence": 1.0, "word": 1.0, "whole_word": 1.0, "steps": 2}
    profile = replace(PROFILE, **changes)
    given = {"start": tmp_path / "start", "evaluate": False}
    whole = training.train(profile, data, None, tmp_path / "whole", **given)
    training.train(profile, data, None, tmp_path / "parts", stop_at=1, **given)
    parts = load_file(training.train(profile, data, None, tmp_path / "parts", resume=True, **given))
    made, before = load_file(whole), load_file(tmp_path / "start" / "clip.safetensors")
    for name, value in made.items():
        torch.testing.assert_close(value, parts[name], rtol=0, atol=2e-3)
    moved = {name for name, value in made.items() if not torch.equal(value, before[name])}
    assert "token_embedding.weight" not in moved
    assert any(name.startswith("visual.transformer") for name in moved)
    assert any(name.startswith("transformer") for name in moved)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert {"local", "presence", "word", "whole_word"} <= lines[-1].keys()


def test_a_model_that_goes_on_starts_from_what_it_knew_of_patches(tmp_path, data):
    from open_clip.model import CLIP

    torch.manual_seed(0)
    export(CLIP(**TINY), TINY, tmp_path, {})
    trainer = training.Trainer(replace(PROFILE, rate=0.0), data, None, tmp_path)
    pixels = clip_data.draw_batch(data, 0, PROFILE.batch, 0).pixels
    grid = torch.arange(math.prod(trainer.clip.visual.grid_size)).view(trainer.clip.visual.grid_size)
    here, there = (order.flatten().expand(len(pixels), -1) for order in (grid, grid.flip(1)))
    whole, local = trainer.guide(pixels, here)
    own_whole, own = Towers(trainer.clip, trainer.tokens).pictures(pixels, here, PROFILE.blocks)
    assert (whole * own_whole).sum(-1).mean() > 0.9
    assert (local * own).sum(-1).mean() > 0.9
    # What lies left of a patch counts as much as what lies right of it, also where the model itself looks to one side.
    mirrored_whole, mirrored = trainer.guide(pixels.flip(2), there)
    torch.testing.assert_close(mirrored_whole, whole, rtol=0, atol=2e-2)
    torch.testing.assert_close(mirrored, local, rtol=0, atol=2e-2)
    assert (
        Towers(trainer.clip, trainer.tokens).pictures(pixels.flip(2), there, PROFILE.blocks)[1] - own
    ).abs().max() > 0.1
    with pytest.raises(InputError, match="guide"):
        training.Trainer(PROFILE, data, None)


def test_captions_of_the_second_world_mention_more_defects(tmp_path):
    (found,) = clip_data.load_data(clip_data.make_data(tmp_path, 8, processes=1, world=SECOND), world=SECOND)
    assert 0.35 <= float(found.mentions.mean()) <= 0.60
    with pytest.raises(InputError, match="10%"):
        clip_data.load_data(clip_data.make_data(tmp_path, 8, processes=1, world=SECOND), world=FIRST)
    faults = [picture.fault for picture in draw_group(1, world=SECOND)[0]]
    assert faults[:2] == [None, None]
    assert None not in faults[2:]
