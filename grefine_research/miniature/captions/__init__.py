"""What is said about a miniature picture: prompts with their true phrases, and captions for training."""

from __future__ import annotations

from .caption import Caption, TruePhrase
from .describing import describe
from .partly import describe_partly

__all__ = ["Caption", "TruePhrase", "describe", "describe_partly"]
