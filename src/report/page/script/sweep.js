// Several experiments: the table of their settings can be sorted, and a chart has any setting as its x.

/** The table of experiments, whose headings sort it. */
class Overview {
  /** @param {HTMLTableElement} table  @param {Page} page */
  constructor(table, page) {
    this.table = table;
    this.rows = [...table.tBodies[0].rows];
    this.headings = [...table.querySelectorAll("thead th")];
    for (const heading of this.headings) {
      const column = heading.textContent ?? "";
      heading.dataset.column = column;
      heading.replaceChildren(button(column, () => page.change((state) => {
        state.sort = { column, up: !(state.sort?.column === column && state.sort.up) };
      })));
    }
  }

  /** @param {State} state */
  refresh({ sort }) {
    const column = this.headings.findIndex((heading) => heading.dataset.column === sort?.column);
    this.headings.forEach((heading, number) => { heading.ariaSort = number !== column ? "none" : sort.up ? "ascending" : "descending"; });
    const rows = column < 0 ? this.rows : [...this.rows].sort((a, b) => (sort.up ? 1 : -1) * order(a, b, column));
    this.table.tBodies[0].append(...rows);
  }
}

/** Numbers are in the order of their size, everything else in that of the alphabet. */
function order(a, b, column) {
  const text = (row) => row.cells[column]?.textContent?.trim() ?? "";
  const [x, y] = [Number(text(a)), Number(text(b))];
  return text(a) !== "" && text(b) !== "" && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : text(a).localeCompare(text(b), "en", { numeric: true });
}

/** The x that is no setting: the experiments themselves. */
const EXPERIMENT = "experiment";

/** The place of an experiment on the x axis. */
function placeOn(experiment, setting) {
  const text = setting === EXPERIMENT ? experiment.name : experiment.settings[setting];
  return text === "" ? "not set" : Number.isNaN(Number(text)) ? text : Number(text);
}

/** A chart over the experiments of the page. */
class Sweep {
  /** @param {Page} page */
  constructor(page) {
    this.x = element("select", { ariaLabel: "Setting" });
    this.y = element("select", { ariaLabel: "Metric" });
    this.x.addEventListener("change", () => page.change((state) => { state.setting = this.x.value; }));
    this.y.addEventListener("change", () => page.change((state) => { state.metric = this.y.value; }));
    this.place = element("div");
    this.root = element("div", { className: "charts" }, element("p", {}, this.y, " against ", this.x), this.place);
  }

  /** @param {object} data  @param {Page} page */
  update(data, page) {
    this.x.replaceChildren(...[...Object.keys(data.experiments[0].settings), EXPERIMENT].map((name) => element("option", {}, name)));
    this.y.replaceChildren(...data.metrics.map((metric) => element("option", { value: metric.id }, metric.label)));
    const draw = (state) => drawSweep(data, this.x.value, data.metrics.find((metric) => metric.id === this.y.value), state);
    const isNumber = () => data.experiments.every((experiment) => typeof placeOn(experiment, this.x.value) === "number");
    const linear = (state) => ({ ...linearIfDifferences("y")(state), ...(isNumber() ? {} : { x: "Not all of these values are numbers, so they have no logarithm." }) });
    const figure = { key: "sweep", title: "Experiments by setting", note: "last generation of each experiment", scales: "xy", logarithmic: "", linear, always: true, draw };
    this.place.replaceChildren(page.card(figure, data.experiments[0].arms.length).root);
  }

  /** @param {State} state */
  refresh(state) {
    this.choose(this.x, state.setting);
    this.choose(this.y, state.metric);
  }

  /** Chooses an option; the first if there is none of this value.  @param {HTMLSelectElement} select  @param {string} value */
  choose(select, value) {
    select.value = value;
    if (select.selectedIndex < 0) select.selectedIndex = 0;
  }
}

/** What tells the experiments at one place of the x axis apart, with names as `nameOf` makes them. */
function otherSettings(experiment, setting, nameOf) {
  const others = Object.entries(experiment.settings).filter(([name, value]) => name !== setting && value !== "");
  return others.map(([name, value]) => `${nameOf(name)} = ${value}`).join(", ");
}

