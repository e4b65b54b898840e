"""``grefine models``: which weights are needed, where they are, whether they are right; fetching them on request."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from ..models import ModelEntry


def add_command(commands: Any) -> None:
    """Add the command with its own ``list``, ``verify``, ``download``."""
    parser = commands.add_parser("models", help="list, verify and download model files")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="known files: purpose, size, licence, source, and where they were found")
    listing.set_defaults(run=run_list, models=[])

    verify = actions.add_parser("verify", help="check files: readable, the right tensors, the hash where one is known")
    verify.add_argument(
        "models", nargs="*", metavar="MODEL", help="ids from 'list'; without, every file that was found"
    )
    verify.add_argument("--file", metavar="FILE", help="check this file as that one model")
    verify.set_defaults(run=run_verify)

    download = actions.add_parser("download", help="fetch files, those that are not there yet")
    download.add_argument("models", nargs="*", metavar="MODEL", help="ids from 'list'")
    download.set_defaults(run=run_download)

    for action in (listing, verify, download):
        action.add_argument("--for", dest="workflow", metavar="WORKFLOW", help="what this shipped workflow asks for")
        where = action.add_mutually_exclusive_group()
        where.add_argument("--folder", metavar="FOLDER", help="where files lie or go; default: the model folders")
        where.add_argument(
            "--host",
            nargs="?",
            const="",
            metavar="FOLDER",
            help="the folders of this ComfyUI, each file in that of its kind, extra_model_paths.yaml included; without "
            "FOLDER the one that is found (COMFYUI_PATH, around this pack, ~/comfy/ComfyUI)",
        )
        action.add_argument("--json", action="store_true", help="print JSON")


def _folders(arguments: argparse.Namespace) -> list[str] | None:
    return [arguments.folder] if arguments.folder else None


def _host(arguments: argparse.Namespace) -> Path | None:
    """The ComfyUI that was asked for, checked."""
    from ..comfyui.host_server import find_host
    from ..errors import InputError
    from ..models import check_host

    if arguments.host is None:
        return None
    if arguments.host:
        return check_host(arguments.host)
    found, looked = find_host(Path(__file__).parents[2])
    if found is None:
        raise InputError(f"--host: no ComfyUI found at {looked}; name its folder (--host FOLDER).")
    return found


def _chosen(arguments: argparse.Namespace) -> list[ModelEntry]:
    """The entries that ids and ``--for`` name, each once."""
    from ..models import entry_of, needed_by

    entries = [entry_of(name) for name in arguments.models]
    if arguments.workflow:
        entries += needed_by(arguments.workflow)
    return list({entry.id: entry for entry in entries}.values())


def run_list(arguments: argparse.Namespace) -> int:
    """Print what is known and what is there."""
    from ..models import REGISTRY, locate

    host, folders = _host(arguments), _folders(arguments)
    chosen = _chosen(arguments) if arguments.workflow else list(REGISTRY)
    rows = [_row(entry, locate(entry, folders, host)) for entry in chosen]
    if arguments.json:
        common.print_json(rows)
        return 0
    print(f"Searched: {_searched(chosen, folders, host)}, and Hugging Face's local cache\n")
    for row in rows:
        print(f"{row['id']}: {row['title']}")
        print(f"    for {row['used_for']}")
        print(f"    {row['size']}, {row['licence']}, {row['source']}, {row['hash']}")
        print(f"    {row['path'] or 'not found; file name ' + ' or '.join(row['names'])}")
    if arguments.workflow:
        _print_rest(arguments, rows)
    return 0


def _row(entry: ModelEntry, path: Path | None) -> dict[str, Any]:
    return {
        "id": entry.id,
        "title": entry.title,
        "used_for": entry.used_for,
        "size": entry.size_text,
        "licence": entry.licence,
        "source": entry.source,
        "hash": entry.hash_text,
        "names": list(entry.names),
        "folder": entry.folder,
        "path": None if path is None else str(path),
    }


def _searched(entries: list[ModelEntry], folders: list[str] | None, host: Path | None) -> str:
    from ..models import model_folders

    kinds = dict.fromkeys(entry.folder for entry in entries) or {"grefine": None}
    found = folders or [str(folder) for kind in kinds for folder in model_folders(kind, host)]
    return ", ".join(dict.fromkeys(found))


def _print_rest(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    from ..models.registry import own_of

    if not rows:
        print(f"{arguments.workflow}: everything comes with the pack.")
    if own := own_of(arguments.workflow):
        print(f"Beside these: {own}")
    if missing := sum(row["path"] is None for row in rows):
        print(f"\nMissing: {missing} of {len(rows)}. Fetch with: {_program()} models download{_as_given(arguments)}")


def _program() -> str:
    """How this command line was called: installed, or in the pack's folder."""
    own = Path(sys.argv[0]).parts[-2:] == ("cli", "__main__.py")  # pytest, too, may be a __main__.py
    return "python -m grefine_core.cli" if own else "grefine"


