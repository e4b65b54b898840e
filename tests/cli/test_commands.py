import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from grefine_core.cli import main
from grefine_core.cli.queue import parse_override
from grefine_core.errors import InputError


def test_score_prints_json(pictures, clip, capsys):
    assert main(["score", str(pictures), "--prompt", "a red cup on a table", *clip, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["image"].rsplit("/", 1)[-1] for result in results] == ["a.png", "b.png"]
    for result in results:
        assert 0 <= result["perceptual"] <= 1
        assert 0 <= result["alignment"] <= 1
        assert set(result["factors"]) == {"overall", "technical", "rational", "natural"}
        assert 0 < result["worst_region"] < 1
        assert [phrase["text"] for phrase in result["phrases"]] == ["red cup", "table"]
    assert results[0]["perceptual"] != results[1]["perceptual"]
    assert set(result["shares"]) >= set(result["factors"])
    assert all(phrase["share"] <= 1.0 for phrase in result["phrases"])
    assert main(["score", str(pictures / "a.png"), *clip]) == 0
    assert f"worst region {results[0]['worst_region']:.3f}" in capsys.readouterr().out


def test_score_without_a_prompt_is_perceptual_alone(pictures, clip, capsys):
    assert main(["score", str(pictures / "a.png"), *clip, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["alignment"] is None
    assert result["prompt"] is None
    assert main(["score", str(pictures / "a.png"), *clip]) == 0
    assert "not measured: no prompt" in capsys.readouterr().out


@pytest.mark.parametrize("prompt", ["", "8k, trending on artstation"])
def test_a_prompt_that_names_nothing_is_not_measured(pictures, clip, tmp_path, capsys, prompt):
    picture = str(pictures / "a.png")
    assert main(["score", picture, "--prompt", prompt, *clip, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["alignment"] is None
    assert "nothing to look for" in result["not_measured"]
    assert main(["score", picture, "--prompt", prompt, *clip]) == 0
    assert "alignment   not measured: the prompt names" in capsys.readouterr().out
    assert main(["maps", picture, "--prompt", prompt, "-o", str(tmp_path / "maps"), *clip, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["alignment"] is None
    assert not np.asarray(Image.open(result["files"]["aq-defects"])).any()


def test_prompt_comes_from_text_file_then_metadata(pictures, clip, capsys):
    entries = PngInfo()
    entries.add_text("parameters", "a cat on a mat\nSteps: 3")
    Image.open(pictures / "a.png").save(pictures / "a.png", pnginfo=entries)
    main(["score", str(pictures / "a.png"), *clip, "--json"])
    assert json.loads(capsys.readouterr().out)[0]["prompt"] == "a cat on a mat"
    (pictures / "a.txt").write_text("a dog\n")
    main(["score", str(pictures / "a.png"), *clip, "--json"])
    assert json.loads(capsys.readouterr().out)[0]["prompt"] == "a dog"


def test_a_broken_picture_does_not_stop_the_others(pictures, clip, capsys):
    (pictures / "aa.png").write_bytes(b"rubbish")
    assert main(["score", str(pictures), "--prompt", "a cup", *clip, "--json"]) == 3
    captured = capsys.readouterr()
    results = json.loads(captured.out)
    assert ["error" in result for result in results] == [False, True, False]
    assert "aa.png" in captured.err


def test_maps_writes_files_of_the_pictures_size(pictures, clip, tmp_path, capsys):
    out = tmp_path / "maps"
    assert main(["maps", str(pictures), "--prompt", "a red cup", "-o", str(out), *clip, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    kinds = {"pq", "pq-defects", "aq-defects", "mask", "mask-composite", "pq-defects-overlay", "aq-defects-overlay"}
    for result, size in zip(results, [(64, 48), (41, 70)], strict=True):
        assert 0 < result["worst_region"] < 1
        assert kinds <= set(result["files"])
        for kind in kinds:
            assert Image.open(result["files"][kind]).size == size
        written = json.loads((out / f"{Path(result['image']).stem}.json").read_text())
        assert (written["image"], written["prompt"]) == (result["image"], "a red cup")


def test_pictures_of_one_name_do_not_overwrite_each_other(pictures, clip, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (33, 21), "blue").save(other / "a.png")
    out = tmp_path / "maps"
    arguments = [str(pictures / "a.png"), str(other / "a.png"), "--prompt", "a cup", "-o", str(out)]
    assert main(["maps", *arguments, *clip]) == 0
    assert Image.open(out / "a.mask.png").size == (64, 48)
    assert Image.open(out / "a-2.mask.png").size == (33, 21)


def test_refine_writes_picture_sheet_and_report(pictures, models, clip, tmp_path, capsys):
    out = tmp_path / "refined"
    code = main(
        [
            "refine",
            str(pictures / "a.png"),
            "--prompt",
            "a red cup",
            "-o",
            str(out),
            "--pipeline",
            str(models / "pipeline"),
            "--device",
            "cpu",
            "--steps",
            "2",
            "--no-guard",
            "--method",
            "top",
            "--json",
            *clip,
        ]
    )
    assert code == 0
    (result,) = json.loads(capsys.readouterr().out)
    refined, given = np.asarray(Image.open(out / "a.png")), np.asarray(Image.open(pictures / "a.png"))
    assert refined.shape == given.shape
    assert (refined != given).any()
    assert json.loads(Image.open(out / "a.png").text["grefine"])["prompt"] == "a red cup"
    assert json.loads((out / "a.json").read_text())["prompt"] == "a red cup"
    assert result["changed"] is True
    assert result["after"]["factors"] != result["before"]["factors"]
    assert result["after"]["worst_region"] != result["before"]["worst_region"]
    main(["score", str(out / "a.png"), "--prompt", "a red cup", *clip, "--json"])
    (again,) = json.loads(capsys.readouterr().out)
    assert again["factors"] == pytest.approx(result["after"]["factors"], abs=1e-3)
    assert again["worst_region"] == pytest.approx(result["after"]["worst_region"], abs=1e-3)
    assert again["alignment"] == pytest.approx(result["after"]["alignment"], abs=1e-3)
    assert (out / "a.sheet.png").stat().st_size > 0


def test_refine_gated_on_a_good_picture_copies_it_exactly_and_loads_no_pipeline(
    pictures, clip, pipeline, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("grefine_core.cli.engines.load_inpainter", lambda _: pytest.fail("a pipeline was loaded"))
    out = tmp_path / "refined"
    code = main(
        [
            "refine",
            str(pictures / "a.png"),
            "--prompt",
            "a red cup",
            "-o",
            str(out),
            *clip,
            "--device",
            "cpu",
            *pipeline,
            "--perceptual-bar",
            "0",
            "--alignment-bar",
            "0",
        ]
    )
    assert code == 0
    assert (np.asarray(Image.open(out / "a.png")) == np.asarray(Image.open(pictures / "a.png"))).all()
    assert "  unchanged: the picture is as it was" in capsys.readouterr().out.splitlines()


def test_refine_asks_the_worst_region_if_it_has_a_bar(pictures, models, clip, tmp_path, capsys):
    arguments = ["refine", str(pictures / "a.png"), "--prompt", "a red cup", "-o", str(tmp_path / "refined"), *clip]
    arguments += ["--pipeline", str(models / "pipeline"), "--device", "cpu", "--steps", "2", "--method", "top"]
    arguments += ["--perceptual-bar", "0", "--alignment-bar", "0", "--no-guard", "--json", "--overwrite"]
    reports = []
    for bar in ("0", "1"):
        assert main([*arguments, "--region-bar", bar]) == 0
        reports += json.loads(capsys.readouterr().out)
    not_asked, asked = reports
    assert not not_asked["changed"]
    assert asked["changed"]
    assert (asked["plan"]["run_stage1"], asked["plan"]["run_stage2"]) == (True, False)
    assert f"worst region {asked['before']['worst_region']:.2f} is below its bar of 1.00" in asked["plan"]["reason"]


def test_an_output_that_cannot_be_written_to_is_found_out_before_any_work(
    pictures, pipeline, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("grefine_core.cli.common.load_model", lambda _: pytest.fail("a model was loaded"))
    monkeypatch.setattr("grefine_core.models.finding.weight_file", Path)
    taken = tmp_path / "taken"
    taken.write_text("a file")
    commands = (
        ["maps", pictures / "a.png", "--prompt", "a cat", "-o", taken],
        ["refine", pictures / "a.png", "--prompt", "a cat", "-o", taken / "deeper", *pipeline],
        ["calibrate", "--images", pictures, "--clip", "clip", "-o", taken / "bounds.json"],
    )
    for command in commands:
        assert main([str(part) for part in command]) == 1
        assert "--output" in capsys.readouterr().err


def test_refine_never_overwrites_what_it_reads(pictures, clip, pipeline, capsys):
    before = (pictures / "a.png").read_bytes()
    arguments = ["refine", str(pictures), "--prompt", "a cup", *pipeline, *clip]
    assert main([*arguments, "-o", str(pictures)]) == 1
    assert "would overwrite" in capsys.readouterr().err
    assert (pictures / "a.png").read_bytes() == before


def test_texts_in_another_encoding_are_said_to_be(pictures, clip, tmp_path, capsys):
    (pictures / "a.txt").write_bytes("a café".encode("latin-1"))
    assert main(["score", str(pictures / "a.png"), *clip]) == 1
    assert "a.txt: is not in UTF-8" in capsys.readouterr().err
    (pictures / "a.txt").write_bytes("a café".encode("utf-8-sig"))
    assert main(["score", str(pictures / "a.png"), *clip, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["prompt"] == "a café"
    (tmp_path / "t.csv").write_bytes("image,prompt\na.png,a café\n".encode("latin-1"))
    assert main(["calibrate", "--images", str(pictures), "--prompts", str(tmp_path / "t.csv"), *clip]) == 1
    assert "no CSV file in UTF-8" in capsys.readouterr().err


def test_calibrate_names_its_own_option_for_prompts(pictures, clip, capsys):
    assert main(["calibrate", "--images", str(pictures), *clip]) == 1
    assert "no prompt. Give --prompts, or a text file" in capsys.readouterr().err


def test_calibrate_then_score_uses_it(pictures, models, clip, tmp_path, capsys):
    table = tmp_path / "prompts.csv"
    table.write_text("image,prompt\na.png,a red cup\n", encoding="utf-8")
    target = tmp_path / "my.json"
    code = main(["calibrate", "--images", str(pictures), "--prompts", str(table), "-o", str(target), *clip, "--json"])
    captured = capsys.readouterr()
    assert code == 3  # b.png has no prompt: said, and skipped
    assert "b.png" in captured.err
    made = json.loads(captured.out)
    assert made["pictures"] == 1
    assert json.loads(target.read_text())["bounds"] == made["bounds"]
    assert main(["score", str(pictures / "a.png"), "--prompt", "a cup", "--calibration", str(target), *clip]) == 0


def test_calibrate_needs_its_columns(pictures, clip, tmp_path, capsys):
    (tmp_path / "bad.csv").write_text("file,text\n")
    arguments = ["calibrate", "--images", str(pictures), "--prompts", str(tmp_path / "bad.csv")]
    assert main([*arguments, "-o", str(tmp_path / "x.json"), *clip]) == 1
    assert "columns 'image' and 'prompt'" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_models_list_and_verify(tmp_path, capsys):
    assert main(["models", "list", "--folder", str(tmp_path), "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["clip-vit-b-16"]["path"] is None
    assert rows["pq-embeddings"]["path"] is not None
    assert main(["models", "verify", "--folder", str(tmp_path)]) == 0
    assert "ok    pq-embeddings" in capsys.readouterr().out
    wrong = tmp_path / "clip.safetensors"
    wrong.write_bytes(b"\0" * 64)
    assert main(["models", "verify", "clip-vit-b-16", "--file", str(wrong)]) == 1
    assert "WRONG clip-vit-b-16" in capsys.readouterr().out


def test_models_download_offline_says_where_from_and_where_to(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["models", "download", "clip-vit-b-16", "--folder", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "HF_HUB_OFFLINE" in message
    assert str(tmp_path) in message
    assert not list(tmp_path.iterdir())


def test_missing_weights_say_what_to_do(pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GREFINE_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    assert main(["score", str(pictures), "--prompt", "a cup"]) == 1
    message = capsys.readouterr().err
    assert str(tmp_path / "none") in message
    assert "grefine models download" in message


def test_wrong_usage_is_2():
    with pytest.raises(SystemExit) as stopped:
        main(["score"])
    assert stopped.value.code == 2


def test_overrides_of_queue():
    assert parse_override("Refine Plan.steps=10") == (("Refine Plan", "steps"), 10)
    assert parse_override("Prompt.value=a = b") == (("Prompt", "value"), "a = b")
    for bad in ("steps=1", "Plan.steps", ".steps=1", "Plan.=1"):
        with pytest.raises(InputError, match=r"NODE\.INPUT=VALUE"):
            parse_override(bad)


def test_queue_without_a_server_says_so(tmp_path, capsys):
    workflow = tmp_path / "w.json"
    workflow.write_text(json.dumps({"1": {"class_type": "X", "inputs": {}}}))
    assert main(["queue", str(workflow), "--server", "http://127.0.0.1:9"]) == 1
    assert "http://127.0.0.1:9" in capsys.readouterr().err


@pytest.fixture
def two_prompts(pictures):
    """A picture whose graph saves two, made with different prompts."""
    graph = {"6": encoder("a red cup"), "7": encoder("a castle")}
    for key, text in (("3", "6"), ("4", "7")):
        graph[key] = {"class_type": "KSampler", "inputs": {"seed": 1, "positive": [text, 0]}}
        graph["9" + key] = {"class_type": "SaveImage", "inputs": {"images": [key, 0], "filename_prefix": "x"}}
    entries = PngInfo()
    entries.add_text("prompt", json.dumps(graph))
    Image.open(pictures / "a.png").save(pictures / "a.png", pnginfo=entries)
    return pictures / "a.png"


def encoder(text):
    return {"class_type": "CLIPTextEncode", "inputs": {"text": text}, "_meta": {"title": f"Text of {text}"}}


def test_of_several_prompts_none_is_guessed(two_prompts, clip, tmp_path, capsys, caplog):
    assert main(["score", str(two_prompts), *clip, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["prompt"], result["alignment"]) == (None, None)
    assert "'a castle'" in caplog.text
    assert "--prompt-from" in caplog.text
    assert main(["maps", str(two_prompts), "-o", str(tmp_path / "maps"), *clip]) == 1
    assert "no prompt for certain: several prompts" in capsys.readouterr().err


def test_the_node_that_has_the_prompt_can_be_named(two_prompts, clip, tmp_path, capsys):
    for node in ("7", "text of a castle", "4"):
        assert main(["score", str(two_prompts), "--prompt-from", node, *clip, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["prompt"] == "a castle"
    out = tmp_path / "maps"
    assert main(["maps", str(two_prompts), "--prompt-from", "7", "-o", str(out), *clip, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["prompt"] == "a castle"
    assert main(["score", str(two_prompts), "--prompt-from", "44", *clip]) == 1
    assert "--prompt-from: no node '44'" in capsys.readouterr().err
    assert main(["score", str(two_prompts), "--prompt", "a cat", "--prompt-from", "7", *clip]) == 1
    assert "give one of them" in capsys.readouterr().err