/** How lines of one arm are told apart, and what such a line is called. */
const LINES = [["solid", "solid"], ["dash", "dashed"], ["dot", "dotted"], ["dashdot", "dash and dot"], ["longdash", "long dashes"], ["longdashdot", "long dash and dot"]];

function drawSweep(data, setting, metric, state) {
  const lines = new Map();
  const rows = [];
  const seeds = [];
  for (const experiment of data.experiments) {
    const others = otherSettings(experiment, setting, (name) => name);
    const label = otherSettings(experiment, setting, (name) => name.split(".").at(-1));
    const at = placeOn(experiment, setting);
    for (const index of drawnArms(experiment, state)) {
      const arm = experiment.arms[index];
      const generation = lastKnown(experiment, metric, index, experiment.last, state);
      const point = pointOf(experiment, metric, index, generation, state);
      if (!point) continue;
      const line = `${arm.name}\n${others}`;
      if (!lines.has(line)) lines.set(line, { arm, others, label, points: [] });
      lines.get(line).points.push([at, point]);
      rows.push([experiment.name, at, arm.name, "mean", point.mean, point.low, point.high, point.seeds, point.n, metric.unit]);
      if (state.show !== "seeds") continue;
      for (const [seed, value, n] of seedValues(experiment, metric, index, generation, state)) {
        seeds.push({ arm, x: [at], y: [value], text: [seedTooltip(arm, seed, `${setting} = ${at}`, metric, value, n, state)] });
        rows.push([experiment.name, at, arm.name, seed, value, null, null, 1, n, metric.unit]);
      }
    }
  }
  const labels = [...new Set([...lines.values()].map(({ label }) => label))];
  const areTold = labels.length > 1 && labels.length <= LINES.length;
  const dashOf = (label) => (areTold ? { dash: LINES[labels.indexOf(label)][0] } : {});
  const seen = new Set();
  const means = [...lines.values()].map(({ arm, others, label, points }) => {
    points.sort(([a], [b]) => (typeof a === "number" && typeof b === "number" ? a - b : 0));
    const isFirst = !seen.has(arm.name);
    seen.add(arm.name);
    const reach = (bound) => points.map(([, point]) => (point[bound] === null ? 0 : Math.abs(point[bound] - point.mean)));
    const spread = state.show === "seeds" ? {} : { error_y: { type: "data", symmetric: false, array: reach("high"), arrayminus: reach("low"), thickness: 1.2, width: 3, color: colorOf(arm) } };
    return {
      x: points.map(([at]) => at), y: points.map(([, point]) => point.mean), mode: "lines+markers", name: plain(arm.name), legendgroup: arm.name, showlegend: isFirst, line: { ...lineOf(arm), ...dashOf(label), width: 1.4 }, marker: markerOf(arm, 7),
      ...spread, text: points.map(([at, point]) => tooltip(arm, `${setting} = ${at}${others ? `, ${others}` : ""}`, metric, point, state)), hovertemplate: "%{text}<extra></extra>",
    };
  });
  const traces = [...means, ...seeds.map(seedMarks)];
  const isNumber = traces.every((trace) => trace.x.every((at) => typeof at === "number"));
  const keys = areTold ? labels.map((label, at) => `${LINES[at][1]}: ${plain(label) || "not set"}`) : [];
  const layout = {
    xaxis: { title: { text: [plain(setting), ...keys].join("<br>") }, ...(isNumber ? {} : { type: "category" }) },
    yaxis: { title: { text: [plain(metric.label), axisOf(metric, state)].filter(Boolean).join(",<br>") } }, uirevision: `${setting} ${metric.id}`,
  };
  const of = [metric.label, `against ${setting}`, ...kindOf(state), "last generation"];
  return { traces, layout, of, spread: SHOWS[state.show], header: ["experiment", setting, "arm", "seed", valueColumn(state), ...SPREAD_COLUMNS[state.show], "seeds", "n", "unit", "metric"], rows: rows.map((row) => [...row, metric.id]) };
}
