"""A restorer that another program registers, from the library and from the command line."""

from __future__ import annotations

import argparse

import pytest
import torch

from grefine_core.cli import build_parser, engines
from grefine_core.engines.entry import Entry, Option, Placement
from grefine_core.engines.registry import RESTORERS
from grefine_core.errors import InputError
from grefine_core.refine import Capabilities, Inpainter, stage1, stage2
from grefine_core.refine.protocols import Restorer, capabilities_of

ONE_PASS = Capabilities(steps=False, strength=False, scale=2)


class Brighter:
    """Gives every picture twice as large, and so much brighter."""

    size_multiple, min_side, native_side, capabilities = 4, 1, 16, ONE_PASS

    def __init__(self, by: float = 0.5) -> None:
        self.by = by

    def restore(self, image, *, prompt, strength, steps, seed, index=0, progress=None):
        if progress is not None:
            progress(1, 1, None)
        return (image + self.by).repeat_interleave(2, 1).repeat_interleave(2, 2)

    def inpaint(self, image, mask, **options):
        return self.restore(image, **options)


def load(weights: str, by: float = 0.5, *, place: Placement) -> Brighter:
    assert place.device == "cpu"
    assert weights == "brighter.safetensors"
    return Brighter(by)


@pytest.fixture
def brighter():
    options = (
        Option("weights", str, "its weights", metavar="FILE", needed="a file"),
        Option("by", float, "how much brighter", default=0.5),
    )
    yield RESTORERS.register(
        Entry("brighter", "Brighter", "more light", load, options, capabilities=ONE_PASS, node="Load Brighter")
    )
    RESTORERS.unregister("brighter")


def parse(*words: str) -> argparse.Namespace:
    needed = ("picture.png", "--prompt", "a cat", "-o", "out", "--pipeline", "p", "--device", "cpu")
    return build_parser().parse_args(["refine", *needed, *words])


def test_the_command_line_offers_and_loads_it(brighter):
    arguments = parse("--restorer", "brighter", "--brighter-weights", "brighter.safetensors", "--brighter-by", "0.25")
    engines.check_engine_options(arguments)
    restorer = engines.Engines.from_options(arguments, lambda: pytest.fail("the inpainter was loaded")).restorer()
    assert (type(restorer), restorer.by) == (Brighter, 0.25)
    assert engines.restorer_identity(arguments) is None


def test_the_command_line_says_what_it_cannot(brighter, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["refine", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "brighter: more light (one call, whatever --steps, mixed in by the strength, works at 2 times the" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--restorer", "brighter"], "--brighter-weights: --restorer brighter needs a file"),
        (["--brighter-by", "1"], "--brighter-by: is Brighter's; add --restorer brighter"),
        (["--restorer", "brighter", "--brighter-weights", "x", "--pasd", "y"], "--pasd: is PASD's"),
    ],
)
def test_options_of_another_engine_and_missing_ones_are_named(brighter, words, message):
    with pytest.raises(InputError, match=message):
        engines.check_engine_options(parse(*words))


def test_without_it_there_is_no_such_choice(capsys):
    with pytest.raises(SystemExit):
        parse("--restorer", "brighter")
    assert "invalid choice: 'brighter'" in capsys.readouterr().err


def test_the_stages_keep_to_what_it_can(brighter):
    engine = RESTORERS["brighter"].load("brighter.safetensors", place=Placement())
    image = torch.full((2, 10, 14, 3), 0.25)
    calls = []
    restored = stage2(
        image,
        engine,
        prompts="",
        strengths=[0.5, 1.0],
        steps=7,
        keep_color=False,
        progress=lambda done, total, preview: calls.append((done, total)),
    )
    # Twice the size and back, once for each picture, half of it by the strength.
    assert restored.shape == image.shape
    torch.testing.assert_close(restored[0], torch.full((10, 14, 3), 0.5))
    torch.testing.assert_close(restored[1], torch.full((10, 14, 3), 0.75))
    assert calls == [(1, 2), (2, 2)]
    mask = torch.zeros(1, 10, 14)
    mask[:, 2:5, 3:9] = 1.0
    painted = stage1(image, mask, None, engine, prompts="", strengths=0.5, steps=7)
    torch.testing.assert_close(painted, torch.where(mask[..., None] > 0, image + 0.5, image))


def test_names_are_given_once(brighter):
    with pytest.raises(InputError, match="restorer 'brighter': is registered already"):
        RESTORERS.register(brighter)
    with pytest.raises(InputError, match="restorer 'nobody': expected one of pipeline, pasd, brighter"):
        RESTORERS["nobody"]
    assert RESTORERS.nodes == ("Load PASD", "Load Brighter")


def test_the_pipeline_restores_with_the_inpainters_weights():
    class Pipeline:
        def restorer(self):
            return "its own"

    load_it = RESTORERS["pipeline"].load
    assert load_it(place=Placement(inpainter=Pipeline)) == "its own"
    with pytest.raises(InputError, match="this inpainter makes none of its weights"):
        load_it(place=Placement(inpainter=object))


def test_engines_that_state_nothing_can_all_of_it():
    assert capabilities_of(object()) == Capabilities(steps=True, strength=True, scale=1)
    assert isinstance(Brighter(), Restorer)
    assert isinstance(Brighter(), Inpainter)
