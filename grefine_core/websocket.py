"""A server's websocket messages one after the other, for code that is not asynchronous: a thin skin over aiohttp."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

#: Previews and pictures stay far below; a broken length must not eat the memory.
_LARGEST_MESSAGE = 256 << 20


class WebSocketError(OSError):
    """The server does not speak websocket at this address, or broke the protocol."""


class WebSocket:
    """A connection that only listens. ``close`` it, or use it in a ``with`` statement.

    Args:
        url: ``ws://host:port/path?query`` (or ``wss://``).
        timeout: seconds allowed for connecting.

    Raises:
        OSError: the server cannot be reached in time. WebSocketError (an OSError): it answers, but not as a websocket.
    """

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        import aiohttp

        self._loop = asyncio.new_event_loop()
        try:
            self._session, self._socket = self._loop.run_until_complete(_connect(url, timeout))
        except aiohttp.WSServerHandshakeError as error:
            self._loop.close()
            raise WebSocketError(f"{url}: does not offer a websocket (HTTP {error.status}: {error.message})") from error
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            self._loop.close()
            raise WebSocketError(f"{url}: cannot be reached ({error or 'no answer in time'})") from error

    def receive(self, timeout: float) -> str | bytes | None:
        """Return the next message: text, bytes, or None when the server has closed the connection.

        Raises:
            TimeoutError: none within ``timeout`` seconds; nothing is lost, the next call goes on.
            WebSocketError: the connection or the protocol broke.
        """
        from aiohttp import WSMsgType

        try:
            message = self._loop.run_until_complete(asyncio.wait_for(self._socket.receive(), timeout))
        except asyncio.TimeoutError as error:
            raise TimeoutError(f"no message within {timeout:g} s") from error
        if message.type is WSMsgType.ERROR:
            raise WebSocketError(f"the websocket broke: {self._socket.exception()}")
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        return None

    def close(self) -> None:
        """End the connection; once is enough, more do no harm."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(_end(self._session))
            self._loop.close()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _connect(url: str, timeout: float) -> tuple[aiohttp.ClientSession, Any]:
    import aiohttp

    session = aiohttp.ClientSession()
    try:
        socket = await asyncio.wait_for(session.ws_connect(url, max_msg_size=_LARGEST_MESSAGE), timeout)
    except BaseException:
        await _end(session)
        raise
    return session, socket


async def _end(session: aiohttp.ClientSession) -> None:
    await session.close()
    await asyncio.sleep(0)  # connections end in the loop's next round; left over, they would complain of a closed loop
