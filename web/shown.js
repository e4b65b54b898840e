// What the pack's nodes show on themselves after they ran: a small picture, and what they found in words.
// The nodes send it under the key "grefine" (nodes/preview.py): one card for each picture. The node around a subgraph
// shows what was found inside.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const NAME = "grefine_shown";
const MOST = 300; // pixels, with the margins, where the node has to grow for it; what is longer scrolls
const PICTURE = 170; // pixels, the height of a picture
const MARGIN = 10; // pixels that the editor leaves around an element, on each side
const COLORS = { good: "#56c080", warn: "#ffba49", bad: "#f06258", faint: "#8a919e" };
const CHIPS = { good: "#26523c", warn: "#805414", bad: "#862a28", faint: "#3a3f4b" };

// Drawing one card

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
  element.dataset.kind = line.kind;
  return element;
}

function loaded(picture, style) {
  const image = styled("img", { maxWidth: "100%", maxHeight: `${PICTURE}px`, objectFit: "contain", ...style });
  image.src = api.apiURL(`/view?${new URLSearchParams(picture)}`);
  image.draggable = false;
  return image;
}

function drawPicture(picture) {
  const image = loaded(picture, { display: "block", margin: "0 auto 4px" });
  image.onerror = () => image.remove(); // the host has emptied its temporary folder
  return image;
}

// Before and after, one over the other: left of the line as it was, right of it as it is now.
function drawComparison([before, after]) {
  const area = { gridArea: "1 / 1", height: `${PICTURE}px` };
  const box = styled("div", { display: "grid", justifyItems: "center", margin: "0 auto 4px", cursor: "ew-resize" });
  const pictures = styled("div", { display: "grid", position: "relative" });
  const [old, now] = [loaded(before, area), loaded(after, area)];
  const edge = styled("div", { position: "absolute", top: 0, bottom: 0, width: "1px", background: "#fff" });
  const slider = styled("input", { width: "100%", height: "14px", margin: "2px 0 0" });
  Object.assign(slider, { type: "range", min: 0, max: 100, value: 50, title: "before | after" });
  slider.setAttribute("aria-label", "before | after");
  const split = () => {
    now.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
    edge.style.left = `${slider.value}%`;
  };
  slider.addEventListener("input", split);
  pictures.addEventListener("pointermove", (event) => {
    const { left, width } = pictures.getBoundingClientRect(); // as it is on the screen, whatever the zoom
    slider.value = (100 * (event.clientX - left)) / width;
    split();
  });
  const names = ["before", "after"].map((name, index) => {
    const style = { position: "absolute", top: "2px", [index ? "right" : "left"]: "4px", fontSize: "10px" };
    const label = styled("span", { ...style, color: "#fff", textShadow: "0 0 3px #000", pointerEvents: "none" });
    label.textContent = name;
    return label;
  });
  for (const image of [old, now]) image.onerror = () => box.remove();
  pictures.append(old, now, edge, ...names);
  box.append(pictures, slider);
  box.dataset.compare = "";
  split();
  return box;
}

function drawCard(card, index, cards) {
  const parts = card.lines.map(drawLine);
  if (card.picture) parts.unshift(drawPicture(card.picture));
  if (card.compare) parts.unshift(drawComparison(card.compare));
  if (cards.length > 1 && index) parts.unshift(styled("hr", { border: "0", margin: "3px 0" }));
  return parts;
}

// The panel of a node

