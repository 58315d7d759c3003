// Plotly figures in the page's own colours. Names of runs are escaped: plotly reads some markup.

import { make } from "./elements.js";

export function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { text: of("--text"), ground: of("--ground"), line: of("--line") };
}

function axis(given, colours) {
  return {
    gridcolor: colours.line, zerolinecolor: colours.line, linecolor: colours.line, automargin: true,
    ...given,
  };
}

// An axis of decoder blocks, a tick at whole numbers.
export function blockAxis(count) {
  return { title: { text: "decoder block" }, tick0: 0, dtick: Math.max(1, Math.ceil(count / 15)), showgrid: false };
}

// A figure with its title, what it shows in words, and what to notice. Drawn once it stands in the
// page; `pick` hears the id that a clicked point carries.
export function chart(place, { traces, layout = {}, alt, height = 420, note = "", pick = null }) {
  const colours = theme();
  const holder = make("div", { class: "chart", role: "img", "aria-label": alt });
  place.append(holder);
  if (note) place.append(make("p", { class: "note" }, note));
  const { xaxis = {}, yaxis = {}, ...rest } = layout;
  const whole = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colours.text, size: 13 },
    margin: { l: 60, r: 20, t: 20, b: 50 },
    height,
    hoverlabel: { align: "left" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    dragmode: false,
    ...rest,
    xaxis: axis(xaxis, colours),
    yaxis: axis(yaxis, colours),
  };
  const options = {
    responsive: true, displaylogo: false, displayModeBar: "hover", scrollZoom: false,
    modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d", "select2d"],
    toImageButtonOptions: { format: "svg", filename: "quantscope" },
  };
  window.Plotly.newPlot(holder, traces, whole, options);
  if (pick) {
    holder.on("plotly_click", (event) => {
      const [point] = event.points;
      if (point?.customdata) pick(String(point.customdata));
    });
  }
  return holder;
}
