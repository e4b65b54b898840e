"""A folder of a stranger is data: whatever it names, none of its code runs and nothing else is loaded instead."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from grefine_core.engines import load_inpaint_pipeline
from grefine_core.engines.prompts import load_tokenizer
from grefine_core.errors import ModelFileError


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self):
        return Path.touch, (self.flag,)


@pytest.fixture
def hostile(folder, tmp_path, monkeypatch):
    """A copy of the folder, which is the working directory, and the file that its code would touch."""
    copy, flag = tmp_path / "copy", tmp_path / "ran"
    shutil.copytree(folder, copy)
    loads = "from_pretrained = from_config = classmethod(lambda c, *a, **k: c())"
    code = f"open({str(flag)!r}, 'w')\nclass Evil:\n    {loads}\n"
    for place in (copy, *(part for part in copy.iterdir() if part.is_dir())):
        for name in ("evil", "pipeline", place.name):
            (place / f"{name}.py").write_text(code)
    monkeypatch.chdir(copy)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    return copy, flag


def change(file: Path, **entries) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "text_encoder_2", "scheduler", "tokenizer", "another"])
@pytest.mark.parametrize(
    "named",
    [
        ["evil", "Evil"],
        ["own", "Evil"],
        ["os", "system"],
        ["transformers", "AutoModel"],
        ["diffusers", "AutoModel"],
        {},
    ],
    ids=str,
)
def test_classes_that_are_not_ours_are_refused_by_name(hostile, part, named):
    copy, flag = hostile
    named = [part, "Evil"] if named == ["own", "Evil"] else named
    change(copy / "model_index.json", **{part: named})
    with pytest.raises(ModelFileError, match=rf"model_index\.json: {part} is '{'.'.join(named)}'"):
        load_inpaint_pipeline(copy, device="cpu")
    assert not flag.exists()


@pytest.mark.parametrize("name", [["evil", "Evil"], "StableDiffusionXLEvil", "StableDiffusion3Pipeline", None, 1])
def test_pipelines_that_are_not_ours_are_refused(hostile, name):
    copy, flag = hostile
    change(copy / "model_index.json", _class_name=name)
    with pytest.raises(ModelFileError, match="is not supported"):
        load_inpaint_pipeline(copy, device="cpu")
    assert not flag.exists()


CONFIGS = {
    "unet": "config.json",
    "vae": "config.json",
    "text_encoder": "config.json",
    "tokenizer": "tokenizer_config.json",
    "scheduler": "scheduler_config.json",
}


@pytest.mark.parametrize("part", CONFIGS)
@pytest.mark.parametrize("setting", ["auto_map", "custom_pipeline", "trust_remote_code", "quantization_config"])
def test_settings_that_call_for_other_code_are_refused_by_name(hostile, part, setting):
    copy, flag = hostile
    change(copy / part / CONFIGS[part], **{setting: {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}})
    with pytest.raises(ModelFileError, match=rf"{part}/{CONFIGS[part]}: {setting}: custom code"):
        load_inpaint_pipeline(copy, device="cpu")
    assert not flag.exists()


def test_settings_that_choose_classes_or_files_have_no_say(hostile, folder):
    copy, flag = hostile
    for part, name in CONFIGS.items():
        change(copy / part / name, _class_name="Evil", model_type="evil", architectures=["Evil"])
    change(copy / "text_encoder" / "config.json", attn_implementation="evil/kernel", _attn_implementation="evil/kernel")
    change(copy / "tokenizer" / "tokenizer_config.json", tokenizer_class="Evil", tokenizer_file="/etc/passwd")
    (copy / "text_encoder" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/nowhere"}))
    pipe, good = load_inpaint_pipeline(copy, device="cpu").pipe, load_inpaint_pipeline(folder, device="cpu").pipe
    assert not flag.exists()
    assert "evil" not in str(pipe.text_encoder.config._attn_implementation)
    assert type(pipe.tokenizer) is type(good.tokenizer)
    assert pipe.tokenizer("a red cat").input_ids == good.tokenizer("a red cat").input_ids


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_pickles_are_not_read(hostile, part):
    copy, flag = hostile
    (file,) = (copy / part).glob("*.safetensors")
    file.unlink()
    for name in ("diffusion_pytorch_model.bin", "pytorch_model.bin"):
        (copy / part / name).write_bytes(pickle.dumps(Trap(flag)))
    with pytest.raises(ModelFileError, match=rf"{part}: no weights found"):
        load_inpaint_pipeline(copy, device="cpu")
    assert not flag.exists()


@pytest.mark.parametrize("name", ["../../other.safetensors", "/etc/other.safetensors", "evil.bin"])
def test_shards_elsewhere_are_refused(hostile, name):
    copy, _ = hostile
    (file,) = (copy / "unet").glob("*.safetensors")
    file.rename(copy.parent / "other.safetensors")
    index = copy / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": name}}))
    with pytest.raises(ModelFileError, match="not trusted"):
        load_inpaint_pipeline(copy, device="cpu")


def test_links_out_of_the_folder_are_refused_but_not_those_of_the_hubs_cache(folder, tmp_path):
    cache = tmp_path / "models--org--name"
    copy = cache / "snapshots" / "0123"
    (cache / "blobs").mkdir(parents=True)
    for number, file in enumerate(path for path in sorted(folder.rglob("*")) if path.is_file()):
        blob = cache / "blobs" / str(number)
        shutil.copy(file, blob)
        link = copy / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    assert load_inpaint_pipeline(copy, device="cpu").size_multiple == 8
    config = copy / "unet" / "config.json"
    (tmp_path / "elsewhere.json").write_bytes(config.read_bytes())
    config.unlink()
    config.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ModelFileError, match=r"unet/config\.json: is a link out of .*elsewhere\.json"):
        load_inpaint_pipeline(copy, device="cpu")


@pytest.mark.parametrize(
    ("part", "entries"),
    [
        ("text_encoder", {"num_hidden_layers": 10**9}),
        ("text_encoder", {"hidden_size": -1}),
        ("text_encoder", {"hidden_size": 10**12}),
        ("unet", {"layers_per_block": 10**9}),
        ("unet", {"block_out_channels": [0, 0]}),
        ("unet", {"block_out_channels": [32] * 10_000}),
        ("vae", {"layers_per_block": 0}),
    ],
)
def test_sizes_that_no_network_has(hostile, part, entries):
    copy, _ = hostile
    change(copy / part / "config.json", **entries)
    with pytest.raises(ModelFileError, match=rf"copy/{part}.*(configuration|not the weights)"):
        load_inpaint_pipeline(copy, device="cpu")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"eps": 1e999}', '{"eps": NaN}', "[]", "{", '"\\ud800'])
def test_damaged_configurations(hostile, content):
    copy, _ = hostile
    for file in ("unet/config.json", "model_index.json"):
        (copy / file).write_text(content)
        with pytest.raises(ModelFileError, match=rf"{file.split('/')[-1]}: no valid"):
            load_inpaint_pipeline(copy, device="cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30], ids=str)
def test_values_that_are_no_numbers_are_refused_by_their_tensor(hostile, value):
    copy, _ = hostile
    (file,) = (copy / "unet").glob("*.safetensors")
    tensors = load_file(file)
    tensors["conv_out.bias"][0] = value
    save_file(tensors, file)
    with pytest.raises(ModelFileError, match=r"conv_out\.bias contains NaN, infinite"):
        load_inpaint_pipeline(copy, device="cpu", dtype=torch.float16)


def test_a_single_files_configuration_has_no_more_say(hostile, write_single_file):
    copy, flag = hostile
    change(copy / "text_encoder" / "config.json", attn_implementation="evil/kernel")
    pipe = load_inpaint_pipeline(write_single_file(), device="cpu", config=copy).pipe
    assert "evil" not in str(pipe.text_encoder.config._attn_implementation)
    change(copy / "model_index.json", unet=["unet", "Evil"])
    with pytest.raises(ModelFileError, match=r"unet is 'unet\.Evil'"):
        load_inpaint_pipeline(write_single_file(), device="cpu", config=copy)
    assert not flag.exists()


@pytest.mark.parametrize("kind", [torch.int8, torch.int32])
def test_whole_numbers_are_no_weights(hostile, write_single_file, config_folder, kind, tmp_path):
    tensors = load_file(write_single_file())
    name = "model.diffusion_model.out.2.bias"
    save_file({**tensors, name: tensors[name].to(kind)}, tmp_path / "whole.safetensors")
    with pytest.raises(ModelFileError, match=r"out\.2\.bias is of type"):
        load_inpaint_pipeline(tmp_path / "whole.safetensors", device="cpu", config=config_folder)


def test_a_tokenizer_keeps_its_words_and_settings(folder, tmp_path):
    copy = Path(shutil.copytree(folder / "tokenizer_2", tmp_path / "tokenizer"))
    change(copy / "tokenizer_config.json", model_max_length=40)
    (copy / "added_tokens.json").write_text(json.dumps({"<mine>": 49408}))
    tokenizer = load_tokenizer(copy)
    assert (tokenizer.pad_token, tokenizer.model_max_length) == ("!", 40)
    assert tokenizer("a <mine> cat", add_special_tokens=False).input_ids[1] == 49408
