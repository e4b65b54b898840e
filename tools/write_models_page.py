"""Writes the tables of ``docs/models.md`` from the registry of model files, the only source of what is in them.

python tools/write_models_page.py            write the tables between their marks
python tools/write_models_page.py --check    change nothing; end with 1 if the page is out of date
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from grefine_core.models import NEEDED, REGISTRY, ModelEntry, needed_by
from grefine_core.models.registry import own_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"
log = logging.getLogger("write_models_page")


def workflows_table() -> str:
    """What each shipped workflow asks for, and how much that is."""
    lines = ["| template | files | to download |", "|---|---|---|"]
    for name in NEEDED:
        entries = needed_by(name)
        files = ", ".join(f"`{entry.id}`" for entry in entries) or "–"
        own = own_of(name)
        size = sum(entry.size or 0 for entry in entries)
        amount = "nothing" if not size else f"{size / 1e9:.1f} GB"
        lines.append(f"| `{name}` | {files}{f'; {own}' if own else ''} | {amount} |")
    return "\n".join(lines)


def files_table() -> str:
    """Every file: what it is, how large, under which licence, where from, where to."""
    lines = ["| id | what it is, what for | size | licence | from | to |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(_row(entry) for entry in REGISTRY)])


def _row(entry: ModelEntry) -> str:
    what = f"{entry.title}: {entry.used_for}"
    if entry.shipped is not None:
        return (
            f"| `{entry.id}` | {what} | {entry.size_text} | {entry.licence} | [source]({entry.source}) | in the pack |"
        )
    page = f"https://huggingface.co/{entry.repository}/blob/{entry.revision}/{entry.file}"
    came = f"[{entry.repository}]({page})"
    return (
        f"| `{entry.id}` | {what} | {entry.size_text.removeprefix('about ')} | {entry.licence} | {came} | "
        f"`models/{entry.folder}/{entry.names[0]}` |"
    )


def filled(page: str) -> str:
    """The page with its tables as they should be.

    Raises:
        ValueError: a mark is missing.
    """
    for name, table in (("workflows", workflows_table()), ("files", files_table())):
        start, end = f"<!-- {name}: written by tools/write_models_page.py -->\n", f"\n<!-- end of {name} -->"
        before, found, rest = page.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{PAGE}: the marks of {name!r} are missing")
        page = before + start + table + end + after
    return page


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    page = PAGE.read_text(encoding="utf-8")
    new = filled(page)
    if "--check" in arguments:
        if new != page:
            log.error("%s is out of date: run tools/write_models_page.py", PAGE)
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
