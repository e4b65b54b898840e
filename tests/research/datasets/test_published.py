"""Databases of ratings: their layouts, and what becomes of rows that cannot be used."""

from __future__ import annotations

import csv

import pytest

from grefine_core.errors import InputError
from grefine_research.datasets import Scale, open_dataset


def write_csv(path, head, rows):
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(head)
        writer.writerows(rows)


def write_excel(path, head, rows):
    from openpyxl import Workbook

    book = Workbook()
    for row in (head, *rows):
        book.active.append(list(row))
    book.save(path)


def test_agiqa_3k(agiqa, agiqa_rows):
    found = open_dataset("agiqa-3k", agiqa)
    assert (found.name, len(found), found.skipped, found.splits) == ("AGIQA-3K", len(agiqa_rows), (), ())
    assert {example.group for example in found.examples} == {
        "AttnGAN", "DALLE2", "glide", "midjourney", "sd1.5", "xl2.2",
    }  # fmt: skip
    for example, row in zip(found.examples, agiqa_rows, strict=True):
        assert (example.key, example.prompt) == (row["name"], row["prompt"])
        assert example.scores == {"perception": float(row["mos_quality"]), "alignment": float(row["mos_align"])}
        assert example.image == agiqa / row["name"]
    assert found.scales == {"perception": Scale(0.0, 5.0), "alignment": Scale(0.0, 5.0)}
    assert found.unit_scores("perception")[0] == pytest.approx(float(agiqa_rows[0]["mos_quality"]) / 5)
    assert found.unit_scores("mos") == [None] * len(agiqa_rows)


def test_pictures_elsewhere_and_fewer_of_them(agiqa, agiqa_rows, tmp_path):
    (agiqa / "data.csv").rename(tmp_path / "other.csv")
    with pytest.raises(InputError, match=r"data\.csv"):
        open_dataset("agiqa-3k", agiqa)
    found = open_dataset("agiqa-3k", agiqa, table=tmp_path / "other.csv", images=agiqa, limit=7)
    assert len(found) == 7
    places = [[row["name"] for row in agiqa_rows].index(example.key) for example in found.examples]
    assert places == sorted(places)
    assert places[-1] - places[0] > 0.8 * len(agiqa_rows) - 5


