from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grefine_core.prompt.emphasis import emphasize
from grefine_core.prompt.markup import read_weights, strip_markup

RELAXED = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@RELAXED
@given(data=st.data())
def test_only_weights_differ_and_a_second_application_changes_nothing(cases, carry, data):
    prompt, verdicts = data.draw(cases)
    once = emphasize(prompt, verdicts)
    before, after = read_weights(prompt), read_weights(once)
    assert "".join(text for text, _ in after) == "".join(text for text, _ in before)
    assert emphasize(once, carry(verdicts, prompt, once)) == once
    assert emphasize(once, verdicts) == once


@RELAXED
@given(data=st.data())
def test_no_weight_falls_and_none_outside_the_phrases_changes(cases, data):
    prompt, verdicts = data.draw(cases)
    once = emphasize(prompt, verdicts)
    characters = [(c, w) for text, w in read_weights(prompt) for c in text]
    now = [(c, w) for text, w in read_weights(once) for c in text]
    letters = sum(c.isalnum() for v in verdicts for s, e in v.phrase.spans for c in prompt[s:e])
    changed = [(c, w, n) for (c, w), (_, n) in zip(characters, now, strict=True) if w != n and w == w]
    assert all(1.1 <= n <= 1.5 and n > w for _, w, n in changed)
    assert sum(c.isalnum() for c, _, _ in changed) <= letters


@RELAXED
@given(data=st.data())
def test_what_the_quality_model_reads_stays(cases, data):
    prompt, verdicts = data.draw(cases)
    squeezed = "".join(strip_markup(prompt).split())
    assert "".join(strip_markup(emphasize(prompt, verdicts)).split()) == squeezed


@RELAXED
@given(data=st.data())
def test_repetition_only_appends_and_only_once(cases, data):
    prompt, verdicts = data.draw(cases)
    once = emphasize(prompt, verdicts, style="repeat")
    assert once.startswith(prompt)
    before, after = read_weights(prompt), read_weights(once)
    assert "".join(text for text, _ in after).startswith("".join(text for text, _ in before))
    assert emphasize(once, verdicts, style="repeat") == once
