"""The pack without the host: its own package under another name, as the host imports it, never through `sys.path`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "the_pack_in_tests"


@pytest.fixture(scope="session")
def pack() -> Callable[[str], ModuleType]:
    """``pack("nodes.inputs")``: a module of the pack, or the pack itself for ""."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = module
        spec.loader.exec_module(module)
    return lambda name: importlib.import_module(f"{NAME}.{name}" if name else NAME)


@pytest.fixture(scope="session")
def inputs(pack) -> ModuleType:
    return pack("nodes.inputs")


@pytest.fixture(scope="session")
def input_error(pack) -> type[Exception]:
    return pack("grefine_core.errors").InputError
