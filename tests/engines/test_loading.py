"""Folders and single files load offline; what is wrong with a file is said."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from grefine_core.engines import DiffusersInpainter, load_inpaint_pipeline
from grefine_core.engines.loading import SDXL_CONFIG
from grefine_core.errors import GRefineError, InputError, ModelFileError
from grefine_core.refine.protocols import Inpainter, Restorer

KEYS = Path(__file__).with_name("data") / "sdxl_inpaint_keys.json.gz"


def paint(engine, **changes):
    image = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 64, 96)
    mask[:, 16:48, 16:48] = 1
    return engine.inpaint(image, mask, **{"prompt": "a red balloon", "strength": 0.7, "steps": 2, "seed": 5, **changes})


def states(pipe):
    return {
        (part, name): tensor
        for part in ("unet", "vae", "text_encoder", "text_encoder_2")
        for name, tensor in getattr(pipe, part).state_dict().items()
    }


def test_folder_gives_an_engine(engine):
    assert isinstance(engine, DiffusersInpainter)
    assert isinstance(engine, Inpainter)
    assert isinstance(engine.restorer(), Restorer)
    assert (engine.size_multiple, engine.min_side, engine.native_side) == (8, 128, 128)
    out = paint(engine)
    assert out.shape == (1, 64, 96, 3)
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("channels", [9, 4])
def test_single_file_is_the_folder(channels, folder, ordinary_folder, write_single_file, config_folder):
    single = load_inpaint_pipeline(write_single_file(channels), device="cpu", config=config_folder)
    whole = load_inpaint_pipeline(folder if channels == 9 else ordinary_folder, device="cpu")
    ours, theirs = states(single.pipe), states(whole.pipe)
    assert ours.keys() == theirs.keys()
    for key, tensor in ours.items():
        assert torch.equal(tensor, theirs[key]), key
    torch.testing.assert_close(paint(single), paint(whole), rtol=0, atol=1e-3)


def test_fp16_files_only(folder, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(folder, half)
    for file in list(half.rglob("*.safetensors")):
        save_file(
            {k: v.half() for k, v in load_file(file).items()}, file.with_suffix(".fp16.safetensors"), {"format": "pt"}
        )
        file.unlink()
    assert torch.isfinite(paint(load_inpaint_pipeline(half, device="cpu"))).all()


def test_folder_without_tokenizers(folder, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("tokenizer*"))
    ours, whole = (paint(load_inpaint_pipeline(place, device="cpu")) for place in (bare, folder))
    torch.testing.assert_close(ours, whole, rtol=0, atol=1e-3)


def test_offline_in_a_fresh_process(folder, write_single_file, config_folder, tmp_path):
    code = (
        "import sys; from grefine_core.engines import load_inpaint_pipeline as load\n"
        "load(sys.argv[1], device='cpu'); load(sys.argv[2], device='cpu', config=sys.argv[3]); print('loaded both')"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(write_single_file(9)), str(config_folder)],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "loaded both" in done.stdout


def test_importing_the_engines_imports_no_library():
    code = (
        "import sys, grefine_core.engines, tests.tiny_models, grefine_core.refine\n"
        "heavy = {'diffusers', 'transformers', 'open_clip', 'scipy', 'nltk', 'kornia', 'timm'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


class TestRealLayout:
    """The published checkpoint's tensors (names and shapes, no weights) fit the shipped configuration."""

    @pytest.fixture(scope="class")
    def checkpoint(self):
        shapes = json.loads(gzip.decompress(KEYS.read_bytes()))
        return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}

    @staticmethod
    def fits(network, converted):
        wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in converted.items()}
        optional = {name for name in wanted if name.endswith("position_ids")}
        assert wanted.keys() - optional <= found.keys()
        assert {name: found[name] for name in wanted.keys() - optional} == {
            name: shape for name, shape in wanted.items() if name not in optional
        }
        return found.keys() - wanted.keys()

    def test_unet(self, checkpoint):
        from diffusers import UNet2DConditionModel
        from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

        config = UNet2DConditionModel.load_config(SDXL_CONFIG, subfolder="unet")
        with torch.device("meta"):
            unet = UNet2DConditionModel.from_config(config)
        assert unet.config.in_channels == 9
        assert sum(parameter.numel() for parameter in unet.parameters()) == 2_567_478_084
        assert not self.fits(unet, convert_ldm_unet_checkpoint(dict(checkpoint), config=config))

    def test_vae(self, checkpoint):
        from diffusers import AutoencoderKL
        from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

        config = AutoencoderKL.load_config(SDXL_CONFIG, subfolder="vae")
        with torch.device("meta"):
            vae = AutoencoderKL.from_config(config)
        assert sum(parameter.numel() for parameter in vae.parameters()) == 83_653_863
        assert not self.fits(vae, convert_ldm_vae_checkpoint(dict(checkpoint), config=config))

    def test_first_text_encoder(self, checkpoint):
        from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint
        from transformers import CLIPTextConfig, CLIPTextModel

        with torch.device("meta"):
            encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(SDXL_CONFIG, subfolder="text_encoder"))
        assert sum(parameter.numel() for parameter in encoder.parameters()) == 123_060_480
        converted = convert_ldm_clip_checkpoint(dict(checkpoint))
        if not hasattr(encoder, "text_model"):
            converted = {name.removeprefix("text_model."): tensor for name, tensor in converted.items()}
        assert not self.fits(encoder, converted)

    def test_second_text_encoder(self, checkpoint):
        from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection

        with torch.device("meta"):
            encoder = CLIPTextModelWithProjection(
                CLIPTextConfig.from_pretrained(SDXL_CONFIG, subfolder="text_encoder_2")
            )
        assert sum(parameter.numel() for parameter in encoder.parameters()) == 694_659_840
        converted = convert_open_clip_checkpoint(encoder, dict(checkpoint), prefix="conditioner.embedders.1.model.")
        self.fits(encoder, converted)

    def test_header_check_accepts_it(self, checkpoint, tmp_path):
        from grefine_core.engines.loading import inspect_checkpoint

        # Names are real, sizes are not: only the header is looked at.
        first = "model.diffusion_model.input_blocks.0.0.weight"
        small = {name: torch.zeros(1) for name in checkpoint} | {first: torch.zeros(1, 9, 1, 1)}
        save_file(small, tmp_path / "real.safetensors")
        assert inspect_checkpoint(tmp_path / "real.safetensors").channels == 9


