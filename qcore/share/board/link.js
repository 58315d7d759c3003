// The view as an address: everything that is chosen stands behind the `#`, and is believed only as
// far as the board has it.

import { LETTERS } from "./palette.js";

export const VIEWS = {
  front: "Front",
  table: "Table",
  compare: "Compare",
  layers: "Bits and layers",
  outliers: "Outliers",
  tokens: "Tokens",
  recipes: "Recipes",
};

const LONGEST = 200;
const WORDS = ["view", "group", "x", "y", "log", "bars", "q", "sort", "columns", "runs", "run",
  "measure", "window", "shown", "theme", "embed", "all"];

function list(text) {
  return text.split(",").filter(Boolean);
}

// The state of an address, and a sentence for each part that the board cannot follow.
export function read(hash, board) {
  const faults = [];
  let asked;
  try {
    asked = new URLSearchParams(hash.replace(/^#/, "").slice(0, 4000));
  } catch {
    asked = new URLSearchParams();
  }
  const metrics = board.metrics.map((metric) => metric.name);
  const ids = new Set(board.runs.map((run) => run.id));
  const flag = (name, usual) => (asked.has(name) ? asked.get(name) === "1" : usual);
  const one = (name, known, usual) => {
    const value = asked.get(name);
    if (value === null) return usual;
    if (known.includes(value)) return value;
    faults.push(`The link names ${name} “${value.slice(0, 40)}”, which this board does not have.`);
    return usual;
  };
  const named = asked.has("runs") ? list(asked.get("runs")) : [];
  const lost = named.filter((run) => !ids.has(run));
  if (lost.length) faults.push(`The link names a run “${lost[0].slice(0, 40)}”, which this board does not have.`);
  for (const name of asked.keys()) {
    if (name && !WORDS.includes(name)) faults.push(`The link holds “${name.slice(0, 40)}”, which means nothing here.`);
  }
  const y = one("y", metrics, metrics.includes("loss_increase") ? "loss_increase" : metrics[0]);
  const groups = board.groups.map((_, place) => String(place));
  const many = groups.map((group) => board.runs.filter((run) => String(run.group) === group).length);
  const kept = named.filter((run) => ids.has(run));
  const state = {
    view: one("view", Object.keys(VIEWS), "front"),
    group: one("group", groups, String(many.indexOf(Math.max(...many)))),
    x: one("x", ["bits", "bytes"], "bits"),
    y,
    log: flag("log", board.metrics.find((metric) => metric.name === y)?.logarithmic ?? false),
    bars: flag("bars", true),
    q: (asked.get("q") ?? "").slice(0, LONGEST),
    sort: (asked.get("sort") ?? "bits").slice(0, LONGEST),
    columns: asked.has("columns") ? list(asked.get("columns")) : null,
    runs: [...new Set(kept)].slice(0, LETTERS.length),
    run: one("run", [...ids], board.runs[0].id),
    measure: (asked.get("measure") ?? "").slice(0, LONGEST),
    window: (asked.get("window") ?? "0").slice(0, 6),
    shown: (asked.get("shown") ?? "").slice(0, LONGEST),
    theme: one("theme", ["", "light", "dark"], ""),
    embed: flag("embed", false),
    all: flag("all", false),
  };
  return { state, faults };
}

// The address of a state; what is as usual is left out.
export function write(state, board) {
  const usual = read("", board).state;
  const asked = new URLSearchParams();
  for (const name of WORDS) {
    const value = state[name];
    const before = name === "log" ? read(`y=${state.y}`, board).state.log : usual[name];
    if (value === null || String(value) === String(before)) continue;
    if (typeof value === "boolean") asked.set(name, value ? "1" : "0");
    else asked.set(name, Array.isArray(value) ? value.join(",") : value);
  }
  return `#${asked}`;
}
