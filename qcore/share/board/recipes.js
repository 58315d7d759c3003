// What exactly was run, and how to run it again; how to cite it, and how to show it elsewhere.

import { copied, grid, make } from "./elements.js";
import { chooseRun } from "./layers.js";
import { day, measured } from "./numbers.js";

function words(text) {
  return String(text).replace(/[\\{}$&#^_%~]/g, (sign) => ({ "\\": "\\textbackslash{}", "^": "\\^{}", "~": "\\~{}" }[sign] ?? `\\${sign}`));
}

function bibtex(board) {
  const runs = board.runs.slice(0, 10).map((run) => run.id).join(", ");
  const more = board.runs.length > 10 ? ` and ${board.runs.length - 10} more` : "";
  const data = [...new Set(board.runs.flatMap((run) => Object.entries(run.data ?? {})
    .map(([name, digest]) => `${name} ${digest.slice(0, 12)}`)))].slice(0, 6).join(", ");
  const models = [...new Set(board.runs.map((run) => `${run.model} (${run.modelDigest.slice(0, 12)})`))].join(", ");
  return [
    `@misc{quantscope-${board.runs[0].id.slice(0, 8)},`,
    `  title = {${words(board.title)}},`,
    `  year = {${day(board.made).slice(0, 4)}},`,
    `  howpublished = {Quantscope ${words(board.version)} board},`,
    `  note = {Runs ${runs}${more}; models ${words(models)}; data ${words(data)}}`,
    "}",
  ].join("\n");
}

export function drawRecipes(place, board, state, change) {
  const [field, run] = chooseRun(board, state, change, board.runs);
  place.append(make("div", { class: "controls" }, field), make("h3", {}, run.title));
  if (run.note) place.append(make("p", { class: "said" }, run.note));
  for (const note of run.notes ?? []) place.append(make("p", { class: "note" }, note));
  place.append(grid(["Metric", "Value", "95 % interval", "Scored"], board.metrics.flatMap((metric, at) => {
    const value = run.values[at];
    if (!value) return [];
    const ends = value[1] === null ? "–" : `${measured(metric, value[1])} to ${measured(metric, value[2])}`;
    return [[metric.label, measured(metric, value[0]), ends, value[3].toLocaleString("en")]];
  }), "What was measured"));
  const recipe = JSON.stringify(run.recipe, null, 2);
  place.append(
    make("h3", {}, "Recipe"), copied(recipe, "recipe"),
    make("h3", {}, "Run it again"),
    copied(`cat > recipe.json <<'END'\n${recipe}\nEND\npython -m qcore run recipe.json`, "command"),
    make("p", { class: "note" }, "With Quantscope installed. An equal network, text and version give the run the " +
      `same id, ${run.id}. Folders and files that the recipe names must be your own.`),
    grid(["What", "Value"], [
      ["Model", run.model], ["Model files (SHA-256)", run.modelDigest], ["Device", run.device],
      ["Finished", day(run.created)],
      ...Object.entries(run.data ?? {}).map(([name, digest]) => [`${name} (SHA-256)`, digest]),
      ...Object.entries(run.versions ?? {}),
    ], "Where it was made and on what"),
    make("h3", {}, "Cite"), copied(bibtex(board), "BibTeX"),
    make("h3", {}, "Show it elsewhere"),
    copied(`<iframe src="board.html#view=front&embed=1" title="${board.title.replace(/[<>"&]/g, "")}" ` +
      'width="100%" height="640" style="border:0" loading="lazy"></iframe>', "snippet"),
    make("p", { class: "note" }, "Put this file beside your page as board.html. Any address of this board may " +
      "follow the #; embed=1 shows its view alone."));
}
