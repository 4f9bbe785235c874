//! A real browser for tests of pages: Chromium, driven by `chromedriver`. Both come with Debian's packages `chromium` and
//! `chromium-driver`.

use fantoccini::{Client, ClientBuilder, Locator};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything that the browser does.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Windows cannot be narrower, in pixels, but the screen of an emulated phone can.
const NARROWEST_WINDOW: u32 = 500;

/// Errors and warnings of a page are collected in `window.trapped`, from its first line on.
const TRAP: &str = "<script>window.trapped = [];\
    window.addEventListener('error', (event) => trapped.push(event.message));\
    window.addEventListener('unhandledrejection', (event) => trapped.push(String(event.reason)));\
    for (const kind of ['error', 'warn']) { console[kind] = (...said) => trapped.push(said.join(' ')); }</script>";

/// What a session of the browser is like.
#[derive(Clone, Copy)]
pub struct Look {
    pub width: u32,
    pub is_dark: bool,
}

pub const DESKTOP: Look = Look { width: 1280, is_dark: false };

/// A running browser.
pub struct Browser {
    driver: Child,
    client: Client,
    /// Where it saves files.
    pub downloads: tempfile::TempDir,
}

/// Runs `test` in a browser. Says so and does nothing where there is no browser.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
pub fn with_browser(look: Look, test: impl AsyncFnOnce(&Browser)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match Browser::start(look).await {
            Ok(browser) => {
                test(&browser).await;
                browser.stop().await;
            }
            Err(missing) => eprintln!("SKIPPED: {missing}; install chromium and chromium-driver"),
        }
    });
}

/// Writes a page that collects its errors into `folder`, and returns its address.
pub fn trapped(html: &str, folder: &Path) -> String {
    let path = folder.join("trapped.html");
    std::fs::write(&path, html.replacen("<head>", &format!("<head>{TRAP}"), 1)).unwrap();
    format!("file://{}", path.display())
}

