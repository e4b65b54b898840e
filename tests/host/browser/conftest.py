"""A real browser for the tests with the real ComfyUI; without one they are skipped, and the end of the run says so.

``server``  a server with this pack alone; ``editor``  a tab with its editor (one for a module)
``open_editor``  further tabs: ``open_editor(server, Comfy_Locale="zh")``

Where GREFINE_SCREENSHOTS names a folder, what the tests see is kept there as pictures. GREFINE_HOST_ARGUMENTS are
further arguments of the server: for a ComfyUI (COMFYUI_PATH) that was made for another editor than the one installed
here, ``--front-end-root FOLDER/comfyui_frontend_package/static``.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..server import HostServer
from .editor import FLAGS, GROWN_UP, Editor, find_chromium

HERE = Path(__file__).resolve().parent
CHROMIUM, LOOKED = find_chromium()
MISSING = (
    f"no Chromium found at {LOOKED}; set CHROMIUM_PATH to one"
    if CHROMIUM is None
    else ""
    if importlib.util.find_spec("playwright")
    else "no playwright here (pip install playwright)"
)
_OUTCOMES = {"ran": 0, "skipped": 0}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)
            if MISSING:
                item.add_marker(pytest.mark.skip(reason=MISSING))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "browser" not in report.keywords:
        return
    if report.skipped and report.when in ("setup", "call"):
        _OUTCOMES["skipped"] += 1
    elif report.when == "call" or (report.when == "setup" and report.failed):
        _OUTCOMES["ran"] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran, skipped = _OUTCOMES["ran"], _OUTCOMES["skipped"]
    if not ran + skipped:
        return
    if MISSING and skipped:
        terminalreporter.write_line(f"BROWSER TESTS SKIPPED: {MISSING}", red=True, bold=True)
    where = f" ({CHROMIUM})" if CHROMIUM else ""
    terminalreporter.write_line(f"browser tests: {ran} ran, {skipped} skipped{where}", yellow=bool(skipped), bold=True)


@pytest.fixture(scope="module")
def open_editor() -> Iterator[Callable[..., Editor]]:
    """``open_editor(server, **settings) -> Editor``; the browser is closed with the module.

    Not with the session: as long as playwright is at work, no other test could run an event loop.
    """
    from playwright.sync_api import sync_playwright

    folder = os.environ.get("GREFINE_SCREENSHOTS")
    screenshots = Path(folder).resolve() if folder else None
    if screenshots:
        screenshots.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))

        def start(server: Any, **settings: Any) -> Editor:
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            editor = Editor(page, server.url, screenshots)
            editor.open(**settings)
            return editor

        yield start
        browser.close()


@pytest.fixture(scope="module")
def server(host_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostServer]:
    """A server as a user has it: this pack in the folder of its name, the picture that comes with every ComfyUI.

    Not the session's: the editor finds no help pages of a pack whose folder has a dot in its name.
    """
    base = tmp_path_factory.mktemp("browser")
    arguments = tuple(shlex.split(os.environ.get("GREFINE_HOST_ARGUMENTS", "")))
    with HostServer(host_path, base, doubles=False, pack_folder="g-refine", arguments=arguments) as started:
        shutil.copyfile(host_path / "input" / "example.png", started.input_dir / "example.png")
        yield started


@pytest.fixture(scope="module")
def editor(open_editor: Callable[..., Editor], server: HostServer) -> Editor:
    """The module's tab."""
    return open_editor(server)


@pytest.fixture(autouse=True)
def _nothing_to_complain_about(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the page says on its console as an error fails the test that it happens in."""
    yield
    if "editor" in request.fixturenames:
        page = request.getfixturevalue("editor")
        page.close_dialogs()
        found, page.problems[:] = list(page.problems), []
        if page.release() < GROWN_UP:
            # It looks for the subgraph of "19:7" though an API file has none.
            found = [problem for problem in found if "Subgraph not found" not in problem]
        assert not found, "\n".join(found)
