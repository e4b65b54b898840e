"""ImageReward's tokenizer: bert-base-uncased with ``[DEC]`` and ``[ENC]`` behind it, from a vocabulary file at hand.

The vocabulary is not among ImageReward's files, and it is never fetched while loading: it is looked for in the model
folders and in Hugging Face's local cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelFileError
from ..files import parse_json
from ..models.finding import Folders, model_folders
from ..models.registry import BERT_VOCABULARY

EXTRA = ("[DEC]", "[ENC]")
PUBLISHED_TOKENS = 30522
#: Numbers of bert-base-uncased by which another vocabulary of the same length is recognised.
_LANDMARKS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
_NAMES = (*BERT_VOCABULARY.names, "bert-base-uncased/vocab.txt", "bert-base-uncased/tokenizer.json")
_HUB = ("google-bert/bert-base-uncased", "bert-base-uncased")


class TextTokenizer:
    """Texts to token ids: lower case, no accents, word pieces, ``[CLS]`` … ``[SEP]``, cut at ``length`` tokens.

    Args:
        vocabulary: token -> number, without ``EXTRA``, which get the two numbers behind its last.
        length: tokens of a text at most, with start and end.

    Raises:
        ModelFileError: it lacks a token that every text needs.
    """

    def __init__(self, vocabulary: Mapping[str, int], length: int = 35) -> None:
        from tokenizers import BertWordPieceTokenizer

        if missing := [name for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if name not in vocabulary]:
            raise ModelFileError(f"vocabulary: has no {', '.join(missing)}, so it is not bert-base-uncased's.")
        self.length = length
        self.size = len(vocabulary) + len(EXTRA)
        self._pad = vocabulary["[PAD]"]
        self._counting: Any = BertWordPieceTokenizer(dict(vocabulary), lowercase=True)
        self._cutting: Any = BertWordPieceTokenizer(dict(vocabulary), lowercase=True)
        for tokenizer in (self._counting, self._cutting):
            tokenizer.add_special_tokens(list(EXTRA))
        self._cutting.enable_truncation(length)

    def __call__(self, texts: Sequence[str], pad_to: int | None = None) -> tuple[Tensor, Tensor]:
        """Ids (n, L) int64 and attention mask (n, L) of texts; L is ``pad_to``, or the longest text's length.

        The network masks the padding, so that its length changes nothing but the time.
        """
        rows = [encoded.ids for encoded in self._cutting.encode_batch(list(texts))]
        width = pad_to or max((len(row) for row in rows), default=0)
        ids = torch.full((len(rows), width), self._pad, dtype=torch.int64)
        mask = torch.zeros(len(rows), width, dtype=torch.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = 1
        return ids, mask

    def count(self, text: str) -> int:
        """Tokens of a text with start and end, before it is cut."""
        return len(self._counting.encode(text).ids)


def find_vocabulary(weights: str | Path | None = None, folders: Folders = None) -> Path:
    """The vocabulary file of bert-base-uncased.

    Looked for, in this order: ``vocab.txt`` beside the weights; ``bert-base-uncased-vocab.txt``,
    ``bert-base-uncased/vocab.txt`` and ``bert-base-uncased/tokenizer.json`` in the folder of the weights, the one above
    it (in ComfyUI ``models``, where other packs keep it) and the model folders; Hugging Face's local cache.

    Raises:
        ModelFileError: nowhere; names the file to place, where, and the command that fetches it.
    """
    around = [] if weights is None else [Path(weights).expanduser().parent, Path(weights).expanduser().parent.parent]
    searched = [*around, *(model_folders() if folders is None else (Path(folder).expanduser() for folder in folders))]
    if around and (around[0] / "vocab.txt").is_file():
        return around[0] / "vocab.txt"
    for folder in searched:
        for name in _NAMES:
            if (folder / name).is_file():
                return folder / name
    cached = _in_hub_cache()
    if cached is not None:
        return cached
    raise ModelFileError(
        "ImageReward: the vocabulary of its tokenizer was not found. Place bert-base-uncased's vocab.txt (232 kB) as "
        f"{BERT_VOCABULARY.names[0]} in {around[0] if around else searched[0]}, or fetch it with `grefine models "
        f"download {BERT_VOCABULARY.id}`. Searched: {', '.join(map(str, dict.fromkeys(searched)))}, and Hugging Face's "
        "local cache."
    )


def read_vocabulary(path: str | Path, size: int | None = None) -> dict[str, int]:
    """Token -> number, from a ``vocab.txt`` (one token a line) or a ``tokenizer.json``.

    Args:
        path: of the file.
        size: number of tokens it has to have; with bert-base-uncased's 30522 its special tokens are checked, too.

    Raises:
        ModelFileError: it cannot be read, or is another model's.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix.lower() == ".json":
            vocabulary = {str(token): int(number) for token, number in parse_json(text)["model"]["vocab"].items()}
        else:
            vocabulary = _numbered(text.split("\n"))
    except FileNotFoundError as error:
        raise ModelFileError(f"vocabulary: {file} does not exist; check the path.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"vocabulary: {file} cannot be read as one ({error!r}); fetch it again.") from error
    wrong = size is not None and len(vocabulary) != size
    if size == PUBLISHED_TOKENS and not wrong:
        wrong = any(vocabulary.get(token) != number for token, number in _LANDMARKS.items())
    if wrong:
        raise ModelFileError(
            f"vocabulary: {file} has {len(vocabulary)} tokens and is not bert-base-uncased's, which has {size} (a "
            "cased or multilingual one will not do). Take vocab.txt of google-bert/bert-base-uncased."
        )
    return vocabulary


def _numbered(lines: Iterable[str]) -> dict[str, int]:
    tokens = [line.rstrip("\r") for line in lines]
    while tokens and not tokens[-1]:
        tokens.pop()
    return {token: number for number, token in enumerate(tokens)}


def _in_hub_cache() -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    for repository in _HUB:
        for name in ("vocab.txt", "tokenizer.json"):
            found = try_to_load_from_cache(repository, name)
            if isinstance(found, str):
                return Path(found)
    return None
