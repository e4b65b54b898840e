"""A restorer that encodes the prompt itself: a MODEL, its CLIP and its VAE in one."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..grefine_core.refine.protocols import Progress
from . import latents
from .denoise import HostModels, SamplerSettings
from .sampling import HostRestorer


class PromptedRestorer:
    """`grefine_core.refine.protocols.Restorer` on the host's samplers, for any prompt.

    `HostRestorer` is made for one conditioning; this one encodes the prompt that it is called with, weights and all,
    and the empty text as its negative.

    min_side: smaller pictures are enlarged to this shorter side. tile_size: larger ones are restored in tiles.
    """

    def __init__(
        self, model: Any, clip: Any, vae: Any, settings: SamplerSettings, *, min_side: int, tile_size: int
    ) -> None:
        self.model, self.clip, self.vae, self.settings = model, clip, vae, settings
        self.size_multiple = latents.size_multiple(vae)
        self.min_side, self.tile_size = min_side, tile_size
        self.shared: Any = None  # what has to live as long as this does

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
        """Restore a whole picture; see the protocol."""
        models = HostModels(self.model, self._encoded(prompt), self._encoded(""), self.vae)
        return HostRestorer(models, self.settings, tile_size=self.tile_size).restore(
            image, prompt=prompt, strength=strength, steps=steps, seed=seed, index=index, progress=progress
        )

    def _encoded(self, text: str) -> Any:
        """The host's CONDITIONING of a text, as its own text encode node gives it."""
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))
