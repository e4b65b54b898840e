"""What several commands share: options, pictures with their prompts, output for people and for programs."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import Cancelled, InputError
from ..memory import reason_of
from ..metadata import prompt_of
from ..pictures import Picture, find_pictures, load_picture
from ..plain_text import finite, mended, printable

if TYPE_CHECKING:
    from ..clip.quality_model import QualityModel

Item = TypeVar("Item")

logger = logging.getLogger(__name__)


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Pictures, and where their prompts come from."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="picture files or folders of pictures")
    parser.add_argument(
        "--prompt",
        help="what the picture was meant to show; without it, the text file of the same name (picture.txt), "
        "then the picture's own metadata (ComfyUI, A1111 and others; see docs/metadata.md)",
    )
    add_prompt_from_option(parser)


def add_prompt_from_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Which node of a picture's own graph has its prompt."""
    parser.add_argument(
        "--prompt-from",
        metavar="NODE",
        help="id or title of the node in the picture's own ComfyUI graph whose text is the prompt, where the graph "
        "does not tell for certain",
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The quality model."""
    group = parser.add_argument_group("quality model")
    group.add_argument("--clip", metavar="FILE", help="CLIP weights; default: found in the model folders")
    group.add_argument(
        "--clip-vision", metavar="FILE", help="the vision tower, where --clip is the text encoder of a CLIP alone"
    )
    group.add_argument(
        "--architecture",
        default="auto",
        help="open_clip's name of the model; auto: from open_clip_config.json beside the weights, or by its sizes",
    )
    group.add_argument(
        "--embeddings",
        default="auto",
        metavar="PATH",
        help="PQ embeddings: a file or a folder; 'published'; 'words' (antonyms, for any CLIP); 'auto' (default): the "
        "published ones, or words where these do not fit the weights",
    )
    group.add_argument(
        "--calibration",
        default="auto",
        metavar="FILE",
        help="bounds from 'grefine calibrate'; 'none'; 'auto' (default): the file beside the weights, else what is "
        "measured at their first use and kept",
    )
    group.add_argument(
        "--alignment-encoder",
        default="clip",
        metavar="NAME",
        help="what AQ measures with: 'clip' (default), 'imagereward' (found in the model folders), or a file of "
        "ImageReward's weights",
    )
    group.add_argument(
        "--alignment-maps",
        choices=("gradient", "values", "slices"),
        default="gradient",
        help="how ImageReward finds phrases: gradient times attention, V-V attention, or one part at a time (slow)",
    )
    group.add_argument("--resolution", type=int, metavar="PX", help="measure at this side; default: the model's own")
    group.add_argument("--device", default="auto", help="'auto', 'cpu', 'cuda', 'cuda:1', 'mps'")


def add_measure_options(parser: argparse.ArgumentParser) -> None:
    """How quality is measured."""
    group = parser.add_argument_group("measuring")
    group.add_argument(
        "--formula",
        choices=("bounded", "paper", "released"),
        default="bounded",
        help="how scores follow from what is measured: bounded (1 where nothing is wrong), or the paper's or the "
        "authors' script's, to compare with them",
    )
    group.add_argument(
        "--scoring",
        choices=("auto", "contrast", "softmax"),
        default="auto",
        help="AQ: phrases against similar phrases, or against the empty text; auto: the calibration's way",
    )
    group.add_argument(
        "--aggregate",
        choices=("product", "geometric", "min"),
        default="product",
        help="AQ: how the phrases' scores become one; the paper's product is hard on long prompts",
    )
    group.add_argument("--include-style", action="store_true", help="let style and quality tags take part")
    group.add_argument(
        "--measure-anyway",
        action="store_true",
        help="AQ: measure parts of a prompt in other languages than English, which its text model reads badly",
    )


def measure_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of ``assess`` from these options; "auto" leaves the way of scoring to the library.

    What they do not say is as in ``arguments.assessment``, if there is one.
    """
    chosen: dict[str, Any] = {
        **getattr(arguments, "assessment", {}),
        "formula": arguments.formula,
        "aggregate": arguments.aggregate,
        "include_style": arguments.include_style,
    }
    if getattr(arguments, "measure_anyway", False):
        chosen["measure_anyway"] = True
    if arguments.scoring != "auto":
        chosen["scoring"] = arguments.scoring
    return chosen


def pick_device(name: str) -> str:
    """Return ``name``, or for "auto" the best device that torch has here."""
    if name != "auto":
        return name
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_model(arguments: argparse.Namespace) -> QualityModel:
    """Load the quality model that the options ask for."""
    from ..clip.loading import load_quality_model

    with encodes("First use of these weights") as measured:
        return load_quality_model(
            model=arguments.architecture,
            weights=arguments.clip,
            vision_tower=arguments.clip_vision,
            embeddings=arguments.embeddings,
            resolution=arguments.resolution,
            device=pick_device(arguments.device),
            calibration=arguments.calibration,
            alignment_encoder=arguments.alignment_encoder,
            alignment_maps=arguments.alignment_maps,
            progress=measured,
        )


@contextmanager
def encodes(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function that is told (done, total), and shows a bar on standard error once it is."""
    from tqdm import tqdm

    bar: tqdm[Any] | None = None

    def told(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=total, desc=what, unit="picture", disable=None, file=sys.stderr)
        bar.update(done - bar.n)

    try:
        yield told
    finally:
        if bar is not None:
            bar.close()


def load_second_opinion(arguments: argparse.Namespace) -> QualityModel | None:
    """Load what ``--second-opinion`` names: another CLIP, or ImageReward on the CLIP of the other options."""
    named = getattr(arguments, "second_opinion", None)
    if not named:
        return None
    other = argparse.Namespace(**vars(arguments))
    if named == "imagereward":
        other.alignment_encoder = named
    else:
        other.clip, other.architecture, other.calibration, other.alignment_encoder = named, "auto", None, "clip"
    return load_model(other)


def prompt_for(
    picture: Picture, given: str | None, needed: bool = True, option: str = "--prompt", node: str | None = None
) -> str | None:
    """Return the picture's prompt: the given one (by ``option``), the text file of its name, its metadata.

    Where it is not ``needed``, what the metadata do not tell for certain is logged as a warning.

    Args:
        picture: as it was loaded.
        given: the prompt that the user gave.
        needed: whether a picture without a prompt is an error.
        option: by which the user gives one.
        node: the node of the picture's own graph that has it (``--prompt-from``).

    Raises:
        InputError: ``needed``, and none of them there; a text file in another encoding than UTF-8; no text in ``node``;
            or both ``given`` and ``node``.
    """
    if given is not None:
        if node is not None:
            raise InputError(f"{option} and --prompt-from: give one of them.")
        return mended(given)
    try:
        found = prompt_of(picture.path, picture.text, node)
    except InputError as error:
        if node is None:
            raise
        raise InputError(f"{picture.path}: --prompt-from: {error}.") from error
    for note in found.notes:
        logger.warning("%s: %s", picture.path, note)
    if found.positive is None:
        why = found.why_none()
        ways = f"Give {option}, "
        ways += "or --prompt-from with one of these nodes, " if found.candidates and option == "--prompt" else ""
        ways += f"or a text file {picture.path.with_suffix('.txt').name} beside it"
        if needed:
            ends = "" if why else "; the picture's metadata (see docs/metadata.md) hold none"
            raise InputError(f"{picture.path}: no prompt{f' for certain: {why}' if why else ''}. {ways}{ends}.")
        if why:
            logger.warning("%s: no prompt for certain: %s. %s.", picture.path, why, ways)
    return found.positive


def progress(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Yield the items under a progress bar on standard error, which stays silent in a pipe."""
    from tqdm import tqdm

    yield from tqdm(items, desc=what, unit="picture", disable=None if len(items) > 1 else True, file=sys.stderr)


def for_each_picture(
    paths: list[str],
    what: str,
    work: Callable[[Picture], dict[str, Any]],
    in_words: Callable[[dict[str, Any]], str],
    as_json: bool,
) -> int:
    """Run ``work`` on every picture and print what it gives; one that fails is reported and does not stop the others.

    ``in_words`` says a result for people, at once. As JSON all of them are printed at the end, and when the run is
    cancelled those that are finished; a failed picture has ``{"image": path, "error": message}``.

    Returns:
        The exit code: 0; 1 if all failed, 3 if some did.
    """
    files = find_pictures(paths)
    results: list[dict[str, Any]] = []
    failed = 0
    try:
        for path in progress(files, what):
            try:
                results.append({"image": str(path), **work(load_picture(path))})
            except Cancelled:
                raise
            except Exception as error:
                failed += 1
                reason = reason_of(error)
                results.append({"image": str(path), "error": reason})
                say(reason if str(path) in reason else f"{path}: {reason}", sys.stderr)
            else:
                if not as_json:
                    say(in_words(results[-1]))
    finally:
        if as_json:
            print_json(results)
    return 0 if not failed else 1 if failed == len(files) else 3


def say(text: str, stream: Any = None) -> None:
    """Print beside a progress bar, at once."""
    from tqdm import tqdm

    stream = stream or sys.stdout
    tqdm.write(text, file=stream)
    stream.flush()


def json_text(value: object, indent: int = 2) -> str:
    """``value`` as JSON in valid UTF-8; what is no number (NaN) is null."""
    return printable(json.dumps(finite(value), indent=indent, ensure_ascii=False))


def print_json(value: object) -> None:
    """Write ``value`` to standard output for programs."""
    sys.stdout.write(json_text(value) + "\n")
    sys.stdout.flush()


def add_overwrite_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Whether files that are there already may be replaced."""
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there already")


def output_folder(path: str | Path) -> Path:
    """Make the folder that results go to, before hours of work find out that it cannot be written to.

    Raises:
        InputError: it cannot.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output {path}: {folder} cannot be made a folder ({error.strerror}).") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"--output {path}: nothing can be written to {folder}.")
    return folder


def output_stems(pictures: Sequence[Path], endings: Callable[[Path], Sequence[str]]) -> dict[Path, str]:
    """Name the results: the pictures' own names, with numbers where a file of one would be that of another.

    Names are told apart as by file systems that take upper and lower case, and both ways of writing an accent, for one.

    Args:
        pictures: the files.
        endings: of a picture, what is added to its name: its results, and what they may be instead.
    """
    stems: dict[Path, str] = {}
    taken: set[str] = set()
    for picture in dict.fromkeys(pictures):
        ends = endings(picture)
        own = _clipped(picture.stem, max(len(os.fsencode(end)) for end in ends))
        stem, number = own, 1
        while taken & (names := {_folded(stem + end) for end in ends}):
            number += 1
            stem = f"{own}-{number}"
        taken |= names
        stems[picture] = stem
    return stems


def check_outputs(targets: Iterable[Path], overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """See that nothing of the user's is in the way, before any work.

    Args:
        targets: files that may be written.
        overwrite: whether they may replace others.
        inputs: files that are read: they are never replaced.

    Raises:
        InputError: names the file and the ways out.
    """
    there = [target for target in targets if os.path.lexists(target)]
    read = {(found.st_dev, found.st_ino): path for path in inputs if path.exists() for found in [path.stat()]}
    for target in there:
        found = target.stat() if target.exists() else target.lstat()
        if (found.st_dev, found.st_ino) in read:
            raise InputError(f"--output: would overwrite {target}, which is read; choose another place.")
        if target.is_dir():
            raise InputError(f"--output: {target} is a folder; choose another place.")
    if there and not overwrite:
        more = f" (and {len(there) - 1} more of the names that are needed)" if len(there) > 1 else ""
        raise InputError(
            f"{there[0]}: is there already{more}. Choose another place (--output), or replace files with --overwrite."
        )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _clipped(stem: str, behind: int) -> str:
    """As much of a name as file systems take, with ``behind`` bytes and a number after it."""
    while len(os.fsencode(stem)) + behind + 8 > 255:
        stem = stem[:-1]
    return stem
