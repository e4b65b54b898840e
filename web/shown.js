// What the pack's nodes show on themselves after they ran: a small picture, and what they found in words.
// The nodes send it under the key "grefine" (nodes/preview.py): one card for each picture.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const NAME = "grefine_shown";
const MOST = 300; // pixels; what is longer scrolls
const COLORS = { good: "#56c080", warn: "#ffba49", bad: "#f06258", faint: "#8a919e" };
const CHIPS = { good: "#26523c", warn: "#805414", bad: "#862a28", faint: "#3a3f4b" };

function styled(tag, style) {
  const element = document.createElement(tag);
  Object.assign(element.style, style);
  return element;
}

function drawLine(line) {
  const color = line.chip
    ? { background: CHIPS[line.kind], color: "#e2e5eb", borderRadius: "4px", padding: "0 5px", margin: "2px 4px 2px 0" }
    : { color: COLORS[line.kind] ?? "inherit", margin: "1px 0" };
  const shape = { display: line.chip ? "inline-block" : "block", overflowWrap: "anywhere", whiteSpace: "pre-wrap" };
  const element = styled(line.chip ? "span" : "div", { ...shape, ...color });
  element.textContent = line.text; // never HTML: prompts are anything
  if (line.title) element.title = line.title;
  return element;
}

function drawPicture(picture) {
  const image = styled("img", {
    display: "block", maxWidth: "100%", maxHeight: "170px", margin: "0 auto 4px", objectFit: "contain",
  });
  image.src = api.apiURL(`/view?${new URLSearchParams(picture)}`);
  image.onerror = () => image.remove(); // the host has emptied its temporary folder
  return image;
}

function panelOf(node) {
  const found = node.widgets?.find((widget) => widget.name === NAME);
  if (found) return found;
  const element = styled("div", {
    fontSize: "12px", lineHeight: "1.35", overflowY: "auto", userSelect: "text", color: "var(--input-text, #ddd)",
  });
  const widget = node.addDOMWidget(NAME, NAME, element, {
    serialize: false,
    hideOnZoom: false, // a picture is worth seeing in the overview, too
    getValue: () => "",
    setValue: () => {},
    getMinHeight: () => widget.needed ?? 40,
  });
  widget.serialize = false; // neither in the prompt nor among the saved values, which go by their places
  return widget;
}

// The height that the panel needs in the node's own units, measured aside: on the canvas it is scaled.
function measure(widget, width) {
  const copy = widget.element.cloneNode(true);
  Object.assign(copy.style, { position: "fixed", visibility: "hidden", width: `${width}px`, height: "auto" });
  document.body.append(copy);
  const pictures = copy.querySelectorAll("img").length ? 176 * copy.querySelectorAll("img").length : 0;
  for (const image of copy.querySelectorAll("img")) image.remove();
  const height = copy.offsetHeight + pictures;
  copy.remove();
  return Math.min(MOST, height + 12);
}

function show(node, cards) {
  const widget = panelOf(node);
  widget.element.replaceChildren(
    ...cards.flatMap((card, index) => {
      const parts = card.lines.map(drawLine);
      if (card.picture) parts.unshift(drawPicture(card.picture));
      if (cards.length > 1 && (card.picture || index)) parts.unshift(styled("hr", { border: "0", margin: "3px 0" }));
      return parts;
    }),
  );
  widget.needed = measure(widget, node.size[0] - 40);
  const [width, height] = node.computeSize();
  if (node.size[1] < height || node.size[0] < width) {
    node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  }
  node.setDirtyCanvas?.(true, true);
}

app.registerExtension({
  name: "g-refine.shown",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith("GRefine")) return;
    const before = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (output) {
      before?.apply(this, arguments);
      if (output?.grefine?.length) show(this, output.grefine);
    };
  },
});
