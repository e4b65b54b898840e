"""One rule a case, on prompts that are in no annotated set."""

from __future__ import annotations

import pytest

from grefine_core.prompt.syntax import PromptTree, parse_prompt


def content(tree: PromptTree) -> dict[str, str | None]:
    """Text of every content phrase -> head of its ancestor."""
    above = {i: phrase.ancestor for i, phrase in enumerate(tree)}
    return {
        tree.phrases[i].text: None if above[i] is None else tree.phrases[above[i] or 0].head.text for i in tree.content
    }


def style(tree: PromptTree) -> list[str]:
    return [phrase.text for phrase in tree if phrase.is_style]


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a red bicycle", {"red bicycle": None}),
        ("a dog and a cat", {"dog": None, "cat": "dog"}),
        ("a tall tower in a green valley", {"tall tower": None, "green valley": "tower"}),
        ("two very old ships on the sea", {"two very old ships": None, "sea": "ships"}),
        ("a pirate holding a golden lamp", {"pirate holding": None, "golden lamp": "pirate"}),
        ("a nun in the desert surrounded by wolves", {"nun surrounded": None, "desert": "nun", "wolves": "nun"}),
        ("an owl inside a bottle buried in snow", {"owl": None, "bottle buried": "owl", "snow": "bottle"}),
        ("a flying whale", {"flying whale": None}),
        ("a knight riding a fire breathing dragon", {"knight riding": None, "fire breathing dragon": "knight"}),
        ("the queen is very angry", {"queen very angry": None}),
        ("a flock of geese", {"flock geese": None}),
        ("a cup of tea", {"cup": None, "tea": "cup"}),
        ("the roof of the house of the baker", {"roof": None, "house": "roof", "baker": "house"}),
        ("a wizard's tower", {"wizard's tower": None}),
        ("a clean, modern kitchen", {"clean modern kitchen": None}),
        ("a black and white cow", {"black white cow": None}),
        ("salt and pepper beard", {"salt pepper beard": None}),
        ("a half - dragon girl with goat horns", {"half dragon girl": None, "goat horns": "girl"}),
        ("a female ranger green cloak", {"female ranger": None, "green cloak": "ranger"}),
        ("a monkey that eats a pear", {"monkey eats": None, "pear": "monkey"}),
        ("a princess with a cat sleeping on a pillow", {"princess": None, "cat sleeping": "princess", "pillow": "cat"}),
        ("a lamp in front of a mirror", {"lamp": None, "mirror": "lamp"}),
        ("a garden, roses, a stone bench", {"garden": None, "roses": "garden", "stone bench": "garden"}),
        ("portrait of a sad clown", {"sad clown": None}),
        ("walter smith portrait, oil on canvas", {"walter smith": None}),
        ("barbarian character design", {"barbarian": None}),
        ("a painter painting a bridge", {"painter painting": None, "bridge": "painter"}),
        ("red to green gradient", {"red green gradient": None}),
        ("the lost and the found", {"lost": None, "found": "lost"}),
        ("someone waiting at a station", {"someone waiting": None, "station": "someone"}),
        ("a really small boat", {"really small boat": None}),
        ("a priest in purple kneeling on a rug", {"priest kneeling": None, "purple": "priest", "rug": "priest"}),
        ("a lamp, a red vase and a clock", {"lamp": None, "red vase": "lamp", "clock": "lamp"}),
        ("a dog with a bird above it and a cat beside it", {"dog": None, "bird": "dog", "cat": "dog"}),
        ("a cat rests on a sofa", {"cat rests": None, "sofa": "cat"}),
        ("two owls sit on a fence", {"two owls sit": None, "fence": "owls"}),
        ("a jar that stands near a window", {"jar stands": None, "window": "jar"}),
        ("a seal lying on large rocks", {"seal lying": None, "large rocks": "seal"}),
        ("a boat near ruined walls", {"boat": None, "ruined walls": "boat"}),
        ("an orange square on a wall", {"orange square": None, "wall": "square"}),
        ("a gold cross on a hill", {"gold cross": None, "hill": "cross"}),
        ("a truck that is orange", {"truck orange": None}),
        ("a black square and two red kites", {"black square": None, "two red kites": "square"}),
        ("red kite, over clouds", {"red kite": None, "clouds": "kite"}),
        ("a nun next to saturn", {"nun": None, "saturn": "nun"}),
        ("people watching boats", {"people watching": None, "boats": "people"}),
        ("a cup to the right of a plate", {"cup": None, "plate": "cup"}),
        ("a ship in a quiet harbour on a foggy day", {"ship": None, "quiet harbour": "ship", "foggy day": "ship"}),
        ("sand pouring from a cup into a vase", {"sand pouring": None, "cup": "sand", "vase": "sand"}),
        ("a bed next to a door leading to a garden", {"bed": None, "door leading": "bed", "garden": "door"}),
        ("photo of a kitchen taken with an old phone", {"kitchen": None, "old phone": "kitchen"}),
        ("claude monet with a wooden leg", {"claude monet": None, "wooden leg": "monet"}),
        ("clowns with happy, tired and angry faces", {"clowns": None, "happy tired angry faces": "clowns"}),
        ("a door with 'Stop, thief!' painted on it", {"door Stop thief painted": None}),
        ("solitude", {"solitude": None}),
    ],
)
def test_phrases_and_ancestors(prompt: str, wanted: dict[str, str | None]) -> None:
    assert content(parse_prompt(prompt)) == wanted


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a fox, 8k, trending on artstation", ["8k", "trending artstation"]),
        ("a fox, sharp focus, octane render, soft lighting", ["sharp focus", "octane render", "soft lighting"]),
        ("watercolor painting of a fox", ["watercolor painting"]),
        ("a fox, art by greg rutkowski and alphonse mucha", ["art", "greg rutkowski", "alphonse mucha"]),
        ("a fox, by unkel sketchov, mira drawalot, wlop", ["unkel sketchov", "mira drawalot", "wlop"]),
        ("a fox in the style of claude monet", ["style", "claude monet"]),
        ("a fox, intricate, elegant, highly detailed", ["intricate", "elegant", "highly detailed"]),
        ("a fox, dungeons and dragons, d & d", ["dungeons dragons", "d d"]),
        ("a fox, shot on nikon d 8 5 0, 3 5 mm, f / 1. 8", ["shot nikon d 8 5 0", "3 5 mm", "f / 1. 8"]),
        ("a fox, black and white photography", ["black white photography"]),
        ("a fox, close - up, wide angle", ["close up", "wide angle"]),
        ("a fox surrounded by treasure", []),
        ("a cottage by the lake", []),
        ("statue of a fox", []),
        ("a fox reading a comic", []),
    ],
)
def test_style_tags(prompt: str, wanted: list[str]) -> None:
    assert style(parse_prompt(prompt)) == wanted


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a man with no hat", {"man"}),
        ("a man without a hat", {"man"}),
        ("a bench, no people in the background", {"bench"}),
        ("a girl without glasses or jewelry, red dress", {"girl", "red", "dress"}),
        ("a girl, not smiling", {"girl"}),
    ],
)
def test_what_is_negated_is_in_no_phrase(prompt: str, words: set[str]) -> None:
    assert {word.text for phrase in parse_prompt(prompt) for word in phrase.words} == words


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a (red:1.3) car", {"red car": None}),
        ("a ((very (old) castle))", {"very old castle": None}),
        (r"a cat \(animal\) BREAK a dog", {"cat": None, "animal": "cat", "dog": "cat"}),
        ("a cat AND a dog", {"cat": None, "dog": "cat"}),
        ("a cat <lora:fluffy:0.8> and a dog", {"cat": None, "dog": "cat"}),
        ("a cat, embedding:easynegative, a dog", {"cat": None, "dog": "cat"}),
        ("a cat, __animals__, a dog", {"cat": None, "dog": "cat"}),
    ],
)
def test_markup_is_no_text(prompt: str, wanted: dict[str, str | None]) -> None:
    assert content(parse_prompt(prompt)) == wanted


def test_words_stand_where_they_say() -> None:
    prompt = "a (red:1.3) car, 8 k,  [fox's eye]"
    tree = parse_prompt(prompt)
    for phrase in tree:
        for word in phrase.words:
            assert prompt[word.start : word.end] == word.text
    assert [phrase.text for phrase in tree] == ["red car", "8 k", "fox's eye"]
    assert tree.phrases[0].spans == ((3, 6), (12, 15))
    assert tree.phrases[2].spans == ((24, 33),)
    assert tree.phrases[2].ancestor == 0
