//! The report of made-up experiments: one arm collapses, one is stable.

mod browser;

use genloss::baseline::{Baseline, DriftCurve, ReplicateMean};
use genloss::config::{Arm, CONTROL, Experiment};
use genloss::corpus::{CorpusSettings, CorpusSource, WorldSettings};
use genloss::measure::{Catalogue, Curves, Measurement, RankPoint, SurvivalBin};
use genloss::mixture::Mixture;
use genloss::model::NgramSettings;
use genloss::report;
use genloss::seed::{SHARED, StreamKey, Varied};
use genloss::selection::SelectionRecord;
use genloss::store::{GenerationRecord, LineageRecord, MixtureRecord, Provenance, RunRecord, Sample};
use genloss::synthesis::{SynthesisRecord, SynthesisSettings};
use genloss::tokenizer::TokenizerSettings;
use genloss::training::{LossPoint, ModelSettings, TrainingRecord, TrainingSettings};
use genloss::units::Tokens;
use genloss::verdict::{ArmComparison, compare};
use rand_distr::{Distribution, StandardNormal};
use std::collections::BTreeMap;
use std::path::Path;

const HOSTILE: &str = "</p><script>alert('corpus')</script> & \"quotes\" \u{202e}\u{1b}[2J";

/// An arm of a made-up experiment: its name and how much it loses per generation, 0 to about 1.
type MadeUpArm<'a> = (&'a str, f64);

fn experiment(name: &str, seeds: &[u64], generations: usize, arms: &[MadeUpArm]) -> Experiment {
    let model = ModelSettings::from(NgramSettings { order: 3 });
    let training = TrainingSettings { tokens: Some(Tokens(1_000_000)), ..TrainingSettings::default() };
    let synthesis = SynthesisSettings::textbook(Tokens(500_000));
    let mixture = Mixture::control();
    let arm = |name: &str| Arm {
        name: name.to_owned(),
        mixture: mixture.clone(),
        model: model.clone(),
        training: training.clone(),
        synthesis: synthesis.clone(),
    };
    let world = WorldSettings {
        seed: 1,
        nouns: 400,
        entities: 300,
        relations: 4,
        zipf_exponent: 1.0,
        fact_share: 0.4,
    };
    Experiment {
        name: name.to_owned(),
        seeds: seeds.to_vec(),
        vary: Varied::ALL,
        generations,
        expectations: Vec::new(),
        measured_tokens: synthesis.tokens,
        corpus: CorpusSettings {
            source: CorpusSource::World,
            split: None,
            text_field: None,
            skip_bad: None,
            max_expansion: None,
            train_tokens: Tokens(500_000),
            natural_tokens: None,
            heldout_tokens: Tokens(50_000),
            reference_tokens: Tokens(500_000),
            heldout_share: 0.05,
            reference_share: 0.3,
            world: Some(world),
        },
        tokenizer: TokenizerSettings { vocab_size: Some(2048), ..TokenizerSettings::default() },
        writer: None,
        arms: arms.iter().map(|(name, _)| arm(name)).collect(),
        model,
        training,
        synthesis,
    }
}

/// The value of a metric at generation 0, and after a total loss.
fn ends(metric: &str) -> (f64, f64) {
    match metric {
        "heldout_loss" => (3.02, 4.1),
        "heldout_loss_head" => (2.31, 2.9),
        "heldout_loss_torso" => (6.2, 8.4),
        "heldout_loss_tail" => (8.1, 12.6),
        "bits_per_byte" => (1.12, 1.52),
        "excess_loss" => (0.31, 1.39),
        m if m.starts_with("tail_mass") => (0.86, 0.05),
        m if m.starts_with("tail_coverage") => (0.93, 0.08),
        "fact_recall_head" => (0.97, 0.80),
        "fact_recall_torso" => (0.71, 0.20),
        "fact_recall_tail" => (0.33, 0.0),
        m if m.starts_with("unigram_entropy") => (6.4, 5.1),
        "bigram_entropy" => (9.6, 7.2),
        "predictive_entropy" => (2.9, 1.4),
        m if m.starts_with("hill_0") => (1900.0, 500.0),
        m if m.starts_with("hill_1") => (601.0, 160.0),
        m if m.starts_with("hill_2") => (140.0, 60.0),
        m if m.starts_with("zipf") => (1.02, 1.6),
        m if m.starts_with("kl_") => (0.02, 0.9),
        m if m.starts_with("js_") => (0.006, 0.21),
        m if m.starts_with("tv_") => (0.05, 0.46),
        m if m.starts_with("distinct") => (0.41, 0.09),
        "repetition" => (0.02, 0.2),
        "compression_ratio" => (2.6, 4.2),
        "novelty_4" => (0.33, 0.2),
        "type_token_ratio" => (0.9, 0.6),
        "self_bleu" => (0.2, 0.7),
        _ => (3.1, 2.2),
    }
}

