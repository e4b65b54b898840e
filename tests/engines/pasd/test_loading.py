"""PASD loads from the published layout, and what does not fit is refused by name."""

from __future__ import annotations

import functools
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from grefine_core.engines.pasd import PasdModel, Variant, load_pasd
from grefine_core.errors import InputError, ModelFileError

from ...tiny_models import pasd as tiny_models
from ...tiny_models.pasd import TEXT_CONFIG, UNET_CONFIG

WEIGHTS = "diffusion_pytorch_model.safetensors"
HALF = "diffusion_pytorch_model.fp16.safetensors"
PIXELS = "up_blocks.0.pixel_attentions.0.proj_in.weight"


# Drawing the weights takes longer than loading them.
build_base, build_pasd = functools.cache(tiny_models.build_base), functools.cache(tiny_models.build_pasd)


def load(folder, base, **options) -> PasdModel:
    return load_pasd(folder, base, **{"device": "cpu", **options})


def predict(model: PasdModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(1, 4, 6, 9, generator=generator)
    return model.predict(latents, 400, model.encode_prompts(["a boat"]), torch.rand(1, 3, 48, 72, generator=generator))


def same_weights(network: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = network.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("rrdb", [False, True])
def test_variants_by_their_keys(light, rrdb, checkpoint_of, base_folder, tmp_path):
    """In a folder whose name says nothing, or something wrong."""
    folder = shutil.copytree(checkpoint_of(light, rrdb), tmp_path / "pasd_light_color" / "checkpoint-5")
    model = load(folder, base_folder)
    assert model.variant == Variant(light, rrdb)
    assert model.variant.name == "pasd" + "_light" * light + "_rrdb" * rrdb
    built = build_pasd(model.variant)
    assert same_weights(model.unet, built["unet"])
    assert same_weights(model.controlnet, built["controlnet"])
    out = predict(model)
    assert out.shape == (1, 4, 6, 9)
    assert torch.isfinite(out).all()


def test_base_from_a_folder(checkpoint_of, base_folder):
    model, networks = load(checkpoint_of(), base_folder), build_base()
    assert same_weights(model.vae, networks["vae"])
    assert same_weights(model.text_encoder, networks["text_encoder"])
    assert model.scheduler_config["beta_schedule"] == "scaled_linear"
    assert model.scheduler_config["num_train_timesteps"] == 1000
    assert (model.latent_scaling, model.latent_channels) == (0.18215, 4)


def test_prompts_are_encoded_as_the_text_encoder_does(checkpoint_of, base_folder):
    model = load(checkpoint_of(), base_folder)
    texts = ["a boat on a lake, clean, high-resolution, 8k", ""]
    states = model.encode_prompts(texts)
    assert states.shape == (2, 77, 32)
    numbers = model.tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        expected = model.text_encoder(numbers).last_hidden_state
    torch.testing.assert_close(states, expected, rtol=0, atol=1e-5)
    assert not torch.equal(model.encode_prompts(["a (boat:1.5)"]), model.encode_prompts(["a boat"]))
    assert model.encode_prompts(["word " * 100, "short"]).shape == (2, 154, 32)


@pytest.fixture
def small_config(monkeypatch, tmp_path, base_folder) -> Path:
    """The pack's own configurations, made tiny: a single checkpoint file says nothing of its sizes."""
    from grefine_core.engines.pasd import loading

    config = tmp_path / "config"
    for part in ("vae", "text_encoder", "scheduler"):
        shutil.copytree(base_folder / part, config / part, ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.setattr(loading, "SD15_CONFIG", config)
    monkeypatch.setattr(loading, "SD15_CONFIG", config)
    return config


def write_checkpoint(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors, "global_step": 7}, path)
    return path


@pytest.mark.parametrize("name", ["sd15.safetensors", "sd15.ckpt"])
def test_base_from_a_single_file_is_the_folder(
    name, original_checkpoint, checkpoint_of, base_folder, small_config, tmp_path
):
    file = write_checkpoint(tmp_path / name, original_checkpoint)
    single, whole = load(checkpoint_of(), file), load(checkpoint_of(), base_folder)
    assert same_weights(single.vae, whole.vae)
    assert same_weights(single.text_encoder, whole.text_encoder)
    assert single.scheduler_config == whole.scheduler_config
    torch.testing.assert_close(predict(single), predict(whole), rtol=0, atol=1e-3)


def test_a_checkpoint_with_code_in_it_is_not_run(checkpoint_of, small_config, tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(ModelFileError, match="could run code"):
        load(checkpoint_of(), tmp_path / "trap.ckpt")
    assert not (tmp_path / "ran").exists()


def test_old_names_in_the_vae(checkpoint_of, base_folder, change, tmp_path):
    """Stable Diffusion 1.5's own folder was saved when diffusers called the VAE's attention otherwise."""
    folder = Path(shutil.copytree(base_folder, tmp_path / "base"))
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(tensors):
        for name in [name for name in tensors if ".attentions." in name]:
            part = next((part for part in old if f".{part}." in name), None)
            if part:
                tensors[name.replace(f".{part}.", f".{old[part]}.")] = tensors.pop(name)

    change(folder / "vae" / WEIGHTS, rename)
    assert same_weights(load(checkpoint_of(), folder).vae, build_base()["vae"])


def test_a_base_of_nothing_but_weights(checkpoint_of, base_folder, tmp_path):
    """Tokenizer and schedule come with the pack; nothing asks the network (see the fixture of this folder's parent)."""
    folder = Path(shutil.copytree(base_folder, tmp_path / "base"))
    for part in ("tokenizer", "scheduler", "unet"):
        shutil.rmtree(folder / part)
    (folder / "model_index.json").unlink()
    model = load(checkpoint_of(), folder)
    assert model.encode_prompts(["a boat"]).shape == (1, 77, 32)
    torch.testing.assert_close(predict(model), predict(load(checkpoint_of(), base_folder)), rtol=0, atol=1e-3)
    assert model.scheduler_config["steps_offset"] == 1


def test_importing_it_is_light():
    code = "import sys, grefine_core.engines.pasd; print(sorted({'diffusers', 'transformers'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_half_precision_is_kept(checkpoint_of, own_checkpoint, base_folder):
    for part in ("unet", "controlnet"):
        tensors = {name: tensor.half() for name, tensor in load_file(own_checkpoint / part / WEIGHTS).items()}
        save_file(tensors, own_checkpoint / part / HALF)
        (own_checkpoint / part / WEIGHTS).unlink()
    model = load(own_checkpoint, base_folder)
    for network in model.networks.values():
        assert {tensor.dtype for tensor in network.parameters()} == {torch.float16}
    assert torch.equal(model.unet.conv_in.weight, build_pasd(Variant())["unet"].conv_in.weight.half())
    wide = load(own_checkpoint, base_folder, dtype=torch.float32)
    assert (wide.dtype, wide.vae.dtype) == (torch.float32, torch.float32)
    apart = load(own_checkpoint, base_folder, dtype=torch.float16, vae_dtype=torch.float32)
    assert (apart.dtype, apart.text_encoder.dtype, apart.vae.dtype) == (torch.float16, torch.float16, torch.float32)
    error = (predict(wide) - predict(load(checkpoint_of(), base_folder))).abs().max()
    assert 0 < error < 0.05


def test_full_and_half_files_side_by_side(own_checkpoint, base_folder):
    """The full one, unless half precision is asked for anyway."""
    file = own_checkpoint / "unet" / WEIGHTS
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file.with_name(HALF))
    full = load(own_checkpoint, base_folder)
    assert full.dtype == torch.float32
    assert torch.equal(full.unet.conv_in.weight, build_pasd(Variant())["unet"].conv_in.weight)
    file.write_bytes(b"damaged, and not needed")
    assert load(own_checkpoint, base_folder, dtype=torch.float16).dtype == torch.float16


def shard(folder: Path, count: int = 3, index: str = WEIGHTS + ".index.json") -> dict[str, str]:
    tensors = load_file(folder / WEIGHTS)
    names, weight_map = sorted(tensors), {}
    for i in range(count):
        file = f"diffusion_pytorch_model-{i + 1:05d}-of-{count:05d}.safetensors"
        save_file({name: tensors[name] for name in names[i::count]}, folder / file)
        weight_map |= dict.fromkeys(names[i::count], file)
    (folder / WEIGHTS).unlink()
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return weight_map


@pytest.mark.parametrize("index", [WEIGHTS + ".index.json", WEIGHTS + ".index.fp16.json"])
def test_shards_are_the_whole(index, own_checkpoint, checkpoint_of, base_folder):
    for part in ("unet", "controlnet"):
        shard(own_checkpoint / part, index=index)
    shards, whole = load(own_checkpoint, base_folder), load(checkpoint_of(), base_folder)
    assert same_weights(shards.unet, whole.unet)
    assert same_weights(shards.controlnet, whole.controlnet)


def test_a_missing_shard_is_named(own_checkpoint, base_folder):
    shard(own_checkpoint / "unet")
    gone = own_checkpoint / "unet" / "diffusion_pytorch_model-00002-of-00003.safetensors"
    gone.unlink()
    with pytest.raises(ModelFileError, match=gone.name):
        load(own_checkpoint, base_folder)


def test_shards_that_overlap_or_lie_elsewhere(own_checkpoint, base_folder):
    unet = own_checkpoint / "unet"
    weight_map = shard(unet)
    twice = unet / "diffusion_pytorch_model-00002-of-00003.safetensors"
    first = next(name for name, file in weight_map.items() if file != twice.name)
    save_file({**load_file(twice), first: torch.zeros(1)}, twice)
    with pytest.raises(ModelFileError, match=f"more than one shard: {first}"):
        load(own_checkpoint, base_folder)
    index = unet / (WEIGHTS + ".index.json")
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": "../../elsewhere.safetensors"}}))
    with pytest.raises(ModelFileError, match="outside"):
        load(own_checkpoint, base_folder)


def test_where_the_folder_may_point(own_checkpoint, base_folder, caplog):
    variant, container = own_checkpoint.parent, own_checkpoint.parent.parent
    newest = shutil.copytree(own_checkpoint, variant / "checkpoint-20")
    (variant / "checkpoint-3").mkdir()
    (variant / "checkpoint-100").mkdir()

    file = newest / "unet" / WEIGHTS
    tensors = load_file(file)
    save_file({**tensors, "conv_in.bias": tensors["conv_in.bias"] + 1}, file)
    models = {"itself": own_checkpoint, "variant": variant, "container": container}
    biases = {name: load(folder, base_folder).unet.conv_in.bias for name, folder in models.items()}
    assert torch.equal(biases["variant"], biases["container"])
    torch.testing.assert_close(biases["variant"], biases["itself"] + 1)
    # A later one without networks is passed over, but not in silence.
    assert "checkpoint-100" in caplog.text


def test_several_variants_are_listed(own_checkpoint, base_folder):
    container = own_checkpoint.parent.parent
    shutil.copytree(own_checkpoint.parent, container / "pasd_light")
    with pytest.raises(ModelFileError, match=r"several.*pasd/checkpoint-1, pasd_light/checkpoint-1"):
        load(container, base_folder)


def test_folders_without_pasd(tmp_path, base_folder, checkpoint_of):
    with pytest.raises(ModelFileError, match="nothing there"):
        load(tmp_path / "none", base_folder)
    (tmp_path / "other").mkdir()
    with pytest.raises(ModelFileError, match=r"no PASD model found.*checkpoint-N.*other"):
        load(tmp_path, base_folder)
    with pytest.raises(ModelFileError, match="a file"):
        load(checkpoint_of() / "unet" / WEIGHTS, base_folder)
    with pytest.raises(ModelFileError, match="no such file or folder"):
        load(checkpoint_of(), tmp_path / "none")


def test_no_weights_lists_what_is_there(own_checkpoint, base_folder):
    (own_checkpoint / "unet" / WEIGHTS).rename(own_checkpoint / "unet" / "other.safetensors")
    with pytest.raises(ModelFileError, match=r"no weights found.*config\.json, other\.safetensors"):
        load(own_checkpoint, base_folder)


@pytest.mark.parametrize(("part", "name"), [("unet", PIXELS), ("controlnet", "controlnet_mid_block.weight")])
def test_missing_unknown_and_misshapen_tensors_are_listed(part, name, own_checkpoint, base_folder, change):
    other = "conv_in.bias"

    def damage(tensors):
        del tensors[name]
        tensors["up_blocks.9.surprise.weight"] = torch.zeros(2)
        tensors[other] = torch.zeros(3)

    change(own_checkpoint / part / WEIGHTS, damage)
    with pytest.raises(ModelFileError) as caught:
        load(own_checkpoint, base_folder)
    text = str(caught.value)
    assert str(own_checkpoint / part) in text
    assert f"1 missing: {name}" in text
    assert "1 unknown: up_blocks.9.surprise.weight" in text
    assert f"1 of another shape: {other} ([3] instead of [32])" in text


def test_long_lists_are_in_the_log(own_checkpoint, base_folder, change, caplog):
    gone = []

    def damage(tensors):
        gone.extend([name for name in tensors if ".pixel_attentions.0." in name])
        for name in gone:
            del tensors[name]

    change(own_checkpoint / "unet" / WEIGHTS, damage)
    with pytest.raises(ModelFileError, match=r"104 missing: .* and 96 more"):
        load(own_checkpoint, base_folder)
    assert len(gone) == 104
    assert all(name in caplog.text for name in gone)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: [t.pop(n) for n in list(t) if "pixel_attentions" in n], "no PASD UNet"),
        (
            lambda t: t.update({"up_blocks.1.attentions.0.proj_in_plus.bias": torch.zeros(64)}),
            "both pasd and pasd_light",
        ),
    ],
)
def test_unets_that_are_no_pasd(edit, message, own_checkpoint, base_folder, change):
    change(own_checkpoint / "unet" / WEIGHTS, edit)
    with pytest.raises(ModelFileError, match=message):
        load(own_checkpoint, base_folder)


