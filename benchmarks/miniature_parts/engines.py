"""Engines that share work: the same request is answered once, and requests of several pictures go through the networks
together. What is done to a picture is the project's own code throughout."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from grefine_research.evaluation.cache import EngineCache

T = TypeVar("T")


class Meeting(torch.nn.Module):
    """Stands in for a network: waits until every thread at work has called it, and answers all calls in one batch.

    Calls whose inputs differ in shape are answered apart. A thread is at work between ``enter`` and ``leave``.
    """

    def __init__(self, network: Any, size: int) -> None:
        super().__init__()
        self.network = network
        self._size = size
        self._lock = threading.Condition()
        self._at_work = 0
        self._waiting: list[_Call] = []
        self.calls = self.batches = 0

    @property
    def config(self) -> Any:
        """The network's own."""
        return self.network.config

    @property
    def dtype(self) -> torch.dtype:
        """The network's own."""
        return next(self.network.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """The network's own."""
        return next(self.network.parameters()).device

    def enter(self, threads: int) -> None:
        """So many threads more are at work."""
        with self._lock:
            self._at_work += threads

    def leave(self) -> None:
        """One thread less is at work."""
        with self._lock:
            self._at_work -= 1
            self._answer_if_all_wait()

    def forward(self, sample: Tensor, timestep: Tensor, *, encoder_hidden_states: Tensor, **_: Any) -> tuple[Tensor]:
        """As ``UNet2DConditionModel.forward`` with ``return_dict=False``."""
        call = _Call(sample, timestep.reshape(-1)[:1].expand(len(sample)), encoder_hidden_states)
        with self._lock:
            self._waiting.append(call)
            self._answer_if_all_wait()
            while call.answer is None and call.error is None:
                self._lock.wait()
        if call.error is not None:
            raise call.error
        assert call.answer is not None
        return (call.answer,)

    def _answer_if_all_wait(self) -> None:
        if not self._waiting or len(self._waiting) < self._at_work:
            return
        calls, self._waiting = self._waiting, []
        try:
            for shape in dict.fromkeys(call.shape for call in calls):
                alike = [call for call in calls if call.shape == shape]
                for start in range(0, len(alike), self._size):
                    self._answer(alike[start : start + self._size])
        except Exception as error:  # every waiting thread has to hear of it
            for call in calls:
                call.error = error
        self._lock.notify_all()

    @torch.no_grad()
    def _answer(self, calls: Sequence[_Call]) -> None:
        self.calls += len(calls)
        self.batches += 1
        answers = self.network(
            torch.cat([call.sample for call in calls]).contiguous(memory_format=torch.channels_last),
            torch.cat([call.timestep for call in calls]),
            encoder_hidden_states=torch.cat([call.states for call in calls]),
            return_dict=False,
        )[0]
        for call, answer in zip(calls, answers.split([len(call.sample) for call in calls]), strict=True):
            call.answer = answer.contiguous()


class _Call:
    """One thread's request to the network."""

    def __init__(self, sample: Tensor, timestep: Tensor, states: Tensor) -> None:
        self.sample, self.timestep, self.states = sample, timestep, states
        self.shape = (tuple(sample.shape[1:]), tuple(states.shape[1:]))
        self.answer: Tensor | None = None
        self.error: Exception | None = None


class SideBySide:
    """Runs work for several pictures in threads whose calls of the diffusion network meet."""

    def __init__(self, inpainter: Any, together: int) -> None:
        self.inpainter = inpainter
        self._together = max(1, together)
        pipe = inpainter.sampler.pipe
        self.meeting = Meeting(pipe.unet.to(memory_format=torch.channels_last), 2 * self._together)
        pipe.unet = self.meeting

    def map(self, work: Callable[[Any, T], None], items: Sequence[T]) -> None:
        """``work(cache, item)`` for all items; the first error is raised."""
        if not items:
            return
        self.meeting.enter(min(self._together, len(items)))
        waiting = list(reversed(items))
        lock = threading.Lock()

        def worker() -> None:
            torch.set_num_threads(torch.get_num_threads())
            try:
                while True:
                    with lock:
                        if not waiting:
                            return
                        item = waiting.pop()
                    work(EngineCache(self.inpainter), item)
            finally:
                self.meeting.leave()

        with ThreadPoolExecutor(min(self._together, len(items))) as pool:
            for future in [pool.submit(worker) for _ in range(min(self._together, len(items)))]:
                future.result()