fn record(seed: u64, arm: &str, generation: usize, loss: f64, left_out: &[&str]) -> GenerationRecord {
    let mut rng = StreamKey::new(seed, arm, generation, "made up").stream(0);
    let mut normal = move || -> f64 { StandardNormal.sample(&mut rng) };
    let lost = 1.0 - (-loss * generation as f64).exp();
    let measurements = Catalogue::builtin()
        .iter()
        .filter(|metric| !left_out.contains(&&*metric.id))
        .map(|metric| {
            let (from, to) = ends(&metric.id);
            let noise = 0.012 * (to - from) * normal();
            Measurement {
                metric: metric.id.to_string(),
                unit: metric.unit.to_string(),
                value: from + lost * (to - from) + noise,
                std_err: 0.004 * (to - from).abs(),
                n: 500_000,
            }
        })
        .collect();
    GenerationRecord {
        machine: None,
        mixture: mixture_record(arm, generation),
        training: TrainingRecord {
            init: "scratch".to_owned(),
            parameters: 4_200_000,
            adapter_parameters: None,
            writers: None,
            steps: 488,
            tokens_seen: Tokens(1_000_000),
            epochs: 2.0,
            curve: (1..=100)
                .map(|step| LossPoint {
                    tokens: Tokens(step * 10_000),
                    loss_nats: 7.6 - 4.2 * (1.0 - (-(step as f64) / 16.0).exp()) - 1.1 * lost
                        + 0.03 * normal(),
                })
                .collect(),
        },
        synthesis: synthesis_record(),
        measurements,
        missing: BTreeMap::new(),
        metrics: Vec::new(),
        curves: curves(lost),
    }
}

fn mixture_record(arm: &str, generation: usize) -> MixtureRecord {
    let synthetic = if arm == CONTROL || generation == 0 { 0 } else { 350_000 };
    let teacher = (synthetic > 0).then(|| (generation - 1, Tokens(synthetic)));
    MixtureRecord {
        natural_tokens: Tokens(500_000 - synthetic),
        distinct_natural_tokens: None,
        natural_documents: 9_000,
        synthetic_tokens: teacher.into_iter().collect(),
        synthetic_documents: synthetic / 55,
        synthetic_from: Vec::new(),
        natural: "fixed, displacing synthetic text".to_owned(),
        hash: "5f1c0ffee".repeat(7),
    }
}

fn synthesis_record() -> SynthesisRecord {
    SynthesisRecord {
        method: "textbook".to_owned(),
        prompts: "start token".to_owned(),
        decoding: "sampling, temperature 1".to_owned(),
        documents: 9_100,
        tokens: Tokens(500_000),
        ended: 9_050,
        cut: 50,
        kept_share: None,
        selection: None,
    }
}

fn curves(lost: f64) -> Curves {
    let zipf = |rank: u64, end: f64| 0.09 / (rank as f64 + 2.0) * (-(rank as f64) / end).exp();
    let ranks: Vec<u64> = (0..60).map(|i| 10f64.powf(f64::from(i) * 3.7 / 59.0).round() as u64).collect();
    let curve = |end: f64| ranks.iter().map(move |&rank| RankPoint { rank, frequency: zipf(rank, end) });
    let end = 9_000.0 * (1.0 - lost).powi(3);
    let survival = (0..12).map(|i| {
        let frequency_from = 10f64.powf(-6.0 + f64::from(i) * 0.4);
        let (types, expected) = (300 / (i as u64 + 1), 1.0 - (-500_000.0 * frequency_from * 1.6f64).exp());
        let kept = expected * (1.0 - lost * (-(f64::from(i)) / 4.0).exp());
        SurvivalBin {
            frequency_from,
            frequency_to: frequency_from * 10f64.powf(0.4),
            types,
            found: (types as f64 * kept).round() as u64,
            expected: types as f64 * expected,
        }
    });
    Curves {
        rank_frequency_words: curve(end).filter(|p| p.frequency > 2e-6).collect(),
        natural_rank_frequency_words: curve(9_500.0).filter(|p| p.frequency > 2e-6).collect(),
        survival: survival.collect(),
    }
}

