"""Writes all that repeats what the nodes' schemas say, and says which translations are behind.

    python tools/write_node_texts.py                     from the recorded schemas
    python tools/write_node_texts.py --host              record them first, from a ComfyUI that is started for it
    python tools/write_node_texts.py --check             change nothing; end with 1 if a file is out of date
    python tools/write_node_texts.py --translated fr ja  note that these languages were brought up to date

The ComfyUI is the one of COMFYUI_PATH, around the pack, or at ~/comfy/ComfyUI. Written are: the record
(``tests/host/object_info.json``), the English texts (``locales/en``), the lists under *Inputs* and *Outputs* of the
help pages (``web/docs``), headings and tables of ``docs/nodes.md``. A node without a page or section gets one.
Everything else on the pages is written by hand, and kept.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import node_record
import node_translations

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "g-refine"
NODES_PAGE = "docs/nodes.md"
log = logging.getLogger("write_node_texts")


def record() -> dict[str, Any]:
    """The schemas as a ComfyUI gives them.

    Raises:
        SystemExit: there is none, it does not load the pack, or it is too old to tell which inputs are advanced.
    """
    from grefine_core.comfyui.host_api import HostApi
    from grefine_core.comfyui.host_server import HostServer, find_host

    host, looked = find_host(ROOT)
    if host is None:
        raise SystemExit(f"No ComfyUI found at {looked}: set COMFYUI_PATH to the folder of one.")
    with tempfile.TemporaryDirectory() as base, HostServer(host, Path(base), packs={FOLDER: ROOT}) as server:
        with HostApi(server.url) as api:
            nodes = node_record.of_pack(api.get("/object_info"), FOLDER)
        if not nodes:
            raise SystemExit(f"The ComfyUI at {host} did not load the pack:\n{server.log_tail()}")
    if not node_record.is_newer(nodes):
        raise SystemExit(f"The ComfyUI at {host} cannot tell which inputs are advanced: take a newer one.")
    return nodes


def locale(nodes: dict[str, Any]) -> dict[str, Any]:
    """The English texts in the structure that the host's translations have."""
    return {
        name: {
            "display_name": info["display_name"],
            "description": info["description"],
            "inputs": {
                key: {"name": key, "tooltip": options.get("tooltip", "")}
                for key, (_, options) in node_record.inputs(info).items()
            },
            "outputs": {
                str(index): {"name": key, "tooltip": tooltip or ""}
                for index, (key, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
            },
        }
        for name, info in nodes.items()
    }


def _default(key: str, kind: str, options: dict[str, Any]) -> str:
    """What an input is set to at first, in words; nothing where it has to be connected."""
    value = options.get("default")
    if isinstance(value, bool):
        return "on" if value else "off"
    if kind == "STRING" and value is not None:
        return f'"{value}"' if value else "empty"
    if kind == "COMBO" and value is None and key in node_record.FIRST_FOUND:
        return "first found"
    return "" if value is None else str(value)


def _text(text: str) -> str:
    """A tooltip as markdown: `<file>` in plain text would be taken for a tag, and removed."""
    return re.sub(r"(`[^`]*`)|<", lambda found: found[1] or r"\<", text)


def help_lists(info: dict[str, Any]) -> tuple[str, str]:
    """The lists of a help page: inputs, outputs. No tables: the host's panel is narrow, and would hide the meaning."""
    inputs = []
    for key, (kind, options) in node_record.inputs(info).items():
        default = _default(key, kind, options)
        marks = [f"*{word.capitalize()}.* " for word in ("optional", "advanced") if options.get(word)]
        shown = f"{kind}, {default}" if default else kind
        inputs.append(f"- `{key}` *({shown})*: {''.join(marks)}{_text(options['tooltip'])}")
    parts = zip(info["output_name"], info["output"], info["output_tooltips"], strict=True)
    outputs = [f"- `{key}` *({kind})*: {_text(tooltip)}" for key, kind, tooltip in parts]
    return "\n".join(inputs) or "None.", "\n".join(outputs) or "None."


def help_page(info: dict[str, Any], page: str = "") -> str:
    """A node's help page with its title and lists as they should be.

    Raises:
        ValueError: the page lacks a section.
    """
    page = page or f"# \n\n{info['description']}\n\n## Inputs\n\n## Outputs\n"
    page = re.sub(r"\A# [^\n]*", lambda _: f"# {info['display_name']}", page)
    for title, text in zip(("Inputs", "Outputs"), help_lists(info), strict=True):
        new = f"## {title}\n\n{text}\n"
        page, count = re.subn(
            rf"^## {title}\n(.*?)(\n(?=## )|\Z)", lambda found, new=new: new + found[2], page, flags=re.M | re.S
        )
        if count != 1:
            raise ValueError(f"the help page of {info['name']} needs one section '## {title}'")
    return page


def _range(key: str, kind: str, options: dict[str, Any]) -> str:
    words = [word for word in ("optional", "lazy", "advanced") if options.get(word)]
    if options.get("forceInput"):
        words.append("connected")
    elif kind in ("INT", "FLOAT"):
        low, high = (f"{value:g}" if abs(value) < 1e6 else str(value) for value in (options["min"], options["max"]))
        words.append(f"{low}…{'2⁶⁴−1' if options['max'] == 2**64 - 1 else high}".replace("-", "−"))
        if options.get("step", 1) != 1:
            words.append(f"step {options['step']:g}")
    elif kind == "COMBO":
        choices = ", ".join(f"`{choice}`" for choice in options.get("options", ()))
        words.append(choices or ("the host's" if key in ("sampler_name", "scheduler") else "files"))
    elif options.get("multiline"):
        words.append("multi-line")
    if options.get("control_after_generate"):
        words.append("control after generate")
    return ", ".join(words)


def tables(info: dict[str, Any]) -> tuple[str, str]:
    """The tables of docs/nodes.md: inputs, outputs; empty where there are none."""
    inputs = ["| input | type | default | range, choices | what it does |", "|---|---|---|---|---|"]
    for key, (kind, options) in node_record.inputs(info).items():
        default = _default(key, kind, options)
        cells = [f"`{key}`", kind, default, _range(key, kind, options), _text(options["tooltip"])]
        inputs.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    outputs = ["| output | type | what it is |", "|---|---|---|"]
    parts = zip(info["output_name"], info["output"], info["output_is_list"], info["output_tooltips"], strict=True)
    for key, kind, is_list, tooltip in parts:
        outputs.append(f"| `{key}` | {kind}{' *list*' if is_list else ''} | {_text(tooltip)} |")
    return ("\n".join(inputs) if len(inputs) > 2 else "", "\n".join(outputs) if len(outputs) > 2 else "")


def nodes_page(nodes: dict[str, Any], page: str) -> str:
    """docs/nodes.md with each node's heading and tables as they should be; sections of nodes that are gone go."""
    head, *sections = re.split(r"^(?=## )", page.rstrip("\n") + "\n", flags=re.M)
    found: dict[str, str] = {}
    for section in sections:
        title = re.match(r"## [^\n]*`(\w+)`", section)
        if title is None:
            raise ValueError(f"{NODES_PAGE}: a heading that names no node: {section.splitlines()[0]}")
        found[title[1]] = section.rstrip("\n")
    kept = [_section(nodes[name], found[name]) for name in found if name in nodes]
    added = [_section(info, f"## \n\n{info['description']}") for name, info in nodes.items() if name not in found]
    return head + "\n\n".join([*kept, *added]) + "\n"


def _section(info: dict[str, Any], section: str) -> str:
    title, _, text = section.partition("\n")
    # What stands behind the category, such as "takes lists", is no part of the record.
    behind = re.search(r"` \([^)]*\)(.*)", title)
    category = info["category"].rpartition("/")[2]
    title = f"## {info['display_name']} — `{info['name']}` ({category}){behind[1] if behind else ''}"
    for name, table in zip(("input", "output"), tables(info), strict=True):
        here = re.compile(rf"^\| {name} \|.*\n(?:\|.*(?:\n|\Z))*", re.M)
        if here.search(text):
            text = here.sub(lambda _, new=table: new + "\n" if new else "", text, count=1)
        elif table:
            text = f"{text.rstrip()}\n\n{table}"
    return f"{title}\n{text.rstrip()}"


def build(nodes: dict[str, Any], root: Path = ROOT) -> dict[str, str]:
    """The text of every file that is written, by its path inside the repository.

    Args:
        nodes: the schemas, as ``node_record`` keeps them.
        root: where the pages are whose other parts are kept.
    """
    files = {
        "tests/host/object_info.json": json.dumps(nodes, indent=1, ensure_ascii=False) + "\n",
        "locales/en/nodeDefs.json": json.dumps(locale(nodes), indent=2, ensure_ascii=False) + "\n",
        NODES_PAGE: nodes_page(nodes, (root / NODES_PAGE).read_text(encoding="utf-8")),
    }
    for name, info in nodes.items():
        path = root / "web" / "docs" / f"{name}.md"
        files[f"web/docs/{name}.md"] = help_page(info, path.read_text(encoding="utf-8") if path.is_file() else "")
    return files


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check them."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Writes all that repeats what the nodes' schemas say.")
    parser.add_argument("--check", action="store_true", help="change nothing, end with 1 if a file is out of date")
    parser.add_argument("--host", action="store_true", help="ask a ComfyUI for the schemas, not the record")
    parser.add_argument("--translated", nargs="+", default=[], choices=node_translations.LANGUAGES, metavar="LANGUAGE")
    parser.add_argument("--output", type=Path, default=ROOT, help="the folder that is written to")
    options = parser.parse_args(arguments)
    files = build(record() if options.host else node_record.read(), options.output)
    stale = 0
    for name, text in files.items():
        path = options.output / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        log.info("%s: %s", "out of date" if options.check else "written", path)
    english = json.loads(files["locales/en/nodeDefs.json"])
    if options.translated and not options.check:
        node_translations.keep(options.translated, english)
    for language in node_translations.LANGUAGES:
        for line in node_translations.behind(language, english):
            log.warning("locales/%s/nodeDefs.json: %s", language, line)
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
