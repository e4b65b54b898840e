"""A small bounded store of features, least recently used first out."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable

import torch
from torch import Tensor, nn

from .errors import InputError, ModelFileError
from .models.state_dicts import is_finite

#: Values of a tensor that are looked at.
_SAMPLES = 16


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


def finite(features: Tensor, what: str) -> Tensor:
    """Return features if they are numbers: scores of others would compare as if nothing were wrong.

    Raises:
        ModelFileError: they are not.
    """
    if not is_finite(features):
        raise ModelFileError(
            f"The model's features of {what} are not finite numbers: its weights are damaged, or overflow in their "
            "type. Load it in float32, or take another copy of the file."
        )
    return features


def weights_state(module: nn.Module, without: nn.Module | None = None) -> Hashable:
    """Changes whenever weights do: written in place (training, ``load_state_dict``), behind autograd's back
    (``p.data.add_``, as those do who merge LoRAs), exchanged for others (``assign=True``, the host's patcher), or given
    another type. Moving them to another device changes nothing.

    Writes are counted, and a few values of every parameter and buffer are read: a whole hash would take as long as
    encoding a picture. Not seen is only a write behind autograd's back to a few values of a tensor, such as one row;
    who does that calls ``clear_cache``. The part ``without`` is left out.
    """
    left_out = frozenset(() if without is None else without.modules())
    writes = 0
    samples: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    with torch.no_grad():
        for part in module.modules():
            if part in left_out:
                continue
            for tensor in (*part._parameters.values(), *part._buffers.values()):
                if tensor is None or tensor.is_meta:
                    continue
                # Inference tensors keep no count of writes.
                writes += 0 if tensor.is_inference() else tensor._version
                samples.setdefault((tensor.device, tensor.dtype), []).append(_sample(tensor))
        digest = hashlib.blake2b(digest_size=16)
        for same in samples.values():
            digest.update(torch.cat(same).cpu().view(torch.uint8).numpy().data)
    return writes, tuple(str(dtype) for _, dtype in samples), digest.digest()


def _sample(tensor: Tensor) -> Tensor:
    """A few values, spread over the whole of a tensor; not all of one row or column."""
    if not tensor.is_contiguous():
        tensor = tensor.contiguous()
    count = tensor.numel()
    if count <= _SAMPLES:
        return tensor.view(-1)
    # Odd: the sides of matrices are even.
    return tensor.as_strided((_SAMPLES,), (((count - 1) // _SAMPLES - 1) | 1,))
