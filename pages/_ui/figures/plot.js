// A plotly figure that is drawn once and then updated.
//
// Streamlit's own chart is made anew whenever its figure differs, each time with several drawings,
// and forgets zoom and legend. Here a new figure goes through one Plotly.react: only what differs
// is computed anew, and what the reader did (zoom, hidden traces) stays while `uirevision` does.
// Above the figure stand its tools, never over it: saving as SVG, PNG and CSV, the zoom, the ways
// to select. A click gives back the ids that the clicked point carries in `customdata`.

let library;

function plotly(base) {
  library ??= new Promise((loaded, failed) => {
    const script = document.createElement("script");
    script.src = `${base}/figures/plotly.js${new URL(import.meta.url).search}`;
    script.onload = () => loaded(window.Plotly);
    script.onerror = () => { library = undefined; failed(new Error("plotly.js did not load")); };
    document.head.append(script);
  });
  return library;
}

const STYLE = `
.qs-figure{position:relative;width:100%}
.qs-tools{display:flex;flex-wrap:wrap;justify-content:flex-end;gap:.15rem;min-height:1.6rem}
.qs-tools button{font:inherit;font-size:.78rem;line-height:1.2;color:var(--st-text-color);
  background:transparent;border:1px solid transparent;border-radius:.35rem;padding:.15rem .4rem;
  cursor:pointer}
.qs-tools button:hover,.qs-tools button[aria-pressed=true]{border-color:var(--st-border-color);
  background:var(--st-secondary-background-color)}
.qs-tools button:focus-visible{outline:2px solid var(--st-primary-color);outline-offset:1px}
.qs-tools .qs-gap{flex:1}
.qs-figure:fullscreen{background:var(--st-background-color);padding:1.5rem;overflow:auto}
@media (max-width:1000px){
  [data-testid=stHorizontalBlock]:has(>[data-testid=stColumn] .qs-figure){flex-wrap:wrap}
  [data-testid=stHorizontalBlock]>[data-testid=stColumn]:has(.qs-figure){min-width:100%}
}
.qs-figure .textpoint text,.qs-figure .annotation text{paint-order:stroke;
  stroke:var(--st-background-color);stroke-width:4px;stroke-linejoin:round}
.qs-broken{color:var(--st-text-color);padding:1rem 0}
`;

function style() {
  if (document.getElementById("qs-figure-style")) return;
  const sheet = document.createElement("style");
  sheet.id = "qs-figure-style";
  sheet.textContent = STYLE;
  document.head.append(sheet);
}

// ------------------------------------------------------------------------------------- the theme

function read(element) {
  const values = getComputedStyle(element);
  const value = (name) => values.getPropertyValue(`--st-${name}`).trim();
  return {
    text: value("text-color"),
    ground: value("background-color"),
    raised: value("secondary-background-color"),
    line: value("border-color"),
    font: value("font"),
  };
}

function template(theme) {
  const axis = {
    gridcolor: theme.line, linecolor: theme.line, zerolinecolor: theme.line, automargin: true,
    tickfont: {size: 12, color: theme.text}, title: {font: {size: 13, color: theme.text}, standoff: 14},
  };
  return {
    layout: {
      font: {family: theme.font, size: 12, color: theme.text},
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: axis, yaxis: axis,
      hoverlabel: {
        bgcolor: theme.raised, bordercolor: theme.line, font: {color: theme.text, size: 12},
      },
      annotationdefaults: {font: {color: theme.text}},
    },
  };
}

// --------------------------------------------------------------------------------------- ids, CSV

// Plotly hands back a scalar or a list of one, whichever it was given.
const id = (point) => Array.isArray(point.customdata) ? point.customdata[0] : point.customdata;
const ids = (points) => [...new Set(points.map(id).filter((each) => each !== undefined && each !== null && each !== "").map(String))];
const plain = (text) => String(text ?? "").replace(/<br>/g, "; ").replace(/<[^>]*>/g, "");

