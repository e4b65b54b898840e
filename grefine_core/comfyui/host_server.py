"""Starting a real ComfyUI in a subprocess, with given packs as its only custom nodes.

Everything that the server reads and writes lies under a folder of the caller's, so an installation that people work
with is only read. For demonstrations and tests, on the CPU.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import GRefineError, InputError
from .host_api import HostApi

DEFAULT_PLACE = Path("~/comfy/ComfyUI")
_START_SECONDS = 600.0
_STOP_SECONDS = 20.0
_LEFT_OUT = (".git", ".venv*", "tests", "__pycache__")


class HostStartError(GRefineError):
    """The server ended while it started, or did not answer in time; the message has the end of its log."""


def is_host(path: Path) -> bool:
    """Whether a folder is a ComfyUI."""
    return all((path / name).exists() for name in ("main.py", "comfy", "folder_paths.py"))


def places_around(pack: Path) -> list[Path]:
    """Where the ComfyUI has to be in whose ``custom_nodes`` a pack lies: as the pack is named, or where links lead."""
    places = (place.parents[1] for place in (pack, pack.resolve()) if place.parent.name == "custom_nodes")
    return list(dict.fromkeys(places))


def find_host(pack: Path | None = None) -> tuple[Path | None, str]:
    """Find the ComfyUI to use: $COMFYUI_PATH, around ``pack`` if it lies in ``custom_nodes``, ``~/comfy/ComfyUI``.

    Returns:
        (folder or None, in words where it was looked for). What $COMFYUI_PATH names is never replaced by another.
    """
    named = os.environ.get("COMFYUI_PATH")
    if named:
        path = Path(named).expanduser().resolve()
        return (path if is_host(path) else None), f"COMFYUI_PATH={named}"
    places = [*([] if pack is None else places_around(pack)), DEFAULT_PLACE.expanduser()]
    for path in places:
        if is_host(path):
            return path.resolve(), str(path)
    return None, ", ".join(str(path) for path in places)


class HostServer:
    """Starts ``main.py`` of a ComfyUI; ``wait_until_up`` (or ``with``) waits for its answer, ``stop`` ends it.

    Args:
        host: the ComfyUI's folder; only read.
        base: folder for ``custom_nodes``, ``models``, ``input``, ``output``, ``temp``, ``user`` and ``server.log``.
        packs: name of a folder in ``custom_nodes`` -> the pack that is linked (or copied) there.
        arguments: further ones of ``main.py``.
        environment: further variables of the process.

    Raises:
        InputError: ``host`` is no ComfyUI.
    """

    def __init__(
        self,
        host: Path,
        base: Path,
        *,
        packs: Mapping[str, Path],
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if not is_host(host):
            raise InputError(f"{host}: no ComfyUI there (main.py, comfy/ and folder_paths.py expected).")
        self.host, self.base = host, base
        self.input_dir, self.output_dir, self.models_dir = base / "input", base / "output", base / "models"
        self.log_path = base / "server.log"
        for name in ("custom_nodes", "input", "output", "temp", "user", "models"):
            (base / name).mkdir(parents=True, exist_ok=True)
        for name, pack in packs.items():
            _place(pack, base / "custom_nodes" / name)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "main.py", "--cpu", "--port", str(self.port), "--base-directory", str(base)]
        command += ["--disable-auto-launch", "--disable-api-nodes", "--database-url", "sqlite:///:memory:", *arguments]
        # No byte code: the host's folder is somebody's installation, and stays as it was.
        surroundings = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        surroundings |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": "", **(environment or {})}
        self._log = self.log_path.open("wb")
        self.process = subprocess.Popen(
            command, cwd=host, env={**os.environ, **surroundings}, stdout=self._log, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> HostServer:
        self.wait_until_up()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_until_up(self, timeout: float = _START_SECONDS) -> None:
        """Wait for the server's first answer, at most ``timeout`` seconds.

        Raises:
            HostStartError: it ended, or does not answer in time.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                log = self.log_tail()
                self.stop()
                raise HostStartError(f"ComfyUI ended with {self.process.returncode} while starting:\n{log}")
            if self.answers():
                return
            time.sleep(0.2)
        self.stop()
        raise HostStartError(f"ComfyUI did not answer within {timeout:.0f} s:\n{self.log_tail()}")

    def answers(self) -> bool:
        """Whether the server answers now."""
        try:
            return bool(self.system_stats())
        except GRefineError:
            return False

    def system_stats(self) -> dict[str, Any]:
        """What the host says of itself."""
        with HostApi(self.url) as api:
            return api.get("/system_stats")

    @property
    def version(self) -> str:
        """The host's version."""
        return str(self.system_stats()["system"]["comfyui_version"])

    def log_text(self) -> str:
        """All that the server printed so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def log_tail(self, lines: int = 60) -> str:
        """The last lines of it."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def stop(self) -> None:
        """End the server; once is enough, more do no harm."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(_STOP_SECONDS)
        self._log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _place(source: Path, target: Path) -> None:
    """A link to ``source``, or a copy where links are not allowed."""
    if target.is_symlink() or target.exists():
        return
    try:
        target.symlink_to(source, target_is_directory=True)
    except OSError:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_LEFT_OUT))
