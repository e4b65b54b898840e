"""The queue client against a stand-in without a websocket: everything goes by asking the history."""

from __future__ import annotations

import pytest

from grefine_core.comfyui.host_api import HostApi, HostUnreachableError
from grefine_core.comfyui.queue import QueueCancelled, QueueError, run_workflow
from grefine_core.errors import Cancelled, InputError

WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}, "_meta": {"title": "Picture"}},
    "2": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "a cat"}, "_meta": {"title": "Prompt"}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}, "_meta": {"title": "Refined picture"}},
    "4": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}, "_meta": {"title": "Report"}},
}


def saved(name: str, kind: str = "output") -> dict:
    return {"filename": name, "subfolder": "", "type": kind}


def test_the_picture_goes_up_and_results_come_back(fake_host, tmp_path):
    (tmp_path / "mine.png").write_bytes(b"png bytes")
    fake_host.polls_until_done = 3
    fake_host.files = {"refined_1.png": b"refined"}
    fake_host.history["outputs"] = {"3": {"images": [saved("refined_1.png")]}, "4": {"text": ["a dog"]}}
    result = run_workflow(
        fake_host.url, WORKFLOW, picture=tmp_path / "mine.png", prompt="a dog", output=tmp_path / "out"
    )
    assert [path.name for path in result.images] == ["refined_1.png"]
    assert result.images[0].read_bytes() == b"refined"
    assert result.titles == ["Refined picture"]
    assert result.texts == {"Report": ["a dog"]}
    sent = fake_host.prompt
    assert sent["2"]["inputs"]["value"] == "a dog"
    assert sent["1"]["inputs"]["image"].startswith("grefine_")
    upload = next(body for path, body in fake_host.posted if path == "/upload/image")
    assert b"png bytes" in upload
    assert WORKFLOW["1"]["inputs"]["image"] == "example.png"
    assert "/interrupt" not in fake_host.paths()


def test_previews_only_on_request_and_nothing_is_overwritten(fake_host, tmp_path):
    fake_host.files = {"a.png": b"new", "p.png": b"preview"}
    fake_host.history["outputs"] = {"3": {"images": [saved("a.png"), saved("p.png", "temp")]}}
    (tmp_path / "a.png").write_bytes(b"old")
    assert [path.name for path in run_workflow(fake_host.url, WORKFLOW, output=tmp_path).images] == ["a-2.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"
    both = run_workflow(fake_host.url, WORKFLOW, output=tmp_path, previews=True)
    assert [path.name for path in both.images] == ["a-2.png", "Refined picture.png"]  # the node, titled
    assert run_workflow(fake_host.url, WORKFLOW, output=tmp_path, overwrite=True).images == [tmp_path / "a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"new"


def test_the_picture_that_goes_up_is_not_replaced_by_what_comes_back(fake_host, tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    fake_host.files = {"a.png": b"new"}
    fake_host.history["outputs"] = {"3": {"images": [saved("a.png")]}}
    result = run_workflow(fake_host.url, WORKFLOW, picture=tmp_path / "a.png", output=tmp_path, overwrite=True)
    assert result.images == [tmp_path / "a-2.png"]
    assert (tmp_path / "a.png").read_bytes() == b"mine"


def test_a_hostile_name_stays_inside_the_folder(fake_host, tmp_path):
    fake_host.files = {"../../evil.png": b"x"}
    fake_host.history["outputs"] = {"3": {"images": [saved("../../evil.png")]}}
    (path,) = run_workflow(fake_host.url, WORKFLOW, output=tmp_path / "a" / "b").images
    assert path == tmp_path / "a" / "b" / "evil.png"


def test_a_refused_workflow_names_the_node_and_the_input(fake_host, tmp_path):
    fake_host.refusal = {
        "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"},
        "node_errors": {"1": {"errors": [{"message": "Value not in list", "details": "image: 'x.png' not in []"}]}},
    }
    with pytest.raises(QueueError, match=r"refused(.|\n)*Picture: Value not in list: image: 'x.png'") as caught:
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path)
    assert caught.value.node_errors == (("Picture", "Value not in list: image: 'x.png' not in []"),)


def test_a_failing_node_is_named_with_its_message(fake_host, tmp_path):
    error = {"node_id": "3", "node_type": "SaveImage", "exception_type": "OSError", "exception_message": "disk full"}
    fake_host.history = {
        "outputs": {},
        "status": {"status_str": "error", "messages": [["execution_start", {}], ["execution_error", error]]},
    }
    with pytest.raises(QueueError, match=r"Refined picture: OSError: disk full"):
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path)


