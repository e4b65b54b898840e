"""The real host's prompt parser and tokenizer, in a process of their own, and phrases made by hand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grefine_core.prompt.markup import plain_text, read

# Runs with the host's folder as working directory; nothing of the host is put on this process's path.
_HOST_SCRIPT = r"""
import json, os, sys
out, sys.stdout = sys.stdout, sys.stderr
sys.path.insert(0, os.getcwd())
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
from comfy import sd1_clip
tokenizer = sd1_clip.SDTokenizer()
special = {tokenizer.start_token, tokenizer.end_token, tokenizer.pad_token}
for line in sys.stdin:
    answers = []
    for prompt in json.loads(line):
        pairs = sd1_clip.token_weights(sd1_clip.escape_important(prompt), 1.0)
        weights = [(sd1_clip.unescape_important(text), weight) for text, weight in pairs]
        tokens = [t for batch in tokenizer.tokenize_with_weights(prompt) for t, _ in batch if t not in special]
        answers.append({"weights": weights, "tokens": tokens})
    out.write(json.dumps(answers) + "\n")
    out.flush()
"""


def _comfy_path() -> Path | None:
    root = Path(__file__).resolve().parents[3]
    around = root.parents[1] if root.parent.name == "custom_nodes" else None
    candidates = [os.environ.get("COMFYUI_PATH"), around, Path.home() / "comfy" / "ComfyUI"]
    for candidate in candidates:
        if candidate and (Path(candidate) / "comfy" / "sd1_clip.py").is_file():
            return Path(candidate).resolve()
    return None


@pytest.fixture(scope="session")
def comfy_path() -> Path:
    path = _comfy_path()
    if path is None:
        pytest.skip("no ComfyUI found: set COMFYUI_PATH to compare with the host's own parser")
    return path


class Host:
    """Asks the host what it makes of prompts."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, prompts: list[str]) -> list[dict[str, Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(prompts) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the host's parser ended with {self._process.wait()}"
        return json.loads(answer)


@pytest.fixture(scope="session")
def host(comfy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    log = (tmp_path_factory.mktemp("host") / "log.txt").open("w")
    process = subprocess.Popen(
        [sys.executable, "-c", _HOST_SCRIPT],
        cwd=comfy_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
    )
    yield Host(process)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=60)
    log.close()


def _phrase(prompt: str, ranges: list[tuple[int, int]], is_style: bool = False) -> SimpleNamespace:
    """A phrase of words at these ranges; blanks alone between two of them make one span."""
    spans: list[tuple[int, int]] = []
    for start, end in ranges:
        if spans and not prompt[spans[-1][1] : start].strip():
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    text = " ".join(prompt[start:end] for start, end in ranges)
    return SimpleNamespace(spans=tuple(spans), text=text, is_style=is_style, prompt=prompt)


@pytest.fixture(scope="session")
def verdict() -> Callable[..., Any]:
    """Makes the verdict on a phrase: its words, given as text (searched from left to right) or as ranges."""

    def make(
        prompt: str,
        words: str | list[tuple[int, int]],
        deficit: float = 0.5,
        defect: str = "modifier",
        is_style: bool = False,
    ) -> SimpleNamespace:
        if isinstance(words, str):
            ranges, position = [], 0
            for word in words.split():
                match = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)").search(plain_text(prompt), position)
                assert match, f"{word!r} is not in {prompt!r}"
                ranges.append(match.span())
                position = match.end()
        else:
            ranges = words
        return SimpleNamespace(phrase=_phrase(prompt, ranges, is_style), defect=defect, deficit=deficit)

    return make


def _characters(prompt: str) -> list[int]:
    """Offsets of what reaches the tokenizer."""
    return [
        position
        for segment in read(prompt).segments
        for position in range(segment.start, segment.end)
        if not (prompt[position] == "\\" and prompt[position + 1 : position + 2] in ("(", ")"))
    ]


@pytest.fixture(scope="session")
def carry() -> Callable[..., Any]:
    """Moves verdicts to where their characters stand in the emphasised prompt."""

    def move(verdicts: list[Any], before: str, after: str) -> list[Any]:
        offsets = dict(zip(_characters(before), _characters(after), strict=True))
        moved = []
        for verdict in verdicts:
            ranges: list[tuple[int, int]] = []
            for start, end in verdict.phrase.spans:
                for position in range(start, end):
                    if position not in offsets or before[position].isspace():
                        continue
                    now = offsets[position]
                    if ranges and ranges[-1][1] == now:
                        ranges[-1] = (ranges[-1][0], now + 1)
                    else:
                        ranges.append((now, now + 1))
            phrase = _phrase(after, ranges)
            moved.append(SimpleNamespace(phrase=phrase, defect=verdict.defect, deficit=verdict.deficit))
        return moved

    return move


_PIECES = [
    *["red", "hat", "blue dog", "8k", "dog's", "'quoted'", "the", "U.S.", "blue-eyed", "a", "I", "no hat", "16:9"],
    *[
        "schöne",
        "e\u0301te\u0301",
        "红色 气球",
        "красный",
        "ΟΔΟΣ",
        "हिन्दी",
        "🎈",
        "👩\u200d🚀",
        "zero\u200bwidth",
        "ﬁn",
    ],
    *[
        "<lora:x:1>",
        " embedding:foo",
        "embedding:a\\(b\\) ",
        "BREAK",
        " AND ",
        "__c__",
        "{a|b}",
        "{",
        "}",
        "|",
        "<|endoftext|>",
    ],
    *[
        "(",
        ")",
        "(",
        ")",
        "((",
        "))",
        ":1.2)",
        ":1.35)",
        ":0.5)",
        ":1.2",
        ":",
        ":x)",
        "\\(",
        "\\)",
        "\\",
        "[",
        "]",
        ":1e9)",
    ],
    *[" ", " ", " ", ", ", ", ", ",", ". ", "\n", "  ", "'", "!", "-", "_", "\t", "\u3000", "\0"],
]


@pytest.fixture(scope="session")
def cases(verdict: Callable[..., Any]) -> Any:
    """Prompts full of markup, broken or not, and unmatched phrases in them: whole words or any stretch of letters."""
    from hypothesis import strategies as st

    @st.composite
    def draw_case(draw: Any) -> tuple[str, list[Any]]:
        prompt = "".join(draw(st.lists(st.sampled_from(_PIECES), max_size=14)))
        plain = plain_text(prompt)
        words = [match.span() for match in re.finditer(r"[^\s,():|]+", plain)]
        verdicts = []
        for start, end in words:
            if not draw(st.booleans()):
                continue
            if end - start > 2 and draw(st.integers(0, 5)) == 0:
                start, end = start + 1, end - draw(st.integers(0, 1))
            deficit = draw(st.sampled_from([0.0, 0.13, 0.5, 0.777, 1.0]))
            verdicts.append(verdict(prompt, [(start, end)], deficit))
        return prompt, verdicts

    return draw_case()
