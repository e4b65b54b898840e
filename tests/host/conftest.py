"""Fixtures for the tests with the real ComfyUI; without one they are skipped, and the end of the run says so.

``host_server``   the running server (one for the session; every module ends with a check that it is still alive)
``client``        a fresh connection to it: ``run(graph)``, ``put_image``, ``object_info``, ``interrupt``
``start_server``  further servers with other settings: ``start_server(doubles=False, arguments=(…), environment={…})``
``host_path``     the host's folder; ``host_run(code)`` runs Python in the host's surroundings, without a server
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .client import HostClient
from .server import PACK, HostServer, find_host

HERE = Path(__file__).resolve().parent
HOST, LOOKED = find_host()
_OUTCOMES = {"ran": 0, "skipped": 0}
_SERVERS: list[HostServer] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in Path(item.path).parents:
            item.add_marker(pytest.mark.host)
            if HOST is None:
                item.add_marker(pytest.mark.skip(reason="no ComfyUI found"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "host" not in report.keywords:
        return
    if report.skipped and report.when in ("setup", "call"):
        _OUTCOMES["skipped"] += 1
    elif report.when == "call" or (report.when == "setup" and report.failed):
        _OUTCOMES["ran"] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran, skipped = _OUTCOMES["ran"], _OUTCOMES["skipped"]
    if HOST is None and skipped:
        line = f"HOST TESTS SKIPPED: no ComfyUI found at {LOOKED}; set COMFYUI_PATH to a ComfyUI folder"
        terminalreporter.write_line(line, red=True, bold=True)
    where = f" (ComfyUI at {HOST})" if HOST else ""
    terminalreporter.write_line(f"host tests: {ran} ran, {skipped} skipped{where}", yellow=bool(skipped), bold=True)


@pytest.fixture(scope="session")
def host_path() -> Path:
    """The folder of the ComfyUI that is tested with."""
    if HOST is None:
        pytest.skip(f"no ComfyUI found at {LOOKED}")
    return HOST


@pytest.fixture(scope="session")
def start_server(host_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., HostServer]]:
    """``start_server(**options of HostServer) -> HostServer``, up and answering; all end with the session."""

    def start(**options: object) -> HostServer:
        base = options.pop("base", None) or tmp_path_factory.mktemp("host")
        server = HostServer(host_path, Path(str(base)), **options)  # type: ignore[arg-type]
        _SERVERS.append(server)
        server.wait_until_up()
        return server

    yield start
    for server in _SERVERS:
        server.stop()


@pytest.fixture(scope="session")
def host_server(start_server: Callable[..., HostServer]) -> HostServer:
    """The session's server: this pack and the test doubles, nothing else."""
    return start_server()


@pytest.fixture(scope="module", autouse=True)
def host_still_alive(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a module sent to the host: afterwards it still answers."""
    yield
    for server in _SERVERS[:1]:
        if not server.answers():
            pytest.fail(f"the host died during {request.module.__name__}:\n{server.log_tail()}")


@pytest.fixture
def client(host_server: HostServer) -> Iterator[HostClient]:
    """A connection of its own to the session's server."""
    connection = HostClient(host_server.url, host_server.input_dir)
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def host_run(host_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """``host_run(code, timeout=1500) -> stdout``: Python in the host's folder on the CPU, in a process of its own.

    ``import comfy…``, ``import nodes`` are the host's. The pack's folder is in ``os.environ["GREFINE_PACK"]``; the
    host's arguments (``--cpu``, a scratch base directory) are in ``sys.argv``. The test fails with stderr if the code
    fails.
    """

    def run(code: str, timeout: float = 1500.0) -> str:
        base = tmp_path_factory.mktemp("host_run")  # of its own: what one test puts there is in no other's lists
        prelude = (
            f"import sys; sys.path.insert(0, {str(host_path)!r}); "
            f"sys.argv = ['main.py', '--cpu', '--base-directory', {str(base)!r}]\n"
            "import comfy.options; comfy.options.enable_args_parsing()\n"
            "import utils.extra_config\n"
        )
        surroundings = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ""}
        done = subprocess.run(
            [sys.executable, "-c", prelude + code],
            cwd=host_path,
            env={**os.environ, **surroundings, "GREFINE_PACK": str(PACK)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    return run
