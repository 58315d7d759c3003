// Unpack the data, follow the address, draw the view that it names.

import { button, make } from "./elements.js";
import { drawCompare } from "./compare.js";
import { drawFront } from "./front.js";
import { drawLayers } from "./layers.js";
import { drawOutliers } from "./outliers.js";
import { drawRecipes } from "./recipes.js";
import { drawTable } from "./table.js";
import { drawTokens } from "./tokens.js";
import { read, VIEWS, write } from "./link.js";

const QUESTIONS = {
  front: "What is the best for its size?",
  table: "Which runs are there?",
  compare: "Why is B better than A?",
  layers: "Which layer got how many bits, and what did it cost?",
  outliers: "Where are the outliers?",
  tokens: "Where does it hurt?",
  recipes: "What exactly was run, and how can I run it again?",
};
const DRAWN = {
  front: drawFront, table: drawTable, compare: drawCompare, layers: drawLayers,
  outliers: drawOutliers, tokens: drawTokens, recipes: drawRecipes,
};

async function unpack() {
  const packed = document.getElementById("data").textContent;
  const bytes = Uint8Array.from(atob(packed), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

function section(view, board, state, change) {
  const place = make("section", { id: `view-${view}`, "aria-labelledby": `title-${view}` },
    make("h2", { id: `title-${view}` }, QUESTIONS[view]));
  return [place, () => DRAWN[view](place, board, state, change)];
}

function start(board) {
  const main = document.getElementById("content");
  let state;
  let quietly = "";
  const change = (part, { quiet = false } = {}) => {
    Object.assign(state, part);
    const address = write(state, board);
    if (quiet) {
      quietly = address;
      history.replaceState(null, "", address || "#");
      links();
    } else if (address === location.hash) {
      draw();
    } else {
      location.hash = address;
    }
  };
  const links = () => {
    document.getElementById("views").replaceChildren(
      ...Object.entries(VIEWS).map(([view, label]) => make("a", {
        href: write({ ...state, view, all: false }, board),
        "aria-current": view === state.view && !state.all ? "page" : null,
      }, label)),
      button("Light or dark", () => {
        const dark = getComputedStyle(document.documentElement).getPropertyValue("--dark").trim() === "1";
        change({ theme: dark ? "light" : "dark" });
      }),
      button("Print all", () => {
        change({ all: true });
        setTimeout(() => window.print(), 1000);
      }));
  };
  const draw = () => {
    const focused = document.activeElement?.closest("section") ? labelOf(document.activeElement) : "";
    const found = read(location.hash, board);
    state = found.state;
    document.documentElement.dataset.theme = state.theme;
    document.documentElement.dataset.embed = state.embed ? "1" : "";
    links();
    const shown = state.all ? Object.keys(VIEWS) : [state.view];
    const sections = shown.map((view) => section(view, board, state, change));
    const note = board.note && (state.view === "front" || state.all)
      ? board.note.split("\n\n").map((part) => make("p", { class: "said" }, part)) : [];
    main.replaceChildren(
      ...found.faults.slice(0, 3).map((fault) => make("p", { class: "warning", role: "status" }, fault)),
      ...note, ...sections.map(([place]) => place), foot(board));
    for (const [, fill] of sections) fill();
    refocus(main, focused);
  };
  window.addEventListener("hashchange", () => {
    if (location.hash !== quietly) draw();
    quietly = "";
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}

// A redrawn control keeps the keyboard's place.
function labelOf(element) {
  return element.closest("label")?.querySelector("span")?.textContent ?? element.textContent.replace(/ [▲▼]$/, "");
}

function refocus(main, label) {
  if (!label) return;
  const controls = [...main.querySelectorAll("select, input, button, summary")];
  controls.find((one) => labelOf(one) === label)?.focus();
}

function foot(board) {
  const version = board.version ? ` ${board.version}` : "";
  return make("footer", {}, `${board.runs.length} runs · made with Quantscope${version} on ` +
    `${new Date(1000 * board.made).toISOString().slice(0, 10)} · this page asks nobody for anything`);
}

unpack().then(start).catch((error) => {
  document.getElementById("content").replaceChildren(
    make("p", { class: "warning", role: "alert" }, `This board cannot be read: ${error.message}. Use a browser of ` +
      "2023 or later, or ask for the file again."));
  throw error;
});
