from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from grefine_core.prompt.syntax.tagger import load_tagger
from grefine_research.training import tagger
from grefine_research.training.tagger import Entry

ROOT = Path(__file__).parents[3]
# Made up for this test: form/XPOS/head, one sentence a line.
SENTENCES = """
The/DT/2 cat/NN/3 sees/VBZ/0 a/DT/6 red/JJ/6 bird/NN/3 in/IN/9 the/DT/9 tree/NN/6 ././3
A/DT/2 bird/NN/3 sings/VBZ/0 ././3
The/DT/5 hand/NN/4 -/HYPH/4 made/VBN/5 box/NN/6 holds/VBZ/0 a/DT/8 bird/NN/6 ././6
A/DT/3 red/JJ/3 box/NN/4 falls/VBZ/0 ././4
The/DT/3 old/JJ/3 tree/NN/4 holds/VBZ/0 the/DT/6 cat/NN/4 !/./4
""".strip().splitlines()
UPOS = {
    "NN": "NOUN",
    "DT": "DET",
    "JJ": "ADJ",
    "VBZ": "VERB",
    "IN": "ADP",
    ".": "PUNCT",
    "HYPH": "PUNCT",
    "VBN": "VERB",
}


@pytest.fixture
def treebank(tmp_path: Path) -> Path:
    blocks = []
    for sentence in SENTENCES:
        words = [word.rsplit("/", 2) for word in sentence.split()]
        rows = [f"{i}\t{form}\t{UPOS[tag]}\t{tag}\t{head}\tdep" for i, (form, tag, head) in enumerate(words, start=1)]
        blocks.append("\n".join(rows))
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.tsv").write_text("\n\n".join(blocks) + "\n\n", encoding="utf-8")
    return tmp_path


def test_reading(treebank: Path) -> None:
    sentences = tagger.read_treebank(treebank / "train.tsv")
    assert len(sentences) == len(SENTENCES)
    assert sentences[0][1] == Entry("cat", "NN", 3, "NOUN")


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train\.tsv"):
        tagger.find_part(tmp_path, "train")


def test_fragments_are_nouns_with_all_that_hangs_on_them(treebank: Path) -> None:
    sentence = tagger.read_treebank(treebank / "train.tsv")[0]
    texts = [" ".join(form for form, _ in text) for text in tagger.noun_fragments(sentence, random.Random(1))]
    assert any(text.endswith("red bird in the tree") for text in texts)
    assert all("sees" not in text for text in texts)


def test_hyphens_are_joined_as_adjectives() -> None:
    text = [("hand", "NN"), ("-", "HYPH"), ("made", "VBN"), ("box", "NN")]
    assert tagger.join_hyphens(text) == [("hand-made", "JJ"), ("box", "NN")]


def test_lower_drops_the_full_stop() -> None:
    assert tagger.lower([("A", "DT"), ("Cat", "NN"), (".", ".")]) == [("a", "DT"), ("cat", "NN")]


def test_training_learns_and_is_the_same_file_every_time(treebank: Path) -> None:
    files = []
    for seed in ("1", "2"):
        path = treebank / f"{seed}.json.gz"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        options = ["--treebank", str(treebank), "--out", str(path), "--epochs", "3"]
        command = [sys.executable, "-m", "grefine_research.training.tagger", *options]
        subprocess.run(command, env=environment, capture_output=True, check=True)
        files.append(path)
    assert files[0].read_bytes() == files[1].read_bytes()
    texts = [tagger.plain(sentence) for sentence in tagger.read_treebank(treebank / "test.tsv")]
    assert tagger.accuracy(load_tagger(files[0]), texts) >= 0.9