def test_part_of_the_dense_blocks_is_not_enough(checkpoint_of, base_folder, change, tmp_path):
    folder = Path(shutil.copytree(checkpoint_of(rrdb=True), tmp_path / "checkpoint-1"))
    gone = "controlnet_cond_embedding.preprocesser.1.rdb2.conv3.weight"
    change(folder / "controlnet" / WEIGHTS, lambda tensors: tensors.pop(gone))
    with pytest.raises(ModelFileError, match=gone):
        load(folder, base_folder)


def test_training_heads_may_be_gone_but_not_strange(own_checkpoint, base_folder, change):
    file, head = own_checkpoint / "controlnet" / WEIGHTS, "controlnet_cond_embedding.to_rgbs"
    change(file, lambda tensors: [tensors.pop(name) for name in list(tensors) if name.startswith(head)])
    model = load(own_checkpoint, base_folder)
    assert same_weights(model.controlnet, build_pasd(Variant())["controlnet"])
    change(file, lambda tensors: tensors.update({f"{head}.0.weight": torch.zeros(4, 32, 3, 3)}))
    with pytest.raises(ModelFileError, match=r"unknown shapes.*to_rgbs\.0\.weight"):
        load(own_checkpoint, base_folder)
    change(
        file, lambda tensors: tensors.update({f"{head}.3.bias": tensors.pop(f"{head}.0.weight")[:3, 0, 0, 0].clone()})
    )
    with pytest.raises(ModelFileError, match=r"1 unknown: controlnet_cond_embedding\.to_rgbs\.3\.bias"):
        load(own_checkpoint, base_folder)


