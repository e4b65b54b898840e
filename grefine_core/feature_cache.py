"""A small bounded store of features, least recently used first out."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable

import torch
from torch import Tensor, nn

from .errors import InputError


class FeatureCache:
    """At most ``capacity`` tensors by key, and at most ``bytes_limit`` bytes; 0 keeps nothing. Safe to use from several
    threads."""

    def __init__(self, capacity: int, bytes_limit: int = 256 << 20) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 0:
            raise InputError(f"cache_size: expected a whole number from 0 on, got {capacity!r}.")
        self.capacity = capacity
        self.bytes_limit = bytes_limit
        self._bytes = 0
        self._entries: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Tensor | None:
        """The tensor kept under ``key``, now the most recently used; None if there is none."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key]

    def put(self, key: Hashable, value: Tensor) -> None:
        """Keep ``value``; the least recently used entries beyond the limits go."""
        with self._lock:
            self._drop(key)
            self._entries[key] = value
            self._bytes += value.nbytes
            while self._entries and (len(self._entries) > self.capacity or self._bytes > self.bytes_limit):
                self._drop(next(iter(self._entries)))

    def drop(self, key: Hashable) -> None:
        """Forget one entry, if it is there."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        value = self._entries.pop(key, None)
        self._bytes -= 0 if value is None else value.nbytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0


def picture_key(pixels: Tensor) -> bytes:
    """Content hash of one preprocessed picture (3, h, w) uint8.

    What the encoder reads is hashed, not the picture it was made from: that is exact (the same bytes give the same
    features), and takes the same fraction of a millisecond for a picture of any size.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(tuple(pixels.shape)).encode())
    digest.update(pixels.contiguous().numpy().data)
    return digest.digest()


def weights_state(module: nn.Module) -> Hashable:
    """Changes whenever weights are written in place (training, ``load_state_dict``) or get another type: features of
    the weights as they were are then not used any more. Moving them to another device changes nothing.

    Inference tensors keep no count of writes; models should be loaded outside of inference mode.
    """
    total = 0
    dtype: torch.dtype | None = None
    for parameter in module.parameters():
        dtype = dtype or parameter.dtype
        total += 0 if parameter.is_inference() else parameter._version
    return dtype, total
