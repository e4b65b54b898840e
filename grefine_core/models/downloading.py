"""Fetching a known model file, only when the user asks for it: resumable, checked, and in place only when complete."""

from __future__ import annotations

import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ..errors import InputError, ModelFileError
from .finding import model_folders
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
) -> Verification:
    """Fetch a known file into a folder and verify it. A file that is there already and passes is not fetched again.

    What was fetched before an interruption lies in ``<name>.part`` and is continued by the next call. The file gets its
    name only when it is complete and has passed.

    Args:
        entry: which one.
        folder: where to; the first of ``model_folders()`` if None.
        progress: called with (bytes so far, bytes in all or None) as it goes; may raise to stop.
        timeout: seconds without an answer.

    Raises:
        InputError: the file comes with the package and is not downloaded.
        ModelFileError: offline (``HF_HUB_OFFLINE=1``), the server refuses, the connection breaks, or what came is not
            that file; names address and target.
    """
    url = entry.url
    if url is None:
        raise InputError(f"model: {entry.id} comes with the package ({entry.shipped}); there is nothing to download.")
    target = (model_folders()[0] if folder is None else Path(folder).expanduser()) / entry.names[0]
    if target.is_file():
        return verify_file(target, entry)
    if any(os.environ.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        raise ModelFileError(
            f"{entry.id}: HF_HUB_OFFLINE is set, so nothing is fetched. Unset it, or fetch {url} elsewhere "
            f"and save it as {target}."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    logger.info("Fetching %s (%s, %s) to %s", url, entry.size_text, entry.licence, target)
    _fetch(url, part, target, progress, timeout)
    # Verified under its final ending, which says how to read it, but not yet under its name.
    scratch = target.with_name(f"incoming-{target.name}")
    os.replace(part, scratch)  # noqa: PTH105
    try:
        checked = verify_file(scratch, entry, compute_hash=True)
    except ModelFileError as error:
        scratch.unlink(missing_ok=True)
        raise ModelFileError(f"{url}: what came is not {entry.title}, and was thrown away ({error})") from error
    os.replace(scratch, target)  # noqa: PTH105
    return Verification(target, entry, checked.size, checked.sha256, checked.hash_known)


def _fetch(url: str, part: Path, target: Path, progress: DownloadProgress | None, timeout: float) -> None:
    """Fetch into ``part``, from where an earlier attempt stopped if the server can do that."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "g-refine", **_range(have)})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            resumed = answer.status == 206
            total = _total(answer, have if resumed else 0)
            done = have if resumed else 0
            with part.open("ab" if resumed else "wb") as file:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(done, total)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # Nothing is left to fetch: the earlier attempt had everything.
            return
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


def _range(have: int) -> dict[str, str]:
    return {"Range": f"bytes={have}-"} if have else {}


def _total(answer: Any, already: int) -> int | None:
    length = answer.headers.get("Content-Length")
    return int(length) + already if length is not None and length.isdigit() else None
