"""What is printed: valid in any terminal and for any program, as soon as it is known, also when the run is ended."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from grefine_core.cli import common, main, streams
from grefine_core.errors import InputError
from grefine_core.plain_text import lines_of, mended, printable, visible


def with_prompt(path, prompt, key="parameters"):
    entries = PngInfo()
    entries.add_itxt(key, prompt)
    Image.new("RGB", (40, 30), "green").save(path, pnginfo=entries)


def grefine(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "grefine_core.cli", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
    )


def test_text_from_outside():
    assert mended("a \ud83d cat \ud83e\udd8a") == "a \ufffd cat 🦊"
    assert printable("\udcff.png \ud83d") == "\\udcff.png \\ud83d"
    assert visible("\x1b]0;x\x07 红 café\n\t\x9b\u202e\r") == "\\u001b]0;x\\u0007 红 café\n\t\\u009b\\u202e\\u000d"
    assert lines_of("a\u2028b\x85c\x0bd\r\ne\rf\ng") == ["a\u2028b\x85c\x0bd", "e", "f", "g"]


def test_a_code_page_half_an_emoji_and_escape_sequences_lose_no_result(pictures, clip):
    with_prompt(pictures / "a.png", "红色的狐狸 \x1b[2J\x1b]0;title\x07")
    graph = {"1": {"inputs": {"positive": ["2", 0]}}, "2": {"inputs": {"text": "a fox \ud83e"}}}
    with_prompt(pictures / "b.png", json.dumps(graph), "prompt")
    Image.new("RGB", (40, 30)).save(os.fsencode(pictures) + b"/c\xff.png" if os.name != "nt" else pictures / "c.png")
    text = grefine("score", pictures, *clip, PYTHONIOENCODING="cp1252")
    assert text.returncode == 0
    assert text.stdout.decode("utf-8").count("perceptual") == 3
    assert "红色的狐狸 \\u001b[2J" in text.stdout.decode("utf-8")
    assert b"\x1b" not in text.stdout
    done = grefine("score", pictures, *clip, "--json", PYTHONIOENCODING="cp1252")
    first, second, third = json.loads(done.stdout.decode("utf-8"))
    assert first["prompt"] == "红色的狐狸 \x1b[2J\x1b]0;title\x07"
    assert second["prompt"] == "a fox \ufffd"
    assert third["perceptual"] > 0


def test_json_has_no_nan_and_no_halves():
    assert json.loads(common.json_text([float("nan"), float("inf"), "\ud83d"])) == [None, None, "\ud83d"]
    assert "NaN" not in common.json_text({"a": float("nan")})


def test_progress_bars_still_move_the_cursor():
    below = io.StringIO()
    stream = streams.Plain(below)
    stream.write("\r 50%|##")
    stream.write("\n\x1b[A")
    stream.write("\x1b[2J\r")
    assert below.getvalue() == "\r 50%|##\n\x1b[A\\u001b[2J\\u000d"


def test_whatever_a_picture_raises_is_its_own_message(pictures, clip, capsys, monkeypatch):
    from grefine_core.cli import score

    usual = score._score

    def fails(picture, model, arguments):
        if picture.path.name == "a.png":
            raise RecursionError("maximum recursion depth exceeded")
        if picture.path.name == "aa.png":
            raise MemoryError
        return usual(picture, model, arguments)

    monkeypatch.setattr(score, "_score", fails)
    Image.new("RGB", (30, 30)).save(pictures / "aa.png")
    paths = [str(pictures), str(pictures / "gone.png"), str(pictures / f"{'x' * 300}.png")]
    assert main(["score", *paths[:2], "--prompt", "a cup", *clip, "--json"]) == 3
    told = capsys.readouterr()
    first, second, third, fourth = json.loads(told.out)
    assert first["error"] == "RecursionError: maximum recursion depth exceeded"
    assert "not enough memory" in second["error"]
    assert "perceptual" in third
    assert "no such file" in fourth["error"]
    for name in ("a.png: RecursionError", "aa.png: not enough memory", "gone.png: no such file"):
        assert name in told.err
    assert "Traceback" not in told.err


def test_nothing_unforeseen_reaches_the_user_as_a_traceback(pictures, capsys, monkeypatch):
    def breaks(_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(common, "load_model", breaks)
    assert main(["score", str(pictures)]) == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in told
    assert "-v" in told
    assert "Traceback" not in told


def test_none_of_several_paths_is_refused_at_once(tmp_path, capsys, monkeypatch):
    from grefine_core.pictures import find_pictures

    with pytest.raises(InputError, match="no such file or folder"):
        find_pictures([str(tmp_path / "a.png"), str(tmp_path / "b.png")])


def many(folder, count=60):
    for number in range(count):
        Image.new("RGB", (48, 48), (number, 99, 30)).save(folder / f"{number:03}.png")
    return folder


def start(folder, clip, *more):
    return subprocess.Popen(
        [sys.executable, "-m", "grefine_core.cli", "score", str(folder), str(folder), str(folder), *clip, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )


def test_a_reader_that_has_enough_is_no_error(tmp_path, clip):
    process = start(many(tmp_path), clip)
    assert process.stdout.readline()
    process.stdout.close()
    told = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0
    assert "Traceback" not in told
    assert "roken" not in told


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_run_that_is_ended_prints_what_is_finished(tmp_path, clip, number, code):
    many(tmp_path, 3)
    slow = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whoever started the tests may ignore it
        "import sys, time\n"
        "from grefine_core.cli import main, score\n"
        "usual = score._score\n"
        "def waits(picture, *rest):\n"
        "    if picture.path.name != '002.png': return usual(picture, *rest)\n"
        "    print('waiting', file=sys.stderr, flush=True)\n"
        "    time.sleep(600)\n"
        "score._score = waits\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    for more in ((), ("--json",)):
        process = subprocess.Popen(
            [sys.executable, "-c", slow, "score", str(tmp_path), *clip, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        told = b""
        while b"waiting" not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        process.send_signal(getattr(signal, number))
        out, told = process.communicate()
        assert process.returncode == code
        assert b"Traceback" not in told
        assert out.count(b'"perceptual"' if more else b"  perceptual") == 2
        if more:
            assert len(json.loads(out)) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_messages_that_cannot_be_written_lose_no_result(tmp_path, clip):
    many(tmp_path, 2)
    named = [str(tmp_path / name) for name in ("nothing.png", "000.png", "001.png")]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "grefine_core.cli", "score", *named, *clip], stdout=subprocess.PIPE, stderr=full
        )
    assert ended.returncode == 3
    assert b"001.png" in ended.stdout


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_while_libraries_are_imported_is_quiet():
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whoever started the tests may ignore it
        "class Impatient:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'torch': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Impatient())\n"
        "from grefine_core.cli import main\n"
        "sys.exit(main(['models', 'list']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Cancelled.\n")
