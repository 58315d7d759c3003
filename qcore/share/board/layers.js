// Which layer got how many bits, and what did that cost it?

import { blockAxis, chart, plain } from "./chart.js";
import { choice, make } from "./elements.js";
import { LETTERS, RUN_COLOURS, RUN_DASHES } from "./palette.js";
import { chosenRuns } from "./compare.js";
import { significant } from "./numbers.js";

function each(value, count) {
  return Array.isArray(value) ? value : new Array(count).fill(value);
}

export function chooseRun(board, state, change, runs) {
  const options = runs.map((run) => [run.id, `${run.title} · ${run.id.slice(0, 6)}`]);
  const chosen = runs.some((run) => run.id === state.run) ? state.run : runs[0].id;
  return [choice("Run", options, chosen, (run) => change({ run })), runs.find((run) => run.id === chosen)];
}

export function drawLayers(place, board, state, change) {
  const runs = board.runs.filter((run) => run.network !== undefined);
  if (!runs.length) {
    place.append(make("p", {}, "No run of this board quantized a layer."));
    return;
  }
  const [field, run] = chooseRun(board, state, change, runs);
  place.append(make("div", { class: "controls" }, field));
  drawBits(place, board.networks[run.network], run);
  const compared = chosenRuns(board, state).filter((one) => one.network !== undefined);
  const shown = compared.length ? compared : [run];
  drawErrors(place, board, shown, state, change);
}

function drawBits(place, network, run) {
  const projections = [...new Set(network.projections)];
  const blocks = [...new Set(network.blocks)].sort((one, other) => one - other);
  const bits = each(run.layerBits, network.names.length);
  const formats = each(run.format, network.names.length);
  const empty = () => projections.map(() => blocks.map(() => null));
  const [z, text] = [empty(), empty()];
  network.names.forEach((name, at) => {
    const [row, column] = [projections.indexOf(network.projections[at]), blocks.indexOf(network.blocks[at])];
    z[row][column] = bits[at];
    text[row][column] = `${plain(name)}<br>${plain(run.formats[formats[at]])}, ${significant(bits[at])} bits` +
      `<br>weight error ${significant(run.weightError[at])}`;
  });
  place.append(make("h3", {}, "Bits of every layer"));
  chart(place, {
    traces: [{
      type: "heatmap", z, x: blocks, y: projections, text, colorscale: "Viridis", xgap: 1, ygap: 1,
      hovertemplate: "%{text}<extra></extra>", colorbar: { title: { text: "bits" } },
      zmin: Math.min(...bits) === Math.max(...bits) ? bits[0] - 1 : undefined,
      zmax: Math.min(...bits) === Math.max(...bits) ? bits[0] + 1 : undefined,
    }],
    layout: { xaxis: blockAxis(blocks.length), yaxis: { autorange: "reversed", showgrid: false } },
    height: 120 + 34 * projections.length,
    alt: `${run.title}: ${run.formats.join(", ")} over ${blocks.length} blocks and ${projections.length} projections`,
    note: "Bits per weight, scales included.",
  });
}

function drawErrors(place, board, runs, state, change) {
  const kinds = runs.some((run) => run.outputError)
    ? [["outputError", "output error"], ["weightError", "weight error"]] : [["weightError", "weight error"]];
  const kind = kinds.some(([name]) => name === state.measure) ? state.measure : kinds[0][0];
  const label = kinds.find(([name]) => name === kind)[1];
  place.append(make("h3", {}, "Error of every layer"),
    make("div", { class: "controls" }, choice("Error", kinds, kind, (measure) => change({ measure }))));
  chart(place, {
    traces: runs.filter((run) => run[kind]).map((run, at) => ({
      x: board.networks[run.network].names.map(plain), y: run[kind], mode: "lines",
      name: `${LETTERS[at]}  ${plain(run.short)}`,
      line: { color: RUN_COLOURS[at], dash: RUN_DASHES[at], width: 1.5 },
    })),
    layout: {
      xaxis: { title: { text: "layer, in the network’s order" }, showticklabels: false },
      yaxis: { type: "log", title: { text: `relative squared ${label}` } },
    },
    alt: `Relative squared ${label} by layer of ${runs.map((run) => run.title).join("; ")}`,
    note: "Of the runs chosen for Compare. Peaks are layers that want more bits, or another scale.",
  });
}
