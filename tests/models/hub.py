"""A small hub on this machine, which serves one file."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler

import torch
from safetensors.torch import save

from grefine_core.models import ModelEntry

DATA = save({"weight": torch.arange(60000, dtype=torch.float32).reshape(200, 300)})
ENTRY = ModelEntry(
    id="tiny",
    title="Tiny",
    used_for="tests",
    licence="MIT",
    source="nowhere",
    names=("tiny.safetensors",),
    repository="org/repo",
    file="weights.safetensors",
    shapes={"weight": (200, 300)},
)


class Handler(BaseHTTPRequestHandler):
    data = DATA
    ranges = True
    stop_after: int | None = None
    hub_sha256: str | None = None
    seen: list[str | None]

    def do_GET(self) -> None:
        if self.hub_sha256 is not None and self.path.startswith("/org/"):
            # As the hub does: the address of the file sends on to a store, and says what is in it.
            self.send_response(302)
            self.send_header("Location", f"/store{self.path}")
            self.send_header("X-Linked-Etag", f'"{self.hub_sha256}"')
            self.end_headers()
            return
        self.path = self.path.removeprefix("/store")
        self.seen.append(self.headers.get("Range"))
        if self.path != "/org/repo/resolve/main/weights.safetensors":
            self.send_error(404)
            return
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if wanted and self.ranges:
            start = int(wanted[1])
            if start >= len(self.data):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.data) - start))
        self.end_headers()
        self.wfile.write(self.data[start : self.stop_after])

    def log_message(self, *args: object) -> None:
        pass
