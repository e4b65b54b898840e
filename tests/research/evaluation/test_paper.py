"""The paper's figures, and that every one of them has an indicator to stand beside."""

from __future__ import annotations

from collections import Counter

from grefine_research.evaluation import paper
from grefine_research.evaluation.indicators import ALIGNMENT, OWN, PERCEPTUAL, REFINE, choose
from grefine_research.evaluation.variants import VARIANTS


def names(chosen):
    return {name for spec in choose(chosen, ()) for name in spec.paper}


def test_all_figures_of_tables_2_to_8_are_there():
    counts = Counter(cell.table for cell in paper.cells())
    # 15 optimizers by 13 indicators; 7 indicators by 2 databases by 2 correlations; 5 rows by 2 by 2.
    assert counts == {2: 195, 3: 195, 4: 195, 5: 195, 6: 28, 7: 28, 8: 20}
    assert paper.value(6, "AIGIQA-20K", "PQ-Map", "SROCC") == 0.7073
    assert paper.value(7, "AGIQA-3K", "AQ-Map", "PLCC") == 0.7862
    assert paper.value(5, "AGIQA-3K", "G-Refine", "BRISQUE") == 8.0697
    assert paper.value(8, "SD1.5", "PQ+AQ", "Q-Align", "1,2") == 4.2436
    assert paper.value(6, "AGIQA-3K", "AQ-Map", "SROCC") is None
    assert paper.database_of("agiqa-3k", 6) == "AGIQA-3K"
    assert paper.database_of("mine", 6) is None


def test_every_column_and_every_row_has_an_indicator():
    for table in paper.REFINED.values():
        assert {cell.measure for cell in paper.of_table(table)} == names(REFINE) - {
            "PQ-Map",
            "AQ-Map",
            "PicScore",
            "CNN-IQA",
        }
    assert {cell.method for cell in paper.of_table(6)} <= names((*OWN, *PERCEPTUAL))
    assert {cell.method for cell in paper.of_table(7)} <= names((*OWN, *ALIGNMENT))


def test_every_row_of_table_8_has_a_variant():
    rows = {(cell.method, cell.stages) for cell in paper.of_table(8) if cell.method != paper.ORIGINAL}
    assert rows == {variant.paper for variant in VARIANTS.values() if variant.paper}
