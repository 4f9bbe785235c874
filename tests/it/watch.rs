//! `genloss watch`, asked by a plain client over HTTP.

#![cfg(target_os = "linux")]

use crate::browser::{DESKTOP, with_browser};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const END: &str = "\u{e010}";

/// A run of seconds; with more generations, of minutes.
fn experiment(generations: usize) -> String {
    format!(
        r#"
name = "watched"
seeds = [1, 2]
generations = {generations}
corpus = {{ source = "world", train_tokens = 3000, heldout_tokens = 300, reference_tokens = 1000 }}
tokenizer = {{ vocab_size = 300 }}
model = {{ kind = "ngram", order = 2 }}
[[arm]]
name = "unanchored"
mixture = "replace"
"#
    )
}

fn genloss() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A process that is killed when the test is over.
struct Started {
    child: Child,
    output: BufReader<ChildStdout>,
    errors: BufReader<ChildStderr>,
}

impl Started {
    fn new(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, output: BufReader::new(output), errors: BufReader::new(errors) }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server, with the address that it has printed.
struct Watching {
    _process: Started,
    url: String,
}

impl Watching {
    fn new(folder: &Path, options: &[&str]) -> Self {
        let mut process = Started::new(genloss().arg("watch").arg(folder).args(options));
        let mut url = String::new();
        process.output.read_line(&mut url).unwrap();
        Self { _process: process, url: url.trim().to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        get(&self.url, path, &[])
    }

    /// Loads a page again and again until it contains a text.
    fn wait_for(&self, path: &str, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let body = self.get(path).body;
            if body.contains(text) {
                return body;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "{path} without {text}: {body}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn host(url: &str) -> &str {
    url.strip_prefix("http://").unwrap().split('/').next().unwrap()
}

fn ask(url: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> TcpStream {
    let mut stream = TcpStream::connect(host(url)).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request += &format!("Host: {}\r\n", host(url));
    }
    headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
    stream
}

fn get(url: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    answer(ask(url, "GET", path, headers))
}

fn answer(mut stream: TcpStream) -> Answer {
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// A finished run, made once for all tests.
fn finished() -> &'static Path {
    static FINISHED: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = FINISHED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let done = run(dir.path(), 1, &[]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        dir
    });
    dir.path()
}

/// The command that runs the experiment into `folder`/watched.
fn run(folder: &Path, generations: usize, options: &[&str]) -> Command {
    run_text(folder, &experiment(generations), options)
}

fn run_text(folder: &Path, experiment: &str, options: &[&str]) -> Command {
    let file = folder.join("watched.toml");
    fs::write(&file, experiment).unwrap();
    let mut command = genloss();
    command
        .arg("run")
        .arg(&file)
        .arg("--out")
        .arg(folder.join("watched"))
        .args(["--threads", "1"])
        .args(options);
    command
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn address(path: &Path) -> String {
    let encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => (byte as char).to_string(),
        byte => format!("%{byte:02X}"),
    };
    path.to_str().unwrap().bytes().map(encoded).collect()
}

#[test]
fn a_finished_run_is_in_the_list_and_has_a_page_with_its_verdicts() {
    let root = finished().join("watched");
    let server = Watching::new(finished(), &[]);
    let list = server.get("/");
    assert_eq!(list.status, 200);
    assert!(list.body.contains("data-name=\"watched\"") && list.body.contains("data-state=\"finished\""));
    assert!(list.body.contains("6 of 6 generations"), "{}", list.body);
    for (name, beginning) in [
        ("content-security-policy", "default-src 'none'"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert!(list.head.contains(&format!("{name}: {beginning}")), "{}", list.head);
    }
    let page = server.get(&format!("/run?run={}", address(&root)));
    assert_eq!(page.status, 200);
    assert!(page.body.contains("unanchored") && page.body.contains("<main"));
    assert!(page.body.find("data-now").unwrap() < page.body.find("<main").unwrap());
    let together = server.get(&format!("/runs?run={0}&run={0}", address(&root)));
    assert_eq!(together.status, 200);
    assert!(together.body.contains("watched@watched"));
    for path in ["/run?run=/etc", "/run?run=", "/run", "/now?run=..", "/nothing"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    assert_eq!(answer(ask(&server.url, "POST", "/", &[])).status, 405);
}

/// Verdicts are computed while a page is open.
#[test]
fn the_verdicts_on_an_unfinished_run_are_those_so_far() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("watched");
    copy(&finished().join("watched"), &root);
    fs::remove_dir_all(root.join("seed-2/unanchored/gen-001")).unwrap();
    let server = Watching::new(dir.path(), &[]);
    let _page = ask(&server.url, "GET", "/events", &[]);
    let list = server.wait_for("/", "so far");
    assert!(list.contains("5 of 6 generations") && list.contains("data-state=\"stopped\""), "{list}");
    let page = server.get(&format!("/run?run={}", address(&root))).body;
    assert!(page.contains("So far, of 1 arm compared with the control"), "{page}");
}

/// Somebody changes a number, and later takes that back.
#[test]
fn a_run_whose_records_were_changed_has_no_verdicts() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("watched");
    copy(&finished().join("watched"), &root);
    let record = root.join("seed-2/unanchored/gen-001/measurements.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replacen("\"value\": ", "\"value\": 1", 1)).unwrap();
    copy(&finished().join("watched"), &dir.path().join("whole"));
    let server = Watching::new(dir.path(), &[]);
    let _page = ask(&server.url, "GET", "/events", &[]);
    let list = server.wait_for("/", "data-state=\"unreadable\"");
    assert!(list.contains("measurements.json has "), "{list}");
    let page = server.get(&format!("/run?run={}", address(&root))).body;
    assert!(page.contains("measurements.json has ") && page.contains("The records cannot be read"), "{page}");
    // It does not keep others from being shown.
    let both = format!("/runs?run={}&run={}", address(&root), address(&dir.path().join("whole")));
    let both = server.get(&both).body;
    assert!(both.contains("measurements.json has ") && both.contains("id=\"genloss-data\""));
    // Restored, and changed again, while somebody looks.
    fs::write(&record, &text).unwrap();
    server.wait_for(&format!("/run?run={}", address(&root)), "id=\"genloss-data\"");
    fs::write(&record, "{}").unwrap();
    let list = server.wait_for("/", "data-state=\"unreadable\"");
    assert_eq!(list.matches("class=\"badge").count(), 1, "of the run that is whole: {list}");
}

/// Files that are half written, as while a folder is copied, and files that are damaged later.
#[test]
fn records_are_read_again_when_their_files_change() {
    let dir = tempfile::tempdir().unwrap();
    let (run, study) = (dir.path().join("run"), dir.path().join("study"));
    copy(&finished().join("watched"), &run);
    let exported = genloss().arg("export").arg(&run).arg("--out").arg(&study).output().unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let server = Watching::new(dir.path(), &[]);
    let _page = ask(&server.url, "GET", "/events", &[]);
    let state = |folder: &str, state: &str| {
        let begun = Instant::now();
        loop {
            let list = server.get("/").body;
            let row = list.split("<tr ").find(|row| row.contains(&format!("/{folder}\""))).unwrap();
            if row.contains(&format!("data-state=\"{state}\"")) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "{folder} is not {state}: {row}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    for (folder, file) in [
        ("run", run.join("seed-2/unanchored/gen-001/manifest.json")),
        ("run", run.join("experiment.toml")),
        ("study", study.join("provenance.json")),
        ("study", study.join("measurements.parquet")),
    ] {
        state(folder, "finished");
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        state(folder, "unreadable");
        fs::write(&file, &whole).unwrap();
    }
    state("study", "finished");
}

#[test]
fn a_run_of_another_process_is_seen_at_work_and_when_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Watching::new(dir.path(), &[]);
    assert!(server.get("/").body.contains("There is no run yet"));
    let root = address(&dir.path().join("watched"));
    let mut process = Started::new(&mut run(dir.path(), 400, &[]));
    server.wait_for("/", "data-state=\"running\"");
    let now = server.wait_for(&format!("/now?run={root}"), "seed 1, control");
    assert!(now.contains(&format!("process {}", process.child.id())), "{now}");
    let mut events = BufReader::new(ask(&server.url, "GET", &format!("/events?run={root}"), &[])).lines();
    for expected in ["event: now", "event: records"] {
        assert!(events.any(|line| line.unwrap() == expected), "no {expected}");
    }
    server.wait_for(&format!("/run?run={root}"), "id=\"genloss-data\"");
    process.kill();
    assert!(events.any(|line| line.unwrap() == "event: now"));
    let list = server.wait_for("/", "data-state=\"killed\"");
    assert!(list.contains("was killed, or its machine failed"));
    // The next process that works on the run removes what the killed one left.
    let live = dir.path().join("watched/.live");
    assert!(live.is_dir());
    let mut again = Started::new(&mut run(dir.path(), 400, &[]));
    server.wait_for("/", "data-state=\"running\"");
    let stopped = Command::new("kill").args(["-INT", &again.child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(again.child.wait().unwrap().code(), Some(130));
    server.wait_for("/", "data-state=\"stopped\"");
    assert!(!live.exists());
}

/// The run lasts two minutes on any machine, because its writer sleeps.
#[test]
fn a_page_in_a_browser_follows_its_run_through_a_kill_to_the_end() {
    const GENERATIONS: usize = 6;
    let slow = "[synthesis]\nmethod = \"external\"\ncommand = [\"sh\", \"-c\", \"sleep 4; cat\"]\n[[arm]]";
    let slow = experiment(GENERATIONS).replace("[[arm]]", slow);
    with_browser(DESKTOP, async |browser| {
        let dir = tempfile::tempdir().unwrap();
        let server = Watching::new(dir.path(), &[]);
        let root = address(&dir.path().join("watched"));
        let mut process = Started::new(&mut run_text(dir.path(), &slow, &[]));
        server.wait_for(&format!("/run?run={root}"), "id=\"genloss-data\"");
        browser.open(&format!("{}run?run={root}", server.url)).await;
        // The page has a slider as soon as it has several generations.
        let reached = "Number(document.querySelector('.bar output')?.textContent.split(' of ')[1] ?? 0)";
        let state = "(document.querySelector('[data-now]')?.textContent ?? '')";
        browser.wait_for(&format!("{state}.includes('running') && {reached} > 1")).await;
        browser.click("button[data-arm=unanchored]").await;
        let loss = "[id='figure-1-trajectories-heldout_loss']";
        browser.click(&format!("{loss} .numbers summary")).await;
        browser.click("details.what > summary").await;
        browser.press("input[type=search]", "loss").await;
        browser.click("details.family > summary").await;
        browser.press("input[type=search]", END).await;
        process.kill();
        browser.wait_for(&format!("{state}.includes('killed')")).await;
        let when_killed: f64 = browser.read(reached).await;
        assert!(when_killed < GENERATIONS as f64);
        let _again = Started::new(&mut run_text(dir.path(), &slow, &[]));
        browser.wait_for(&format!("{state}.includes('running') && {reached} > {when_killed} + 1")).await;
        browser.wait_for(&format!("{state}.includes('finished') && {reached} === {GENERATIONS}")).await;
        browser.wait_for(&format!("!{state}.includes('so far')")).await;
        let pressed: String =
            browser.read("document.querySelector('[data-arm=unanchored]').ariaPressed").await;
        assert_eq!(pressed, "false", "what the reader has chosen stays");
        for left in [
            &*format!("document.querySelector(\"{loss} .numbers\").open"),
            &*format!("document.querySelectorAll(\"{loss} .numbers tbody tr\").length === {GENERATIONS} + 1"),
            "document.querySelector('details.what').open",
            "!document.querySelector('details.family').open",
            "document.activeElement === document.querySelector('input[type=search]')",
            "document.activeElement.value === 'loss'",
        ] {
            assert!(browser.read::<bool>(left).await, "{left}");
        }
        let own = serde_json::json!(server.url);
        let others = format!(
            "performance.getEntriesByType('resource').filter((entry) => !entry.name.startsWith({own})).length"
        );
        assert_eq!(browser.read::<usize>(&others).await, 0);
    });
}

#[test]
fn the_pages_looked_at_last_are_kept_up_to_date() {
    let events = |server: &Watching| BufReader::new(ask(&server.url, "GET", "/events", &[])).lines();
    let server = Watching::new(finished(), &[]);
    let mut first = events(&server);
    assert!(first.any(|line| line.unwrap().is_empty()), "it is open");
    let _others: Vec<_> = (0..4).map(|_| events(&server)).collect();
    assert!(first.any(|line| line.unwrap() == "event: full"));
    with_browser(DESKTOP, async |browser| {
        browser.open(&format!("{}run?run={}", server.url, address(&finished().join("watched")))).await;
        browser.wait_for("document.title.startsWith('finished')").await;
        let _later: Vec<_> = (0..4).map(|_| events(&server)).collect();
        browser
            .wait_for("document.title.startsWith('paused') && !document.getElementById('lost').hidden")
            .await;
        let _: bool = browser.read("window.dispatchEvent(new Event('focus'))").await;
        browser
            .wait_for("document.title.startsWith('finished') && document.getElementById('lost').hidden")
            .await;
    });
}

/// Somebody removes the folder of a run, and puts it back; later, a file of it is not whole for a moment.
#[test]
fn a_page_keeps_what_it_showed_of_a_run_that_cannot_be_read_until_it_can() {
    with_browser(DESKTOP, async |browser| {
        let dir = tempfile::tempdir().unwrap();
        let (root, aside) = (dir.path().join("watched"), tempfile::tempdir().unwrap());
        let aside = aside.path().join("watched");
        copy(&finished().join("watched"), &root);
        let server = Watching::new(dir.path(), &[]);
        browser.open(&format!("{}run?run={}", server.url, address(&root))).await;
        let figures = "document.querySelectorAll('figure.chart').length";
        let before: usize = browser.read(figures).await;
        let told = "document.getElementById('lost').textContent";
        // A page that was loaded again would not have it.
        let _: bool = browser.read("window.isFirst = true").await;
        fs::rename(&root, &aside).unwrap();
        browser
            .wait_for(&format!("{told}.includes('no such run') && document.title.startsWith('gone')"))
            .await;
        assert_eq!(browser.read::<usize>(figures).await, before);
        fs::rename(&aside, &root).unwrap();
        browser.wait_for(&format!("{told} === '' && document.title.startsWith('finished')")).await;
        assert_eq!(browser.read::<usize>(figures).await, before);

        // A file is being copied.
        let record = root.join("seed-1/gen-000/measurements.json");
        let whole = fs::read(&record).unwrap();
        fs::write(&record, &whole[..50]).unwrap();
        browser.wait_for(&format!("{told}.includes('cannot be read')")).await;
        assert_eq!(browser.read::<usize>(figures).await, before);
        fs::write(&record, whole).unwrap();
        browser.wait_for(&format!("{told} === '' && document.title.startsWith('finished')")).await;
        assert_eq!(browser.read::<usize>(figures).await, before);
        assert!(browser.read::<bool>("window.isFirst").await);
    });
}

#[test]
fn the_list_keeps_chosen_runs_in_sight_and_its_filter_leads_nowhere() {
    with_browser(DESKTOP, async |browser| {
        let dir = tempfile::tempdir().unwrap();
        for name in ["one", "two", "three"] {
            copy(&finished().join("watched"), &dir.path().join(name));
        }
        let server = Watching::new(dir.path(), &[]);
        browser.goto(&server.url).await;
        browser.wait_for("document.querySelectorAll('#runs tr').length === 3").await;
        browser.click("#runs input[value$='/two']").await;
        browser.press("#filter", "/three\u{e007}").await;
        let shown = "[...document.querySelectorAll('#runs tr')].filter((row) => !row.hidden).map((row) => row.querySelector('input').value.split('/').at(-1)).sort().join()";
        browser.wait_for(&format!("{shown} === 'three,two'")).await;
        browser.click("#runs input[value$='/two']").await;
        browser.wait_for(&format!("{shown} === 'three'")).await;
        assert_eq!(browser.read::<String>("location.pathname").await, "/");
    });
}

/// A browser would restore choices by their place in the list.
#[test]
fn going_back_to_the_list_finds_it_as_it_was_left() {
    with_browser(DESKTOP, async |browser| {
        let dir = tempfile::tempdir().unwrap();
        for name in ["one", "two", "three"] {
            copy(&finished().join("watched"), &dir.path().join(name));
        }
        let server = Watching::new(dir.path(), &[]);
        browser.goto(&server.url).await;
        browser.wait_for("document.querySelectorAll('#runs tr').length === 3").await;
        browser.click("#runs input[value$='/two']").await;
        browser.click(".sort[data-key=name]").await;
        browser.click(".sort[data-key=name]").await;
        browser.press("#filter", "watched").await;
        browser.click("button[form=chosen]").await;
        browser.wait_for("location.pathname === '/runs' && document.title.startsWith('finished')").await;
        copy(&finished().join("watched"), &dir.path().join("four"));
        let _: bool = browser.read("history.back() ?? true").await;
        browser.wait_for("document.querySelectorAll('#runs tr').length === 4").await;
        let chosen = "[...document.querySelectorAll('#runs input:checked')].map((input) => input.value.split('/').at(-1)).join()";
        let sorted = "document.querySelector('.sort[data-key=name]').parentElement.ariaSort";
        for _ in 0..2 {
            assert_eq!(browser.read::<String>(chosen).await, "two");
            assert_eq!(browser.read::<String>(sorted).await, "descending");
            assert_eq!(browser.read::<String>("document.getElementById('filter').value").await, "watched");
            let _: bool = browser.read("location.reload() ?? true").await;
            browser.wait_for("document.querySelectorAll('#runs tr').length === 4").await;
        }
    });
}

#[test]
fn a_run_that_is_gone_does_not_hold_up_the_others_on_its_page() {
    with_browser(DESKTOP, async |browser| {
        let dir = tempfile::tempdir().unwrap();
        let roots = ["one", "two"].map(|name| dir.path().join(name));
        roots.iter().for_each(|root| copy(&finished().join("watched"), root));
        let server = Watching::new(dir.path(), &[]);
        let [one, two] = roots.each_ref().map(|root| address(root));
        browser.open(&format!("{}runs?run={one}&run={two}", server.url)).await;
        fs::remove_dir_all(&roots[0]).unwrap();
        let part = |number: usize| format!("document.querySelectorAll('[data-now]')[{number}].textContent");
        browser.wait_for(&format!("{}.includes('/one: there is no such run')", part(0))).await;
        fs::write(roots[1].join("experiment.toml"), "damaged").unwrap();
        browser.wait_for(&format!("{}.includes('unreadable')", part(1))).await;
        // A page that is opened now shows what there is.
        let page = server.get(&format!("/runs?run={one}&run={two}")).body;
        assert!(page.contains("/one: there is no such run") && page.contains("unreadable"));
        copy(&finished().join("watched"), &roots[0]);
        browser.wait_for(&format!("{}.includes('finished')", part(0))).await;
    });
}

#[test]
fn a_unit_that_failed_is_shown_with_its_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fails.toml");
    let failing = experiment(1).replace(
        "[[arm]]",
        "[synthesis]\nmethod = \"external\"\ncommand = [\"sh\", \"-c\", \"echo broken >&2; exit 3\"]\n[[arm]]",
    );
    fs::write(&file, failing).unwrap();
    let root = dir.path().join("watched");
    let done = genloss().arg("run").arg(&file).arg("--out").arg(&root).output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(!root.join(".live").exists());
    let server = Watching::new(dir.path(), &[]);
    let list = server.get("/").body;
    assert!(list.contains("data-state=\"failed\"") && list.contains("broken"), "{list}");
}

#[test]
fn only_requests_for_this_host_and_with_the_token_are_answered() {
    let local = Watching::new(finished(), &[]);
    assert_eq!(get(&local.url, "/", &[("Host", "evil.example")]).status, 403);
    assert_eq!(get(&local.url, "/", &[("Host", "localhost:1")]).status, 200);
    let named = Watching::new(finished(), &["--address", "127.0.0.1"]);
    for (path, cookie) in [("/", ""), ("/?token=", ""), ("/?token=0123", ""), ("/events", "genloss-watch=1")]
    {
        let refused = get(&named.url, path, &[("Cookie", cookie)]);
        assert_eq!(refused.status, 403, "{path}");
        assert!(!refused.body.contains("watched"));
    }
    let query = named.url.split_once("/?").unwrap().1;
    let welcomed = get(&named.url, &format!("/?{query}"), &[]);
    assert_eq!(welcomed.status, 303);
    assert!(welcomed.head.contains("location: /\r\n") && welcomed.head.contains("httponly; samesite=lax"));
    let cookie = welcomed.head.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap();
    let list = get(&named.url, "/", &[("Cookie", cookie)]);
    assert!(list.status == 200 && list.body.contains("watched"));
}

#[test]
fn hostile_names_are_text() {
    let dir = tempfile::tempdir().unwrap();
    let hostile = dir.path().join("<img src=x onerror=alert(1)>\"&'");
    copy(&finished().join("watched"), &hostile);
    copy(&finished().join("watched"), &dir.path().join("\u{1b}[1m\u{202e}\n%"));
    let server = Watching::new(dir.path(), &[]);
    let path = format!("/run?run={}", address(&hostile));
    // What a browser sends of the list's checkboxes.
    let list = server.get("/").body;
    let chosen = list.split("name=\"run\" value=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0);
    let chosen: Vec<String> = chosen
        .map(|id| id.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
        .map(|id| format!("run={}", address(Path::new(&id))))
        .collect();
    assert_eq!(chosen.len(), 2);
    assert!(chosen.iter().all(|id| list.contains(&format!("/run?{id}"))), "{chosen:?}: {list}");
    assert_eq!(server.get(&format!("/runs?{}", chosen.join("&"))).status, 200);
    for page in [server.get("/"), server.get(&path), server.get(&path.replace("/run?", "/now?"))] {
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("<img"), "{}", page.body);
    }
    assert!(server.get("/").body.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&amp;"));
    assert!(server.get("/").body.contains(&path));
}

#[test]
fn a_run_of_thousands_of_generations_is_listed_without_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("watched");
    copy(&finished().join("watched"), &root);
    let file = root.join("experiment.toml");
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    fs::write(&file, lines.join("\n").replace("generations = 1", "generations = 1000")).unwrap();
    let lineage = root.join("seed-1/unanchored");
    for generation in 2..=1000 {
        let folder = lineage.join(format!("gen-{generation:03}"));
        fs::create_dir(&folder).unwrap();
        fs::copy(lineage.join("gen-001/measurements.json"), folder.join("measurements.json")).unwrap();
    }
    let server = Watching::new(dir.path(), &[]);
    let list = server.get("/").body;
    assert!(list.contains("1005 of 4002 generations") && list.contains("data-state=\"stopped\""), "{list}");
}

#[test]
fn a_run_is_watched_from_its_own_process_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Started::new(&mut run(dir.path(), 10, &["--watch"]));
    let mut line = String::new();
    while !line.contains("http://") {
        line.clear();
        assert!(process.errors.read_line(&mut line).unwrap() > 0, "no address");
    }
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    let status = get(&url, "/", &[]).status;
    assert_eq!(status, 200);
    std::io::copy(&mut process.errors, &mut std::io::sink()).unwrap();
    assert!(process.child.wait().unwrap().success());
    assert!(TcpStream::connect(host(&url)).is_err());
    let left: Vec<PathBuf> = fs::read_dir(dir.path().join("watched"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.ends_with(".live"))
        .collect();
    assert!(left.is_empty());
}
