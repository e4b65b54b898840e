"""The learned prompt embeddings of PQ-Map: reading the authors' files and ours (method, section 2).

A factor is a pair of token sequences, index 0 good, index 1 bad: (2, 77, W) float32, W the width of the text encoder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..errors import InputError, ModelFileError
from ..files import parse_json
from ..models.files import existing_file, read_metadata, read_pickle, read_tensors, to_floats, write_tensors
from ..models.registry import SHIPPED_EMBEDDINGS

FACTORS = ("overall", "technical", "rational", "natural")
CONTEXT_LENGTH = 77
END_POSITION = 20
"""Where the end-of-text token stands in every sequence: 1 prefix + 16 context + 3 name and full stop."""
PUBLISHED_WIDTH = 512
"""Of the published embeddings."""

FEATURES = ".features"
"""Ends the names of text features (2, C) in a file: those of a text encoder that was trained with the embeddings."""

_PREFIX, _CONTEXT, _SUFFIX = (f"prompt_learner.{name}" for name in ("token_prefix", "ctx", "token_suffix"))
_LENGTHS = {_PREFIX: 1, _CONTEXT: 16, _SUFFIX: 60}


def load_embeddings(path: str | Path, factor: str | None = None) -> Tensor:
    """Read the embeddings of one factor: the authors' ``.pth`` or our ``.safetensors``.

    Args:
        path: the file.
        factor: which one to take of a safetensors file with several; without it "overall", or the only one.

    Returns:
        (2, 77, W) float32: good and bad, as the sequence the text encoder reads: prefix, ctx[:8], suffix[:3], ctx[8:],
        suffix[3:] (method, section 2).

    Raises:
        InputError: ``path`` is no path, or the file has no such factor.
        ModelFileError: no such file, damaged, or of another layout; names the file and what is wrong with it.
    """
    file = existing_file(path, "embeddings")
    if file.suffix.lower() != ".safetensors":
        return _from_authors(file)
    found = _from_safetensors(file)
    if factor is None:
        factor = "overall" if "overall" in found else next(iter(found))
    if factor not in found:
        raise InputError(f"factor: {file} has no factor {factor!r}; it has {', '.join(sorted(found))}.")
    return found[factor]


def load_embedding_set(path: str | Path | Mapping[str, str | Path] | None = None) -> dict[str, Tensor]:
    """Read the embeddings of all four factors.

    Args:
        path: None for the published embeddings that come with the package; one of our safetensors files; a folder with
            a file for each factor (``PQ-overall.pth``, ``overall.pth`` or ``overall.safetensors``, and so on); or a
            dictionary from factor to file.

    Returns:
        factor -> (2, 77, W) float32, in the order of ``FACTORS``.

    Raises:
        InputError, ModelFileError: as :func:`load_embeddings`; also for a factor that is missing.
    """
    if path is None:
        path = SHIPPED_EMBEDDINGS
    if isinstance(path, Mapping):
        return check_embedding_set({name: load_embeddings(file, _only(file, name)) for name, file in path.items()})
    if isinstance(path, str | Path) and Path(path).expanduser().is_dir():
        folder = Path(path).expanduser()
        return check_embedding_set({name: load_embeddings(_file_of(folder, name)) for name in FACTORS})
    file = existing_file(path, "embeddings")
    if file.suffix.lower() != ".safetensors":
        raise ModelFileError(
            f"{file}: holds the embeddings of one factor only. Give the folder with all four files "
            f"({', '.join(f'PQ-{name}.pth' for name in FACTORS)}), or one safetensors file with the four factors."
        )
    return check_embedding_set(_from_safetensors(file), str(file))


def check_embedding_set(embeddings: Mapping[str, object], source: str = "embeddings") -> dict[str, Tensor]:
    """Return the four factors as float32, in order, after checking their names and shapes.

    Raises:
        InputError: a factor is missing, or a tensor is not (2, 77, W) with one W for all.
    """
    missing = [name for name in FACTORS if name not in embeddings]
    if missing:
        raise InputError(f"{source}: no embeddings for {', '.join(missing)}; {', '.join(FACTORS)} are needed.")
    checked: dict[str, Tensor] = {}
    for name in FACTORS:
        tensor = embeddings[name]
        if not isinstance(tensor, Tensor) or tensor.ndim != 3 or tuple(tensor.shape[:2]) != (2, CONTEXT_LENGTH):
            shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise InputError(f"{source}: factor {name!r} has to be (2, {CONTEXT_LENGTH}, width), got {shape}.")
        if not tensor.dtype.is_floating_point:
            raise InputError(f"{source}: factor {name!r} has to be of floats, got {tensor.dtype}.")
        if not torch.isfinite(tensor).all():
            raise InputError(f"{source}: factor {name!r} contains NaN or infinite values.")
        checked[name] = tensor.detach().to(torch.float32)
    widths = {name: tensor.shape[-1] for name, tensor in checked.items()}
    if len(set(widths.values())) > 1:
        raise InputError(f"{source}: the factors have different widths, {widths}; they have to be of one text encoder.")
    return checked


def load_text_features(path: object) -> dict[str, Tensor] | None:
    """The text features (2, C) float32 of every factor that a file brings along, as projected: of embeddings whose own
    text encoder was trained with them and is not kept. None for everything else that ``load_embedding_set`` takes.

    Raises:
        ModelFileError: the file is damaged, or has them for some factors only.
    """
    if not isinstance(path, str | Path):
        return None
    file = Path(path).expanduser()
    if file.suffix.lower() != ".safetensors" or not file.is_file():
        return None
    tensors = read_tensors(file)
    found = {name.removesuffix(FEATURES): tensor for name, tensor in tensors.items() if name.endswith(FEATURES)}
    if not found:
        return None
    shapes = {tuple(tensor.shape) for tensor in found.values()}
    if set(found) != set(FACTORS) or len(shapes) > 1 or next(iter(shapes))[:-1] != (2,):
        raise ModelFileError(f"{file}: its text features are not (2, C) for each of {', '.join(FACTORS)}.")
    return {name: to_floats(file, name + FEATURES, found[name], torch.float32) for name in FACTORS}


def save_embedding_set(
    embeddings: Mapping[str, Tensor],
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    text_features: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the four factors into one safetensors file that :func:`load_embedding_set` reads back exactly.

    An older file is replaced as a whole. ``metadata`` may carry the factors' bounds, see ``cask.METADATA_KEY``;
    ``text_features`` are for :func:`load_text_features`.
    """
    notes = {"format": "grefine-pq-embeddings-1", **(metadata or {})}
    features = {f"{name}{FEATURES}": tensor for name, tensor in (text_features or {}).items()}
    write_tensors(Path(path), {**check_embedding_set(embeddings), **features}, notes)


