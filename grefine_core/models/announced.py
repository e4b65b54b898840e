"""What a hub says of a file before it sends it: Hugging Face names the sha256 of every large file.

The names stand in the headers of the answer that sends the client on to the store where the file lies.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import Any

_SHA256 = re.compile(r'(?:W/)?"?([0-9a-f]{64})"?')


@dataclass(frozen=True)
class Announced:
    """What was said of a file."""

    sha256: str | None = None
    """None if nothing was: small files have other marks, other servers none (a bare ETag may be anything)."""


class Listener(urllib.request.HTTPRedirectHandler):
    """Follows redirections as usual and keeps what they say of the file; the first word counts."""

    def __init__(self) -> None:
        self.announced = Announced()

    def hear(self, headers: Mapping[str, Any] | HTTPMessage) -> None:
        """Take in the headers of an answer."""
        if self.announced.sha256 is not None:
            return
        found = _SHA256.fullmatch(str(headers.get("X-Linked-Etag") or "").strip())
        if found:
            self.announced = Announced(found[1])

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Listen, then go on."""
        self.hear(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
