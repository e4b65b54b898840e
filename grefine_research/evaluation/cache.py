"""An engine that answers the same request once: methods that are compared share what they have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from torch import Tensor


class Restoring:
    """The restorer's side of a ``EngineCache``."""

    def __init__(self, cache: EngineCache, restorer: Any) -> None:
        self.size_multiple, self.min_side, self.restore = restorer.size_multiple, restorer.min_side, cache.restore


class EngineCache:
    """Inpainter and restorer of one picture; remembers its answers.

    Args:
        engine: the inpainter.
        restorer: None for the inpainter's own (``engine.restorer()``).
    """

    def __init__(self, engine: Any, restorer: Any = None) -> None:
        self._engine, self._restorer = engine, engine.restorer() if restorer is None else restorer
        self.size_multiple, self.min_side, self.native_side = engine.size_multiple, engine.min_side, engine.native_side
        self._answers: dict[bytes, Tensor] = {}
        self.asked = self.answered = 0

    def inpaint(self, image: Tensor, mask: Tensor, **request: Any) -> Tensor:
        """As ``Inpainter.inpaint``."""
        return self._once(self._engine.inpaint, (image, mask), request)

    def restore(self, image: Tensor, **request: Any) -> Tensor:
        """As ``Restorer.restore``."""
        return self._once(self._restorer.restore, (image,), request)

    @property
    def restoring(self) -> Restoring:
        """The restorer alone, with the sizes that it asks for."""
        return Restoring(self, self._restorer)

    def _once(self, work: Callable[..., Tensor], pictures: tuple[Tensor, ...], request: dict[str, Any]) -> Tensor:
        request = {name: value for name, value in request.items() if name not in ("progress", "index")}
        digest = hashlib.blake2b(digest_size=16)
        for picture in pictures:
            digest.update(picture.contiguous().numpy().data)
        digest.update(f"{work.__name__} {sorted(request.items())}".encode())
        key = digest.digest()
        self.asked += 1
        if key not in self._answers:
            self.answered += 1
            self._answers[key] = work(*pictures, progress=None, **request)
        return self._answers[key].clone()
