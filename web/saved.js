// Workflows that were saved before a node had a choice go on computing what they computed.
// The editor restores widgets by their places; one that the file does not know yet would get today's default.
import { app } from "../../scripts/app.js";

// Of each node by place, from which on a file may end: what the node did when there was no such widget.
const BEFORE = {
  GRefineAQMap: { first: 4, values: ["paper"] }, // formula
  GRefineNoHarmGuard: { first: 10, values: [false, "scores"] }, // measure_anyway, rule
};

function complete(nodes) {
  for (const node of nodes ?? []) {
    const before = Object.hasOwn(BEFORE, node?.type) ? BEFORE[node.type] : null;
    const known = node?.widgets_values;
    if (!before || !Array.isArray(known) || known.length < before.first) continue;
    const missing = before.values.slice(known.length - before.first);
    if (missing.length) node.widgets_values = [...known, ...missing];
  }
}

app.registerExtension({
  name: "g-refine.saved",
  beforeConfigureGraph(graph) {
    complete(graph?.nodes);
    for (const subgraph of graph.definitions?.subgraphs ?? []) complete(subgraph?.nodes);
  },
});
