"""Tables as they are found: separators of lines inside of texts, encodings, rows that are none."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from grefine_core.errors import InputError
from grefine_core.tables import BadRow, read_table
from grefine_research.datasets import open_dataset
from grefine_research.datasets.walking import files_below


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_json_lines_end_at_line_feeds_alone(tmp_path, character):
    lines = [json.dumps({"image": name, "prompt": f"a{character}b"}, ensure_ascii=False) for name in ("a", "b")]
    for end in ("\n", "\r\n"):
        (tmp_path / "t.jsonl").write_text(end.join(lines) + end, encoding="utf-8", newline="")
        assert [row["prompt"] for row in read_table(tmp_path / "t.jsonl")] == [f"a{character}b"] * 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_mark_of_the_encoding_is_heeded(tmp_path, encoding):
    (tmp_path / "t.tsv").write_text("image\tprompt\na.png\ta café\n", encoding=encoding)
    (tmp_path / "t.jsonl").write_text('{"image": "a.png", "prompt": "a café"}\n', encoding=encoding)
    for name in ("t.tsv", "t.jsonl"):
        assert read_table(tmp_path / name) == [{"image": "a.png", "prompt": "a café"}]


def test_a_prompt_of_any_length(tmp_path):
    (tmp_path / "t.csv").write_text(f"image,prompt\na.png,{'cat ' * 50_000}\n", encoding="utf-8")
    assert len(read_table(tmp_path / "t.csv")[0]["prompt"]) == 199_999


@pytest.mark.parametrize(
    "text", ['image,prompt\na.png,"a cat\nb.png,a dog\n', "image,prompt,prompt\na.png,a cat,a dog\n"]
)
def test_tables_that_would_be_misread_are_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"t\.csv: cannot be read"):
        read_table(tmp_path / "t.csv")


def test_rows_that_cannot_be_used_are_reported_and_the_others_used(tmp_path, drawn):
    for name in "abcd":
        drawn(tmp_path / f"{name}.png")
    lines = [
        '{"image": "a.png", "prompt": "a cat"}',
        '{"image": "b.png", "pro',
        '{"image": "b.png", "prompt": ["a cat", "a dog"]}',
        "[" * 100_000,
        '{"image": "c.png", "prompt": NaN}',
        '{"image": "d.png", "prompt": "half \\ud83d"}',
        '{"image": "nul\\u0000.png", "prompt": "a cat"}',
        json.dumps({"image": "x" * 300 + ".png", "prompt": "a cat"}),
        '"no object"',
    ]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = open_dataset("csv", tmp_path)
    assert {one.key: one.prompt for one in found.examples} == {"a.png": "a cat", "c.png": "", "d.png": "half \ufffd"}
    reasons = {one.key: one.reason for one in found.skipped}
    assert set(reasons) == {"row 2", "b.png", "row 4", "row 9", "nul\0.png", "x" * 300 + ".png"}
    assert "is no JSON" in reasons["row 2"]
    assert "no text" in reasons["b.png"]
    assert "is not an object" in reasons["row 9"]


def test_a_table_without_any_row_that_can_be_read_is_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"image"\n', encoding="utf-8")
    (tmp_path / "t.json").write_text("[" * 100_000, encoding="utf-8")
    for name in ("t.jsonl", "t.json"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read"):
            read_table(tmp_path / name)
    (tmp_path / "t.json").write_text('[{"image": "a.png"}, 3]', encoding="utf-8")
    good, bad = read_table(tmp_path / "t.json")
    assert good == {"image": "a.png"}
    assert isinstance(bad, BadRow)


def test_files_that_cannot_be_read_do_not_stop_the_others(tmp_path, drawn):
    for name in "ab":
        drawn(tmp_path / f"{name}.png").with_suffix(".txt").write_bytes(b"a cat" if name == "a" else b"a caf\xe9")
    Image.new("RGB", (8, 8)).save(tmp_path / "c.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:40])
    found = open_dataset("folder", tmp_path)
    assert [one.key for one in found.examples] == ["a.png"]
    reasons = {one.key: one.reason for one in found.skipped}
    assert "not in UTF-8" in reasons["b.png"]
    assert "not a readable picture" in reasons["c.png"]


def test_hidden_files_and_results_are_no_data(tmp_path):
    names = ["a.png", "deep/b.PNG", "._a.png", "deep/.half.png", "c.txt", "run/pictures/a.png", "run/own/d.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert len(files_below(tmp_path, (".png",))) == 4
    (tmp_path / "run" / "scores_run.json").touch()
    assert len(files_below(tmp_path, (".png",))) == 4
    (tmp_path / "run" / "refined_run.json").touch()
    found = [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path, (".png",))]
    assert found == ["a.png", "deep/b.PNG", "run/own/d.png"]
