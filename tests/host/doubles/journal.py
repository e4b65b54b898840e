"""What the doubles were asked to do, as lines of JSON in the host's temporary folder, for the tests to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import folder_paths


def note(journal: str, **entry: Any) -> int:
    """Append an entry to ``temp/JOURNAL.jsonl``; returns how many there are now. An empty name notes nothing."""
    if not journal:
        return 0
    path = Path(folder_paths.get_temp_directory()) / f"{journal}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    return len(path.read_text(encoding="utf-8").splitlines())
