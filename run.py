#!/usr/bin/env python3
"""The two commands of a fresh machine; nothing but Python 3.11+ and a package index is needed.

    python run.py demo     set up, and run the whole method on a small picture; results in grefine-output/
    python run.py test     set up, and run the checks and tests

Each makes or reuses the virtual environment `.venv` beside this file, and is quick when run again. Where a ComfyUI is
found (COMFYUI_PATH, around this pack, or ~/comfy/ComfyUI), its requirements are installed too, and it is used.
What follows the command is handed on: `run.py demo --index 7`, `run.py demo --help`, `run.py test -k masks`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from grefine_core.host_server import find_host  # the standard library is all that this needs

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / "grefine-setup.sha256"
log = logging.getLogger("run")


def find_comfyui() -> Path | None:
    """Return the ComfyUI to use, by the rule that the tests share, or None."""
    host, looked = find_host(ROOT)
    if host is None and os.environ.get("COMFYUI_PATH"):
        sys.exit(f"{looked}: no ComfyUI there (main.py, comfy/ and folder_paths.py expected). Correct it or unset it.")
    return host


def set_up(host: Path | None) -> None:
    """Make the virtual environment, or leave it alone when nothing that it depends on has changed."""
    sources = [ROOT / "pyproject.toml", ROOT / "constraints.txt", *([host / "requirements.txt"] if host else [])]
    digest = hashlib.sha256(sys.version.encode())
    for path in sources:
        digest.update(path.read_bytes())
    digest.update(str(ROOT).encode())  # an environment is bound to its place
    if STAMP.is_file() and STAMP.read_text() == digest.hexdigest():
        return
    log.info("Setting up %s (torch and its libraries are large: a few minutes)", VENV)
    if not (BIN / ("python.exe" if os.name == "nt" else "python")).exists():
        venv.create(VENV, with_pip=True)
    pip = [str(python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    packages = ["-c", str(ROOT / "constraints.txt"), "-e", f"{ROOT}[dev]"]
    if host:
        packages += ["-r", str(host / "requirements.txt")]
    subprocess.run([*pip, *packages], check=True)
    STAMP.write_text(digest.hexdigest())


def python() -> Path:
    """Return the environment's interpreter."""
    return BIN / ("python.exe" if os.name == "nt" else "python")


def demo(arguments: list[str], host: Path | None) -> int:
    """Run the whole method on a picture."""
    given = any(argument.split("=")[0] == "--host" for argument in arguments)
    chosen = [] if host is None or given else ["--host", str(host)]
    # As it is, it writes nothing but its own drawn picture's files, and is run again and again.
    again = [] if arguments else ["--overwrite"]
    return subprocess.run([str(python()), "-m", "grefine_core.cli", "demo", *chosen, *again, *arguments]).returncode


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
    spread = [] if arguments else ["-n", str(workers), "--dist", "loadfile"]
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
    if len(sys.argv) < 2 or sys.argv[1] not in ("demo", "test"):
        sys.exit(__doc__)
    host = find_comfyui()
    log.info("ComfyUI: %s", host or "none found (COMFYUI_PATH names one)")
    try:
        set_up(host)
    except subprocess.CalledProcessError as error:
        sys.exit(f"Setting up failed (exit code {error.returncode}); what pip said stands above.")
    if sys.argv[1] == "demo":
        return demo(sys.argv[2:], host)
    return test(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