def assemble(prefix: Tensor, context: Tensor, suffix: Tensor) -> Tensor:
    """Put a learned pair together: prefix, first 8 of the context, the name (3), last 8 of the context, the rest.

    Args:
        prefix: (2, 1, W), start of text.
        context: (2, 16, W), what was learned.
        suffix: (2, 60, W), the name, end of text and padding.

    Returns:
        (2, 77, W): index 0 is the good prompt, 1 the bad one.

    Source: the authors' released embeddings (Q-Future/Q-Refine), prompts learned as in CoOp with the class name in the
        middle.
    """
    return torch.cat([prefix, context[:, :8], suffix[:, :3], context[:, 8:], suffix[:, 3:]], dim=1)


def _from_authors(file: Path) -> Tensor:
    """The layout of the authors' files: ``params`` with prefix, context and suffix of the prompt learner."""
    content = read_pickle(file)
    params = content.get("params") if isinstance(content, Mapping) else None
    if not isinstance(params, Mapping):
        raise ModelFileError(f"{file}: has no dictionary 'params'; it is not one of the published PQ embeddings.")
    missing = [name for name in _LENGTHS if not isinstance(params.get(name), Tensor)]
    if missing:
        raise ModelFileError(
            f"{file}: params lacks {', '.join(missing)}; it has {', '.join(map(str, params)) or 'nothing'}."
        )
    width = params[_CONTEXT].shape[-1] if params[_CONTEXT].ndim else 0
    for name, length in _LENGTHS.items():
        if tuple(params[name].shape) != (2, length, width) or width == 0:
            raise ModelFileError(
                f"{file}: {name} is {tuple(params[name].shape)}, expected (2, {length}, {width or 'width'})."
            )
        if not params[name].dtype.is_floating_point or not torch.isfinite(params[name]).all():
            raise ModelFileError(f"{file}: {name} contains values that are not finite numbers; the file is damaged.")
    return assemble(*(params[name].to(torch.float32) for name in (_PREFIX, _CONTEXT, _SUFFIX)))


