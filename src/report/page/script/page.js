// Puts the figures on the page and keeps them up to date.

class Page {
  /** @param {object} data */
  constructor(data) {
    this.state = stateFrom(location.hash);
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    /** @type {Texts[]} */
    this.texts = [];
    /** @type {Sweep | null} */
    this.sweep = null;
    /** The search that the page shows the result of. */
    this.searched = "";
    this.observer = new IntersectionObserver((entries) => this.see(entries), { rootMargin: "300px" });
    this.controls = new Controls(this);
    document.querySelector("main")?.prepend(this.controls.root, this.controls.words);
    document.body.append(live);
    this.update(data);
  }

  /** Shows these data where the page has places for them, with the figures that are there already.  @param {object} data */
  update(data) {
    this.data = data;
    this.controls.update(data);
    for (const place of document.querySelectorAll(".charts[data-topic]")) this.fill(place);
    for (const place of document.querySelectorAll(".samples[data-experiment]")) this.fillTexts(place);
    const table = document.querySelector("table.experiments");
    this.overview = table && new Overview(table, this);
    if (table) {
      this.sweep ??= new Sweep(this);
      this.sweep.update(data, this);
      table.parentElement?.after(this.sweep.root);
    }
    this.refresh();
  }

  fill(place) {
    const number = Number(place.dataset.experiment);
    const { name, arms } = this.data.experiments[number];
    const groups = figuresOf(this.data, number, place.dataset.topic).filter(([, figures]) => figures.length > 0);
    place.replaceChildren(...legendOf(place.dataset.topic), ...groups.map(([heading, figures]) => {
      const grid = element("div", { className: figures.some((figure) => !figure.metric) ? "grid wide" : "grid" }, ...figures.map((figure) => this.card({ ...figure, source: name }, arms.length).root));
      return heading ? element("details", { className: "family", open: true }, element("summary", {}, heading), grid) : grid;
    }));
  }

  fillTexts(place) {
    const number = Number(place.dataset.experiment);
    this.texts[number] ??= new Texts();
    this.texts[number].update(this.data.experiments[number]);
    place.replaceChildren(this.texts[number].root);
  }

  /** The card of a figure: the one that the page has, or a new one.  @param {ChartFigure} figure  @param {number} arms */
  card(figure, arms) {
    let card = this.cards.get(figure.key);
    if (!card) {
      card = new Card(figure, () => this.state, () => this.change(() => {}));
      this.cards.set(figure.key, card);
      this.observer.observe(card.plot);
    }
    card.update(figure, arms);
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
    this.writeAddress();
    this.refresh();
  }

  /** Makes the address one that opens this view. */
  writeAddress() {
    history.replaceState(history.state, "", hashOf(this.state) || location.pathname + location.search);
  }

  refresh() {
    const cards = [...this.cards.values()].filter((card) => card.root.isConnected);
    for (const card of cards) card.root.hidden = !this.isWanted(card);
    const found = cards.filter((card) => !card.figure.always);
    this.controls.refresh(this.state, found.filter((card) => !card.root.hidden).length, found.length);
    this.overview?.refresh(this.state);
    this.sweep?.refresh(this.state);
    for (const card of cards) card.refresh();
    const isNewSearch = this.state.find !== this.searched;
    for (const group of document.querySelectorAll("details.family, section:has(> .charts)")) {
      group.hidden = [...group.querySelectorAll("figure.chart")].every((figure) => figure.hidden);
      if (isNewSearch && group.localName === "details") this.unfold(group);
    }
    for (const link of document.querySelectorAll("nav a")) link.hidden = document.getElementById(link.hash.slice(1))?.hidden ?? false;
    this.searched = this.state.find;
    for (const texts of this.texts) texts.refresh(this.state);
  }

  /** Opens a family for the time of a search.  @param {HTMLDetailsElement} family */
  unfold(family) {
    if (this.state.find) {
      family.dataset.folded ??= String(!family.open);
      family.open = true;
    } else {
      family.open = family.dataset.folded !== "true";
      delete family.dataset.folded;
    }
  }

  /** Whether a figure passes the search, and differs from the control if that is asked for.  @param {Card} card */
  isWanted({ figure }) {
    const { find, differing } = this.state;
    if (figure.always) return true;
    const metrics = figure.metrics ?? (figure.metric ? [figure.metric] : []);
    const words = [figure.title, ...metrics.flatMap((metric) => [metric.id, metric.label, metric.question ?? ""])].join(" ").toLowerCase();
    if (find && !find.toLowerCase().split(/\s+/).every((word) => words.includes(word))) return false;
    return !differing || metrics.some((metric) => this.differs(metric, Number.parseInt(figure.key, 10) - 1));
  }

  /** Whether an arm that is shown differs from the control in a metric, at the last generation.  @param {object} metric  @param {number} number */
  differs(metric, number) {
    const experiment = this.data.experiments[number];
    return (experiment.differences[metric.id] ?? []).some((arm, index) => {
      const last = arm.at(-1);
      return last && !this.state.hidden.has(experiment.arms[index].name) && (last[1] > 0 || last[2] < 0);
    });
  }

  /** Draws every figure anew, in the colours of the theme as it is now. */
  redrawAll() {
    this.refresh();
    for (const card of this.cards.values()) card.redraw();
  }
}

/** @type {Page | null} */
let page = null;

