"""A run: what is missing is done in parts, here or by Ray's workers, and every part is written when it is whole."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from .parts import Parts, in_parts, part_name
from .tasks import Task
from .work import Work, row_of

logger = logging.getLogger(__name__)

PART_SIZE = 500
"""Rows of one Parquet file at most."""
PARTS_EACH = 4
"""Parts for each worker at least, where there are pictures enough: the last one to finish is not waited for long."""

MakeWork = Callable[[], Work]
Part = Sequence[Task]


class Engine(Protocol):
    """Who does the parts."""

    workers: int

    def run(self, parts: Sequence[Part], make_work: MakeWork, results: Parts) -> Generator[int, None, None]:
        """Do every part with ``do_part``; gives the numbers of pictures as they are finished."""
        ...


class Local:
    """One worker: this process."""

    workers = 1

    def run(self, parts: Sequence[Part], make_work: MakeWork, results: Parts) -> Generator[int, None, None]:
        """As ``Engine``: one picture at a time."""
        work = make_work()
        try:
            for part in parts:
                yield from do_part(part, work, results)
        finally:
            results.recover()  # a part that was not finished
            results.end()


@dataclass(frozen=True)
class Summary:
    """What there is of the pictures asked for."""

    pictures: int
    failed: int
    """Rows with an error."""
    done_before: int
    """Rows that earlier runs have left."""


def run_bulk(
    tasks: Sequence[Task],
    make_work: MakeWork,
    results: Parts,
    engine: Engine,
    *,
    part_size: int = PART_SIZE,
    retry_errors: bool = False,
) -> Summary:
    """Do what is missing; ``results`` has begun already.

    Args:
        tasks: all pictures of the data set.
        make_work: loads the models, once for each worker; not called if nothing is missing.
        results: where rows go.
        engine: who works.
        part_size: rows of one file at most.
        retry_errors: try pictures again that failed in an earlier run.
    """
    from tqdm import tqdm

    if retry_errors:
        results.forget_errors()
    before = results.finished()
    missing = [task for task in tasks if task.key not in before]
    size = max(1, min(part_size, -(-len(missing) // (PARTS_EACH * engine.workers))))
    bar = tqdm(
        total=len(tasks), initial=len(tasks) - len(missing), desc=results.what, unit="picture", disable=None,
        file=sys.stderr,
    )  # fmt: skip
    with bar:
        if missing:
            # Closed at once, whatever ends it: what is finished is kept before anybody else works here.
            with closing(engine.run(list(in_parts(missing, size)), make_work, results)) as counts:
                for count in counts:
                    bar.update(count)
    results.end()
    after = results.finished()
    failed = sum(not after.get(task.key, False) for task in tasks)
    return Summary(len(tasks), failed, len(tasks) - len(missing))


def do_part(part: Part, work: Work, results: Parts) -> Iterable[int]:
    """Do one part; gives 1 for each finished picture.

    A worker that takes a part over from one that died goes on where that one was.
    """
    name = part_name([task.key for task in part])
    journal = results.journal(name)
    for task in part:
        if journal.get(task.key) is None:
            journal.add(task.key, row_of(task, work))
        yield 1
    results.write(name, journal.records([task.key for task in part]))
