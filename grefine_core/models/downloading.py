"""Fetching a known model file, only when the user asks for it: resumable, checked, and in place only when complete."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from ..errors import InputError, ModelFileError
from .entry import ModelEntry
from .files import existing_file, from_transformers, is_transformers, read_shapes, read_tensors
from .finding import download_folder

# One request for a file, or for the rest of it: what came back, what was said of it, and what is wrong with it.

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
    """The server says that all of the file is there already; ``sha256`` is what its metadata say, if anything."""

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


# Checking that a file on disk is what it is said to be.

_HASHED_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Verification:
    """What was checked of a file."""

    path: Path
    entry: ModelEntry
    size: int
    """Bytes."""
    sha256: str | None
    """Computed if the entry has one to compare with, or on request."""
    hash_known: bool
    """Whether the hash was compared with a recorded one; else only names and shapes were."""
    hash_from_hub: bool = False
    """Whether it was compared with the hub's metadata while the file was fetched."""


def verify_file(
    path: str | Path, entry: ModelEntry, compute_hash: bool = False, *, name: str | None = None
) -> Verification:
    """Check a file against a known model: readable, the right tensors with the right shapes, the hash if recorded.

    Args:
        path: of the file.
        entry: which model it is said to be.
        compute_hash: even where there is none to compare with.
        name: the file's name to be, whose ending says how it is read; None for the one it has.

    Raises:
        InputError: ``path`` is no path.
        ModelFileError: missing, damaged, or another model's; says which tensors or hashes differ.
    """
    file = existing_file(path, entry.id)
    suffix = Path(name or file.name).suffix
    # Read where nothing is known of the tensors, too: a page saved in the file's place, or half a file, is found out.
    shapes = dict(read_shapes(file, suffix)) if entry.shapes or entry.sha256 is None else {}
    if is_transformers(shapes) and "visual.conv1.weight" in entry.shapes:
        shapes = {name: tuple(tensor.shape) for name, tensor in from_transformers(read_tensors(file, suffix)).items()}
    wrong = [
        f"{name} is {shapes.get(name, 'missing')}, expected {shape}"
        for name, shape in entry.shapes.items()
        if shapes.get(name) != shape
    ]
    if wrong:
        raise ModelFileError(f"{file}: is not {entry.title}: {'; '.join(wrong[:3])}{'; …' if len(wrong) > 3 else ''}.")
    digest = file_sha256(file) if compute_hash or entry.sha256 is not None else None
    if entry.sha256 is not None and digest != entry.sha256:
        raise ModelFileError(f"{file}: sha256 is {digest}, expected {entry.sha256} for {entry.title}; fetch it again.")
    return Verification(file, entry, file.stat().st_size, digest, entry.sha256 is not None)


