"""The words and structures of prompts, and which of them are held back for which split.

A prompt is put together from an opening, one part for each group of items that relations tie to each other, what
stands between the parts, and the ground. A structure says how each of these is built; the same structure never occurs
in two splits. Constructions that can be read in two ways ("a ring above a star on snow", where either may be on snow)
are left out, or made plain by a comma or a relative clause.
"""

from __future__ import annotations

from dataclasses import dataclass

from grefine_core.miniature.world import Split


@dataclass(frozen=True)
class Structure:
    """How a prompt is built.

    Attributes:
        opening: key of ``OPENINGS``.
        link: how the first relation of a group is told: "plain" (a star above a ring), "doing" (a star resting on …),
            "that", "which" (a star that is above …), "clause" (a star is above …), "with" (a ring with a star above
            it).
        chain: how a further one is told: "that", "which", or "again" (…, and the ring is beside …).
        join: key of ``JOINS``, what stands between the groups.
        ground: where the ground stands: "comma" (…, on snow), "inner" (right behind the first item if that has no
            relations; otherwise as "comma"), "with" (…, with snow behind it), "stop" (a sentence of its own),
            "tag" (…, snow), "lead" (snow with …).
        articles: whether there are any.
    """

    opening: str
    link: str
    chain: str
    join: str
    ground: str
    articles: bool = True


STRUCTURES: dict[Split, tuple[Structure, ...]] = {
    "train": (
        Structure("none", "plain", "that", "list", "comma"),
        Structure("of", "plain", "that", "list", "comma"),
        Structure("there", "plain", "that", "list", "with"),
        Structure("of", "doing", "which", "list", "inner"),
        Structure("there", "that", "that", "list", "comma"),
        Structure("none", "clause", "again", "list", "comma"),
        Structure("none", "with", "again", "list", "comma"),
        Structure("none", "plain", "that", "semicolon", "inner"),
        Structure("there", "plain", "which", "also", "inner"),
        Structure("of", "with", "again", "stop", "with"),
        Structure("none", "plain", "that", "list", "lead"),
        Structure("this", "plain", "again", "list", "inner"),
        Structure("none", "plain", "again", "tags", "tag", articles=False),
        Structure("none", "doing", "that", "plus", "with"),
        Structure("in", "plain", "which", "list", "comma"),
        Structure("none", "clause", "that", "full", "stop"),
    ),
    "validation": (
        Structure("of", "that", "again", "plus", "comma"),
        Structure("this", "plain", "which", "stop", "with"),
        Structure("none", "clause", "again", "semicolon", "comma"),
        Structure("none", "doing", "that", "also", "lead"),
        Structure("none", "doing", "again", "tags", "comma", articles=False),
        Structure("in", "with", "again", "semicolon", "inner"),
    ),
    "test": (
        Structure("of", "plain", "again", "besides", "comma"),
        Structure("none", "which", "again", "list", "with"),
        Structure("none", "with", "that", "stop", "lead"),
        Structure("there", "doing", "again", "besides", "comma"),
        Structure("none", "clause", "which", "while", "comma"),
        Structure("this", "which", "which", "list", "inner"),
        Structure("of", "with", "again", "semicolon", "stop"),
        Structure("none", "with", "again", "tags", "with", articles=False),
        Structure("in", "doing", "that", "stop", "comma"),
        Structure("none", "that", "again", "list", "lead"),
        Structure("of", "doing", "that", "semicolon", "with"),
        Structure("this", "that", "again", "also", "comma"),
    ),
}

#: What a prompt begins with; {this} and {is} agree with the first item.
OPENINGS: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "none": ("",),
        "of": ("a picture of", "a picture of", "an image of", "a drawing of", "a photo of", "a simple picture of"),
        "there": ("there {is}",),
        "this": ("{this} {is}", "here {is}"),
        "in": ("in this picture there {is}",),
    },
    "validation": {
        "none": ("",),
        "of": ("a painting of", "a colorful image of"),
        "this": ("this is a drawing of",),
        "in": ("in this photo there {is}",),
    },
    "test": {
        "none": ("",),
        "of": ("an illustration of", "a sketch of", "a nice picture of"),
        "there": ("there {is}",),
        "this": ("here is a painting of", "this is an image of"),
        "in": ("in this illustration there {is}", "in the drawing there {is}"),
    },
}
UNHELD_OPENINGS = ("none", "there")
"""Openings that several splits share: behind them the ground's wording has to be one of the split's own."""

#: Between groups, and in front of the last one; {is} agrees with the item behind it.
JOINS: dict[str, tuple[str, str]] = {
    "list": (",", ", and"),
    "tags": (",", ","),
    "semicolon": (";", ";"),
    "also": (",", ", and there {is} also"),
    "stop": (". there {is}", ". there {is} also"),
    "full": (".", "."),
    "plus": (",", ", plus"),
    "besides": (",", ", as well as"),
    "while": (", and", ", while"),
}

#: In front of the ground at the end, or right behind the first item.
GROUND_BEHIND: dict[Split, tuple[str, ...]] = {
    "train": ("on", "on", "on the", "against", "in front of"),
    "validation": ("over",),
    "test": ("upon", "upon the", "over the"),
}
GROUND_COMMON = ("on", "against")
"""Where the opening is one of the split's own."""
GROUND_WITH: dict[Split, tuple[str, ...]] = {
    "train": ("behind {it}", "around {it}"),
    "validation": ("under {it}",),
    "test": ("beneath {it}", "all around {it}"),
}
#: A sentence about the ground: what stands in front of it and behind it.
GROUND_STOP: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (("", "is behind {it}"), ("behind {it} there is", "")),
    "validation": (("under {it} there is", ""),),
    "test": (("there is", "behind {it}"), ("around {it} there is", "")),
}
GROUND_LEAD: dict[Split, tuple[str, ...]] = {
    "train": ("with",),
    "validation": (":",),
    "test": ("and on it",),
}

#: Relation as prepositions; the second row holds those of the test alone.
PREPOSITIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "on": (("on", "on", "on top of"), ("upon",)),
    "above": (("above", "above", "over"), ()),
    "below": (("below", "under", "beneath"), ("underneath",)),
    "beside": (("beside", "next to", "near", "by"), ("close to", "alongside")),
}
#: Verbs in front of them: (participle, singular, plural).
VERBS: dict[str, tuple[tuple[tuple[str, str, str], ...], tuple[tuple[str, str, str], ...]]] = {
    "on": ((("resting", "rests", "rest"), ("lying", "lies", "lie")), (("sitting", "sits", "sit"),)),
    "above": ((("floating", "floats", "float"),), (("hovering", "hovers", "hover"),)),
    "below": ((("lying", "lies", "lie"),), (("resting", "rests", "rest"),)),
    "beside": ((("lying", "lies", "lie"), ("standing", "stands", "stand")), (("sitting", "sits", "sit"),)),
}

SIZE_WORDS = {"small": ("small", "small", "little"), "large": ("large", "large", "big")}
STYLE_TAGS: dict[Split, tuple[str, ...]] = {
    "train": ("digital art", "high quality", "sharp focus"),
    "validation": ("4k",),
    "test": ("highly detailed", "8k"),
}
