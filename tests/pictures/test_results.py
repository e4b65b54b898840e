"""What passes is the very file; what is changed keeps all that was not changed."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from grefine_core.errors import InputError
from grefine_core.pictures import load_picture, save_result
from grefine_core.pixels import SIGNATURE

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Make="me"/></rdf:RDF>'
    "</x:xmpmeta>"
)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def sixteen_bits(pixels: np.ndarray) -> bytes:
    """A PNG file, written without what is tested."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    gamma = chunk(b"gAMA", struct.pack(">I", 100000))
    return SIGNATURE + chunk(b"IHDR", head) + gamma + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def changed(picture, value=(0.25, 0.5, 0.75)):
    """The picture with a corner repainted, and where nothing was."""
    image = picture.image.clone()
    image[0, :4, :5] = torch.tensor(value)
    kept = np.ones(image.shape[1:3], bool)
    kept[:4, :5] = False
    return image, kept


def test_a_picture_that_passes_is_the_very_file(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.JPG", "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    picture = load_picture(tmp_path / "a.JPG")
    file = save_result(picture, picture.image, False, tmp_path / "out" / "b", {"grefine": "{}"})
    assert file == tmp_path / "out" / "b.JPG"
    assert file.read_bytes() == (tmp_path / "a.JPG").read_bytes()
    stamp = (tmp_path / "a.JPG").stat().st_mtime_ns
    assert save_result(picture, picture.image, False, tmp_path / "a", {}) == tmp_path / "a.JPG"
    assert (tmp_path / "a.JPG").stat().st_mtime_ns == stamp, "where it lies already nothing is written"


def test_a_picture_without_a_file_gets_the_ending_of_its_format(tmp_path):
    coded = io.BytesIO()
    Image.fromarray(RGB).save(coded, "JPEG")
    picture = load_picture("rows.parquet#3", coded.getvalue())
    assert save_result(picture, picture.image, False, tmp_path / "b", {}).name == "b.jpg"
    assert (tmp_path / "b.jpg").read_bytes() == coded.getvalue()


def test_half_transparent_pixels_and_colours_under_them_stay(tmp_path):
    pixels = np.dstack([RGB, np.tile(np.linspace(0, 255, 17).astype(np.uint8), (12, 1))])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = load_picture(tmp_path / "a.png")
    image, kept = changed(picture, (1.0, 1.0, 1.0))
    found = np.asarray(Image.open(save_result(picture, image, True, tmp_path / "b", {})))
    np.testing.assert_array_equal(found[kept], pixels[kept])
    np.testing.assert_array_equal(found[..., 3], pixels[..., 3])
    np.testing.assert_array_equal(found[:4, 0], pixels[:4, 0])
    assert (found[:4, 1:5, :3] == 255).all(), "white over white is white, however transparent"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_a_channel_stay(tmp_path, channels):
    pixels = RNG.integers(0, 65536, (12, 17, channels), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(sixteen_bits(pixels))
    picture = load_picture(tmp_path / "a.png")
    if channels in (1, 3):
        np.testing.assert_allclose(picture.image[0].numpy(), np.broadcast_to(pixels / 65535, (12, 17, 3)), atol=1e-6)
    image, kept = changed(picture)
    file = save_result(picture, image, True, tmp_path / "b", {"grefine": "{}"})
    again = load_picture(file)
    assert again.pixels.dtype == np.uint16
    colours = np.broadcast_to(pixels[..., : 1 if channels < 3 else 3], (12, 17, 3))
    np.testing.assert_array_equal(again.pixels[..., :3][kept], colours[kept])
    if channels in (2, 4):
        np.testing.assert_array_equal(again.pixels[..., 3], pixels[..., -1])
    else:
        np.testing.assert_allclose(again.image[0, :4, :5].numpy(), image[0, :4, :5].numpy(), atol=1 / 65535)
    with Image.open(file) as written:  # a reader that knows nothing of ours
        written.load()
        assert written.info["gamma"] == 1.0
        assert written.text["grefine"] == "{}"
        low = written.convert("RGB")
    np.testing.assert_array_equal(np.asarray(low)[kept], (colours >> 8)[kept])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("place", ["a.png", "a.jpg", "a.tif", "a.webp", "xmp", "raw"])
def test_upright_pixels_are_not_turned_once_more(tmp_path, orientation, place):
    """Wherever the file says it, it is shown as before: with what it said, if nothing is turned, or without."""
    exif = Image.Exif()
    exif[0x0112], exif[0x0131] = orientation, "a program"
    xmp, options = XMP.replace('"6"', f'"{orientation}"'), {"exif": exif}
    entries = PngInfo()
    if place == "xmp":
        entries.add_itxt("XML:com.adobe.xmp", xmp)
        options = {"pnginfo": entries}
    elif place == "raw":
        data = exif.tobytes()
        entries.add_text("Raw profile type exif", f"\nexif\n{len(data):8d}\n{data.hex()}\n")
        options = {"pnginfo": entries}
    elif place == "a.webp":
        options |= {"lossless": True, "xmp": xmp.encode()}
    elif place == "a.png":  # in all places at once
        entries.add_itxt("XML:com.adobe.xmp", xmp)
        options["pnginfo"] = entries
    file = tmp_path / (place if "." in place else "a.png")
    Image.fromarray(RGB).save(file, **options)
    with Image.open(file) as opened:
        wanted = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    picture = load_picture(file)
    np.testing.assert_array_equal(picture.pixels, wanted)
    image, kept = changed(picture)
    written = save_result(picture, image, True, tmp_path / "b", {})
    with Image.open(written) as opened:
        shown = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        assert opened.getexif().get(0x0112, 1) == 1
        said = [str(value) for value in opened.info.values() if "tiff:Orientation" in str(value)]
        assert all('Orientation="1"' in value and "tiff:Make" in value for value in said), said
        assert "xmp" not in place or said
        if place not in ("xmp",):
            assert opened.getexif()[0x0131] == "a program"
    np.testing.assert_array_equal(shown[kept], wanted[kept])


def test_texts_profile_and_resolution_stay(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    entries = PngInfo()
    entries.add_text("parameters", "a cat\nSteps: 3")
    entries.add_itxt("workflow", '{"ä": "猫"}', lang="en")
    Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=entries, icc_profile=profile, dpi=(300, 300))
    picture = load_picture(tmp_path / "a.png")
    image, _ = changed(picture)
    with Image.open(save_result(picture, image, True, tmp_path / "b", {"grefine": "half a \ud83d letter"})) as written:
        assert written.info["icc_profile"] == profile
        assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert written.text["parameters"] == "a cat\nSteps: 3"
        assert written.text["workflow"] == '{"ä": "猫"}'
        assert written.text["workflow"].lang == "en"
        assert written.text["grefine"].startswith("half a ")


@pytest.mark.parametrize("space", ["CMYK", "GRAY"])
def test_no_profile_of_another_colour_space_on_an_rgb_file(tmp_path, space):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = space.encode()
    picture = Image.fromarray(RGB).convert("CMYK" if space == "CMYK" else "L")
    picture.save(tmp_path / "a.tif", icc_profile=bytes(profile))
    loaded = load_picture(tmp_path / "a.tif")
    assert any(space in note for note in loaded.notes)
    image, kept = changed(loaded)
    with Image.open(save_result(loaded, image, True, tmp_path / "b", {})) as written:
        assert "icc_profile" not in written.info
        np.testing.assert_array_equal(np.asarray(written)[kept], np.asarray(picture.convert("RGB"))[kept])


def test_lab_has_no_transparency(tmp_path):
    lab, srgb = (ImageCms.createProfile(space) for space in ("LAB", "sRGB"))
    ImageCms.profileToProfile(Image.fromarray(RGB), srgb, lab, outputMode="LAB").save(tmp_path / "a.tif")
    assert load_picture(tmp_path / "a.tif").alpha is None


def test_palettes_and_grey_with_a_transparent_colour(tmp_path):
    palette = Image.fromarray(RGB).quantize(8)
    palette.save(tmp_path / "a.png", transparency=3)
    grey = Image.fromarray(RGB[..., 0])
    grey.save(tmp_path / "b.png", transparency=int(RGB[9, 9, 0]))
    for name in ("a", "b"):
        wanted = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGBA"))
        assert 0 in wanted[..., 3]
        picture = load_picture(tmp_path / f"{name}.png")
        image, kept = changed(picture)
        found = np.asarray(Image.open(save_result(picture, image, True, tmp_path / f"{name}2", {})))
        np.testing.assert_array_equal(found[kept], wanted[kept])


@pytest.mark.parametrize(("bits", "values"), [(2, 0b00_01_10_11), (4, 0x3A)])
def test_a_transparent_value_of_grey_with_few_bits(tmp_path, bits, values):
    several = 8 // bits
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", several, 1, bits, 0, 0, 0, 0))
    last = values & ((1 << bits) - 1)
    rest = chunk(b"tRNS", struct.pack(">H", last)) + chunk(b"IDAT", zlib.compress(bytes([0, values])))
    (tmp_path / "a.png").write_bytes(SIGNATURE + head + rest + chunk(b"IEND", b""))
    assert load_picture(tmp_path / "a.png").alpha.tolist() == [[255] * (several - 1) + [0]]


@pytest.mark.parametrize("name", ["a.jpg", "a.gif"])
def test_a_comment_stays(tmp_path, name):
    Image.fromarray(RGB).save(tmp_path / name, comment="Größe: 猫".encode())
    picture = load_picture(tmp_path / name)
    with Image.open(save_result(picture, changed(picture)[0], True, tmp_path / "b", {})) as written:
        assert written.text["Comment"] == "Größe: 猫"


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_of_an_unknown_range_are_refused(tmp_path, kind):
    Image.fromarray(np.linspace(0, 1 << 30, 64).reshape(8, 8).astype(kind)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: has .*save it with 8 or 16 bits"):
        load_picture(tmp_path / "a.tif")


def test_a_small_file_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("grefine_core.pictures.MAX_PIXELS", 100 * 100)
    Image.new("1", (101, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match=r"a\.png: has 101×100, more than .* make it smaller"):
        load_picture(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"a\.png: has more than .* make it smaller"):
        load_picture(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_of_several_frames_the_first_is_taken_and_that_is_said(tmp_path, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    picture = load_picture(tmp_path / name)
    assert "only the first" in picture.notes[0]
    assert picture.pixels[0, 0, 0] > 200
    assert load_picture(_one(tmp_path)).notes == ()


def _one(folder):
    Image.new("RGB", (8, 8)).save(folder / "one.png")
    return folder / "one.png"


def test_a_decoder_that_fails_in_its_own_way_is_a_picture_that_cannot_be_read(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "convert", lambda *_: (_ for _ in ()).throw(struct.error("short")))
    with pytest.raises(InputError, match=r"a\.png: not a readable picture \(short\)"):
        load_picture(tmp_path / "a.png")


def test_the_report_of_a_refined_picture_is_in_it(tmp_path):
    picture = load_picture(_one(tmp_path))
    image, _ = changed(picture)
    file = save_result(picture, image, True, tmp_path / "b", {"grefine": json.dumps({"prompt": "č"})})
    assert json.loads(load_picture(file).text["grefine"]) == {"prompt": "č"}
