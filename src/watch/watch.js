// Keeps a page of genloss watch up to date: on an event of the server the page is fetched again, in whole or in part.
(() => {
"use strict";

const root = document.querySelector("[data-events]");
if (!root) return;
const lost = document.getElementById("lost");
const table = document.querySelector("table.runs");
const sort = { key: "", descending: false };
const title = document.title;

/** Runs `work` again if it is asked for while it runs, but never twice at a time. */
function oneAtATime(work) {
  let isRunning = false, again = false;
  return async () => {
    if (isRunning) { again = true; return; }
    isRunning = true;
    try {
      do { again = false; await work(); } while (again);
    } catch (error) {
      lost.hidden = false;
    } finally {
      isRunning = false;
    }
  };
}

async function fetched(address) {
  const answer = await fetch(address, { cache: "no-store" });
  if (!answer.ok) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

const refreshNow = oneAtATime(async () => {
  for (const part of root.querySelectorAll("[data-now]")) {
    const fresh = (await fetched(part.dataset.now)).querySelector("[data-now]");
    if (!fresh) continue;
    part.querySelectorAll("details").forEach((details, index) => {
      const same = fresh.querySelectorAll("details")[index];
      if (same) same.open = details.open;
    });
    const focused = [...part.querySelectorAll("summary")].indexOf(document.activeElement);
    part.replaceWith(fresh);
    if (focused >= 0) fresh.querySelectorAll("summary")[focused]?.focus({ preventScroll: true });
  }
  showStates();
});

/** The states of the runs in the title, which is in sight wherever a reader is. */
function showStates() {
  const states = [...root.querySelectorAll("[data-now] .state")].map((badge) => badge.textContent);
  if (states.length > 0) document.title = `${states.join(", ")} · ${title}`;
}

const refreshRecords = oneAtATime(async () => {
  if (window.genloss) {
    await window.genloss.ready;
    await window.genloss.refresh();
  } else {
    location.reload();
  }
});

const refreshList = oneAtATime(async () => {
  const begun = performance.now();
  const fresh = (await fetched("/")).getElementById("runs");
  if (!fresh || !table) return;
  const chosen = new Set([...table.querySelectorAll("input:checked")].map((box) => box.value));
  const focused = table.tBodies[0].contains(document.activeElement) ? document.activeElement : null;
  for (const box of fresh.querySelectorAll("input")) box.checked = chosen.has(box.value);
  document.getElementById("runs").replaceWith(fresh);
  arrange();
  const same = (one) => one.value === focused?.value && one.href === focused?.href;
  if (focused) [...fresh.querySelectorAll("input, a")].find(same)?.focus({ preventScroll: true });
  // A list of thousands of runs takes a while, which must not be most of the time.
  await new Promise((done) => { setTimeout(done, 10 * (performance.now() - begun)); });
});

/** Filters and sorts the list as its reader has chosen, and tells how long ago runs have changed. */
function arrange() {
  const body = document.getElementById("runs");
  const words = document.getElementById("filter").value.toLowerCase().split(/\s+/);
  const rows = [...body.rows];
  for (const row of rows) {
    const text = (row.textContent + " " + row.dataset.state).toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
  if (sort.key) {
    const value = (row) => row.dataset[sort.key] ?? "";
    const order = (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
    rows.sort((a, b) => (sort.descending ? order(b, a) : order(a, b)));
    body.append(...rows);
  }
  tellTimes();
}

function tellTimes() {
  for (const time of document.querySelectorAll("time[data-seconds]")) {
    const then = Number(time.dataset.seconds);
    const ago = Math.max(0, Date.now() / 1000 - then);
    const [count, unit] = ago < 90 ? [ago, "s"] : ago < 5400 ? [ago / 60, "min"] : ago < 172800 ? [ago / 3600, "h"] : [ago / 86400, "days"];
    time.textContent = then ? `${Math.round(count)} ${unit} ago` : "";
    time.title = new Date(1000 * then).toLocaleString();
  }
}

if (table) {
  document.getElementById("filter").addEventListener("input", arrange);
  for (const button of table.querySelectorAll(".sort")) {
    button.addEventListener("click", () => {
      sort.descending = sort.key === button.dataset.key && !sort.descending;
      sort.key = button.dataset.key;
      for (const heading of table.querySelectorAll("thead th")) heading.removeAttribute("aria-sort");
      button.parentElement.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
      arrange();
    });
  }
  arrange();
  setInterval(tellTimes, 10000);
}

showStates();
const source = new EventSource(root.dataset.events);
let isFirst = true;
source.onopen = () => {
  lost.hidden = true;
  if (!isFirst) { table ? refreshList() : (refreshNow(), refreshRecords()); }
  isFirst = false;
};
source.onerror = () => { lost.hidden = false; };
source.addEventListener("now", refreshNow);
source.addEventListener("records", () => { refreshNow(); refreshRecords(); });
if (table) for (const name of ["list", "now", "records"]) source.addEventListener(name, refreshList);
})();
