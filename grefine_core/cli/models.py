"""``grefine models``: which weights are needed, where they are, whether they are right; fetching them on request."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from . import common


def add_command(commands: Any) -> None:
    """Add the command with its own ``list``, ``verify``, ``download``."""
    parser = commands.add_parser("models", help="list, verify and download model files")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="known files: purpose, size, licence, source, and where they were found")
    listing.set_defaults(run=run_list)

    verify = actions.add_parser("verify", help="check files: readable, the right tensors, the hash where one is known")
    verify.add_argument("model", nargs="?", help="id from 'list'; without it, every file that was found")
    verify.add_argument("--file", metavar="FILE", help="check this file as that model")
    verify.set_defaults(run=run_verify)

    download = actions.add_parser("download", help="fetch one file; the only command that fetches anything")
    download.add_argument("model", help="id from 'list'")
    download.set_defaults(run=run_download)

    for action in (listing, verify, download):
        action.add_argument("--folder", metavar="FOLDER", help="where files lie or go; default: the model folders")
        action.add_argument("--json", action="store_true", help="print JSON")


def _folders(arguments: argparse.Namespace) -> list[str] | None:
    return [arguments.folder] if arguments.folder else None


def run_list(arguments: argparse.Namespace) -> int:
    """Print what is known and what is there."""
    from ..models import list_models, model_folders

    rows: list[dict[str, Any]] = [
        {
            "id": status.entry.id,
            "title": status.entry.title,
            "used_for": status.entry.used_for,
            "size": status.entry.size_text,
            "licence": status.entry.licence,
            "source": status.entry.source,
            "hash": status.entry.hash_text,
            "names": list(status.entry.names),
            "path": None if status.path is None else str(status.path),
        }
        for status in list_models(_folders(arguments))
    ]
    if arguments.json:
        common.print_json(rows)
        return 0
    searched = [arguments.folder] if arguments.folder else [str(folder) for folder in model_folders()]
    print(f"Searched: {', '.join(searched)}, and Hugging Face's local cache\n")
    for row in rows:
        print(f"{row['id']}: {row['title']}")
        print(f"    for {row['used_for']}")
        print(f"    {row['size']}, {row['licence']}, {row['source']}, {row['hash']}")
        print(f"    {row['path'] or 'not found; file name ' + ' or '.join(row['names'])}")
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Check one model, or all that were found; exit code 1 if a file is wrong, or the one asked for is not there."""
    from ..errors import GRefineError, ModelFileError
    from ..models import entry_of, list_models, locate, verify_file

    if arguments.file and not arguments.model:
        print("grefine models verify: --file needs the model's id as well.", file=sys.stderr)
        return 2
    if arguments.model:
        entry = entry_of(arguments.model)
        path = Path(arguments.file) if arguments.file else locate(entry, _folders(arguments))
        if path is None:
            raise ModelFileError(f"{entry.id}: not found; 'grefine models list' says where it is looked for.")
        chosen = [(path, entry)]
    else:
        chosen = [(found.path, found.entry) for found in list_models(_folders(arguments)) if found.path is not None]
    results = []
    for path, entry in chosen:
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
            print(f"{'ok   ' if result['ok'] else 'WRONG'} {result['id']}: {result['path']}: {result['message']}")
    return 0 if all(result["ok"] for result in results) else 1


def run_download(arguments: argparse.Namespace) -> int:
    """Fetch one file, with a progress bar; an interrupted download goes on where it stopped."""
    from tqdm import tqdm

    from ..models import download, entry_of

    entry = entry_of(arguments.model)
    with tqdm(desc=entry.names[0], unit="B", unit_scale=True, disable=None, file=sys.stderr) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        fetched = download(entry, arguments.folder, progress)
    note = "hash checked" if fetched.hash_known else f"sha256 {fetched.sha256} (hash not recorded)"
    if arguments.json:
        common.print_json({"id": entry.id, "path": str(fetched.path), "size": fetched.size, "sha256": fetched.sha256})
    else:
        print(f"{fetched.path}: {fetched.size} bytes, {note}")
    return 0
