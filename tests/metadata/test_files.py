"""Pictures as programs write them, each made here; docs/metadata.md has the same rows."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin, features

from grefine_core.metadata import read_prompt
from grefine_core.pictures import load_picture

from .graphs import encoded, sampler, saved

FOX, BAD = "a red fox, 雪の中", "ugly"
INFOTEXT = f"{FOX}\nNegative prompt: {BAD}\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 16x16, Model: x"
GRAPH = json.dumps({**saved({"3": sampler("6"), "6": encoded(FOX)}, "3"), "7": encoded(BAD)})


def png(compressed: bool = False, **entries: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, value in entries.items():
        info.add_text(name.replace("_dash_", "-"), value, zip=compressed)
    return encoded_as("PNG", pnginfo=info)


def encoded_as(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (90, 120, 30)).save(file, kind, **options)
    return file.getvalue()


def with_exif(kind: str, comment: bytes | None = None, **tags: str) -> bytes:
    exif = Image.Exif()
    exif[0x0132] = "2024:01:01 00:00:00"  # Pillow writes none of it where there is nothing but the comment
    for tag, value in tags.items():
        exif[{"make": 0x010F, "model": 0x0110, "description": 0x010E, "software": 0x0131}[tag]] = value
    if comment is not None:
        exif.get_ifd(0x8769)[0x9286] = comment
    return encoded_as(kind, exif=exif)


def with_chunk(content: bytes, kind: bytes, data: bytes, behind: bool = True) -> bytes:
    """A PNG file with one more chunk, behind its pixels or before them."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    at = content.rindex(b"IEND") - 4 if behind else content.index(b"IDAT") - 4
    return content[:at] + chunk + content[at:]


def utf_16(text: str) -> bytes:
    return b"UNICODE\0" + text.encode("utf-16-be")


V4 = {
    "prompt": "old",
    "uc": "old",
    "v4_prompt": {"caption": {"base_caption": FOX, "char_captions": [{"char_caption": "girl, smiling"}]}},
    "v4_negative_prompt": {"caption": {"base_caption": BAD, "char_captions": []}},
}
CIVITAI = json.dumps({**json.loads(GRAPH), "extraMetadata": json.dumps({"prompt": FOX, "negativePrompt": BAD})})
INVOKE_2 = json.dumps({"image": {"prompt": [{"prompt": FOX, "weight": 1}], "steps": 20}})

