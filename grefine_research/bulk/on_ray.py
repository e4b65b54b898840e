"""The same work by many processes, on one machine or many: Ray Data, whose actors load the models once each.

Only the list of pictures goes through Ray. Workers read pictures and write parts themselves, so folders and weights
have to lie where all machines see them, under the same paths.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Sequence
from typing import Any

from grefine_core.errors import GRefineError, InputError

from .parts import Parts
from .run import MakeWork, Part, do_part
from .tasks import from_json, to_json

logger = logging.getLogger(__name__)

MEMORY = 128 * 2**20
"""Bytes of Ray's object store where Ray is started here: lists of pictures are all that it holds."""
BLOCKS = 1000
"""Blocks that the list is cut into at most."""


class OnRay:
    """Ray's workers.

    Args:
        workers: how many; None = one for each GPU of the cluster, without any one for each two CPUs.
        address: of a cluster; None = $RAY_ADDRESS, else Ray is started on this machine and ended afterwards.
        gpus: of each worker, a share or a number; None = 1 if the cluster has any.
        cpus: of each worker, which is also the number of its threads.

    Raises:
        InputError: Ray is not installed.
    """

    def __init__(
        self, workers: int | None = None, address: str | None = None, gpus: float | None = None, cpus: int = 1
    ) -> None:
        # Nothing is sent to anybody unless the user wants it; and bars of ours are enough.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise InputError(f"--engine ray: Ray is not installed ({error}): pip install 'g-refine[ray]'.") from error
        self._ray, self._gpus, self._cpus = ray, gpus, cpus
        self._ours = not ray.is_initialized()
        if self._ours:
            self._start(workers, address)
        there = ray.cluster_resources()
        if self._gpus is None:
            self._gpus = 1.0 if there.get("GPU", 0) else 0.0
        by_gpus = int(there.get("GPU", 0) / self._gpus) if self._gpus else 0
        self.workers = workers or by_gpus or max(1, int(there.get("CPU", 1)) // max(2, cpus))

    def __enter__(self) -> OnRay:
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started here."""
        if self._ours:
            self._ray.shutdown()

    def _start(self, workers: int | None, address: str | None) -> None:
        options: dict[str, Any] = {"logging_level": logging.WARNING}
        if address or os.environ.get("RAY_ADDRESS"):
            self._ray.init(address=address or "auto", **options)
            return
        # One more than the workers: Ray's counting of CPUs is not to keep asked-for workers waiting for ever.
        cpus = max(os.cpu_count() or 1, (workers or 1) * self._cpus + 1)
        self._ray.init(address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=MEMORY, **options)

    def run(self, parts: Sequence[Part], make_work: MakeWork, results: Parts) -> Generator[int, None, None]:
        """As ``Engine``: part by part.

        Raises:
            GRefineError: a worker failed otherwise than at a picture.
        """
        ray = self._ray
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        items = [{"tasks": to_json(part)} for part in parts]
        try:
            done = ray.data.from_items(items, override_num_blocks=min(len(items), BLOCKS)).map_batches(
                Worker,
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=min(self.workers, len(items))),
                num_cpus=self._cpus,
                num_gpus=self._gpus or None,
                fn_constructor_args=(make_work, results),
            )
            for batch in done.iter_batches(batch_size=1, prefetch_batches=0):
                yield int(batch["pictures"].sum())
        except ray.exceptions.RayError as error:
            raise GRefineError(f"Ray: {str(error).strip()[-600:]}") from error


class Worker:
    """One of Ray's actors."""

    def __init__(self, make_work: MakeWork, results: Parts) -> None:
        self._work, self._results = make_work(), results

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do parts, given as JSON; returns how many pictures each had."""
        return {"pictures": [sum(do_part(from_json(str(text)), self._work, self._results)) for text in batch["tasks"]]}
