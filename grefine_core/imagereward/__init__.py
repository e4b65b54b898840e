"""ImageReward (BLIP ViT-L/16 and a BERT that reads the picture, 2023): the second encoder that AQ-Map can measure with.

The paper starts AQ-Map's image encoder from these weights. transformers is only imported when a network is built.
"""

from __future__ import annotations

from .loading import find_image_reward, load_image_reward, load_network, network_name, published_name, published_tensors
from .localisation import LOCALISATIONS, Localisation
from .model import ImageReward
from .network import PUBLISHED, REWARD_MEAN, REWARD_STD, ImageRewardNetwork, Sizes
from .tokenizer import TextTokenizer, find_vocabulary, read_vocabulary

__all__ = [
    "LOCALISATIONS",
    "PUBLISHED",
    "REWARD_MEAN",
    "REWARD_STD",
    "ImageReward",
    "ImageRewardNetwork",
    "Localisation",
    "Sizes",
    "TextTokenizer",
    "find_image_reward",
    "find_vocabulary",
    "load_image_reward",
    "load_network",
    "network_name",
    "published_name",
    "published_tensors",
    "read_vocabulary",
]