def test_damaged_files(own_checkpoint, base_folder):
    file = own_checkpoint / "unet" / WEIGHTS
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no tensors at all"):
        file.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=str(file)):
            load(own_checkpoint, base_folder)
    file.write_bytes(whole)
    (file.parent / "config.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"config\.json"):
        load(own_checkpoint, base_folder)
    (file.parent / "config.json").write_text(json.dumps({**UNET_CONFIG, "block_out_channels": [32, 64]}))
    with pytest.raises(ModelFileError, match=r"fits no UNet"):
        load(own_checkpoint, base_folder)


def test_a_config_that_does_not_match_is_no_way_around(own_checkpoint, base_folder):
    file = own_checkpoint / "unet" / "config.json"
    file.write_text(json.dumps({**UNET_CONFIG, "layers_per_block": 2}))
    with pytest.raises(ModelFileError, match=r"missing: down_blocks\.0\.attentions\.1"):
        load(own_checkpoint, base_folder)


def personal_unet() -> dict[str, torch.Tensor]:
    return {name: tensor + 0.01 for name, tensor in build_base()["unet"].state_dict().items()}


@pytest.mark.parametrize("kind", ["folder", "unet folder", "checkpoint", "unet alone"])
@pytest.mark.parametrize("light", [False, True])
def test_personalised_weights_go_under_the_attentions(
    kind, light, checkpoint_of, base_folder, original_checkpoint, change, tmp_path
):
    personal = personal_unet()
    path = tmp_path / "personal.safetensors"
    if "folder" in kind:
        folder = Path(shutil.copytree(base_folder, tmp_path / "personal"))
        save_file(personal, folder / "unet" / WEIGHTS)
        path = folder / "unet" if kind == "unet folder" else folder
    elif kind == "checkpoint":
        prefix = "model.diffusion_model."
        save_file({n: t + 0.01 if n.startswith(prefix) else t for n, t in original_checkpoint.items()}, path)
    else:
        save_file(personal, path)
    model = load(checkpoint_of(light), base_folder, personalised=path)
    published, got = build_pasd(Variant(light))["unet"].state_dict(), model.unet.state_dict()
    for name, tensor in got.items():
        expected = personal.get(name, published[name])
        assert torch.equal(tensor, expected), name
    assert len(got) > len(personal)
    assert not torch.equal(predict(model), predict(load(checkpoint_of(light), base_folder)))


def test_personalised_weights_that_do_not_fit(checkpoint_of, base_folder, tmp_path):
    path = tmp_path / "personal.safetensors"
    personal = personal_unet()
    inpainting = {**personal, "conv_in.weight": torch.zeros(32, 9, 3, 3)}
    del inpainting["mid_block.resnets.0.conv1.bias"]
    save_file(inpainting, path)
    with pytest.raises(ModelFileError) as caught:
        load(checkpoint_of(), base_folder, personalised=path)
    assert "1 missing: mid_block.resnets.0.conv1.bias" in str(caught.value)
    assert "conv_in.weight ([32, 9, 3, 3] instead of [32, 4, 3, 3])" in str(caught.value)
    save_file({"lora_unet_down.weight": torch.zeros(2)}, path)
    with pytest.raises(ModelFileError, match="no UNet in it"):
        load(checkpoint_of(), base_folder, personalised=path)
    with pytest.raises(ModelFileError, match="no such file"):
        load(checkpoint_of(), base_folder, personalised=tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("conditioner.embedders.0.weight", "Stable Diffusion XL"),
        ("cond_stage_model.model.weight", "Stable Diffusion 2"),
        ("first_stage_model.surprise", "1 unknown: surprise"),
    ],
)
def test_checkpoints_of_other_models(key, message, original_checkpoint, checkpoint_of, small_config, tmp_path):
    file = write_checkpoint(tmp_path / "other.safetensors", {**original_checkpoint, key: torch.zeros(1)})
    with pytest.raises(ModelFileError, match=message):
        load(checkpoint_of(), file)