function panelOf(node) {
  const found = node.widgets?.find((widget) => widget.name === NAME);
  if (found) return found;
  // In a column of the newer renderer the content would set the height: a basis of none, and what is measured at least.
  const element = styled("div", {
    fontSize: "12px", lineHeight: "1.35", overflowY: "auto", userSelect: "text", color: "var(--input-text, #ddd)",
    height: "100%", flex: "1 1 0px", boxSizing: "border-box",
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

// The height that the content needs in the node's own units, measured aside: on the canvas it is scaled. `most`, with
// the margins, is what it gets.
function measure(element, width, most) {
  const copy = element.cloneNode(true);
  Object.assign(copy.style, { position: "fixed", visibility: "hidden", width: `${width}px`, height: "auto" });
  copy.style.minHeight = "";
  // They may not be there yet; without a source they are not asked for a second time.
  for (const image of copy.querySelectorAll("img")) {
    image.removeAttribute("src");
    image.style.height = `${PICTURE}px`;
  }
  document.body.append(copy);
  const height = copy.offsetHeight;
  copy.remove();
  return Math.min(most - 2 * MARGIN, height);
}

const drawn = new WeakMap(); // node -> its cards as text: what is there already keeps its place and its slider

function show(node, cards) {
  const text = JSON.stringify(cards);
  if (drawn.get(node) === text) return;
  drawn.set(node, text);
  const widget = panelOf(node);
  widget.element.replaceChildren(...cards.flatMap(drawCard));
  // On a node that is high already it takes the room from the node's fields of text, which scroll. Not where elements
  // have heights of their own, which this does not count: the node would grow with every run.
  widget.needed = 0;
  const room = LiteGraph.vueNodesMode ? 0 : node.size[1] - node.computeSize()[1];
  const height = measure(widget.element, node.size[0] - 40, Math.max(MOST, room));
  widget.needed = height + 2 * MARGIN;
  widget.element.style.minHeight = `${height}px`;
  const [least, lowest] = node.computeSize();
  if (node.size[1] < lowest || node.size[0] < least) {
    node.setSize([Math.max(node.size[0], least), Math.max(node.size[1], lowest)]);
  }
  node.setDirtyCanvas?.(true, true);
}

// Which node shows what. The host keeps the results of a workflow in app.nodeOutputs and brings them back with its tab;
// a node of a subgraph has them under the subgraph's name and its own, in older editors, once they were brought back,
// under the whole way to it, "5:12". Of several nodes with the same subgraph it keeps those of the last: what was just
// heard is held by the whole way.

const root = () => app.rootGraph ?? app.graph;
const isOurs = (node) => (node.comfyClass ?? node.type ?? "").startsWith("GRefine");
const heard = new Map();

// What the node around a subgraph tells: its report if there is one; else each node's main lines.
function gathered(inside) {
  const report = inside.findLast((cards) => cards.some((card) => card.compare));
  if (report) return report;
  const count = Math.max(0, ...inside.map((cards) => cards.length));
  const lines = (index) => {
    const told = inside.flatMap((cards) => cards[index]?.lines.filter((line) => line.main) ?? []);
    return told.filter((line, place) => told.findIndex((other) => other.text === line.text) === place);
  };
  return Array.from({ length: count }, (_, index) => ({ lines: lines(index) })).filter((card) => card.lines.length);
}

function redraw(graph = root(), way = "") {
  const inside = [];
  for (const node of graph?.nodes ?? []) {
    if (node.subgraph) {
      const found = redraw(node.subgraph, `${way}${node.id}:`);
      const cards = gathered(found);
      if (cards.length) show(node, cards);
      inside.push(...found);
    } else if (isOurs(node)) {
      nameLinked(node, graph);
      const path = `${way}${node.id}`;
      const cards = heard.get(path) ?? (app.nodeOutputs?.[keyOf(node, graph)] ?? app.nodeOutputs?.[path])?.grefine;
      if (!cards?.length) continue;
      show(node, cards);
      inside.push(cards);
    }
  }
  return inside;
}

const keyOf = (node, graph) => (graph === root() ? `${node.id}` : `${graph.id}:${node.id}`);

// Once, however much happened; afterwards, for the host brings results back after it has told of the graph.
let waiting = null;
function redrawSoon() {
  waiting ??= setTimeout(() => {
    waiting = null;
    redraw();
  });
}

// A text that comes from elsewhere leaves an empty box in some editors: it says where from.
function nameLinked(node, graph) {
  for (const input of node.inputs ?? []) {
    const widget = input.widget && node.widgets?.find((each) => each.name === input.widget.name);
    if (widget?.type !== "customtext") continue;
    const name = input.label ?? input.localized_name ?? input.name;
    const link = input.link == null ? null : graph.getLink(input.link);
    const source = link && (graph.getNodeById(link.origin_id)?.title ?? graph.inputs?.[link.origin_slot]?.name);
    const told = source ? `${name} ← ${source}` : name;
    if (widget.element?.placeholder !== undefined) widget.element.placeholder = told;
    if (source || widget.label) widget.label = told;
  }
}

// The host forgets results when the page is loaded again: the browser's tab remembers what was shown, and hands it back
// with the same nodes, if they are there before anybody has done anything. What is opened later is shown as it opens.
const MEMORY = "g-refine.shown";

function ours(graph = root()) {
  return (graph?.nodes ?? []).flatMap((node) => {
    if (node.subgraph) return ours(node.subgraph);
    return isOurs(node) ? [[keyOf(node, graph), node.type]] : [];
  });
}

function remember() {
  const found = ours().map(([key, type]) => [key, type, app.nodeOutputs?.[key]?.grefine]);
  try {
    sessionStorage.removeItem(MEMORY);
    sessionStorage.setItem(MEMORY, JSON.stringify(found.filter(([, , cards]) => cards?.length)));
  } catch {
    // Too much for the browser, or it keeps nothing at all: then it is shown again after the next run.
  }
}

function whatWasKept() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(MEMORY));
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

let remembered = whatWasKept();
for (const event of ["pointerdown", "keydown"]) {
  window.addEventListener(event, () => (remembered = []), { capture: true, once: true });
}

function recall() {
  const there = new Map(ours());
  if (!remembered.every(([key, type]) => there.get(key) === type)) return;
  for (const [key, , grefine] of remembered) app.nodeOutputs[key] ??= { grefine };
}

app.registerExtension({
  name: "g-refine.shown",
  setup() {
    api.addEventListener("executed", ({ detail }) => {
      const cards = detail.output?.grefine;
      if (!cards?.length) return;
      heard.set(String(detail.display_node ?? detail.node), cards);
      redrawSoon();
    });
    api.addEventListener("execution_success", () => setTimeout(remember));
  },
  nodeCreated(node) {
    if (!isOurs(node)) return;
    const before = node.onConnectionsChange;
    node.onConnectionsChange = function (...change) {
      before?.apply(this, change);
      redrawSoon();
    };
  },
  afterConfigureGraph() {
    heard.clear();
    setTimeout(() => {
      recall();
      redraw();
    });
  },
  onNodeOutputsUpdated() {
    redrawSoon();
  },
});
