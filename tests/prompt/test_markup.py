from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grefine_core.prompt.markup import plain_text, read, read_weights, spans, strip_markup

from ..effort import EFFORTS

PIECES = [
    *[
        "red hat",
        "8k",
        "🎈",
        "红色",
        "é",
        "BREAK",
        "AND",
        " AND ",
        "<lora:x:1>",
        "<3",
        "embedding:foo",
        "__a/b__",
        "__",
    ],
    *["(", ")", ":1.3)", "\\(", "\\)", "{", "|", "}", "[x]", ":", ", ", " ", "\n", "\\", "\0", "1.2"],
]
PROMPTS = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=20).map("".join))


def kinds(prompt: str) -> list[tuple[str, str]]:
    return [(prompt[span.start : span.end], span.kind) for span in spans(prompt) if span.kind != "text"]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a (red) hat", [("a ", 1.0), ("red", 1.1), (" hat", 1.0)]),
        ("a ((red)) hat", [("a ", 1.0), ("red", 1.1 * 1.1), (" hat", 1.0)]),
        ("(a (b:1.2):1.1)", [("a ", 1.1), ("b", 1.2)]),  # a number sets the weight, it does not multiply
        ("(x:y)", [("x:y", 1.1)]),
        ("(x:)", [("x:", 1.1)]),
        ("(:1.2)", [(":1.2", 1.1)]),
        ("(a:b:1.2)", [("a:b", 1.2)]),
        ("(a: 1.2 )", [("a", 1.2)]),
        ("(a:1.2 (b))", [("a:1.2 ", 1.1), ("b", 1.1 * 1.1)]),
        (r"\(a\) (b\):1.2)", [("(a) ", 1.0), ("b)", 1.2)]),
        ("[x] {y}", [("[x] {y}", 1.0)]),
        ("(a", [("(a", 1.0)]),
        ("((a)", [("(a", 1.1)]),  # the host takes the last parenthesis for the end of the first
        ("a) (b)", [("a) (b)", 1.0)]),
        ("()", []),
        ("", []),
    ],
)
def test_weights_as_the_host_reads_them(prompt, expected):
    assert read_weights(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a (red:1.3) hat", [("(", "open"), (":1.3)", "close")]),
        (r"saber \(fate\)", [("\\", "escape"), ("\\", "escape")]),
        ("x <lora:a-b:0.8><hypernet:c> y <3 > z", [("<lora:a-b:0.8>", "lora"), ("<hypernet:c>", "lora")]),
        ("embedding:foo, embedding:a.pt x", [("embedding:foo", "embedding"), ("embedding:a.pt", "embedding")]),
        ("(embedding:x:1.2)", [("(", "open"), ("embedding:x", "embedding"), (":1.2)", "close")]),
        (r"embedding:a\(1\) b", [(r"embedding:a\(1\)", "embedding")]),
        ("a __color/dark__ hat, __a_b__", [("__color/dark__", "wildcard"), ("__a_b__", "wildcard")]),
        ("snake_case __ and ___", []),
        ("a BREAK b, BREAKFAST", [("BREAK", "break")]),
        ("a AND b and c, SAND", [("AND", "and")]),
        ("a cat :1.2 AND a dog :0.8", [(" :1.2 AND", "and"), (" :0.8", "and")]),
        ("a AND:0.5 b", [("AND:0.5", "and")]),
        ("BLACK AND WHITE", []),
        ("{a|{b|c}} d|e }{", [(c, "choice") for c in "{|{|}}"]),
        ("a cat --ar 16:9 --v 6.1", [("--ar 16:9", "parameter"), ("--v 6.1", "parameter")]),
        ("a cat --tile --sref 12 9b --zz 3", [(t, "parameter") for t in ("--tile", "--sref 12 9b", "--zz 3")]),
        ("a cat --no a hat, text --q 2", [("--no", "parameter"), (" a hat, text ", "absent"), ("--q 2", "parameter")]),
        ("a cat —ar 1:1", [("—ar 1:1", "parameter")]),
        ("a cat -- or --maybe a dog", []),
        ("a moon::2 a sun::", [("::2", "parameter"), ("::", "parameter")]),
        ("fog::-.5 hills", [("fog", "absent"), ("::-.5", "parameter")]),
        ("std::vector, 16:9, std::(vector:1.2)", [("(", "open"), (":1.2)", "close")]),
        ("https://a.b/c.png, www.d.e a cat", [("https://a.b/c.png", "link"), ("www.d.e", "link")]),
        ("/imagine prompt: a cat", [("/imagine prompt:", "parameter")]),
        ("a cat ADDCOL a dog", [("ADDCOL", "break")]),
        ("plain, (nothing", []),
    ],
)
def test_kinds(prompt, expected):
    assert kinds(prompt) == expected


