"""What programs beside ComfyUI and AUTOMATIC1111's web UI write: JSON, each under names of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .graph import read_json

_POSITIVE = ("prompt", "positive_prompt", "positivePrompt", "PositivePrompt", "Prompt", "positive", "full_prompt")
_NEGATIVE = (
    *(
        "negative_prompt",
        "negativeprompt",
        "negativePrompt",
        "NegativePrompt",
        "negative prompt",
        "Negative",
        "negative",
    ),
    *("full_negative_prompt", "uc"),
)
#: SwarmUI: what stands behind these is for a part of the picture or another model, not the picture.
_OTHER_SECTION = re.compile(r"<(segment|object|refiner|video|extend|clear)\b[^<>]*>.*", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<(base|comment|region|break|param|preset|setvar|setmacro)\b[^<>]*>", re.IGNORECASE)


@dataclass(frozen=True)
class Written:
    """Prompts as a program wrote them."""

    positive: str
    negative: str | None
    program: str


def read_written(content: Any) -> Written | None:
    """The prompts in the JSON that a program wrote; None if it is none of theirs."""
    if not isinstance(content, dict):
        return None
    swarm = content.get("sui_image_params")
    if isinstance(swarm, dict):
        said = _plain(swarm, "SwarmUI")
        return said and Written(_swarm_prompt(said.positive), said.negative and _swarm_prompt(said.negative), "SwarmUI")
    for name in ("v4_prompt", "v4_negative_prompt"):
        if isinstance(content.get(name), dict):
            return _novel_ai(content)
    if isinstance(content.get("image"), dict) and "prompt" in content["image"]:  # InvokeAI 2
        return _plain(content["image"], "InvokeAI")
    if isinstance(content.get("Comment"), str):  # NovelAI's entries, all in one
        inner = read_json(content["Comment"])
        return read_written(inner) if isinstance(inner, dict) and "Comment" not in inner else None
    if {"c", "uc"} <= set(content):
        return _plain({"prompt": content["c"], "uc": content["uc"]}, "Draw Things")
    if "uc" in content and "prompt" in content:
        return _plain(content, "NovelAI")
    if "fooocus" in str(content.get("metadata_scheme", "")) or "Fooocus" in str(content.get("version", "")):
        return _plain(content, "Fooocus")
    return _plain(content, "JSON")


def _plain(content: Mapping[str, Any], program: str) -> Written | None:
    positive = next((text for name in _POSITIVE if (text := _text(content.get(name))) is not None), None)
    negative = next((text for name in _NEGATIVE if (text := _text(content.get(name))) is not None), None)
    return None if positive is None else Written(positive, negative, program)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list):  # of texts (Fooocus), or of texts with weights (InvokeAI 2)
        said = [each.get("prompt") if isinstance(each, dict) else each for each in value]
        texts = [each for each in said if isinstance(each, str)]
        if texts and len(texts) == len(said):
            return "\n".join(texts)
    return None


def _swarm_prompt(text: str) -> str:
    return _TAG.sub(" ", _OTHER_SECTION.sub("", text)).strip()


def _novel_ai(content: Mapping[str, Any]) -> Written | None:
    """Version 4 has a text for the picture and one for each figure."""
    sides = []
    for name, plain in (("v4_prompt", "prompt"), ("v4_negative_prompt", "uc")):
        whole = content.get(name)
        caption = whole.get("caption") if isinstance(whole, dict) else None
        texts: list[Any] = []
        if isinstance(caption, dict):
            figures = caption.get("char_captions")
            texts = [caption.get("base_caption")]
            texts += (
                [each.get("char_caption") for each in figures or () if isinstance(each, dict)]
                if isinstance(figures, list)
                else []
            )
        said = "\n".join(text.strip() for text in texts if isinstance(text, str) and text.strip())
        sides.append(said or content.get(plain))
    positive, negative = sides
    if not isinstance(positive, str):
        return None
    return Written(positive, negative if isinstance(negative, str) else None, "NovelAI")


_DREAM = re.compile(r'"((?:[^"\\]|\\.)*)"\s+-\w', re.DOTALL)


def read_dream(text: str) -> Written | None:
    """The command line that InvokeAI 1 wrote: ``"a cat [blurry]" -s 50 …``; what stands in ``[]`` is unwanted."""
    found = _DREAM.match(text.strip())
    if found is None:
        return None
    said = found[1].replace('\\"', '"')
    unwanted = re.findall(r"\[([^\[\]]*)\]", said)
    positive = re.sub(r"\s*\[[^\[\]]*\]\s*", " ", said).strip()
    return Written(positive, ", ".join(unwanted) or None, "InvokeAI")