def test_checkpoints_with_parts_missing(original_checkpoint, checkpoint_of, small_config, tmp_path):
    pruned = {name: t for name, t in original_checkpoint.items() if not name.startswith("first_stage_model.")}
    with pytest.raises(ModelFileError, match=r"no VAE in it"):
        load(checkpoint_of(), write_checkpoint(tmp_path / "pruned.safetensors", pruned))
    with pytest.raises(ModelFileError, match=r"no text encoder and no VAE in it"):
        load(checkpoint_of(), write_checkpoint(tmp_path / "other.safetensors", {"a": torch.zeros(1)}))


def test_folders_of_other_models(checkpoint_of, base_folder, tmp_path):
    folder = Path(shutil.copytree(base_folder, tmp_path / "base"))
    (folder / "text_encoder_2").mkdir()
    with pytest.raises(ModelFileError, match="Stable Diffusion XL"):
        load(checkpoint_of(), folder)
    (folder / "text_encoder_2").rmdir()
    vae, schedule = folder / "vae" / "config.json", folder / "scheduler" / "scheduler_config.json"
    kept = {file: json.loads(file.read_text()) for file in (vae, schedule)}
    vae.write_text(json.dumps({**kept[vae], "scaling_factor": 0.13025}))
    with pytest.raises(ModelFileError, match=r"scaled by 0\.13025"):
        load(checkpoint_of(), folder)
    vae.write_text(json.dumps(kept[vae]))
    schedule.write_text(json.dumps({**kept[schedule], "prediction_type": "v_prediction"}))
    with pytest.raises(ModelFileError, match="v_prediction"):
        load(checkpoint_of(), folder)
    shutil.rmtree(folder / "text_encoder")
    with pytest.raises(ModelFileError, match="no text_encoder in it"):
        load(checkpoint_of(), folder)


