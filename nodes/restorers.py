"""Nodes for registered restorers that have none of their own: made of what the entry says, its options are the inputs.

A restorer whose weights the host should manage, or whose options need lists of their own, gets a node by hand, as PASD.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..grefine_core.engines.entry import Entry, Option, Placement
from ..grefine_core.engines.registry import RESTORERS
from ..grefine_core.models.files import SUFFIXES
from ..grefine_core.refine.protocols import Restorer
from . import host, inputs
from .io_types import CATEGORY, RestorerType

NONE = "none"
_LARGEST = 2**31 - 1


def loader_nodes() -> list[type[io.ComfyNode]]:
    """A loader for every registered restorer that is read from files and that no node gives yet."""
    return [loader_node(entry) for entry in RESTORERS if not entry.node and not entry.uses_inpainter]


def loader_node(entry: Entry[Restorer]) -> type[io.ComfyNode]:
    """The node that loads a restorer. Its id is GRefineLoad and the entry's name, with a capital."""
    options = [option for option in entry.options if _has_input(option)]

    class Loader(io.ComfyNode):
        """A registered restorer."""

        @classmethod
        def define_schema(cls) -> io.Schema:
            """The node's inputs and outputs."""
            return host.schema(
                node_id=f"GRefineLoad{entry.name.title().replace('_', '')}",
                display_name=f"Load {entry.title}",
                category=f"{CATEGORY}/restore",
                description=f"Loads a restorer: {entry.summary}. Nothing is downloaded.",
                inputs=[
                    *(_input(option) for option in options),
                    io.Combo.Input(
                        "device",
                        options=list(host.DEVICES),
                        default="auto",
                        tooltip="Where it works; auto takes the host's device.",
                        **host.known(io.Combo.Input, advanced=True),
                    ),
                ],
                outputs=[RestorerType.Output("restorer", display_name="restorer", tooltip="For Stage-2 Restore.")],
            )

        @classmethod
        def execute(cls, device: str, **given: Any) -> io.NodeOutput:
            """Load it; which inputs there are, the entry says."""
            inputs.choice(device, "device", host.DEVICES)
            values = {option.name: _checked(option, given[option.name]) for option in options}
            chosen = {name: value for name, value in values.items() if value is not None}
            if entry.check is not None:
                entry.check(**chosen)
            return io.NodeOutput(entry.load(**chosen, place=Placement(str(host.compute_device(device)))))

    Loader.__name__ = Loader.__qualname__ = f"GRefineLoad{entry.name.title().replace('_', '')}"
    return Loader


def _has_input(option: Option) -> bool:
    """A number without a default has no value that stands for "as the engine has it"."""
    return (option.kind is not int and option.kind is not float) or option.default is not None


def _choices(option: Option) -> list[str]:
    """What is to be chosen from: the files of models/grefine, or the option's own choices."""
    found = host.model_files(host.FOLDER, SUFFIXES) if option.kind is Path else list(option.choices)
    return found if option.needed or option.default is not None else [NONE, *found]


def _input(option: Option) -> Any:
    if option.kind is Path or option.choices:
        names = _choices(option)
        default = option.default if option.default in names else names[0] if names else None
        more = {} if default is None else {"default": default}
        return io.Combo.Input(option.name, options=names, tooltip=option.help, **more)
    if option.kind is int:
        return io.Int.Input(
            option.name, default=option.default, min=-_LARGEST, max=_LARGEST, step=1, tooltip=option.help
        )
    if option.kind is float:
        return io.Float.Input(option.name, default=option.default, min=-1e6, max=1e6, step=0.01, tooltip=option.help)
    return io.String.Input(
        option.name, default=option.default or "", multiline=True, dynamic_prompts=False, tooltip=option.help
    )


def _checked(option: Option, value: object) -> Any:
    """The value as the engine's loader takes it; None = as the engine has it.

    Raises:
        InputError: of another type, not among the choices, or a file that is not there.
    """
    if option.kind is Path:
        chosen = inputs.text(value, option.name)
        return None if chosen == NONE and not option.needed else host.model_path(host.FOLDER, chosen, option.name)
    if option.choices:
        chosen = inputs.choice(value, option.name, tuple(_choices(option)))
        return None if chosen == NONE and NONE not in option.choices else chosen
    if option.kind is int:
        return inputs.whole_number(value, option.name, -_LARGEST, _LARGEST)
    if option.kind is float:
        return inputs.number(value, option.name, -1e6, 1e6)
    return inputs.text(value, option.name) or None
