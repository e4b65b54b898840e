"""The demonstration's picture: what ships, and what is said of it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from grefine_core.cli.demo_run import sample_subject
from grefine_core.miniature.world import EXAMPLE, EXAMPLE_INDEX
from grefine_core.pictures import load_picture, prompt_from_metadata
from grefine_research.miniature.generator import make_sample
from grefine_research.miniature.sample import in_words


def test_the_sample_has_what_it_was_chosen_for():
    defects = make_sample("test", EXAMPLE_INDEX).defects
    assert "technical" in {defect.kind for defect in defects}
    assert "alignment" in {defect.kind for defect in defects}


def test_the_example_picture_is_that_sample():
    sample = make_sample("test", EXAMPLE_INDEX)
    assert abs(np.asarray(Image.open(EXAMPLE)) - sample.image * 255).max() <= 1.01
    assert prompt_from_metadata(load_picture(EXAMPLE).text) == sample.caption.prompt


def test_the_true_mask_is_where_the_defects_are(tmp_path):
    subject = sample_subject(tmp_path, EXAMPLE_INDEX)
    defects = make_sample("test", EXAMPLE_INDEX).defects
    truth = np.asarray(Image.open(dict(subject.files)["truth"]))[..., 0] > 0
    np.testing.assert_array_equal(truth, np.any([defect.mask for defect in defects], axis=0))


def test_a_samples_defects_are_said_in_words():
    sample = make_sample("test", EXAMPLE_INDEX)
    words = in_words(sample)
    for defect in sample.defects:
        assert defect.kind in words
        assert defect.name.replace("_", " ") in words
    (wrong,) = (defect for defect in sample.defects if defect.kind == "alignment")
    assert " ".join(sample.caption.phrases[wrong.phrase].words) in words