impl Browser {
    async fn start(look: Look) -> Result<Self, String> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("chromedriver: {error}"))?;
        let port = BufReader::new(driver.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                line.rsplit_once("started successfully on port ").map(|(_, port)| port.to_owned())
            })
            .ok_or("chromedriver did not start")?;
        let downloads = tempfile::tempdir().unwrap();
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--window-size={},900", look.width),
        ];
        if look.is_dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let mut options = json!({
            "args": arguments,
            "prefs": { "download.default_directory": downloads.path(), "download.prompt_for_download": false },
        });
        if look.width < NARROWEST_WINDOW {
            let screen = json!({ "width": look.width, "height": 740, "pixelRatio": 1.0 });
            options["mobileEmulation"] = json!({ "deviceMetrics": screen });
        }
        let capabilities = serde_json::Map::from_iter([("goog:chromeOptions".to_owned(), options)]);
        let port = port.trim_end_matches('.').to_owned();
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await;
        match client {
            Ok(client) => Ok(Self { driver, client, downloads }),
            Err(error) => {
                stop(&mut driver);
                Err(format!("Chromium: {error}"))
            }
        }
    }

    async fn stop(self) {
        self.client.clone().close().await.ok();
    }

    /// Opens a page.
    pub async fn goto(&self, address: &str) {
        self.client.goto(address).await.unwrap();
    }

    /// Opens a page and waits until its figures are there.
    pub async fn open(&self, address: &str) {
        self.goto(address).await;
        self.wait_for("window.genloss?.page() !== null").await;
    }

    /// Loads the page again, and waits until its figures are there.
    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
        self.wait_for("window.genloss?.page() !== null").await;
    }

    /// Goes back to the entry of the history before this one.
    pub async fn back(&self) {
        self.client.back().await.unwrap();
    }

    /// Goes to the entry of the history after this one.
    pub async fn forward(&self) {
        self.client.forward().await.unwrap();
    }

    /// The value of an expression in the page.
    pub async fn read<T: DeserializeOwned>(&self, expression: &str) -> T {
        let found = self.client.execute(&format!("return {expression};"), Vec::new()).await;
        let found = found.unwrap_or_else(|error| panic!("{expression}: {error}"));
        serde_json::from_value(found).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression is true.
    pub async fn wait_for(&self, expression: &str) {
        let start = Instant::now();
        while !self.read::<bool>(&format!("Boolean({expression})")).await {
            assert!(start.elapsed() < TIMEOUT, "never true: {expression}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Clicks on the first element that a CSS selector matches. A page that is alive may replace the element between the
    /// two requests to the browser that find it and click on it: then it is looked for again.
    pub async fn click(&self, selector: &str) {
        let start = Instant::now();
        loop {
            self.in_view(selector).await;
            let found = self.client.find(Locator::Css(selector)).await;
            let found = found.unwrap_or_else(|error| panic!("{selector}: {error}"));
            match found.click().await {
                Ok(()) => return,
                Err(error) if error.is_stale_element_reference() && start.elapsed() < TIMEOUT => {}
                Err(error) => panic!("{selector}: {error}"),
            }
        }
    }

    /// Presses keys on the first element that a CSS selector matches.
    pub async fn press(&self, selector: &str, keys: &str) {
        self.in_view(selector).await;
        let found = self.client.find(Locator::Css(selector)).await.unwrap();
        found.send_keys(keys).await.unwrap();
    }

    /// Moves the pointer to a place of an element, in shares of its width and height.
    pub async fn point_at(&self, selector: &str, x: f64, y: f64) {
        use fantoccini::actions::{InputSource, MouseActions, PointerAction};
        self.in_view(selector).await;
        let place: (f64, f64, f64, f64) = self
            .read(&format!("(({{ left, top, width, height }}) => [left, top, width, height])(document.querySelector({}).getBoundingClientRect())", json!(selector)))
            .await;
        let (left, top, width, height) = place;
        let to = |x: f64, y: f64| PointerAction::MoveTo { duration: None, x, y };
        let (x, y) = (left + x * width, top + y * height);
        let mouse = MouseActions::new("mouse".to_owned()).then(to(x - 3.0, y - 3.0)).then(to(x, y));
        self.client.perform_actions(mouse).await.unwrap();
    }

    /// Scrolls an element to the middle of the window, where nothing covers it.
    pub async fn in_view(&self, selector: &str) {
        let scroll = format!(
            "document.querySelector({}).scrollIntoView({{ block: 'center', behavior: 'instant' }})",
            json!(selector)
        );
        let _: Value = self.read(&format!("({scroll}, null)")).await;
    }

    /// The page as PDF.
    pub async fn print(&self) -> Vec<u8> {
        self.client.print(fantoccini::wd::PrintConfiguration::default()).await.unwrap()
    }

    /// The file of this name that the page saved.
    pub async fn saved(&self, name: &str) -> Vec<u8> {
        let path: PathBuf = self.downloads.path().join(name);
        let start = Instant::now();
        loop {
            match std::fs::read(&path) {
                Ok(bytes) if !bytes.is_empty() => return bytes,
                _ => assert!(start.elapsed() < TIMEOUT, "{name} was not saved"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Checks that the page said nothing in the console and asked nothing of any network.
    pub async fn assert_quiet(&self) {
        let said: Vec<String> = self.read("window.trapped").await;
        assert!(said.is_empty(), "{said:?}");
        let asked: Vec<String> = self.read("performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => !/^(data|blob):/.test(name))").await;
        assert!(asked.is_empty(), "{asked:?}");
    }
}

/// Also when a test fails.
impl Drop for Browser {
    fn drop(&mut self) {
        stop(&mut self.driver);
    }
}

/// Ends the driver and the browser, which belongs to its process group.
fn stop(driver: &mut Child) {
    Command::new("kill").args(["-TERM", "--", &format!("-{}", driver.id())]).status().ok();
    driver.kill().ok();
    driver.wait().ok();
}
