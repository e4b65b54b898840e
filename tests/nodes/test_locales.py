"""The translations say all that the English texts say, and nothing that is out of date."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from ..tooling import tool

translations = tool("node_translations")
ENGLISH = translations.flat(translations.nodes("en"))
RECORDED = tool("node_record").read()

#: Names of nodes that are terms of the paper, the same in every language.
TERMS = {"AQ-Map", "PQ-Map"}
#: Names that the host's own nodes have as well. All others are ids, and stay as they are.
HOST_NAMES = {
    *("image", "mask", "model", "positive", "negative", "prompt", "negative_prompt", "clip_name"),
    *("seed", "steps", "sampler_name", "scheduler", "strength", "resolution", "device", "tile_size"),
    *("threshold", "method", "mode", "color", "feather"),
}
#: Categories that the host has, and translates itself; and the pack's name.
HOST_CATEGORIES = {"mask", "G-Refine"}
SCRIPTS = {"ja": r"[\u3040-\u30ff\u4e00-\u9fff]", "ko": r"[\uac00-\ud7a3]", "zh": r"[\u4e00-\u9fff]"}
ENGLISH_WORDS = re.compile(r"\b(the|of|and|is|are|with|from|for|to|picture|pictures|what|which|how|stage)\b", re.I)
#: What the frontend reads as more than text.
MESSAGE_SYNTAX = re.compile(r"[@{}|%]")

NUMBERS = re.compile(r"\d+(?:\.\d+)?")
VERBATIM = re.compile(
    r"\[[^]]+\]"  # intervals
    r"|`[^`]+`"  # commands
    r"|\([^()]*:\d[^()]*\)"  # weights in prompts
    r"|1 - \(1 - a\)\(1 - b\)…"
    r"|models/\w+|\w+\.(?:json|pt)\b"  # files and folders
    r"|\b\w+_\w+\b"  # ids
    r"|\b[A-Z][A-Za-z]*[A-Z][A-Za-z]*?(?=s?\b)"  # CLIP, LoRA, VAE; without the plural
    r"|ViT-B/16|V-V|Stable Diffusion|Flux|\bunet\b|\bcontrolnet\b|\bdiffusers\b|\bfp(?:16|32)\b|\b8k\b"
)

each_language = pytest.mark.parametrize("language", translations.LANGUAGES)


def test_the_languages():
    assert sorted(path.name for path in translations.LOCALES.iterdir()) == sorted(("en", *translations.LANGUAGES))


@each_language
def test_every_text_is_there(language):
    given = translations.flat(translations.nodes(language))
    assert list(given) == list(ENGLISH)
    for path, text in given.items():
        assert isinstance(text, str), path
        assert text, path
        assert text == text.strip(), path


@each_language
def test_nothing_is_out_of_date(language):
    """What has to be translated anew, because the English text changed."""
    assert translations.behind(language, translations.nodes("en")) == []


def test_what_is_behind_is_named():
    english = translations.nodes("en")
    english["GRefineNew"] = {"display_name": "New", "description": "Does something new."}
    english["GRefinePlan"]["description"] += " In another way."
    del english["GRefinePlan"]["inputs"]["area"]
    lines = translations.behind("fr", english)
    assert "missing: GRefineNew.description: Does something new." in lines
    assert "too much: GRefinePlan.inputs.area.tooltip" in lines
    assert [line for line in lines if line.startswith("translate anew: GRefinePlan.description: ")]
    assert len(lines) == 5


@each_language
def test_nothing_was_left_in_english(language):
    for path, text in translations.texts(translations.nodes(language)).items():
        if text in TERMS:
            continue
        assert text != ENGLISH[path], path
        assert re.search(SCRIPTS.get(language, ""), text), path
        assert not ENGLISH_WORDS.search(text), f"{path}: {text}"


@each_language
def test_names_are_ids_or_the_hosts_words(language):
    shown: dict[str, str] = {}
    for path, name in translations.flat(translations.nodes(language)).items():
        if translations.is_name(path):
            assert name == ENGLISH[path] or ENGLISH[path] in HOST_NAMES, path
            assert shown.setdefault(ENGLISH[path], name) == name, path


@each_language
def test_the_same_text_is_translated_the_same_way(language):
    known: dict[str, str] = {}
    for path, text in translations.texts(translations.nodes(language)).items():
        assert known.setdefault(ENGLISH[path], text) == text, path


@each_language
def test_figures_ids_and_terms_are_kept(language):
    for path, text in translations.texts(translations.nodes(language)).items():
        english = ENGLISH[path]
        assert Counter(NUMBERS.findall(text)) == Counter(NUMBERS.findall(english)), f"{path}: {text}"
        for token in VERBATIM.findall(english):
            assert token in text, f"{path}: {token}"


@each_language
def test_choices_are_named_as_they_are(language):
    """Choices (``otsu: …``) are values of workflows: no translation of theirs could be chosen."""
    found = 0
    given = translations.texts(translations.nodes(language))
    for node, info in RECORDED.items():
        for group in ("required", "optional"):
            for key, (_, options) in info["input"].get(group, {}).items():
                path = f"{node}.inputs.{key}.tooltip"
                for choice in options.get("options", ()):
                    named = rf"(?:^|[.;:(] ?){re.escape(choice)}(?=:|\)| (?:is|leaves|takes|reads|keeps)\b)"
                    if re.search(named, ENGLISH[path]):
                        found += 1
                        assert re.search(rf"(?<![a-z]){re.escape(choice)}(?![a-z])", given[path]), f"{path}: {choice}"
    assert found > 25


@each_language
def test_nodes_are_called_by_their_translated_names(language):
    given = translations.texts(translations.nodes(language))
    names = {
        ENGLISH[path]: text
        for path, text in sorted(given.items(), key=lambda item: -len(ENGLISH[item[0]]))
        if path.endswith(".display_name")
    }
    assert len(set(names.values())) == len(names)
    mentioned = re.compile("|".join(map(re.escape, names)))
    for path, text in given.items():
        for name in mentioned.findall(ENGLISH[path]):
            assert names[name] in text, f"{path}: {names[name]}"


@pytest.mark.parametrize("language", ["en", *translations.LANGUAGES])
def test_the_frontend_reads_nothing_into_the_texts(language):
    for path, text in translations.flat(translations.nodes(language)).items():
        assert not MESSAGE_SYNTAX.search(text), f"{path}: {text}"


@each_language
def test_categories_are_translated(language):
    parts = {part for info in RECORDED.values() for part in info["category"].split("/")} - HOST_CATEGORIES
    given = translations.categories(language)
    assert set(given) == parts
    assert all(text.strip() for text in given.values())
    assert len(set(given.values())) == len(given)
