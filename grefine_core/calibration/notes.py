"""What a calibration means, in plain words: for `grefine check`, the nodes and the report."""

from __future__ import annotations

from collections.abc import Iterator

from ..alignment.calibration import BARS, Calibration, Figure
from ..clip.quality_model import PUBLISHED, QualityModel
from .damage import SIZES
from .fingerprint import ActivationFit, TokenRows, compare_token_rows

NOT_TESTED = "Anatomy (hands, faces) and lettering are not tested: nothing is known of how well they are seen."

_WHAT: dict[str, tuple[str, str]] = {
    "perceptual": ("damage", "the perceptual score"),
    "map": ("the place of damage", "the map of perceptual defects"),
    "nouns": ("a thing that is not there", "verdicts on things"),
    "modifiers": ("a wrong modifier (colour, number, …)", "verdicts on modifiers"),
}
USED_FOR = {name: used for name, (_, used) in _WHAT.items()}
"""What each indicator is, in words."""


def notes_of(
    calibration: Calibration, rows: TokenRows, activation: ActivationFit | None, source: str
) -> tuple[str, ...]:
    """What cannot be trusted, one sentence each; none if everything can.

    Args:
        calibration: with its figures.
        rows: what the tokens inside the embeddings say.
        activation: how well the model's activation does.
        source: of the embeddings that the model came with.
    """
    found = []
    if rows.belonging == "other":
        found.append(
            "The learned embeddings do not belong to these weights: the start, end and padding tokens inside them are "
            "another text encoder's."
        )
    # The published embeddings were learned on a model of OpenAI's, all of which were made with QuickGELU.
    openai = rows.belonging == "same" and source == PUBLISHED
    if activation is not None and (activation.wrong or (openai and activation.own == "GELU")):
        found.append(
            f"The weights were made with {activation.other}, and are used with {activation.own}: choose the "
            f"architecture with{'' if activation.other == 'QuickGELU' else 'out'} -quickgelu in its name."
        )
    trust = calibration.trust
    if trust and all(name in trust and trust[name].low <= 0.55 for name in ("perceptual", "nouns")):
        found.append(
            "These weights tell neither damage nor what a picture shows: they are untrained, damaged, or not a CLIP's."
        )
    for name, (what, used) in _WHAT.items():
        figure = trust.get(name)
        if figure is not None and figure.low < BARS[name]:
            guess = "no better than a guess" if figure.low <= 0.5 else "hardly better than a guess"
            found.append(
                f"{used[0].upper()}{used[1:]} cannot be trusted with these weights: {what} is told {guess} "
                f"({in_words(figure)}; {BARS[name]:.2f} is needed). It opens no gate."
            )
    return tuple(found)


def in_words(figure: Figure) -> str:
    """A figure with its interval."""
    return f"{figure.value:.2f}, from {figure.low:.2f} to {figure.high:.2f}"


def finest_size(calibration: Calibration) -> int | None:
    """The largest picture, in pixels of its side, whose fine damage is seen; None if that was not measured, 0 for
    none."""
    sizes = [(size, calibration.trust.get(f"damage at {size} px")) for size in SIZES]
    known = [(size, figure) for size, figure in sizes if figure is not None]
    if not known:
        return None
    return max((size for size, figure in known if figure.low > 0.5), default=0)


def report_lines(model: QualityModel) -> Iterator[str]:
    """What can be trusted with a model's weights, line by line; nothing of one that is not calibrated."""
    calibration = model.calibration
    if calibration is None:
        return
    rows = compare_token_rows(model)
    trust = calibration.trust
    yield f"{model.name} at {model.resolution[0]}×{model.resolution[1]} pixels, embeddings: {model.embedding_source}"
    yield {
        "same": "The tokens inside the embeddings are this model's own: they belong together.",
        "other": "The tokens inside the embeddings are another model's: they do not belong to these weights.",
        "unknown": "The embeddings have no tokens to compare with these weights.",
    }[rows.belonging]
    if not trust:
        yield (
            f"The calibration in use has bounds alone (from {calibration.pictures} pictures), and says nothing of how "
            "far they can be trusted. Take it away, or choose --calibration auto without it, to have that measured."
        )
        return
    yield f"Measured on {calibration.pictures} good pictures and damaged copies of them; chance is 0.50, perfect 1.00."
    for title, name, needed in (
        ("Damage to the whole or a part", "perceptual", True),
        ("  technical (blur, noise, blocks, banding, light)", "technical damage", False),
        ("  rational (warped, doubled, cut)", "rational damage", False),
        ("  natural (colours, textures)", "natural damage", False),
        ("  pictures that you marked as bad", "marked pictures", False),
        ("Where damage is", "map", True),
        ("Things that are not there", "nouns", True),
        ("  that would be no surprise there", "related nouns", False),
        ("Wrong modifiers (colours, numbers, …)", "modifiers", True),
    ):
        figure = trust.get(name)
        if figure is None:
            continue
        verdict = ""
        if needed:
            verdict = ": can be trusted" if calibration.trusted(name) else ": CANNOT be trusted, opens no gate"
        yield f"{title}: told apart {in_words(figure)}{verdict}"
    finest = finest_size(calibration)
    if finest is not None:
        yield (
            f"Fine damage is seen in pictures of up to {finest} pixels."
            if finest
            else "Fine damage is not seen, not even in pictures of 512 pixels."
        )
    for title, name in (
        ("Good pictures that pass", "good pictures that pass"),
        ("Good pictures with an empty map", "good pictures with an empty map"),
        ("Good pictures in which nothing is called missing", "good pictures with all nouns found"),
        ("Damaged pictures that are found", "damaged pictures found"),
        ("Things that are not there and are found to be missing", "absent unrelated nouns found"),
    ):
        figure = trust.get(name)
        if figure is not None:
            low, high = (f"{100 * each:.0f}" for each in (figure.low, figure.high))
            yield f"{title}: {100 * figure.value:.0f} % (of {figure.count}; {low} to {high} %)"
    yield NOT_TESTED
    for note in calibration.notes:
        yield f"! {note}"
    if not calibration.trusted("perceptual"):
        yield (
            "Embeddings learned for these very weights may do better, and need no opinions: "
            "grefine train pq --self-supervised"
        )
