"""Which nodes made the saved picture: from the node that saved it, along pictures and latents, to the samplers.

A picture that is refined, enlarged or repaired in parts keeps the prompt that it was begun with. One that was painted
anew from what another prompt gave has the two of them, and nobody can tell which it is to be measured by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .graph import Graph, Link, Node, literal, plain_kind, switched

_PROMPTED = re.compile(
    r"(base_)?pos(itive)?|conditioning|cond|cond1|guider|(text|prompt|hyvid)_?embeds|(.*_)?pipe|context|ctx|positive_prompt"
)
_SETTINGS = re.compile(
    r"(noise_)?seed|steps|cfg|denoise|sampler(_name)?|scheduler|sigmas|noise|guidance(_scale)?|start_at_step|add_noise"
)
_SAMPLES = re.compile(r"sampl|detailer|upscale")
_GENERATES = re.compile(
    r"seed|aspect_ratio|width|size|quality|resolution|model(_name)?|n|num_images|steps|guidance|prompt_upsampling"
)
_LOOKS = re.compile(
    r"segment|dino|sam\d|detect|caption|florence|overlay|draw|text(on|to|over)?image|imagetext|addtext|watermark|clipseg|classif"
    r"|mask|tagger|interrogat|describe|vision|encode|rerank|score|grefine|loadimage|saveimage|imagesave"
)
_CONTENT = re.compile(
    r"(.*_)?(images?|img|pixels|samples?|latents?|latent_image|video|frames?|pictures?|photo|destination|source|segs|stitch(er)?|"
    r"foreground|background|layer|base|anything|any|inpainted_image|cropped_image|refined|input|data|value|[xyab])"
    r"([_ ]?(\d+|[a-z]|in|opt|pass|to|from))?|\*|"
)
_NOT_CONTENT = re.compile(
    r"(opt_)?(.*_)?(model|ckpt|clip|vae|control_?net|mask|masks|noise_mask|positive|negative|conditioning|cond|cond\d|guider|"
    r"sampler|sigmas|noise|upscale_model|clip_vision|clip_vision_output|ipadapter|style_model|lora|loras|seed|noise_seed|steps|"
    r"cfg|denoise|width|height|length|batch_size|amount|strength|fps|frame_rate|text|prompt|string|filename|filename_prefix|"
    r"embeds|scale_by|upscale_by|megapixels|options|size|x|y|expand|switch|boolean|select|index)(_?\d+|_name|_opt)?"
    r"|(start|end|ref|reference|control|style|hint|guide|pose|face|depth|canny|first|last|init|clip|character)_"
    r"(image|images|video|latent|frame|frames|samples)(_?\d+)?"
)
_SAVES = re.compile(r"save|imagewriter|videocombine|writeimage|exportimage|uploadimage|imageoutput|sendimage")
_SAVES_ELSE = re.compile(
    r"save(text|string|latent|checkpoint|model|clip|vae|lora|embedding|json|prompt|conditioning|tensor|mask)|(checkpoint|model|clip|vae|"
    r"lora|latent|text)save|savemask|logsave"
)
_SHOWS = re.compile(r"preview|show|display|compare|view")
_DETAILS = re.compile(r"detailer")
_PARTS = re.compile(r"segs|bbox_detector|detailer_pipe|segm_detector")


class Chain:
    """Walks one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._content: dict[str, list[str]] = {}
        self._sampled: dict[str, bool] = {}

    def outputs(self, name: str | None = None) -> list[Node]:
        """The nodes that may have written the picture: those that save one that was sampled; without them those that
        show one; without them the last samplers.

        Args:
            name: the picture's file name: where one output alone is for such names, that one wrote it.
        """
        linked = {link.node for node in self._graph.values() for link in node.links().values()}
        saving = [node for node in self._graph.values() if _saves(node)]
        showing = [node for node in self._graph.values() if node.is_kind(_SHOWS) and not _saves(node)]
        ends = [node for key, node in self._graph.items() if key not in linked]
        for nodes in (saving, showing, ends):
            found = [node for node in nodes if self._is_sampled(node.id)]
            if found:
                wrote = [node for node in found if name and _wrote(node, name)]
                return wrote if len(wrote) == 1 else found
            if nodes is saving and any(self._inputs(node) for node in saving):
                return []
        return []

    def samplers(self, nodes: Iterable[Node]) -> list[Node]:
        """The samplers that what nodes save, show or sample began with."""
        found: list[Node] = []
        seen: set[str] = set()
        waiting = [node.id for node in nodes]
        while waiting:
            key = waiting.pop()
            if key in seen or key not in self._graph:
                continue
            seen.add(key)
            each = self._graph[key]
            before = self._inputs(each)
            if self.is_sampler(each):
                from_samples = any(self._is_sampled(other) for other in before)
                if not from_samples or not self._goes_on(each):
                    found.append(each)
                if not from_samples:
                    continue
            waiting.extend(reversed(before))
        return found

    def shown_to(self, sampler: Node) -> list[Node]:
        """The samplers that made the pictures that a sampler was shown as its condition, as for films."""
        begun: list[Node] = []
        seen = {sampler.id}
        waiting = [link.node for name, link in sampler.links().items() if _PROMPTED.fullmatch(name.lower())]
        while waiting:
            key = waiting.pop()
            node = self._graph.get(key)
            if node is None or key in seen:
                continue
            seen.add(key)
            if self.is_sampler(node):
                begun.append(node)
                continue
            links = node.links()
            waiting += [
                link.node
                for name, link in links.items()
                if _PROMPTED.fullmatch(name.lower()) or "image" in name.lower()
            ] or self._inputs(node)
        return self.samplers(begun)

    def is_sampler(self, node: Node) -> bool:
        """Whether a node makes pictures from a prompt."""
        names = {name.lower(): value for name, value in node.inputs.items()}
        prompted = any(
            _PROMPTED.fullmatch(name) and (isinstance(value, Link) or (isinstance(value, str) and value.strip()))
            for name, value in names.items()
        )
        if prompted and (any(map(_SETTINGS.fullmatch, names)) or node.is_kind(_SAMPLES)):
            return True
        value = names.get("prompt")
        asked = isinstance(value, Link) or (isinstance(value, str) and bool(value.strip()))
        return (
            asked
            and "clip" not in names
            and any(map(_GENERATES.fullmatch, names))
            and not node.is_kind(_LOOKS)
            and "text" not in names
        )

    @staticmethod
    def repairs_parts(sampler: Node) -> bool:
        """Whether a sampler paints over faces, hands and the like, and its prompt is theirs."""
        return sampler.is_kind(_DETAILS) or any(_PARTS.fullmatch(name.lower()) for name in sampler.inputs)

    def _goes_on(self, node: Node) -> bool:
        """Whether a sampler refines what comes in, as against painting anew."""
        names = {name.lower(): name for name in node.inputs}
        if not {"latent_image", "latent", "latents", "samples", "optional_latent"} & set(names):
            # Detailers and enlargers take pictures. What asks a service with a picture paints as it is told.
            return any(map(_PROMPTED.fullmatch, names))

        def value(name: str) -> object:
            return literal(self._graph, node.inputs[names[name]]) if name in names else None

        start, denoise, adds = value("start_at_step"), value("denoise"), value("add_noise")
        if adds in ("disable", False) or (isinstance(start, (int, float)) and start > 0):
            return True
        if isinstance(denoise, (int, float)):
            return denoise < 1
        noise = node.inputs.get("noise")
        noise = self._graph.get(noise.node) if isinstance(noise, Link) else None
        if noise is not None and "disable" in plain_kind(noise.kind):
            return True
        if isinstance(node.inputs.get("sigmas"), Link):
            return self._partly(node.inputs["sigmas"])
        return not {"start_at_step", "add_noise", "denoise", "noise"} & set(names)

    def _partly(self, link: Link) -> bool:
        """Whether sigmas begin below the top."""
        for _ in range(64):
            node = self._graph.get(link.node)
            if node is None:
                return False
            denoise = literal(self._graph, node.inputs.get("denoise"))
            if "split" in plain_kind(node.kind) or (isinstance(denoise, (int, float)) and denoise < 1):
                return True
            further = node.inputs.get("sigmas")
            if not isinstance(further, Link):
                return False
            link = further
        return False

    def _is_sampled(self, key: str) -> bool:
        """Whether a sampler lies behind a node, or is it."""
        waiting: list[tuple[str, bool]] = [(key, False)]
        under_way: set[str] = set()
        while waiting:
            at, done = waiting.pop()
            node = self._graph.get(at)
            if node is None or at in self._sampled or (at in under_way and not done):
                continue
            before = self._inputs(node)
            if done:
                self._sampled[at] = self.is_sampler(node) or any(self._sampled.get(other, False) for other in before)
            elif self.is_sampler(node):
                self._sampled[at] = True
            else:
                under_way.add(at)
                waiting.append((at, True))
                waiting.extend((other, False) for other in before)
        return self._sampled.get(key, False)

    def _inputs(self, node: Node) -> list[str]:
        """The nodes whose pictures or latents come in."""
        if node.id not in self._content:
            self._content[node.id] = list(dict.fromkeys(link.node for link in self._content_links(node)))
        return self._content[node.id]

    def _content_links(self, node: Node) -> list[Link]:
        links = node.links()
        choice = switched(self._graph, node)
        if choice is not None:
            return [links[name] for name in choice[0] if name in links]
        possible = {name: link for name, link in links.items() if not _NOT_CONTENT.fullmatch(name.lower())}
        certain = [link for name, link in possible.items() if _CONTENT.fullmatch(name.lower())]
        return certain or list(possible.values())


def _saves(node: Node) -> bool:
    if node.is_kind(_SAVES_ELSE):
        return False
    return node.is_kind(_SAVES) or ("filename_prefix" in node.inputs and bool(node.links()))


def _wrote(node: Node, name: str) -> bool:
    """Whether a file is called as ComfyUI calls those of an output: its prefix, a number, ``_``."""
    prefix = node.inputs.get("filename_prefix")
    if not isinstance(prefix, str) or "%" in prefix:
        return False
    return re.fullmatch(re.escape(re.split(r"[/\\]", prefix)[-1]) + r"_\d{5,}_?\.\w+", name) is not None