async function start() {
  try {
    // Both are unpacked at the same time.
    const library = window.Plotly ? "" : unpack("genloss-plotly");
    const data = JSON.parse(await unpack("genloss-data"));
    if (data.experiments.length === 0) return;
    await loadPlotly(library);
    page = new Page(data);
    page.controls.makeRoom();
    goToPlace();
    keepPlace();
  } catch (error) {
    console.warn("The interactive figures could not be drawn:", error);
    showStaticFigures();
  }
}

/** Shows what is new in a newer state of this page. Whatever the reader has opened, chosen or scrolled to stays.  @param {Document} fresh */
async function refresh(fresh) {
  const [main, freshMain] = [document.querySelector("main"), fresh.querySelector("main")];
  document.getElementById("genloss-data").replaceWith(fresh.getElementById("genloss-data"));
  const data = JSON.parse(await unpack("genloss-data"));
  const restore = remember(main);
  for (const child of [...main.children]) if (child !== page?.controls.root && child !== page?.controls.words) child.remove();
  main.append(...freshMain.children);
  if (page) page.update(data);
  else await start();
  restore();
}

/** What is open, scrolled and in focus below an element. The result restores it after the element has changed. */
function remember(root) {
  const open = [...root.querySelectorAll("details")].map((details) => [placeOf(details), details.open]);
  const scrolled = [...root.querySelectorAll(".scroll")].filter((box) => box.scrollLeft || box.scrollTop).map((box) => [placeOf(box), box.scrollLeft, box.scrollTop]);
  const focused = root.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && placeOf(focused);
  const read = whatIsRead(root);
  return () => {
    for (const [at, isOpen] of open) {
      const details = elementAt(at);
      if (details) details.open = isOpen;
    }
    for (const [at, left, top] of scrolled) elementAt(at)?.scrollTo(left, top);
    if (focused && document.activeElement !== focused) (focused.isConnected ? focused : elementAt(place))?.focus({ preventScroll: true });
    const still = read && (read.element.isConnected ? read.element : elementAt(read.place));
    if (still) window.scrollBy(0, still.getBoundingClientRect().top - read.top);
  };
}

/** The first element below the bar, which stays where it is on the screen; null at the top of the page. */
function whatIsRead(root) {
  if (window.scrollY === 0) return null;
  const bar = page?.controls.root.getBoundingClientRect().bottom ?? 0;
  const isBelow = (one) => one.getBoundingClientRect().bottom > bar;
  // Experiments that are out of sight are not laid out, and must not be for this.
  for (const part of root.children) {
    if (!isBelow(part)) continue;
    const blocks = part.querySelectorAll("figure.chart, h1, h2, h3, p, tr, li, dt, pre");
    const found = [...blocks].find((one) => isBelow(one) && one.checkVisibility() && !one.closest(".controls"));
    if (found) return { element: found, place: placeOf(found), top: found.getBoundingClientRect().top };
  }
  return null;
}

/**
 * Keeps in the history what is read, for Back, Forward and Reload. The browser itself remembers a distance from the top,
 * which is another place once experiments above it have been laid out.
 */
function keepPlace() {
  history.scrollRestoration = "manual";
  let pause = 0;
  const keep = () => {
    const read = whatIsRead(document.querySelector("main"));
    history.replaceState({ read: read && { place: read.place, top: read.top } }, "");
  };
  window.addEventListener("scroll", () => {
    clearTimeout(pause);
    pause = setTimeout(keep, 150);
  });
  window.addEventListener("popstate", goToPlace);
  if (!history.state) history.replaceState({ read: null }, "");
}

/** Scrolls to what was read when this entry of the history was left, or to the chapter that the address names. */
function goToPlace() {
  const read = history.state?.read;
  const found = read && elementAt(read.place);
  if (!found) {
    const chapter = document.getElementById(location.hash.slice(1));
    if (chapter) chapter.scrollIntoView();
    else if (history.state) window.scrollTo(0, 0);
    return;
  }
  const experiment = found.closest("article");
  if (experiment) experiment.style.contentVisibility = "visible";
  const scroll = () => window.scrollBy(0, found.getBoundingClientRect().top - read.top);
  scroll();
  // Experiments beside it that come into sight are laid out only now.
  requestAnimationFrame(() => { scroll(); requestAnimationFrame(scroll); });
}

/** Where an element stands: below which element with an id, and which of its kind it is there. */
function placeOf(wanted) {
  const home = wanted.parentElement?.closest("[id]");
  return { home: home?.id ?? "", kind: wanted.localName, number: home ? elementsIn(home, wanted.localName).indexOf(wanted) : -1 };
}

function elementAt({ home, kind, number }) {
  const found = document.getElementById(home);
  return found && elementsIn(found, kind)[number];
}

/** Elements of a kind that have no other element with an id between them and `home`. */
function elementsIn(home, kind) {
  return [...home.querySelectorAll(kind)].filter((one) => one.parentElement.closest("[id]") === home);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page?.redrawAll());
for (const [event, isPrinted] of [["beforeprint", true], ["afterprint", false]]) {
  window.addEventListener(event, () => {
    document.documentElement.classList.toggle("printed", isPrinted);
    page?.redrawAll();
  });
}
window.addEventListener("hashchange", () => {
  if (!page) return;
  if (location.hash.startsWith(STATE_PREFIX)) {
    page.state = stateFrom(location.hash);
    page.refresh();
  } else if (hashOf(page.state)) {
    // A link to a chapter has led there; the address is the view again.
    page.writeAddress();
  }
});
window.genloss = { refresh, ready: start(), page: () => page };
