// Puts the figures on the page and keeps them up to date.

class Page {
  /** @param {object} data */
  constructor(data) {
    this.data = data;
    this.state = stateFrom(location.hash);
    /** @type {Card[]} */
    this.cards = [];
    /** @type {Texts[]} */
    this.texts = [];
    this.observer = new IntersectionObserver((entries) => this.see(entries), { rootMargin: "300px" });
    this.controls = new Controls(data, this);
    this.build();
    this.refresh();
  }

  build() {
    document.querySelector("main")?.prepend(this.controls.root);
    document.body.append(live);
    for (const place of document.querySelectorAll(".charts[data-topic]")) this.fill(place);
    for (const place of document.querySelectorAll(".samples[data-experiment]")) {
      const texts = new Texts(this.data.experiments[Number(place.dataset.experiment)]);
      this.texts.push(texts);
      place.replaceChildren(texts.root);
    }
    const overview = document.querySelector("table.experiments");
    if (overview) {
      makeSortable(overview);
      overview.parentElement?.after(sweepChart(this.data, this));
    }
  }

  fill(place) {
    const number = Number(place.dataset.experiment);
    const arms = this.data.experiments[number].arms.length;
    const groups = figuresOf(this.data, number, place.dataset.topic).filter(([, figures]) => figures.length > 0);
    const legend = place.dataset.topic === "causes" ? [causesLegend()] : [];
    place.replaceChildren(...legend, ...groups.map(([heading, figures]) => {
      const cards = figures.map((figure) => this.add(new Card(figure, () => this.state, () => this.change(() => {}), arms)).root);
      const grid = element("div", { className: figures.some((figure) => !figure.metric) ? "grid wide" : "grid" }, ...cards);
      return heading ? element("details", { className: "family", open: true }, element("summary", {}, heading), grid) : grid;
    }));
  }

  /** @param {Card} card */
  add(card) {
    this.cards.push(card);
    this.observer.observe(card.plot);
    return card;
  }

  see(entries) {
    for (const entry of entries) {
      const card = entry.target.parentElement.card;
      card.isSeen = entry.isIntersecting;
      if (card.isSeen) card.redraw();
    }
  }

  /** @param {(state: State) => void} action */
  change(action) {
    action(this.state);
    history.replaceState(null, "", hashOf(this.state) || location.pathname + location.search);
    this.refresh();
  }

  refresh() {
    this.controls.refresh(this.state);
    for (const card of this.cards) {
      card.root.hidden = !this.isWanted(card);
      card.refresh();
    }
    for (const family of document.querySelectorAll("details.family")) {
      const isEmpty = [...family.querySelectorAll("figure.chart")].every((figure) => figure.hidden);
      family.hidden = isEmpty;
      if (!isEmpty && this.state.find) family.open = true;
    }
    for (const texts of this.texts) texts.refresh(this.state);
  }

  /** Whether a figure passes the search, and differs from the control if that is asked for.  @param {Card} card */
  isWanted(card) {
    const { metric, key } = card.figure;
    const { find, differing, hidden } = this.state;
    if (!metric) return true;
    const words = `${metric.id} ${metric.label} ${metric.question ?? ""}`.toLowerCase();
    if (find && !find.toLowerCase().split(/\s+/).every((word) => words.includes(word))) return false;
    if (!differing) return true;
    const experiment = this.data.experiments[Number.parseInt(key, 10) - 1];
    return (experiment.differences[metric.id] ?? []).some((arm, index) => {
      const last = arm.at(-1);
      return last && !hidden.has(experiment.arms[index].name) && (last[1] > 0 || last[2] < 0);
    });
  }

  /** Draws every figure anew, in the colours of the theme as it is now. */
  redrawAll() {
    this.controls.refresh(this.state);
    for (const card of this.cards) {
      card.isStale = true;
      card.redraw();
    }
  }

  close() {
    if (this.controls.timer) this.controls.play();
    this.observer.disconnect();
    this.controls.root.remove();
  }
}

/** @type {Page | null} */
let page = null;

async function start() {
  try {
    const data = JSON.parse(await unpack("genloss-data"));
    if (data.experiments.length === 0) return;
    await loadPlotly();
    page = new Page(data);
  } catch (error) {
    console.warn("The interactive figures could not be drawn:", error);
    showStaticFigures();
  }
}

/** Fetches the page again and shows what is new, without losing what the reader has chosen. */
async function refresh() {
  const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const open = new Set([...document.querySelectorAll("main details[open][id]")].map((details) => details.id));
  page?.close();
  for (const id of ["genloss-data"]) document.getElementById(id)?.replaceWith(fresh.getElementById(id) ?? "");
  document.querySelector("main")?.replaceWith(fresh.querySelector("main") ?? "");
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  await start();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page?.redrawAll());
for (const [event, isPrinted] of [["beforeprint", true], ["afterprint", false]]) {
  window.addEventListener(event, () => {
    document.documentElement.classList.toggle("printed", isPrinted);
    page?.redrawAll();
  });
}
window.addEventListener("hashchange", () => {
  if (page && location.hash.startsWith(STATE_PREFIX)) {
    page.state = stateFrom(location.hash);
    page.refresh();
  }
});
window.genloss = { refresh, ready: start(), page: () => page };
