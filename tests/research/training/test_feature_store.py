"""The store of features: what is in it, going on after a stop, other models and broken pictures."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from grefine_core import QualityModel
from grefine_core.errors import InputError, ModelFileError
from grefine_research.training import build_features, open_features

from ...tiny_models.clip import build_clip, build_embeddings

KEYS = [f"p{index}" for index in range(7)]


class Reader:
    """Pictures by key, counting what is asked for; ``broken`` ones cannot be read, ``last`` stops the process."""

    def __init__(self, broken: tuple[str, ...] = (), last: str | None = None) -> None:
        self.broken, self.last = broken, last
        self.asked: list[str] = []

    def __call__(self, keys):
        for key in keys:
            self.asked.append(key)
            if key == self.last:
                raise KeyboardInterrupt
            yield None if key in self.broken else self.picture(key)

    @staticmethod
    def picture(key: str) -> torch.Tensor:
        number = int(key.lstrip("p"))
        generator = torch.Generator().manual_seed(number)
        coarse = torch.rand(1, 3, 4, 4, generator=generator)
        fine = F.interpolate(coarse, size=(40 + number, 60), mode="bilinear")
        return fine[0].permute(1, 2, 0)


def test_features_are_those_of_the_quality_model(small_clip, tmp_path):
    found = build_features(tmp_path, small_clip, KEYS, Reader(), patches=True, shard=3)
    assert found.keys == tuple(KEYS)
    model = QualityModel(small_clip, build_embeddings())
    for index, key in enumerate(KEYS):
        unit = model.image_features(Reader.picture(key)[None]).unit[0]
        torch.testing.assert_close(found.class_tokens[index], unit[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(found.patches(torch.tensor([index]))[0], unit[1:], atol=1e-3, rtol=0)
    mixed = torch.tensor([6, 0, 4, 4, 3])
    every = found.patches(torch.arange(7))
    assert torch.equal(found.patches(mixed), every[mixed])
    assert every.shape == (7, 64, 32)


def test_class_features_are_the_models_own(small_clip, tmp_path):
    """V-V attention runs beside the original path: what is trained on is CLIP's own feature."""
    from grefine_core.clip.preprocess import geometry, normalise, preprocess

    found = build_features(tmp_path, small_clip, KEYS, Reader())
    shape = geometry(small_clip)
    for key, feature in zip(KEYS, found.class_tokens, strict=True):
        pixels = normalise(preprocess(Reader.picture(key)[None], shape.size), shape)
        with torch.no_grad():
            own = small_clip.encode_image(pixels, normalize=True)[0]
        torch.testing.assert_close(feature, own, atol=1e-5, rtol=0)
    assert not found.has_patches
    with pytest.raises(InputError, match="patches=True"):
        found.patches(torch.tensor([0]))


def test_what_is_there_is_not_encoded_again(small_clip, tmp_path):
    progress = []
    first = build_features(tmp_path, small_clip, KEYS, Reader(), shard=3, progress=lambda *p: progress.append(p))
    assert progress == [(3, 7), (6, 7), (7, 7)]
    silent = Reader()
    again = build_features(tmp_path, small_clip, KEYS, silent, shard=3)
    assert silent.asked == []
    assert torch.equal(first.class_tokens, again.class_tokens)
    more = Reader()
    longer = build_features(tmp_path, small_clip, [*KEYS, "p7"], more, shard=3)
    assert more.asked == ["p6", "p7"]
    assert longer.keys == (*KEYS, "p7")
    fewer = build_features(tmp_path, small_clip, KEYS[:3], Reader(), shard=3)
    assert fewer.keys == tuple(KEYS[:3])


def test_a_build_that_was_stopped_goes_on(small_clip, tmp_path):
    whole = build_features(tmp_path / "whole", small_clip, KEYS, Reader(), patches=True, shard=2)
    with pytest.raises(KeyboardInterrupt):
        build_features(tmp_path / "cut", small_clip, KEYS, Reader(last="p5"), patches=True, shard=2)
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == [
        "rows-00000.safetensors",
        "rows-00001.safetensors",
    ]
    rest = Reader()
    found = build_features(tmp_path / "cut", small_clip, KEYS, rest, patches=True, shard=2)
    assert rest.asked == ["p4", "p5", "p6"]
    torch.testing.assert_close(found.class_tokens, whole.class_tokens, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.patches(torch.arange(7)), whole.patches(torch.arange(7)), rtol=0, atol=1e-3)


def test_other_models_and_settings_are_noticed(small_clip, tmp_path):
    first = build_features(tmp_path, small_clip, KEYS, Reader())
    other = build_clip()
    with torch.no_grad():
        other.visual.proj.add_(0.1)
    reader = Reader()
    second = build_features(tmp_path, other, KEYS, reader)
    assert reader.asked == KEYS
    assert second.fingerprint != first.fingerprint
    assert not torch.equal(second.class_tokens, first.class_tokens)
    reader = Reader()
    assert build_features(tmp_path, other, KEYS, reader, patches=True, resolution=32).patches(
        torch.tensor([1])
    ).shape == (1, 16, 32)
    assert reader.asked == KEYS


def test_broken_pictures_are_left_out(small_clip, tmp_path):
    found = build_features(tmp_path, small_clip, KEYS, Reader(broken=("p0", "p1", "p4")), patches=True, shard=2)
    assert found.keys == ("p2", "p3", "p5", "p6")
    assert found.patches(torch.tensor([3])).shape == (1, 64, 32)
    with pytest.raises(ModelFileError, match="none of the pictures"):
        build_features(tmp_path / "all", small_clip, KEYS[:2], Reader(broken=("p0", "p1")))


def test_bad_readers_keys_and_stores(small_clip, tmp_path):
    with pytest.raises(InputError, match="keys: 2 keys, 1 different"):
        build_features(tmp_path, small_clip, ["a", "a"], Reader())
    with pytest.raises(InputError, match="fewer pictures than keys"):
        build_features(tmp_path, small_clip, KEYS, lambda keys: [Reader.picture("p0")])
    with pytest.raises(InputError, match=r"p0: expected a picture.*\(1, 8, 8, 3\)"):
        build_features(tmp_path, small_clip, KEYS, lambda keys: [torch.zeros(1, 8, 8, 3)] * len(keys))
    with pytest.raises(ModelFileError, match="no features"):
        open_features(tmp_path / "nowhere")
    build_features(tmp_path, small_clip, KEYS, Reader(), shard=3)
    (tmp_path / "rows-00001.safetensors").unlink()
    with pytest.raises(ModelFileError, match="missing"):
        open_features(tmp_path)
