"""From a prompt to its phrases: tokens, tags, chunks, attachment, style tags (method section 3.1)."""

from __future__ import annotations

from .tree import Phrase, PromptTree, Word

__all__ = ["Phrase", "PromptTree", "Word", "parse_prompt"]


def parse_prompt(prompt: str) -> PromptTree:
    """Parse `prompt` into phrases; see `grefine_core.prompt.syntax.parser`."""
    from .parser import parse

    return parse(prompt)