def _from_safetensors(file: Path) -> dict[str, Tensor]:
    tensors = {name: tensor for name, tensor in read_tensors(file).items() if not name.endswith(FEATURES)}
    if not tensors:
        raise ModelFileError(
            f"{file}: is empty; expected embeddings (2, {CONTEXT_LENGTH}, width) named by their factor."
        )
    for name, tensor in tensors.items():
        if (
            tensor.ndim != 3
            or tuple(tensor.shape[:2]) != (2, CONTEXT_LENGTH)
            or not tensor.dtype.is_floating_point
            or not torch.isfinite(tensor.float()).all()
        ):
            raise ModelFileError(
                f"{file}: {name} is {tuple(tensor.shape)}; expected finite embeddings (2, {CONTEXT_LENGTH}, width). "
                "This is not a file of PQ embeddings, or it is damaged."
            )
    return {name: tensor.to(torch.float32) for name, tensor in tensors.items()}


def _file_of(folder: Path, factor: str) -> Path:
    names = [f"{stem}{suffix}" for stem in (f"PQ-{factor}", factor) for suffix in (".safetensors", ".pth")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ModelFileError(f"{folder}: has no embeddings for {factor!r}; looked for {', '.join(names)}.")


def _only(file: str | Path, factor: str) -> str | None:
    """Which factor to ask a file for: the named one if it has it, else its only one."""
    path = existing_file(file, f"embeddings[{factor!r}]")
    if path.suffix.lower() != ".safetensors":
        return None
    return factor if factor in read_tensors(path) else None


# The cask effect of PQ-Map and its bounds β: what a model prefers where nothing is wrong (method, section 2).

BOUNDS = {"technical": 0.935, "rational": 0.892, "natural": 0.826}
"""β_f: mean preference on the AGIN database for the three defect factors, as published."""

QualityFormula = Literal["bounded", "paper", "released"]
"""How scores follow from what is measured, PQ-Map's and AQ-Map's: one verdict for all, the paper's way, or that of the
authors' published script (for AQ-Map, which they did not publish, the paper's)."""
FORMULAS: tuple[QualityFormula, ...] = ("bounded", "paper", "released")

METADATA_KEY = "perceptual_bounds"
"""Under which name a safetensors file of embeddings keeps its bounds."""


def _published() -> dict[str, float]:
    # The overall factor is not held against a bound in the paper: 1 leaves it as it is.
    return {"overall": 1.0, **BOUNDS}


@dataclass(frozen=True)
class PerceptualBounds:
    """β of every factor, each in (0, 1]; the default is the paper's."""

    score: Mapping[str, float] = field(default_factory=_published)
    """For PS, that is for the class token; the overall factor's is 1 in the paper."""
    patches: Mapping[str, float] = field(default_factory=_published)
    """For the map, that is for the patch tokens. The paper takes the same as for the score."""
    map: float | None = None
    """For the map's statistic (``PerceptualQuality.map_score``); None: it has no part in PS."""

    def __post_init__(self) -> None:
        for name, bounds in (("score", self.score), ("patches", self.patches)):
            if not isinstance(bounds, Mapping) or set(bounds) != set(FACTORS):
                raise InputError(f"bounds: {name} needs one number for each of {', '.join(FACTORS)}, got {bounds!r}.")
            for factor, value in bounds.items():
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= 1.0:
                    raise InputError(f"bounds: {name} of {factor} has to be above 0 and up to 1, got {value!r}.")
        whole = self.map
        if whole is not None and (
            isinstance(whole, bool) or not isinstance(whole, int | float) or not 0.0 < whole <= 1.0
        ):
            raise InputError(f"bounds: that of the map has to be above 0 and up to 1 or None, got {whole!r}.")

    def to_json(self) -> str:
        """As text, for the metadata of a file of embeddings."""
        content: dict[str, object] = {"score": dict(self.score), "patches": dict(self.patches)}
        if self.map is not None:
            content["map"] = self.map
        return json.dumps(content, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str | Path) -> PerceptualBounds:
        """Read what :meth:`to_json` wrote.

        Raises:
            ModelFileError: it is something else; names ``source``.
        """
        try:
            content = parse_json(text)
            return cls(content["score"], content["patches"], content.get("map"))
        except (InputError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"{source}: its bounds of the factors cannot be read ({error}); train or fetch the file again."
            ) from error


def load_perceptual_bounds(embeddings: object) -> PerceptualBounds:
    """The bounds that belong to ``embeddings``, as ``load_embedding_set`` takes them.

    Returns:
        Those in the metadata of a safetensors file with all factors; the paper's for everything else (None, the
        authors' files, a file for each factor, tensors).

    Raises:
        ModelFileError: the file is damaged, or its bounds are.
    """
    if not isinstance(embeddings, str | Path):
        return PerceptualBounds()
    file = Path(embeddings).expanduser()
    if file.suffix.lower() != ".safetensors" or not file.is_file():
        return PerceptualBounds()
    text = read_metadata(file).get(METADATA_KEY)
    return PerceptualBounds() if text is None else PerceptualBounds.from_json(text, file)


def cask(preference: Tensor, bounds: Mapping[str, float] | Mapping[str, Tensor]) -> Tensor:
    """``Π_f min(p_f / β_f, 1)`` over (factor, …), factors in the order of ``FACTORS``; β of overall is 1 in the paper.

    Args:
        preference: (4, …), probabilities of *good*.
        bounds: β for each factor, or (…) for each picture; those above 1, which an importance may give, count in full.

    Returns:
        (…), in [0, 1].

    Source: method, section 2; G-Refine (arXiv 2404.18343), PQ-Map: the cask effect, by which a defect can only lower
        the result.
    """
    result = (preference[0] / bounds["overall"]).clamp(max=1.0)
    for name, value in zip(FACTORS[1:], preference[1:], strict=True):
        result = result * (value / bounds[name]).clamp(max=1.0)
    return result


def log_cask(log_preference: Tensor, bounds: Mapping[str, float]) -> Tensor:
    """Logarithm of :func:`cask` from the logarithms of the preferences (4, …): exact also where these are tiny.

    Args:
        log_preference: (4, …), logarithms of probabilities of *good*, at most 0.
        bounds: β of each factor, above 0.

    Returns:
        (…) float, at most 0.

    Source: method, section 2; G-Refine (arXiv 2404.18343), PQ-Map: the cask effect, in logarithms.
    """
    total = log_preference.new_zeros(log_preference.shape[1:])
    for name, value in zip(FACTORS, log_preference, strict=True):
        total = total + (value - math.log(bounds[name])).clamp(max=0.0)
    return total
