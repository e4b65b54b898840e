"""PQ-Map and AQ-Map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from comfy_api.latest import io
from torch import Tensor

from ..grefine_core.alignment import alignment_quality
from ..grefine_core.clip.embeddings import FACTORS
from ..grefine_core.diagnosis import Diagnosis, diagnose_alignment, diagnose_perceptual
from ..grefine_core.errors import InputError
from ..grefine_core.perceptual import perceptual_quality
from ..grefine_core.report import overlay
from . import host, inputs, notices, options, preview
from .io_types import (
    CATEGORY,
    DiagnosisType,
    PhrasesType,
    alignment_inputs,
    diagnosis_input,
    formula_input,
    image_input,
    measure_anyway_input,
    perceptual_inputs,
    prompt_input,
    quality_model_input,
    score_output,
)
from .preview import phrase_lines
from .quality_model import BATCH, quality_of
from .scores import scores as marked


def _parts(pictures: Tensor) -> Iterator[Tensor]:
    """The batch in parts, with the node's progress bar and the user's cancel between them."""
    report = host.progress(len(pictures))
    done = 0
    for part in pictures.split(BATCH):
        report(done, len(pictures), None)
        yield part
        done += len(part)
    report(done, len(pictures), None)


def _joined(parts: list[Tensor]) -> Tensor:
    """The parts' maps as one batch; those of a single part are not copied."""
    return torch.cat(parts) if len(parts) > 1 else parts[0]


class GRefinePQMap(io.ComfyNode):
    """Where and how much the picture looks defective."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return host.schema(
            node_id="GRefinePQMap",
            display_name="PQ-Map",
            category=f"{CATEGORY}/quality",
            description="Perceptual quality: where and how much the picture looks defective, with four factor scores.",
            search_aliases=["image quality", "defect map", "aesthetic score"],
            is_output_node=True,  # it shows its map itself, and runs with nothing behind it
            inputs=[image_input("image", "The pictures to measure."), quality_model_input(), *perceptual_inputs()],
            outputs=[
                io.Mask.Output("quality_map", display_name="quality_map", tooltip="1 is good."),
                io.Mask.Output("defect_map", display_name="defect_map", tooltip="1 is defective: 1 - quality."),
                io.Image.Output("overlay", display_name="overlay", tooltip="The picture with the defect map over it."),
                score_output("score", "PS, the perceptual score: 1 is good."),
                score_output("overall", "The overall impression, in [0, 1]."),
                score_output("technical", "Free of technical flaws, in [0, 1]."),
                score_output("rational", "Makes sense, in [0, 1]."),
                score_output("natural", "Looks natural, in [0, 1]."),
                score_output(
                    "worst_region",
                    "The quality of the picture's worst region, in [0, 1]: a hole shows here that the score overlooks.",
                ),
                DiagnosisType.Output(
                    "diagnosis", display_name="diagnosis", tooltip="For AQ-Map: all that was found, of every picture."
                ),
            ],
        )

    @classmethod
    @host.explained("measuring pictures", host.SMALLER)
    def execute(
        cls,
        image: Tensor,
        quality_model: object,
        formula: str,
        importance_technical: float,
        importance_rational: float,
        importance_natural: float,
    ) -> io.NodeOutput:
        """Measure every picture of the batch."""
        pictures = inputs.images(image, "image")
        formula = inputs.choice(formula, "formula", options.FORMULAS)
        importance = options.importance(importance_technical, importance_rational, importance_natural)
        quality = quality_of(quality_model)
        found = [perceptual_quality(quality, part, formula, importance) for part in _parts(pictures)]
        defects = _joined([part.defect_map for part in found])
        drawn = host.to_host(overlay(pictures, defects))
        scores = torch.cat([part.score for part in found]).tolist()
        factors = {name: torch.cat([part.factors[name] for part in found]).tolist() for name in FACTORS}
        worst = torch.cat([part.worst_region for part in found]).tolist()
        ways = {"formula": formula, "importance": importance}
        diagnoses = tuple(one for part in found for one in diagnose_perceptual(part, quality, ways))
        size = (pictures.shape[1], pictures.shape[2])
        notes = [*notices.of_model(quality, notices.PERCEPTUAL), *notices.of_world(quality, size)]
        shown = host.to_host(defects)
        return io.NodeOutput(
            host.to_host(_joined([part.quality_map for part in found])),
            shown,
            drawn,
            marked(scores, "PQ-Map's score"),
            *(marked(values, f"PQ-Map's {name}") for name, values in factors.items()),
            marked(worst, "PQ-Map's worst_region"),
            _with_maps(diagnoses, "perceptual_map", shown),
            ui=preview.cards(([*notes, *_score_lines(one)] for one in diagnoses), drawn),
        )


def _with_maps(diagnoses: tuple[Diagnosis, ...], name: str, maps: Tensor) -> tuple[Diagnosis, ...]:
    """The diagnoses with the maps that the node gives out, so that no picture's is held twice."""
    return tuple(replace(one, **{name: values}) for one, values in zip(diagnoses, maps, strict=True))


