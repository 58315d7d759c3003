// Why is B better than A? Runs against a baseline, window by window.

import { chart, plain } from "./chart.js";
import { button, choice, grid, make } from "./elements.js";
import { measured, signed, significant } from "./numbers.js";
import { LETTERS, NEUTRAL, RUN_COLOURS } from "./palette.js";
import { better, paired, shares, verdict } from "./statistics.js";

export function chosenRuns(board, state) {
  const byId = new Map(board.runs.map((run) => [run.id, run]));
  const chosen = state.runs.map((id) => byId.get(id)).filter(Boolean);
  if (chosen.length) return chosen;
  return board.runs.filter((run) => String(run.group) === state.group).slice(0, 3);
}

function differences(board, base, run) {
  const stretch = (one, other) => board.stretch[String(Math.min(one.length, other.length))] ?? 1;
  const found = [];
  if (base.loss.length && run.loss.length) {
    const wide = stretch(base.loss, run.loss);
    found.push({ metric: "loss", label: "Loss (nats/token)", higher: false, share: false,
      ...paired(base.loss, run.loss, wide) });
    if (board.metrics.some((metric) => metric.name === "perplexity")) {
      found.push({ metric: "perplexity", label: "Perplexity", higher: false, share: false,
        ...paired(base.loss, run.loss, wide, Math.exp) });
    }
  }
  if (base.kl.length && run.kl.length) {
    found.push({ metric: "kl", label: "KL divergence (nats/token)", higher: false, share: false,
      ...paired(base.kl, run.kl, stretch(base.kl, run.kl)) });
  }
  board.metrics.forEach((metric, at) => {
    if (metric.name.startsWith("accuracy/") && base.values[at] && run.values[at]) {
      found.push({ metric: metric.name, label: metric.label, higher: true, share: true,
        ...shares(base.values[at], run.values[at]) });
    }
  });
  return found;
}

function flat(part, above = "") {
  return Object.entries(part).flatMap(([name, value]) =>
    (value !== null && typeof value === "object" && !Array.isArray(value)
      ? flat(value, `${above}${name}.`) : [[`${above}${name}`, value]]));
}

function knobs(runs) {
  const maps = runs.map((run) => new Map(flat(run.recipe)));
  const paths = [...new Set(maps.flatMap((map) => [...map.keys()]))];
  const text = (value) => (value === undefined || value === null ? "–" : JSON.stringify(value).replaceAll('"', ""));
  return paths.filter((path) => !path.startsWith("evaluation"))
    .map((path) => [path, ...maps.map((map) => text(map.get(path)))])
    .filter((row) => new Set(row.slice(1)).size > 1);
}

export function drawCompare(place, board, state, change) {
  const chosen = chosenRuns(board, state);
  const [base] = chosen;
  const alike = chosen.filter((run) => run.group === base.group);
  const options = board.runs.map((run) => [run.id, `${run.title} · ${run.id.slice(0, 6)}`]);
  const ids = chosen.map((run) => run.id);
  const replaced = (at, id) => change({ runs: [...new Set(ids.map((one, here) => (here === at ? id : one)))] });
  const fields = ids.map((id, at) => choice(
    at ? LETTERS[at] : "Baseline A", options, id, (run) => replaced(at, run)));
  const rest = board.runs.find((run) => !ids.includes(run.id) && run.group === base.group);
  place.append(make("div", { class: "controls" }, ...fields,
    ids.length < LETTERS.length && rest ? button("Add a run", () => change({ runs: [...ids, rest.id] })) : null,
    ids.length > 2 ? button("Leave out the last", () => change({ runs: ids.slice(0, -1) })) : null));
  for (const run of chosen.filter((one) => one.group !== base.group)) {
    place.append(make("p", { class: "warning" },
      `${run.title} was not scored on the baseline's text, windows and network: it cannot be compared.`));
  }
  if (alike.length < 2) {
    place.append(make("p", {}, "Choose two runs or more, here, in the table or on the front."));
    return;
  }
  const found = alike.slice(1).map((run) => differences(board, base, run));
  place.append(make("ul", { class: "verdicts" }, make("li", {}, `A  ${base.title}: the baseline.`),
    ...found.map((rows, at) => make("li", {}, `${LETTERS[at + 1]}  ${alike[at + 1].title}: ` +
      (rows.length ? verdict(rows[0]) : "no window of text was scored, so nothing can be said.")))));
  const metrics = [...new Set(found.flatMap((rows) => rows.map((row) => row.metric)))];
  const shown = metrics.includes(state.shown) ? state.shown : metrics[0];
  const label = (metric) => found.flat().find((row) => row.metric === metric).label;
  place.append(choice("Forest of", metrics.map((metric) => [metric, label(metric)]), shown,
    (metric) => change({ shown: metric })));
  forest(place, alike, found, shown, label(shown));
  place.append(grid(["Run", "Metric", "A", "Run’s", "Difference", "95 % interval", "Says"],
    found.flatMap((rows, at) => rows.map((row) => [
      LETTERS[at + 1], row.label, measured(row, row.base), measured(row, row.value), signed(row.gap),
      row.low === null ? "–" : `[${signed(row.low)}, ${signed(row.high)}]`,
      { true: "better", false: "worse", null: "open" }[better(row, row.higher)],
    ])), "Differences from the baseline, in pairs of windows"));
  const rows = knobs(alike);
  if (rows.length) {
    place.append(grid(["Knob", ...alike.map((_, at) => LETTERS[at])], rows, "Knobs that differ"));
  }
}

function forest(place, alike, found, shown, label) {
  const rows = found.map((one) => one.find((row) => row.metric === shown) ?? null);
  const there = rows.map((_, at) => at).filter((at) => rows[at]);
  const names = there.map((at) => `${LETTERS[at + 1]}  ${plain(alike[at + 1].short)}`);
  chart(place, {
    traces: [{
      x: there.map((at) => rows[at].gap), y: names, mode: "markers", showlegend: false,
      hovertemplate: "%{x:.4g}<extra></extra>",
      marker: { size: 12, color: there.map((at) => RUN_COLOURS[at + 1]) },
      error_x: {
        type: "data", symmetric: false, thickness: 2, color: NEUTRAL,
        array: there.map((at) => (rows[at].high === null ? 0 : rows[at].high - rows[at].gap)),
        arrayminus: there.map((at) => (rows[at].low === null ? 0 : rows[at].gap - rows[at].low)),
      },
    }],
    layout: {
      xaxis: { title: { text: `${plain(label)}: difference from A` }, zeroline: true, zerolinewidth: 2 },
      yaxis: { range: [there.length - 0.5, -0.5] },
    },
    height: 120 + 50 * there.length,
    alt: there.map((at) => `${LETTERS[at + 1]}: ${significant(rows[at].gap)}`).join("; "),
    note: "Intervals that leave zero out: the runs can be told apart, whatever their own intervals say.",
  });
}
