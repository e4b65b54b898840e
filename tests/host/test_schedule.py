"""Noise schedules and exact numbers of calls, for every sampler and scheduler that the host has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PRELUDE = f"""
import importlib, importlib.util, json, logging, os, warnings
import torch
torch.set_num_threads(1)
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")

def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path + "/__init__.py", submodule_search_locations=[path])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)

load("pack", os.environ["GREFINE_PACK"])
load("doubles", {str(Path(__file__).parent / "doubles")!r})
schedule = importlib.import_module("pack.nodes.schedule")
sampling = importlib.import_module("pack.nodes.sampling")
from comfy.samplers import KSampler
from doubles.paint import PaintConditioning, block_mean_vae, paint_model

calls, levels, other = {{}}, {{}}, {{}}
torch.inference_mode().__enter__()
"""

CALLS = """
(prompt,) = PaintConditioning().make("0.1 0.9 0.2")
for kind in ("ordinary", "flow16"):
    model = paint_model(kind)
    network = model.model.diffusion_model
    latent = torch.zeros(1, 16 if kind == "flow16" else 4, 2, 2)
    models = sampling.HostModels(model, prompt, prompt, None)
    for name in KSampler.SAMPLERS:
        if name in schedule.ADAPTIVE:
            continue
        for steps in (1, 2, 10):
            network.calls, reports = 0, []
            settings = sampling.SamplerSettings(1.0, name, "normal")
            done = sampling.sample(models, settings, latent, None, strength=0.7, steps=steps, seed=2**64 - 1,
                                   progress=lambda done, total, preview: reports.append((done, total)))
            painted = done[0, :3, 0, 0] - prompt[0][0][0, 0, :3]
            calls[f"{kind} {name} {steps}"] = [network.calls, reports == [(i + 1, steps) for i in range(steps)],
                                               float(painted.abs().max())]
"""

LEVELS = """
for kind in ("ordinary", "flow16"):
    model = paint_model(kind)
    for name in KSampler.SCHEDULERS:
        for steps in (1, 2, 10, 200):
            starts = []
            for strength in (0.01, 0.2, 0.5, 0.95, 1.0):
                sigmas = schedule.noise_levels(model, "euler", name, steps, strength)
                good = len(sigmas) == steps + 1 and bool((sigmas[:-1] > sigmas[1:]).all()) and float(sigmas[-1]) == 0
                starts.append(float(sigmas[0]))
                levels[f"{kind} {name} {steps} {strength}"] = bool(good and torch.isfinite(sigmas).all())
            levels[f"{kind} {name} {steps} rising"] = starts == sorted(set(starts))
        host = KSampler(model, steps=10, device="cpu", sampler="euler", scheduler=name, denoise=None).sigmas
        ours = schedule.noise_levels(model, "euler", name, 10, 1.0)
        if name != "ddim_uniform":  # the host's begins below the top
            levels[f"{kind} {name} at full strength as the host's"] = torch.allclose(ours, host, rtol=1e-5)
        half = KSampler(model, steps=10, device="cpu", sampler="euler", scheduler=name, denoise=0.5).sigmas
        ours = schedule.noise_levels(model, "euler", name, 10, 0.5)
        near = (ours[:-1].log() - half[:-1].log()).abs().max() < 0.3
        levels[f"{kind} {name} at half strength like the host's"] = bool(near)
"""

PREVIEW = """
from comfy.cli_args import LatentPreviewMethod, args
args.preview_method = LatentPreviewMethod.Latent2RGB
(prompt,) = PaintConditioning().make("0.1 0.9 0.2")
models = sampling.HostModels(paint_model("ordinary"), prompt, prompt, block_mean_vae())
engine = sampling.HostInpainter(models, sampling.SamplerSettings(1.0, "euler", "normal"))
shapes = []
engine.inpaint(torch.rand(1, 32, 48, 3), torch.ones(1, 32, 48), prompt="", strength=1.0, steps=2, seed=0,
               progress=lambda done, total, preview: shapes.append([list(preview.shape), str(preview.dtype)]))
state = torch.random.get_rng_state()
schedule.plan_sampling(models.model, "euler_ancestral", "normal", 3, 0.5)
protocols = importlib.import_module("pack.grefine_core.refine.protocols")
other["shapes"] = shapes
other["leaves the random numbers alone"] = bool(torch.equal(state, torch.random.get_rng_state()))
other["is an inpainter"] = isinstance(engine, protocols.Inpainter)
other["is a restorer"] = isinstance(sampling.HostRestorer(models, engine.settings), protocols.Restorer)
print("RESULT", json.dumps([calls, levels, other]))
"""


@pytest.fixture(scope="module")
def found(host_run) -> list[dict]:
    """Calls of every sampler, levels of every scheduler, and the rest: one process of the host for all."""
    line = next(
        line for line in host_run(PRELUDE + CALLS + LEVELS + PREVIEW).splitlines() if line.startswith("RESULT ")
    )
    return json.loads(line.removeprefix("RESULT "))


def test_every_sampler_makes_exactly_the_calls_that_it_was_given(found):
    calls = found[0]
    assert len(calls) > 150
    assert not {name: values for name, values in calls.items() if values[0] != int(name.split()[-1]) or not values[1]}
    # And what it arrives at is what the network predicts. dpm_fast ends one level above zero, here as in the host.
    ten = {name: values for name, values in calls.items() if name.endswith(" 10") and "dpm_fast" not in name}
    assert not {name: values for name, values in ten.items() if values[2] > 0.05}


def test_every_scheduler_gives_falling_levels_from_the_strength_to_zero(found):
    assert len(found[1]) > 300
    assert not [name for name, good in found[1].items() if not good]


def test_previews_and_protocols(found):
    other = dict(found[2])
    assert other.pop("shapes") == [[[1, 4, 6, 3], "torch.float32"]] * 2
    assert all(other.values()), other
