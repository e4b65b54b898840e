"""Text conditioning for diffusers networks with ComfyUI's prompt weights, of any length.

A weight moves a token's embedding away from that of the empty prompt: ``empty + weight * (embedding - empty)``, as
ComfyUI does. Prompts over 75 tokens are encoded in pieces, cut between words, and joined along the sequence.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelFileError
from ..prompt import markup
from .folders import inside, read_config

logger = logging.getLogger(__name__)
#: Tokens of a piece between start and end.
ROOM = 75
#: Longer ones are no words and fill several pieces; the tokenizer's time grows with the square of their length.
_LONG_WORD = re.compile(r"\S{1000}(?=\S)")
_SEPARATORS = frozenset({"lora", "wildcard", "and"})

#: A token's number and its weight.
Weighted = tuple[int, float]


@dataclass(frozen=True)
class TextCondition:
    """Sequence ``(1, n * 77, C)`` for cross attention, and the pooled vector ``(1, P)`` where the model has one."""

    sequence: Tensor
    pooled: Tensor | None


def encode_prompts(
    pipe: Any, prompt: str, negative: str | None, device: torch.device
) -> tuple[TextCondition, TextCondition]:
    """Return the conditions for ``prompt`` and ``negative``, with sequences of equal length.

    ``negative`` None or blank gives what the pipeline is configured for: zeros (SDXL) or the empty prompt.
    """
    # Both of SDXL's tokenizers know the same words, but the second reads "!!" as padding: the first splits for both.
    wanted = split_prompt(pipe.tokenizer, prompt)
    unwanted = split_prompt(pipe.tokenizer, negative or "")
    length = max(len(wanted), len(unwanted))
    positive = encode_pieces(pipe, wanted + [[]] * (length - len(wanted)), device)
    if not any(unwanted) and getattr(pipe.config, "force_zeros_for_empty_prompt", False):
        pooled = None if positive.pooled is None else torch.zeros_like(positive.pooled)
        return positive, TextCondition(torch.zeros_like(positive.sequence), pooled)
    return positive, encode_pieces(pipe, unwanted + [[]] * (length - len(unwanted)), device)


def split_prompt(tokenizer: Any, prompt: str) -> list[list[Weighted]]:
    """Tokens and weights of ``prompt`` in pieces of at most 75, never cut inside a word that fits into one piece.

    ``BREAK`` starts a new piece. LoRA tags, wildcards and textual-inversion names mean nothing here and are left out.
    """
    pieces: list[list[Weighted]] = [[]]
    for words, weight in _segments(prompt):
        if words is None:
            if pieces[-1]:
                pieces.append([])
            continue
        for word in _words(tokenizer, words):
            if len(pieces[-1]) + len(word) > ROOM and pieces[-1]:
                pieces.append([])
            pieces[-1] += [(number, weight) for number in word]
            while len(pieces[-1]) > ROOM:  # one "word" longer than a whole piece
                pieces.append(pieces[-1][ROOM:])
                pieces[-2] = pieces[-2][:ROOM]
    if len(pieces) > 1 and not pieces[-1]:
        pieces.pop()
    return pieces


def _segments(prompt: str) -> list[tuple[str | None, float]]:
    """Text with its weight, in order; None stands for ``BREAK``."""
    found: list[tuple[str | None, float]] = []
    text, weight = "", 1.0
    for span in markup.spans(prompt):
        part = prompt[span.start : span.end]
        if span.kind == "escape":
            continue
        if span.kind in ("lora", "embedding"):
            logger.warning("%r is not supported by the diffusers engine and was left out of the prompt.", part)
        if span.kind == "break":
            found += [(text, weight), (None, 1.0)]
            text = ""
            continue
        if span.kind != "text":
            part = ", " if span.kind in _SEPARATORS or part == "|" else " "
        elif span.weight != weight:
            found.append((text, weight))
            text, weight = "", span.weight
        text += part
    found.append((text, weight))
    return [(part, value) for part, value in found if part is None or part.strip()]


def _words(tokenizer: Any, text: str) -> list[list[int]]:
    text = _LONG_WORD.sub(r"\g<0> ", text)
    numbers = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
    words: list[list[int]] = [[]]
    for number, token in zip(numbers, tokenizer.convert_ids_to_tokens(numbers), strict=True):
        words[-1].append(int(number))
        if token.endswith("</w>"):
            words.append([])
    return [word for word in words if word]


def encode_pieces(pipe: Any, pieces: list[list[Weighted]], device: torch.device) -> TextCondition:
    """Encode the pieces that :func:`split_prompt` gives with ``pipe``'s tokenizers and text encoders."""
    penultimate = hasattr(pipe, "text_encoder_2")  # SDXL reads the layer before the last, SD 1.5 the last
    encoders = [(pipe.tokenizer, pipe.text_encoder)]
    if penultimate:
        encoders.append((pipe.tokenizer_2, pipe.text_encoder_2))
    sequences: list[Tensor] = []
    pooled: Tensor | None = None
    for tokenizer, encoder in encoders:
        numbers = torch.tensor([_framed(tokenizer, piece) for piece in [[], *pieces]], device=device)
        output = encoder(numbers, output_hidden_states=True)
        hidden = output.hidden_states[-2] if penultimate else output.last_hidden_state
        empty, hidden = hidden[:1], hidden[1:]
        weights = torch.ones(hidden.shape[:2])
        for row, piece in enumerate(pieces):
            for column, (_, weight) in enumerate(piece, start=1):
                weights[row, column] = weight
        weights = weights.to(hidden)[..., None]
        hidden = torch.where(weights == 1.0, hidden, empty + weights * (hidden - empty))
        sequences.append(hidden.reshape(1, -1, hidden.shape[-1]))
        if penultimate and getattr(output, "text_embeds", None) is not None:
            pooled = output.text_embeds[1:2]
    return TextCondition(torch.cat(sequences, dim=-1), pooled)


def _framed(tokenizer: Any, piece: list[Weighted]) -> list[int]:
    body = [number for number, _ in piece]
    padding = [tokenizer.pad_token_id] * (ROOM - len(body))
    return [tokenizer.bos_token_id, *body, tokenizer.eos_token_id, *padding]


# The tokenizer, without a hub: transformers' files, made of the BPE list that open_clip bundles

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
