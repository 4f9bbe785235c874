//! The page in a real browser: everything that a reader can do with it.

use super::{HOSTILE, comparisons, made_up, page, showpiece};
use crate::browser::{Browser, DESKTOP, Look, trapped, with_browser};
use genloss::config::CONTROL;
use genloss::model::{NgramSettings, TransformerSettings};
use genloss::store::RunRecord;
use genloss::training::ModelSettings;

const LEFT: &str = "\u{e012}";
const UP: &str = "\u{e013}";
const RIGHT: &str = "\u{e014}";
const TAB: &str = "\u{e004}";

/// The figure of held-out loss among the trajectories.
const LOSS: &str = "[id='figure-1-trajectories-heldout_loss']";

async fn show(browser: &Browser, recorded: &[RunRecord]) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let html = page(recorded, out.path());
    browser.open(&trapped(&html, out.path())).await;
    out
}

/// Draws a figure by bringing it into view.
async fn draw(browser: &Browser, figure: &str) {
    browser.in_view(figure).await;
    browser.wait_for(&format!("document.querySelector(\"{figure} .plot\").data?.length > 0")).await;
}

/// Names of the lines of a figure, in the order of drawing.
async fn lines(browser: &Browser, figure: &str) -> Vec<String> {
    let names = format!(
        "document.querySelector(\"{figure} .plot\").data.filter((line) => line.hovertemplate && line.line?.dash !== 'dot').map((line) => line.name)"
    );
    browser.read(&names).await
}

async fn choose(browser: &Browser, choice: &str, value: &str) {
    browser.click(&format!("[data-choice={choice}] option[value={value}]")).await;
}

#[test]
fn values_are_read_with_the_pointer_and_with_keys() {
    with_browser(DESKTOP, async |browser| {
        let recorded = showpiece();
        let _out = show(browser, std::slice::from_ref(&recorded)).await;
        draw(browser, LOSS).await;
        let unanchored = recorded.lineages.iter().filter(|lineage| lineage.arm == "unanchored");
        let values: Vec<f64> =
            unanchored.map(|lineage| lineage.generations[6].value("heldout_loss").unwrap()).collect();
        let mean = format!("{:.3}", values.iter().sum::<f64>() / values.len() as f64);
        let plot = format!("{LOSS} .plot");
        let at = browser
            .read::<(f64, f64)>(&format!("((plot, box) => [(plot._fullLayout.xaxis._offset + plot._fullLayout.xaxis.d2p(6)) / box.width, (plot._fullLayout.yaxis._offset + plot._fullLayout.yaxis.d2p({mean})) / box.height])(document.querySelector(\"{plot}\"), document.querySelector(\"{plot}\").getBoundingClientRect())"))
            .await;
        browser.point_at(&plot, at.0, at.1).await;
        let label = format!("document.querySelector(\"{plot} .hoverlayer\")?.textContent");
        browser.wait_for(&format!("{label}?.includes('unanchored') && {label}.includes('generation 6') && {label}.includes('{mean} nats/token')")).await;
        browser
            .wait_for(&format!("{label}.includes('95 % interval') && {label}.includes('3 seeds, n = ')"))
            .await;
        browser.press(&plot, RIGHT).await;
        let said = "document.querySelector('.unseen').textContent";
        let first: String = browser.read(said).await;
        assert!(first.contains("generation 0"), "{first}");
        browser.press(&plot, RIGHT).await;
        browser.wait_for(&format!("{said}.includes('generation 1')")).await;
        browser.press(&plot, UP).await;
        browser.wait_for(&format!("!{said}.startsWith('{}')", first.split(',').next().unwrap())).await;
        browser.press(&plot, LEFT).await;
        browser.wait_for(&format!("{said}.includes('generation 0')")).await;
        browser.wait_for(&format!("{label}?.includes('generation 0')")).await;
        browser.press(&plot, TAB).await;
        browser.wait_for(&format!("!{label}")).await;
        browser.click(&format!("{LOSS} .numbers summary")).await;
        browser.wait_for(&format!("[...document.querySelectorAll(\"{LOSS} tbody tr\")].some((row) => row.cells[0].textContent === 'unanchored' && row.cells[2].textContent === '6' && row.cells[3].textContent === '{mean}')")).await;
        let table = "(([card, box]) => box.right <= card.right)([...document.querySelectorAll(\"FIGURE, FIGURE .numbers .scroll\")].map((one) => one.getBoundingClientRect()))";
        assert!(
            browser.read::<bool>(&table.replace("FIGURE", LOSS)).await,
            "the table is wider than its figure"
        );
        browser.assert_quiet().await;
    });
}

