// The figures: what each one draws, and the table of the same numbers.

/**
 * @typedef {object} Drawing
 * @property {object[]} traces  For plotly.
 * @property {object} layout  For plotly, without theme and size.
 * @property {string[]} of  What the numbers are of, where that depends on the state: "arm minus control", "generation 3".
 * @property {string} spread  What is drawn of the seeds.
 * @property {string[]} header  Of the table.
 * @property {(string | number | null)[][]} rows
 *
 * @typedef {object} ChartFigure
 * @property {string} key  Unique on the page.
 * @property {string} title
 * @property {string} note  Unit and how to read it.
 * @property {string} [source]  The experiment.
 * @property {object} [metric]
 * @property {string} scales  Axes that may be logarithmic: "", "x", "y" or "xy".
 * @property {string} logarithmic  Axes that are logarithmic at first.
 * @property {(state: State) => {x?: string, y?: string}} linear  Why an axis that may be logarithmic cannot be so now.
 * @property {object} [about]  What the question mark explains, where that is not the metric.
 * @property {object[]} [metrics]  Of a figure of several metrics.
 * @property {boolean} [always]  Neither the search nor "only what differs" hides it.
 * @property {boolean} [tall]  Needs room for a row per arm.
 * @property {(state: State) => Drawing} draw
 */

const DASHES = ["solid", "dash", "dot"];
const COMPONENTS = [["sampling", "finite sampling", "#b2bac6"], ["decoding", "decoding", "#9370be"], ["misfit", "the model's misfit", "#6b7691"]];

/** A number for reading: four significant digits.  @param {number | null | undefined} value */
function shown(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(3) : String(Number(value.toPrecision(4)));
  return text.replace("-", "−");
}

/** Text without the marks that plotly would read as markup.  @param {string} text */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function colorOf(arm) {
  const [red, green, blue] = arm.color;
  return red + green + blue === 0 ? theme().ink : `rgb(${red},${green},${blue})`;
}

/** A colour, written `#rrggbb` or `rgb(r,g,b)`, for areas. */
function faint(color) {
  const pairs = color.match(/[\da-f]{2}/gi) ?? [];
  const channels = color.startsWith("#") ? pairs.map((pair) => Number.parseInt(pair, 16)) : color.match(/\d+/g);
  return `rgba(${channels.slice(0, 3).join(",")},0.16)`;
}

function lineOf(arm) {
  return { color: colorOf(arm), width: 2, dash: DASHES[arm.dash] };
}

function markerOf(arm, size) {
  return { size, symbol: arm.symbol };
}

/** What kind of values the reader has chosen, if it is not the values themselves.  @param {State} state */
function kindOf(state) {
  return state.value === "difference" ? [VALUES.difference] : [];
}

/** The title of an axis with values of a metric.  @param {object} metric  @param {State} state */
function axisOf(metric, state) {
  return plain([...kindOf(state), unitOf(metric)].filter(Boolean).join(", "));
}

/** `generation 3`, or `generations 1 to 3`.  @param {number[]} generations  @returns {string[]} */
function inGenerations(generations) {
  const [first, last] = [Math.min(...generations), Math.max(...generations)];
  if (generations.length === 0) return [];
  return [first === last ? `generation ${last}` : `generations ${first} to ${last}`];
}

/** Numbers of the arms that are shown, the control last so that it is drawn on top. */
function visibleArms(experiment, state) {
  const all = experiment.arms.map((_, index) => index).filter((index) => !state.hidden.has(experiment.arms[index].name));
  return all.sort((a, b) => Number(isControl(experiment, a)) - Number(isControl(experiment, b)) || a - b);
}

function isControl(experiment, index) {
  return experiment.arms[index].name === "control";
}

function generationOf(experiment, state) {
  return Math.min(state.generation ?? experiment.last, experiment.last);
}

