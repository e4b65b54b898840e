"""The sheet of all attempts: a row for each region, every attempt in it."""

from __future__ import annotations

import torch

from grefine_core.report import attempts_sheet
from grefine_core.report.data import GuardEntry

COLORS = {(1, 1): 0.2, (1, 2): 0.5, (2, 1): 0.9}


def test_every_attempt_is_on_the_sheet_region_by_region():
    tried = []
    for (region, number), grey in COLORS.items():
        entry = None
        if region == 1:
            entry = GuardEntry(
                1, (0, 0, 8, 8), number == 2, (0.5, 0.5), (0.5, 0.5), "why", number=region, attempt=number
            )
        tried.append((torch.full((1, 24, 24, 3), grey), entry, region, number))
    sheet = attempts_sheet(tried)
    assert sheet.shape[-1] == 3
    whole = attempts_sheet([*tried, (torch.full((1, 24, 24, 3), 0.7), None, None, 1)])
    below = ((whole - 0.7).abs().amax(-1) < 0.01).nonzero().float().mean(0)
    places = {}
    for key, grey in COLORS.items():
        found = ((sheet - grey).abs().amax(-1) < 0.01).nonzero()
        assert len(found) > 10_000, key
        places[key] = found.float().mean(0)
    assert places[1, 1][1] < places[1, 2][1]
    assert abs(places[1, 1][0] - places[1, 2][0]) < 2
    assert below[0] > places[2, 1][0] > places[1, 1][0]
    alone = attempts_sheet(tried[2:])
    assert alone.shape[0] < sheet.shape[0]
    assert alone.shape[1] < sheet.shape[1]
