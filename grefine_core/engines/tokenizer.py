"""CLIP's tokenizer without a hub: transformers' files, derived from the BPE list that open_clip bundles."""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from .folders import inside, read_config

_CONFIG = "tokenizer_config.json"
#: The files with words in them.
_WORDS = ("vocab.json", "merges.txt", "added_tokens.json")
#: Settings that are numbers or switches.
_SETTINGS = ("add_prefix_space", "do_lower_case", "model_max_length")
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
    (folder / _CONFIG).write_text(json.dumps(_config(pad_token), indent=2) + "\n", encoding="utf-8")
    return folder


def make_tokenizer(pad_token: str = END) -> Any:
    """Return a ``transformers.CLIPTokenizer`` made from those files; nothing stays on disk."""
    from transformers import CLIPTokenizer

    with tempfile.TemporaryDirectory(prefix="grefine-tokenizer-") as folder:
        return CLIPTokenizer.from_pretrained(str(write_tokenizer(folder, pad_token)), local_files_only=True)


def load_tokenizer(folder: Path, pad_token: str = END) -> Any:
    """The ``transformers.CLIPTokenizer`` of a diffusers folder's part, made of its words and settings alone; what else
    lies there, and the classes that its configuration names, stay unread.

    Args:
        folder: of the part; without a ``vocab.json`` in it CLIP's own words are taken.
        pad_token: where the folder names none.

    Raises:
        ModelFileError: damaged, or it calls for code of its own.
    """
    from transformers import CLIPTokenizer

    given: dict[str, Any] = {}
    for name in ("special_tokens_map.json", _CONFIG):
        if (folder / name).is_file():
            given |= read_config(folder, name)
    if not (folder / "vocab.json").is_file():
        return make_tokenizer(_text_of(given.get("pad_token")) or pad_token)
    with tempfile.TemporaryDirectory(prefix="grefine-tokenizer-") as scratch:
        copy = Path(scratch)
        for name in _WORDS:
            if (folder / name).is_file():
                shutil.copyfile(inside(folder / name, folder.parent), copy / name)
        config = _config(pad_token)
        config |= {name: text for name in config if (text := _text_of(given.get(name))) is not None}
        config |= {name: given[name] for name in _SETTINGS if isinstance(given.get(name), bool | int)}
        (copy / _CONFIG).write_text(json.dumps(config), encoding="utf-8")
        try:
            return CLIPTokenizer.from_pretrained(str(copy), local_files_only=True)
        except Exception as e:  # the library raises nearly anything on damaged files
            raise ModelFileError(f"{folder}: no valid tokenizer ({type(e).__name__}: {str(e)[:300]}).") from e


def _text_of(token: object) -> str | None:
    """A special token, which may stand there with notes on how to find it in a text."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _config(pad_token: str) -> dict[str, Any]:
    return {
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