def test_what_cannot_be_used_is_reported(agiqa, agiqa_rows, drawn):
    names = [row["name"] for row in agiqa_rows]
    (agiqa / names[0]).unlink()
    (agiqa / names[1]).write_bytes(b"")
    (agiqa / names[2]).write_bytes(b"no picture at all")
    whole = (agiqa / names[3]).read_bytes()
    (agiqa / names[3]).write_bytes(whole[: len(whole) * 4 // 5])
    with (agiqa / "data.csv").open("a", encoding="utf-8", newline="") as stream:
        stream.write("new_000.jpg,a prompt,,,,good,0.1,3.0,0.1\n")
        stream.write("new_001.jpg,a prompt, with commas,,,,1.0,0.1,3.0,0.1\n")
        stream.write("new_002.jpg,a prompt,,,,nan,0.1,3.0,0.1\n")
        stream.write(f"{names[5]},a prompt,,,,1.0,0.1,3.0,0.1\n")
        stream.write(",a prompt,,,,1.0,0.1,3.0,0.1\n")
        stream.write("new_003.jpg,a prompt,,,,,,3.0,0.1\n")
    for number in range(4):
        drawn(agiqa / f"new_00{number}.jpg")
    found = open_dataset("agiqa-3k", agiqa)
    reasons = {one.key: one.reason for one in found.skipped}
    assert "no such picture" in reasons[names[0]]
    assert "empty" in reasons[names[1]]
    assert "not a readable picture" in reasons[names[2]]
    assert "'good', which is no number" in reasons["new_000.jpg"]
    assert "more cells" in reasons["new_001.jpg"]
    assert "no number" in reasons["new_002.jpg"]
    assert "more than one row" in reasons[names[5]]
    assert "no file name" in reasons[f"row {len(agiqa_rows) + 5}"]
    assert len(found.skipped) == 8
    # A row without one of its scores still has the other.
    assert found.examples[-1].key == "new_003.jpg"
    assert found.examples[-1].scores == {"alignment": 3.0}
    # A picture that is cut short begins like any other: only reading all of it tells.
    assert names[3] in {example.key for example in found.examples}
    strict = open_dataset("agiqa-3k", agiqa, check="decode")
    assert "truncated" in next(one.reason for one in strict.skipped if one.key == names[3])
    loose = open_dataset("agiqa-3k", agiqa, check="exists")
    assert names[2] in {example.key for example in loose.examples}


def test_nothing_usable(agiqa):
    for file in agiqa.glob("*.jpg"):
        file.unlink()
    with pytest.raises(InputError, match=r"nothing that can be used.*no such picture"):
        open_dataset("agiqa-3k", agiqa)


@pytest.mark.parametrize("write", [write_csv, write_excel])
def test_aigiqa_20k_in_its_split(tmp_path, drawn, write):
    suffix = "csv" if write is write_csv else "xlsx"
    head = ("name", "prompt", "mos")
    write(
        tmp_path / f"info_train.{suffix}", head, [("DALLE2_0000.png", "a cat, asleep", 3.66), ("SSD1B_1.png", "b", 4)]
    )
    write(tmp_path / f"info_val.{suffix}", head, [("DALLE2_0001.png", "c", 2.5)])
    # The ratings of the test were not part of the challenge.
    write(tmp_path / f"info_test.{suffix}", head[:2], [("SDXL_base_7.png", "d")])
    for name in ("train/DALLE2_0000.png", "train/SSD1B_1.png", "val/DALLE2_0001.png", "test/SDXL_base_7.png"):
        drawn(tmp_path / name)
    found = open_dataset("aigiqa-20k", tmp_path)
    told = [(example.key, example.split, example.group, dict(example.scores)) for example in found.examples]
    assert told == [
        ("train/DALLE2_0000.png", "train", "DALLE2", {"mos": 3.66}),
        ("train/SSD1B_1.png", "train", "SSD1B", {"mos": 4.0}),
        ("val/DALLE2_0001.png", "validation", "DALLE2", {"mos": 2.5}),
        ("test/SDXL_base_7.png", "test", "SDXL_base", {}),
    ]
    assert found.examples[0].prompt == "a cat, asleep"
    assert found.splits == ("train", "validation", "test")
    assert len(found.of_split("train")) == 2
    only = open_dataset("aigiqa-20k", tmp_path, split="test")
    assert [example.key for example in only.examples] == ["test/SDXL_base_7.png"]


def test_agiqa_1k(tmp_path, drawn):
    head, body = (
        ("Image", "Prompt", "MOS"),
        [("deepai_0_3_0_1.jpg", "bird", 2.5), ("dreamStudio_1_1_0_0.jpg", "cat", 5)],
    )
    write_excel(tmp_path / "AIGC_MOS_Zscore.xlsx", head, body)
    for name, *_ in body:
        drawn(tmp_path / "file" / name)
    found = open_dataset("agiqa-1k", tmp_path)
    assert [(example.prompt, example.group, example.scores["mos"]) for example in found.examples] == [
        ("bird", "deepai", 2.5),
        ("cat", "dreamStudio", 5.0),
    ]
    (tmp_path / "AIGC_MOS_Zscore.xlsx").unlink()
    # The table without prompts, which lies beside it.
    write_csv(tmp_path / "AIGC_all.csv", ("Image", "Score"), [row[::2] for row in body])
    found = open_dataset("agiqa-1k", tmp_path)
    assert [(example.prompt, example.scores["mos"]) for example in found.examples] == [("", 2.5), ("", 5.0)]


def test_a_damaged_table(tmp_path):
    (tmp_path / "AIGC_MOS_Zscore.xlsx").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"AIGC_MOS_Zscore\.xlsx: cannot be read"):
        open_dataset("agiqa-1k", tmp_path)
    write_csv(tmp_path / "data.csv", ("file", "text"), [("a.png", "b")])
    with pytest.raises(InputError, match=r"no column 'name', 'prompt', .*it has file, text"):
        open_dataset("agiqa-3k", tmp_path)
    (tmp_path / "data.csv").write_bytes(b"name,prompt\n\xff\xfe,1\n")
    with pytest.raises(InputError, match="UTF-8"):
        open_dataset("agiqa-3k", tmp_path)