def test_parts_that_do_not_belong_together(own_checkpoint, base_folder, tmp_path):
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = Path(shutil.copytree(base_folder, tmp_path / "base"))
    wide = {**TEXT_CONFIG, "hidden_size": 64}
    save_file(dict(CLIPTextModel(CLIPTextConfig(**wide)).state_dict()), folder / "text_encoder" / "model.safetensors")
    (folder / "text_encoder" / "config.json").write_text(json.dumps(wide))
    with pytest.raises(ModelFileError, match="text width 64, the UNet's 32"):
        load(own_checkpoint, folder)


@pytest.mark.parametrize("options", [{"dtype": torch.float64}, {"vae_dtype": torch.int8}, {"device": "nowhere"}])
def test_options_that_do_not_exist(options, checkpoint_of, base_folder):
    with pytest.raises(InputError, match=next(iter(options))):
        load(checkpoint_of(), base_folder, **options)


def test_moving_takes_all_networks(checkpoint_of, base_folder):
    model = load(checkpoint_of(), base_folder)
    assert model.to(dtype=torch.bfloat16) is model
    assert {t.dtype for network in model.networks.values() for t in network.parameters()} == {torch.bfloat16}
    assert model.to("cpu").device == torch.device("cpu")
    assert model.dtype == torch.bfloat16


def test_settings_without_a_meaning_are_logged(checkpoint_of, base_folder, caplog):
    with caplog.at_level(logging.INFO, "grefine_core"):
        load(checkpoint_of(), base_folder)
    assert "return_rgbs" in caplog.text
