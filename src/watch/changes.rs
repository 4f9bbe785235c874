//! What the server knows of the runs, and who is told when it changes.

use super::now::Now;
use super::pages;
use super::runs::{Change, Runs};
use super::verdicts::{self, ArmVerdict, Verdicts};
use crate::progress::error_chain;
use crate::store::{self, Sample};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, broadcast};

/// Time between two looks at runs at work or on a page.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Every so many looks, all folders are looked at.
const FULL_SCANS: u64 = 5;

/// A list that is younger than this is not looked for again when a page asks.
const FRESH: Duration = Duration::from_secs(1);

/// The shortest time between two reports of a run on an open page, and how many times as long as it took to make one.
const SHORTEST_PAGE_PAUSE: Duration = Duration::from_secs(2);
const PAGE_SHARE: u32 = 10;

/// Time in one look that verdicts may take.
const VERDICT_TIME: Duration = Duration::from_millis(300);

/// Reports that are kept.
const KEPT_REPORTS: usize = 4;

/// Newest documents of a lineage that are shown.
const DOCUMENTS: usize = 2;

/// Lineages whose newest documents are shown.
const LINEAGES: usize = 4;

/// Pages on one machine that are told of changes. Browsers have at most six connections to a server, and what a page
/// then asks for needs one too.
const TOLD_PAGES: usize = 4;

/// What a page is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The list of runs, or a line of it.
    List,
    /// What a run does now.
    Now(String),
    /// The records of a run.
    Records(String),
    /// Nothing more, because of pages that were opened later: the number of the page.
    Full(u64),
}

/// The runs and what was computed from them.
#[derive(Debug)]
pub(super) struct Watch {
    runs: Mutex<Runs>,
    verdicts: Mutex<Verdicts>,
    reports: Mutex<Vec<KeptReport>>,
    samples: Mutex<BTreeMap<String, (u64, Vec<Sample>)>>,
    /// When the runs were last looked at.
    scanned: Mutex<Option<Instant>>,
    /// Runs on open pages, with the number of pages.
    open: Mutex<BTreeMap<String, usize>>,
    told: Mutex<Told>,
    pace: Mutex<Pace>,
    pub(super) events: broadcast::Sender<Event>,
    /// A page was opened.
    pub(super) opened: Notify,
    /// Everything that reads or computes runs here, apart from the threads of a run in the same process.
    pool: rayon::ThreadPool,
}

/// Id of a run, and the number of the state of its records.
type Version = (String, u64);

/// A report page by the runs that it is about and the versions of their records.
#[derive(Debug)]
struct KeptReport {
    of: Vec<Version>,
    page: Option<Arc<String>>,
}

/// The pages that are told of changes, by their numbers, the oldest first.
#[derive(Debug, Default)]
struct Told {
    pages: Vec<(IpAddr, u64)>,
    next: u64,
}

impl Told {
    /// Adds a page on a machine. Returns its number, and that of a page that has to make room.
    fn add(&mut self, machine: IpAddr) -> (u64, Option<u64>) {
        let number = self.next;
        self.next += 1;
        let is_here = |(other, _): &&(IpAddr, u64)| *other == machine;
        let oldest = self.pages.iter().find(is_here).map(|(_, number)| *number);
        let full = oldest.filter(|_| self.pages.iter().filter(is_here).count() >= TOLD_PAGES);
        self.pages.retain(|(_, number)| Some(*number) != full);
        self.pages.push((machine, number));
        (number, full)
    }
}

/// When pages may be told of new records.
#[derive(Debug, Default)]
struct Pace {
    allowed: BTreeMap<String, Instant>,
    waiting: BTreeSet<String>,
}

impl Watch {
    pub(super) fn new(folders: Vec<PathBuf>, pool: rayon::ThreadPool) -> Self {
        Self {
            runs: Mutex::new(Runs::new(folders)),
            verdicts: Mutex::default(),
            reports: Mutex::default(),
            samples: Mutex::default(),
            scanned: Mutex::default(),
            open: Mutex::default(),
            told: Mutex::default(),
            pace: Mutex::default(),
            events: broadcast::channel(256).0,
            opened: Notify::new(),
            pool,
        }
    }

    /// Does `work` on the threads of the server.
    pub(super) fn here<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// The page with all runs.
    pub(super) fn list(&self) -> String {
        self.scan_unless_fresh();
        pages::list(&lock(&self.runs), &lock(&self.verdicts))
    }