#: By the rows of docs/metadata.md: name, ending, bytes of the file.
FILES: dict[str, list[tuple[str, str, Callable[[], bytes]]]] = {
    "ComfyUI": [
        ("png", ".png", lambda: png(prompt=GRAPH, workflow="{}")),
        ("webp", ".webp", lambda: with_exif("WEBP", model=f"prompt:{GRAPH}", make="workflow:{}")),
        ("jpeg of a pack", ".jpg", lambda: with_exif("JPEG", description=f"Prompt:{GRAPH}")),
        ("jpeg, user comment", ".jpg", lambda: with_exif("JPEG", utf_16(json.dumps({"prompt": json.loads(GRAPH)})))),
    ],
    "AUTOMATIC1111, Forge, SD.Next": [
        ("png", ".png", lambda: png(parameters=INFOTEXT)),
        ("png, compressed", ".png", lambda: png(compressed=True, parameters=INFOTEXT)),
        (
            "png, behind the pixels",
            ".png",
            lambda: with_chunk(png(), b"iTXt", b"parameters\0\0\0\0\0" + INFOTEXT.encode()),
        ),
        (
            "png, in UTF-8 without a word of it",
            ".png",
            lambda: with_chunk(png(), b"tEXt", b"parameters\0" + INFOTEXT.encode(), behind=False),
        ),
        ("jpeg", ".jpg", lambda: with_exif("JPEG", utf_16(INFOTEXT))),
        ("webp", ".webp", lambda: with_exif("WEBP", utf_16(INFOTEXT))),
        ("avif", ".avif", lambda: with_exif("AVIF", utf_16(INFOTEXT))),
    ],
    "SwarmUI": [
        (
            "png",
            ".png",
            lambda: png(parameters=json.dumps({"sui_image_params": {"prompt": FOX, "negativeprompt": BAD}}, indent=2)),
        ),
        (
            "jpeg, with a part of its own",
            ".jpg",
            lambda: with_exif(
                "JPEG",
                utf_16(
                    json.dumps({"sui_image_params": {"prompt": f"{FOX} <segment:face> a face", "negativeprompt": BAD}})
                ),
            ),
        ),
    ],
    "Fooocus": [
        (
            "png",
            ".png",
            lambda: png(
                parameters=json.dumps({"prompt": FOX, "negative_prompt": BAD, "metadata_scheme": "fooocus"}),
                fooocus_scheme="fooocus",
            ),
        ),
        (
            "jpeg",
            ".jpg",
            lambda: with_exif(
                "JPEG", json.dumps({"prompt": FOX, "negative_prompt": BAD, "version": "Fooocus v2"}).encode()
            ),
        ),
    ],
    "InvokeAI": [
        ("png", ".png", lambda: png(invokeai_metadata=json.dumps({"positive_prompt": FOX, "negative_prompt": BAD}))),
        ("png of version 2", ".png", lambda: png(**{"sd_dash_metadata": INVOKE_2})),
        ("png of version 1", ".png", lambda: png(Dream=f'"{FOX} [{BAD}]" -s 50 -S 1')),
    ],
    "NovelAI": [
        ("png", ".png", lambda: png(Software="NovelAI", Comment=json.dumps({"prompt": FOX, "uc": BAD, "steps": 28}))),
        ("png of version 4", ".png", lambda: png(Software="NovelAI", Comment=json.dumps(V4))),
        ("png, description alone", ".png", lambda: png(Software="NovelAI", Description=FOX)),
        (
            "webp",
            ".webp",
            lambda: with_exif("WEBP", utf_16(json.dumps({"Comment": json.dumps({"prompt": FOX, "uc": BAD})}))),
        ),
    ],
    "Easy Diffusion": [("png", ".png", lambda: png(prompt=FOX, negative_prompt=BAD))],
    "Draw Things": [
        ("jpeg", ".jpg", lambda: with_exif("JPEG", b"ASCII\0\0\0" + json.dumps({"c": FOX, "uc": BAD}).encode()))
    ],
    "Stability Matrix": [
        (
            "png",
            ".png",
            lambda: png(**{"parameters_dash_json": json.dumps({"PositivePrompt": FOX, "NegativePrompt": BAD})}),
        )
    ],
    "Civitai": [("jpeg", ".jpg", lambda: with_exif("JPEG", utf_16(CIVITAI)))],
    "Tensor.Art": [
        ("png", ".png", lambda: png(generation_data=json.dumps({"prompt": FOX, "negativePrompt": BAD}) + "\0"))
    ],
    "Midjourney": [("png", ".png", lambda: png(Description=f"{FOX} Job ID: 01234567-89ab-cdef-0123-456789abcdef"))],
}
#: What else belongs to these files' prompts.
MORE = {"png of version 4": "\ngirl, smiling"}
EACH = [(writer, *file) for writer, files in FILES.items() for file in files]


@pytest.mark.parametrize(("writer", "kind", "suffix", "content"), EACH, ids=[f"{each[0]}: {each[1]}" for each in EACH])
def test_a_file_of(writer, kind, suffix, content):
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    found = read_prompt(load_picture(f"picture{suffix}", content()).text)
    assert found.positive == FOX + MORE.get(kind, "")
    if writer not in ("Midjourney",) and kind not in ("png, description alone", "png of version 2"):
        assert found.negative == BAD


def test_the_documentation_has_these_rows():
    page = Path(__file__).parents[2] / "docs" / "metadata.md"
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [*FILES, "A text file beside the picture"]