class TestBadFiles:
    def test_nothing_there(self, tmp_path):
        with pytest.raises(ModelFileError, match="no such file"):
            load_inpaint_pipeline(tmp_path / "missing")

    def test_no_diffusers_folder(self, tmp_path):
        with pytest.raises(ModelFileError, match=r"model_index\.json"):
            load_inpaint_pipeline(tmp_path)

    def test_other_pipeline(self, tmp_path):
        (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
        with pytest.raises(ModelFileError, match="FluxPipeline is not supported"):
            load_inpaint_pipeline(tmp_path)

    def test_damaged_index(self, tmp_path):
        (tmp_path / "model_index.json").write_text("{")
        with pytest.raises(ModelFileError, match="no valid model index"):
            load_inpaint_pipeline(tmp_path)

    @pytest.mark.parametrize("damage", ["cut", "empty", "missing"])
    def test_damaged_weights_in_a_folder(self, folder, tmp_path, damage):
        broken = tmp_path / "broken"
        shutil.copytree(folder, broken)
        file = broken / "unet" / "diffusion_pytorch_model.safetensors"
        if damage == "missing":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:1000] if damage == "cut" else b"")
        with pytest.raises(ModelFileError, match="broken"):
            load_inpaint_pipeline(broken, device="cpu")

    def test_pickled_file(self, tmp_path):
        (tmp_path / "model.ckpt").write_bytes(b"x")
        with pytest.raises(ModelFileError, match=r"\.safetensors only"):
            load_inpaint_pipeline(tmp_path / "model.ckpt")

    def test_damaged_single_file(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
        with pytest.raises(ModelFileError, match="damaged"):
            load_inpaint_pipeline(tmp_path / "model.safetensors")

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["cond_stage_model.transformer.x"], "Stable Diffusion 1 or 2"),
            (["conv_in.weight"], "UNet alone"),
            (["model.diffusion_model.input_blocks.0.0.weight"], "the VAE and a text encoder"),
        ],
    )
    def test_not_a_whole_checkpoint(self, tmp_path, names, message):
        save_file({name: torch.zeros(1, 9, 1, 1) for name in names}, tmp_path / "model.safetensors")
        with pytest.raises(ModelFileError, match=message):
            load_inpaint_pipeline(tmp_path / "model.safetensors")

    def test_unknown_offload(self, folder):
        with pytest.raises(InputError, match="offload"):
            load_inpaint_pipeline(folder, offload="disk")

    def test_offload_without_accelerate(self, folder, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(InputError, match="accelerate"):
            load_inpaint_pipeline(folder, offload="model")


def test_out_of_memory_says_what_to_do(engine, monkeypatch):
    def full(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine.pipe.unet, "forward", full)
    with pytest.raises(GRefineError, match="Out of memory while sampling 96×64"):
        paint(engine)


def test_vae_out_of_memory_is_retried_in_tiles(engine, monkeypatch):
    decode, tries = engine.pipe.vae.decode, []

    def once(*args, **kwargs):
        tries.append(engine.pipe.vae.use_tiling)
        if len(tries) == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return decode(*args, **kwargs)

    whole = paint(engine)
    monkeypatch.setattr(engine.pipe.vae, "decode", once)
    assert paint(engine).shape == (1, 64, 96, 3)
    assert tries == [False, True]
    assert not engine.pipe.vae.use_tiling  # only for that call: the seed gives its picture again
    torch.testing.assert_close(paint(engine), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [ValueError, torch.cuda.OutOfMemoryError])
def test_the_vae_is_not_left_tiled_by_what_fails(engine, monkeypatch, kind):
    errors = iter([RuntimeError("MPS backend out of memory"), kind("at last")])

    def fail(*args, **kwargs):
        raise next(errors)

    monkeypatch.setattr(engine.pipe.vae, "encode", fail)
    with pytest.raises((ValueError, GRefineError)):
        paint(engine)
    assert not engine.pipe.vae.use_tiling


def test_a_shortage_while_loading_is_no_damaged_file(folder, monkeypatch):
    def full(*args, **kwargs):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to ...")

    monkeypatch.setattr("grefine_core.engines.loading.load_unet", full)
    with pytest.raises(RuntimeError, match="not enough memory"):
        load_inpaint_pipeline(folder)


@pytest.mark.parametrize(
    "index",
    [
        {"_class_name": "StableDiffusionXLControlNetInpaintPipeline"},
        {"_class_name": "FluxKontextPipeline"},
        {"_class_name": "StableDiffusionXLInpaintPipeline", "image_encoder": ["transformers", "CLIPVisionModel"]},
    ],
)
def test_hints_and_references_are_said_not_to_be_supported(tmp_path, index):
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFileError, match="ControlNet hints, adapters and reference pictures are not supported"):
        load_inpaint_pipeline(tmp_path)


def test_of_another_family_nothing_is_said_about_hints(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(ModelFileError, match="FluxPipeline is not supported") as refused:
        load_inpaint_pipeline(tmp_path)
    assert "ControlNet" not in str(refused.value)
