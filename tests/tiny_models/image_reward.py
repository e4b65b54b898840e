"""An UNTRAINED stand-in for ImageReward: its layout and names, tiny, with a small vocabulary."""

from __future__ import annotations

from pathlib import Path

from .naming import even_scale, fill_by_name

_SIZES = {
    "image_size": 64,
    "vision_width": 32,
    "vision_layers": 8,
    "vision_heads": 2,
    "vision_mlp": 64,
    "text_width": 32,
    "text_layers": 4,
    "text_heads": 2,
    "text_mlp": 64,
    "positions": 64,
    "joint_width": 16,
}
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_WORDS = ("a", "an", "the", "and", "on", "in", "of", "with", "red", "cup", "table", "house", "old", "tree", "##ing")


def tiny_vocabulary() -> list[str]:
    """Tokens of which any plain text can be made: special ones, letters, pieces, punctuation, a few words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*special, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *",.:;!?()'-", *_WORDS]
    return list(dict.fromkeys(tokens))


def write_image_reward(folder: str | Path) -> Path:
    """Write ``ImageReward.safetensors`` with ``ImageReward.json`` (its sizes) and ``vocab.txt``.

    Untrained: the rewards mean nothing, the files only show that the whole path from files to maps runs.
    """
    from grefine_core.imagereward import ImageRewardNetwork, Sizes, published_tensors
    from grefine_core.models.files import write_tensors

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokens = tiny_vocabulary()
    network = ImageRewardNetwork(Sizes(vocabulary=len(tokens) + 2, **_SIZES))
    fill_by_name(network, even_scale)
    weights = folder / "ImageReward.safetensors"
    write_tensors(weights, published_tensors(network), {"grefine": "untrained stand-in, results mean nothing"})
    network.sizes.save(weights)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return folder
