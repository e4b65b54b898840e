#!/usr/bin/env python3
"""The two commands of a fresh machine; nothing but Python 3.11+ and a package index is needed.

    python run.py demo     set up, and run the whole method on a small picture; results in grefine-output/
    python run.py test     set up, and run the checks and tests

Each makes or reuses the virtual environment `.venv` beside this file, and is quick when run again. Where this folder
cannot be written to, both work in a copy of it under ~/.cache/grefine/checkouts, and say so. Where a ComfyUI is found
(COMFYUI_PATH, around this pack, or ~/comfy/ComfyUI), its requirements are installed too, and it is used.
What follows the command is handed on: `run.py demo --index 7`, `run.py demo --help`, `run.py test -k masks`.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import IO

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / "grefine-setup.sha256"
OLDEST_PYTHON = (3, 10)
GIGABYTES = 8
NOT_COPIED = (".git", "__pycache__", ".venv*", ".*_cache", "grefine-output")
log = logging.getLogger("run")


class SetupError(Exception):
    """There is no environment to work in; the message says why, and what to do."""


def find_comfyui() -> Path | None:
    """Return the ComfyUI to use, by the rule that the tests share, or None."""
    from grefine_core.comfyui.host_server import find_host  # the standard library is all that this needs

    host, looked = find_host(ROOT)
    if host is None and os.environ.get("COMFYUI_PATH"):
        sys.exit(f"{looked}: no ComfyUI there (main.py, comfy/ and folder_paths.py expected). Correct it or unset it.")
    return host


def writable(folder: Path) -> bool:
    """Whether files can be made in a folder: tried, for permissions do not tell of a mount that is read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def copy_checkout(place: Path) -> None:
    """Make ``place`` a copy of this checkout: only what differs is written, what the copy made itself is left alone."""
    for name, folders, files in os.walk(ROOT):
        folders[:], files = (
            [one for one in some if not any(fnmatch(one, left) for left in NOT_COPIED)] for some in (folders, files)
        )
        target = place / Path(name).relative_to(ROOT)
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            source, copy = Path(name, file), target / file
            seen = source.stat()
            if not copy.is_file() or (copy.stat().st_size, copy.stat().st_mtime_ns) != (seen.st_size, seen.st_mtime_ns):
                # Whole or not at all: another run may be reading it.
                part = copy.with_name(f".{os.getpid()}.part")
                shutil.copyfile(source, part)
                os.utime(part, ns=(seen.st_mtime_ns, seen.st_mtime_ns))
                part.replace(copy)
        if target != place:
            for extra in target.iterdir():
                if extra.is_dir() and extra.name not in (*folders, "__pycache__"):
                    shutil.rmtree(extra)
                elif extra.is_file() and extra.name not in files:
                    extra.unlink()


def run_in_a_copy(host: Path | None) -> int:
    """Do all of it in a copy among the user's caches: environment, caches of the tools, results."""
    place = Path("~/.cache/grefine/checkouts").expanduser() / hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
    try:
        copy_checkout(place)
    except OSError as error:
        sys.exit(f"{ROOT} cannot be written to, and {place} neither ({error}). Copy the checkout to a folder of yours.")
    log.info("%s cannot be written to. Working in a copy: %s", ROOT, place)
    surroundings = {**os.environ, **({"COMFYUI_PATH": str(host)} if host else {})}
    return subprocess.run([sys.executable, str(place / "run.py"), *sys.argv[1:]], env=surroundings).returncode


def python() -> Path:
    """Return the environment's interpreter."""
    return BIN / ("python.exe" if os.name == "nt" else "python")


def answer(*command: str | Path) -> str:
    """What a command of the environment prints; nothing where it is missing, broken or fails."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace")
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def python_version() -> str:
    """Version of the environment's interpreter; empty where that does not run or is too old."""
    return answer(python(), "-I", "-c", f"import sys; print(sys.version * (sys.version_info >= {OLDEST_PYTHON}))")


