"""What is asked of a MODEL before its family is known, without the host."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", ["family_of", "native_side_of", "patch_of", "reads_picture"])
@pytest.mark.parametrize("value", [None, "text", 5])
def test_what_is_no_model_is_said(pack, input_error, name, value):
    with pytest.raises(input_error, match=f"model: expected the MODEL of a loader, got {type(value).__name__}"):
        getattr(pack("nodes.families"), name)(value)