/** Mean and spread of an arm in a metric at a generation, as the reader has chosen; null if there is none. */
function pointOf(experiment, metric, index, generation, state) {
  const seeds = experiment.arms[index].seeds;
  const values = experiment.values[metric.id]?.[index] ?? [];
  const n = values.map((seed) => seed[generation]?.[2]).find((count) => count !== undefined) ?? null;
  if (state.value === "difference") {
    const found = experiment.differences[metric.id]?.[index]?.[generation];
    if (!found) return null;
    const [mean, low, high, significant] = found;
    if (state.show === "interval") return { mean, low, high, seeds, n, significant };
    const single = seedDifferences(experiment, metric, index, generation).map(([, value]) => value);
    return { mean, low: Math.min(...single), high: Math.max(...single), seeds, n, significant };
  }
  const found = experiment.means[metric.id]?.[index]?.[generation];
  if (!found) return null;
  const [mean, low, high, ciLow, ciHigh, measured] = found;
  const interval = state.show === "interval";
  return { mean, low: interval ? ciLow : low, high: interval ? ciHigh : high, seeds: measured, n };
}

/** Seed, value and n of every seed of an arm, minus the control's value of the same seed if so chosen. */
function seedValues(experiment, metric, index, generation, state) {
  if (state.value === "difference") return seedDifferences(experiment, metric, index, generation);
  const values = experiment.values[metric.id]?.[index] ?? [];
  return values.flatMap((seed, number) => (seed[generation] ? [[experiment.seeds[number], seed[generation][0], seed[generation][2]]] : []));
}

function seedDifferences(experiment, metric, index, generation) {
  if (generation === 0) return [];
  const control = experiment.values[metric.id]?.[experiment.arms.findIndex((_, arm) => isControl(experiment, arm))] ?? [];
  const values = experiment.values[metric.id]?.[index] ?? [];
  return values.flatMap((seed, number) => {
    const [own, other] = [seed[generation], control[number]?.[generation]];
    return own && other ? [[experiment.seeds[number], minus(own[0], other[0]), own[2]]] : [];
  });
}

/** The difference of two values of six significant digits, without digits that neither of them has. */
function minus(a, b) {
  const digits = 5 - Math.floor(Math.log10(Math.max(Math.abs(a), Math.abs(b), Number.MIN_VALUE)));
  return Number((a - b).toFixed(Math.min(Math.max(digits, 0), 100)));
}

/** Whether an axis of a figure is logarithmic now.  @param {ChartFigure} figure  @param {State} state  @param {string} axis */
function isLogarithmic(figure, state, axis) {
  const flipped = state.scales.get(figure.key) ?? "";
  return figure.scales.includes(axis) && !figure.linear(state)[axis] && figure.logarithmic.includes(axis) !== flipped.includes(axis);
}

const NEGATIVE = "Differences can be negative, so they have no logarithm.";

/** For figures with values on `axis`, which are differences if the reader has chosen them. */
function linearIfDifferences(axis) {
  return (state) => (state.value === "difference" ? { [axis]: NEGATIVE } : {});
}

const SPREAD_COLUMNS = { interval: ["ci_low", "ci_high"], range: ["lowest", "highest"], seeds: ["lowest", "highest"] };
const SPREAD_NAMES = { interval: "95 % interval", range: "range over seeds", seeds: "range over seeds" };

function tooltip(arm, place, metric, point, state) {
  const lines = [`<b>${plain(arm.name)}</b>`, plain(place), valueIn(metric, point.mean, state)];
  if (point.low !== null) lines.push(`${SPREAD_NAMES[state.show]} ${shown(point.low)} to ${shown(point.high)}`);
  lines.push(`${point.seeds} ${point.seeds === 1 ? "seed" : "seeds"}${point.n === null ? "" : `, n = ${point.n.toLocaleString("en")}`}`);
  return lines.join("<br>");
}

