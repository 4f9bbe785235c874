// The bar above the figures.

class Controls {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.arms = new Map();
    this.last = 0;
    this.group = element("div", { className: "arms", role: "group", ariaLabel: "Arms" });
    this.show = this.choice("Seeds", SHOWS, "show", "Curves are those of one seed, causes those of the means");
    this.value = this.choice("Show", VALUES, "value", "For trajectories, profiles and the chart over settings");
    this.slider = element("input", { type: "range", min: "0", step: "1", ariaLabel: "Generation" });
    this.slider.addEventListener("input", () => page.change((state) => { state.generation = this.slider.valueAsNumber === this.last ? null : this.slider.valueAsNumber; }));
    this.generation = element("output");
    this.player = button("▶ play", () => this.play());
    this.find = element("input", { type: "search", placeholder: "find a metric", ariaLabel: "Find a metric" });
    this.find.addEventListener("input", () => page.change((state) => { state.find = this.find.value; }));
    this.differing = element("input", { type: "checkbox" });
    this.differing.addEventListener("change", () => page.change((state) => { state.differing = this.differing.checked; }));
    this.found = element("output", { className: "found" });
    this.root = element("details", { className: "controls", open: matchMedia("(min-width: 721px)").matches }, element("summary", {}, "Figures show"), this.bar());
    /** What the figures show, in words, for paper. */
    this.words = element("p", { className: "words" });
    new ResizeObserver(() => this.makeRoom()).observe(this.root);
  }

  /** Chapters that a link leads to begin below the bar. */
  makeRoom() {
    document.documentElement.style.scrollPaddingTop = `${this.root.offsetHeight}px`;
  }

  bar() {
    const time = element("span", { className: "time" }, this.slider, this.generation, this.player);
    const only = element("label", {}, this.differing, " only what differs from the control");
    const whole = button("whole table", () => save("measurements.csv", "text/csv", csvOf(wholeTable(this.page.data))), { title: "Save every value of every seed as CSV" });
    const link = button("copy link", () => this.copyLink(link), { title: "Copy a link to this view" });
    return element("div", { className: "bar" }, this.group, this.show.root, this.value.root, time, this.find, only, this.found, whole, link);
  }

  /** Has a button for every arm and a place on the slider for every generation.  @param {object} data */
  update(data) {
    const arms = new Map(data.experiments.flatMap((experiment) => experiment.arms).map((arm) => [arm.name, arm]));
    const isNew = [...arms.keys()].join("\n") !== [...this.arms.keys()].join("\n");
    this.arms = arms;
    if (isNew) {
      this.buttons = [...arms.values()].map((arm) => this.armButton(arm));
      this.group.replaceChildren(...this.buttons);
    }
    this.last = Math.max(0, ...data.experiments.map((experiment) => experiment.last));
    this.slider.max = String(this.last);
  }

  armButton(arm) {
    const made = button("", () => this.page.change((state) => {
      if (!state.hidden.delete(arm.name)) state.hidden.add(arm.name);
    }));
    made.innerHTML = arm.key;
    made.append(arm.name);
    made.dataset.arm = arm.name;
    return made;
  }

  choice(label, options, key, title) {
    const select = element("select", {}, ...Object.entries(options).map(([value, text]) => element("option", { value }, text)));
    select.dataset.choice = key;
    select.addEventListener("change", () => this.page.change((state) => { state[key] = select.value; }));
    return { select, root: element("label", { title }, `${label} `, select) };
  }

  async copyLink(link) {
    // Browsers give pages of other machines no clipboard without encryption.
    this.page.writeAddress();
    await navigator.clipboard?.writeText(location.href);
    link.textContent = navigator.clipboard ? "copied" : "it is the address";
    setTimeout(() => { link.textContent = "copy link"; }, 1500);
  }

  /** Steps through the generations, or stops. */
  play() {
    if (this.timer) {
      clearInterval(this.timer);
      this.timer = null;
    } else {
      this.timer = setInterval(() => this.step(), 900);
      this.step();
    }
    this.player.textContent = this.timer ? "■ stop" : "▶ play";
  }

  step() {
    this.page.change((state) => {
      const next = state.generation === null ? 0 : state.generation + 1;
      state.generation = next >= this.last ? null : next;
    });
    if (this.page.state.generation === null && this.timer) this.play();
  }

  /** @param {State} state  @param {number} shown  Figures that are shown.  @param {number} all */
  refresh(state, shown, all) {
    for (const made of this.buttons) {
      made.ariaPressed = String(!state.hidden.has(made.dataset.arm));
    }
    this.show.select.value = state.show;
    this.value.select.value = state.value;
    this.slider.value = String(state.generation ?? this.last);
    this.slider.disabled = this.player.disabled = this.last === 0;
    this.generation.textContent = `generation ${Math.min(state.generation ?? this.last, this.last)} of ${this.last}`;
    const off = [...state.hidden].filter((name) => this.arms.has(name));
    this.words.textContent = `Figures show ${[SHOWS[state.show], VALUES[state.value], this.generation.textContent].join("; ")}${off.length > 0 ? `; without ${off.join(", ")}` : ""}.`;
    if (this.find.value !== state.find) this.find.value = state.find;
    this.differing.checked = state.differing;
    const isNarrowed = Boolean(state.find || state.differing);
    this.found.textContent = !isNarrowed ? "" : shown > 0 ? `${shown} of ${all} figures` : "No figure matches.";
  }
}

/** Every value of every seed. */
function wholeTable(data) {
  const header = ["experiment", "arm", "seed", "generation", "metric", "unit", "value", "std_err", "n"];
  const rows = [];
  for (const experiment of data.experiments) {
    for (const metric of data.metrics) {
      (experiment.values[metric.id] ?? []).forEach((seeds, arm) => seeds.forEach((generations, seed) => generations.forEach((found, generation) => {
        if (found) rows.push([experiment.name, experiment.arms[arm].name, experiment.seeds[seed], generation, metric.id, metric.unit, ...found]);
      })));
    }
  }
  return { header, rows };
}
