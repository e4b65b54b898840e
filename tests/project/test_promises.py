"""docs/promises.md: every row has a test that exists; and those promises that the source itself can be asked about."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "promises.md"
PACK = (ROOT / "__init__.py", *sorted((ROOT / "nodes").rglob("*.py")))
LIBRARY = tuple(sorted((ROOT / "grefine_core").rglob("*.py")))
SHIPPED = PACK + LIBRARY
#: Talking to a ComfyUI of the user's own (or finding it a free port), and fetching what he asked for.
CONNECTS = {"host_api.py", "host_server.py", "downloading.py", "transfer.py"}
NETWORK = {"urllib.request", "http.client", "requests", "aiohttp", "httpx", "socket", "ftplib", "urllib3"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Absolute names of all that a file imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


@cache
def calls(path: Path) -> tuple[tuple[str, ast.Call], ...]:
    """The calls of a file, by the source text of what is called."""
    return tuple((ast.unparse(node.func), node) for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def rows() -> list[tuple[str, list[str]]]:
    """Each row's complaint, and the tests that it names."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and not set(line) <= set("|- "):
            found.append((cells[0], re.findall(r"`([\w/.]+\.py::\w+)`", cells[2])))
    return found[1:]


def test_every_promise_has_tests():
    assert len(rows()) >= 16
    assert [complaint for complaint, tests in rows() if not tests] == []


@pytest.mark.parametrize("name", sorted({test for _, tests in rows() for test in tests}))
def test_every_test_that_is_named_exists(name):
    path, function = name.split("::")
    file = ROOT / "tests" / path
    assert file.is_file(), file
    found = {
        node.name: node for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert function in found
    assert any(isinstance(part, ast.Assert | ast.With | ast.Call) for part in ast.walk(found[function])), "is empty"


def test_no_node_class_of_the_host_is_used():
    """Its library, whose functions other packs call as well, changes far less often than its nodes do."""
    for path in PACK:
        tops = {name.split(".")[0] for name in imports(path)}
        assert not tops & {"nodes", "comfy_extras", "comfy_api_nodes", "execution", "server"}, path


def test_the_host_is_never_patched():
    """No attribute of a module of the host's, or of one of its classes, is ever set."""
    theirs = {"comfy", "folder_paths", "latent_preview", "node_helpers", "comfy_api", "torch"}
    for path in PACK:
        aliases = {
            alias.asname or alias.name.split(".")[0]
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
            for alias in node.names
            if (getattr(node, "module", None) or alias.name).split(".")[0] in theirs
        }
        for node in ast.walk(tree(path)):
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets += [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else []
            for target in targets:
                if isinstance(target, ast.Attribute):
                    assert ast.unparse(target).split(".")[0] not in aliases, f"{path}: {ast.unparse(node)}"
        for name, call in calls(path):
            if name in ("setattr", "delattr", "object.__setattr__"):
                assert ast.unparse(call.args[0]).split(".")[0] not in aliases, f"{path}: {ast.unparse(call)}"


def test_code_inside_of_weights_is_never_run():
    for path in SHIPPED:
        for name, call in calls(path):
            keywords = {word.arg: ast.unparse(word.value) for word in call.keywords}
            if name.endswith("torch.load"):
                assert keywords.get("weights_only") == "True", f"{path}: {ast.unparse(call)}"
            assert name not in ("pickle.load", "pickle.loads", "torch.jit.load", "joblib.load"), f"{path}: {name}"
            assert name not in ("eval", "exec", "compile", "os.system", "__import__"), f"{path}: {name}"


def test_nothing_is_installed_at_run_time():
    for path in SHIPPED:
        for name, call in calls(path):
            if name.startswith("subprocess."):
                assert "pip" not in {part.value for part in ast.walk(call) if isinstance(part, ast.Constant)}, path
    assert not [path for path in PACK if "subprocess" in imports(path)]


def test_only_the_download_command_fetches_anything():
    for path in SHIPPED:
        if path.name not in CONNECTS:
            used = imports(path)
            assert not {name for name in NETWORK if name in used or any(n.startswith(f"{name}.") for n in used)}, path
        for name, call in calls(path):
            assert not name.endswith(("hf_hub_download", "snapshot_download", "urlretrieve", "nltk.download")), path
            if name.endswith(("from_pretrained", "from_single_file")):
                told = ast.unparse(call)
                assert "local_files_only=True" in told or "**" in told or "config=" in told, f"{path}: {told}"
    users = [path for path in SHIPPED if "downloading import" in path.read_text(encoding="utf-8")]
    assert [path.name for path in users] == ["__init__.py"]
    users = [path for path in SHIPPED if any(name == "download" for name, _ in calls(path))]
    assert [path.relative_to(ROOT).as_posix() for path in users] == ["grefine_core/cli/models.py"]


def test_nothing_is_read_by_the_folders_name():
    """Whatever the user calls the pack's folder: nothing in the code knows its name."""
    for path in PACK:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"custom_nodes[./\\]", node.value), f"{path}: {node.value!r}"