/// Half of what the arms lose is due to drift, another quarter to decoding.
fn baseline(generations: usize, arms: &[MadeUpArm]) -> Baseline {
    let metrics = ["tail_mass", "tail_coverage", "hill_0", "hill_1", "hill_2"];
    let metrics = metrics.iter().flat_map(|metric| [(*metric).to_owned(), format!("{metric}_words")]);
    let curve = |arm: &str, loss: f64, metric: &str| {
        let (from, to) = ends(metric);
        let after = |share: f64| {
            let lost = (0..=generations).map(move |generation| 1.0 - (-loss * generation as f64).exp());
            lost.map(move |lost| ReplicateMean { mean: from + share * lost * (to - from), std_err: 1e-3 })
                .collect()
        };
        let (arm, metric) = (arm.to_owned(), metric.to_owned());
        DriftCurve { arm, metric, sampling: after(0.5), decoding: after(0.75) }
    };
    let curves = metrics.flat_map(|metric| arms.iter().map(move |(arm, loss)| curve(arm, *loss, &metric)));
    Baseline { replicates: 64, curves: curves.collect() }
}

/// A made-up experiment; `reached` says how many generations a lineage has.
fn made_up(
    name: &str,
    seeds: &[u64],
    generations: usize,
    arms: &[MadeUpArm],
    reached: impl Fn(u64, &str) -> usize,
    left_out: &[&str],
) -> RunRecord {
    let mut lineages = Vec::new();
    for &seed in seeds {
        for (arm, loss) in arms {
            let records = (0..reached(seed, arm))
                .map(|generation| {
                    let name = if generation == 0 { SHARED } else { arm };
                    record(seed, name, generation, *loss, left_out)
                })
                .collect();
            lineages.push(LineageRecord {
                seed,
                arm: (*arm).to_owned(),
                generations: records,
                origins: Vec::new(),
            });
        }
    }
    RunRecord {
        experiment: experiment(name, seeds, generations, arms),
        experiment_toml: format!("name = \"{name}\"\nseeds = {seeds:?}\ngenerations = {generations}\n"),
        provenance: Provenance {
            version: "0.1.0".to_owned(),
            cpu: "AMD EPYC, 2 threads".to_owned(),
            instructions: "avx512-bf16".to_owned(),
            device: "cpu".to_owned(),
            command_line: vec!["genloss".to_owned(), "run".to_owned(), format!("{name}.toml")],
            corpus: BTreeMap::from([("train".to_owned(), "ab12".repeat(16))]),
            split_tokens: BTreeMap::from([("train".to_owned(), Tokens(2_000_000))]),
            tokenizer: "cd34".repeat(16),
            heldout_floor_nats: Some(2.71),
            ..Provenance::default()
        },
        lineages,
        baseline: Some(baseline(generations, arms)),
    }
}

fn comparisons(recorded: &RunRecord) -> Vec<ArmComparison> {
    compare(&recorded.experiment.name, &recorded.observations(), CONTROL, &recorded.catalogue())
}

fn samples(recorded: &RunRecord) -> Vec<Sample> {
    let sentence = "The river of Tamor is the Vel. Every weaver in the upper valley knows it, and the old merchants \
                    still count their barrels by its floods. ";
    let narrow = "The river is the river of the river. The river is the Vel. ";
    let lineages = recorded.lineages.iter().filter(|lineage| lineage.seed == recorded.experiment.seeds[0]);
    lineages
        .flat_map(|lineage| {
            (0..lineage.generations.len()).map(|generation| Sample {
                experiment: recorded.experiment.name.clone(),
                seed: lineage.seed,
                arm: lineage.arm.clone(),
                generation,
                documents: vec![
                    if lineage.arm == "unanchored" && generation > 2 { narrow } else { sentence }.repeat(4),
                    format!("{HOSTILE} {sentence}"),
                ],
            })
        })
        .collect()
}

fn showpiece() -> RunRecord {
    let arms = [(CONTROL, 0.0), ("unanchored", 0.22), ("anchored 10 %", 0.06), ("anchored 30 %", 0.005)];
    made_up("anchored-vs-unanchored", &[1, 2, 3], 6, &arms, |_, _| 7, &[])
}