#[test]
fn arms_seeds_scales_and_generations_are_chosen_for_all_figures() {
    with_browser(DESKTOP, async |browser| {
        let _out = show(browser, &[showpiece()]).await;
        draw(browser, LOSS).await;
        assert_eq!(lines(browser, LOSS).await, ["unanchored", "anchored 10 %", "anchored 30 %", CONTROL]);
        browser.click("button[data-arm=unanchored]").await;
        assert_eq!(lines(browser, LOSS).await.len(), 3);
        let effects = "[id='figure-1-effects-heldout_loss']";
        draw(browser, effects).await;
        assert_eq!(lines(browser, effects).await, ["anchored 10 %", "anchored 30 %"]);
        draw(browser, LOSS).await;
        choose(browser, "show", "seeds").await;
        assert_eq!(lines(browser, LOSS).await.len(), 9, "three seeds of three arms");
        let marks = format!(
            "document.querySelector(\"{effects} .plot\").data.filter((line) => line.marker.symbol.endsWith('-open')).map((line) => line.x.length)"
        );
        draw(browser, effects).await;
        // Three seeds of two arms.
        browser.wait_for(&format!("JSON.stringify({marks}) === '[3,3]'")).await;
        draw(browser, LOSS).await;
        choose(browser, "show", "range").await;
        choose(browser, "value", "difference").await;
        assert_eq!(lines(browser, LOSS).await, ["anchored 10 %", "anchored 30 %"]);
        choose(browser, "value", "absolute").await;
        browser.click(&format!("{LOSS} [data-axis=y]")).await;
        browser
            .wait_for(&format!("document.querySelector(\"{LOSS} .plot\").layout.yaxis.type === 'log'"))
            .await;
        browser.click(&format!("{LOSS} [data-axis=x]")).await;
        browser
            .wait_for(&format!("((plot) => plot.layout.xaxis.type === 'log' && plot.layout.xaxis.title.text.includes('0 is left out') && plot.data.every((line) => line.x.every((at) => at > 0)))(document.querySelector(\"{LOSS} .plot\"))"))
            .await;
        let without_switch = "[...document.querySelectorAll('figure.chart')].filter((figure) => !figure.querySelector('[data-axis]')).length";
        assert_eq!(browser.read::<usize>(without_switch).await, 0, "figures without a switch of scale");
        assert!(
            browser
                .read::<bool>(&format!("document.querySelector(\"{effects} [data-axis=x]\").disabled"))
                .await
        );
        browser.press(".bar input[type=range]", &LEFT.repeat(4)).await;
        browser.wait_for("document.querySelector('.bar output').textContent === 'generation 2 of 6'").await;
        let ranks = "[id='figure-1-rank-frequency-curves']";
        draw(browser, ranks).await;
        browser.click(&format!("{ranks} button[title*='SVG']")).await;
        let svg = browser.saved("1-rank-frequency-curves-seed-1-generation-2.svg").await;
        assert!(String::from_utf8(svg).unwrap().contains("seed 1; generation 2"));
        browser
            .wait_for(&format!(
                "document.querySelector(\"{ranks} .plot\").data[0].text[0].includes('generation 2')"
            ))
            .await;
        browser
            .wait_for("document.querySelector('.samples caption').textContent.includes('generation 2')")
            .await;
        browser.click(".bar .time button").await;
        browser.wait_for("document.querySelector('.bar output').textContent === 'generation 6 of 6'").await;
        browser.wait_for("document.querySelector('.bar .time button').textContent.includes('play')").await;
        browser.assert_quiet().await;
    });
}