def file_sha256(file: Path) -> str:
    """sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while chunk := handle.read(_HASHED_AT_ONCE):
            digest.update(chunk)
    return digest.hexdigest()


logger = logging.getLogger(__name__)

DownloadProgress = Callable[[int, int | None], None]
_CHUNK = 1 << 18
_TRUE = ("1", "true", "yes", "on")
#: Of a file whose size is not recorded, bytes at most.
_LARGEST = 100_000_000_000
#: Seconds between looks at whether another process is done.
_PAUSE = 0.5
_UNLOCKABLE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def download(
    entry: ModelEntry,
    folder: str | Path | None = None,
    progress: DownloadProgress | None = None,
    *,
    timeout: float = 30.0,
    host: str | Path | None = None,
) -> Verification:
    """Fetch a known file into a folder and verify it. A file that is there already and passes is not fetched again.

    What was fetched before an interruption lies in ``<name>.part`` and is continued by the next call, if the server has
    the rest of the same file. The file gets its name only when it is complete and has passed: its tensors, the hash
    that is recorded here, and the hash that the hub announces with the file. While another process fetches the same
    file, this one waits for it.

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
    if target.exists() or target.is_symlink():
        raise ModelFileError(
            f"{target}: is there already, but is no file that can be read. Take it away, and try again."
        )
    if any(os.environ.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        raise ModelFileError(
            f"{entry.id}: HF_HUB_OFFLINE is set, so nothing is fetched. Unset it, or fetch {url} elsewhere "
            f"and save it as {target}."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"{target.parent}: cannot be made ({error}). Name another folder (--folder).") from error
    with _alone(target, progress) as part:
        if target.is_file():
            return verify_file(target, entry)
        logger.info("Fetching %s (%s, %s) to %s", url, entry.size_text, entry.licence, target)
        return _fetch(entry, url, part, target, progress, timeout)


def _fetch(
    entry: ModelEntry, url: str, part: BinaryIO, target: Path, progress: DownloadProgress | None, timeout: float
) -> Verification:
    """Fetch what is missing, verify all of it, and give it its name; what does not pass is thrown away."""
    continued = part.tell() > 0
    while True:
        try:
            sha256 = _receive(entry, url, part, target, progress, timeout)
            return _place(entry, target, _verified(entry, target, sha256))
        except (NotTheRestError, _WrongError) as error:
            _empty(part)
            _note(target).unlink(missing_ok=True)
            if not continued:
                raise ModelFileError(f"{url}: what came is not {entry.title}, and was thrown away ({error})") from error
        # The file has changed since the first attempt, or that was of something else.
        logger.warning("%s: does not fit together with what was there from before; fetching all of it again.", url)
        continued = False


class _WrongError(Exception):
    """What came is not the file."""


def _receive(
    entry: ModelEntry, url: str, part: BinaryIO, target: Path, progress: DownloadProgress | None, timeout: float
) -> str | None:
    """Fetch into ``part``, from where an earlier attempt stopped if the server can do that; the sha256 of the hub's
    metadata."""
    done, note = part.tell(), _note(target)
    version = note.read_text(encoding="utf-8") if note.is_file() else ""

    def broken(error: Exception) -> ModelFileError:
        return ModelFileError(
            f"{url}: the connection failed ({error}). Run it again to continue, or fetch it elsewhere and save it as "
            f"{target}."
        )

    with ExitStack() as stack:
        try:
            answer = stack.enter_context(ask(url, done, version, timeout))
        except NothingLeftError as error:
            return error.sha256
        except ModelFileError as error:
            raise ModelFileError(f"{error} Nothing was saved as {target}.") from error
        except BROKEN as error:
            raise broken(error) from error
        _check_size(entry, url, target, answer)
        if answer.start != done:
            _empty(part)
        if answer.version != version:
            _write(target, lambda: note.write_text(answer.version, encoding="utf-8"))
        done = answer.start
        while True:
            try:
                chunk = answer.response.read1(_CHUNK)
            except BROKEN as error:
                raise broken(error) from error
            if not chunk:
                break
            done += len(chunk)
            if done > (_most(entry) if answer.total is None else answer.total):
                raise _WrongError(f"the server sends more than the {done} bytes that it has at most")
            _write(target, lambda chunk=chunk: (part.write(chunk), part.flush()))  # type: ignore[misc]
            if progress is not None:
                progress(done, answer.total)
        if answer.total is not None and done < answer.total:
            raise ModelFileError(f"{url}: broke off after {done} of {answer.total} bytes; run it again to continue.")
        return answer.sha256


def _check_size(entry: ModelEntry, url: str, target: Path, answer: Answer) -> None:
    """Refuse before gigabytes have been fetched in vain."""
    if answer.total is None:
        return
    if answer.total > _most(entry):
        raise ModelFileError(
            f"{url}: the server announces {answer.total / 1e9:.1f} GB, far more than {entry.title} has "
            f"({entry.size_text}); nothing was fetched."
        )
    missing, free = answer.total - answer.start, shutil.disk_usage(target.parent).free
    if missing > free:
        raise ModelFileError(
            f"{target}: {missing / 1e9:.1f} GB are to be fetched, but only {free / 1e9:.1f} GB are free there. Make "
            "room, or name another folder (--folder)."
        )


def _most(entry: ModelEntry) -> int:
    """Bytes that a file may have: sizes are recorded in round numbers, and files are now and then published anew."""
    return _LARGEST if entry.size is None else 2 * entry.size


def _empty(part: BinaryIO) -> None:
    part.seek(0)
    part.truncate()


def _write(target: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise ModelFileError(
            f"{target}: cannot be written ({error}). What came so far is kept; make room and run it again to continue."
        ) from error


def _verified(entry: ModelEntry, target: Path, hub_sha256: str | None) -> Verification:
    try:
        checked = verify_file(_part(target), entry, compute_hash=True, name=target.name)
    except ModelFileError as error:
        raise _WrongError(str(error)) from error
    if hub_sha256 is not None and checked.sha256 != hub_sha256:
        raise _WrongError(f"sha256 is {checked.sha256}, but {hub_sha256} is in the hub's metadata.")
    return replace(checked, path=target, hash_from_hub=hub_sha256 is not None)


def _place(entry: ModelEntry, target: Path, checked: Verification) -> Verification:
    """Give the file its name; a file that has come there in the meantime stays."""
    part = _part(target)
    try:
        os.link(part, target)
    except FileExistsError:
        part.unlink()
        return verify_file(target, entry)
    except OSError:  # a file system without links
        os.rename(part, target)  # noqa: PTH104
    else:
        part.unlink()
    return checked


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _note(target: Path) -> Path:
    """Which version of the server's file the part is of."""
    return target.with_name(target.name + ".part.version")


@contextmanager
def _alone(target: Path, progress: DownloadProgress | None) -> Iterator[BinaryIO]:
    """The file of what has come so far, open for more of it, and locked as long as it is: no other process writes to
    it. Waits for one that does. An empty one is taken away again."""
    part, waited = _part(target), False
    while True:
        try:
            file = part.open("ab")
        except OSError as error:
            raise ModelFileError(f"{part}: cannot be written ({error}). Name another folder (--folder).") from error
        with file:
            # Whoever held it before may have given the file its name, or taken it away.
            if _lock(file) and part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat()):
                try:
                    yield file
                finally:
                    if not part.exists() or part.stat().st_size == 0:
                        _note(target).unlink(missing_ok=True)
                        part.unlink(missing_ok=True)
                return
        if not waited:
            logger.warning("%s: another process is fetching it; waiting for that.", target)
            waited = True
        if progress is not None:
            progress(part.stat().st_size if part.exists() else 0, None)
        time.sleep(_PAUSE)


def _lock(file: BinaryIO) -> bool:
    """Whether the file is now this process's own; it is until it is closed."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 40)  # far behind the content, which others may read
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            finally:
                file.seek(0, os.SEEK_END)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _UNLOCKABLE
    return True
