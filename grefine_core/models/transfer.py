"""One request for a file, or for the rest of it: what came back, what was said of it, and what is wrong with it.

Not huggingface_hub's own download: it starts files of many gigabytes anew after every interruption, sets no bound to
what is sent, and takes the rest of one file for that of another. Its tokens and its offline switch are honoured.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from ..errors import ModelFileError

#: What the network, and an answer that no server should give, raise: of its headers, and of addresses in them.
BROKEN = (OSError, HTTPException, ValueError)
_SHA256 = re.compile(r'(?:W/)?"?([0-9a-f]{64})"?')
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", re.ASCII)


class NotTheRestError(Exception):
    """The server does not have the rest of what is there: its file has changed, or it sends another part of it."""

    def __init__(self) -> None:
        super().__init__("the server sends another part of the file than was asked for")


class NothingLeftError(Exception):
    """The server says that all of the file is there already; ``sha256`` is what it announced, if anything."""

    def __init__(self, sha256: str | None) -> None:
        super().__init__()
        self.sha256 = sha256


@dataclass(frozen=True)
class Answer:
    """A file that a server has begun to send."""

    response: Any
    """To read from, as ``http.client.HTTPResponse``."""
    start: int
    """Bytes of the file in front of what is sent; 0 where all of it is."""
    total: int | None
    """Bytes of the whole file, if the server said so."""
    sha256: str | None
    """Hugging Face names that of every large file; None from other servers."""
    version: str
    """Changes whenever the server's file does; empty where it says nothing of the kind."""


@contextmanager
def ask(url: str, start: int = 0, version: str = "", timeout: float = 30.0) -> Iterator[Answer]:
    """Ask for a file from byte ``start`` on, of which those in front are there in ``version``.

    Raises:
        NotTheRestError: the server goes on with something else than that.
        NothingLeftError: there is no rest.
        ModelFileError: it refuses, or sends a web page; says what to do.
        OSError, HTTPException, ValueError: no answer, or none that can be read.
    """
    redirections = _Redirections()
    request = urllib.request.Request(url, headers={"User-Agent": "g-refine", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    if (token := _token(url)) is not None:
        # Not for the stores that the hub sends on to.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        response = urllib.request.build_opener(redirections, _Proxies()).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and start:
                raise NothingLeftError(redirections.sha256) from error
            said = "".join(letter for letter in " ".join(str(error.reason).split()) if letter.isprintable())
            raise ModelFileError(f"{url}: the server answered {error.code} {said[:100]}{_advice(error)}") from error
    with response:
        yield _understood(url, response, redirections, start, version)


def _understood(url: str, response: Any, redirections: _Redirections, start: int, version: str) -> Answer:
    headers = response.headers
    redirections.hear(headers)
    if str(headers.get("Content-Type") or "").startswith("text/html"):
        raise ModelFileError(
            f"{url}: the server sent a web page instead of the file, as log-in pages of networks and proxies do; open "
            "the address in a browser to see it."
        )
    sha256 = redirections.sha256
    found = sha256 or str(headers.get("ETag") or headers.get("Last-Modified") or "")
    length = _LENGTH.fullmatch(str(headers.get("Content-Length") or ""))
    total = int(length[0]) if length else None
    if response.status != 206:
        return Answer(response, 0, total, sha256, found)
    part = _RANGE.fullmatch(str(headers.get("Content-Range") or "").strip())
    said = headers.get("Content-Range") is not None
    if not start or found != version or (said and (part is None or int(part[1]) != start)):
        raise NotTheRestError
    if part and part[2] != "*":
        total = int(part[2])
    elif total is not None:
        total += start
    return Answer(response, start, total, sha256, found)


def _advice(error: urllib.error.HTTPError) -> str:
    if error.code in (401, 403):
        return ": the file is gated or private. Accept its licence on its page, and log in (`hf auth login`)."
    if error.code == 404:
        return ": no such file there. $HF_ENDPOINT may name a mirror that lacks it."
    if error.code == 429:
        wait = str(error.headers.get("Retry-After") or "").strip()
        return f": too many requests; try again {f'in {wait} seconds' if wait.isdecimal() else 'later'}."
    return ": the server is in trouble; try again later." if error.code >= 500 else "."


def _token(url: str) -> str | None:
    """The user's token for the hub, where it cannot be overheard."""
    from huggingface_hub import get_token

    address = urlsplit(url)
    return get_token() if address.scheme == "https" or _is_this_machine(address.hostname) else None


def _is_this_machine(host: str | None) -> bool:
    if host is None or host == "localhost":
        return host is not None
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class _Proxies(urllib.request.ProxyHandler):
    """The proxies of the environment, but none for this machine itself."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:  # noqa: A002 - urllib's name
        if _is_this_machine(urlsplit(req.full_url).hostname):
            return None
        return super().proxy_open(req, proxy, type)


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections as usual, and keeps what they say of the file: the first word counts."""

    def __init__(self) -> None:
        self.sha256: str | None = None

    def hear(self, headers: HTTPMessage) -> None:
        """Take in the headers of an answer."""
        found = _SHA256.fullmatch(str(headers.get("X-Linked-Etag") or "").strip())
        if found and self.sha256 is None:
            self.sha256 = found[1]

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        self.hear(headers)
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
            raise urllib.error.URLError(f"it sends on to {newurl[:100]}, which is not followed")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and (old.scheme, old.netloc) == (new.scheme, new.netloc):
            for name, value in req.unredirected_hdrs.items():
                if name == "Authorization":
                    request.add_unredirected_header(name, value)
        return request