#[test]
fn metrics_are_found_explained_and_saved_and_a_link_keeps_the_view() {
    with_browser(DESKTOP, async |browser| {
        let _out = show(browser, &[showpiece()]).await;
        let shown = "[...document.querySelectorAll('[data-topic=trajectories] figure.chart')].filter((figure) => !figure.hidden).length";
        let all: usize = browser.read(shown).await;
        browser.press("input[type=search]", "heldout_loss").await;
        browser.wait_for(&format!("{shown} < {all} && {shown} > 0")).await;
        browser.wait_for(&format!("!document.querySelector(\"{LOSS}\").hidden")).await;
        browser.click(&format!("{LOSS} .what summary")).await;
        let what = format!("document.querySelector(\"{LOSS} .what\").innerText");
        browser.wait_for(&format!("{what}.includes('Question')")).await;
        let what: String = browser.read(&what).await;
        for part in ["Question", "Formula", "Direction", "rises when", "Pitfall"] {
            assert!(what.contains(part), "{part} is missing: {what}");
        }
        draw(browser, LOSS).await;
        browser.click(&format!("{LOSS} button[title*='as CSV'], {LOSS} button[title*='CSV']")).await;
        let csv = String::from_utf8(browser.saved("1-trajectories-heldout_loss.csv").await).unwrap();
        let header = "experiment,arm,seed,generation,value,ci_low,ci_high,seeds,n,unit\n";
        assert!(csv.starts_with(header), "{csv}");
        assert!(csv.lines().skip(1).all(|line| line.starts_with("anchored-vs-unanchored,")), "{csv}");
        assert_eq!(csv.lines().count(), 1 + 4 * 7, "a mean for each arm and generation");
        browser.click(&format!("{LOSS} button[title*='SVG']")).await;
        let svg = String::from_utf8(browser.saved("1-trajectories-heldout_loss.svg").await).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("anchored 10 %"));
        assert!(svg.contains("mean, 95 % interval") && svg.contains("anchored-vs-unanchored"), "{svg}");
        browser.click(&format!("{LOSS} button[title*='PNG']")).await;
        let png = browser.saved("1-trajectories-heldout_loss.png").await;
        let image = tiny_skia::Pixmap::decode_png(&png).unwrap();
        assert!(
            image.pixels().iter().filter(|pixel| pixel.green() < 128).count() > 500,
            "the picture is blank"
        );
        browser.click(".bar button[title^='Save every value']").await;
        let whole = String::from_utf8(browser.saved("measurements.csv").await).unwrap();
        assert!(
            whole.lines().any(
                |line| line.starts_with("anchored-vs-unanchored,unanchored,3,6,heldout_loss,nats/token,")
            )
        );
        browser.click("button[data-arm=unanchored]").await;
        choose(browser, "value", "difference").await;
        choose(browser, "show", "seeds").await;
        browser.click(&format!("{LOSS} button[title*='CSV']")).await;
        let difference = "1-trajectories-heldout_loss-arm-minus-control-seeds";
        let csv = String::from_utf8(browser.saved(&format!("{difference}.csv")).await).unwrap();
        assert!(csv.starts_with("experiment,arm,seed,generation,difference,lowest,highest,"), "{csv}");
        let longest = csv.lines().skip(1).map(|line| line.split(',').nth(4).unwrap().len()).max();
        assert!(longest.unwrap() <= "-0.123456".len(), "digits that no value has: {csv}");
        browser.click(&format!("{LOSS} button[title*='SVG']")).await;
        let svg = String::from_utf8(browser.saved(&format!("{difference}.svg")).await).unwrap();
        assert!(svg.contains("arm minus control; every seed"), "{svg}");
        assert!(svg.contains("arm minus control, nats/token"), "the axis: {svg}");
        let read = format!("document.querySelector(\"{LOSS} .plot\").data.flatMap((line) => line.text)");
        let read: Vec<String> = browser.read(&read).await;
        assert!(read.iter().all(|text| text.contains("nats/token from the control")), "{read:?}");
        browser.click("nav a[href='#e1-trajectories']").await;
        browser.wait_for("location.hash.startsWith('#view?')").await;
        let link: String = browser.read("location.href").await;
        browser.open("about:blank#").await;
        browser.open(&link).await;
        browser.wait_for("document.querySelector('[data-arm=unanchored]').ariaPressed === 'false' && document.querySelector('[data-choice=value]').value === 'difference' && document.querySelector('input[type=search]').value === 'heldout_loss'").await;
        browser.press("input[type=search]", " zzz").await;
        browser.wait_for("document.querySelector('.found').textContent === 'No figure matches.'").await;
        let left = "[...document.querySelectorAll('figure.chart, section:has(> .charts), nav a[href=\"#e1-survival\"]')].filter((one) => one.checkVisibility()).length";
        assert_eq!(browser.read::<usize>(left).await, 0);
        browser.assert_quiet().await;
    });
}