    /// The page of runs; `None` if none of them is below the watched folders.
    pub(super) fn page(&self, ids: &[String]) -> Option<String> {
        self.scan_unless_fresh();
        let is_there = |id: &String| lock(&self.runs).found.contains_key(id);
        let (there, missing): (Vec<String>, Vec<String>) = ids.iter().cloned().partition(is_there);
        if there.is_empty() {
            return None;
        }
        let (of, folders) = self.versions(&there)?;
        let report = self.report(of, folders);
        let events = match ids {
            [] => "/events".to_owned(),
            ids => {
                let queries: Vec<String> =
                    ids.iter().map(|id| format!("run={}", super::now::query_value(id))).collect();
                format!("/events?{}", queries.join("&"))
            }
        };
        self.with_parts(&there, |parts| {
            pages::report_page(parts, &missing, report.as_ref().map(|page| page.as_str()), &events)
        })
    }

    /// What a run does now, as a part of a page; `None` if it is not below the watched folders.
    pub(super) fn now(&self, id: &str) -> Option<String> {
        self.scan_unless_fresh();
        self.with_parts(&[id.to_owned()], |parts| {
            let html: String = parts.iter().map(|part| part.html().into_string()).collect();
            crate::terminal::printable(&html).into_owned()
        })
    }

    fn with_parts<T>(&self, ids: &[String], show: impl FnOnce(&[Now]) -> T) -> Option<T> {
        let samples: Vec<Vec<Sample>> = ids.iter().map(|id| self.newest_documents(id)).collect();
        let (runs, verdicts) = (lock(&self.runs), lock(&self.verdicts));
        let part = |(id, samples): (&'_ String, &'_ Vec<Sample>)| {
            let run = runs.found.get(id)?;
            Some((run, verdicts.on(id, run), samples.clone()))
        };
        let found: Vec<(_, &[ArmVerdict], Vec<Sample>)> =
            ids.iter().zip(&samples).map(part).collect::<Option<_>>()?;
        let parts =
            ids.iter().zip(&found).map(|(id, (run, verdicts, samples))| Now { id, run, verdicts, samples });
        Some(show(&parts.collect::<Vec<_>>()))
    }

    /// The newest documents of lineages in work, read once for each version of the records.
    fn newest_documents(&self, id: &str) -> Vec<Sample> {
        let Some(run) = lock(&self.runs).found.get(id).cloned() else { return Vec::new() };
        let at_work: Vec<(u64, String)> = (run.live.iter())
            .filter(|seen| !seen.has_ended)
            .flat_map(|seen| &seen.record.lineages)
            .map(|lineage| (lineage.seed, lineage.arm.clone()))
            .collect();
        if at_work.is_empty() {
            return Vec::new();
        }
        if let Some((version, samples)) = lock(&self.samples).get(id)
            && *version == run.version
        {
            return samples.clone();
        }
        let experiment = store::experiment(&run.folder).ok();
        let newest = |(seed, arm): &(u64, String)| {
            let generation = *run.glance.lineages.get(&(*seed, arm.clone()))?;
            // A corpus that was changed is an error on the report page.
            store::sample(&run.folder, experiment.as_ref()?, *seed, arm, generation, DOCUMENTS).ok()?
        };
        let samples: Vec<Sample> = at_work.iter().filter_map(newest).take(LINEAGES).collect();
        lock(&self.samples).insert(id.to_owned(), (run.version, samples.clone()));
        samples
    }

    fn versions(&self, ids: &[String]) -> Option<(Vec<Version>, Vec<PathBuf>)> {
        let runs = lock(&self.runs);
        let found = ids
            .iter()
            .map(|id| runs.found.get(id).map(|run| ((id.clone(), run.version), run.folder.clone())));
        found.collect::<Option<Vec<_>>>().map(|found| found.into_iter().unzip())
    }

    /// The report page of runs, made once for each version of their records. It leaves out those whose records are damaged,
    /// which their states then say.
    fn report(&self, of: Vec<Version>, folders: Vec<PathBuf>) -> Option<Arc<String>> {
        let mut kept = lock(&self.reports);
        if let Some(found) = kept.iter().find(|kept| kept.of == of) {
            return found.page.clone();
        }
        let begun = Instant::now();
        let mut whole = Vec::new();
        for ((id, _), folder) in of.iter().zip(folders) {
            let (records, damage) = match pages::records_of(&folder) {
                Ok(records) => (Some(records), None),
                Err(error) => (None, Some(error_chain(&error))),
            };
            lock(&self.runs).set_damage(id, damage);
            whole.extend(records);
        }
        let is_whole = whole.len() == of.len();
        let page = pages::report_of(whole).map(Arc::new);
        let pause = (begun.elapsed() * PAGE_SHARE).max(SHORTEST_PAGE_PAUSE);
        for (id, _) in &of {
            lock(&self.pace).allowed.insert(id.clone(), Instant::now() + pause);
        }
        kept.retain(|kept| !kept.of.iter().zip(&of).all(|((one, _), (other, _))| one == other));
        if kept.len() >= KEPT_REPORTS {
            kept.remove(0);
        }
        if is_whole {
            kept.push(KeptReport { of, page: page.clone() });
        }
        page
    }

