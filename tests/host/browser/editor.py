"""The editor in a real browser, as a user meets it: open a template, drop a file, queue, look at the nodes."""

from __future__ import annotations

import base64
import json
import mimetypes
import os
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
# Nothing is looked up or fetched but the server's own pages.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
READY = "() => window.app?.graph && window.LiteGraph && Object.keys(LiteGraph.registered_node_types).length > 100"
# The frontend's own words for a graph that cannot be shown as it was meant.
MISSING = ("missing", "not found", "cannot be loaded", "failed")


def find_chromium() -> tuple[str | None, str]:
    """The browser to test with, and in words where it was looked for."""
    named = os.environ.get("CHROMIUM_PATH")
    if named:
        return (named if Path(named).is_file() else None), f"CHROMIUM_PATH={named}"
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found, f"{', '.join(NAMES)} on the PATH"


#: From this host on its editor queues muted subgraphs, and draws Nodes 2.0, as it does today.
GROWN_UP = (0, 20)


class Editor:
    """One tab with the editor of the server at ``url``.

    ``problems`` collects what the page complained about, as text: errors in its console and uncaught exceptions.
    """

    def __init__(self, page: Any, url: str, screenshots: Path | None = None) -> None:
        self.page, self.url, self.screenshots = page, url, screenshots
        self.problems: list[str] = []
        page.on("console", lambda message: self._said(message.type, message.text, message.location.get("url", "")))
        page.on("dialog", lambda dialog: dialog.accept())  # leaving a page with something unsaved
        page.on("pageerror", lambda error: self.problems.append(f"{error}\n{error.stack}"))

    def _said(self, kind: str, text: str, where: str) -> None:
        # What the editor says of itself, or looks for on the net and is not there in a test, is not the pack's doing.
        own = where.startswith((f"{self.url}/assets/", "https://")) and "refine" not in text.lower()
        own = (
            own
            or "https://api.comfy.org" in text
            or where.startswith((f"{self.url}/api/userdata/", f"{self.url}/templates/"))
        )
        if kind == "error" and not own:
            self.problems.append(f"{text} ({where})")

    def open(self, **settings: Any) -> None:
        """Load the page with these settings of the user's; ``Comfy_Locale`` stands for ``Comfy.Locale``."""
        for name, value in {"Comfy_TutorialCompleted": True, **settings}.items():
            self.post(f"/api/settings/{name.replace('_', '.')}", value)
        self.page.goto(self.url)
        self._until_ready()

    def reload(self) -> None:
        """The page once more, as by the browser's button; the editor brings the open workflow back itself."""
        nodes = self.page.evaluate("() => app.graph.nodes.length")
        self._until_stored()
        self.page.reload()
        self._until_ready()
        self._and_wait_for_another_graph(lambda: None, nodes=nodes)

    def _until_stored(self) -> None:
        """The editor keeps what is open a moment after it has changed."""
        kept = "() => JSON.stringify([localStorage, sessionStorage])"
        before = None
        for _ in range(10):
            now = self.page.evaluate(kept)
            if now == before:
                return
            before = now
            time.sleep(1.0)

    def _until_ready(self) -> None:
        self.page.wait_for_function(READY, timeout=90_000)
        self.page.wait_for_selector(".templates-tab-button", timeout=30_000)
        # What the page asks for at its first start and the server does not have yet is none of the pack's business.
        self.problems.clear()

    def post(self, path: str, data: Any) -> None:
        body = json.dumps(data).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).close()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def release(self) -> tuple[int, ...]:
        """The host's version."""
        version = self.get("/system_stats")["system"]["comfyui_version"]
        return tuple(int(part) for part in re.findall(r"\d+", version)[:3])

    # Opening

    def open_template(self, pack_folder: str, name: str) -> None:
        """Templates in the side bar, our pack among the custom nodes, the template's card."""
        self.page.click(".templates-tab-button")
        self.page.get_by_text(pack_folder, exact=True).first.click()
        cards = self.page.locator("[data-testid^=template-workflow-]")
        wanted = self.page.locator(f"[data-testid=template-workflow-{name}]")
        cards.first.wait_for()
        for _ in range(20):  # older editors make the cards of a long list as it is scrolled
            if wanted.count():
                break
            cards.last.scroll_into_view_if_needed()
            time.sleep(0.3)
        self._and_wait_for_another_graph(wanted.click)

    def load(self, workflow: dict[str, Any], name: str = "workflow") -> None:
        """A workflow in the editor's format, without the mouse."""
        arguments = {"workflow": workflow, "name": name}
        self._and_wait_for_another_graph(
            lambda: self.page.evaluate("({workflow, name}) => app.loadGraphData(workflow, true, true, name)", arguments)
        )

    def new_workflow(self) -> int:
        """A further tab of the editor's own, empty; returns the place of the one that was open, for ``switch``."""
        place = self.page.evaluate(
            "() => { const all = app.extensionManager.workflow;"
            "return all.openWorkflows.findIndex(one => one.path === all.activeWorkflow.path) }"
        )
        count = self.page.locator(".workflow-tab").count()
        self.page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
        self.wait_for(f"() => document.querySelectorAll('.workflow-tab').length > {count} && !app.graph.nodes.length")
        return int(place)

    def switch(self, place: int) -> None:
        """To another of the editor's own tabs, by the mouse; there has to be something in it."""
        self.page.locator(".workflow-tab").nth(place).click()
        assert self.wait_for("() => app.graph.nodes.length")
        # Under the mouse the tab shows its picture, which newer editors take for a dialog: no key would queue anything.
        self.page.mouse.move(800, 500)
        assert self.wait_for("() => !document.querySelector('[role=dialog][aria-modal=true]')"), self.dialogs()

    def drop(self, path: Path) -> None:
        """A file from the desktop, dropped onto an empty place of the canvas."""
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        data = {"name": path.name, "type": kind, "data": base64.b64encode(path.read_bytes()).decode()}
        carried = self.page.evaluate_handle(
            """({name, type, data}) => {
                const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0))
                const carried = new DataTransfer()
                carried.items.add(new File([bytes], name, {type}))
                return carried
            }""",
            data,
        )
        where = {"dataTransfer": carried, "clientX": 700, "clientY": 500}
        self._and_wait_for_another_graph(lambda: self.page.dispatch_event("#graph-canvas", "drop", where))

    def _and_wait_for_another_graph(
        self, action: Callable[[], object], seconds: float = 60.0, nodes: int | None = None
    ) -> None:
        """``action`` replaces the graph: wait until the nodes are others and as many as they stay, or ``nodes``."""
        if nodes is not None:
            assert self.wait_for(f"() => app.graph.nodes.length === {nodes}", seconds), self.dialogs()
            return
        self.page.evaluate("() => { for (const node of app.graph.nodes) node.of_the_graph_before = true }")
        action()
        count = "() => app.graph.nodes.some(n => n.of_the_graph_before) ? 0 : app.graph.nodes.length"
        end, before = time.monotonic() + seconds, -1
        while time.monotonic() < end:
            now = self.page.evaluate(count)
            if now and now == before:
                return
            before = now
            time.sleep(0.3)
        raise TimeoutError(f"no new graph within {seconds:.0f} s; dialogs: {self.dialogs()}")

    # What is there

    def graph(self) -> dict[str, Any]:
        """The graph as the editor would save it."""
        return self.page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")

    def api_graph(self) -> dict[str, Any]:
        """The graph as the editor would queue it."""
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def export(self, command: str) -> dict[str, Any]:
        """What a menu's export command writes: ``Comfy.ExportWorkflow`` or ``Comfy.ExportWorkflowAPI``."""
        self.post("/api/settings/Comfy.PromptFilename", False)
        self.page.evaluate("() => app.extensionManager.setting.set('Comfy.PromptFilename', false)")
        with self.page.expect_download() as download:
            self.page.evaluate("command => app.extensionManager.command.execute(command)", command)
        return json.loads(Path(download.value.path()).read_text(encoding="utf-8"))

    def dialogs(self) -> list[str]:
        """The texts of the dialogs that are open."""
        return [box.inner_text() for box in self.page.query_selector_all(".p-dialog, [role=dialog]")]

    def close_dialogs(self) -> None:
        """As by the Escape key."""
        for _ in self.dialogs():
            self.page.keyboard.press("Escape")
            time.sleep(0.5)

    def unknown_nodes(self) -> list[str]:
        """Kinds of nodes that the editor does not know."""
        return self.page.evaluate(
            "() => app.graph.nodes.filter(n => !n.subgraph).map(n => n.type)"
            ".filter(t => !(t in LiteGraph.registered_node_types))"
        )

    def of(self, kind: str, title: str = "") -> int:
        """The id of the node of that kind (and title)."""
        found = [
            node["id"]
            for node in self.page.evaluate("() => app.graph.nodes.map(n => ({id: n.id, type: n.type, title: n.title}))")
            if node["type"] == kind and (not title or node["title"] == title)
        ]
        assert len(found) == 1, (kind, title, found)
        return int(found[0])

    # Queueing

    def queue(self, by: str = "button", seconds: float = 300.0) -> dict[str, Any]:
        """Queue the graph, by the Run button or by the keys, and wait outside of the page; the history's entry."""
        before = set(self.get("/history"))
        if by == "button":
            # In newer editors it is the button itself.
            self.page.click("button[data-testid=queue-button], [data-testid=queue-button] button >> nth=0")
        else:
            self.page.locator("#graph-canvas").press("Control+Enter")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for prompt_id, entry in self.get("/history").items():
                if prompt_id not in before:
                    return entry
            if shown := [text for text in self.dialogs() if any(word in text.lower() for word in MISSING)]:
                raise AssertionError(f"not queued: {shown}")
            time.sleep(0.25)
        raise TimeoutError(f"not in the history within {seconds:.0f} s; dialogs: {self.dialogs()}")

    # Looking

    def look_at(self, nodes: Iterable[int] = (), margin: float = 60.0) -> None:
        """Move the canvas so that these nodes (or all) fill the window, and have it drawn."""
        self.page.evaluate(
            """([wanted, margin]) => {
                const nodes = app.graph.nodes.filter(n => !wanted.length || wanted.map(String).includes(String(n.id)))
                const left = Math.min(...nodes.map(n => n.pos[0])) - margin
                const top = Math.min(...nodes.map(n => n.pos[1])) - 30 - margin
                const right = Math.max(...nodes.map(n => n.pos[0] + n.size[0])) + margin
                const bottom = Math.max(...nodes.map(n => n.pos[1] + n.size[1])) + margin
                const ds = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect()
                ds.scale = Math.min(box.width / (right - left), box.height / (bottom - top), 1.5)
                ds.offset[0] = box.width / ds.scale / 2 - (left + right) / 2
                ds.offset[1] = box.height / ds.scale / 2 - (top + bottom) / 2
                app.canvas.setDirty(true, true)
            }""",
            [list(nodes), margin],
        )

    def pictures(self, node: int, seconds: float = 20.0) -> list[tuple[int, int]]:
        """Sizes of the pictures that the editor has drawn on a node."""
        code = """id => (app.graph.getNodeById(id)?.imgs ?? [])
            .filter(i => i.complete && i.naturalWidth).map(i => [i.naturalWidth, i.naturalHeight])"""
        return [tuple(size) for size in self._until(code, node, seconds)]

    def texts(self, node: int, seconds: float = 20.0) -> list[str]:
        """What the widgets of a node show that the editor adds for results."""
        code = """id => (app.graph.getNodeById(id)?.widgets ?? [])
            .filter(w => /preview|text/.test(w.name)).map(w => String(w.value ?? "")).filter(v => v)"""
        return self._until(code, node, seconds)

    def panel(self, node: int, seconds: float = 20.0) -> dict[str, Any]:
        """What one of the pack's nodes shows on itself: lines with their colours, and the sizes of its pictures."""
        code = """id => {
            const panel = app.graph.getNodeById(id)?.widgets?.find(w => w.name === "grefine_shown")?.element
            const pictures = [...(panel?.querySelectorAll("img") ?? [])]
            if (!panel || pictures.some(p => !p.complete || !p.naturalWidth)) return null
            const told = e => !["IMG", "HR", "INPUT"].includes(e.tagName) && !e.querySelector("img")
            const lines = [...panel.children].filter(told)
            return {
                pictures: pictures.map(p => [p.naturalWidth, p.naturalHeight]),
                lines: lines.map(e => ({
                    text: e.textContent, chip: e.tagName === "SPAN",
                    color: e.tagName === "SPAN" ? e.style.background : e.style.color,
                })),
            }
        }"""
        return self._until(code, node, seconds) or {"pictures": [], "lines": []}

    def seen(self, way: str, seconds: float = 20.0) -> dict[str, Any]:
        """The panel of the node at ``way`` (its id, or "5:12" inside a subgraph) as it stands on the screen.

        ``lines`` and ``kinds`` its texts; ``box`` left, top, width, height in pixels of the window, all 0 where it is
        not drawn; ``node`` that of the node; ``high`` its content's height, ``least`` what it asks for, ``room`` what
        it has, in the node's own units; ``pictures`` how many there are; ``compare`` how many pairs.
        """
        code = """way => {
            let graph = app.rootGraph ?? app.graph, node
            for (const id of way.split(":")) {
                node = graph?.getNodeById(Number(id)) ?? graph?.getNodeById(id)
                graph = node?.subgraph
            }
            const panel = node?.widgets?.find(w => w.name === "grefine_shown")?.element
            const pictures = [...(panel?.querySelectorAll("img") ?? [])]
            if (!panel || pictures.some(p => !p.complete || !p.naturalWidth)) return null
            const lines = [...panel.querySelectorAll("[data-kind]")], box = panel.getBoundingClientRect()
            const ds = app.canvas.ds, area = app.canvas.canvas.getBoundingClientRect()
            const outer = node.boundingRect ?? node.getBounding()
            const [left, top] = [outer[0], outer[1]].map((v, i) => (v + ds.offset[i]) * ds.scale)
            return {
                lines: lines.map(e => e.textContent), kinds: lines.map(e => e.dataset.kind),
                box: [box.left, box.top, box.width, box.height],
                node: [left + area.left, top + area.top, outer[2] * ds.scale, outer[3] * ds.scale],
                high: panel.scrollHeight, room: panel.clientHeight, least: parseFloat(panel.style.minHeight),
                pictures: pictures.length, compare: panel.querySelectorAll("[data-compare]").length,
                placed: [...node.size],
            }
        }"""
        return self._until(code, way, seconds) or {"lines": [], "kinds": [], "box": [0, 0, 0, 0]}

    def wait_for(self, code: str, seconds: float = 20.0) -> Any:
        """The first answer of the page to ``code`` that is not empty."""
        return self._until(code, None, seconds)

    def _until(self, code: str, argument: Any, seconds: float) -> Any:
        """Ask the page again and again from outside until the answer is not empty; the last answer."""
        end = time.monotonic() + seconds
        while True:
            answer = self.page.evaluate(code, argument)
            if answer or time.monotonic() > end:
                return answer
            time.sleep(0.25)

    def renderer(self) -> str:
        """Which of the editor's renderers draws, as in the names of screenshots."""
        return "nodes2" if self.page.evaluate("() => Boolean(LiteGraph.vueNodesMode)") else "classic"

    def screenshot(self, name: str) -> None:
        """A PNG into the folder for screenshots, if there is one."""
        if self.screenshots is not None:
            time.sleep(0.7)  # the canvas is drawn by frames, and dialogs fade in
            self.page.screenshot(path=self.screenshots / f"{name}.png")
