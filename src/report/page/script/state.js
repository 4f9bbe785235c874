// What the reader has chosen. It holds for all figures of the page, and is kept in the page's address.

/**
 * @typedef {object} State
 * @property {Set<string>} hidden  Names of the arms that are switched off.
 * @property {"interval" | "range" | "seeds"} show  What is drawn of the seeds.
 * @property {"absolute" | "difference"} value  Values, or arm minus control.
 * @property {number | null} generation  The generation of the figures that show one; null is the last.
 * @property {string} find  Part of the name of a metric.
 * @property {boolean} differing  Only metrics in which an arm differs from the control.
 * @property {Map<string, string>} scales  Axes of a figure that are not as they were: its key, and "x", "y" or "xy".
 * @property {string} setting  The setting that is the x of the chart over experiments; empty for the first.
 * @property {string} metric  The metric that is its y; empty for the first.
 * @property {{column: string, up: boolean} | null} sort  The column by which the table of experiments is sorted.
 */

const SHOWS = { interval: "mean, 95 % interval", range: "mean, range over seeds", seeds: "every seed" };
const VALUES = { absolute: "values", difference: "arm minus control" };

/** @returns {State} */
function initialState() {
  return { hidden: new Set(), show: "interval", value: "absolute", generation: null, find: "", differing: false, scales: new Map(), setting: "", metric: "", sort: null };
}

const STATE_PREFIX = "#view?";

/** @param {string} hash  @returns {State} */
function stateFrom(hash) {
  const state = initialState();
  if (!hash.startsWith(STATE_PREFIX)) return state;
  const chosen = new URLSearchParams(hash.slice(STATE_PREFIX.length));
  for (const arm of chosen.getAll("without")) state.hidden.add(arm);
  const show = chosen.get("show");
  if (show === "range" || show === "seeds") state.show = show;
  if (chosen.get("value") === "difference") state.value = "difference";
  const generation = Number.parseInt(chosen.get("generation") ?? "", 10);
  if (generation >= 0) state.generation = generation;
  state.find = chosen.get("find") ?? "";
  state.differing = chosen.get("differing") === "yes";
  for (const scale of chosen.getAll("scale")) {
    const at = scale.lastIndexOf(":");
    if (at > 0) state.scales.set(scale.slice(0, at), scale.slice(at + 1));
  }
  state.setting = chosen.get("x") ?? "";
  state.metric = chosen.get("y") ?? "";
  for (const [key, up] of [["up", true], ["down", false]]) {
    const column = chosen.get(key);
    if (column !== null) state.sort = { column, up };
  }
  return state;
}

/** The part of the address that stands for a state; empty for the initial one.  @param {State} state */
function hashOf(state) {
  const chosen = new URLSearchParams();
  for (const arm of state.hidden) chosen.append("without", arm);
  if (state.show !== "interval") chosen.set("show", state.show);
  if (state.value !== "absolute") chosen.set("value", state.value);
  if (state.generation !== null) chosen.set("generation", String(state.generation));
  if (state.find) chosen.set("find", state.find);
  if (state.differing) chosen.set("differing", "yes");
  for (const [key, axes] of state.scales) chosen.append("scale", `${key}:${axes}`);
  if (state.setting) chosen.set("x", state.setting);
  if (state.metric) chosen.set("y", state.metric);
  if (state.sort) chosen.set(state.sort.up ? "up" : "down", state.sort.column);
  const text = chosen.toString();
  return text && STATE_PREFIX + text;
}
