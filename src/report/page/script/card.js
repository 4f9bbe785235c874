// A figure on the page: its heading, the drawing, its buttons, and the table of its numbers.

/** Colours of the page, which depend on the reader's theme. */
function theme() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  return { ink: color("ink"), muted: color("muted"), line: color("line"), card: color("card") };
}

/** The size of a figure on paper, in CSS pixels: two fit side by side on a sheet of A4, and three below each other. */
const PRINTED = { width: 290, height: 220 };

/** The layout of a figure without a value: a sentence instead of axes. */
const NOTHING = {
  annotations: [{ text: "No arm that is switched on has a value here.", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }],
  shapes: [], xaxis: { visible: false }, yaxis: { visible: false },
};

function isPrinted() {
  return document.documentElement.classList.contains("printed");
}

/** @param {string} tag  @param {object} [properties]  @param {(Node | string)[]} children */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function button(text, action, properties = {}) {
  const made = element("button", { type: "button", ...properties }, text);
  made.addEventListener("click", action);
  return made;
}

/** A question mark that opens an explanation.  @param {object} metric */
function questionMark(metric) {
  const direction = { up: "It rises when a distribution narrows.", down: "It falls when a distribution narrows.", unclear: "It may rise or fall when a distribution narrows." }[metric.narrowing];
  const parts = [["Question", metric.question], ["Formula", metric.formula], ["Direction", direction], ["Pitfall", metric.pitfall]].filter(([, text]) => text);
  const mark = element("details", { className: "what" }, element("summary", { title: `What is ${metric.label}?`, ariaLabel: `What is ${metric.label}?` }, "?"));
  // Written when it is opened first: a page has thousands of question marks.
  const list = () => element("dl", {}, ...parts.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
  mark.addEventListener("toggle", () => mark.append(list()), { once: true });
  return mark;
}

const live = element("div", { className: "unseen", role: "status", ariaLive: "polite" });

class Card {
  /** @param {ChartFigure} figure  @param {() => State} state  @param {() => void} changed */
  constructor(figure, state, changed) {
    this.figure = figure;
    this.state = state;
    this.changed = changed;
    this.isSeen = false;
    this.isStale = true;
    this.place = [-1, 0];
    this.plot = element("div", { className: "plot", tabIndex: 0, role: "group", ariaLabel: `Figure: ${figure.title}. Arrow keys read its values; the table has them all.` });
    this.plot.addEventListener("keydown", (event) => this.walk(event));
    this.plot.addEventListener("blur", () => this.leave());
    this.table = element("details", { className: "numbers" }, element("summary", {}, "Table"));
    this.table.addEventListener("toggle", () => this.fillTable());
    this.root = element("figure", { className: "chart", id: `figure-${figure.key}` }, this.caption(), this.plot, this.tools());
    this.root.card = this;
  }

  /** Shows another state of the same figure.  @param {ChartFigure} figure  @param {number} arms */
  update(figure, arms) {
    this.figure = figure;
    this.height = figure.tall ? 70 + 26 * Math.max(arms, 2) : 270;
    this.plot.style.height = `${this.height}px`;
    this.isStale = true;
  }

  caption() {
    const heading = element("strong", {}, this.figure.title);
    const note = element("span", { className: "note" }, this.figure.note);
    const about = this.figure.about ?? this.figure.metric;
    const what = about ? [questionMark(about)] : [];
    return element("figcaption", {}, heading, " ", note, ...what);
  }

  tools() {
    const scales = [...this.figure.scales].map((axis) => {
      const box = element("input", { type: "checkbox" });
      box.addEventListener("change", () => this.flip(axis));
      box.dataset.axis = axis;
      return element("label", {}, box, ` log ${axis}`);
    });
    const saves = ["svg", "png"].map((format) => button(format.toUpperCase(), () => this.saveImage(format), { title: `Save this figure as ${format.toUpperCase()}` }));
    const csv = button("CSV", () => this.saveTable(), { title: "Save what is shown as CSV" });
    return element("div", { className: "tools" }, ...scales, csv, ...saves, this.table);
  }

  flip(axis) {
    const scales = this.state().scales;
    const flipped = scales.get(this.figure.key) ?? "";
    const now = flipped.includes(axis) ? flipped.replace(axis, "") : [...flipped, axis].sort().join("");
    if (now) scales.set(this.figure.key, now);
    else scales.delete(this.figure.key);
    this.changed();
  }

  drawing() {
    return this.figure.draw(this.state());
  }

  /** Draws now if the figure is in view, or else when it comes into view. */
  refresh() {
    this.isStale = true;
    for (const box of this.root.querySelectorAll("input[data-axis]")) {
      box.checked = isLogarithmic(this.figure, this.state(), box.dataset.axis);
      const reason = this.figure.linear(this.state())[box.dataset.axis] ?? "";
      box.disabled = reason !== "";
      box.parentElement.title = reason;
    }
    if (this.isSeen) this.redraw();
    this.fillTable();
  }

  redraw() {
    if (!this.isStale || this.root.hidden) return;
    this.isStale = false;
    const { traces, layout } = this.drawing();
    const empty = traces.length > 0 ? {} : NOTHING;
    Plotly.react(this.plot, traces, this.layout({ ...layout, ...empty }), { displayModeBar: false, responsive: true, doubleClick: "reset" });
    if (performance.getEntriesByName("genloss-drawn").length === 0) performance.mark("genloss-drawn");
  }

  layout(own) {
    const { ink, muted, line, card } = theme();
    const axis = (name) => {
      const chosen = own[`${name}axis`] ?? {};
      const type = isLogarithmic(this.figure, this.state(), name) ? { type: "log" } : {};
      return { gridcolor: line, zerolinecolor: line, linecolor: muted, tickcolor: muted, automargin: true, exponentformat: "power", minexponent: 6, ...chosen, ...type };
    };
    // What the reader has zoomed to is kept until the axes are other ones.
    const uirevision = [own.uirevision, this.state().value, ...[..."xy"].map((name) => isLogarithmic(this.figure, this.state(), name))].join();
    const size = isPrinted() ? { width: PRINTED.width, height: Math.min(this.height, PRINTED.height) } : { height: this.height };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: { family: "system-ui, sans-serif", size: 12, color: ink }, margin: { l: 54, r: 14, t: 10, b: 48 },
      hoverlabel: { bgcolor: card, bordercolor: muted, font: { color: ink, size: 13 }, align: "left" },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", ...size, ...own, uirevision, xaxis: axis("x"), yaxis: axis("y"),
    };
  }

  /** Arrow keys: left and right along a line, up and down between lines.  @param {KeyboardEvent} event */
  walk(event) {
    if (event.key === "Escape") this.leave();
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[event.key];
    if (!step || !this.plot.data) return;
    event.preventDefault();
    const lines = this.plot.data.map((trace, number) => [trace, number]).filter(([trace]) => trace.hovertemplate);
    if (lines.length === 0) return;
    const from = lines.findIndex(([, number]) => number === this.place[0]);
    const at = from < 0 ? 0 : (from + step[0] + lines.length) % lines.length;
    const [trace, number] = lines[at];
    const known = trace.x.map((_, point) => point).filter((point) => trace.text[point] && trace.x[point] !== null && trace.y[point] !== null);
    const nearest = known.findIndex((point) => point >= this.place[1]);
    const start = from < 0 ? 0 : nearest < 0 ? known.length - 1 : nearest;
    const point = known[from < 0 ? 0 : Math.min(Math.max(start + step[1], 0), known.length - 1)];
    if (point === undefined) return;
    this.place = [number, point];
    Plotly.Fx.hover(this.plot, [{ curveNumber: number, pointNumber: point }]);
    const reader = element("div");
    reader.innerHTML = trace.text[point].replaceAll("<br>", ", ");
    live.textContent = reader.textContent;
  }

  /** Takes the tooltip away that keys have opened. */
  leave() {
    if (this.plot.data) Plotly.Fx.unhover(this.plot);
  }

  fillTable() {
    if (!this.table.open) return;
    const drawing = this.drawing();
    const cell = (value) => element("td", typeof value === "number" ? { className: "n" } : {}, typeof value === "number" ? shown(value) : value ?? "–");
    const table = element("table", { className: "records" },
      element("caption", {}, [this.figure.title, this.about(drawing)].filter(Boolean).join(": ")),
      element("thead", {}, element("tr", {}, ...drawing.header.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...drawing.rows.map((row) => element("tr", {}, ...row.map(cell)))));
    const scroll = element("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: `${this.figure.title}, scrolls sideways` }, table);
    this.table.replaceChildren(this.table.firstChild, scroll);
  }

  /** What a reader of the figure alone has to know beside its title.  @param {Drawing} drawing */
  about({ of, spread }) {
    return [this.figure.source, ...of, spread].filter(Boolean).join("; ");
  }

  /** @param {Drawing} drawing  @param {string} ending */
  fileName({ of, spread }, ending) {
    const seeds = spread === SHOWS.range || spread === SHOWS.seeds ? [this.state().show] : [];
    return `${[this.figure.key, ...of, ...seeds].join("-").replaceAll(/[^\w.-]+/g, "-")}.${ending}`;
  }

  saveTable() {
    const drawing = this.drawing();
    const { source } = this.figure;
    const whole = source ? { header: ["experiment", ...drawing.header], rows: drawing.rows.map((row) => [source, ...row]) } : drawing;
    save(this.fileName(drawing, "csv"), "text/csv", csvOf(whole));
  }

  async saveImage(format) {
    const drawing = this.drawing();
    const { traces, layout } = drawing;
    const title = { text: plain(this.figure.title), subtitle: { text: plain(this.about(drawing)) } };
    const names = new Set(traces.filter((trace) => trace.showlegend !== false).map((trace) => trace.name));
    const size = { width: 800, height: Math.max(420, this.height + 120, 160 + 20 * names.size) };
    const whole = { ...this.layout(layout), ...size, showlegend: true, legend: { tracegroupgap: 0 }, paper_bgcolor: theme().card, title, margin: { l: 64, r: 20, t: 80, b: 60 } };
    const url = await Plotly.toImage({ data: traces, layout: whole }, { format, ...size, scale: format === "png" ? 2 : 1 });
    follow(url, this.fileName(drawing, format));
  }
}

/** Lines of CSV. A text that a spreadsheet would take for a formula gets an apostrophe.  @param {Drawing} drawing */
function csvOf({ header, rows }) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const harmless = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\n\r]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
  };
  return [header, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

/** Saves a text as a file.  @param {string} name  @param {string} type  @param {string} text */
function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  follow(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function follow(url, name) {
  element("a", { href: url, download: name }).click();
}
