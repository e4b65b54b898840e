"""A ComfyUI server's HTTP interface, as far as the queue needs it, on the standard library."""

from __future__ import annotations

import hashlib
import json
import logging
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import GRefineError, InputError

logger = logging.getLogger(__name__)

_TIMEOUT = 60.0


class HostUnreachableError(GRefineError, ConnectionError):
    """Nothing answers at the address, or it is no ComfyUI."""


class HostApi:
    """A ComfyUI server.

    Args:
        url: ``http://127.0.0.1:8188`` or ``127.0.0.1:8188``; a path (behind a proxy) is kept.

    Raises:
        InputError: not the address of a server.
    """

    def __init__(self, url: str) -> None:
        url = url.strip().rstrip("/")
        if "://" not in url:
            url = f"http://{url}"
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"server {url!r}: expected an address like http://127.0.0.1:8188")
        self.url = url

    def websocket_url(self, client: str) -> str:
        """Where this client's messages come from."""
        return f"ws{self.url.removeprefix('http')}/ws?clientId={client}"

    def get(self, path: str) -> dict[str, Any]:
        """The JSON object at ``path``. Raises HostUnreachableError."""
        status, content = self._open(urllib.request.Request(self.url + path))
        return self._json(status, content)

    def post(self, path: str, data: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """(HTTP status, JSON object or {}) of a POST. Raises HostUnreachableError."""
        request = urllib.request.Request(
            self.url + path, json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        status, content = self._open(request)
        return status, self._json(status, content) if content.strip() else {}

    def upload(self, picture: Path) -> str:
        """Puts a picture into the host's input folder and returns the name to load it by.

        Its name there comes from its content, so that nothing of the user's is ever overwritten and the same picture is
        kept once. Raises HostUnreachableError, InputError (the host does not take the file).
        """
        data = picture.read_bytes()
        name = f"grefine_{hashlib.sha256(data).hexdigest()[:16]}{picture.suffix.lower()}"
        boundary = uuid.uuid4().hex
        fields = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in (("type", "input"), ("overwrite", "true"))
        )
        head = (
            f'{fields}--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        status, content = self._open(urllib.request.Request(f"{self.url}/upload/image", body, kind))
        if status != 200:
            raise InputError(f"picture {picture}: ComfyUI does not take it (HTTP {status})")
        answer = self._json(status, content)
        return "/".join(part for part in (answer.get("subfolder", ""), str(answer.get("name", name))) if part)

    def view(self, entry: Mapping[str, Any]) -> bytes:
        """The file that a node's output names (``filename``, ``subfolder``, ``type``). Raises HostUnreachableError."""
        query = urllib.parse.urlencode({key: entry[key] for key in ("filename", "subfolder", "type") if key in entry})
        status, content = self._open(urllib.request.Request(f"{self.url}/view?{query}"))
        if status != 200:
            raise HostUnreachableError(
                f"{self.url}: the picture {entry.get('filename')} cannot be fetched (HTTP {status})"
            )
        return content

    def is_queued(self, prompt_id: str) -> bool:
        """Whether the job runs or waits."""
        queue = self.get("/queue")
        return any(
            str(entry[1]) == prompt_id for key in ("queue_running", "queue_pending") for entry in queue.get(key, ())
        )

    def stop(self, prompt_id: str) -> None:
        """Takes a job from the queue, or interrupts it if it is the one that runs; failures are only logged."""
        try:
            self.post("/queue", {"delete": [prompt_id]})
            running = self.get("/queue").get("queue_running", ())
            if any(str(entry[1]) == prompt_id for entry in running):  # older hosts would stop anybody's job
                self.post("/interrupt", {"prompt_id": prompt_id})
        except (OSError, GRefineError) as error:
            logger.warning("the job %s could not be stopped: %s", prompt_id, error)

    def _open(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise HostUnreachableError(
                f"no ComfyUI answers at {self.url} ({reason}). Start it, or give its address"
            ) from error

    def _json(self, status: int, content: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise HostUnreachableError(f"{self.url} is no ComfyUI: it answered HTTP {status} without JSON") from error
        if not isinstance(answer, dict):
            raise HostUnreachableError(
                f"{self.url} is no ComfyUI: it answered HTTP {status} with {type(answer).__name__}"
            )
        return answer