def _as_given(arguments: argparse.Namespace) -> str:
    """The options that say which files and where, to be typed again."""
    found = f" --for {arguments.workflow}"
    if arguments.folder:
        found += f" --folder {shlex.quote(arguments.folder)}"
    elif arguments.host is not None:
        found += f" --host {shlex.quote(arguments.host)}" if arguments.host else " --host"
    return found


def run_verify(arguments: argparse.Namespace) -> int:
    """Check the named models, or all that were found; exit code 1 if a file is wrong, or one asked for is not there."""
    from ..errors import GRefineError
    from ..models import REGISTRY, locate, verify_file

    if arguments.file and len(arguments.models) != 1:
        print("grefine models verify: --file needs the id of the one model that it is.", file=sys.stderr)
        return 2
    host, folders = _host(arguments), _folders(arguments)
    asked = bool(arguments.models or arguments.workflow)
    results = []
    for entry in _chosen(arguments) if asked else REGISTRY:
        path = Path(arguments.file) if arguments.file else locate(entry, folders, host)
        if path is None:
            if asked:
                where = _searched([entry], folders, host)
                message = f"not found. Searched: {where}. Fetch it with grefine models download {entry.id}"
                results.append({"id": entry.id, "path": None, "ok": False, "message": message})
            continue
        try:
            checked = verify_file(path, entry)
            note = "tensors and hash are right" if checked.hash_known else "tensors are right (hash not recorded)"
            results.append({"id": entry.id, "path": str(path), "ok": True, "message": note})
        except GRefineError as error:
            results.append({"id": entry.id, "path": str(path), "ok": False, "message": str(error)})
    if arguments.json:
        common.print_json(results)
    else:
        for result in results:
            place = f": {result['path']}" if result["path"] else ""
            print(f"{'ok   ' if result['ok'] else 'WRONG'} {result['id']}{place}: {result['message']}")
    return 0 if all(result["ok"] for result in results) else 1


def run_download(arguments: argparse.Namespace) -> int:
    """Fetch the files that are not there yet; an interrupted download goes on where it stopped."""
    from ..errors import GRefineError
    from ..models import locate

    if not arguments.models and not arguments.workflow:
        print("grefine models download: name models ('grefine models list'), or --for a workflow.", file=sys.stderr)
        return 2
    host, folders = _host(arguments), _folders(arguments)
    results = []
    for entry in _chosen(arguments):
        try:
            # One that a workflow needs may lie there under another of its names, or come with the pack.
            there = locate(entry, folders, host) if entry.id not in arguments.models else None
            results.append(_there(entry, there) if there is not None else _fetched(entry, arguments.folder, host))
        except GRefineError as error:
            # The others are fetched all the same.
            print(f"grefine models download: {error}", file=sys.stderr, flush=True)
            results.append({"id": entry.id, "path": None, "error": str(error)})
            continue
        message = results[-1].pop("message")
        if not arguments.json:
            print(message, flush=True)
    if arguments.json:
        common.print_json(results[0] if len(arguments.models) == 1 and not arguments.workflow else results)
    return 1 if any("error" in result for result in results) else 0


def _there(entry: ModelEntry, path: Path) -> dict[str, Any]:
    return {"id": entry.id, "path": str(path), "size": path.stat().st_size, "message": f"{path}: is there already"}


def _fetched(entry: ModelEntry, folder: str | None, host: Path | None) -> dict[str, Any]:
    """Fetch one file, with a progress bar."""
    from tqdm import tqdm

    from ..models import download

    with tqdm(desc=entry.names[0], unit="B", unit_scale=True, disable=None, file=sys.stderr) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        fetched = download(entry, folder, progress, host=host)
    note = "tensors checked" if fetched.sha256 is None else f"sha256 {fetched.sha256} (hash not recorded)"
    if fetched.hash_known or fetched.hash_from_hub:
        note = "hash checked" if fetched.hash_known else "hash is the one that the hub announces"
    return {
        "id": entry.id,
        "path": str(fetched.path),
        "size": fetched.size,
        "sha256": fetched.sha256,
        "message": f"{fetched.path}: {fetched.size} bytes, {note}",
    }
