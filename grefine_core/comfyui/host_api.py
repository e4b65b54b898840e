"""A ComfyUI server's HTTP interface and its messages, as far as the queue needs them.

aiohttp, for callers that are not asynchronous: its event loop runs in a thread of its own, so that it works in a
notebook, too, where the caller's thread has a loop already. Whatever a server does (ends in the middle, never ends,
answers with something else) is an error in plain words after a bounded time and size.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import ipaddress
import json
import logging
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import GRefineError, InputError

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger(__name__)

T = TypeVar("T")
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
_FILE_SECONDS = 600.0
_STOP_SECONDS = 10.0
#: Pictures and previews stay far below; what never ends must not eat the memory.
_LARGEST = 256 << 20


class HostUnreachableError(GRefineError, ConnectionError):
    """Nothing answers at the address, or it is no ComfyUI."""


class WebSocketError(HostUnreachableError):
    """The server does not speak websocket at this address, or broke the protocol."""


class HostApi:
    """A ComfyUI server. ``close`` it, or use it in a ``with`` statement.

    A server on this machine (``localhost``, 127.0.0.0/8, ``::1``) is always asked directly; for others the proxy of the
    environment (``http_proxy``, ``https_proxy``, ``no_proxy``) is honoured.

    Args:
        url: ``http://127.0.0.1:8188`` or ``127.0.0.1:8188``; a path (behind a proxy) is kept, and so are a name and a
            password (``https://name:password@host``).

    Attributes:
        url: the address without name and password, for people.
        deadline: when to give up, in seconds of ``time.monotonic``; None = only the bound of every single request.

    Raises:
        InputError: not the address of a server.
    """

    def __init__(self, url: str) -> None:
        self.url, self._headers, self._direct = _read_address(url)
        self.deadline: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None

    def __enter__(self) -> HostApi:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections; once is enough, more do no harm."""
        if self._loop is not None:
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    def get(self, path: str) -> dict[str, Any]:
        """The JSON object at ``path``. Raises HostUnreachableError."""
        status, content = self._ask("GET", path)
        return self._json(status, content)

    def post(self, path: str, data: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """(HTTP status, JSON object or {}) of a POST. Raises HostUnreachableError."""
        body = io.BytesIO(json.dumps(data).encode())
        status, content = self._ask("POST", path, data=body, headers={"Content-Type": "application/json"})
        return status, self._json(status, content) if content.strip() else {}

    def upload(self, picture: Path) -> str:
        """Puts a picture into the host's input folder and returns the name to load it by.

        Its name there comes from its content, so that nothing of the user's is ever overwritten and the same picture is
        kept once. Raises HostUnreachableError, InputError (it cannot be read, or the host does not take it).
        """
        import aiohttp

        try:
            data = picture.read_bytes()
        except OSError as error:
            raise InputError(f"picture {picture}: cannot be read ({error.strerror or error})") from error
        name = f"grefine_{hashlib.sha256(data).hexdigest()[:16]}{picture.suffix.lower()}"
        form = aiohttp.FormData({"type": "input", "overwrite": "true"})
        form.add_field("image", io.BytesIO(data), filename=name, content_type="application/octet-stream")
        status, content = self._ask("POST", "/upload/image", seconds=_FILE_SECONDS, data=form)
        if status != 200:
            raise InputError(f"picture {picture}: ComfyUI does not take it (HTTP {status})")
        answer = self._json(status, content)
        parts = (answer.get("subfolder"), answer.get("name") or name)
        return "/".join(part for part in parts if isinstance(part, str) and part)

    def view(self, entry: Mapping[str, Any]) -> bytes:
        """The file that a node's output names (``filename``, ``subfolder``, ``type``).

        Raises HostUnreachableError, GRefineError (the host does not give it, or not within bounds).
        """
        query = urllib.parse.urlencode({key: entry[key] for key in ("filename", "subfolder", "type") if key in entry})
        status, content = self._ask("GET", f"/view?{query}", seconds=_FILE_SECONDS)
        if status != 200 or not content:
            raise GRefineError(f"ComfyUI does not give the file (HTTP {status}, {len(content)} bytes)")
        return content

    def is_queued(self, prompt_id: str) -> bool:
        """Whether the job runs or waits."""
        queue = self.get("/queue")
        return any(_holds(queue.get(key), prompt_id) for key in ("queue_running", "queue_pending"))

    def stop(self, prompt_id: str) -> None:
        """Takes a job from the queue, or interrupts it if it is the one that runs; failures are only logged."""
        self.deadline = time.monotonic() + _STOP_SECONDS
        try:
            self.post("/queue", {"delete": [prompt_id]})
            if _holds(self.get("/queue").get("queue_running"), prompt_id):  # older hosts would stop anybody's job
                self.post("/interrupt", {"prompt_id": prompt_id})
        except (OSError, GRefineError) as error:
            logger.warning("the job %s could not be stopped: %s", prompt_id, error)

    def listen(self, client: str) -> Messages:
        """Connect to the messages for this client id. Raises WebSocketError."""
        import aiohttp

        url = f"{self.url}/ws?clientId={client}"
        try:
            return Messages(self, self._run(self._connect(url)))
        except aiohttp.WSServerHandshakeError as error:
            raise WebSocketError(f"{self.url}: does not offer a websocket (HTTP {error.status})") from error
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            reason = str(error) or "no answer in time"
            raise WebSocketError(f"{self.url}: its messages cannot be reached ({reason})") from error

    def _ask(self, method: str, path: str, *, seconds: float = _ANSWER_SECONDS, **more: Any) -> tuple[int, bytes]:
        """(HTTP status, content) of one request."""
        import aiohttp

        if self.deadline is not None:
            seconds = min(seconds, max(0.1, self.deadline - time.monotonic()))
        try:
            status, content, place = self._run(self._request(method, f"{self.url}{path}", seconds, more))
        except asyncio.TimeoutError as error:
            raise HostUnreachableError(f"{self.url}: no answer within {seconds:.0f} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, GRefineError):
                raise
            raise HostUnreachableError(
                f"no ComfyUI answers at {self.url} ({str(error) or type(error).__name__}). Start it, or give its "
                "address (--server)"
            ) from error
        if status in (401, 403):
            raise HostUnreachableError(
                f"{self.url} does not let us in (HTTP {status}). If it wants a name and a password, give them in the "
                "address: http://name:password@host"
            )
        if 300 <= status < 400:
            raise HostUnreachableError(f"{self.url} sends on to {place!r:.200} (HTTP {status}). Give the final address")
        return status, content

    async def _request(self, method: str, url: str, seconds: float, more: dict[str, Any]) -> tuple[int, bytes, str]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS, sock_read=_ANSWER_SECONDS)
        content = bytearray()
        async with self._client().request(method, url, timeout=timeout, allow_redirects=False, **more) as answer:
            async for part in answer.content.iter_chunked(1 << 16):
                content += part
                if len(content) > _LARGEST:
                    raise GRefineError(f"{self.url}: an answer of more than {_LARGEST >> 20} MB is not taken")
            return answer.status, bytes(content), answer.headers.get("Location", "")

    async def _connect(self, url: str) -> Any:
        connecting: Any = self._client().ws_connect(url, max_msg_size=_LARGEST)
        return await asyncio.wait_for(connecting, _CONNECT_SECONDS)

    def _client(self) -> aiohttp.ClientSession:
        """The session; only within the loop."""
        import aiohttp

        if self._session is None:
            # Every request on a connection of its own: one that the server has just closed would fail.
            connector = aiohttp.TCPConnector(force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=self._headers, trust_env=not self._direct
            )
        return self._session

    async def _end(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the loop's thread do ``work``, which ends with the caller's Ctrl-C."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(self._loop,), name="grefine-host-api", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _json(self, status: int, content: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise HostUnreachableError(f"{self.url} is no ComfyUI: it answered HTTP {status} without JSON") from error
        if not isinstance(answer, dict):
            raise HostUnreachableError(
                f"{self.url} is no ComfyUI: it answered HTTP {status} with {type(answer).__name__}"
            )
        return answer


class Messages:
    """The host's messages to one client, one after the other. ``close`` it, or use it in a ``with`` statement."""

    def __init__(self, api: HostApi, connection: Any) -> None:
        self._api, self._connection = api, connection

    def __enter__(self) -> Messages:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self, timeout: float) -> str | bytes | None:
        """Return the next message: text, bytes, or None when the server has closed the connection.

        Raises:
            TimeoutError: none within ``timeout`` seconds; nothing is lost, the next call goes on.
            WebSocketError: the connection or the protocol broke.
        """
        from aiohttp import WSMsgType

        try:
            message = self._api._run(asyncio.wait_for(self._connection.receive(), timeout))
        except asyncio.TimeoutError as error:
            raise TimeoutError(f"no message within {timeout:g} s") from error
        if message.type is WSMsgType.ERROR:
            raise WebSocketError(f"the websocket broke: {self._connection.exception()}")
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        return None

    def close(self) -> None:
        """End the connection; once is enough, more do no harm."""
        self._api._run(self._connection.close())


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _read_address(text: str) -> tuple[str, dict[str, str], bool]:
    """(address, headers that let us in, whether it is on this machine) of what a user calls a server."""
    given = text.strip()
    wrong = InputError(
        f"server {re.sub('//[^/]*@', '//…@', given)!r:.200}: expected an address like http://127.0.0.1:8188"
    )
    if not given.isprintable() or any(sign in given for sign in ' \\<>"'):
        raise wrong
    if "://" not in given:
        given = f"http://[{given}]" if _ip_address(given) is not None and ":" in given else f"http://{given}"
    try:
        parts = urllib.parse.urlsplit(given)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError as error:  # a bracket left open, a port that is no number, a name no server can have
        raise wrong from error
    address = _ip_address(host)
    if parts.scheme not in ("http", "https") or not host or (":" in host and address is None):
        raise wrong
    if address is not None and address.is_unspecified:  # what a server that listens everywhere says of itself
        host = "127.0.0.1" if address.version == 4 else "::1"
    elif isinstance(address, ipaddress.IPv4Address):
        host = str(address)
    here = host.rstrip(".") == "localhost" or (address is not None and (address.is_loopback or address.is_unspecified))
    place = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    headers = {}
    if parts.username is not None:
        login = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    # What follows ? or # belongs to the page that the address was copied from.
    return f"{parts.scheme}://{place}{parts.path.rstrip('/')}", headers, here


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The number that stands for a host, in whatever way it is written (127.1 as well); None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _holds(entries: object, prompt_id: str) -> bool:
    """Whether a list of the host's queue has that job."""
    return isinstance(entries, list) and any(
        isinstance(entry, list) and len(entry) > 1 and entry[1] == prompt_id for entry in entries
    )