#[test]
fn a_page_opened_at_a_chapter_shows_its_heading_below_the_bar() {
    with_browser(DESKTOP, async |browser| {
        let out = tempfile::tempdir().unwrap();
        let address = trapped(&page(&[showpiece()], out.path()), out.path());
        browser.open(&format!("{address}#e1-texts")).await;
        let gap = "document.getElementById('e1-texts').getBoundingClientRect().top - document.querySelector('.controls').getBoundingClientRect().bottom";
        let gap: f64 = browser.read(gap).await;
        assert!((0.0..60.0).contains(&gap), "{gap} pixels below the bar");
        browser.assert_quiet().await;
    });
}

/// Experiments that are out of sight have no height of their own until they are laid out, so that a distance from the top
/// is no place on such a page.
#[test]
fn a_page_of_many_experiments_is_found_where_it_was_left() {
    with_browser(DESKTOP, async |browser| {
        let arms = [(CONTROL, 0.0), ("replace", 0.2)];
        let many: Vec<RunRecord> =
            (1..=9).map(|n| made_up(&format!("n={n}"), &[1, 2], 2, &arms, |_, _| 3, &[])).collect();
        let _out = show(browser, &many).await;
        let top = |figure: &str| {
            format!(
                "document.querySelector(\"{figure}\").getBoundingClientRect().top - document.querySelector('.controls').getBoundingClientRect().bottom"
            )
        };
        let figure = "[id='figure-7-trajectories-tail_coverage']";
        let is_read = format!("Math.abs({}) < 3", top(figure));
        browser.click("a[href='#e5-verdicts']").await;
        browser.wait_for("location.hash === '#e5-verdicts'").await;
        // Experiments above it may still get their heights, so that one step may end elsewhere.
        let to_figure = format!("document.querySelector(\"{figure}\").scrollIntoView()");
        let home = "history.state?.read?.place?.home === 'e7-trajectories'";
        browser.wait_for(&format!("({to_figure}, {home})")).await;
        let _: Option<bool> = browser.read(&format!("(window.scrollBy(0, {}), null)", top(figure))).await;
        browser.wait_for(&is_read).await;
        browser.wait_for("Math.abs(history.state.read.top - document.querySelector('.controls').getBoundingClientRect().bottom) < 3").await;
        browser.reload().await;
        browser.wait_for(&is_read).await;
        // A click by the pointer would scroll to the link first.
        let follow = "(document.querySelector(\"a[href='#e2-verdicts']\").click(), null)";
        let _: Option<bool> = browser.read(follow).await;
        browser.wait_for("location.hash === '#e2-verdicts'").await;
        browser.back().await;
        browser.wait_for(&is_read).await;
        browser.forward().await;
        browser.wait_for(&format!("Math.abs({}) < 60", top("[id='e2-verdicts']"))).await;
        browser.assert_quiet().await;
    });
}

#[test]
fn only_the_metrics_that_differ_from_the_control_are_left_on_request() {
    with_browser(DESKTOP, async |browser| {
        let recorded = showpiece();
        let _out = show(browser, std::slice::from_ref(&recorded)).await;
        browser.click(".bar input[type=checkbox]").await;
        let shown: Vec<String> = browser
            .read("[...document.querySelectorAll('[data-topic=trajectories] figure.chart')].filter((figure) => !figure.hidden).map((figure) => figure.id.split('-').at(-1))")
            .await;
        let all = comparisons(&recorded);
        let differs = |metric: &str| {
            all.iter().any(|comparison| {
                let of_metric = comparison.effects.iter().filter(|effect| effect.metric == metric);
                of_metric
                    .max_by_key(|effect| effect.generation)
                    .is_some_and(|last| last.ci_low > 0.0 || last.ci_high < 0.0)
            })
        };
        assert!(!shown.is_empty());
        for metric in &shown {
            assert!(differs(metric), "{metric} does not differ");
        }
        browser.assert_quiet().await;
    });
}

