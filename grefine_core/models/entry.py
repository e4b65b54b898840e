"""What is said of a known model file.

Hashes are only written down where they were computed from a file in our hands; elsewhere ``sha256`` is None, which the
command line shows as "hash not recorded".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class ModelEntry:
    """One known file."""

    id: str
    title: str
    used_for: str
    licence: str
    source: str
    """Where it is described."""
    names: tuple[str, ...]
    """File names it is looked for under; the first is the one a download is saved as."""
    repository: str | None = None
    file: str | None = None
    revision: str = "main"
    size: int | None = None
    """Bytes, about; exact only where ``sha256`` is known."""
    sha256: str | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Some tensors by which the file is recognised; none for a file that holds no tensors."""
    shipped: Path | None = None
    """Its place in the package, if it comes with it."""
    folder: str = "grefine"
    """Kind of ComfyUI's model folders that it belongs into: ``models/<folder>``, or what the host's settings name."""

    @property
    def url(self) -> str | None:
        """Where it is downloaded from; $HF_ENDPOINT replaces the hub's address."""
        if self.repository is None:
            return None
        endpoint = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
        return f"{endpoint}/{self.repository}/resolve/{self.revision}/{self.file}"

    @property
    def size_text(self) -> str:
        """The size for people."""
        if self.size is None:
            return "size not recorded"
        about = "" if self.sha256 else "about "
        return f"{about}{self.size / 1e9:.1f} GB" if self.size >= 1e9 else f"{about}{self.size / 1e6:.1f} MB"

    @property
    def hash_text(self) -> str:
        """The hash for people."""
        return self.sha256 or "hash not recorded"