function seedTooltip(arm, seed, place, metric, value, n, state) {
  return `<b>${plain(arm.name)}</b><br>seed ${seed}, ${plain(place)}<br>${valueIn(metric, value, state)}<br>n = ${n.toLocaleString("en")}`;
}

/** A value with its unit, and what it is measured from.  @param {State} state */
function valueIn(metric, value, state) {
  return [shown(value), plain(unitOf(metric)), state.value === "difference" ? "from the control" : ""].filter(Boolean).join(" ");
}

/** Values of single seeds as small marks behind their mean. */
function seedMarks({ arm, x, y, text }) {
  return { x, y, text, mode: "markers", marker: { size: 6, color: colorOf(arm), opacity: 0.55, symbol: `${arm.symbol}-open` }, hovertemplate: "%{text}<extra></extra>", name: plain(arm.name), showlegend: false };
}

function unitOf(metric) {
  return metric.unit === "1" ? "" : metric.unit;
}

function noteOf(metric) {
  const direction = { up: "rises when narrowing", down: "falls when narrowing", unclear: "" }[metric.narrowing];
  return [unitOf(metric), direction].filter(Boolean).join(", ");
}

/** The name of the column with the values.  @param {State} state */
function valueColumn(state) {
  return state.value === "difference" ? "difference" : "value";
}

function tableHeader(state) {
  return ["arm", "seed", "generation", valueColumn(state), ...SPREAD_COLUMNS[state.show], "seeds", "n", "unit"];
}

/** Arms that can be drawn under the chosen kind of value: the control has no difference from itself. */
function drawnArms(experiment, state) {
  return visibleArms(experiment, state).filter((index) => state.value === "absolute" || !isControl(experiment, index));
}

/** A metric over generations. @returns {ChartFigure} */
function trajectory(experiment, key, metric) {
  const figure = { key, metric, title: metric.label, note: noteOf(metric), scales: "xy", logarithmic: "", linear: linearIfDifferences("y") };
  const isLog = (axis) => (state) => isLogarithmic(figure, state, axis);
  return { ...figure, draw: (state) => drawTrajectory(experiment, metric, state, isLog("x")(state), isLog("y")(state)) };
}

function drawTrajectory(experiment, metric, state, isLogOfGeneration, isLogOfValue) {
  const traces = [];
  const rows = [];
  const all = Array.from({ length: experiment.last + 1 }, (_, generation) => generation);
  const generations = isLogOfGeneration ? all.slice(1) : all;
  for (const index of drawnArms(experiment, state)) {
    const arm = experiment.arms[index];
    if (state.show === "seeds") {
      traces.push(...seedLines(experiment, metric, index, generations, state, rows));
      continue;
    }
    const points = generations.map((generation) => pointOf(experiment, metric, index, generation, state));
    traces.push(...band(arm, generations, points, isLogOfValue), {
      x: generations, y: points.map((point) => point?.mean ?? null), name: plain(arm.name), line: lineOf(arm), marker: markerOf(arm, 6), mode: "lines+markers",
      text: points.map((point, at) => (point ? tooltip(arm, `generation ${generations[at]}`, metric, point, state) : "")), hovertemplate: "%{text}<extra></extra>",
    });
    points.forEach((point, at) => {
      if (point) rows.push([arm.name, "mean", generations[at], point.mean, point.low, point.high, point.seeds, point.n, metric.unit]);
    });
    traces.push(...driftLine(experiment, metric, index, generations, state));
  }
  const shapes = [];
  const floor = experiment.floors[metric.id];
  if (floor !== undefined && state.value === "absolute") shapes.push(levelAt(floor, "ideal reader"));
  const isCut = isLogOfValue && rows.some((row) => row.slice(3, 6).some((value) => value !== null && value <= 0));
  const yaxis = { title: { text: axisOf(metric, state) + (isCut ? " (0 and less left out)" : "") } };
  if (state.value === "difference") {
    yaxis.range = rangeOfDifferences(metric, rows.flatMap((row) => row.slice(3, 6)));
    shapes.push(levelAt(0), ...practicalRegion(metric, "y", yaxis.range));
  }
  const xaxis = isLogOfGeneration
    ? { title: { text: "generation (0 is left out)" } }
    : { title: { text: "generation" }, dtick: Math.ceil((experiment.last + 1) / 12), tick0: 0 };
  const layout = { shapes, xaxis, yaxis };
  return { traces, layout, of: kindOf(state), spread: SHOWS[state.show], header: tableHeader(state), rows };
}

