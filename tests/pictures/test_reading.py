import numpy as np
import pytest
import torch
from PIL import Image

from grefine_core.errors import InputError
from grefine_core.pictures import find_pictures, load_picture, save_picture


def test_round_trip_is_exact_and_keeps_alpha_and_text(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 4), dtype=np.uint8)
    pixels[..., 3] = np.where(pixels[..., 3] > 128, 255, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = load_picture(tmp_path / "a.png")
    opaque = pixels[..., 3] == 255
    save_picture(picture.image, tmp_path / "new" / "b.png", text={"grefine": "{}"}, alpha=picture.alpha)
    again = np.asarray(Image.open(tmp_path / "new" / "b.png"))
    assert (again[opaque] == pixels[opaque]).all()
    assert (again[..., 3] == pixels[..., 3]).all()
    assert Image.open(tmp_path / "new" / "b.png").text["grefine"] == "{}"
    assert not list((tmp_path / "new").glob(".b*"))


def test_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert load_picture(tmp_path / "a.jpg").image.shape == (1, 8, 4, 3)


def test_a_saved_picture_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "new").touch()
    saved = save_picture(torch.zeros(1, 4, 4, 3), tmp_path / "a.png")
    assert saved.stat().st_mode == (tmp_path / "new").stat().st_mode


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    target = save_picture(torch.zeros(1, 4, 4, 3), tmp_path / "a.png")
    before = target.read_bytes()
    monkeypatch.setattr(Image.Image, "save", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_picture(torch.ones(1, 4, 4, 3), target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_errors_name_the_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.png.*no such file"):
        load_picture(tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    with pytest.raises(InputError, match=r"bad\.png.*not a readable picture"):
        load_picture(tmp_path / "bad.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        find_pictures([str(tmp_path / "empty")])


def test_grey_pictures_of_16_bits_keep_their_shades(tmp_path):
    Image.fromarray(np.array([[0, 257 * 128], [257 * 200, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    image = load_picture(tmp_path / "a.png").image
    assert torch.equal((image[0, ..., 0] * 255).round(), torch.tensor([[0.0, 128.0], [200.0, 255.0]]))
    Image.fromarray(np.zeros((2, 2), dtype=np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(InputError, match="floating-point"):
        load_picture(tmp_path / "f.tif")
