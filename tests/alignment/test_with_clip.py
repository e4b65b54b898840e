"""AQ-Map with CLIP models: golden similarities, counts of encodes, batches, long and odd prompts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from grefine_core import QualityModel, alignment_quality, assess, perceptual_quality
from grefine_core.alignment.options import AlignmentOptions
from grefine_core.alignment.scoring import measure
from grefine_core.clip.quality_model import ImageFeatures

PROMPT = "a red balloon above an old stone castle, two white swans on the lake, 8k"


def test_the_golden_similarities(golden, golden_clip, tree):
    """The maps of three phrases, by way of a tokenizer that gives the golden tokens."""
    names = ["", "alpha", "beta", "gamma"]
    rows = dict(zip(names, golden.tokens, strict=True))
    model = QualityModel(golden_clip, tokenizer=lambda texts: torch.stack([rows.get(t, rows[""]) for t in texts]))
    torch.testing.assert_close(model.text_features(names), golden.aq_text_features, atol=1e-4, rtol=0)
    parsed = tree("alpha beta gamma", ("alpha/NN*", None), ("beta/NN*", None), ("gamma/NN*", None))
    features = ImageFeatures(golden.image_features, (14, 14))
    similarity = features.unit @ (model.text_features(names[1:]) - model.text_features([""])).T
    torch.testing.assert_close(similarity, golden.aq_similarity, atol=1e-4, rtol=0)
    (found,) = measure(model, features, [parsed], AlignmentOptions("softmax"))
    for index, ours in enumerate(found.maps):
        patches = golden.aq_similarity[0, 1:, index]
        expected = (patches - patches.min()) / (patches.max() - patches.min())
        torch.testing.assert_close(ours.flatten(), expected, atol=1e-3, rtol=0)
    for index, (whole, head) in enumerate(found.scores):
        pair = model.temperature * golden.aq_similarity[0, 0, index]
        assert whole == head == pytest.approx(float(torch.sigmoid(pair)), abs=1e-3)


def test_one_encode_serves_both_maps_all_factors_and_all_phrases(quality, pictures):
    found = assess(quality, pictures, PROMPT)
    assert (quality.encoder_calls, quality.pictures_encoded, quality.text_calls) == (1, 3, 1)
    assert len(found.alignment.phrases[0]) >= 3
    perceptual = perceptual_quality(quality, pictures)
    alignment = alignment_quality(quality, pictures, PROMPT)
    alignment_quality(quality, pictures, PROMPT, aggregate="min")
    assert (quality.encoder_calls, quality.pictures_encoded, quality.text_calls) == (1, 3, 1)
    torch.testing.assert_close(perceptual.quality_map, found.perceptual.quality_map, rtol=0, atol=1e-4)
    torch.testing.assert_close(alignment.defect_map, found.alignment.defect_map, rtol=0, atol=1e-4)
    alignment_quality(quality, pictures, PROMPT + ", a green frog")
    assert (quality.encoder_calls, quality.text_calls) == (1, 2)


def test_nodes_one_after_the_other_encode_once(quality, pictures):
    perceptual_quality(quality, pictures)
    alignment_quality(quality, pictures.clone(), PROMPT)
    assert (quality.encoder_calls, quality.pictures_encoded) == (1, 3)


def test_both_maps_share_an_encode_even_without_a_cache(small_clip, quality, pictures):
    model = QualityModel(small_clip, quality.embeddings, cache_size=0)
    assess(model, pictures, PROMPT)
    assert model.encoder_calls == 1


@pytest.mark.parametrize("scoring", ["contrast", "softmax"])
def test_a_batch_gives_what_single_pictures_give(quality, pictures, scoring):
    kept = pictures.clone()
    prompts = [PROMPT, "a small dog", "three green frogs on a big leaf"]
    together = alignment_quality(quality, pictures, prompts, scoring=scoring)
    assert together.defect_map.shape == (3, 45, 70)
    assert torch.equal(pictures, kept)
    quality.clear_cache()
    for index, picture in enumerate(pictures):
        alone = alignment_quality(quality, picture, prompts[index], scoring=scoring)
        torch.testing.assert_close(alone.score[0], together.score[index], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.defect_map[0], together.defect_map[index], atol=1e-4, rtol=0)
        assert [p.defect for p in alone.phrases[0]] == [p.defect for p in together.phrases[index]]


def test_the_same_bytes_every_time(quality, pictures):
    first = assess(quality, pictures, PROMPT).alignment
    quality.clear_cache()
    second = assess(quality, pictures, PROMPT).alignment
    assert torch.equal(first.defect_map, second.defect_map)
    assert torch.equal(first.score, second.score)
    assert first.phrases == second.phrases


ODD = [
    "",
    "   ",
    "🙂🙂",
    "红色的气球",
    "a (red:1.3) balloon",
    r"\(x\)",
    "((",
    "BREAK AND",
    "<lora:x:1>",
    "{a|b}",
    "no hat",
    "__wild__ embedding:x",
    "J. R. R. Tolkien, 8 k",
    ", ".join(f"a red house number {number} with a garden" for number in range(40)),
]


@pytest.mark.parametrize("prompt", ODD, ids=lambda prompt: prompt[:12])
def test_any_prompt_is_measured(quality, pictures, prompt):
    found = alignment_quality(quality, pictures[:1], prompt)
    assert 0 <= found.score[0] <= 1
    assert torch.isfinite(found.defect_map).all()
    assert found.defect_map.min() >= 0
    assert found.defect_map.max() <= 1
    for phrase in found.phrases[0]:
        assert 0 <= phrase.score <= 1
        assert 0 <= phrase.head_score <= 1
        assert 0 <= phrase.deficit <= 1
        assert (phrase.deficit > 0) == (phrase.defect != "none")
        assert phrase.region is None or 0 <= phrase.region < len(found.phrases[0])


def test_long_prompts_weigh_their_pieces_by_tokens(quality, pictures, tree):
    parsed = tree("red house " * 60, ("red/JJ house/NN*", None))
    features = quality.image_features(pictures[:1])
    (found,) = measure(quality, features, [parsed], AlignmentOptions("softmax"))
    from grefine_core.alignment.texts import prompt_pieces

    pieces = prompt_pieces(parsed, quality.token_count, 77)
    assert len(pieces) == 2
    assert all(quality.token_count(text) <= quality.context_length for text, _ in pieces)
    vectors = quality.text_features([text for text, _ in pieces])
    whole = F.normalize(sum(tokens * vector for (_, tokens), vector in zip(pieces, vectors, strict=True)), dim=0)
    empty = quality.text_features([""])[0]
    pair = quality.temperature * features.unit[0, 0] @ torch.stack([whole, empty]).T
    assert found.prompt == pytest.approx(float(pair.softmax(0)[0]), abs=1e-5)


def test_trees_are_not_parsed_again(quality, pictures, tree, monkeypatch):
    import grefine_core.prompt.syntax as syntax

    monkeypatch.setattr(syntax, "parse_prompt", lambda prompt: pytest.fail("parsed"))
    alignment_quality(quality, pictures, tree=tree("a cat", ("cat/NN*", None)))
