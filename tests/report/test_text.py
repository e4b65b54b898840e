from __future__ import annotations

import pytest

from grefine_core.report import text as fonts
from grefine_core.report.text import Run, _lines, text_block


def test_lines_keep_to_the_width_and_lose_nothing():
    text = "a quick brown fox jumps over the lazy dog " * 5 + "unbreakable" * 30
    lines = list(_lines([Run(text)], 300, 20))
    assert len(lines) > 5
    for line in lines:
        assert sum(fonts.length(run.text, 20) for run in line) <= 300
    assert "".join(run.text for line in lines for run in line).replace(" ", "") == text.replace(" ", "")


def test_line_breaks_are_kept():
    assert [len(line) for line in _lines([Run("a\n\nb")], 300, 20)] == [1, 0, 1]


@pytest.mark.parametrize("text", ["a", "é", "красный", "红", "🎈"])
def test_every_character_is_drawn_or_named(text):
    shown = "".join(piece for piece, _ in fonts.pieces(text, 20))
    assert shown == text or shown == "".join(f"<U+{ord(character):04X}>" for character in text)
    assert text_block([Run(text)], 400).getcolors(100000) is not None


def test_unknown_glyphs_never_become_boxes():
    shown = "".join(piece for piece, _ in fonts.pieces("x\U0010fffdyz", 20))
    assert shown == "x<U+10FFFD>yz"


def test_arrows_and_the_like_are_written_plainly_where_no_font_has_them(monkeypatch):
    """Pillow's own font alone, as in a bare container."""
    alone = fonts.fonts(20)[:1]
    monkeypatch.setattr(fonts, "fonts", lambda size: alone)
    assert "".join(piece for piece, _ in fonts.pieces("3 × 4 – 0.5 → 0.7", 20)) == "3 x 4 - 0.5 -> 0.7"


def test_colours_stand_behind_the_words():
    image = text_block([Run("plain "), Run("marked", mark=(1, 2, 3))], 400)
    assert (1, 2, 3) in {color for _, color in image.getcolors(100000)}