def pip_works() -> bool:
    """Whether the environment's pip runs as a command, and from there: one that was moved calls its old place."""
    words = answer(BIN / "pip", "--version").partition(" from ")[2]
    return VENV.resolve() in Path(words.rpartition(" (python")[0]).parent.resolve().parents


def state(host: Path | None) -> str:
    """Return a digest of all that the environment depends on; empty where its interpreter does not run."""
    version = python_version()
    if not version:
        return ""
    digest = hashlib.sha256(version.encode())
    for path in [ROOT / "pyproject.toml", ROOT / "constraints.txt", *([host / "requirements.txt"] if host else [])]:
        digest.update(path.read_bytes())
    digest.update(str(ROOT).encode())  # an environment is bound to its place
    return digest.hexdigest()


def up_to_date(host: Path | None) -> bool:
    """Whether the environment was made whole, and nothing that it depends on has changed since."""
    return STAMP.is_file() and STAMP.read_text() == state(host) != ""


def claim(lock: IO[str], alone: bool) -> None:
    """Wait for the environment: to change it ``alone``, to use it together with others. Held until the process ends."""
    if os.name == "nt":  # its locks are never shared: what uses the environment holds none
        import msvcrt

        while True:
            lock.seek(0)
            try:
                msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK if alone else msvcrt.LK_UNLCK, 1)
                return
            except OSError:
                if not alone:
                    return
                time.sleep(1)
    import fcntl

    mode = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(lock, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("Another run is at work in %s: waiting for it", VENV)
        fcntl.flock(lock, mode)


def set_up(host: Path | None, lock: IO[str]) -> None:
    """Make the virtual environment, or leave it alone when nothing that it depends on has changed.

    Raises:
        SetupError: that failed; what pip said stands on the terminal.
    """
    claim(lock, alone=False)
    while not up_to_date(host):
        claim(lock, alone=True)
        if not up_to_date(host):  # still: another run may just have made it
            try:
                STAMP.unlink(missing_ok=True)
                make_environment()
                install(host)
            except (subprocess.CalledProcessError, OSError) as error:
                free = shutil.disk_usage(ROOT).free / 1e9
                raise SetupError(
                    f"Setting up {VENV} failed: {error}\n"
                    f"What pip said stands above. Free on this disk: {free:.1f} GB (some {GIGABYTES} are needed the "
                    "first time). pip takes its usual settings for a proxy or an index (HTTPS_PROXY, PIP_INDEX_URL, "
                    "pip.conf). A Python that is newer than torch's packages finds none: take one that is a year or "
                    "two old. Then run this again: it goes on from what is there."
                ) from error
        claim(lock, alone=False)


def make_environment() -> None:
    """Make ``.venv`` with pip in it, unless it is there; a broken one, or one from another place, is made anew."""
    if VENV.exists() and not (VENV / "pyvenv.cfg").is_file() and not (VENV.is_dir() and is_empty(VENV)):
        raise SetupError(f"{VENV} is no virtual environment. Move it away: that is where one is made.")
    if python_version() and not has_pip():
        add_pip()
    if not pip_works():
        if VENV.exists():
            log.info("%s is half-made, broken, or from another place: making it anew", VENV)
        venv = module_of_python("venv")
        venv.create(VENV, clear=True, symlinks=os.name != "nt")
        add_pip()


def has_pip() -> bool:
    """Whether the environment's interpreter finds pip."""
    return bool(answer(python(), "-I", "-c", "import pip; print(pip)"))


def add_pip() -> None:
    """Put pip into the environment, from what came with Python."""
    module_of_python("ensurepip")
    command = [str(python()), "-I", "-m", "ensurepip", "--upgrade", "--default-pip"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def module_of_python(name: str) -> ModuleType:
    """Import one of the modules that make environments, which some distributions leave out."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SetupError(
            f"This Python ({sys.executable}) comes without {name}, which makes virtual environments. "
            "On Debian and Ubuntu `apt install python3-venv` adds it; elsewhere use a Python from python.org."
        ) from error


def is_empty(folder: Path) -> bool:
    """Whether there are no files in a folder, as where the making of an environment was stopped at once."""
    return not any(path.is_file() for path in folder.rglob("*"))


def install(host: Path | None) -> None:
    """Install all that the commands need, from a package index, and write down that it is there."""
    log.info("Setting up %s (torch and its libraries are large: a few minutes)", VENV)
    packages = ["-c", "constraints.txt", "-e", ".[dev]"]
    if host:
        packages += ["-r", str(host / "requirements.txt")]
    # In the checkout, with no path of it on the command line: some names would be read as more than a name.
    command = [str(python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    subprocess.run(command, check=True, cwd=ROOT)
    STAMP.write_text(state(host))


def demo(arguments: list[str], host: Path | None) -> int:
    """Run the whole method on a picture."""
    given = any(argument.split("=")[0] == "--host" for argument in arguments)
    chosen = [] if host is None or given else ["--host", str(host)]
    # As it is, it writes nothing but its own drawn picture's files, and is run again and again.
    chosen += [] if arguments else ["--overwrite"]
    placed = any(argument.startswith("-o") or argument.split("=")[0] == "--output" for argument in arguments)
    if not placed and not writable(Path.cwd()):
        chosen += ["--output", str(ROOT / "grefine-output")]
    return subprocess.run([str(python()), "-m", "grefine_core.cli", "demo", *chosen, *arguments]).returncode


def test(arguments: list[str]) -> int:
    """Run linter, formatter, type checker and the tests; the first that fails decides."""
    checks = [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]]
    for check in checks if not arguments else []:
        log.info("%s", " ".join(check))
        done = subprocess.run([str(BIN / check[0]), *check[1:]], cwd=ROOT)
        if done.returncode:
            return done.returncode
    if not arguments and (code := check_types_of_nodes()):
        return code
    # One process a core, up to four, each with one thread: most tests are too small for several threads to be of use.
    workers = min(os.cpu_count() or 1, 4)
    spread = [] if arguments else ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    surroundings = os.environ if arguments else {**os.environ, "OMP_NUM_THREADS": "1"}
    # The executable, not `python -m pytest`: that would put this folder, with its `nodes`, on sys.path.
    return subprocess.run([str(BIN / "pytest"), *spread, *arguments], cwd=ROOT, env=surroundings).returncode


def check_types_of_nodes() -> int:
    """Type-check the nodes, which import the library relatively, under a fixed name whatever the folder is called."""
    log.info("mypy, nodes")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            (Path(scratch) / "g_refine").symlink_to(ROOT, target_is_directory=True)
        except OSError as error:
            log.warning("The types of nodes/ are not checked: no links here (%s).", error)
            return 0
        command = [str(BIN / "mypy"), "--config-file", str(ROOT / "pyproject.toml"), "-p", "g_refine.nodes"]
        return subprocess.run(command, cwd=scratch, env={**os.environ, "MYPYPATH": scratch}).returncode


def main() -> int:
    """Dispatch."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if sys.version_info < OLDEST_PYTHON:
        wanted, found = (".".join(str(number) for number in one[:2]) for one in (OLDEST_PYTHON, sys.version_info))
        sys.exit(f"Python {wanted} or newer is needed; {sys.executable} is {found}. Try: python3.11 run.py")
    if len(sys.argv) < 2 or sys.argv[1] not in ("demo", "test"):
        sys.exit(__doc__)
    host = find_comfyui()
    if not writable(ROOT):
        return run_in_a_copy(host)
    log.info("ComfyUI: %s", host or "none found (COMFYUI_PATH names one)")
    with (ROOT / ".venv.lock").open("w") as lock:
        try:
            set_up(host, lock)
        except SetupError as error:
            sys.exit(str(error))
        return demo(sys.argv[2:], host) if sys.argv[1] == "demo" else test(sys.argv[2:])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
