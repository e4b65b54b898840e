"""What the notes inside the shipped workflows say: what it is, what to do, which files go where.

They stand in boxes that are not scrolled, at a size at which they are read: short.
"""

from __future__ import annotations

from workflow_models import FILES, PASD

from grefine_core.models.entry import HUB
from grefine_core.models.registry import entry_of

ABOUT_REFINING = """\
Choose a picture and write **the prompt it was made from**, get the files below (the editor offers what is missing), \
run.

What is good stays as it is; a change for the worse is taken back."""

ABOUT_MINIATURE = """\
**Press Run.** Nothing to download: small models come with the pack.

They know drawn pictures of 128 pixels and nothing else; what they say of any other means nothing. For your own \
pictures take *grefine_ordinary_checkpoint* or *grefine_sdxl_inpainting*.

The icon in the corner of *G-Refine* opens it: inside are the steps."""

ABOUT_MAPS = """\
Shows **where** a picture is wrong: what looks bad, what misses the prompt, and the mask that a repair would redraw. \
Nothing is changed."""

ABOUT_SCORES = """\
Measures a picture: how it looks, how well it fits its prompt (1 is good), and the prompt's phrases one by one. \
Nothing is changed."""

ABOUT_GATE = """\
Refines only those pictures of a batch that need it; the others pass **byte for byte**, and if all do, no model is \
loaded. *What was decided* says why.

The two pictures are one photograph, broken and whole, to see the gate at work: put your own in their place. For \
thousands of files: *grefine bulk*."""

ABOUT_ORDINARY = """\
*your_checkpoint.safetensors* stands for any SD 1.5 or SDXL checkpoint: choose yours in *Checkpoint*. For SDXL set \
*crop_size*, inside *Refine*, to *native*."""

ABOUT_FLUX = """\
For cards with less memory set *weight_dtype*, inside *Models*, to *fp8_e4m3fn*. Licence: non-commercial."""

ABOUT_SUPIR = """\
**Needs ComfyUI 0.20 or newer**, which has the node *SUPIRApply*. SUPIR's licence is non-commercial."""

NEEDS_HOST = "**Needs ComfyUI {} or newer.**"

ABOUT_TURBO = """\
An ordinary model in eight steps a stage (*steps* counts both: 16), without a negative prompt."""

ABOUT_WITH_CONTROL = """\
Four steps a stage, by the LoRA (*steps* counts both: 8)."""

ABOUT_EDITING = """\
It edits each part by words: *Repair Instruction*, inside *Refine*, says what to do."""

ABOUT_SEEDVR2 = """\
Stage 2 is one step of SeedVR2."""

ABOUT_PASD = f"""\
[{PASD}]({HUB}/yangtao9009/PASD/tree/main), the folder as it is (5.9 GB) → pasd; it needs the package \
*diffusers* (*pip install diffusers*)"""


def _name(text: str) -> str:
    """A file's name in Markdown: underscores are no emphasis. Not as code, which is drawn blue on grey."""
    return text.replace("_", r"\_")


def files(*ids: str, more: tuple[str, ...] = ()) -> str:
    """The list of a template's files: name, size, source, folder under ``models``."""
    lines = []
    for each in ids:
        entry = entry_of(each)
        page = f"{HUB}/{entry.repository}/blob/{entry.revision}/{entry.file}"
        lines.append(f"[{_name(entry.names[0])}]({page}) ({entry.size / 1e9:.1f} GB) → {_name(entry.folder)}")
    # Lines, not a list: Nodes 2.0 sets list entries far apart.
    return "  \n".join(["**Files** → folders in ComfyUI/models", *lines, *more])


SUPIR_FILE = (
    f"[{_name(FILES['supir'])}]({HUB}/Kijai/SUPIR_pruned/blob/main/{FILES['supir']}) (2.7 GB) → "
    + _name("model_patches"),
)