function seedLines(experiment, metric, index, generations, state, rows) {
  const arm = experiment.arms[index];
  const bySeed = new Map(experiment.seeds.map((seed) => [seed, []]));
  for (const generation of generations) {
    for (const [seed, value, n] of seedValues(experiment, metric, index, generation, state)) {
      bySeed.get(seed).push([generation, value, n]);
      rows.push([arm.name, seed, generation, value, null, null, 1, n, metric.unit]);
    }
  }
  return [...bySeed].filter(([, points]) => points.length > 0).map(([seed, points], number) => ({
    x: points.map(([generation]) => generation), y: points.map(([, value]) => value), name: plain(arm.name), legendgroup: arm.name, showlegend: number === 0,
    line: { ...lineOf(arm), width: 1.3 }, opacity: 0.8, mode: "lines+markers", marker: markerOf(arm, 4),
    text: points.map(([generation, value, n]) => seedTooltip(arm, seed, `generation ${generation}`, metric, value, n, state)),
    hovertemplate: "%{text}<extra></extra>",
  }));
}

/** The spread of an arm as a shaded band, where there is one. On a logarithmic axis it ends at the lowest value there. */
function band(arm, generations, points, isLogOfValue) {
  const lowest = Math.min(...points.flatMap((point) => (point ? [point.mean, point.low] : [])).filter((value) => value > 0));
  const clipped = (point) => (isLogOfValue ? { low: Math.max(point.low, lowest), high: Math.max(point.high, lowest) } : point);
  const known = points.map((point, at) => [generations[at], point]).filter(([, point]) => point && point.low !== null).map(([at, point]) => [at, clipped(point)]);
  if (known.length === 0) return [];
  const back = [...known].reverse();
  return [{
    x: [...known, ...back].map(([generation]) => generation), y: [...known.map(([, point]) => point.high), ...back.map(([, point]) => point.low)],
    fill: "toself", fillcolor: faint(colorOf(arm)), line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false,
  }];
}

/** Where drift and decoding alone would take an arm. */
function driftLine(experiment, metric, index, generations, state) {
  const drift = state.value === "absolute" ? (experiment.drift[metric.id]?.[index] ?? []).slice(generations[0]) : [];
  if (drift.length === 0) return [];
  const arm = experiment.arms[index];
  return [{
    x: generations.slice(0, drift.length), y: drift, mode: "lines", line: { color: colorOf(arm), width: 1, dash: "dot" }, showlegend: false,
    text: drift.map((value, at) => `<b>${plain(arm.name)}</b>, by drift and decoding alone<br>generation ${generations[at]}<br>${shown(value)} ${plain(unitOf(metric))}`),
    hovertemplate: "%{text}<extra></extra>",
  }];
}

function levelAt(value, label) {
  const text = label ? { label: { text: label, textposition: "start", font: { size: 11, color: theme().muted } } } : {};
  return { type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line: { color: theme().muted, width: 1, dash: "dash" }, ...text };
}

/** The range of an axis that has zero, the practical size and all of `values` on it.  @returns {[number, number]} */
function rangeOfDifferences(metric, values) {
  const known = [0, 1.25 * (metric.practical ?? 0), ...values.filter(Number.isFinite)];
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const margin = 0.06 * (high - low || 1);
  return [low - margin, high + margin];
}

