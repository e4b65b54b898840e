"""Records that survive a run that is ended at any byte."""

from __future__ import annotations

from grefine_research.evaluation.store import Store


def test_half_a_line_is_forgotten_and_the_rest_kept(tmp_path):
    file = tmp_path / "deep" / "records.jsonl"
    store = Store(file, "run 1")
    for key in ("a/ä.png", "b.png", "c.png"):
        store.add(key, {"value": len(key)})
    whole = file.read_bytes()
    for length in range(len(whole.splitlines(keepends=True)[0]), len(whole)):
        file.write_bytes(whole[:length])
        left = Store(file, "run 1")
        complete = whole[:length].count(b"\n") - 1
        # A line that lacks its end alone is whole all the same.
        assert len(left.records(["a/ä.png", "b.png", "c.png"])) in (complete, complete + 1)
        left.add("d.png", {"value": 1})
        again = Store(file, "run 1")
        assert again.get("d.png") == {"key": "d.png", "value": 1}
        assert len(again.records(["a/ä.png", "b.png", "c.png"])) == len(left.records(["a/ä.png", "b.png", "c.png"]))


def test_another_run_begins_anew(tmp_path):
    file = tmp_path / "records.jsonl"
    Store(file, "run 1").add("a", {"value": 1})
    assert Store(file, "run 1").missing(["a", "b"]) == ["b"]
    assert Store(file, "run 1", keep=False).missing(["a"]) == ["a"]
    Store(file, "run 1").add("a", {"value": 1})
    assert Store(file, "run 2").missing(["a"]) == ["a"]


def test_numbers_as_keys(tmp_path):
    store = Store(tmp_path / "records.jsonl", "x", field="index")
    store.add(3, {"value": 1})
    assert Store(tmp_path / "records.jsonl", "x", field="index").records(range(5)) == [{"index": 3, "value": 1}]
