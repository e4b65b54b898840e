"""Servers that lie, break off or never end, addresses that are none, and proxies."""

from __future__ import annotations

import json
import time

import pytest

from grefine_core.cli import main
from grefine_core.comfyui import host_api
from grefine_core.comfyui.host_api import HostApi, HostUnreachableError
from grefine_core.comfyui.queue import QueueError, run_workflow
from grefine_core.errors import GRefineError, InputError

from .test_run import WORKFLOW, saved

DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:8188", "http://127.0.0.1:8188"),
        (" http://127.0.0.1:8188/ ", "http://127.0.0.1:8188"),
        ("HTTPS://Host.example/comfy/", "https://host.example/comfy"),
        ("::1", "http://[::1]"),
        ("[::1]:8188", "http://[::1]:8188"),
        ("0.0.0.0:8188", "http://127.0.0.1:8188"),
        ("http://[::]:8188", "http://[::1]:8188"),
        ("http://me:secret@host:1/?a=b#c", "http://host:1"),
    ],
)
def test_addresses(given, url):
    assert HostApi(given).url == url


@pytest.mark.parametrize(
    "given",
    [
        "",
        "http://",
        "ftp://host",
        "host:port",
        "host:99999",
        "[::1",
        "a b",
        "a\nb",
        "a..b",
        "1:2:3",
        "\ud83d",
        "//x",
        "h\\x",
    ],
)
def test_what_is_no_address_is_said(given):
    with pytest.raises(InputError, match="expected an address like"):
        HostApi(given)


def test_a_password_is_sent_and_never_shown(fake_host):
    address = fake_host.url.replace("//", "//me:secret@")
    with HostApi(address) as api:
        api.get("/queue")
    assert fake_host.headers["Authorization"] == "Basic bWU6c2VjcmV0"
    with pytest.raises(InputError) as caught:
        HostApi("http://me:secret@host:port")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "localhost", "0.0.0.0"])
def test_a_server_on_this_machine_is_asked_without_the_proxy(fake_host, monkeypatch, host):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with HostApi(fake_host.url.replace("127.0.0.1", host)) as api:
        assert api.is_queued("job")


def test_other_servers_are_asked_through_the_proxy(fake_host, monkeypatch):
    monkeypatch.setenv("http_proxy", fake_host.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    fake_host.answers["http://comfy.invalid:8188/queue"] = (200, b'{"queue_running": [[0, "job"]]}')
    with HostApi("comfy.invalid:8188") as api:
        assert api.is_queued("job")


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("/history/job", (200, b"<html>"), "is no ComfyUI"),
        ("/history/job", (200, b"[]"), "is no ComfyUI"),
        ("/history/job", (200, DEEP), "is no ComfyUI"),
        ("/history/job", (200, b'{"job": 5}'), "not understood"),
        ("/history/job", (401, b""), "name and a password"),
        ("/history/job", (302, b""), "sends on to"),
        ("/prompt", (200, b'{"prompt_id": {}}'), "refused"),
        ("/prompt", (500, b'{"error": [1], "node_errors": {"1": {"errors": 5}, "2": 7}}'), "refused"),
        ("/queue", (502, b"Bad gateway"), "is no ComfyUI"),
    ],
)
def test_answers_of_something_else_are_errors_in_words(fake_host, tmp_path, path, answer, message):
    fake_host.answers[path] = answer
    fake_host.polls_until_done = 10**6
    with pytest.raises(GRefineError, match=message):
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path)


@pytest.mark.parametrize(
    "history",
    [
        {"outputs": [1], "status": "x"},
        {"outputs": {"3": 5, "4": {"text": 5, "images": "abc"}}},
        {
            "outputs": {"3": {"images": [5, {}, {"filename": 7, "type": "output"}]}},
            "status": {"messages": [1, [2], None]},
        },
        {"status": {"status_str": {}, "messages": [["execution_error", 5], ["execution_interrupted", []]]}},
    ],
)
def test_a_history_of_wrong_types_is_never_a_success(fake_host, tmp_path, history):
    fake_host.history = history
    with pytest.raises(GRefineError):
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path).check_complete()
    assert list(tmp_path.iterdir()) == []


def test_a_text_alone_and_half_an_emoji_in_it(fake_host, tmp_path):
    fake_host.history["outputs"] = {"4": {"text": "half \ud83d"}}
    assert run_workflow(fake_host.url, WORKFLOW, output=tmp_path).texts == {"Report": ["half ?"]}