def test_stopped_by_somebody_is_cancelled(fake_host, tmp_path):
    messages = [["execution_interrupted", {"node_id": "3"}]]
    fake_host.history = {"outputs": {}, "status": {"status_str": "error", "messages": messages}}
    with pytest.raises(Cancelled, match="Refined picture"):
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path)


def test_parts_that_are_left_out_are_reported(fake_host, tmp_path):
    errors = [{"message": "Bad linked input", "details": ""}]
    fake_host.node_errors = {"2": {"errors": errors, "dependent_outputs": ["4"]}}
    fake_host.files = {"a.png": b"a"}
    fake_host.history["outputs"] = {"3": {"images": [saved("a.png")]}}
    result = run_workflow(fake_host.url, WORKFLOW, output=tmp_path)
    assert result.node_errors == (("Prompt", "Bad linked input"),)
    assert [title for title, _ in result.missing] == ["Report"]
    assert len(result.images) == 1
    with pytest.raises(QueueError, match="Report: left out by ComfyUI, as Prompt is not valid: Bad linked input"):
        result.check_complete()


def test_an_output_that_gives_nothing_is_missing(fake_host, tmp_path):
    """As when something before it blocks it: for the host that is a success."""
    fake_host.history["outputs"] = {"3": {"images": []}, "4": {"text": ["said"]}}
    result = run_workflow(fake_host.url, WORKFLOW, output=tmp_path)
    assert [title for title, _ in result.missing] == ["Refined picture"]


def test_nothing_at_all_is_no_success(fake_host, tmp_path):
    fake_host.history["outputs"] = {"9": {"images": [saved("p.png", "temp")]}}
    shown = {"9": {"class_type": "PreviewImage", "inputs": {}}}
    with pytest.raises(QueueError, match="no picture and no text"):
        run_workflow(fake_host.url, shown, output=tmp_path).check_complete()


def test_what_arrived_before_a_failure_is_kept(fake_host, tmp_path):
    fake_host.files = {"a.png": b"a"}
    fake_host.history["outputs"] = {"3": {"images": [saved("a.png"), saved("gone.png")]}, "4": {"text": ["said"]}}
    with pytest.raises(QueueError, match=r"Refined picture: gone.png: .*HTTP 404") as caught:
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path)
    result = caught.value.result
    assert [path.name for path in result.images] == ["a.png"]
    assert result.texts == {"Report": ["said"]}
    for event, kind in (("execution_error", QueueError), ("execution_interrupted", QueueCancelled)):
        fake_host.polls_until_done = 1
        fake_host.history["status"] = {"status_str": "error", "messages": [[event, {"node_id": "3"}]]}
        with pytest.raises(kind) as caught:
            run_workflow(fake_host.url, WORKFLOW, output=tmp_path)
        assert [path.name for path in caught.value.result.images] == ["a.png"]


def test_a_timeout_stops_the_job(fake_host, tmp_path):
    fake_host.polls_until_done = 10**6
    with pytest.raises(QueueError, match="did not end within"):
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path, timeout=0.1)
    assert ("/queue", {"delete": ["job"]}) in fake_host.posted
    assert ("/interrupt", {"prompt_id": "job"}) in fake_host.posted


def test_ctrl_c_stops_the_job(fake_host, tmp_path, monkeypatch):
    fake_host.polls_until_done = 10**6

    def press(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(HostApi, "is_queued", press)
    with pytest.raises(KeyboardInterrupt):
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path)
    assert ("/interrupt", {"prompt_id": "job"}) in fake_host.posted


def test_a_host_that_forgot_the_job_is_an_error_not_an_endless_wait(fake_host, tmp_path):
    fake_host.known = False
    with pytest.raises(QueueError, match="no longer knows the job"):
        run_workflow(fake_host.url, WORKFLOW, output=tmp_path)


def test_no_host(tmp_path):
    with pytest.raises(HostUnreachableError, match=r"no ComfyUI answers at http://127\.0\.0\.1:9"):
        run_workflow("127.0.0.1:9", WORKFLOW, output=tmp_path)


def test_bad_arguments_before_anything_is_sent(fake_host, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        run_workflow(fake_host.url, WORKFLOW, picture=tmp_path / "gone.png")
    with pytest.raises(InputError, match="no node is called 'Sampler'"):
        run_workflow(fake_host.url, WORKFLOW, overrides={("Sampler", "steps"): 3})
    with pytest.raises(InputError, match="address"):
        run_workflow("ftp://somewhere", WORKFLOW)
    assert fake_host.posted == []