#[test]
fn lines_of_one_arm_in_the_chart_over_settings_are_told_apart() {
    with_browser(DESKTOP, async |browser| {
        let arms = [(CONTROL, 0.0), ("replace", 0.2)];
        let sweep: Vec<RunRecord> = [(16, 8), (4, 8), (16, 12), (4, 12)]
            .into_iter()
            .map(|(width, ffn)| {
                let mut one = made_up(&format!("{width}-{ffn}"), &[1, 2], 2, &arms, |_, _| 3, &[]);
                let model = TransformerSettings { width, heads: 1, ffn, ..TransformerSettings::default() };
                one.experiment.model = ModelSettings::from(model);
                one
            })
            .collect();
        let _out = show(browser, &sweep).await;
        draw(browser, "[id='figure-sweep']").await;
        let plot = "document.querySelector(\"[id='figure-sweep'] .plot\")";
        let dashes: Vec<String> = browser.read(&format!("{plot}.data.map((line) => line.line.dash)")).await;
        assert_eq!(dashes, ["solid", "solid", "dash", "dash"]);
        let title: String = browser.read(&format!("{plot}.layout.xaxis.title.text")).await;
        assert_eq!(title, "model.ffn<br>solid: width = 16<br>dashed: width = 4");
        browser.press("input[type=search]", "no such metric").await;
        browser.wait_for("document.querySelector('output.found').textContent === 'No figure matches.'").await;
        browser.assert_quiet().await;
    });
}

#[test]
fn a_sweep_has_a_table_that_sorts_and_a_chart_over_any_setting() {
    with_browser(DESKTOP, async |browser| {
        let arms = [(CONTROL, 0.0), ("replace", 0.2)];
        let sweep: Vec<RunRecord> = [16, 4, 64]
            .into_iter()
            .map(|width| {
                let mut one = made_up(&format!("width={width}"), &[1, 2], 2, &arms, |_, _| 3, &[]);
                let model = TransformerSettings { width, heads: 1, ffn: 8, ..TransformerSettings::default() };
                one.experiment.model = ModelSettings::from(model);
                one
            })
            .collect();
        let _out = show(browser, &sweep).await;
        let widths = "[...document.querySelectorAll('table.experiments tbody tr')].map((row) => row.cells[1].textContent)";
        assert_eq!(browser.read::<Vec<String>>(widths).await, ["16", "4", "64"]);
        browser.click("table.experiments thead th:nth-child(2) button").await;
        assert_eq!(browser.read::<Vec<String>>(widths).await, ["4", "16", "64"]);
        browser.click("table.experiments thead th:nth-child(2) button").await;
        assert_eq!(browser.read::<Vec<String>>(widths).await, ["64", "16", "4"]);
        draw(browser, "[id='figure-sweep']").await;
        let points: Vec<f64> =
            browser.read("document.querySelector(\"[id='figure-sweep'] .plot\").data[0].x").await;
        assert_eq!(points, [4.0, 16.0, 64.0]);
        let intervals: Vec<f64> =
            browser.read("document.querySelector(\"[id='figure-sweep'] .plot\").data[0].error_y.array").await;
        assert!(intervals.len() == 3 && intervals.iter().all(|half| *half > 0.0), "{intervals:?}");
        browser.click("select[aria-label=Metric] option[value=tail_coverage]").await;
        let link: String = browser.read("location.href").await;
        browser.open("about:blank#").await;
        browser.open(&link).await;
        let metric: String = browser.read("document.querySelector('select[aria-label=Metric]').value").await;
        assert_eq!(metric, "tail_coverage");
        assert_eq!(browser.read::<Vec<String>>(widths).await, ["64", "16", "4"]);
        browser.assert_quiet().await;
    });
}

