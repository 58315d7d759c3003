// Where are the outliers, and what does a rotation do to the worst of them?

import { blockAxis, chart, plain } from "./chart.js";
import { choice, grid, make } from "./elements.js";
import { RUN_COLOURS, RUN_DASHES } from "./palette.js";
import { significant } from "./numbers.js";

const MEASURES = {
  peak_to_rms: "Peak over RMS",
  kurtosis: "Kurtosis",
  token_peak_to_rms: "Peak over RMS, median token",
  token_kurtosis: "Kurtosis, median token",
  imbalance: "Heaviest block over the mean block",
};

export function drawOutliers(place, board, state, change) {
  if (!board.captures.length) {
    place.append(make("p", {}, "No capture of these runs was kept where the board was made."));
    return;
  }
  const known = board.captures.map((_, at) => String(at));
  const at = known.includes(state.shown) ? state.shown : "0";
  const capture = board.captures[Number(at)];
  const measure = state.measure in MEASURES ? state.measure : "peak_to_rms";
  place.append(make("div", { class: "controls" },
    known.length > 1 ? choice("Captured on", board.captures.map((one, here) => [String(here), one.label]), at,
      (shown) => change({ shown })) : make("p", { class: "note" }, capture.label),
    choice("Measure", Object.entries(MEASURES), measure, (one) => change({ measure: one }))));
  const rows = capture.measures[measure];
  const sites = capture.sites.map((site) => site.replaceAll("_", " "));
  chart(place, {
    traces: [{
      type: "heatmap", x: capture.blocks, y: sites, colorscale: "Viridis", xgap: 1, ygap: 1,
      z: sites.map((_, site) => rows.map((row) => (row[site] > 0 ? Math.log10(row[site]) : null))),
      text: sites.map((_, site) => rows.map((row) => significant(row[site]))),
      hovertemplate: "%{y}, block %{x}: %{text}<extra></extra>", colorbar: { title: { text: "log₁₀" } },
    }],
    layout: { xaxis: blockAxis(capture.blocks.length), yaxis: { autorange: "reversed", showgrid: false } },
    height: 130 + 40 * sites.length,
    alt: `${MEASURES[measure]} of the inputs of ${sites.length} sites in ${capture.blocks.length} blocks`,
    note: "Inputs of the float network’s layers on the calibration text. Bright: a few values far above the rest.",
  });
  if (capture.site) drawSite(place, capture.site);
}

function drawSite(place, site) {
  place.append(make("h3", {}, `Block ${site.block}, ${site.site.replaceAll("_", " ")}: before and after`));
  chart(place, {
    traces: site.curves.map((curve, at) => ({
      x: curve.x, y: curve.y, mode: "lines", name: plain(curve.name),
      line: { color: RUN_COLOURS[at], dash: RUN_DASHES[at], width: 2 },
    })),
    layout: {
      xaxis: { type: "log", title: { text: "|x|" } },
      yaxis: { type: "log", title: { text: "share of values per octave" } },
    },
    alt: "Distribution of magnitudes before and after",
    note: `A Hadamard rotation in blocks of ${site.rotation} folds the tail back; a permutation (MassDiff) ` +
      "shares the loud channels over the blocks first.",
  });
  place.append(grid(["Inputs", "Largest magnitude", "Peak over RMS, median token"],
    site.curves.map((curve) => [curve.name, significant(curve.peak), significant(curve.peakToRms)]),
    "The sampled tokens in numbers"));
}
