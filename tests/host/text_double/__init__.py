"""A pack with one node for the tests: text encoders that need no weights, in the shape that SDXL's UNets take.

Every token is a vector drawn from its number alone, scaled by its weight in the prompt: another word or weight is
another conditioning, the same text is always the same.
"""

from __future__ import annotations

import torch


class TextDouble:
    """What the host's CLIPTextEncode asks of a CLIP."""

    def __init__(self) -> None:
        from comfy.sdxl_clip import SDXLTokenizer

        self._tokenizer = SDXLTokenizer()

    def tokenize(self, text: str) -> list[tuple[int, float]]:
        chunks = self._tokenizer.tokenize_with_weights(text)["g"]
        return [(int(token), float(weight)) for chunk in chunks for token, weight, *_ in chunk]

    def encode_from_tokens_scheduled(self, tokens: list[tuple[int, float]]) -> list:
        vectors = []
        for token, weight in tokens:
            generator = torch.Generator().manual_seed(token)
            vectors.append(torch.randn(2048, generator=generator) * weight)
        cond = torch.stack(vectors)[None]
        return [[cond, {"pooled_output": cond[:, :, :1280].mean(1)}]]


class LoadTextDouble:
    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "load", ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls) -> dict:  # noqa: N802 - the host's name
        return {"required": {}}

    def load(self) -> tuple[TextDouble]:
        return (TextDouble(),)


NODE_CLASS_MAPPINGS = {"GRefineTestTextEncoders": LoadTextDouble}
