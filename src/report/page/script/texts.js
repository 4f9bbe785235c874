// What the models wrote, side by side, at the generation of the slider.

class Texts {
  constructor() {
    this.root = element("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: "Texts, scroll sideways" });
  }

  /** @param {object} experiment */
  update(experiment) {
    this.experiment = experiment;
  }

  /** @param {State} state */
  refresh(state) {
    const generation = generationOf(this.experiment, state);
    const arms = visibleArms(this.experiment, state).sort((a, b) => a - b);
    const documents = (index) => this.experiment.texts[index]?.[generation] ?? [];
    const cell = (index) => element("td", {}, ...(documents(index).length > 0
      ? documents(index).map((text) => element("p", { className: "doc" }, text || "(an empty document)"))
      : [element("span", { className: "sub" }, "not kept")]));
    const table = element("table", { className: "texts" },
      element("caption", {}, `Beginnings of synthetic documents of generation ${generation}.`),
      element("thead", {}, element("tr", {}, ...arms.map((index) => element("th", { scope: "col" }, this.experiment.arms[index].name)))),
      element("tbody", {}, element("tr", {}, ...arms.map(cell))));
    table.style.minWidth = `${15 * arms.length}rem`;
    this.root.replaceChildren(table);
  }
}
