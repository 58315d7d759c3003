// Where does it hurt? The text itself, each token coloured by what it lost.

import { chart } from "./chart.js";
import { choice, grid, make } from "./elements.js";
import { chooseRun } from "./layers.js";
import { significant, signed } from "./numbers.js";
import { RUN_COLOURS } from "./palette.js";
import { quantile } from "./statistics.js";

const KINDS = { kl: "KL to float (nats)", deltaP: "Change of its probability", loss: "Loss (nats)" };
const WORST = 20;
const AROUND = 8;

export function drawTokens(place, board, state, change) {
  const runs = board.runs.filter((run) => run.id in board.tokens.runs);
  if (!runs.length) {
    place.append(make("p", {}, "No run of this board carries its tokens."));
    return;
  }
  const [field, run] = chooseRun(board, state, change, runs);
  const numbers = board.tokens.runs[run.id];
  const text = board.tokens.texts[numbers.text];
  const kinds = Object.entries(KINDS).filter(([name]) => numbers[name]);
  const kind = kinds.some(([name]) => name === state.measure) ? state.measure : kinds[0][0];
  const windows = text.map((_, at) => [String(at), `Window ${at + 1}`]);
  const window = Number(windows.some(([at]) => at === state.window) ? state.window : "0");
  place.append(make("div", { class: "controls" }, field,
    choice("Colour by", kinds, kind, (measure) => change({ measure })),
    choice("Window", windows, String(window), (one) => change({ window: one }))));
  // What hurts is positive: a fall of the probability is turned round.
  const hurt = (value) => (kind === "deltaP" ? -value : value);
  const all = numbers[kind].flat().filter((value) => value !== null).map(hurt).sort((a, b) => a - b);
  const scale = Math.max(quantile(all, 0.99), 1e-9);
  const tokens = text[window].map((piece, at) => {
    const value = at ? numbers[kind][window][at - 1] : null;
    if (value === null) return make("span", {}, piece);
    const share = Math.min(1, Math.max(0, hurt(value) / scale));
    const element = make("span", { class: "token", title: `${KINDS[kind]} ${significant(value)}` }, piece);
    element.style.setProperty("--hurt", `${Math.round(75 * share)}%`);
    return element;
  });
  place.append(make("p", { class: "text", tabindex: "0", role: "region", "aria-label": "The window’s text" }, ...tokens),
    make("p", { class: "note" }, "The stronger the ground, the more it hurts; full at the 99 % quantile."));
  const places = numbers[kind].flatMap((row, at) =>
    row.map((value, token) => ({ at, token: token + 1, value })).filter((one) => one.value !== null));
  places.sort((one, other) => hurt(other.value) - hurt(one.value));
  place.append(grid(["Token", "Before it", KINDS[kind], "Window"], places.slice(0, WORST).map((one) => [
    text[one.at][one.token], text[one.at].slice(Math.max(0, one.token - AROUND), one.token).join(""),
    kind === "deltaP" ? signed(one.value) : significant(one.value), String(one.at + 1),
  ]), "The tokens that lost most"));
  chart(place, {
    traces: [{ type: "histogram", x: all, nbinsx: 80, marker: { color: RUN_COLOURS[0] } }],
    layout: {
      xaxis: { title: { text: kind === "deltaP" ? "fall of the probability" : KINDS[kind] } },
      yaxis: { type: "log", title: { text: "tokens" } },
    },
    height: 300,
    alt: `Histogram of ${all.length} tokens; median ${significant(quantile(all, 0.5))}, 99 % ${significant(quantile(all, 0.99))}`,
    note: `Median ${significant(quantile(all, 0.5))}, 90 % ${significant(quantile(all, 0.9))}, ` +
      `99 % ${significant(quantile(all, 0.99))}, largest ${significant(all.at(-1))}.`,
  });
}
