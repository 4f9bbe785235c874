// Keeps a page of genloss watch up to date: on an event of the server the page is fetched again, in whole or in part.
(() => {
"use strict";

const root = document.querySelector("[data-events]");
if (!root) return;
const lost = document.getElementById("lost");
const table = document.querySelector("table.runs");
let title = document.title;

const LAST = "This is what the page showed last.";
const LOST = `The program behind this page has ended or cannot be reached. ${LAST}`;
const GONE = `There is no such run below the watched folders any more. ${LAST}`;
const FAILED = `The page could not be made anew; genloss report may tell why. ${LAST}`;
const UNREADABLE = `The records cannot be read; the reason is above. ${LAST}`;
const PAUSED = "Too many pages are open for all to be kept up to date. This one goes on when you come back to it.";

/** Time until what has failed is tried again, in milliseconds. */
const PAUSE = 5000;

/** Why the page may not be up to date: a sentence or nothing for everything that keeps it so. */
const troubles = {};

function tell(what, text) {
  troubles[what] = text;
  lost.textContent = Object.values(troubles).find(Boolean) ?? "";
  lost.hidden = lost.textContent === "";
  showTitle();
}

/** The title, which is in sight wherever a reader is, begins with the states of the runs, or with why they are not known. */
function showTitle() {
  const states = [...root.querySelectorAll("[data-now] .state")].map((badge) => badge.textContent).join(", ");
  const first = { [LOST]: "not connected", [GONE]: "gone", [PAUSED]: "paused" }[lost.textContent] ?? states;
  document.title = [first, title].filter(Boolean).join(" · ");
}

/** Runs `work` again if it is asked for while it runs, but never twice at a time. What has failed is tried again. */
function oneAtATime(name, work) {
  let isRunning = false, again = false, retry = 0;
  const run = async () => {
    if (isRunning) { again = true; return; }
    isRunning = true;
    clearTimeout(retry);
    try {
      do { again = false; await work(); } while (again);
      tell(name, "");
    } catch (error) {
      tell(name, { 404: GONE, 500: FAILED, unreadable: UNREADABLE }[error.message] ?? LOST);
      retry = setTimeout(run, PAUSE);
    } finally {
      isRunning = false;
    }
  };
  return run;
}

async function fetched(address) {
  const answer = await fetch(address, { cache: "no-store" });
  if (!answer.ok) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

const refreshNow = oneAtATime("now", async () => {
  const parts = root.querySelectorAll("[data-now]");
  for (const part of parts) {
    const fresh = await fetchedPart(part, parts.length > 1);
    if (!fresh) continue;
    part.querySelectorAll("details").forEach((details, index) => {
      const same = fresh.querySelectorAll("details")[index];
      if (same) same.open = details.open;
    });
    const focused = [...part.querySelectorAll("summary")].indexOf(document.activeElement);
    part.replaceWith(fresh);
    if (focused >= 0) fresh.querySelectorAll("summary")[focused]?.focus({ preventScroll: true });
  }
  showTitle();
});

/** The part as it is now. One of several whose run is gone says so, and the others go on. */
async function fetchedPart(part, isOneOfSeveral) {
  try {
    return (await fetched(part.dataset.now)).querySelector("[data-now]");
  } catch (error) {
    if (!isOneOfSeveral || error.message !== "404") throw error;
    const run = new URL(part.dataset.now, location.href).searchParams.get("run");
    const gone = part.cloneNode(false);
    gone.innerHTML = "<p class=\"now-error\"></p>";
    gone.firstElementChild.textContent = `${run}: there is no such run below the watched folders.`;
    return gone;
  }
}

const refreshRecords = oneAtATime("records", async () => {
  const fresh = await fetched(location.pathname + location.search);
  if (window.genloss && fresh.querySelector("main[data-unreadable]")) throw new Error("unreadable");
  if (!window.genloss || !fresh.getElementById("genloss-data")) return location.reload();
  await window.genloss.ready;
  await window.genloss.refresh(fresh);
  title = fresh.title;
  showTitle();
});

const refreshList = oneAtATime("list", async () => {
  const begun = performance.now();
  const fresh = (await fetched("/")).getElementById("runs");
  if (!fresh || !table) return;
  const focused = table.tBodies[0].contains(document.activeElement) ? document.activeElement : null;
  const shown = new Map([...table.tBodies[0].rows].map((row) => [addressOf(row), row]));
  arrange([...fresh.rows].map((row) => {
    const before = shown.get(addressOf(row));
    if (before && written.get(before) === row.outerHTML) return before;
    written.set(row, row.outerHTML);
    row.querySelector("input").checked = chosen.runs.has(addressOf(row));
    return row;
  }));
  const same = (one) => one.value === focused?.value && one.href === focused?.href;
  if (focused && document.activeElement !== focused) [...table.tBodies[0].querySelectorAll("input, a")].find(same)?.focus({ preventScroll: true });
  // A list of thousands of runs takes a while, which must not be most of the time.
  await new Promise((done) => { setTimeout(done, 10 * (performance.now() - begun)); });
});

/** What the reader has chosen in the list: words to find, a column to sort by, runs. The address has it after `#`. */
const chosen = { filter: "", sort: "", descending: false, runs: new Set() };

/** Takes the choice from the address. */
function restoreChoice() {
  const words = new URLSearchParams(location.hash.slice(1));
  chosen.filter = words.get("filter") ?? "";
  chosen.sort = words.get("up") ?? words.get("down") ?? "";
  chosen.descending = words.has("down");
  chosen.runs = new Set(words.getAll("run"));
  document.getElementById("filter").value = chosen.filter;
  for (const row of table.tBodies[0].rows) row.querySelector("input").checked = chosen.runs.has(addressOf(row));
  arrange();
}

/** Shows the list as chosen, and makes the address one that opens this view. */
function choose() {
  const words = new URLSearchParams();
  if (chosen.filter) words.set("filter", chosen.filter);
  if (chosen.sort) words.set(chosen.descending ? "down" : "up", chosen.sort);
  for (const run of chosen.runs) words.append("run", run);
  history.replaceState(null, "", words.size > 0 ? `#${words}` : location.pathname + location.search);
  arrange();
}

/** What the server wrote of each row of the list; the page itself writes times into it.  @type {WeakMap<HTMLTableRowElement, string>} */
const written = new WeakMap();

function addressOf(row) {
  return row.querySelector("input").value;
}

/** Makes these the rows of the list. A row that stays in its place is not touched, so that a click on it is never lost. */
function place(rows) {
  const body = table.tBodies[0];
  const wanted = new Set(rows);
  for (const row of [...body.rows]) if (!wanted.has(row)) row.remove();
  let next = body.rows[0] ?? null;
  for (const row of rows) {
    if (row === next) next = row.nextElementSibling;
    else body.insertBefore(row, next);
  }
}

/** Shows rows filtered and sorted as the reader has chosen, with the chosen runs in sight, and tells how long ago runs have changed. */
function arrange(rows = [...table.tBodies[0].rows]) {
  const words = chosen.filter.toLowerCase().split(/\s+/);
  for (const row of rows) {
    const text = (row.textContent + " " + row.dataset.state).toLowerCase();
    row.hidden = !words.every((word) => text.includes(word)) && !row.querySelector("input").checked;
  }
  document.getElementById("none").hidden = rows.length > 0;
  document.getElementById("unmatched").hidden = rows.length === 0 || rows.some((row) => !row.hidden);
  document.querySelector("button[form=chosen]").disabled = !rows.some((row) => row.querySelector("input").checked);
  for (const button of table.querySelectorAll(".sort")) {
    const direction = chosen.descending ? "descending" : "ascending";
    button.parentElement.ariaSort = button.dataset.key === chosen.sort ? direction : null;
  }
  if (chosen.sort) {
    const value = (row) => row.dataset[chosen.sort] ?? "";
    const order = (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
    rows.sort((a, b) => (chosen.descending ? order(b, a) : order(a, b)));
  }
  place(rows);
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
  for (const row of table.tBodies[0].rows) written.set(row, row.outerHTML);
  document.getElementById("filter").addEventListener("input", (event) => {
    chosen.filter = event.target.value;
    choose();
  });
  table.addEventListener("change", ({ target }) => {
    if (target.checked) chosen.runs.add(target.value);
    else chosen.runs.delete(target.value);
    choose();
  });
  for (const button of table.querySelectorAll(".sort")) {
    button.addEventListener("click", () => {
      chosen.descending = chosen.sort === button.dataset.key && !chosen.descending;
      chosen.sort = button.dataset.key;
      choose();
    });
  }
  restoreChoice();
  window.addEventListener("hashchange", restoreChoice);
  setInterval(tellTimes, 10000);
}

let isFirst = true;

function listen() {
  const source = new EventSource(root.dataset.events);
  source.onopen = () => {
    tell("connection", "");
    if (!isFirst) { table ? refreshList() : (refreshNow(), refreshRecords()); }
    isFirst = false;
  };
  source.onerror = () => {
    tell("connection", LOST);
    // A browser does not try again what was refused, as without the cookie of a server that was started anew.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, PAUSE);
  };
  source.addEventListener("full", () => {
    source.close();
    tell("pause", PAUSED);
  });
  if (table) {
    for (const name of ["list", "records"]) source.addEventListener(name, refreshList);
  } else {
    source.addEventListener("now", refreshNow);
    source.addEventListener("records", () => { refreshNow(); refreshRecords(); });
  }
}

function goOn() {
  if (!troubles.pause || document.hidden) return;
  tell("pause", "");
  listen();
}

showTitle();
listen();
window.addEventListener("focus", goOn);
document.addEventListener("visibilitychange", goOn);
})();