/** The region of differences that matter in practice, up to the end of the axis. */
function practicalRegion(metric, axis, [low, high]) {
  if (metric.practical === null) return [];
  const end = metric.practical < 0 ? low : high;
  const across = axis === "y" ? "x" : "y";
  const along = { [`${across}ref`]: "paper", [`${across}0`]: 0, [`${across}1`]: 1, [`${axis}0`]: metric.practical, [`${axis}1`]: end };
  return [{ type: "rect", layer: "below", fillcolor: "rgba(213,94,0,0.12)", line: { width: 0 }, ...along }];
}

/** A row per arm: its difference from the control, or what it has left, at one generation. @returns {ChartFigure} */
function rowsOfArms(experiment, key, metric, value) {
  const own = (state) => ({ ...state, value });
  const draw = (state) => drawRows(experiment, metric, own(state));
  return { key, metric, title: metric.label, note: noteOf(metric), scales: "x", logarithmic: "", linear: (state) => linearIfDifferences("x")(own(state)), tall: true, draw };
}

function drawRows(experiment, metric, state) {
  const rows = [];
  const traces = [];
  for (const index of drawnArms(experiment, state).sort((a, b) => a - b)) {
    const arm = experiment.arms[index];
    const generation = lastKnown(experiment, metric, index, generationOf(experiment, state), state);
    const point = pointOf(experiment, metric, index, generation, state);
    if (!point) continue;
    const error = point.low === null ? {} : { error_x: { type: "data", symmetric: false, array: [point.high - point.mean], arrayminus: [point.mean - point.low], color: colorOf(arm), thickness: 1.6, width: 0 } };
    traces.push({
      x: [point.mean], y: [plain(arm.name)], name: plain(arm.name), mode: "markers", ...error,
      marker: { ...markerOf(arm, 9), color: point.significant === false ? theme().card : colorOf(arm), line: { color: colorOf(arm), width: 2 } },
      text: [tooltip(arm, `generation ${generation}`, metric, point, state)], hovertemplate: "%{text}<extra></extra>",
    });
    rows.push([arm.name, "mean", generation, point.mean, point.low, point.high, point.seeds, point.n, metric.unit]);
    if (state.show !== "seeds") continue;
    const seeds = seedValues(experiment, metric, index, generation, state);
    traces.push(seedMarks({ arm, x: seeds.map(([, single]) => single), y: seeds.map(() => plain(arm.name)), text: seeds.map(([seed, single, n]) => seedTooltip(arm, seed, `generation ${generation}`, metric, single, n, state)) }));
    rows.push(...seeds.map(([seed, single, n]) => [arm.name, seed, generation, single, null, null, 1, n, metric.unit]));
  }
  const zero = { type: "line", yref: "paper", y0: 0, y1: 1, line: { color: theme().muted, width: 1, dash: "dash" } };
  const control = experiment.arms.findIndex((_, index) => isControl(experiment, index));
  const natural = control < 0 ? null : pointOf(experiment, metric, control, generationOf(experiment, state), state);
  const xaxis = { title: { text: axisOf(metric, state) } };
  const shapes = [];
  if (state.value === "difference") {
    xaxis.range = rangeOfDifferences(metric, rows.flatMap((row) => row.slice(3, 6)));
    shapes.push({ ...zero, x0: 0, x1: 0 }, ...practicalRegion(metric, "x", xaxis.range));
  } else if (natural) {
    shapes.push({ ...zero, x0: natural.mean, x1: natural.mean });
  }
  const layout = { shapes, xaxis, yaxis: { type: "category", automargin: true, autorange: "reversed" } };
  const drawn = rows.length > 0 ? rows.map((row) => row[2]) : [generationOf(experiment, state)];
  const of = [...kindOf(state), ...inGenerations(drawn)];
  return { traces, layout, of, spread: SHOWS[state.show], header: tableHeader(state), rows };
}

/** The last generation up to `generation` at which an arm has a value. */
function lastKnown(experiment, metric, index, generation, state) {
  for (let at = generation; at > 0; at -= 1) {
    if (pointOf(experiment, metric, index, at, state)) return at;
  }
  return 0;
}

