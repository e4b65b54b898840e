"""Which of several processes this is, where `accelerate launch` or `torchrun` has started more than one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from grefine_core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

_PATIENCE = timedelta(hours=24)
"""How long processes wait for each other: encoding a large data set takes its time."""


@dataclass(frozen=True)
class Launch:
    """One process of several, or the only one."""

    rank: int = 0
    world: int = 1
    device: str | None = None
    """The device that is this process's own; None for the only process."""
    barrier: Callable[[], None] | None = None

    @property
    def main(self) -> bool:
        """Whether this process does what only one may do."""
        return self.rank == 0

    def mine(self, number: int) -> bool:
        """Whether piece ``number`` of the work is this process's own."""
        return number % self.world == self.rank

    def sum_(self, tensor: Tensor) -> Tensor:
        """Add up what all processes hold, in place; all of them have to call it alike."""
        if self.world > 1:
            import torch.distributed

            torch.distributed.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.barrier is not None:
            self.barrier()


def current_launch(cpu: bool = False) -> Launch:
    """What the launcher says in the environment; without one, the only process.

    Args:
        cpu: the processes are to leave the GPUs alone.

    Raises:
        InputError: started as one of several, but accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1") or 1) <= 1:
        return Launch()
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise InputError(
            "Several processes need accelerate: pip install 'g-refine[train]', or start a single process."
        ) from error
    import torch

    state = PartialState(cpu=cpu or not torch.cuda.is_available(), timeout=_PATIENCE)
    logger.info("Process %d of %d on %s.", state.process_index + 1, state.num_processes, state.device)
    return Launch(state.process_index, state.num_processes, str(state.device), state.wait_for_everyone)
