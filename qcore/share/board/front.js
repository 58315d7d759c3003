// What is the best for its size? Runs as points, and the front through the best.

import { chart, plain } from "./chart.js";
import { choice, make, toggle } from "./elements.js";
import { bytes, measured, significant } from "./numbers.js";
import { CHOSEN, METHOD_COLOURS, NEUTRAL } from "./palette.js";
import { front } from "./statistics.js";

const SIZES = { bits: "bits per quantized weight, scales included", bytes: "model size (bytes)" };
const BARS_UP_TO = 200;
const LABELLED_UP_TO = 10;

export function inGroup(board, state) {
  return board.runs.filter((run) => String(run.group) === state.group);
}

export function chooseGroup(board, state, change) {
  if (board.groups.length < 2) {
    return make("p", { class: "note" }, `${board.groups[0].model} · ${board.groups[0].label}`);
  }
  const options = board.groups.map((group, place) => [String(place), `${group.model} · ${group.label}`]);
  return choice("Measured on", options, state.group, (group) => change({ group }));
}

export function matching(runs, words) {
  const asked = words.toLowerCase().split(/\s+/).filter(Boolean);
  return runs.filter((run) => {
    const said = [run.title, run.recipeTitle, run.model, run.method, run.id, run.note ?? "",
      run.source ?? "", ...(run.tags ?? [])].join(" ").toLowerCase();
    return asked.every((word) => said.includes(word));
  });
}

function hover(run, metric, value) {
  const ends = value[1] === null ? "" : ` [${measured(metric, value[1])}, ${measured(metric, value[2])}]`;
  return `<b>${plain(run.title)}</b><br>${plain(metric.label)} ${measured(metric, value[0])}${ends}<br>` +
    `${significant(run.bits)} bits per weight · ${bytes(run.bytes)}<br>${run.id.slice(0, 8)}`;
}

function floatScore(metric, runs, board) {
  const certain = { loss_increase: 0, kl: 0, top1_agreement: 1, identical: 1 };
  if (metric.name in certain) return certain[metric.name];
  if (metric.name !== "perplexity") return null;
  const seen = new Set(runs.filter((run) => run.float !== undefined).map((run) => run.float));
  if (seen.size !== 1) return null;
  const losses = board.floats[[...seen][0]];
  return Math.exp(losses.reduce((sum, loss) => sum + loss, 0) / losses.length);
}

export function drawFront(place, board, state, change) {
  const at = board.metrics.findIndex((metric) => metric.name === state.y);
  const metric = board.metrics[at];
  const runs = matching(inGroup(board, state), state.q).filter((run) => run.values[at]);
  place.append(
    make("div", { class: "controls" },
      chooseGroup(board, state, change),
      choice("Across", Object.entries(SIZES), state.x, (x) => change({ x })),
      choice("Up", board.metrics.map((one) => [one.name, one.label]), state.y,
        (y) => change({ y, log: board.metrics.find((one) => one.name === y).logarithmic })),
      toggle("Logarithmic", state.log, (log) => change({ log })),
      toggle("95 % intervals", state.bars, (bars) => change({ bars }))));
  if (!runs.length) {
    place.append(make("p", {}, "No run of this choice has that number."));
    return;
  }
  const sizes = runs.map((run) => run[state.x]);
  const scores = runs.map((run) => run.values[at][0]);
  const best = front(sizes, scores, metric.higher);
  const traces = [{
    x: best.map((one) => sizes[one]), y: best.map((one) => scores[one]),
    mode: best.length <= LABELLED_UP_TO ? "lines+text" : "lines", name: "front", hoverinfo: "skip",
    text: best.map((one) => plain(runs[one].short)), textposition: "top right", textfont: { size: 11 },
    cliponaxis: false, line: { color: NEUTRAL, width: 2, shape: "hv" },
  }];
  for (const name of [...new Set(runs.map((run) => run.method))].sort()) {
    const part = runs.filter((run) => run.method === name);
    const values = part.map((run) => run.values[at]);
    const bars = state.bars && runs.length <= BARS_UP_TO && {
      type: "data", symmetric: false, thickness: 1, width: 3,
      array: values.map((value) => (value[2] === null ? 0 : value[2] - value[0])),
      arrayminus: values.map((value) => (value[1] === null ? 0 : value[0] - value[1])),
    };
    traces.push({
      x: part.map((run) => run[state.x]), y: values.map((value) => value[0]), mode: "markers",
      name: plain(name), customdata: part.map((run) => run.id),
      text: part.map((run, one) => hover(run, metric, values[one])),
      hovertemplate: "%{text}<extra></extra>", error_y: bars || undefined,
      marker: { size: 11, opacity: 0.9, color: METHOD_COLOURS[name] ?? NEUTRAL },
    });
  }
  const ringed = runs.filter((run) => state.runs.includes(run.id));
  if (ringed.length) {
    traces.push({
      x: ringed.map((run) => run[state.x]), y: ringed.map((run) => run.values[at][0]),
      mode: "markers", name: "chosen", hoverinfo: "skip",
      marker: { size: 18, color: "rgba(0,0,0,0)", line: { color: CHOSEN, width: 3 } },
    });
  }
  const level = floatScore(metric, runs, board);
  const line = level !== null && (level > 0 || !state.log) ? [{
    type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level,
    line: { color: NEUTRAL, dash: "dot", width: 1.5 },
  }] : [];
  chart(place, {
    traces,
    layout: {
      shapes: line,
      xaxis: { title: { text: SIZES[state.x] } },
      yaxis: { title: { text: plain(metric.axis) }, type: state.log ? "log" : "linear" },
    },
    height: 520,
    alt: `${runs.length} runs by ${SIZES[state.x]} and ${metric.axis}; ${best.length} of them on the front. ` +
      "The table has their numbers.",
    note: "The grey steps: none that was measured is both smaller and better. The dotted line is the " +
      "float network. A click chooses a run for Compare.",
    pick: (id) => {
      const chosen = state.runs.includes(id) ? state.runs.filter((run) => run !== id) : [...state.runs, id];
      change({ runs: chosen.slice(0, 6), run: id });
    },
  });
}