def test_weight_of_every_span():
    prompt = "a (b (c) d:1.5)"
    found = {prompt[s.start : s.end]: round(s.weight, 3) for s in spans(prompt) if s.kind == "text"}
    assert found == {"a ": 1.0, "b ": 1.5, "c": 1.65, " d": 1.5}


def test_plain_text_blanks_markup_and_keeps_offsets():
    pieces = [
        ("a ", "a "),
        ("(red:1.3)", " red     "),
        (r" \(hat\) ", "  (hat ) "),
        ("<lora:x:1>", ",         "),
        (" dog ", " dog "),
        ("BREAK", ",    "),
        (" cat ", " cat "),
        ("{x|y}", " x,y "),
    ]
    assert plain_text("".join(old for old, _ in pieces)) == "".join(new for _, new in pieces)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a (red:1.3) hat", "a red hat"),
        (r"saber \(fate\), x", "saber (fate), x"),
        ("a , ,  b,,c <lora:x:1>", "a, b,c"),
        ("a BREAK b AND c", "a, b, c"),
        ("(red), {a|b}.", "red, a, b."),
        ("embedding:foo a hat", "a hat"),
        ("a hat --no red, blue --ar 3:2", "a hat"),
        ("https://a.b/c.png a hat::2 a cat", "a hat, a cat"),
        ("a\n\nhat", "a hat"),
        ("<lora:x:1>", ""),
        ("", ""),
        (" , ", ""),
        ("a hat", "a hat"),
    ],
)
def test_strip_markup(prompt, expected):
    assert strip_markup(prompt) == expected


@settings(max_examples=400)
@given(PROMPTS)
def test_spans_cover_the_prompt_and_offsets_stay(prompt):
    found = spans(prompt)
    assert "".join(prompt[span.start : span.end] for span in found) == prompt
    assert all(span.start < span.end for span in found)
    plain = plain_text(prompt)
    assert len(plain) == len(prompt)
    kept = "".join(
        prompt[span.start : span.end] if span.kind == "text" else " " * (span.end - span.start) for span in found
    )
    assert all(new in " ," or new == old for old, new in zip(prompt, plain, strict=True))
    assert re.sub("[ ,]", "", kept) == re.sub("[ ,]", "", plain)


@settings(max_examples=400)
@given(PROMPTS)
def test_all_that_is_tokenized_is_there_once(prompt):
    reading = read(prompt)
    covered = [p for segment in reading.segments for p in range(segment.start, segment.end)]
    assert covered == sorted(set(covered))
    brackets = {p for group in reading.groups for p in (group.start, *range(group.content_end, group.end))}
    assert brackets | set(covered) == set(range(len(prompt)))
    assert not brackets & set(covered)


@settings(max_examples=200)
@given(PROMPTS)
def test_stripping_is_final(prompt):
    once = strip_markup(prompt)
    assert once == " ".join(once.split())
    assert not once.startswith((",", " "))


def test_absurd_nesting_is_survived():
    prompt = "(" * 5000 + "x" + ")" * 5000
    assert "x" in read_weights(prompt)[-1][0]
    assert len(plain_text(prompt)) == len(prompt)
    assert strip_markup("(" * 3000 + "x")


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize(
    ("head", "unit", "tail"),
    [
        ("a AND b", " ", "x"),
        ("a AND b :", "1", "x"),
        ("a AND b", " :1", "x"),
        ("", "__a_", ""),
        ("", "(", ")"),
        ("(", "a|b ", ""),
        ("", "<a:", ""),
        ("", ", ", ""),
    ],
)
def test_a_character_costs_no_more_in_a_long_prompt(head, unit, tail, effort):
    """Eight times the length may take eight times as long, not 64 times."""

    def spent(length):
        prompt = head + unit * (length // len(unit)) + tail
        return effort(lambda: (spans(prompt), strip_markup(prompt)))

    assert spent(24_000) < 24 * spent(3_000)


@pytest.mark.parametrize(
    ("prompt", "end"),
    [
        ("a AND b :0.8", " :0.8"),
        ("a AND b  \t: .5 \n", "  \t: .5 \n"),
        ("a AND b: 1.", ": 1."),
        ("a AND b :0.8 x", None),
        ("a AND b :0.8:", None),
        ("a :0.8", None),
        ("a AND :0.8", None),
    ],
)
def test_the_weight_at_the_very_end(prompt, end):
    found = [prompt[span.start : span.end] for span in spans(prompt) if span.kind == "and"]
    assert (found[-1] if found and found[-1].lstrip().startswith(":") else None) == end