fn many_arms() -> RunRecord {
    let names: Vec<String> =
        (1..=12).map(|arm| format!("anchored with {arm} parts in a hundred of natural text")).collect();
    let arms = names.iter().enumerate().map(|(index, name)| (name.as_str(), 0.01 * (12 - index) as f64));
    let arms: Vec<MadeUpArm> = [(CONTROL, 0.0)].into_iter().chain(arms).collect();
    made_up("many", &[1, 2], 30, &arms, |_, _| 31, &[])
}

/// Writes the report into `out` and returns the page.
fn page(recorded: &[RunRecord], out: &Path) -> String {
    let comparisons: Vec<ArmComparison> = recorded.iter().flat_map(comparisons).collect();
    let samples: Vec<Sample> = recorded.iter().flat_map(samples).collect();
    let path = report::write(recorded, &comparisons, &samples, out).expect("the folder is writable");
    std::fs::read_to_string(path).expect("the page was just written")
}

/// The page without its own three scripts: the data, plotly, and the one that draws.
fn without_scripts(html: &str) -> String {
    let (markup, scripts) = html.split_once("<script id=\"genloss-data\"").expect("the page has its data");
    assert_eq!(scripts.matches("<script").count(), 2);
    markup.to_owned()
}

const FIGURES: [&str; 13] = [
    "effects",
    "causes",
    "tail_left",
    "trajectories_heldout",
    "trajectories_tail",
    "trajectories_entropy",
    "trajectories_divergence",
    "trajectories_form",
    "rank_frequency",
    "survival",
    "loss_by_rarity",
    "fact_recall",
    "training_loss",
];

#[test]
fn every_figure_is_written_as_svg_and_png() {
    let out = tempfile::tempdir().unwrap();
    page(&[showpiece()], out.path());
    for name in FIGURES {
        let svg = std::fs::read_to_string(out.path().join(format!("figures/{name}.svg"))).unwrap();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{name}");
        let image = tiny_skia::Pixmap::load_png(out.path().join(format!("figures/{name}.png"))).unwrap();
        let inked = image.pixels().iter().filter(|pixel| pixel.green() < 128).count();
        assert!(inked > 1000, "{name} is blank");
    }
    let left: Vec<_> = std::fs::read_dir(out.path().join("figures")).unwrap().collect();
    assert_eq!(left.len(), 2 * FIGURES.len(), "nothing else is left behind");
}

#[test]
fn the_page_has_every_verdict_and_loads_nothing_from_elsewhere() {
    let out = tempfile::tempdir().unwrap();
    let recorded = showpiece();
    let html = page(std::slice::from_ref(&recorded), out.path());
    for comparison in comparisons(&recorded) {
        let badge = format!("<span class=\"badge {0}\">{0}</span>", comparison.verdict.word());
        assert!(html.contains(&badge), "{badge}");
    }
    assert!(html.contains("badge collapsed"));
    let markup = without_scripts(&html);
    for foreign in ["http://", "https://", "<script", "src=", "@import", "url("] {
        assert!(!markup.contains(foreign), "{foreign}");
    }
    let keys = recorded.experiment.arms.len();
    assert_eq!(markup.matches("<span class=\"key\"").count(), keys);
    assert_eq!(markup.matches("<svg ").count(), FIGURES.len() + keys);
    assert_eq!(markup.matches("</svg>").count(), FIGURES.len() + keys);
}

#[test]
fn the_page_has_the_cost_of_a_selected_corpus() {
    let out = tempfile::tempdir().unwrap();
    let mut recorded = showpiece();
    assert!(!page(std::slice::from_ref(&recorded), out.path()).contains("; selected, "));
    recorded.lineages[0].generations[0].synthesis.selection = Some(SelectionRecord {
        documents_written: 36_400,
        tokens_written: Tokens(2_600_000),
        dropped: BTreeMap::from([("best_of".to_owned(), 27_300)]),
        of_rules: BTreeMap::new(),
        tokens_per_token_kept: 5.2,
    });
    assert!(page(&[recorded], out.path()).contains("; selected, 5.20 tokens written for each"));
}

#[test]
fn a_page_without_a_baseline_says_how_to_add_it() {
    let out = tempfile::tempdir().unwrap();
    let before = RunRecord { baseline: None, ..showpiece() };
    let html = page(&[before], out.path());
    assert!(html.contains("Run `genloss run` again to add it"));
    assert!(!out.path().join("figures/causes.svg").exists());
}

