"""``grefine queue``'s client against the real host."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grefine_core.cli import main
from grefine_core.comfyui.queue import QueueError, QueueProgress, run_workflow
from grefine_core.errors import Cancelled

from .template_tools import EMBEDDINGS, put_quality_model

ROOT = Path(__file__).resolve().parents[2]


def node(kind: str, title: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


WORKFLOW = {
    "1": node("LoadImage", "Picture", image="not there yet.png"),
    "2": node("PrimitiveStringMultiline", "Prompt", value="a cat"),
    "3": node("ImageInvert", "Invert", image=["1", 0]),
    "4": node("SaveImage", "Result", images=["3", 0], filename_prefix="queue_test/inverted"),
    "5": node("PreviewAny", "Words", source=["2", 0]),
    "6": node("PreviewImage", "Preview", images=["1", 0]),
}


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(5).integers(0, 256, (23, 34, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    return tmp_path / "mine.png"


def test_upload_run_and_fetch(host_server, picture, tmp_path):
    seen: list[QueueProgress] = []
    result = run_workflow(
        host_server.url, WORKFLOW, picture=picture, prompt="a dog", output=tmp_path / "out", progress=seen.append
    )
    (path,) = result.images
    assert path.parent == tmp_path / "out"
    assert result.titles == ["Result"]
    assert result.texts == {"Words": ["a dog"]}
    made, given = (np.asarray(Image.open(p)).astype(int) for p in (path, picture))
    assert np.abs(made - (255 - given)).max() <= 1
    assert {"Picture", "Invert", "Result"} <= {now.title for now in seen}
    assert seen[-1].nodes == len(WORKFLOW)


def test_again_from_the_cache_the_result_still_comes(host_server, picture, tmp_path):
    first = run_workflow(host_server.url, WORKFLOW, picture=picture, output=tmp_path / "a", previews=True)
    again = run_workflow(host_server.url, WORKFLOW, picture=picture, output=tmp_path / "b", previews=True)
    assert [path.read_bytes() for path in first.images] == [path.read_bytes() for path in again.images]
    assert sorted(again.titles) == ["Preview", "Result"]


def test_the_hosts_refusal_names_the_node(host_server, tmp_path):
    only_pictures = {key: WORKFLOW[key] for key in ("1", "3", "4")}
    with pytest.raises(QueueError, match=r"Picture: .*not there yet"):
        run_workflow(host_server.url, only_pictures, output=tmp_path)
    with pytest.raises(QueueError, match=r"NoSuchNode|Odd"):
        run_workflow(host_server.url, {"1": node("NoSuchNode", "Odd")}, output=tmp_path)


def test_a_failing_node_is_named(host_server, tmp_path):
    """Masks of different sizes pass the host's validation and fail when the node runs."""
    weights = {f"weight_{letter}": 1.0 for letter in "abcd"}
    broken = {
        "1": node("SolidMask", "Small", value=1.0, width=16, height=16),
        "2": node("SolidMask", "Large", value=1.0, width=16, height=24),
        "3": node("GRefineMergeMaps", "Merge", map_a=["1", 0], map_b=["2", 0], mode="max", **weights),
        "4": node("MaskPreview", "Shown", mask=["3", 0]),
    }
    with pytest.raises(QueueError, match=r"Merge: .*24"):
        run_workflow(host_server.url, broken, output=tmp_path)


def test_valid_parts_run_and_the_others_are_reported(host_server, tmp_path):
    result = run_workflow(host_server.url, WORKFLOW, output=tmp_path)
    assert result.texts == {"Words": ["a cat"]}
    assert result.images == []
    assert any(title == "Picture" and "not there yet" in text for title, text in result.node_errors)
    assert {title for title, _ in result.missing} == {"Result", "Preview"}


