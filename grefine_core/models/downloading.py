"""Fetching a known model file, only when the user asks for it: resumable, checked, and in place only when complete."""

from __future__ import annotations

import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError, ModelFileError
from .announced import Announced, Listener
from .finding import download_folder
from .registry import ModelEntry
from .verifying import Verification, verify_file

logger = logging.getLogger(__name__)

DownloadProgress = Callable[[int, int | None], None]
_CHUNK = 1 << 20
_TRUE = ("1", "true", "yes", "on")


def download(
    entry: ModelEntry,
    folder: str | Path | None = None,
    progress: DownloadProgress | None = None,
    *,
    timeout: float = 30.0,
    host: str | Path | None = None,
) -> Verification:
    """Fetch a known file into a folder and verify it. A file that is there already and passes is not fetched again.

    What was fetched before an interruption lies in ``<name>.part`` and is continued by the next call. The file gets its
    name only when it is complete and has passed: its tensors, the hash that is recorded here, and the hash that the hub
    announces with the file.

    Args:
        entry: which one.
        folder: where to; ``download_folder`` of the entry if None.
        progress: called with (bytes so far, bytes in all or None) as it goes; may raise to stop.
        timeout: seconds without an answer.
        host: a ComfyUI, into whose folder of the right kind the file goes if no ``folder`` is given.

    Raises:
        InputError: the file comes with the package and is not downloaded.
        ModelFileError: offline (``HF_HUB_OFFLINE=1``), the server refuses, the connection breaks, the disk is too small
            or full, or what came is not that file; names address and target.
    """
    url = entry.url
    if url is None:
        raise InputError(f"model: {entry.id} comes with the package ({entry.shipped}); there is nothing to download.")
    target = (download_folder(entry, host) if folder is None else Path(folder).expanduser()) / entry.names[0]
    if target.is_file():
        return verify_file(target, entry)
    if any(os.environ.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        raise ModelFileError(
            f"{entry.id}: HF_HUB_OFFLINE is set, so nothing is fetched. Unset it, or fetch {url} elsewhere "
            f"and save it as {target}."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    continued = part.is_file()
    logger.info("Fetching %s (%s, %s) to %s", url, entry.size_text, entry.licence, target)
    announced = _fetch(url, part, target, progress, timeout)
    try:
        return _put_in_place(entry, part, target, announced)
    except ModelFileError as error:
        if not continued:
            raise ModelFileError(f"{url}: what came is not {entry.title}, and was thrown away ({error})") from error
        # The file may have changed between both attempts, or the first part was of something else.
        logger.warning("%s: does not fit together with what was there from before; fetching all of it again.", url)
    announced = _fetch(url, part, target, progress, timeout)
    try:
        return _put_in_place(entry, part, target, announced)
    except ModelFileError as error:
        raise ModelFileError(f"{url}: what came is not {entry.title}, and was thrown away ({error})") from error


def _put_in_place(entry: ModelEntry, part: Path, target: Path, announced: Announced) -> Verification:
    """Verify what was fetched and give it its name; what does not pass is deleted."""
    # Verified under its final ending, which says how to read it, but not yet under its name.
    scratch = target.with_name(f"incoming-{target.name}")
    os.replace(part, scratch)  # noqa: PTH105
    try:
        checked = verify_file(scratch, entry, compute_hash=True)
        if announced.sha256 is not None and checked.sha256 != announced.sha256:
            raise ModelFileError(f"sha256 is {checked.sha256}, but {announced.sha256} was announced with the file.")
    except ModelFileError:
        scratch.unlink(missing_ok=True)
        raise
    os.replace(scratch, target)  # noqa: PTH105
    return replace(checked, path=target, hash_announced=announced.sha256 is not None)


def _fetch(url: str, part: Path, target: Path, progress: DownloadProgress | None, timeout: float) -> Announced:
    """Fetch into ``part``, from where an earlier attempt stopped if the server can do that."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "g-refine", **_range(have)})
    listener = Listener()
    try:
        with urllib.request.build_opener(listener).open(request, timeout=timeout) as answer:
            listener.hear(answer.headers)
            resumed = answer.status == 206
            done = have if resumed else 0
            total = _total(answer, done)
            _check_room(target, None if total is None else total - have)
            with part.open("ab" if resumed else "wb") as file:
                while chunk := answer.read(_CHUNK):
                    _write(file, chunk, target)
                    done += len(chunk)
                    if progress is not None:
                        progress(done, total)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # Nothing is left to fetch: the earlier attempt had everything.
            return listener.announced
        raise ModelFileError(
            f"{url}: the server answered {error.code} {error.reason}; nothing was saved as {target}."
        ) from error
    except (OSError, HTTPException) as error:
        raise ModelFileError(
            f"{url}: the connection failed ({error}). Run it again to continue, or fetch it elsewhere and save "
            f"it as {target}."
        ) from error
    if total is not None and done < total:
        raise ModelFileError(f"{url}: broke off after {done} of {total} bytes; run it again to continue.")
    return listener.announced


def _check_room(target: Path, missing: int | None) -> None:
    """Refuse before gigabytes have been fetched in vain."""
    free = shutil.disk_usage(target.parent).free
    if missing is not None and missing > free:
        raise ModelFileError(
            f"{target}: {missing / 1e9:.1f} GB are to be fetched, but only {free / 1e9:.1f} GB are free there. Make "
            "room, or name another folder (--folder)."
        )


def _write(file: BinaryIO, chunk: bytes, target: Path) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise ModelFileError(
            f"{target}: cannot be written ({error}). What came so far is kept; make room and run it again to continue."
        ) from error


def _range(have: int) -> dict[str, str]:
    return {"Range": f"bytes={have}-"} if have else {}


def _total(answer: Any, already: int) -> int | None:
    length = answer.headers.get("Content-Length")
    return int(length) + already if length is not None and length.isdigit() else None