#[test]
fn arms_of_unlike_experiments_differ_in_colour_and_have_no_empty_settings() {
    with_browser(Look { width: 360, is_dark: false }, async |browser| {
        let one = |name: &str, arm: &str, model: ModelSettings| {
            let arms = [(CONTROL, 0.0), (arm, 0.2)];
            let mut one = made_up(name, &[1, 2], 2, &arms, |_, _| 3, &[]);
            one.experiment.model = model;
            one
        };
        let unlike = [
            one("a", "first", ModelSettings::from(TransformerSettings::default())),
            one("b", "second", ModelSettings::from(NgramSettings { order: 3 })),
        ];
        let _out = show(browser, &unlike).await;
        draw(browser, "[id='figure-sweep']").await;
        let colours = |place: &str| {
            format!(
                "[...document.querySelectorAll('{place} .key')].map((key) => key.style.color).filter((colour) => colour.startsWith('rgb(0, 114') || colour.startsWith('rgb(213, 94'))"
            )
        };
        for place in [".arms", ".verdicts"] {
            let found: Vec<String> = browser.read(&colours(place)).await;
            assert_eq!(found, ["rgb(213, 94, 0)", "rgb(0, 114, 178)"], "{place}");
        }
        let texts: Vec<String> = browser
            .read("document.querySelector(\"[id='figure-sweep'] .plot\").data.flatMap((line) => line.text)")
            .await;
        assert!(texts.iter().all(|text| !text.contains("= <") && !text.contains("= ,")), "{texts:?}");
        let width: (f64, f64) = browser.read("[document.documentElement.scrollWidth, innerWidth]").await;
        assert!(width.0 <= width.1 + 1.0, "{width:?}: the page scrolls sideways");
        let has_logarithm = "!document.querySelector(\"[id='figure-sweep'] [data-axis=x]\").disabled";
        assert!(!browser.read::<bool>(has_logarithm).await, "not every experiment has a number");
        browser.click("select[aria-label=Setting] option:last-child").await;
        let names: Vec<String> = browser
            .read("document.querySelector(\"[id='figure-sweep'] .plot\").data.map((line) => line.x[0])")
            .await;
        assert_eq!(names, ["a", "a", "b", "b"], "the last choice is the experiment itself");
        browser.assert_quiet().await;
    });
}

#[test]
fn markup_in_corpora_and_names_stays_text_in_the_browser() {
    with_browser(DESKTOP, async |browser| {
        let arms = [(CONTROL, 0.0), ("<img src=x onerror=alert(1)>", 0.2), ("<b>bold</b>", 0.1)];
        let _out = show(browser, &[made_up("<i>hostile</i>", &[1, 2], 2, &arms, |_, _| 3, &[])]).await;
        draw(browser, LOSS).await;
        browser.press(&format!("{LOSS} .plot"), RIGHT).await;
        browser.click(&format!("{LOSS} .numbers summary")).await;
        let said: String = browser.read("document.querySelector('.unseen').textContent").await;
        assert!(
            said.contains("<img src=x onerror=alert(1)>")
                || said.contains("<b>bold</b>")
                || said.contains(CONTROL),
            "{said}"
        );
        assert_eq!(
            browser
                .read::<usize>(
                    "document.querySelectorAll('main img, .unseen b, main td script, .arms b').length"
                )
                .await,
            0
        );
        let shown: String =
            browser.read("document.querySelector('.samples .doc:last-child').textContent").await;
        assert!(shown.starts_with(&HOSTILE[..HOSTILE.find('\u{202e}').unwrap()]), "{shown}");
        browser.assert_quiet().await;
    });
}

#[test]
fn the_page_fits_a_phone_is_readable_in_the_dark_and_prints_on_white() {
    let contrast = "((luminance) => (([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05))([getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor].map(luminance)))((color) => { const [r, g, b] = color.match(/\\d+/g).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; })";
    with_browser(Look { width: 360, is_dark: true }, async |browser| {
        let _out = show(browser, &[showpiece()]).await;
        let width: (f64, f64) = browser.read("[document.documentElement.scrollWidth, innerWidth]").await;
        assert!(width.0 <= width.1 + 1.0, "{width:?}: the page scrolls sideways");
        assert!(browser.read::<bool>("matchMedia('(prefers-color-scheme: dark)').matches").await);
        assert!(browser.read::<f64>(contrast).await >= 4.5);
        draw(browser, LOSS).await;
        assert!(
            browser
                .read::<f64>(&format!(
                    "document.querySelector(\"{LOSS} .plot\").getBoundingClientRect().width"
                ))
                .await
                <= 360.0
        );
        let pdf = browser.print().await;
        assert!(pdf.starts_with(b"%PDF"));
        let blank =
            "[...document.querySelectorAll('figure.chart .plot')].filter((plot) => !plot.data).length";
        assert_eq!(browser.read::<usize>(blank).await, 0, "figures that are not printed");
        browser.assert_quiet().await;
    });
}