def test_a_file_that_never_ends_is_given_up(fake_host, tmp_path, monkeypatch):
    monkeypatch.setattr(host_api, "_LARGEST", 1 << 20)
    fake_host.answers["/view?filename=a.png&subfolder=&type=output"] = (200, bytes(2 << 20))
    fake_host.history["outputs"] = {"3": {"images": [saved("a.png")]}}
    with pytest.raises(GRefineError, match="more than 1 MB"):
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_file_that_breaks_off_does_not_lose_the_others_but_a_dead_host_is_not_asked_for_all(fake_host, tmp_path):
    fake_host.files = {f"{number}.png": b"a" * number for number in range(1, 9)}
    fake_host.cuts = {"/view?filename=2.png&subfolder=&type=output"}
    fake_host.history["outputs"] = {"3": {"images": [saved(f"{number}.png") for number in range(1, 4)]}}
    with pytest.raises(QueueError, match=r"2\.png: no ComfyUI answers") as caught:
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path)
    assert [path.name for path in caught.value.result.images] == ["1.png", "3.png"]
    fake_host.polls_until_done = 1
    fake_host.cuts = {f"/view?filename={number}.png&subfolder=&type=output" for number in range(1, 9)}
    fake_host.history["outputs"] = {"3": {"images": [saved(f"{number}.png") for number in range(1, 9)]}}
    with pytest.raises(QueueError, match=r"8\.png: not asked for any more"):
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path)


def test_the_timeout_counts_for_a_server_that_does_not_answer(fake_host, tmp_path):
    fake_host.waits.add("/history/job")
    start = time.monotonic()
    with pytest.raises(HostUnreachableError, match="no answer within"):
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path, timeout=0.5)
    assert time.monotonic() - start < 20


def test_garbage_on_the_websocket_is_left_aside(fake_host, tmp_path):
    own = {"prompt_id": "job"}
    fake_host.says = [
        b"\x00\x01",
        "no JSON",
        "[" * 100_000,
        "[1]",
        '{"type": 5, "data": 7}',
        json.dumps({"type": "progress", "data": {**own, "value": "x", "max": [], "node": {}}}),
        json.dumps({"type": "execution_cached", "data": {**own, "nodes": 5}}),
        json.dumps({"type": "executing", "data": {**own, "node": ["3"]}}),
        json.dumps({"type": "progress", "data": {**own, "value": 2, "max": 5, "node": "3"}}),
    ]
    fake_host.history["outputs"] = {"4": {"text": ["said"]}}
    seen = []
    result = run_workflow(fake_host.url, WORKFLOW, output=tmp_path, progress=seen.append)
    assert result.texts == {"Report": ["said"]}
    assert [(now.title, now.step, now.steps) for now in seen][-1] == ("Refined picture", 2, 5)


def queue(fake_host, tmp_path, *more: str) -> int:
    (tmp_path / "graph.json").write_text(json.dumps(WORKFLOW), encoding="utf-8")
    return main(["queue", str(tmp_path / "graph.json"), "--server", fake_host.url, "-o", str(tmp_path / "out"), *more])


def test_the_command_says_what_is_missing(fake_host, tmp_path, capsys):
    error = {"errors": [{"message": "Value too big", "details": "cfg"}], "dependent_outputs": ["3"]}
    fake_host.node_errors = {"1": error}
    assert queue(fake_host, tmp_path, "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert {entry["node"]: "Value too big: cfg" in entry["error"] for entry in answer["missing"]} == {
        "Refined picture": True,
        "Report": False,
    }
    fake_host.polls_until_done = 1
    fake_host.history["outputs"] = {"4": {"text": ["said"]}}
    assert queue(fake_host, tmp_path) == 3
    assert (tmp_path / "out" / "Report.txt").read_text(encoding="utf-8") == "said"
    assert "Refined picture: left out" in capsys.readouterr().err


def test_texts_replace_no_file(fake_host, tmp_path):
    fake_host.files = {"a.png": b"a"}
    fake_host.history["outputs"] = {"3": {"images": [saved("a.png")]}, "4": {"text": ["said"]}}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "Report.txt").write_text("mine", encoding="utf-8")
    assert queue(fake_host, tmp_path) == 0
    assert (tmp_path / "out" / "Report.txt").read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "out" / "Report-2.txt").read_text(encoding="utf-8") == "said"
    fake_host.polls_until_done = 1
    assert queue(fake_host, tmp_path, "--overwrite") == 0
    assert (tmp_path / "out" / "Report.txt").read_text(encoding="utf-8") == "said"


@pytest.mark.parametrize("timeout", ["0", "-1", "nan"])
def test_a_timeout_that_is_none(fake_host, tmp_path, timeout):
    assert queue(fake_host, tmp_path, f"--timeout={timeout}") == 1
    assert fake_host.posted == []


def test_lines_on_nodes_are_read_as_far_as_they_are_lines(fake_host, tmp_path, capsys):
    chips = [{"text": "a cup 0.90", "chip": True}, {"text": "red 0.10", "chip": True}]
    cards = [
        {"lines": [{"text": "Score: 1"}, *chips, {"text": "\x1b[1mend"}]},
        {"lines": [None, 3, {"text": None}, {"text": ["x"]}]},
        "no card",
    ]
    fake_host.history["outputs"] = {"3": {"grefine": 7}, "4": {"text": ["0.75"], "grefine": cards}}
    assert queue(fake_host, tmp_path) == 3
    printed = capsys.readouterr().out.splitlines()
    found = ["Score: 1", "a cup 0.90 · red 0.10", "[1mend", "['x']"]
    assert printed == [*(f"Report: {line}" for line in found), f"Report: 0.75 ({tmp_path / 'out' / 'Report.txt'})"]