def _score_lines(found: Diagnosis) -> list[preview.Line]:
    """PQ-Map's figures of one picture: the score, its factors, the worst region."""
    return [
        preview.line(f"Perceptual score: {found.perceptual_score:.3f}", main=True),
        preview.factors(found.ratios, found.factors),
        preview.line(f"Worst region: {found.worst_region:.2f}", "faint"),
    ]


class GRefineAQMap(io.ComfyNode):
    """Which of the prompt's phrases the picture does not show, and where that is to be mended."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return host.schema(
            node_id="GRefineAQMap",
            display_name="AQ-Map",
            category=f"{CATEGORY}/quality",
            description="Alignment: which of the prompt's phrases the picture does not show, and where to mend that.",
            search_aliases=["prompt alignment", "clip score", "text image alignment"],
            is_output_node=True,
            inputs=[
                image_input("image", "The pictures to measure."),
                quality_model_input(),
                prompt_input(
                    "What the picture was meant to show. Weights, LoRA tags and the like are understood and ignored."
                ),
                *alignment_inputs(),
                # Last, in this order: saved workflows know widgets by their places.
                formula_input(optional=True),
                measure_anyway_input(),
                diagnosis_input("From PQ-Map: its part of the diagnosis, to which this node adds its own."),
            ],
            outputs=[
                io.Mask.Output("defect_map", display_name="defect_map", tooltip="1 where something must change."),
                io.Image.Output("overlay", display_name="overlay", tooltip="The picture with the map over it."),
                score_output(
                    "score",
                    "AS, the alignment score: 1 shows all that the prompt says. Where the prompt names nothing to look "
                    "for, it is 1 as well, and the node says so.",
                ),
                PhrasesType.Output(
                    "phrases", display_name="phrases", tooltip="For every picture its phrases, with scores and defects."
                ),
                io.String.Output(
                    "summary",
                    display_name="summary",
                    tooltip="The phrases in words, one to a line, for each picture.",
                    is_output_list=True,
                ),
                DiagnosisType.Output(
                    "diagnosis_out",
                    display_name="diagnosis",
                    tooltip="For Binarize Map and the stages: all that was found, of every picture.",
                ),
            ],
        )

    @classmethod
    @host.explained("measuring pictures", host.SMALLER)
    def execute(
        cls,
        image: Tensor,
        quality_model: object,
        prompt: str,
        scoring: str,
        aggregate: str,
        include_style: bool,
        formula: str = "paper",  # of workflows that were saved before there was a choice
        measure_anyway: bool = False,
        diagnosis: object = None,
    ) -> io.NodeOutput:
        """Measure every picture of the batch against the prompt."""
        before = None if diagnosis is None else inputs.diagnoses(diagnosis)
        pictures = inputs.images(image, "image")
        prompt = inputs.text(prompt, "prompt")
        ways = options.alignment_options(scoring, aggregate, include_style, measure_anyway)
        ways["formula"] = inputs.choice(formula, "formula", options.FORMULAS)
        quality = quality_of(quality_model)
        found = [
            alignment_quality(quality, part, prompt, interrupt=host.check_interrupted, **ways)
            for part in _parts(pictures)
        ]
        defects = _joined([part.defect_map for part in found])
        phrases = tuple(group for part in found for group in part.phrases)
        drawn = host.to_host(overlay(pictures, defects))
        scores = torch.cat([part.score for part in found]).tolist()
        words = [phrase_lines(group, ways["include_style"]) for group in phrases]
        size = (pictures.shape[1], pictures.shape[2])
        cards = (
            [
                *notices.of_prompt(prompt, group),
                *notices.of_model(quality, notices.ALIGNMENT),
                *notices.of_world(quality, size, group),
                *([preview.alignment(score, group)] if prompt.strip() else []),
                *preview.phrases(group, told),
            ]
            for score, group, told in zip(scores, phrases, words, strict=True)
        )
        shown = host.to_host(defects)
        diagnoses: list[Diagnosis] = []
        if before is not None and len(before) != len(pictures):
            raise InputError(
                f"diagnosis: of {len(before)} pictures, but image has {len(pictures)}. Connect PQ-Map of the same ones."
            )
        for part in found:
            count, start = len(part.phrases), len(diagnoses)
            known = None if before is None else before[start : start + count]
            diagnoses += diagnose_alignment(part, [prompt] * count, known, ways)
        return io.NodeOutput(
            shown,
            drawn,
            marked(scores, "AQ-Map's score"),
            phrases,
            words,
            _with_maps(tuple(diagnoses), "alignment_map", shown),
            ui=preview.cards(cards, drawn),
        )