    fn scan_unless_fresh(&self) {
        let is_fresh = lock(&self.scanned).is_some_and(|scanned| scanned.elapsed() < FRESH);
        if !is_fresh {
            let changes = self.scan();
            self.tell(&changes);
        }
    }

    fn scan(&self) -> BTreeMap<String, Change> {
        let changes = lock(&self.runs).scan();
        *lock(&self.scanned) = Some(Instant::now());
        changes
    }

    /// Looks at the runs, and tells pages what has changed.
    pub(super) fn look(&self, looks: u64) {
        let open: Vec<String> = lock(&self.open).keys().cloned().collect();
        let mut changes = if looks.is_multiple_of(FULL_SCANS) { self.scan() } else { BTreeMap::new() };
        for (id, change) in lock(&self.runs).look_at_active(&open) {
            let known = changes.entry(id).or_default();
            known.records |= change.records;
            known.now |= change.now;
        }
        *lock(&self.scanned) = Some(Instant::now());
        self.tell(&changes);
        if self.compute_verdicts() {
            self.send(Event::List);
        }
    }

    fn tell(&self, changes: &BTreeMap<String, Change>) {
        if !changes.is_empty() {
            self.send(Event::List);
        }
        let mut pace = lock(&self.pace);
        for (id, change) in changes {
            if change.now || change.records {
                self.send(Event::Now(id.clone()));
            }
            if change.records {
                pace.waiting.insert(id.clone());
            }
        }
        let now = Instant::now();
        let Pace { allowed, waiting } = &mut *pace;
        waiting.retain(|id| {
            let is_allowed = allowed.get(id).is_none_or(|allowed| *allowed <= now);
            if is_allowed {
                self.send(Event::Records(id.clone()));
            }
            !is_allowed
        });
    }

    fn send(&self, event: Event) {
        // Without an open page nobody has to be told.
        let _ = self.events.send(event);
    }

    /// Computes verdicts that are not known, the newest runs first, for a short time, which also shows whose records are
    /// damaged. Returns true if any changed.
    fn compute_verdicts(&self) -> bool {
        let begun = Instant::now();
        let mut due: Vec<_> = {
            let (runs, verdicts) = (lock(&self.runs), lock(&self.verdicts));
            let due =
                runs.found.iter().filter(|(id, run)| run.glance.done > 0 && verdicts.is_due(id, run.version));
            due.map(|(id, run)| (run.changed, id.clone(), run.version, run.folder.clone(), run.is_study))
                .collect()
        };
        due.sort_by_key(|(changed, ..)| std::cmp::Reverse(*changed));
        let mut has_changed = false;
        for (_, id, version, folder, is_study) in due {
            if begun.elapsed() > VERDICT_TIME {
                break;
            }
            let started = Instant::now();
            let (found, damage) = match verdicts::compute(&folder, is_study) {
                Ok(found) => (Some(found), None),
                Err(error) => (None, Some(error_chain(&error))),
            };
            let mut verdicts = lock(&self.verdicts);
            has_changed |= verdicts.of(&id) != found.as_deref().unwrap_or_default();
            if lock(&self.runs).set_damage(&id, damage) {
                has_changed = true;
                self.send(Event::Now(id.clone()));
                self.send(Event::Records(id.clone()));
            }
            verdicts.keep(&id, version, found, started.elapsed());
        }
        has_changed
    }

    /// Counts a page of these runs on a machine as open until the result is dropped.
    pub(super) fn open_page(self: &Arc<Self>, ids: Vec<String>, machine: IpAddr) -> OpenPage {
        for id in &ids {
            *lock(&self.open).entry(id.clone()).or_default() += 1;
        }
        let (number, full) = lock(&self.told).add(machine);
        if let Some(full) = full {
            self.send(Event::Full(full));
        }
        self.opened.notify_one();
        OpenPage { watch: Arc::clone(self), ids, number }
    }
}

/// An open page.
pub(super) struct OpenPage {
    watch: Arc<Watch>,
    ids: Vec<String>,
    number: u64,
}

impl OpenPage {
    /// The name of an event that is for this page.
    pub(super) fn name_of(&self, event: &Event) -> Option<&'static str> {
        match event {
            Event::List => self.ids.is_empty().then_some("list"),
            Event::Now(id) => self.ids.contains(id).then_some("now"),
            Event::Records(id) => self.ids.contains(id).then_some("records"),
            Event::Full(number) => (*number == self.number).then_some("full"),
        }
    }
}

impl Drop for OpenPage {
    fn drop(&mut self) {
        let mut open = lock(&self.watch.open);
        for id in &self.ids {
            if let Some(count) = open.get_mut(id) {
                *count -= 1;
            }
        }
        open.retain(|_, count| *count > 0);
        lock(&self.watch.told).pages.retain(|(_, number)| *number != self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