/** The components of the differences from the control in one metric. @returns {ChartFigure} */
function causesOf(experiment, key, metric) {
  const draw = (state) => {
    const found = experiment.causes.filter((cause) => cause.metric === metric.id && !state.hidden.has(cause.arm));
    const arms = found.map((cause) => plain(cause.arm));
    const bars = COMPONENTS.map(([id, name, color]) => ({
      type: "bar", orientation: "h", name, x: found.map((cause) => cause[id]), y: arms, marker: { color },
      text: found.map((cause) => `<b>${plain(cause.arm)}</b><br>${name}: ${shown(cause[id])} ${plain(unitOf(metric))}${id === "misfit" ? `<br>95 % interval ${shown(cause.misfit_ci_low)} to ${shown(cause.misfit_ci_high)}` : ""}`),
      textposition: "none", hovertemplate: "%{text}<extra></extra>",
    }));
    const whole = {
      x: found.map((cause) => cause.difference), y: arms, mode: "markers", name: "observed difference", marker: { size: 9, color: theme().ink, symbol: "diamond" },
      text: found.map((cause) => `<b>${plain(cause.arm)}</b><br>observed: ${shown(cause.difference)} ${plain(unitOf(metric))}`), hovertemplate: "%{text}<extra></extra>",
    };
    const six = (value) => (typeof value === "number" ? Number(value.toPrecision(6)) : value);
    const rows = found.map((cause) => [cause.arm, cause.generation, ...[cause.sampling, cause.decoding, cause.misfit, cause.misfit_ci_low, cause.misfit_ci_high, cause.difference].map(six), metric.unit]);
    const header = ["arm", "generation", "sampling", "decoding", "misfit", "misfit_ci_low", "misfit_ci_high", "difference", "unit"];
    const layout = { barmode: "relative", xaxis: { title: { text: axisOf(metric, { value: "difference" }) } }, yaxis: { type: "category", automargin: true, autorange: "reversed" } };
    const of = [VALUES.difference, ...inGenerations(found.map((cause) => cause.generation))];
    return { traces: [...bars, whole], layout, of, spread: "means over seeds", header, rows };
  };
  const last = inGenerations(experiment.causes.map((cause) => cause.generation));
  const note = [noteOf(metric), `means over seeds at ${last}, whatever the slider says`].filter(Boolean).join("; ");
  return { key, metric, title: metric.label, note, scales: "x", logarithmic: "", linear: () => ({ x: NEGATIVE }), tall: true, draw };
}

/** What marks and colours of the figures of a chapter mean.  @param {string} topic  @returns {HTMLElement[]} */
function legendOf(topic) {
  if (topic === "causes") return [causesLegend()];
  if (topic === "effects") return [element("p", { className: "sub" }, "A filled mark is evidence of narrowing, a hollow one is none.")];
  return [];
}

function causesLegend() {
  const swatch = (color) => Object.assign(element("span", { className: "swatch", ariaHidden: "true" }), { style: `background:${color}` });
  const parts = COMPONENTS.flatMap(([, name, color]) => [swatch(color), `${name}\u2003`]);
  return element("p", { className: "sub" }, ...parts, "◆ observed difference, the sum of the bars");
}

