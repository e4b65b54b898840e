"""The tokens that the real host makes of an emphasised prompt are those of the original; only the weights differ."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grefine_core.prompt.emphasis import emphasize
from grefine_core.prompt.markup import read_weights

FIXED = [
    "a (red balloon:1.3), (x:y), (:1.2), (a (b:1.2):1.1), ((a:1.3)), (a:1.2 (b)), ((c)",
    "a) (b) (c:1.4)",
    "(a (b) (c:1.5",
    "()(())(:)(: 1)( :1.1)(a:)(a:1_0)(a:1e2)(a:-1)(a:+.5)(a:１.２)(a:1.2\\))",
    "\\(a\\) \\\\(b:1.2\\) (\\(c\\):1.2) \\",
    "((((((((((x))))))))))",
    ")))((( a (b:2) )))(((",
    "embedding:foo (embedding:bar:1.2), red embedding:baz, hat",
    "",
    " ",
]


def test_weights_of_known_oddities(host):
    for prompt, answer in zip(FIXED, host.ask(FIXED), strict=True):
        assert read_weights(prompt) == [tuple(pair) for pair in answer["weights"]], prompt


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    prompts=st.lists(
        st.lists(
            st.sampled_from(["(", ")", "\\", ":", "1", ".2", "a", " ", "é", "\0", "\1", "-", "(b:1.1)"]), max_size=25
        ).map("".join),
        min_size=8,
        max_size=8,
    )
)
def test_weights_are_read_as_the_host_reads_them(host, prompts):
    for prompt, answer in zip(prompts, host.ask(prompts), strict=True):
        assert repr(read_weights(prompt)) == repr([tuple(pair) for pair in answer["weights"]])


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_tokens_stay(host, cases, data):
    drawn = [data.draw(cases) for _ in range(4)]
    prompts = [prompt for prompt, _ in drawn]
    emphasised = [emphasize(prompt, verdicts) for prompt, verdicts in drawn]
    answers = host.ask(prompts + emphasised)
    for index, prompt in enumerate(prompts):
        before, after = answers[index], answers[index + len(prompts)]
        assert after["tokens"] == before["tokens"], (prompt, emphasised[index])


def test_the_tokens_stay_in_front_of_repetitions(host, verdict):
    prompts = [
        "A dog barks.",
        "a dog!",
        '{"scene": "a dog"}',
        "a dog <lora:x:1>",
        "(a dog:1.2)",
        "a dog, ",
        "a dog ...",
    ]
    repeated = [emphasize(prompt, [verdict(prompt, "dog")], style="repeat") for prompt in prompts]
    answers = host.ask(prompts + repeated)
    for prompt, before, after in zip(repeated, answers, answers[len(prompts) :], strict=False):
        assert len(after["tokens"]) > len(before["tokens"]), prompt
        assert after["tokens"][: len(before["tokens"])] == before["tokens"], prompt
