"""What the two stages expect of whoever denoises, and nothing more.

The stages do the cropping, resizing, blending, colour keeping and checking. An engine only answers "repaint this crop"
or "restore this picture". Implementations: the diffusers engines of this package, and the ComfyUI nodes' own, built
on the host's samplers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from torch import Tensor

#: ``progress(done, total, preview)``: denoiser calls done and planned, and optionally a preview picture
#: ``(1, h, w, 3)`` in [0, 1]. Whatever it raises (``Cancelled``, a host's interrupt) stops the work and propagates.
Progress = Callable[[int, int, "Tensor | None"], None]


@runtime_checkable
class Inpainter(Protocol):
    """Repaints the masked part of one crop.

    Attributes:
        size_multiple: both sides of every crop are multiples of this many pixels.
        min_side: the shorter side of a crop should have at least this many pixels (512 for SD- and SDXL-type models,
            1 where any size works). The picture is enlarged only if it is itself smaller.
        native_side: side in pixels of the square the model was trained on (1024 for SDXL).
    """

    @property
    def size_multiple(self) -> int: ...  # noqa: D102 - see above; read-only, so that engines may compute them

    @property
    def min_side(self) -> int: ...  # noqa: D102

    @property
    def native_side(self) -> int: ...  # noqa: D102

    def inpaint(
        self,
        image: Tensor,
        mask: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return the crop with its masked part repainted.

        Args:
            image: ``(1, h, w, 3)`` in [0, 1]; h and w are multiples of ``size_multiple``.
            mask: ``(1, h, w)`` in [0, 1], 1 = repaint. May be soft.
            prompt: what the picture should show, with weights as ComfyUI writes them. Engines that hold their own
                conditioning ignore it.
            strength: (0, 1]; the noise level at which denoising starts, 1 = from pure noise.
            steps: exactly so many denoiser calls are made, whatever the strength.
            seed: of the noise; same seed, same inputs, same device: same bytes.
            index: the picture's place in the batch, for engines that hold one conditioning per picture.
            progress: called after every denoiser call.

        Returns:
            ``(1, h, w, 3)`` in [0, 1]. The caller pastes it; nothing outside the mask has to be kept.
        """
        ...


@runtime_checkable
class Restorer(Protocol):
    """Mildly redraws a whole picture.

    Attributes:
        size_multiple: both sides of every picture are multiples of this many pixels (the stage pads).
        min_side: smaller pictures are enlarged to this shorter side first.
    """

    @property
    def size_multiple(self) -> int: ...  # noqa: D102

    @property
    def min_side(self) -> int: ...  # noqa: D102

    def restore(
        self,
        image: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return the restored picture ``(1, h, w, 3)``; same size and same arguments as in ``Inpainter.inpaint``."""
        ...


Engine = TypeVar("Engine", Inpainter, Restorer)


def resolve_engine(engine: Engine | Callable[[], Engine], method: str) -> Engine:
    """Return the engine itself, calling ``engine`` if it is a zero-argument loader.

    Loaders let a caller hand over an engine that is read from disk only if a stage really has something to do.
    ``method`` ("inpaint" or "restore") tells an engine from a loader.

    Raises:
        TypeError: neither an engine nor a loader of one.
    """
    candidate: Any = engine
    if not hasattr(candidate, method) and callable(candidate):
        candidate = candidate()
    if not hasattr(candidate, method):
        raise TypeError(f"{type(candidate).__name__} has no method {method!r}: it is no engine for this stage.")
    return cast(Engine, candidate)