@pytest.fixture
def endless(host_server):
    """A graph that computes for a minute, in many small steps: a chain of blurs."""
    graph = {"0": node("EmptyImage", "Empty", width=512, height=512, batch_size=1, color=0x123456)}
    for number in range(1, 200):
        blur = {"blur_radius": 31, "sigma": 9.0 + number / 1000 + time.monotonic() % 1 / 1e5}
        graph[str(number)] = node("ImageBlur", f"Blur {number}", image=[str(number - 1), 0], **blur)
    graph["end"] = node("PreviewImage", "End", images=["199", 0])
    return graph


def test_ctrl_c_takes_the_job_off_the_host(host_server, client, endless, tmp_path):
    def press(now: QueueProgress) -> None:
        if now.title == "Blur 2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_workflow(host_server.url, endless, output=tmp_path, progress=press)
    for _ in range(100):
        if not client.get("/queue")["queue_running"]:
            break
        time.sleep(0.1)
    assert client.get("/queue") == {"queue_running": [], "queue_pending": []}
    latest = list(client.get("/history").values())[-1]
    assert "execution_interrupted" in [event for event, _ in latest["status"]["messages"]]


def test_stopped_in_the_host_is_cancelled(host_server, client, endless, tmp_path):
    def stop(now: QueueProgress) -> None:
        if now.title == "Blur 3":
            threading.Thread(target=client.interrupt).start()

    with pytest.raises(Cancelled):
        run_workflow(host_server.url, endless, output=tmp_path, progress=stop)


def test_the_command_line_says_what_was_left_out(host_server, tmp_path, capsys):
    (tmp_path / "graph.json").write_text(json.dumps(WORKFLOW), encoding="utf-8")
    arguments = [
        "queue",
        str(tmp_path / "graph.json"),
        "--server",
        host_server.url,
        "-o",
        str(tmp_path / "cli"),
        "--json",
    ]
    assert main(arguments) == 3
    answer = json.loads(capsys.readouterr().out)
    assert answer["texts"] == {"Words": ["a cat"]}
    assert {entry["node"]: "not there yet" in entry["error"] for entry in answer["missing"]}["Result"]


def test_the_command_line(host_server, picture, tmp_path, capsys):
    (tmp_path / "graph.json").write_text(json.dumps(WORKFLOW), encoding="utf-8")
    arguments = ["queue", str(tmp_path / "graph.json"), "--server", host_server.url, "--image", str(picture)]
    arguments += ["--prompt", "a bird", "--set", "Result.filename_prefix=other", "-o", str(tmp_path / "cli"), "--json"]
    assert main(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["texts"] == {"Words": ["a bird"]}
    assert answer["images"][0].startswith(str(tmp_path / "cli" / "other"))


def test_scores_and_progress_go_into_a_pipe(host_server, picture, tmp_path, capsys):
    """Standard error is no terminal here: lines instead of a bar; what was found is on standard output."""
    put_quality_model(host_server, tmp_path)
    file = ROOT / "workflows" / "api" / "grefine_score_only.json"
    arguments = ["queue", str(file), "--server", host_server.url, "--image", str(picture), "--prompt", "a red cup"]
    assert main([*arguments, "--set", f"Load Quality Model.embeddings={EMBEDDINGS}", "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    nodes = len(json.loads(file.read_text(encoding="utf-8")))
    told = re.findall(rf"^(\d+)/{nodes} (.+)$", printed.err, re.MULTILINE)
    assert {"PQ-Map", "AQ-Map"} <= {title for _, title in told}
    counts = [int(done) for done, _ in told]
    assert counts == sorted(counts)
    assert re.search(r"^PQ-Map: Perceptual score: [01]\.\d{3}$", printed.out, re.MULTILINE)
    assert re.search(r"^AQ-Map: Alignment score: [01]\.\d{3}$", printed.out, re.MULTILINE)
    assert re.search(r"^AQ-Map: .*red cup: (matched|not there|there|not as described)", printed.out, re.MULTILINE)
