// Every run in a row: search, sort, choose columns and runs, save as CSV.

import { button, make, saved, toggle } from "./elements.js";
import { inGroup, chooseGroup, matching } from "./front.js";
import { bytes, day, measured, significant } from "./numbers.js";

const MOST_CHOSEN = 6;

function columnsOf(board) {
  const metrics = board.metrics.map((metric, at) => ({
    key: metric.name, label: metric.label, usual: true, numeric: true,
    value: (run) => run.values[at]?.[0] ?? null,
    text: (run) => measured(metric, run.values[at]?.[0]),
  }));
  const words = (key, label, value, usual = false) =>
    ({ key, label, usual, numeric: false, value, text: value });
  return [
    words("title", "Run", (run) => run.title, true),
    words("method", "Method", (run) => run.method, true),
    { key: "bits", label: "Bits per weight", usual: true, numeric: true,
      value: (run) => run.bits, text: (run) => significant(run.bits) },
    { key: "bytes", label: "Size", usual: true, numeric: true,
      value: (run) => run.bytes, text: (run) => bytes(run.bytes) },
    ...metrics,
    words("tags", "Tags", (run) => (run.tags ?? []).join(", ")),
    words("note", "Note", (run) => run.note ?? "", board.runs.some((run) => run.note)),
    words("source", "Source", (run) => run.source ?? ""),
    words("recipe", "Recipe", (run) => run.recipeTitle),
    words("model", "Model", (run) => run.model),
    { key: "created", label: "Finished", usual: false, numeric: true,
      value: (run) => run.created, text: (run) => day(run.created) },
    words("id", "Id", (run) => run.id, true),
  ];
}

function sorted(runs, columns, sort) {
  const down = sort.startsWith("-");
  const column = columns.find((one) => one.key === sort.replace(/^-/, ""));
  if (!column) return runs;
  const order = (one, other) => {
    const [a, b] = [column.value(one), column.value(other)];
    if (a === null || b === null) return (a === null) - (b === null); // what is absent comes last
    const gap = column.numeric ? a - b : a.localeCompare(b);
    return down ? -gap : gap;
  };
  return [...runs].sort(order);
}

function csv(columns, runs) {
  const cell = (value) => {
    const text = value === null ? "" : String(value);
    // A sheet would take such a text for a formula.
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const lines = runs.map((run) => columns.map((column) => cell(column.value(run))).join(","));
  return [columns.map((column) => cell(column.key)).join(","), ...lines, ""].join("\n");
}

export function drawTable(place, board, state, change) {
  const columns = columnsOf(board);
  const known = new Set(columns.map((column) => column.key));
  const asked = (state.columns ?? []).filter((key) => known.has(key));
  const chosen = asked.length ? asked : columns.filter((column) => column.usual).map((column) => column.key);
  const shown = columns.filter((column) => chosen.includes(column.key));
  const search = make("input", { type: "search", value: state.q, maxlength: "200", id: "search" });
  const body = make("tbody");
  const count = make("p", { class: "note", "aria-live": "polite" });
  let runs = [];
  const fill = () => {
    const all = inGroup(board, state);
    runs = sorted(matching(all, state.q), columns, state.sort);
    count.textContent = `${runs.length} of ${all.length} runs.`;
    body.replaceChildren(...runs.map((run) => {
      const box = make("input", {
        type: "checkbox", checked: state.runs.includes(run.id), "aria-label": `Choose ${run.title}`,
        onchange: () => {
          const others = state.runs.filter((id) => id !== run.id);
          if (box.checked && others.length >= MOST_CHOSEN) box.checked = false;
          change({ runs: box.checked ? [...others, run.id] : others }, { quiet: true });
        },
      });
      return make("tr", {}, make("td", {}, box), ...shown.map((column, at) =>
        make(at ? "td" : "th", { scope: at ? null : "row", class: column.numeric ? "number" : column.key },
          column.text(run))));
    }));
  };
  search.addEventListener("input", () => {
    change({ q: search.value }, { quiet: true });
    fill();
  });
  const key = state.sort.replace(/^-/, "");
  const heads = shown.map((column) => {
    const on = column.key === key;
    const down = on && !state.sort.startsWith("-");
    const sort = on ? (down ? "ascending" : "descending") : "none";
    return make("th", { scope: "col", "aria-sort": sort }, button(
      `${column.label}${on ? (down ? " ▲" : " ▼") : ""}`,
      () => change({ sort: down ? `-${column.key}` : column.key })));
  });
  place.append(
    make("div", { class: "controls" },
      chooseGroup(board, state, change),
      make("label", { class: "field" }, make("span", {}, "Search"), search),
      make("details", {}, make("summary", {}, "Columns"), ...columns.map((column) =>
        toggle(column.label, chosen.includes(column.key), (on) => change({
          columns: columns.map((one) => one.key)
            .filter((one) => (one === column.key ? on : chosen.includes(one))),
        })))),
      button("Save as CSV", () => saved("runs.csv", csv(columns, runs), "text/csv"))),
    count,
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Runs" },
      make("table", {}, make("caption", {}, "Runs; up to six can be chosen for Compare"),
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Choose"), ...heads)), body)));
  fill();
}
