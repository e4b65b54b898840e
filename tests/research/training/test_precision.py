"""The type that trainings reckon in."""

import pytest
import torch

from grefine_research.training import precision


@pytest.mark.parametrize("units", [False, True])
def test_bfloat16_is_taken_where_the_processor_has_units_for_it(monkeypatch, units):
    monkeypatch.setattr(precision, "_BFLOAT16_UNITS", units)
    wanted = torch.bfloat16 if units else torch.float32
    assert precision.quick_type("cpu") is wanted
    assert precision.quick_type("cuda") is torch.bfloat16

    def product(x: torch.Tensor) -> torch.Tensor:
        with precision.quick(x.device):
            return x @ x

    # In one piece: a break inside the context would compile every step anew.
    compiled = torch.compile(product, backend="eager", fullgraph=True)
    assert compiled(torch.eye(4)).dtype is wanted
