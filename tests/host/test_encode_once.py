"""No picture goes through the image encoder twice, whichever nodes ask for it: counted at the encoder itself."""

from __future__ import annotations

import json

CODE = """
import asyncio, importlib, json, os
import nodes, torch
torch.set_num_threads(1)
assert asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"])), "the pack did not load"
name = os.environ["GREFINE_PACK"].replace(".", "_x_")
part = lambda module: importlib.import_module(f"{name}.{module}")
models = part("nodes.miniature").load_models(part("grefine_core.miniature.loading").weights_folder())
quality, seen = models.quality, []
quality.module.visual.conv1.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
PROMPT = "a red circle on grass, a blue star"
WAYS = dict(formula="paper", importance_technical=1.0, importance_rational=1.0, importance_natural=1.0)
ALIGNMENT = dict(scoring="auto", aggregate="product", include_style=False)
both = {key: [value] for key, value in {**WAYS, **ALIGNMENT}.items()}
maps, guard = part("nodes.quality"), part("nodes.guard").GRefineNoHarmGuard
report = part("nodes.report").GRefineQualityReport
before = torch.rand(2, 128, 128, 3, generator=torch.Generator().manual_seed(0))
mask = torch.zeros(1, 128, 128)
mask[:, 30:70, 40:90] = 1.0
after = torch.where(mask.unsqueeze(-1) > 0, 1.0 - before, before)
counts = {}

def count(what, work):
    seen.clear()
    with torch.inference_mode():
        result = work()
    counts[what] = sum(seen)
    return result

count("PQ-Map", lambda: maps.GRefinePQMap.execute(before, quality, **WAYS))
count("AQ-Map", lambda: maps.GRefineAQMap.execute(before, quality, PROMPT, **ALIGNMENT))
count("other options", lambda: maps.GRefinePQMap.execute(before.clone(), quality, **{**WAYS, "formula": "released"}))
count("other prompt", lambda: maps.GRefineAQMap.execute(before[:1], quality, "a dog", **ALIGNMENT))
kept = count("guard", lambda: guard.execute([after], [before], [quality], [PROMPT], ["stage 1"], [1.0], mask=[mask],
                                            **both)).result[0][0]
assert torch.equal(kept, after)
count("guard, unchanged", lambda: guard.execute([kept], [after], [quality], [PROMPT], ["stage 2"], [0.0], **both))
count("report", lambda: report.execute([before], [kept], [quality], [PROMPT], **both))
twice = torch.cat([1.0 - before[:1]] * 3)
count("three alike in a batch", lambda: maps.GRefinePQMap.execute(twice, quality, **WAYS))
count("one pixel differs", lambda: maps.GRefinePQMap.execute(
    torch.where(mask.unsqueeze(-1) > 0, 0.0, before[:1]), quality, **WAYS))
print("RESULT", json.dumps(counts))
"""


def test_an_unchanged_picture_is_encoded_once_across_all_nodes(host_run):
    counts = json.loads(host_run(CODE).split("RESULT ", 1)[1])
    assert counts == {
        "PQ-Map": 2,
        "AQ-Map": 0,
        "other options": 0,
        "other prompt": 0,
        "guard": 2,  # both pictures as they are now; as they were, they are known
        "guard, unchanged": 0,
        "report": 0,
        "three alike in a batch": 1,
        "one pixel differs": 1,
    }
