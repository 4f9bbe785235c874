// Several experiments: the table of their settings can be sorted, and a chart has any setting as its x.

/** Makes the headings of a table sort its rows.  @param {HTMLTableElement} table */
function makeSortable(table) {
  const headings = [...table.querySelectorAll("thead th")];
  headings.forEach((heading, column) => {
    const sort = button(heading.textContent ?? "", () => {
      const up = heading.ariaSort !== "ascending";
      headings.forEach((other) => { other.ariaSort = "none"; });
      heading.ariaSort = up ? "ascending" : "descending";
      sortRows(table, column, up);
    });
    heading.replaceChildren(sort);
  });
}

function sortRows(table, column, up) {
  const text = (row) => row.cells[column]?.textContent?.trim() ?? "";
  const compare = (a, b) => {
    const [x, y] = [Number(text(a)), Number(text(b))];
    return text(a) !== "" && text(b) !== "" && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : text(a).localeCompare(text(b), "en", { numeric: true });
  };
  const body = table.tBodies[0];
  const rows = [...body.rows].sort(compare);
  body.append(...(up ? rows : rows.reverse()));
}

/** A chart over the experiments of the page. @returns {Node} */
function sweepChart(data, page) {
  const names = Object.keys(data.experiments[0].settings);
  const x = element("select", { ariaLabel: "Setting" }, ...names.map((name) => element("option", {}, name)));
  const y = element("select", { ariaLabel: "Metric" }, ...data.metrics.map((metric) => element("option", { value: metric.id }, metric.label)));
  const draw = (state) => drawSweep(data, x.value, data.metrics.find((metric) => metric.id === y.value), state);
  const figure = { key: "sweep", title: "Experiments by setting", note: "last generation of each experiment", scales: "xy", logarithmic: "", draw };
  const card = new Card(figure, () => page.state, () => page.change(() => {}), data.experiments[0].arms.length);
  x.addEventListener("change", () => card.refresh());
  y.addEventListener("change", () => card.refresh());
  page.add(card);
  return element("div", { className: "charts" }, element("p", {}, x, " against ", y), card.root);
}

function drawSweep(data, setting, metric, state) {
  const lines = new Map();
  const rows = [];
  for (const experiment of data.experiments) {
    const others = Object.entries(experiment.settings).filter(([name]) => name !== setting).map(([name, value]) => `${name} = ${value}`).join(", ");
    const text = experiment.settings[setting];
    const at = text === "" || Number.isNaN(Number(text)) ? text : Number(text);
    for (const index of drawnArms(experiment, state)) {
      const arm = experiment.arms[index];
      const point = pointOf(experiment, metric, index, lastKnown(experiment, metric, index, experiment.last, state), state);
      if (!point) continue;
      const line = `${arm.name}\n${others}`;
      if (!lines.has(line)) lines.set(line, { arm, others, points: [] });
      lines.get(line).points.push([at, point]);
      rows.push([experiment.name, text, arm.name, point.mean, point.low, point.high, point.seeds, point.n, metric.unit]);
    }
  }
  const seen = new Set();
  const traces = [...lines.values()].map(({ arm, others, points }) => {
    points.sort(([a], [b]) => (typeof a === "number" && typeof b === "number" ? a - b : 0));
    const isFirst = !seen.has(arm.name);
    seen.add(arm.name);
    return {
      x: points.map(([at]) => at), y: points.map(([, point]) => point.mean), mode: "lines+markers", name: plain(arm.name), legendgroup: arm.name, showlegend: isFirst, line: { ...lineOf(arm), width: 1.4 },
      text: points.map(([at, point]) => tooltip(arm, `${setting} = ${at}${others ? `, ${others}` : ""}`, metric, point, state)), hovertemplate: "%{text}<extra></extra>",
    };
  });
  const isNumber = traces.every((trace) => trace.x.every((at) => typeof at === "number"));
  const layout = { xaxis: { title: { text: plain(setting) }, ...(isNumber ? {} : { type: "category" }) }, yaxis: { title: { text: plain(`${metric.label}${unitOf(metric) && `, ${unitOf(metric)}`}`) } } };
  return { traces, layout, header: ["experiment", setting, "arm", "value", "low", "high", "seeds", "n", "unit"], rows };
}
