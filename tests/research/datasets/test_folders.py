"""Folders of pictures with prompts, and plain tables."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from grefine_core.errors import InputError
from grefine_research.datasets import Scale, open_dataset, read_pictures


def told(found):
    return [(example.key, example.prompt) for example in found.examples]


def test_diffusiondb(tmp_path, drawn):
    part = tmp_path / "images" / "part-000001"
    for name in ("a.png", "b.png"):
        drawn(part / name)
    entries = {"a.png": {"p": "a fox", "se": 1, "c": 7.0}, "b.png": {"se": 2}, "c.png": {"p": "gone"}}
    (part / "part-000001.json").write_text(json.dumps(entries))
    broken = tmp_path / "images" / "part-000002" / "part-000002.json"
    broken.parent.mkdir()
    broken.write_text('{"x.png": {"p"')
    found = open_dataset("diffusiondb", tmp_path)
    assert told(found) == [("images/part-000001/a.png", "a fox")]
    assert found.examples[0].group == "Stable Diffusion"
    assert found.scales == {}
    reasons = {one.key: one.reason for one in found.skipped}
    assert "no prompt" in reasons["images/part-000001/b.png"]
    assert "no such picture" in reasons["images/part-000001/c.png"]
    assert "cannot be read" in reasons["part-000002"]
    assert told(open_dataset("diffusiondb", part)) == [("a.png", "a fox")]


def test_genimage(tmp_path, drawn):
    for name in (
        "stable_diffusion_v_1_4/imagenet_ai_0419_sdv4/train/ai/000_sdv4_00012.png",
        "stable_diffusion_v_1_4/imagenet_ai_0419_sdv4/train/nature/n01440764_18.JPEG",
        "glide/val/ai/GLIDE_1000_200_01_109_glide_00035.png",
        "glide/val/ai/VQDM_1000_200_00_999_vqdm_00001.png",
        "glide/val/ai/IMG_0001.png",
    ):
        drawn(tmp_path / name)
    found = open_dataset("genimage", tmp_path)
    assert [(example.prompt, example.group, example.split) for example in found.examples] == [
        ("photo of brain coral", "glide", "validation"),
        ("photo of toilet paper", "glide", "validation"),
        ("photo of tench", "stable_diffusion_v_1_4", "train"),
    ]
    assert [one.key for one in found.skipped] == ["glide/val/ai/IMG_0001.png"]
    table = tmp_path / "prompts.csv"
    table.write_text("image,prompt\nIMG_0001.png,a street at night\n", encoding="utf-8")
    better = open_dataset("genimage", tmp_path, table=table)
    assert better.skipped == ()
    assert "a street at night" in {example.prompt for example in better.examples}
    one = open_dataset("genimage", tmp_path / "glide")
    assert {example.group for example in one.examples} == {"glide"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("prompts.csv", "image,prompt\na.png,a fox\nsub/b.png,two owls\n"),
        ("prompts.tsv", "image\tprompt\na.png\ta fox\nsub\\b.png\ttwo owls\n"),
        ("prompts.json", '{"a.png": "a fox", "sub/b.png": {"prompt": "two owls"}}'),
        (
            "metadata.jsonl",
            '{"file_name": "a.png", "text": "a fox"}\n\n{"file_name": "sub/b.png", "text": "two owls"}\n',
        ),
    ],
)
def test_a_folder_with_a_table(tmp_path, drawn, name, content):
    for picture in ("a.png", "sub/b.png", "c.png", "d.png"):
        drawn(tmp_path / picture)
    (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "c.txt").write_text("three bees\n", encoding="utf-8")
    found = open_dataset("folder", tmp_path)
    keys = [key.replace("\\", "/") for key, _ in told(found)]
    assert dict(zip(keys, (prompt for _, prompt in told(found)), strict=True)) == {
        "a.png": "a fox",
        "sub/b.png": "two owls",
        "c.png": "three bees",
    }
    assert [(one.key, "no row of it" in one.reason) for one in found.skipped] == [("d.png", True)]


def test_prompts_in_the_pictures_themselves(tmp_path, drawn):
    info = PngInfo()
    info.add_text("parameters", "a heron\nSteps: 20")
    Image.new("RGB", (8, 8)).save(tmp_path / "own.png", pnginfo=info)
    drawn(tmp_path / "none.png")
    found = open_dataset("folder", tmp_path)
    assert told(found) == [("own.png", "a heron")]
    assert "neither a text file nor" in found.skipped[0].reason


def test_a_plain_table(tmp_path, drawn):
    for name in ("a.png", "b.png", "c.png"):
        drawn(tmp_path / "pictures" / name)
    table = tmp_path / "mine.csv"
    table.write_text(
        "picture,words,quality,who,part,technical\n"
        "a.png,a fox,1,m1,train,10\nb.png,an owl,7,m2,TEST,30\nc.png,a bee,4,m2,else,\n",
        encoding="utf-8",
    )
    columns = {"image": "picture", "prompt": "words", "mos": "quality", "group": "who", "split": "part"}
    found = open_dataset("csv", table, images=tmp_path / "pictures", columns=columns, scales={"mos": (1, 7)})
    first, second = found.examples
    assert (first.prompt, first.group, first.split, dict(first.scores)) == (
        "a fox", "m1", "train", {"mos": 1.0, "technical": 10.0},
    )  # fmt: skip
    assert (second.split, second.group) == ("test", "m2")
    assert "none of train, validation, test" in found.skipped[0].reason
    # Scales: as given, and as measured.
    assert found.unit_scores("mos") == [0.0, 1.0]
    assert found.scales["technical"] == Scale(10.0, 30.0, published=False)
    turned = open_dataset("csv", table, images=tmp_path / "pictures", columns=columns, scales={"mos": (7, 1)})
    assert turned.unit_scores("mos") == [1.0, 0.0]
    with pytest.raises(InputError, match=r"no column 'sharpness'; it has .*quality"):
        open_dataset("csv", table, columns={"image": "picture", "technical": "sharpness"})
    with pytest.raises(InputError, match="no column of file names"):
        open_dataset("csv", table)
    with pytest.raises(InputError, match="has no 'validation'; it has test, train"):
        open_dataset("csv", table, images=tmp_path / "pictures", columns=columns, split="validation")


def test_the_only_table_of_a_folder(tmp_path, drawn):
    drawn(tmp_path / "a.png")
    (tmp_path / "x.csv").write_text("name,prompt,mos_quality\na.png,a fox,3\n", encoding="utf-8")
    found = open_dataset("csv", tmp_path)
    assert found.examples[0].scores == {"perception": 3.0}
    (tmp_path / "y.csv").write_text("name\na.png\n", encoding="utf-8")
    with pytest.raises(InputError, match="2 tables"):
        open_dataset("csv", tmp_path)


def test_what_is_asked_for_wrongly(tmp_path, drawn):
    drawn(tmp_path / "a.png")
    with pytest.raises(InputError, match="kind: 'imagenet' is not known"):
        open_dataset("imagenet", tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        open_dataset("folder", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"part-\*\.json"):
        open_dataset("diffusiondb", tmp_path)
    with pytest.raises(InputError, match="train/ai"):
        open_dataset("genimage", tmp_path)
    with pytest.raises(InputError, match="columns"):
        open_dataset("genimage", tmp_path, columns={"mos": "x"})
    with pytest.raises(InputError, match="no range"):
        open_dataset("folder", tmp_path, scales={"mos": (1, 1)})
    with pytest.raises(InputError, match="limit"):
        open_dataset("folder", tmp_path, limit=0)


def test_the_miniature_world(tmp_path, monkeypatch):
    from grefine_research.datasets import miniature
    from grefine_research.miniature.generator import make_sample

    steps = []
    found = open_dataset("miniature", tmp_path, split="validation", limit=3, progress=lambda *step: steps.append(step))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    sample = make_sample("validation", 2)
    last = found.examples[2]
    assert last.prompt == sample.caption.prompt
    assert last.scores["mos"] == pytest.approx(1 - sample.severity())
    assert last.scores["alignment"] == pytest.approx(1 - sample.severity("alignment"))
    assert last.split == "validation"
    assert set(found.scales) == {"technical", "rational", "natural", "alignment", "mos"}
    # What is there is not drawn again; what is damaged is.
    good, damaged = found.examples[0].image, found.examples[1].image
    before, stamp = damaged.read_bytes(), good.stat().st_mtime_ns
    damaged.write_bytes(before[:200])
    again = open_dataset("miniature", tmp_path, split="validation", limit=3)
    assert again == found
    assert (damaged.read_bytes(), good.stat().st_mtime_ns) == (before, stamp)
    everything = open_dataset("miniature", tmp_path, limit=3)
    assert [example.split for example in everything.examples] == ["train", "validation", "test"]
    monkeypatch.setattr(miniature, "_draw", None)
    assert len(open_dataset("miniature", tmp_path, limit=3)) == 3


def test_pictures_are_read_in_order(agiqa):
    found = open_dataset("agiqa-3k", agiqa, limit=20)
    broken = found.examples[3]
    whole = broken.image.read_bytes()
    broken.image.write_bytes(whole[: len(whole) // 2])
    keys = [example.key for example in found.examples]
    alone, together = (list(read_pictures(found, threads)(keys)) for threads in (1, 4))
    assert [one is None for one in together] == [key == broken.key for key in keys]
    for one, other in zip(alone, together, strict=True):
        assert one is None or (one == other).all()


def test_prompts_that_a_graph_does_not_tell_are_reported_or_named(tmp_path):
    texts = {"6": "a fox", "7": "a castle"}
    graph = {key: {"class_type": "CLIPTextEncode", "inputs": {"text": text}} for key, text in texts.items()}
    for key, text in (("3", "6"), ("4", "7")):
        graph[key] = {"class_type": "KSampler", "inputs": {"seed": 1, "positive": [text, 0]}}
        graph["9" + key] = {"class_type": "SaveImage", "inputs": {"images": [key, 0], "filename_prefix": "x"}}
    info = PngInfo()
    info.add_text("prompt", json.dumps(graph))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png", pnginfo=info)
    (tmp_path / "b.txt").write_text("two bees", encoding="utf-8")
    found = open_dataset("folder", tmp_path)
    assert told(found) == [("b.png", "two bees")]
    assert "several prompts" in found.skipped[0].reason
    assert told(open_dataset("folder", tmp_path, prompt_from="7")) == [("a.png", "a castle"), ("b.png", "a castle")]
    with pytest.raises(InputError, match="it is for folder"):
        open_dataset("diffusiondb", tmp_path, prompt_from="7")
