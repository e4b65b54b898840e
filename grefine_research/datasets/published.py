"""Databases of ratings on generated pictures, in the layouts that they are published in.

Of AGIQA-3K the table itself was at hand. The layouts of the others are from their authors' pages and from programs that
read them; ``docs/training.md`` says which is which.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grefine_core.errors import InputError
from grefine_core.tables import read_table

from .collecting import Collector, Columns
from .records import Scale

FIVE = Scale(0.0, 5.0)
"""The scale that all three databases were rated on."""
SCALES = {"perception": FIVE, "alignment": FIVE, "mos": FIVE}

#: Where pictures lie, relative to the data set's folder.
_IMAGES = ("", "images", "image", "file", "Images")


def agiqa_3k(into: Collector, table: Path | None, images: Path | None) -> None:
    """AGIQA-3K: ``data.csv``, pictures beside it or in ``images``; perception and alignment, six generators."""
    file = table or _first(into.root, ("data.csv",), "the table of AGIQA-3K")
    rows = read_table(file)
    columns = Columns("name", "prompt", {"perception": "mos_quality", "alignment": "mos_align"}).check(rows, file)
    for number, row in enumerate(rows, 1):
        # AttnGAN_normal_000.jpg: the generator, how it was set, a number.
        into.row(number, row, file, _folders(into.root, images), columns, row.get("name", "").split("_")[0] or None)


def aigiqa_20k(into: Collector, table: Path | None, images: Path | None) -> None:
    """AIGIQA-20K in the split of the NTIRE 2024 challenge: ``info_train``, ``info_val``, ``info_test`` (CSV or Excel)
    with name, prompt and one rating, pictures in ``train``, ``val``, ``test``. Splits that are not there are left out,
    and so are ratings that were not published for validation and test."""
    parts = []
    for folder, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        files = [into.root / f"info_{folder}{suffix}" for suffix in (".csv", ".xlsx")]
        found = next((file for file in files if file.is_file()), None)
        if found is not None:
            parts.append((folder, split, found))
    if table is not None:
        # A table of one's own: its name says of which split it is.
        named = [
            part for part in (("train", "train"), ("val", "validation"), ("test", "test")) if part[0] in table.stem
        ]
        parts = [(*(named[0] if named else ("train", "train")), table)]
    if not parts:
        raise InputError(f"{into.root}: none of info_train.csv, info_val.csv, info_test.csv (or .xlsx) of AIGIQA-20K.")
    for folder, split, file in parts:
        rows = read_table(file)
        columns = Columns("name", "prompt", {"mos": "mos"}).only(rows).check(rows, file)
        places = (images, images / folder) if images else (into.root / folder, into.root / "all", into.root)
        for number, row in enumerate(rows, 1):
            # DALLE2_0000.png: the generator and a number.
            generator = row.get("name", "").rsplit("_", 1)[0] or None
            into.row(number, row, file, places, columns, generator, split)


def agiqa_1k(into: Collector, table: Path | None, images: Path | None) -> None:
    """AGIQA-1K: ``AIGC_MOS_Zscore.xlsx`` (or the same as CSV) with Image, Prompt, MOS; pictures in ``file``; two
    generators."""
    names = ("AIGC_MOS_Zscore.xlsx", "AIGC_MOS_Zscore.csv", "AIGC_all.csv")
    file = table or _first(into.root, names, "the table of AGIQA-1K")
    rows = read_table(file)
    score = "MOS" if "MOS" in rows[0] else "Score"
    columns = Columns("Image", "Prompt", {"mos": score}).only(rows).check(rows, file)
    for number, row in enumerate(rows, 1):
        # deepai_0_3_0_1.jpg: the generator, and numbers of what the prompt is made of.
        into.row(number, row, file, _folders(into.root, images), columns, row.get("Image", "").split("_")[0] or None)


READERS: dict[str, tuple[str, Callable[[Collector, Path | None, Path | None], None]]] = {
    "agiqa-3k": ("AGIQA-3K", agiqa_3k),
    "aigiqa-20k": ("AIGIQA-20K", aigiqa_20k),
    "agiqa-1k": ("AGIQA-1K", agiqa_1k),
}


def _folders(root: Path, images: Path | None) -> tuple[Path, ...]:
    return (images,) if images else tuple(root / name for name in _IMAGES)


def _first(root: Path, names: tuple[str, ...], what: str) -> Path:
    for name in names:
        if (root / name).is_file():
            return root / name
    raise InputError(f"{root}: {what} is not there (looked for {', '.join(names)}); give its path.")