function cell(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return "";
  const text = plain(value).trim();
  return /[",\n;]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

// Every point of every visible trace: the numbers as drawn, with the ends of their bars.
function csv(drawn) {
  const rows = [["series", "x", "y", "value", "below", "above", "text"]];
  for (const trace of drawn._fullData) {
    if (trace.visible !== true || trace.hoverinfo === "skip" && !trace.name) continue;
    if (trace.z) {
      trace.z.forEach((line, j) => Array.from(line).forEach((value, i) => rows.push([
        trace.name, trace.x?.[i] ?? i, trace.y?.[j] ?? j, value, "", "", trace.hovertext?.[j]?.[i] ?? trace.text?.[j]?.[i],
      ])));
      continue;
    }
    const bars = [trace.error_y, trace.error_x].find((each) => each?.visible);
    const length = Math.max(trace.x?.length ?? 0, trace.y?.length ?? 0);
    for (let i = 0; i < length; i++) {
      const text = Array.isArray(trace.text) ? trace.text[i] : "";
      rows.push([trace.name, trace.x?.[i] ?? i, trace.y?.[i] ?? i, "", bars?.arrayminus?.[i], bars?.array?.[i], text]);
    }
  }
  return rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function save(url, name) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}

function saveText(text, kind, name) {
  const url = URL.createObjectURL(new Blob([text], {type: kind}));
  save(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// Save an SVG as PNG, at twice its size.
async function savePicture(svg, {width, height}, name) {
  const url = URL.createObjectURL(new Blob([svg], {type: "image/svg+xml"}));
  try {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [2 * width, 2 * height];
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    save(canvas.toDataURL("image/png"), name);
  } finally {
    URL.revokeObjectURL(url);
  }
}

// ------------------------------------------------------------------------------------- the figure

class Figure {
  constructor(parent, base) {
    style();
    this.base = base;
    this.frame = document.createElement("div");
    this.frame.className = "qs-figure";
    this.tools = document.createElement("div");
    this.tools.className = "qs-tools";
    this.plot = document.createElement("div");
    this.frame.append(this.tools, this.plot);
    parent.append(this.frame);
    this.mode = "";
    this.clicks = 0;
    this.sizes = new ResizeObserver(() => this.fit());
    this.sizes.observe(this.frame);
    this.frame.addEventListener("fullscreenchange", () => this.fit());
  }

  async update(data, send) {
    this.send = send;
    const theme = read(this.frame);
    const state = JSON.stringify([data, theme]);
    if (state === this.state) return;
    this.state = state;
    this.data = data;
    this.theme = theme;
    this.frame.setAttribute("role", "figure");
    this.frame.setAttribute("aria-label", data.alt);
    const spec = JSON.parse(data.figure);
    this.height = spec.layout.height ?? 450;
    this.plot.style.minHeight = `${this.height}px`;
    this.draw_tools();
    try {
      const library = await plotly(this.base);
      if (this.state !== state || !this.frame.isConnected) return;
      this.plotly = library;
      await this.draw(spec);
    } catch (error) {
      this.plot.className = "qs-broken";
      this.plot.textContent = "The figure could not be drawn. Reload the page.";
      throw error;
    }
  }

  async draw(spec) {
    const layout = {
      ...spec.layout, template: template(this.theme), autosize: false,
      width: this.width(), height: this.tall(), modebar: undefined,
    };
    this.dragmode = layout.dragmode ?? "zoom";
    layout.dragmode = this.mode || this.dragmode;
    layout.clickmode = "event";
    await this.plotly.react(this.plot, spec.data, layout, {
      displayModeBar: false, displaylogo: false, showTips: false, doubleClick: "reset+autosize",
    });
    if (this.listening) return;
    this.listening = true;
    this.plot.on("plotly_click", (event) => this.clicked(event));
    this.plot.on("plotly_selected", (event) => this.selected(event));
  }

  clicked(event) {
    const found = ids(event.points ?? []);
    if (!this.data.select || !found.length) return;
    const more = event.event?.shiftKey && this.data.select === "area";
    this.choose(found.slice(0, 1), more);
  }

  selected(event) {
    const found = ids(event?.points ?? []);
    // Taking the box away, and drawing anew, tell of a selection of nothing: it is none of ours.
    if (this.data.select !== "area" || !found.length) return;
    this.choose(found, false);
    this.turn("");
    this.plotly.relayout(this.plot, {selections: []});
  }

  choose(found, more) {
    this.clicks += 1;  // the same point twice is two clicks
    this.send("selection", {
      points: found.map((each) => ({customdata: [each]})), more, click: this.clicks,
    });
  }

  width() { return Math.max(Math.floor(this.frame.clientWidth - 2 * this.padding()), 150); }

  padding() { return document.fullscreenElement === this.frame ? 24 : 0; }

  tall() {
    return document.fullscreenElement === this.frame
      ? Math.max(window.innerHeight - 100, 200) : this.height;
  }

  fit() {
    const known = this.plot._fullLayout;
    if (!this.plotly || !known || !this.frame.clientWidth) return;
    const [width, height] = [this.width(), this.tall()];
    if (Math.abs(known.width - width) > 1 || known.height !== height) {
      this.plotly.relayout(this.plot, {width, height});
    }
  }

  // ------------------------------------------------------------------------------------ the tools

  draw_tools() {
    const spec = `${this.data.select}|${this.data.zoom}`;
    if (this.drawn_tools === spec) return;
    this.drawn_tools = spec;
    this.tools.replaceChildren();
    this.tools.setAttribute("role", "toolbar");
    this.tools.setAttribute("aria-label", `Tools of: ${this.data.alt}`);
    if (this.data.select === "area") {
      this.box = this.tool("Box", "Select what lies in a box", () => this.turn("select"));
      this.lasso = this.tool("Lasso", "Select what lies in a loop", () => this.turn("lasso"));
    }
    if (this.data.zoom) this.tool("Whole", "Undo every zoom", () => this.whole());
    this.tool("Full screen", "Fill the screen, or leave it", () => this.fill());
    this.tool("SVG", "Save the figure as SVG", () => this.image("svg"));
    this.tool("PNG", "Save the figure as PNG", () => this.image("png"));
    this.tool("CSV", "Save the drawn numbers as CSV",
      () => saveText(csv(this.plot), "text/csv", `quantscope-${this.data.name}-figure.csv`));
  }

  tool(label, told, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.title = told;
    button.setAttribute("aria-label", `${label}: ${told}`);
    button.addEventListener("click", act);
    this.tools.append(button);
    return button;
  }

  turn(mode) {
    this.mode = this.mode === mode ? "" : mode;
    this.box?.setAttribute("aria-pressed", String(this.mode === "select"));
    this.lasso?.setAttribute("aria-pressed", String(this.mode === "lasso"));
    this.plotly?.relayout(this.plot, {dragmode: this.mode || this.dragmode});
  }

  whole() {
    const spec = JSON.parse(this.data.figure).layout;
    const change = {};
    for (const name of Object.keys(this.plot._fullLayout).filter((each) => /^[xy]axis\d*$/.test(each))) {
      const range = spec[name]?.range;
      if (range) change[`${name}.range`] = [...range];
      else change[`${name}.autorange`] = spec[name]?.autorange ?? true;
    }
    this.plotly.relayout(this.plot, change);
  }

  fill() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.frame.requestFullscreen?.();
  }

  async image(format) {
    const drawn = {
      data: this.plot.data,
      layout: {...this.plot.layout, paper_bgcolor: this.theme.ground, plot_bgcolor: this.theme.ground},
    };
    const size = {width: this.width(), height: this.tall()};
    const name = `quantscope-${this.data.name}.${format}`;
    const text = await this.plotly.toImage(drawn, {format: "svg", ...size, imageDataOnly: true});
    // What a page's style sheet does on the screen a file must carry: no line strikes through words.
    const halo = `<style>.textpoint text,.annotation text{paint-order:stroke;` +
      `stroke:${this.theme.ground};stroke-width:4px;stroke-linejoin:round}</style>`;
    const svg = text.replace(/<svg[^>]*>/, (start) => start + halo);
    if (format === "svg") saveText(svg, "image/svg+xml", name);
    else await savePicture(svg, size, name);
  }

  end() {
    this.sizes.disconnect();
    if (this.plotly) this.plotly.purge(this.plot);
    this.frame.remove();
  }
}

const figures = new WeakMap();

export default function draw({data, parentElement, setStateValue}, base) {
  if (!figures.has(parentElement)) figures.set(parentElement, new Figure(parentElement, base));
  const figure = figures.get(parentElement);
  figure.update(data, setStateValue);
  return () => { figures.delete(parentElement); figure.end(); };
}
