"""What lies where results go is never replaced unasked, and what was written is never read as a picture."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grefine_core.cli import common, main, maps, refine
from grefine_core.cli.common import check_outputs, output_stems
from grefine_core.errors import InputError
from grefine_core.pictures import find_pictures
from grefine_research.cli.train_options import check_results

PASS = ["--perceptual-bar", "0", "--alignment-bar", "0", "--prompt", "a cup"]


@pytest.fixture
def no_model(monkeypatch):
    monkeypatch.setattr(common, "load_model", lambda _: pytest.fail("a model was loaded"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("taken", ["a.json", "a.mask.png", "a.pq.png"])
def test_maps_leave_files_of_the_same_names_alone(pictures, clip, capsys, taken):
    (pictures / taken).write_bytes(b"mine")
    before = content(pictures)
    assert main(["maps", str(pictures / "a.png"), "--prompt", "a cup", "-o", str(pictures), *clip]) == 1
    message = capsys.readouterr().err
    assert str(pictures / taken) in message
    assert "--overwrite" in message
    assert content(pictures) == before


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("taken", ["c.png", "c.json", "c.sheet.png"])
def test_refine_leaves_files_of_the_same_names_alone(pictures, clip, pipeline, capsys, taken):
    Image.open(pictures / "a.png").save(pictures / "c.jpg")
    (pictures / taken).write_bytes(b"mine")
    before = content(pictures)
    assert main(["refine", str(pictures / "c.jpg"), "-o", str(pictures), *PASS, *pipeline, *clip]) == 1
    assert str(pictures / taken) in capsys.readouterr().err
    assert content(pictures) == before


@pytest.mark.usefixtures("no_model")
def test_a_picture_that_is_read_is_not_replaced_even_if_files_may_be(pictures, clip, pipeline, capsys):
    Image.open(pictures / "b.png").save(pictures / "a.mask.png")
    before = content(pictures)
    assert main(["maps", str(pictures), "--prompt", "a cup", "-o", str(pictures), "--overwrite", *clip]) == 1
    assert "would overwrite" in capsys.readouterr().err
    os.link(pictures / "a.png", pictures / "other.png")
    assert main(["refine", str(pictures / "a.png"), "-o", str(pictures), "--overwrite", *PASS, *pipeline, *clip]) == 1
    assert "would overwrite" in capsys.readouterr().err
    (pictures / "other.png").unlink()
    assert content(pictures) == before


def test_what_passes_stays_where_it_is_and_is_named(pictures, clip, pipeline, capsys):
    Image.open(pictures / "a.png").save(pictures / "c.JPG")
    before = content(pictures)
    assert main(["refine", str(pictures / "c.JPG"), "-o", str(pictures), *PASS, *pipeline, *clip, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["files"]["refined"] == str(pictures / "c.JPG")
    assert content(pictures).keys() - before.keys() == {"c.sheet.png", "c.json"}
    assert before.items() <= content(pictures).items()
    out = pictures / "out"
    assert main(["refine", str(pictures / "c.JPG"), "-o", str(out), *PASS, *pipeline, *clip]) == 0
    assert (out / "c.JPG").read_bytes() == before["c.JPG"]
    assert not (out / "c.png").exists()


def test_maps_of_a_folder_into_itself_a_second_time(pictures, clip, capsys, caplog):
    arguments = ["maps", str(pictures), "--prompt", "a cup", "-o", str(pictures), *clip, "--json"]
    assert main(arguments) == 0
    first = content(pictures)
    capsys.readouterr()
    assert main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    assert [Path(result["image"]).name for result in json.loads(capsys.readouterr().out)] == ["a.png", "b.png"]
    assert content(pictures).keys() == first.keys()
    assert "passed over 14 files that grefine wrote" in caplog.text


def test_results_of_refining_are_no_inputs_of_the_next_run(pictures, models, clip, capsys):
    for name in "ab":
        Image.open(pictures / f"{name}.png").save(pictures / f"{name}.jpg")
        (pictures / f"{name}.png").unlink()
    arguments = ["refine", str(pictures), "-o", str(pictures), "--prompt", "a cup", "--json", *clip, "--device", "cpu"]
    arguments += ["--pipeline", str(models / "pipeline"), "--mode", "paper", "--steps", "2", "--method", "top"]
    assert main([*arguments, "--no-guard"]) == 0
    assert all(result["changed"] for result in json.loads(capsys.readouterr().out))
    assert [path.name for path in find_pictures([pictures], pictures)] == ["a.jpg", "b.jpg"]
    assert [path.name for path in find_pictures([pictures])] == ["a.jpg", "a.png", "b.jpg", "b.png"]


def test_no_file_of_one_picture_is_that_of_another():
    composed = "é.png"
    names = [
        "x.jpg",
        "x.sheet.jpg",
        "X.PNG",
        "x.bmp",
        composed,
        unicodedata.normalize("NFD", composed),
        "y.png",
        "y.png",
    ]
    files = [Path(name) for name in names]
    stems = output_stems(files, refine.endings)
    written = [{stem + ending for ending in refine.endings(file)} for file, stem in stems.items()]
    folded = [name for names in written for name in {unicodedata.normalize("NFC", one).casefold() for one in names}]
    assert len(folded) == len(set(folded))
    assert stems[Path("x.jpg")] == "x"
    assert stems[Path("x.sheet.jpg")] == "x.sheet-2"
    assert stems[Path("y.png")] == "y"


def test_a_name_that_leaves_no_room_is_shortened(tmp_path):
    files = [Path("n" * 250 + ".png"), Path("n" * 249 + "m.png")]
    stems = output_stems(files, lambda _: maps.ENDINGS)
    assert len(set(stems.values())) == 2
    for stem in stems.values():
        for ending in maps.ENDINGS:
            (tmp_path / (stem + ending)).write_bytes(b"")


def test_the_message_says_what_is_in_the_way_and_the_ways_out(tmp_path):
    for name in "ab":
        (tmp_path / name).touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    targets = [tmp_path / name for name in ("a", "b", "c")]
    with pytest.raises(InputError, match=r"a: is there already \(and 1 more.*--output.*--overwrite"):
        check_outputs(targets, False)
    with pytest.raises(InputError, match="dangling"):
        check_outputs([tmp_path / "dangling"], False)
    check_outputs(targets, True)
    (tmp_path / "c.json").mkdir()
    with pytest.raises(InputError, match=r"c\.json is a folder"):
        check_outputs([tmp_path / "c.json"], True)
    check_outputs(targets[2:], False, targets)


@pytest.mark.usefixtures("no_model")
def test_calibrate_does_not_replace_bounds_unasked(pictures, clip, tmp_path, capsys):
    target = tmp_path / "my.json"
    target.write_text("mine")
    assert main(["calibrate", "--images", str(pictures), "-o", str(target), *clip]) == 1
    assert str(target) in (message := capsys.readouterr().err)
    assert "--overwrite" in message
    assert target.read_text() == "mine"


@pytest.mark.usefixtures("no_model")
def test_calibrate_replaces_nothing_that_it_reads(pictures, clip, tmp_path, capsys):
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("image,prompt\na.png,a cup\n")
    for target in (pictures / "a.png", prompts, Path(clip[clip.index("--clip") + 1])):
        before = target.read_bytes()
        named = ["--images", str(pictures), "--prompts", str(prompts)]
        assert main(["calibrate", *named, "-o", str(target), "--overwrite", *clip]) == 1
        assert "would overwrite" in capsys.readouterr().err
        assert target.read_bytes() == before


@pytest.mark.usefixtures("no_model")
def test_prompts_with_commas_that_are_not_quoted_are_not_cut(pictures, clip, tmp_path, capsys):
    (tmp_path / "prompts.csv").write_text("image,prompt\na.png,a cup, on a table\n")
    named = ["--images", str(pictures), "--prompts", str(tmp_path / "prompts.csv")]
    assert main(["calibrate", *named, "-o", str(tmp_path / "b.json"), *clip]) == 1
    assert "row 1 has more cells" in capsys.readouterr().err


def test_demo_leaves_files_of_the_same_names_alone(tmp_path, miniature_folder, monkeypatch, capsys):
    monkeypatch.setenv("GREFINE_MINIATURE", str(miniature_folder))
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (41, 70, 3), dtype=np.uint8)).save(tmp_path / "mine.jpg")
    (tmp_path / "mine.json").write_bytes(b"mine")
    (tmp_path / "miniature-3.truth.png").write_bytes(b"mine")
    before = content(tmp_path)
    assert main(["demo", "--image", str(tmp_path / "mine.jpg"), "--prompt", "a cup", "-o", str(tmp_path)]) == 1
    assert "mine.json" in capsys.readouterr().err
    assert main(["demo", "--index", "3", "-o", str(tmp_path)]) == 1
    assert "miniature-3.truth.png" in capsys.readouterr().err
    assert content(tmp_path) == before


def test_demo_leaves_ones_own_picture_exactly_as_it_is(tmp_path, miniature_folder, monkeypatch):
    monkeypatch.setenv("GREFINE_MINIATURE", str(miniature_folder))
    pixels = np.random.default_rng(1).integers(0, 256, (41, 70, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mine.webp", lossless=True)
    bars = ["--perceptual-bar", "0", "--alignment-bar", "0", "--region-bar", "0"]
    out = tmp_path / "out"
    assert main(["demo", "--image", str(tmp_path / "mine.webp"), "--prompt", "a cup", "-o", str(out), *bars]) == 0
    assert (out / "mine.refined.webp").read_bytes() == (tmp_path / "mine.webp").read_bytes()


def test_folders_as_they_are(tmp_path, caplog):
    image = Image.new("RGB", (8, 8))
    for name, kind in (("a.png", "PNG"), ("b.jfif", "JPEG"), ("c.JPE", "JPEG"), ("d.tif", "TIFF"), ("e.gif", "GIF")):
        image.save(tmp_path / name, kind)
    for name in ("._a.png", ".hidden.png", "Thumbs.db", "f.HEIC", "notes.txt", "a.json"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_pictures([tmp_path])] == ["a.png", "b.jfif", "c.JPE", "d.tif", "e.gif"]
    assert "passed over f.HEIC" in caplog.text
    assert "Thumbs" not in caplog.text
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "x.heic").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds no picture but x\.heic"):
        find_pictures([tmp_path / "only"])


@pytest.mark.parametrize("half", ["indicators", "refine"])
def test_evaluate_leaves_files_alone_that_no_run_of_its_own_wrote(tmp_path, capsys, half):
    (tmp_path / f"{half}.json").write_text("mine")
    arguments = ["evaluate", half, "--dataset", "folder", "--data", str(tmp_path), "-o", str(tmp_path), "--miniature"]
    assert main(arguments) == 1
    assert f"{half}.json: is there already" in capsys.readouterr().err
    assert (tmp_path / f"{half}.json").read_text() == "mine"
    (tmp_path / "records" / half).mkdir(parents=True)
    assert main(arguments) == 1
    assert "is there already" not in capsys.readouterr().err


def test_training_replaces_only_what_the_same_work_folder_made(tmp_path):
    target, tuned = tmp_path / "bounds.json", tmp_path / "tuned.safetensors"
    target.touch()
    tuned.touch()
    with pytest.raises(InputError, match=r"bounds\.json: is there already"):
        check_results([target, tuned], tmp_path, False)
    check_results([target, tuned], tmp_path, True)
    log = tmp_path / "bounds.training.json"
    log.write_text(json.dumps({"result": str(target), "fine-tuning": {}}))
    with pytest.raises(InputError, match=r"tuned\.safetensors: is there already"):
        check_results([target, tuned], tmp_path, False)
    log.write_text(json.dumps({"result": str(target), "fine-tuning": {"file": str(tuned)}}))
    check_results([target, tuned], tmp_path, False)


def test_bulk_refines_into_no_folder_of_the_users_pictures(pictures, capsys):
    arguments = ["bulk", "refine", "--dataset", "folder", "--data", str(pictures), "--miniature"]
    assert main([*arguments, "-o", str(pictures.parent)]) == 1
    assert f"{pictures}: is there already" in capsys.readouterr().err
