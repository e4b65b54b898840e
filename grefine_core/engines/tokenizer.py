"""CLIP's tokenizer without a hub: transformers' files, derived from the BPE list that open_clip bundles."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

START, END = "<|startoftext|>", "<|endoftext|>"
#: The list holds more merges than CLIP uses; 49152 - 256 - 2 + 1 is CLIP's own cut.
_MERGES_END = 49152 - 256 - 2 + 1


def write_tokenizer(folder: str | Path, pad_token: str = END) -> Path:
    """Write ``vocab.json``, ``merges.txt`` and ``tokenizer_config.json`` of CLIP's tokenizer into ``folder``.

    The numbers of the tokens are those of ``open_clip.get_tokenizer``. SDXL pads its first text encoder with
    ``<|endoftext|>`` and its second with ``!`` (number 0).
    """
    from open_clip.tokenizer import bytes_to_unicode, default_bpe

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1:_MERGES_END]
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(merge.split()) for merge in merges)]
    vocabulary = {token: number for number, token in enumerate([*tokens, START, END])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "add_prefix_space": False,
        "bos_token": START,
        "do_lower_case": True,
        "eos_token": END,
        "errors": "replace",
        "model_max_length": 77,
        "pad_token": pad_token,
        "unk_token": END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def make_tokenizer(pad_token: str = END) -> Any:
    """Return a ``transformers.CLIPTokenizer`` made from those files; nothing stays on disk."""
    from transformers import CLIPTokenizer

    with tempfile.TemporaryDirectory(prefix="grefine-tokenizer-") as folder:
        return CLIPTokenizer.from_pretrained(str(write_tokenizer(folder, pad_token)), local_files_only=True)
