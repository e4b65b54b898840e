"""Memory that runs out is told from everything else that can go wrong."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grefine_core.errors import InputError
from grefine_core.memory import OutOfMemory, put_on


class Huge(nn.Module):
    """Wherever it is put, it asks for more memory than there is."""

    def to(self, *args, **kwargs):
        self.register_buffer("weight", torch.empty(1 << 50))
        return super().to(*args, **kwargs)


def test_a_full_device_is_no_wrong_device():
    with pytest.raises(OutOfMemory, match="cpu: out of memory while the model was put there"):
        put_on("cpu", Huge(), "the model")


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(InputError, match="device: the model cannot be put on 'nowhere'"):
        put_on("nowhere", nn.Linear(1, 1), "the model")


def test_what_is_put_there_is_returned():
    module = nn.Linear(1, 1)
    assert put_on("cpu", module, "the model") is module