#[test]
fn markup_in_corpora_and_names_of_arms_is_shown_as_text() {
    let arms = [(CONTROL, 0.0), ("<script>alert(1)</script>", 0.2), ("a\" onload=\"b\u{2066}", 0.1)];
    let recorded = made_up("hostile", &[1, 2], 2, &arms, |_, _| 3, &[]);
    let out = tempfile::tempdir().unwrap();
    let html = page(&[recorded], out.path());
    let html = without_scripts(&html);
    assert!(!html.contains("<script"));
    assert!(!html.contains("\" onload="));
    assert!(html.contains("&lt;script&gt;alert('corpus')&lt;/script&gt; &amp;"));
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    let svg = std::fs::read_to_string(out.path().join("figures/effects.svg")).unwrap();
    assert!(!svg.contains("<script"));
    // Characters that reverse text or that a terminal acts on are shown as escapes.
    let raw = ['\u{202e}', '\u{2066}', '\u{1b}'];
    assert!(!html.contains(raw) && !svg.contains(raw));
    assert!(html.contains("\\u{202e}\\u{1b}[2J") && svg.contains("\\u{2066}"));
}

#[test]
fn unfinished_small_and_large_experiments_all_have_a_page() {
    let two = [(CONTROL, 0.0), ("unanchored", 0.2)];
    let catalogue = Catalogue::builtin();
    let words: Vec<&str> = catalogue.iter().map(|m| &*m.id).filter(|id| *id != "heldout_loss").collect();
    let everything: Vec<&str> = catalogue.iter().map(|m| &*m.id).collect();
    let cases = [
        many_arms(),
        made_up("one-seed", &[7], 3, &two, |_, _| 4, &[]),
        made_up("generation-0", &[1], 3, &two, |_, _| 1, &[]),
        made_up("nothing-yet", &[1], 3, &two, |_, _| 0, &[]),
        made_up(
            "ragged",
            &[1, 2, 3],
            6,
            &two,
            |seed, arm| if arm == CONTROL { 7 } else { seed as usize + 1 },
            &[],
        ),
        made_up("control-only", &[1, 2], 4, &[(CONTROL, 0.0)], |_, _| 5, &[]),
        made_up("one-metric", &[1, 2], 4, &two, |_, _| 5, &words),
        made_up("no-metric", &[1, 2], 4, &two, |_, _| 5, &everything),
    ];
    for recorded in cases {
        let out = tempfile::tempdir().unwrap();
        let html = page(std::slice::from_ref(&recorded), out.path());
        assert!(html.contains(&format!("<h1>{}</h1>", recorded.experiment.name)));
        let markup = without_scripts(&html);
        assert!(!markup.contains("NaN") && !markup.contains("inf]"), "{}", recorded.experiment.name);
    }
}

#[test]
fn several_experiments_share_a_page_and_have_a_folder_of_figures_each() {
    let two = [(CONTROL, 0.0), ("unanchored", 0.2)];
    let first = made_up("first", &[1, 2], 3, &two, |_, _| 4, &[]);
    let second = made_up("second", &[1], 2, &two, |_, _| 3, &[]);
    let out = tempfile::tempdir().unwrap();
    let html = page(&[first, second], out.path());
    assert!(html.contains("id=\"e1-verdicts\"") && html.contains("id=\"e2-verdicts\""));
    assert!(out.path().join("figures/first/effects.png").exists());
    assert!(out.path().join("figures/second/effects.svg").exists());
}

#[test]
fn a_page_without_texts_says_so() {
    let out = tempfile::tempdir().unwrap();
    let recorded = showpiece();
    let path = report::write(std::slice::from_ref(&recorded), &[], &[], out.path()).unwrap();
    let html = std::fs::read_to_string(path).unwrap();
    assert!(html.contains("not kept in this copy"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let out = tempfile::NamedTempFile::new().unwrap();
    let error = report::write(&[], &[], &[], out.path()).unwrap_err();
    assert!(error.to_string().contains(&out.path().display().to_string()), "{error}");
}

/// Writes the showpiece into a folder, to be looked at: `GENLOSS_SHOW=folder cargo test --test it showpiece`.
#[test]
fn the_showpiece_is_written_on_request() {
    if let Some(folder) = std::env::var_os("GENLOSS_SHOW") {
        let folder = Path::new(&folder);
        page(&[showpiece()], folder);
        page(&[many_arms()], &folder.join("many"));
        let two = [(CONTROL, 0.0), ("unanchored", 0.2), ("anchored", 0.01)];
        let reached = |_, arm: &str| if arm == CONTROL { 5 } else { 4 };
        page(&[made_up("one-seed", &[7], 6, &two, reached, &[])], &folder.join("one-seed"));
    }
}
