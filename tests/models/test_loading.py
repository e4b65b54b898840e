"""Loading the quality model: layouts, architectures, what is refused and how it says so."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from grefine_core import Calibration, alignment_quality, load_quality_model, perceptual_quality
from grefine_core.alignment import ContrastVocabulary, NounGroup, calibration_path, shipped_contrast_vocabulary
from grefine_core.clip.loading import load_clip
from grefine_core.errors import InputError, ModelFileError
from grefine_core.models.files import to_open_clip

from ..tiny_models.clip import CLIP_CONFIG


def load(folder, name: str = "clip.safetensors", **options):
    return load_quality_model(weights=folder / name, embeddings=folder / "pq.safetensors", **options)


def test_it_measures_as_the_model_in_memory_does(folder, quality, pictures):
    loaded = load(folder)
    expected, found = perceptual_quality(quality, pictures), perceptual_quality(loaded, pictures)
    torch.testing.assert_close(found.score, expected.score)
    torch.testing.assert_close(found.quality_map, expected.quality_map)
    texts = ["", "a red balloon", "word " * 60]
    torch.testing.assert_close(loaded.text_features(texts), quality.text_features(texts))
    assert loaded.name == "clip"
    assert not any(p.requires_grad for p in loaded.module.parameters())
    assert not any(t.is_meta for t in (*loaded.module.parameters(), *loaded.module.buffers()))


def test_every_file_format_gives_the_same(folder, weights, pictures):
    expected = perceptual_quality(load(folder), pictures).score
    torch.save(weights, folder / "plain.pt")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in weights.items()}}, folder / "training.bin")
    openai = {
        **weights,
        "input_resolution": torch.tensor(64),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(9),
    }
    torch.save(openai, folder / "openai.pth")
    under_text = {f"text.{k}" if not k.startswith(("visual.", "logit_scale")) else k: v for k, v in weights.items()}
    save_file(under_text, folder / "custom.safetensors")
    for name in ("plain.pt", "training.bin", "openai.pth", "custom.safetensors"):
        (folder / name).with_suffix(".json").write_text(json.dumps(CLIP_CONFIG), encoding="utf-8")
        torch.testing.assert_close(perceptual_quality(load(folder, name), pictures).score, expected)


def test_a_custom_text_architecture(folder, pictures):
    plain = load(folder)
    expected = perceptual_quality(plain, pictures).score
    (folder / "clip.json").write_text(json.dumps({**CLIP_CONFIG, "custom_text": True}), encoding="utf-8")
    loaded = load(folder)
    assert type(loaded.module).__name__ == "CustomTextCLIP"
    torch.testing.assert_close(perceptual_quality(loaded, pictures).score, expected)
    torch.testing.assert_close(loaded.text_features(["a cat"]), plain.text_features(["a cat"]))


def test_the_layout_of_transformers(tmp_path):
    """A small model of transformers' own class: the same features through open_clip's."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2}
    theirs = CLIPModel(
        CLIPConfig(
            text_config={
                **sizes, "num_attention_heads": 1, "vocab_size": 99, "max_position_embeddings": 77, "eos_token_id": 98
            },
            vision_config={**sizes, "num_attention_heads": 1, "image_size": 32, "patch_size": 8},
            projection_dim=24,
        )
    ).eval()  # fmt: skip
    for parameter in theirs.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    theirs.save_pretrained(tmp_path, safe_serialization=True)
    config = {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 99, "width": 64, "heads": 1, "layers": 2},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}), encoding="utf-8")
    ours, architecture = load_clip(tmp_path / "model.safetensors")
    assert architecture.model == config
    pixels = torch.randn(2, 3, 32, 32)
    tokens = torch.randint(1, 98, (2, 77))
    tokens[:, 20] = 98
    with torch.no_grad():
        images = theirs.get_image_features(pixel_values=pixels)
        texts = theirs.get_text_features(input_ids=tokens)
        images = getattr(images, "pooler_output", images)
        texts = getattr(texts, "pooler_output", texts)
        torch.testing.assert_close(ours.encode_image(pixels), images, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours.encode_text(tokens), texts, atol=1e-4, rtol=1e-4)


