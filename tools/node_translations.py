"""The pack's texts in other languages: where they lie, and which English text each was translated from.

``translated_from.json`` keeps a digest of the English text for every translation, so that a text that changed since is
found. With a translation brought up to date, keep the digests of its language anew:

    python tools/write_node_texts.py --translated fr ja

Names of inputs and outputs are the ids by which errors, help pages and saved workflows know them; only those that the
host's own nodes have, too, are shown as the host translates them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCALES = ROOT / "locales"
DIGESTS = ROOT / "tests" / "nodes" / "translated_from.json"
#: Of those that ComfyUI can be set to.
LANGUAGES = ("fr", "ja", "ko", "zh")


def nodes(language: str) -> dict[str, Any]:
    """What the host reads of `language`'s texts for the nodes."""
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def categories(language: str) -> dict[str, str]:
    """What the parts of the nodes' categories are called in `language`."""
    return json.loads((LOCALES / language / "main.json").read_text(encoding="utf-8"))["nodeCategories"]


def flat(tree: dict[str, Any], path: str = "") -> dict[str, str]:
    """All strings of `tree` by their dotted paths."""
    strings: dict[str, str] = {}
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        strings.update(flat(value, here) if isinstance(value, dict) else {here: value})
    return strings


def is_name(path: str) -> bool:
    """Whether `path` is the name of an input or output, not a text."""
    return path.endswith(".name")


def texts(tree: dict[str, Any]) -> dict[str, str]:
    """The texts of a language without the names of inputs and outputs."""
    return {path: text for path, text in flat(tree).items() if not is_name(path)}


def digest(text: str) -> str:
    """A short mark of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def translated_from() -> dict[str, dict[str, str]]:
    """For each language and path the digest of the English text that was translated."""
    return json.loads(DIGESTS.read_text(encoding="utf-8")) if DIGESTS.exists() else {}


def keep(languages: list[str], english: dict[str, Any]) -> None:
    """Note that the translations into `languages` are of these English texts."""
    today = {path: digest(text) for path, text in texts(english).items()}
    digests = {**translated_from(), **dict.fromkeys(languages, today)}
    DIGESTS.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def behind(language: str, english: dict[str, Any]) -> list[str]:
    """What `language` lacks, has too much, or has of an English text that changed since; a line for each."""
    given, wanted = flat(nodes(language)), flat(english)
    known = translated_from().get(language, {})
    return [
        *(f"missing: {path}: {text}" for path, text in wanted.items() if path not in given),
        *(f"too much: {path}" for path in given if path not in wanted),
        *(
            f"translate anew: {path}: {text}"
            for path, text in texts(english).items()
            if path in given and known.get(path) != digest(text)
        ),
    ]