/** Some metrics side by side, from frequent to rare, at one generation. @returns {ChartFigure} */
function profile(experiment, key, title, metrics) {
  const names = ["head", "torso", "tail"];
  const draw = (state) => {
    const generation = generationOf(experiment, state);
    const rows = [];
    const traces = drawnArms(experiment, state).flatMap((index) => {
      const arm = experiment.arms[index];
      const points = metrics.map((metric) => pointOf(experiment, metric, index, generation, state));
      points.forEach((point, place) => {
        if (point) rows.push([arm.name, "mean", generation, point.mean, point.low, point.high, point.seeds, point.n, metrics[place].unit, metrics[place].id]);
      });
      const size = (end) => points.map((point) => (point && point.low !== null ? Math.abs(point[end] - point.mean) : 0));
      const singles = state.show !== "seeds" ? [] : metrics.map((metric, place) => {
        const seeds = seedValues(experiment, metric, index, generation, state);
        rows.push(...seeds.map(([seed, single, n]) => [arm.name, seed, generation, single, null, null, 1, n, metric.unit, metric.id]));
        return seedMarks({ arm, x: seeds.map(() => names[place]), y: seeds.map(([, single]) => single), text: seeds.map(([seed, single, n]) => seedTooltip(arm, seed, `${names[place]}, generation ${generation}`, metric, single, n, state)) });
      });
      return [{
        x: names.slice(0, metrics.length), y: points.map((point) => point?.mean ?? null), name: plain(arm.name), mode: "lines+markers", line: lineOf(arm), marker: markerOf(arm, 7),
        error_y: { type: "data", symmetric: false, array: size("high"), arrayminus: size("low"), thickness: 1.2, width: 3, color: colorOf(arm) },
        text: points.map((point, place) => (point ? tooltip(arm, `${names[place]}, generation ${generation}`, metrics[place], point, state) : "")), hovertemplate: "%{text}<extra></extra>",
      }, ...singles];
    });
    const layout = { xaxis: { type: "category" }, yaxis: { title: { text: axisOf(metrics[0], state) } }, shapes: state.value === "difference" ? [levelAt(0)] : [] };
    const of = [...kindOf(state), ...inGenerations([generation])];
    return { traces, layout, of, spread: SHOWS[state.show], header: [...tableHeader(state), "metric"], rows };
  };
  return { key, metrics, title, note: `${noteOf(metrics[0])}; at the generation of the slider`, scales: "y", logarithmic: "", linear: linearIfDifferences("y"), about: metrics[0], draw };
}

const CURVES = {
  rank_frequency: {
    title: "Rank and frequency of words", x: "rank of the word", y: "share of words", logarithmic: "xy", natural: "natural text of the same size",
    question: "How often do the most frequent, the tenth, the thousandth most frequent word occur?",
    formula: "The count of a word divided by the number of all words, against its rank among the words of the same text.",
    pitfall: "Every text has ranks of its own: the same rank is not the same word in two texts.",
  },
  survival: {
    title: "Token types that are still written", x: "natural frequency (share of tokens)", y: "share of types found", logarithmic: "x", natural: "expected in natural text of the same size",
    question: "Of the token types with a natural frequency, which share do the models still write?",
    formula: "Types found in the synthetic text divided by all types of about this frequency in natural text.",
    pitfall: "Natural text of the same size lacks many rare types too: compare with the dashed line, not with 1.",
  },
  training: {
    title: "Loss on the training text", x: "tokens seen", y: "nats/token", logarithmic: "", natural: "",
    question: "How fast does a model learn its training text?",
    formula: "The mean loss since the point before.",
    pitfall: "Arms train on different texts: a lower loss may mean an easier text.",
  },
};