TEXTS = (
    *("红色的狐狸，雪地", "一只狐狸", "狐と雪", "“OPEN” on a neon sign", "🦊 a fox", "Лиса в снегу", "élan in snow"),
    *("(狐:1.2), snow", "붉은 여우", "Γάτα", "แมวแดง", "a red fox", "cat"),
)
CODINGS = {
    "big endian": (b"", "utf-16-be"),
    "little endian": (b"", "utf-16-le"),
    "big endian, marked": (b"\xfe\xff", "utf-16-be"),
    "little endian, marked": (b"\xff\xfe", "utf-16-le"),
    "UTF-8": (b"", "utf-8"),
    "UTF-8, marked": (b"\xef\xbb\xbf", "utf-8"),
}
BEHIND = "\nNegative prompt: bad\nSteps: 20"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("name", [b"UNICODE\0", b"\0\0\0\0\0\0\0\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b""], ids=str)
def test_user_comments_in_every_encoding(coding, name):
    mark, code = CODINGS[coding]
    if (name == b"JIS\0\0\0\0\0" and code != "utf-8") or (name == b"" and code != "utf-8"):
        pytest.skip("nobody writes this")
    for text in TEXTS if name != b"JIS\0\0\0\0\0" else TEXTS[:5]:
        for kind in ("JPEG", "WEBP"):
            content = with_exif(kind, name + mark + (text + BEHIND).encode(code))
            assert read_prompt(load_picture("x", content).text).positive == text


@pytest.mark.parametrize("code", ["iso2022_jp", "cp932", "euc_jp"])
def test_japanese_user_comments(code):
    content = with_exif("JPEG", b"JIS\0\0\0\0\0" + ("赤い狐が雪の中" + BEHIND).encode(code))
    assert read_prompt(load_picture("x.jpg", content).text).positive == "赤い狐が雪の中"


@pytest.mark.parametrize("code", ["utf-16-be", "utf-16-le"])
def test_a_short_user_comment_without_a_latin_letter(code):
    for text in ("狐と雪", "红色的狐狸，雪地", "Лиса", "🦊"):
        content = with_exif("JPEG", b"UNICODE\0" + text.encode(code) + b"\0\0")
        assert read_prompt(load_picture("x.jpg", content).text).positive == text


# Texts that are larger than they look.


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
@pytest.mark.parametrize("behind", [False, True])
def test_a_text_that_unpacks_to_far_more_is_left_out(kind, behind, tmp_path):
    bomb = zlib.compress(b"a" * 50_000_000)
    data = b"workflow\0\0" + bomb if kind == b"zTXt" else b"workflow\0\1\0\0\0" + bomb
    (tmp_path / "a.png").write_bytes(with_chunk(png(parameters=INFOTEXT), kind, data, behind))
    picture = load_picture(tmp_path / "a.png")
    assert read_prompt(picture.text).positive == FOX
    assert "workflow" not in picture.text
    assert "too long to be read, and are left out: workflow" in picture.notes[0]
    assert picture.content == (tmp_path / "a.png").read_bytes()


def test_many_texts_are_left_out_beyond_a_bound():
    content = png(parameters=INFOTEXT)
    packed = b"x\0\0" + zlib.compress(b"a" * 1_000_000)
    chunk = struct.pack(">I", len(packed)) + b"zTXt" + packed + struct.pack(">I", zlib.crc32(b"zTXt" + packed))
    at = content.index(b"IDAT") - 4
    picture = load_picture("a.png", content[:at] + 80 * chunk + content[at:])
    assert read_prompt(picture.text).positive == FOX


def test_damaged_compressed_text_is_no_obstacle():
    content = with_chunk(png(parameters=INFOTEXT), b"zTXt", b"workflow\0\0" + b"no zlib at all", behind=False)
    assert read_prompt(load_picture("a.png", content).text).positive == FOX