def test_a_folder_and_its_configuration(folder, pictures):
    expected = perceptual_quality(load(folder), pictures).score
    own = folder / "my-clip"
    own.mkdir()
    (folder / "clip.safetensors").rename(own / "open_clip_model.safetensors")
    config = {"model_cfg": CLIP_CONFIG, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (own / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    loaded = load_quality_model(weights=own, embeddings=folder / "pq.safetensors")
    assert loaded.name == "my-clip"
    assert loaded.geometry.mean == (0.5, 0.5, 0.5)
    assert not torch.equal(perceptual_quality(loaded, pictures).score, expected)


def test_types_devices_and_resolution(folder, pictures):
    for dtype in (torch.float16, torch.bfloat16):
        loaded = load(folder, dtype=dtype)
        assert {p.dtype for p in loaded.module.parameters()} == {dtype}
        assert perceptual_quality(loaded, pictures).score.dtype == torch.float32
    assert load(folder, resolution=96).grid == (12, 12)
    with pytest.raises(InputError, match="dtype"):
        load(folder, dtype=torch.int8)
    with pytest.raises(InputError, match="device"):
        load(folder, device="nowhere")


def test_open_clips_names(folder):
    with pytest.raises(InputError, match="ViT-X-99"):
        load(folder, model="ViT-X-99")
    with pytest.raises(InputError, match="ResNet"):
        load(folder, model="RN50")
    with pytest.raises(InputError, match="timm"):
        load(folder, model="ViT-B-16-SigLIP")
    with pytest.raises(ModelFileError, match=r"not the weights of ViT-B-16-quickgelu.*missing.*of another shape"):
        load(folder, model="ViT-B-16-quickgelu")


def test_openais_sizes_are_recognised():
    from grefine_core.clip.loading import build, by_name, detect

    for name in ("ViT-B-16-quickgelu", "ViT-B-32-quickgelu", "ViT-L-14-quickgelu", "ViT-L-14-336-quickgelu"):
        shapes = {key: tuple(t.shape) for key, t in build(by_name(name)).state_dict().items()}
        from pathlib import Path

        assert detect(Path("/nowhere/weights.safetensors"), shapes).name == name


def test_older_releases_list_fewer_models_with_quick_gelu(monkeypatch):
    import open_clip

    from grefine_core.clip.loading import by_name

    expected = by_name("ViT-L-14-336-quickgelu").model
    listed = open_clip.get_model_config
    monkeypatch.setattr(
        open_clip, "get_model_config", lambda name: None if name == "ViT-L-14-336-quickgelu" else listed(name)
    )
    assert by_name("ViT-L-14-336-quickgelu").model == expected
    with pytest.raises(InputError, match="open_clip knows no"):
        by_name("ViT-of-dreams-quickgelu")


def test_transformers_configuration_tells_the_activation(tmp_path):
    from grefine_core.clip.loading import build, by_name, detect

    shapes = {key: tuple(t.shape) for key, t in build(by_name("ViT-B-32")).state_dict().items()}
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": {"hidden_act": "gelu"}}), encoding="utf-8")
    assert detect(tmp_path / "model.safetensors", shapes).name == "ViT-B-32"
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": {"hidden_act": "quick_gelu"}}), encoding="utf-8")
    assert detect(tmp_path / "model.safetensors", shapes).name == "ViT-B-32-quickgelu"


def test_unknown_sizes_need_a_configuration(folder):
    (folder / "clip.json").unlink()
    with pytest.raises(ModelFileError, match=r"clip\.safetensors.*open_clip_config\.json"):
        load(folder)
    (folder / "open_clip_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"open_clip_config\.json.*JSON"):
        load(folder)


def test_the_tokenizer_of_a_hub_is_not_fetched(folder):
    config = {**CLIP_CONFIG, "text_cfg": {**CLIP_CONFIG["text_cfg"], "hf_tokenizer_name": "org/words"}}
    (folder / "clip.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match="org/words"):
        load(folder)


def test_other_weights_are_named(folder, weights):
    more = {**weights, "visual.extra": torch.zeros(1)}
    fewer = {name: tensor for name, tensor in weights.items() if name != "ln_final.bias"}
    other = {**weights, "visual.proj": torch.zeros(64, 16)}
    cases = {
        "more": (more, r"1 unknown: visual\.extra"),
        "fewer": (fewer, r"1 missing: ln_final\.bias"),
        "other": (other, r"1 of another shape: visual\.proj \(\[64, 16\] instead of \[64, 32\]\)"),
        "many": ({"unet.weight": torch.zeros(1)}, r"\d{2,} missing: .* and \d+ more.*unet\.weight"),
    }
    for name, (tensors, message) in cases.items():
        save_file(tensors, folder / f"{name}.safetensors")
        (folder / f"{name}.json").write_text(json.dumps(CLIP_CONFIG), encoding="utf-8")
        with pytest.raises(ModelFileError, match=message) as error:
            load(folder, f"{name}.safetensors")
        assert f"{name}.safetensors" in str(error.value)


class Harmful:
    def __reduce__(self):
        return (print, ("code ran",))


def test_damaged_files_and_files_with_code(folder, weights, capsys):
    data = (folder / "clip.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(data[: len(data) // 2])
    (folder / "text.safetensors").write_text("not weights")
    (folder / "text.pt").write_text("not weights")
    torch.save(weights, folder / "whole.pt")
    archive = (folder / "whole.pt").read_bytes()
    (folder / "cut.pt").write_bytes(archive[: len(archive) // 2])
    torch.save({**weights, "extra": Harmful()}, folder / "harmful.pt")
    torch.save([1, 2], folder / "list.pt")
    for name in ("cut.safetensors", "text.safetensors", "text.pt", "cut.pt", "harmful.pt", "list.pt"):
        with pytest.raises(ModelFileError, match=name):
            load(folder, name)
    assert "code ran" not in capsys.readouterr().out


def test_torchscript_is_refused_and_says_what_to_take(folder):
    program = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    program.save(str(folder / "ViT-B-16.pt"))
    with pytest.raises(ModelFileError, match=r"TorchScript.*open_clip_model\.safetensors"):
        load(folder, "ViT-B-16.pt")


def test_missing_weights_say_where_was_looked_and_what_to_do(folder, monkeypatch):
    with pytest.raises(ModelFileError, match=r"does not exist"):
        load(folder, "missing.safetensors")
    with pytest.raises(ModelFileError, match=r"open_clip_model\.safetensors.*grefine models download clip-vit-b-16"):
        load_quality_model(folders=[folder])
    monkeypatch.setenv("GREFINE_MODELS", f"{folder}/first:{folder}/second")
    with pytest.raises(ModelFileError, match=rf"{folder}/first, {folder}/second"):
        load_quality_model()
    with pytest.raises(InputError, match="path"):
        load_quality_model(weights=3)


def test_weights_are_found_in_the_folders(folder):
    nested = folder / "models" / "clip"
    nested.mkdir(parents=True)
    (folder / "clip.safetensors").rename(nested / "open_clip_model.safetensors")
    (nested / "open_clip_config.json").write_text(json.dumps(CLIP_CONFIG), encoding="utf-8")
    found = load_quality_model(folders=[folder / "models"], embeddings=folder / "pq.safetensors")
    assert found.name == "clip"


def test_the_published_embeddings_need_their_model(folder):
    with pytest.raises(InputError, match=r"width 512.*ViT-B-16-quickgelu"):
        load_quality_model(weights=folder / "clip.safetensors")


def test_a_calibration_beside_the_weights_is_found(folder, caplog):
    assert load(folder).calibration is None
    beside = Calibration(pictures=3, model="clip")
    beside.save(calibration_path(folder / "clip.safetensors"))
    assert load(folder).calibration == beside
    assert not caplog.records
    other = Calibration(pictures=3, model="another")
    other.save(folder / "own.json")
    assert load(folder, calibration=folder / "own.json").calibration == other
    assert "another" in caplog.text
    assert load(folder, calibration=beside).calibration == beside
    with pytest.raises(ModelFileError, match="does not exist"):
        load(folder, calibration=folder / "none.json")


def test_banks_beside_the_weights_are_found(folder):
    assert load(folder).contrast_vocabulary is shipped_contrast_vocabulary()
    words = ContrastVocabulary(
        {"form": NounGroup((("star",), ("ring",)))}, {"colour": ("red", "blue")}, captions=("a red star",)
    )
    words.save(folder / "clip.banks.json")
    assert load(folder).contrast_vocabulary == words
    other = ContrastVocabulary({"animal": NounGroup((("dog",), ("cat",)))}, {})
    other.save(folder / "own.json")
    assert (
        load(folder, contrast_vocabulary=folder / "own.json").contrast_vocabulary
        == load(folder, contrast_vocabulary=other).contrast_vocabulary
        == other
    )
    with pytest.raises(ModelFileError, match=r"none\.json does not exist"):
        load(folder, contrast_vocabulary=folder / "none.json")
    (folder / "clip.banks.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"clip\.banks\.json"):
        load(folder)


def test_prompts_are_contrasted_with_the_models_banks(folder, pictures):
    words = ContrastVocabulary({"form": NounGroup((("star",), ("ring",), ("cross",)))}, {"colour": ("red", "blue")})
    words.save(folder / "clip.banks.json")
    loaded = load(folder)
    alignment_quality(loaded, pictures[:1], "a red star")
    asked = ["", "a red star", "red star", "star", "ring", "cross", "blue star"]
    assert loaded.texts_encoded == len(asked)
    loaded.text_features(asked)
    assert loaded.texts_encoded == len(asked)


def test_surgery_can_be_switched_off(folder):
    assert load(folder).blocks == 6
    assert load(folder, blocks=0).blocks == 0
    with pytest.raises(InputError, match="blocks"):
        load(folder, blocks=9)


def test_names_are_left_alone_where_they_are_open_clips(weights):
    assert to_open_clip(weights).keys() == weights.keys()