/** A curve per arm at one generation. @returns {ChartFigure} */
function curvesOf(experiment, key, kind) {
  const { title, x, y, logarithmic, natural, ...about } = CURVES[kind];
  const data = experiment.curves[kind];
  const seeds = [...new Set(data.seeds.filter((seed) => seed !== null))];
  const draw = (state) => {
    const generation = generationOf(experiment, state);
    const rows = [];
    const traces = visibleArms(experiment, state).flatMap((index) => {
      const curve = data.arms[index][generation];
      if (!curve) return [];
      const arm = experiment.arms[index];
      const place = `seed ${data.seeds[index]}, generation ${generation}`;
      curve[0].forEach((at, point) => rows.push([arm.name, data.seeds[index], generation, at, curve[1][point]]));
      return [{
        x: curve[0], y: curve[1], name: plain(arm.name), mode: "lines", line: lineOf(arm),
        text: curve[0].map((at, point) => `<b>${plain(arm.name)}</b><br>${place}<br>${x}: ${shown(at)}<br>${y}: ${shown(curve[1][point])}`), hovertemplate: "%{text}<extra></extra>",
      }];
    });
    if (data.natural[0].length > 0) {
      traces.push({
        x: data.natural[0], y: data.natural[1], name: natural, mode: "lines", line: { color: theme().muted, width: 1.6, dash: "dash" },
        text: data.natural[0].map((at, point) => `${natural}<br>${x}: ${shown(at)}<br>${y}: ${shown(data.natural[1][point])}`), hovertemplate: "%{text}<extra></extra>",
      });
      data.natural[0].forEach((at, point) => rows.push([natural, null, null, at, data.natural[1][point]]));
    }
    const of = [`seed ${seeds.join(", ")}`, ...inGenerations([generation])];
    return { traces, layout: { xaxis: { title: { text: x } }, yaxis: { title: { text: y } } }, of, spread: "", header: ["arm", "seed", "generation", x, y], rows };
  };
  const note = `${y}; seed ${seeds.join(", ")}, at the generation of the slider${natural ? `; dashed: ${natural}` : ""}`;
  return { key, title, note, scales: "xy", logarithmic, linear: () => ({}), about: { ...about, label: title }, draw };
}

const FAMILIES = {
  held_out: "Held-out text: how surprised is the model by natural text?", tail: "Tail: do rare types live on in the synthetic text?",
  entropy: "Entropy: how varied is the synthetic text?", divergence: "Divergence: how far is synthetic text from natural text?",
  form: "Form: repetition, novelty, compressibility of the synthetic text", other: "Other metrics",
};

/** The figures of a chapter in groups, each with a heading or none. @returns {[string, ChartFigure[]][]} */
function figuresOf(data, number, topic) {
  const experiment = data.experiments[number];
  const measured = data.metrics.filter((metric) => experiment.means[metric.id]);
  const by = (ids) => ids.flatMap((id) => measured.filter((metric) => metric.id === id));
  const key = (name) => `${number + 1}-${topic}-${name}`;
  const { headline, tail_left, rarity, facts } = data.groups;
  switch (topic) {
    case "effects":
      return [["", by(headline).filter((metric) => experiment.differences[metric.id]).map((metric) => rowsOfArms(experiment, key(metric.id), metric, "difference"))]];
    case "causes": {
      const ids = [...new Set(experiment.causes.map((cause) => cause.metric))];
      return [["", by(ids).map((metric) => causesOf(experiment, key(metric.id), metric))]];
    }
    case "tail-left":
      return [["", by(tail_left).map((metric) => rowsOfArms(experiment, key(metric.id), metric, "absolute"))]];
    case "trajectories": {
      const elsewhere = new Set([...rarity, ...facts]);
      const own = measured.filter((metric) => !elsewhere.has(metric.id));
      return Object.entries(FAMILIES).map(([family, heading]) => [heading, own.filter((metric) => metric.family === family).map((metric) => trajectory(experiment, key(metric.id), metric))]);
    }
    case "rarity":
    case "facts": {
      const metrics = by(topic === "facts" ? facts : rarity);
      const title = topic === "facts" ? "Facts recalled, from popular to rare" : "Loss of frequent, medium and rare tokens";
      return [["", metrics.length === 0 ? [] : [profile(experiment, key("profile"), title, metrics), ...metrics.map((metric) => trajectory(experiment, key(metric.id), metric))]]];
    }
    case "rank-frequency":
      return [["", experiment.curves.rank_frequency ? [curvesOf(experiment, key("curves"), "rank_frequency")] : []]];
    default:
      return [["", experiment.curves[topic] ? [curvesOf(experiment, key("curves"), topic)] : []]];
  }
}
