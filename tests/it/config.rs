//! Experiment files: what is accepted, what is refused, and how the refusal reads.

use genloss::config;
use genloss::decoding::{BeamSearchSettings, ContrastiveSearchSettings, DecodingStrategy, SamplingSettings};
use genloss::mixture::{Budget, Mixture, NaturalDocuments, NaturalFraction, PUBLISHED_REGIMES};
use genloss::selection::{Selection, SelectionRules};
use genloss::synthesis::Continuation;
use genloss::training::ModelSettings;

use genloss::units::Tokens;

const BASE: &str = r#"
name = "base"
seeds = [1, 2]
generations = 3

[corpus]
source = "world"
train_tokens = 10_000
heldout_tokens = 1_000
reference_tokens = 5_000

[model]
layers = 2
width = 64
heads = 4
context = 32

[[arm]]
name = "unanchored"
mixture = "replace"
"#;

fn parse(text: &str) -> Result<config::Experiment, String> {
    config::parse(text, "base.toml", &[]).map_err(|error| error.to_string())
}

fn refusal(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    parse(&BASE.replace(from, to)).expect_err("must be refused")
}

#[test]
fn the_control_need_not_be_written_and_comes_first() {
    let experiment = parse(BASE).unwrap();
    let names: Vec<&str> = experiment.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["control", "unanchored"]);
    assert_eq!(experiment.control().mixture.natural_fraction, NaturalFraction::Schedule(vec![1.0]));
}

#[test]
fn a_resolved_file_resolves_to_itself() {
    let text = format!(
        "{BASE}
[[arm]]
name = \"greedy\"
mixture = {{ natural_fraction = [0.5, 0.25], natural = \"fresh\", budget = \"added\" }}
synthesis = {{ greedy = true }}
training = {{ epochs = 1.5, init = \"chained\" }}
[[arm]]
name = \"counts\"
mixture = \"accumulate-subsample\"
model = {{ kind = \"ngram\", order = 3 }}
[synthesis]
top_k = 50
temperature = 0.9
method = \"continuation\"
"
    );
    let experiment = parse(&text).unwrap();
    assert_eq!(experiment.arms[2].synthesis.decoding, DecodingStrategy::GREEDY);
    let sampled = SamplingSettings { temperature: 0.9, top_k: Some(50), ..SamplingSettings::PLAIN };
    assert_eq!(experiment.arms[3].synthesis.decoding, sampled.into());
    assert_eq!(experiment.arms[3].synthesis.method, Continuation::default().into());
    assert_eq!(experiment.arms[3].model.order(), Some(3));
    let resolved = experiment.to_toml();
    assert_eq!(parse(&resolved).unwrap(), experiment);
    assert_eq!(parse(&resolved).unwrap().to_toml(), resolved);
}

/// The decoder of the only arm under these `[synthesis]` tables of the experiment and of the arm.
fn strategy(base: &str, arm: &str) -> Result<DecodingStrategy, String> {
    let text = format!("{BASE}synthesis = {{ {arm} }}\n[synthesis]\n{base}\n");
    let experiment = parse(&text)?;
    assert_eq!(parse(&experiment.to_toml()).unwrap(), experiment);
    Ok(experiment.arms[1].synthesis.decoding.clone())
}

#[test]
fn a_decoder_has_defaults_of_its_own() {
    let beam = |beams, length_penalty| DecodingStrategy::Beam(BeamSearchSettings { beams, length_penalty });
    assert_eq!(strategy("beams = 4", "").unwrap(), beam(4, 1.0));
    assert_eq!(strategy("beams = 4", "length_penalty = 0").unwrap(), beam(4, 0.0));
    let contrastive = |k, alpha| DecodingStrategy::Contrastive(ContrastiveSearchSettings { k, alpha });
    assert_eq!(strategy("contrastive_k = 5", "").unwrap(), contrastive(5, 0.6));
    assert_eq!(strategy("contrastive_k = 5", "contrastive_alpha = 0.2").unwrap(), contrastive(5, 0.2));
    let typical = SamplingSettings { typical_p: Some(0.9), temperature: 0.8, ..SamplingSettings::PLAIN };
    assert_eq!(strategy("typical_p = 0.9", "temperature = 0.8").unwrap(), typical.into());
}

#[test]
fn an_arm_that_turns_to_another_decoder_leaves_the_settings_of_the_base_behind() {
    let sampling = "temperature = 0.9\ntop_k = 50\nrepetition_penalty = 1.2";
    let beam = DecodingStrategy::Beam(BeamSearchSettings { beams: 3, length_penalty: 1.0 });
    assert_eq!(strategy(sampling, "beams = 3").unwrap(), beam);
    let contrastive = DecodingStrategy::Contrastive(ContrastiveSearchSettings { k: 4, alpha: 0.6 });
    assert_eq!(strategy("beams = 3", "contrastive_k = 4").unwrap(), contrastive);
    let penalised = SamplingSettings { repetition_penalty: 1.2, ..SamplingSettings::GREEDY };
    assert_eq!(strategy(sampling, "greedy = true").unwrap(), penalised.into());
    let top_k = SamplingSettings { top_k: Some(5), ..SamplingSettings::PLAIN };
    assert_eq!(strategy("beams = 3\nlength_penalty = 0.5", "top_k = 5").unwrap(), top_k.into());
    assert_eq!(strategy("greedy = true", "greedy = false").unwrap(), DecodingStrategy::PLAIN);
}

#[test]
fn a_setting_that_the_decoder_would_not_heed_is_refused() {
    let cases = [
        ("beams = 4\ntemperature = 0.9", "", "synthesis.temperature: beam search does not use it"),
        ("", "beams = 4, repetition_penalty = 1.2", "repetition_penalty: beam search does not use it"),
        ("", "beams = 4, contrastive_k = 3", "contrastive_k: contrastive search has no beams"),
        ("", "greedy = true, beams = 4", "greedy: beam search does not use it"),
        ("", "contrastive_k = 4, typical_p = 0.5", "typical_p: contrastive search does not use it"),
        ("", "greedy = true, typical_p = 0.5", "typical_p: greedy decoding does not use it"),
        ("", "length_penalty = 1", "length_penalty: has no effect without beams"),
        ("", "contrastive_alpha = 0.5", "contrastive_alpha: has no effect without contrastive_k"),
        ("", "beams = 1", "beams: 1 is out of range; give a whole number from 2 to 1024"),
        (
            "",
            "beams = 2, length_penalty = -1",
            "length_penalty: -1 is out of range; give a number from 0 to 10",
        ),
        (
            "",
            "contrastive_k = 2, contrastive_alpha = 1.1",
            "contrastive_alpha: 1.1 is out of range; give a number from 0 to 1",
        ),
        ("", "typical_p = 0", "typical_p: 0 is out of range; give a number from 0.001 to 1"),
        (
            "",
            "method = \"token-edit\", beams = 2",
            "\"token-edit\" samples tokens one by one, which beam and contrastive search do not",
        ),
        ("", "beams = 2, selection = { best_of = 2 }", "selection.best_of: candidates would be copies"),
        (
            "max_document_tokens = 8",
            "method = \"continuation\", prefix = \"previous\", prefix_tokens = 8",
            "prefix_tokens: 8 leaves nothing to continue",
        ),
        ("", "greedy = true, selection = { best_of = 2 }", "selection.best_of: candidates would be copies"),
    ];
    for (base, arm, expected) in cases {
        let message = strategy(base, arm).expect_err(expected);
        assert!(message.contains(expected), "{message}");
    }
    let ngram = BASE.replace("layers = 2\nwidth = 64\nheads = 4\ncontext = 32", "kind = \"ngram\"");
    let message = parse(&format!("{ngram}[synthesis]\ncontrastive_k = 4\n")).unwrap_err();
    assert!(message.contains("an n-gram has no hidden states"), "{message}");
    assert!(parse(&format!("{ngram}[synthesis]\nbeams = 4\n")).is_ok());
}

#[test]
fn every_published_name_is_accepted_and_is_what_its_paper_says() {
    for regime in &PUBLISHED_REGIMES {
        let arm = if regime.name == "control" { "control" } else { "other" };
        let text = BASE.replace("\"unanchored\"", &format!("\"{arm}\""));
        let experiment = parse(&text.replace("\"replace\"", &format!("\"{}\"", regime.name))).unwrap();
        assert_eq!(experiment.arms.last().unwrap().mixture, regime.mixture());
    }
    let spaced = parse(&BASE.replace("\"replace\"", "\"fresh data loop\"")).unwrap();
    assert_eq!(spaced.arms[1].mixture.natural, NaturalDocuments::Fresh);
    let of = |name: &str| PUBLISHED_REGIMES.iter().find(|regime| regime.name == name).unwrap().mixture();
    assert_eq!(of("replace").natural_fraction, NaturalFraction::Schedule(vec![0.0]));
    assert_eq!(of("fresh-data-loop").natural, NaturalDocuments::Fresh);
    assert_eq!(of("append-human-data").budget, Budget::Added);
    assert_eq!(of("accumulate").budget, Budget::Growing);
    assert_eq!(of("replace-multiple"), Mixture { budget: Budget::Growing, ..of("replace") });
    assert_eq!(of("repeat"), Mixture { budget: Budget::Repeated, ..of("anchored") });
}

#[test]
fn a_repeated_budget_needs_a_fixed_natural_part() {
    let of = |settings: &str| refusal("\"replace\"", &format!("{{ {settings}, budget = \"repeated\" }}"));
    assert!(
        of("natural_fraction = 0.0").contains("0 leaves no text that budget = \"repeated\" could repeat")
    );
    assert!(of("natural_fraction = [0.2, 0.0]").contains("0 leaves no text"));
    assert!(
        of("natural_fraction = \"proportional\"").contains("has no synthetic text; give a number above 0")
    );
    let fresh = of("natural_fraction = 0.1, natural = \"fresh\"");
    assert!(fresh.contains("mixture.natural: \"fresh\" documents are read once"), "{fresh}");
}

#[test]
fn a_limit_of_natural_text_is_recorded_only_where_it_is_given() {
    let limited = parse(&BASE.replace("heldout_tokens", "natural_tokens = 700\nheldout_tokens")).unwrap();
    assert_eq!(limited.corpus.natural_tokens, Some(Tokens(700)));
    assert_eq!(parse(&limited.to_toml()).unwrap(), limited);
    assert!(!parse(BASE).unwrap().to_toml().contains("natural_tokens"));
    let message = refusal("heldout_tokens", "natural_tokens = 0\nheldout_tokens");
    assert!(message.contains("corpus.natural_tokens: 0 is out of range"), "{message}");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_valid_key() {
    let message = refusal("heldout_tokens", "heldout_token");
    assert!(
        message.starts_with(
            "base.toml:9:1: corpus.heldout_token: unknown key \"heldout_token\"; the nearest valid key is \"heldout_tokens\""
        ),
        "{message}"
    );
}

#[test]
fn a_wrong_type_is_refused_with_its_place() {
    let message = refusal("train_tokens = 10_000", "train_tokens = \"many\"");
    assert!(
        message.starts_with(
            "base.toml:8:1: corpus.train_tokens: expected a whole number, found the string \"many\""
        ),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1);
}

#[test]
fn what_is_no_toml_is_refused_on_one_line() {
    let message = refusal("seeds = [1, 2]", "seeds = [1,");
    assert!(message.starts_with("base.toml:"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let cases = [
        (
            "mixture = \"replace\"",
            "mixture = { natural_fraction = 1.5 }",
            "natural_fraction: 1.5 is out of range; give a number from 0 to 1",
        ),
        (
            "mixture = \"replace\"",
            "mixture = { natural_fraction = [0.5, -0.1] }",
            "-0.1 is out of range; give a number from 0 to 1",
        ),
        (
            "mixture = \"replace\"",
            "mixture = { natural_fraction = nan }",
            "NaN is out of range; give a number from 0 to 1",
        ),
        ("mixture = \"replace\"", "mixture = \"replaces\"", "the nearest is \"replace\""),
        ("mixture = \"replace\"", "", "mixture: is missing"),
        ("name = \"base\"", "name = \"../base\"", "is not a valid folder name"),
        ("name = \"unanchored\"", "name = \"a/b\"", "is not a valid folder name"),
        ("name = \"unanchored\"", "name = \"gen-001\"", "reserved for generations"),
        ("name = \"unanchored\"", "name = \"control\"", "the control always trains on natural text only"),
        ("seeds = [1, 2]", "seeds = []", "seeds: the list is empty; give at least one seed"),
        ("seeds = [1, 2]", "seeds = [2, 2]", "seeds: 2 is given twice"),
        (
            "seeds = [1, 2]",
            "seeds = [1, 2]\nvary = [\"order\"]",
            "unknown value \"order\"; the valid values are initialisation, data, sampling",
        ),
        ("seeds = [1, 2]", "seeds = [1, 2]\nvary = []", "vary: all seeds would be the same; name"),
        (
            "generations = 3",
            "generations = 0",
            "generations: 0 is out of range; give a whole number from 1 to 1000",
        ),
        ("width = 64", "width = 60", "use a multiple of 8"),
        ("context = 32", "context = 33", "33 is odd"),
        ("context = 32", "context = 32\norder = 3", "model.order: has no effect with kind = \"transformer\""),
        (
            "[model]",
            "[tokenizer]\nvocab_size = 256\n[model]",
            "vocab_size: 256 is out of range; give a whole number from 257",
        ),
        (
            "[model]",
            "[training]\nlearning_rate = -1.0\n[model]",
            "training.learning_rate: -1 is out of range; give a number above 0",
        ),
        ("[model]", "[training]\ninit = \"base\"\n[model]", "training.base"),
        ("[model]", "[synthesis]\ntemperature = 0\n[model]", "set greedy = true"),
        (
            "[model]",
            "[synthesis]\ntop_p = 1.1\n[model]",
            "synthesis.top_p: 1.1 is out of range; give a number from 0.001 to 1",
        ),
        (
            "[model]",
            "[synthesis.selection]\nloss_band = [4.0, 1.0]\n[model]",
            "synthesis.selection.loss_band: [4, 1] is not a band",
        ),
        (
            "[model]",
            "[synthesis.selection]\nloss_band = [nan, 1.0]\n[model]",
            "synthesis.selection.loss_band: NaN is out of range; give a number of at least 0",
        ),
        (
            "[model]",
            "[synthesis.selection]\nmax_repetition = 1.1\n[model]",
            "synthesis.selection.max_repetition: 1.1 is out of range; give a number from 0 to 1",
        ),
        (
            "[model]",
            "[synthesis.selection]\nimportance = 0.5\n[model]",
            "synthesis.selection.importance: 0.5 is out of range; give a number from 1 to 64",
        ),
        (
            "[model]",
            "[synthesis.selection]\nbest_of = 1\n[model]",
            "synthesis.selection.best_of: 1 is out of range; give a whole number from 2 to 64",
        ),
        (
            "[model]",
            "[synthesis.selection]\nnear_duplicates = 0.0\n[model]",
            "synthesis.selection.near_duplicates: 0 is out of range; give a number from 0.1 to 1",
        ),
        ("[model]", "[synthesis.selection]\nbest = 4\n[model]", "the nearest valid key is \"best_of\""),
        ("source = \"world\"", "source = []", "corpus.source: the list is empty"),
        (
            "source = \"world\"",
            "source = \"world\"\nheldout_share = 0.7",
            "the sum with heldout_share must be below 1",
        ),
        (
            "train_tokens = 10_000",
            "train_tokens = 0",
            "corpus.train_tokens: 0 is out of range; give a whole number from 32 to",
        ),
    ];
    for (from, to, expected) in cases {
        let message = refusal(from, to);
        assert!(message.contains(expected), "{to:?} gave: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

fn precision(model: &ModelSettings) -> Option<&str> {
    model.table().get("precision")?.as_str()
}

#[test]
fn products_are_in_f32_unless_the_experiment_says_otherwise() {
    assert_eq!(precision(&parse(BASE).unwrap().model), Some("f32"));
    assert!(parse(BASE).unwrap().to_toml().contains("precision = \"f32\""));
    let set = |value: &str| config::parse(BASE, "base.toml", &[format!("model.precision={value}")]);
    assert_eq!(precision(&set("bf16").unwrap().model), Some("bf16"));
    let resolved = set("bf16").unwrap().to_toml();
    assert_eq!(parse(&resolved).unwrap(), set("bf16").unwrap());
    let lines = config::difference(&parse(BASE).unwrap().to_toml(), &resolved);
    assert!(lines.contains(&"model.precision: \"f32\" → \"bf16\"".to_owned()), "{lines:?}");
    let message = refusal("context = 32", "context = 32\nprecision = \"fp16\"");
    assert!(
        message.contains("unknown value \"fp16\"; the nearest valid value is \"bf16\" (of f32, bf16)"),
        "{message}"
    );
    let ngram = "layers = 2\nwidth = 64\nheads = 4\ncontext = 32";
    let message = refusal(ngram, "kind = \"ngram\"\nprecision = \"f32\"");
    assert!(
        message.contains("model.precision: has no effect with kind = \"ngram\"; leave it out"),
        "{message}"
    );
}

/// What an arm is willing to wait makes no other model of it, so a run may go on with another patience.
#[test]
fn an_arm_of_another_patience_shares_generation_0() {
    let arm =
        "\n[[arm]]\nname = \"patient\"\nmixture = \"replace\"\ntraining = { checkpoint_minutes = 60.0 }\n";
    let experiment = parse(&format!("{BASE}{arm}")).unwrap();
    assert!(experiment.shares_generation_0(&experiment.arms[2]));
    assert!(experiment.to_toml().contains("checkpoint_minutes = 60.0"));
}

#[test]
fn an_arm_of_another_precision_has_a_generation_0_of_its_own() {
    let arm = "\n[[arm]]\nname = \"rounded\"\nmixture = \"replace\"\nmodel = { precision = \"bf16\" }\n";
    let experiment = parse(&format!("{BASE}{arm}")).unwrap();
    let [control, unanchored, rounded] = experiment.arms.as_slice() else { panic!("three arms") };
    assert_eq!(precision(&rounded.model), Some("bf16"));
    assert!(experiment.shares_generation_0(control) && experiment.shares_generation_0(unanchored));
    assert!(!experiment.shares_generation_0(rounded));
    // An arm inherits it as it does the shape, and an n-gram has nothing to inherit it to.
    let counts = "\n[[arm]]\nname = \"counts\"\nmixture = \"replace\"\nmodel = { kind = \"ngram\" }\n";
    let text = format!("{BASE}{counts}").replace("context = 32", "context = 32\nprecision = \"bf16\"");
    let experiment = parse(&text).unwrap();
    assert_eq!(precision(&experiment.arms[1].model), Some("bf16"));
    assert_eq!(precision(&experiment.arms[2].model), None);
}

/// An arm's selection stands in the place of the experiment's: with an empty table it keeps everything.
#[test]
fn an_arm_selects_by_its_own_rules_or_by_those_of_the_experiment() {
    let arms = "[[arm]]\nname = \"own\"\nmixture = \"replace\"\nsynthesis = { selection = { best_of = 4 } }\n\
                [[arm]]\nname = \"everything\"\nmixture = \"replace\"\nsynthesis = { selection = {} }\n";
    let text = format!("{BASE}\n{arms}\n[synthesis.selection]\nloss_band = [1, inf]\nmax_repetition = 0.3\n");
    let experiment = parse(&text).unwrap();
    let rules = |toml: &str| SelectionRules::builtin().read(toml.parse().unwrap()).unwrap();
    let base = rules("loss_band = [1, inf]\nmax_repetition = 0.3");
    let own = rules("best_of = 4");
    let selections = experiment.arms.iter().map(|arm| (arm.name.as_str(), arm.synthesis.selection.clone()));
    let expected = [
        ("control", base.clone()),
        ("unanchored", base.clone()),
        ("own", own),
        ("everything", Selection::default()),
    ];
    assert_eq!(selections.collect::<Vec<_>>(), expected);
    assert_eq!(parse(&experiment.to_toml()).unwrap(), experiment);
    assert!(!experiment.shares_generation_0(&experiment.arms[3]));
}

/// `[writer]` says what generation 0 of every arm is; arms are as they say from generation 1 on.
#[test]
fn a_writer_is_generation_0_of_every_arm() {
    let own = "\n[[arm]]\nname = \"own\"\nmixture = \"replace\"\ntraining = { batch = 2 }\n";
    let writer = "\n[writer]\nmodel = { width = 32 }\nsynthesis = { temperature = 0.5 }\n";
    let experiment = parse(&format!("{BASE}{own}{writer}")).unwrap();
    for arm in &experiment.arms {
        assert!(experiment.shares_generation_0(arm));
        let (first, later) = (experiment.at(arm, 0), experiment.at(arm, 1));
        assert_eq!(*later, *arm);
        assert_eq!((&first.name, &first.mixture), (&arm.name, &arm.mixture));
        assert_eq!(first.training, experiment.training);
        assert_eq!(first.model.table()["width"].as_integer(), Some(32));
        assert_ne!(first.synthesis, arm.synthesis);
    }
    assert_eq!(parse(&experiment.to_toml()).unwrap(), experiment);
    let tokens = parse(&format!("{BASE}\n[writer]\nsynthesis = {{ tokens = 500 }}\n")).unwrap_err();
    assert!(
        tokens.contains("writer.synthesis.tokens") && tokens.contains("set synthesis.tokens"),
        "{tokens}"
    );
    let chained = "\n[[arm]]\nname = \"own\"\nmixture = \"replace\"\ntraining = { init = \"chained\" }\n";
    let chained = parse(&format!("{BASE}{chained}{writer}")).unwrap_err();
    assert!(chained.contains("arm \"own\": training.init") && chained.contains("[writer]"), "{chained}");
}

/// Measurements use at most what every arm writes, which is also the default.
#[test]
fn measured_tokens_are_what_every_arm_has() {
    let arm =
        "\n[[arm]]\nname = \"little\"\nmixture = { natural_fraction = 0.9 }\nsynthesis = { tokens = 400 }\n";
    let text = format!("{BASE}{arm}");
    assert_eq!(parse(&text).unwrap().measured_tokens, Tokens(400));
    let given = |tokens: u64| parse(&format!("measured_tokens = {tokens}\n{text}"));
    assert_eq!(given(100).unwrap().measured_tokens, Tokens(100));
    let refused = given(401).unwrap_err();
    assert!(refused.contains("measured_tokens: 401 is more than the 400"), "{refused}");
}

#[test]
fn two_arms_of_one_name_are_refused() {
    let text = format!("{BASE}\n[[arm]]\nname = \"unanchored\"\nmixture = \"accumulate\"\n");
    assert!(parse(&text).unwrap_err().contains("two arms are named \"unanchored\""));
}

#[test]
fn settings_on_the_command_line_change_the_experiment_and_are_refused_by_name() {
    let set = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
        config::parse(BASE, "base.toml", &settings).map_err(|error| error.to_string())
    };
    let changed =
        set(&["corpus.source=[\"a.txt\"]", "arm.unanchored.mixture.natural_fraction=0.2", "name=other"]);
    // The arm's mixture is a name; a key below it cannot be set.
    assert!(changed.unwrap_err().contains("set it as a whole: mixture = { natural_fraction = 0.2 }"));
    let changed =
        set(&["generations=7", "name=other", "arm.unanchored.mixture={natural_fraction=0.2}"]).unwrap();
    assert_eq!((changed.generations, changed.name.as_str()), (7, "other"));
    assert_eq!(changed.arms[1].mixture.natural_fraction, NaturalFraction::Schedule(vec![0.2]));
    assert!(set(&["generation=7"]).unwrap_err().contains(
        "--set generation=7: generation: unknown key \"generation\"; the nearest valid key is \"generations\""
    ));
    assert!(set(&["generations"]).unwrap_err().contains("expected key.path=value"));
    assert!(set(&["arm.none.mixture=\"replace\""]).unwrap_err().contains("there is no arm \"none\""));
}

#[test]
fn another_kind_on_the_command_line_keeps_nothing_of_the_kind_in_the_file_but_all_other_settings_given() {
    let set = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
        config::parse(BASE, "base.toml", &settings).map_err(|error| error.to_string())
    };
    let changed = set(&["model.order=2", "model.kind=ngram"]).unwrap();
    assert_eq!((changed.model.name(), changed.model.order()), ("ngram", Some(2)));
    assert_eq!(changed.arms[1].model.name(), "ngram");
    let of_arm = set(&["arm.unanchored.model.kind=ngram"]).unwrap();
    assert_eq!((of_arm.model.name(), of_arm.arms[1].model.name()), ("transformer", "ngram"));
    let method =
        set(&["synthesis.method=continuation", "synthesis.prefix_tokens=4", "synthesis.method=textbook"]);
    assert!(method.unwrap_err().contains("prefix_tokens: has no effect with method = \"textbook\""));
    let kept = set(&["synthesis.temperature=0.5", "synthesis.method=continuation"]).unwrap();
    assert!(kept.to_toml().contains("temperature = 0.5"));
}

#[test]
fn a_wrong_value_is_told_all_that_is_possible() {
    let mixture = |value: &str| refusal("\"replace\"", &format!("{{ natural_fraction = {value} }}"));
    assert!(mixture("\"0.5\"").ends_with(
        "unknown value \"0.5\"; the valid values are proportional; also a number or a list, without quotes"
    ), "{}", mixture("\"0.5\""));
    let oracle = refusal("[model]", "[synthesis]\nmethod = \"oracle\"\nknowledge = \"some\"\n[model]");
    assert!(oracle.contains("all, train, popular; also a number, without quotes"), "{oracle}");
    let arm = refusal(
        "mixture = \"replace\"",
        "mixture = \"replace\"\nsynthesis = { method = \"token-edit\" }\n[synthesis]\nbeams = 4",
    );
    assert!(arm.contains("or set temperature = 1.0 beside the method"), "{arm}");
    for (from, to) in [("layers = 2", "kind = 3"), ("[corpus]", "tokenizer = 3\n[corpus]")] {
        assert!(refusal(from, to).contains("found the number 3"), "{}", refusal(from, to));
    }
}

/// The experiment files in configs/, with their names.
fn configs() -> Vec<std::path::PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect()
}

#[test]
fn every_experiment_in_configs_is_valid_and_named_like_its_file() {
    assert!(configs().len() >= 3);
    for path in configs() {
        let name = match config::load_sweep(&path, &[]).unwrap_or_else(|error| panic!("{error}")) {
            Some(sweep) => sweep.name,
            None => config::load(&path, &[]).unwrap_or_else(|error| panic!("{error}")).name,
        };
        assert_eq!(path.file_stem().unwrap().to_string_lossy(), name);
    }
}

/// By an implementation of JSON Schema that is not ours.
#[test]
fn every_experiment_in_configs_names_the_schema_and_validates_against_it() {
    let validator = jsonschema::validator_for(&config::Registry::builtin().schema()).unwrap();
    for path in configs() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#:schema ./schema.json\n"), "{}", path.display());
        let file: toml::Table = text.parse().unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&serde_json::to_value(file).unwrap())
            .map(|error| format!("{}: {error}", error.instance_path))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
    }
}

#[test]
fn the_schema_has_the_ranges_and_choices_that_the_program_checks() {
    let validator = jsonschema::validator_for(&config::Registry::builtin().schema()).unwrap();
    let is_valid = |text: &str| {
        let file: toml::Table = text.parse().unwrap();
        validator.is_valid(&serde_json::to_value(file).unwrap())
    };
    assert!(is_valid(BASE));
    for (from, to) in [
        ("generations = 3", "generations = 0"),
        ("name = \"base\"", "name = \"a/b\""),
        ("name = \"unanchored\"", "name = \".hidden\""),
        ("seeds = [1, 2]", "seeds = [1, 1]"),
        ("seeds = [1, 2]", "seeds = [-1]"),
        ("width = 64", "width = 1"),
        ("width = 64", "widht = 64"),
        ("\"replace\"", "\"replaces\""),
        ("\"replace\"", "{ natural_fraction = 1.5 }"),
        ("[model]", "[synthesis]\nmethod = \"rephrases\"\n[model]"),
        ("[model]", "[synthesis]\ntop_p = 0\n[model]"),
        ("[model]", "[synthesis.selection]\nbest_of = 1\n[model]"),
        ("[model]", "[training]\nbeta1 = 1.0\n[model]"),
    ] {
        let text = BASE.replace(from, to);
        assert!(!is_valid(&text) && parse(&text).is_err(), "{to}");
    }
    assert!(!is_valid(&BASE.replace("base", &"b".repeat(101))));
    assert!(!config::Registry::builtin().schema().to_string().contains("\"null\""));
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let experiment = parse(&BASE.replace("train_tokens = 10_000", "train_tokens = 1e4")).unwrap();
    assert_eq!(experiment, parse(BASE).unwrap());
    let message = refusal("train_tokens = 10_000", "train_tokens = 1.5");
    assert!(message.contains("expected a whole number, found the number 1.5"), "{message}");
    let message = refusal("seeds = [1, 2]", "seeds = [9007199254740993.0]");
    assert!(message.contains("too large to be exact; write its digits"), "{message}");
}

/// Names and numbers that earlier versions allowed.
#[test]
fn a_recorded_file_may_hold_what_a_new_one_may_not() {
    let old = BASE
        .replace("\"unanchored\"", "\"NA\"")
        .replace("[model]", "[training]\nbeta2 = 0.0\n[synthesis]\ntemperature = 1e300\n[model]");
    assert!(parse(&old).is_err());
    let recorded = config::parse_recorded(&old, "experiment.toml").unwrap();
    assert_eq!((recorded.arms[1].name.as_str(), recorded.training.beta2), ("NA", 0.0));
    assert_eq!(config::parse_recorded(&recorded.to_toml(), "experiment.toml").unwrap(), recorded);
}

#[test]
fn an_arm_may_turn_from_a_search_to_sampling_with_a_repetition_penalty() {
    let arm = "synthesis = { repetition_penalty = 1.2 }\n[synthesis]\nbeams = 4\n";
    let experiment = parse(&format!("{BASE}{arm}")).unwrap();
    let expected = SamplingSettings { repetition_penalty: 1.2, ..SamplingSettings::PLAIN };
    assert_eq!(experiment.arms[1].synthesis.decoding, DecodingStrategy::TokenByToken(expected));
    assert!(matches!(experiment.synthesis.decoding, DecodingStrategy::Beam(_)));
}

#[test]
fn a_default_beside_any_decoder_is_accepted_as_a_whole_number_or_not() {
    for decoder in ["greedy = true", "beams = 4", "contrastive_k = 4"] {
        for default in ["temperature = 1", "temperature = 1.0"] {
            parse(&format!("{BASE}[synthesis]\n{decoder}\n{default}\n")).unwrap();
        }
        let refused = parse(&format!("{BASE}[synthesis]\n{decoder}\ntemperature = 2\n")).unwrap_err();
        assert!(refused.contains("does not use it"), "{refused}");
    }
}

#[test]
fn a_command_has_a_decoder_of_its_own() {
    let external = "method = \"external\"\ncommand = [\"cat\"]";
    let refused = parse(&format!("{BASE}[synthesis]\n{external}\ntemperature = 0.5\n")).unwrap_err();
    assert!(refused.contains("synthesis.temperature: has no effect with method = \"external\""), "{refused}");
    // An arm that turns to a command leaves the experiment's decoder behind.
    let arm = "synthesis = { method = \"external\", command = [\"cat\"] }\n[synthesis]\ntemperature = 0.5\n";
    let experiment = parse(&format!("{BASE}{arm}")).unwrap();
    assert_eq!(experiment.arms[1].synthesis.decoding, DecodingStrategy::PLAIN);
}

#[test]
fn an_oracle_needs_the_built_in_world_wherever_it_is_chosen() {
    let files = BASE.replace("source = \"world\"", "source = [\"data/*.txt\"]");
    for (table, place) in [
        ("[synthesis]\nmethod = \"oracle\"\n", "synthesis.method"),
        ("[writer]\nsynthesis = { method = \"oracle\" }\n", "writer.synthesis.method"),
        ("synthesis = { method = \"oracle\" }\n", "arm \"unanchored\": synthesis.method"),
    ] {
        parse(&format!("{BASE}{table}")).unwrap();
        let refused = parse(&format!("{files}{table}")).unwrap_err();
        assert!(
            refused.contains(&format!("{place}: \"oracle\" writes in the language of the built-in")),
            "{refused}"
        );
        assert!(refused.contains("set corpus.source = \"world\""), "{refused}");
    }
}

#[test]
fn settings_of_an_oracle_that_have_no_effect_or_no_meaning_are_refused() {
    let with = |settings: &str| parse(&format!("{BASE}synthesis = {{ method = \"oracle\", {settings} }}\n"));
    for (settings, expected) in [
        ("oracle = \"textbook\", reads = \"natural\"", "reads: has no effect with oracle = \"textbook\""),
        ("temperature = 0.5", "temperature: has no effect with method = \"oracle\""),
        ("beams = 2", "beams: has no effect with method = \"oracle\""),
        ("knowledge = 0", "knowledge: 0 is out of range; give a number above 0 and at most 1"),
        ("knowledge = 1.5", "knowledge: 1.5 is out of range"),
        (
            "knowledge = \"popula\"",
            "knowledge: unknown value \"popula\"; the nearest valid value is \"popular\"",
        ),
        ("knowledge = true", "knowledge: expected "),
        ("error = 1.1", "error: 1.1 is out of range; give a number from 0 to 1"),
        ("oracle = \"rephrases\"", "the nearest valid value is \"rephrase\""),
        ("fidelity = 0.5", "fidelity: has no effect with method = \"oracle\""),
    ] {
        let refused = with(settings).expect_err(settings);
        assert!(refused.contains(expected), "{settings}: {refused}");
    }
    let refused = parse(&format!("{BASE}synthesis = {{ error = 0.1 }}\n")).unwrap_err();
    assert!(refused.contains("error: has no effect with method = \"textbook\""), "{refused}");
    let accepted = |settings: &str| with(settings).unwrap().arms[1].synthesis.method.table().to_string();
    assert_eq!(
        accepted("knowledge = 1"),
        "method = \"oracle\"\noracle = \"rephrase\"\nknowledge = 1.0\nerror = 0.0\nreads = \"natural\"\n"
    );
    assert_eq!(
        accepted("oracle = \"textbook\", error = 1"),
        "method = \"oracle\"\noracle = \"textbook\"\nknowledge = \"all\"\nerror = 1.0\n"
    );
}

#[test]
fn an_arm_with_another_oracle_inherits_what_that_uses() {
    let arms = "synthesis = { oracle = \"textbook\" }\n[[arm]]\nname = \"model\"\nmixture = \"replace\"\n\
        synthesis = { method = \"textbook\" }\n\
        [synthesis]\nmethod = \"oracle\"\nreads = \"previous\"\nknowledge = \"train\"\n";
    let experiment = parse(&format!("{BASE}{arms}")).unwrap();
    let table = |arm: usize| experiment.arms[arm].synthesis.method.table();
    assert_eq!(table(0)["reads"].as_str(), Some("previous"));
    assert_eq!(table(1)["knowledge"].as_str(), Some("train"));
    assert!(!table(1).contains_key("reads"));
    assert_eq!(experiment.arms[2].synthesis.method.name(), "textbook");
    // An arm that turns to an oracle leaves the experiment's decoder behind.
    let arm = "synthesis = { method = \"oracle\" }\n[synthesis]\ntemperature = 0.5\n";
    let experiment = parse(&format!("{BASE}{arm}")).unwrap();
    assert_eq!(experiment.arms[1].synthesis.decoding, DecodingStrategy::PLAIN);
}

#[test]
fn errors_name_what_the_user_wrote_where_it_is_and_what_is_possible() {
    let cases = [
        ("name = \"base\"\n", "", "base.toml: name: is missing"),
        (
            "train_tokens = 10_000",
            "train_tokens = 1e12",
            "base.toml:8:1: corpus.train_tokens: 1000000000000 is out of range",
        ),
        (
            "[[arm]]",
            "[synthesis]\nseed = 1\n[[arm]]",
            "synthesis.seed: expected \"nothing\" or \"keywords\", found the number 1",
        ),
        ("layers = 2", "zzz = 2", "unknown key \"zzz\"; the valid keys are "),
        ("layers = 2", "layer = 2", "the nearest valid key is \"layers\""),
        ("layers = 2", "kind = \"gpt\"", "unknown value \"gpt\"; the valid values are transformer, ngram"),
    ];
    for (from, to, expected) in cases {
        let refused = refusal(from, to);
        assert!(refused.contains(expected), "{refused}");
    }
    let grid = format!("{BASE}[grid]\nmodel.order = 3\n");
    let refused = config::parse_sweep(&grid, "base.toml", &[]).unwrap_err().to_string();
    assert!(refused.starts_with("base.toml:22:7: grid.model.order: "), "{refused}");
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_the_right_one() {
    let cases = [
        ("generations = 3", "generations = 3\ntemperature = 0.5", "it belongs in [synthesis]"),
        ("generations = 3", "generations = 3\ntrain_tokens = 5000", "it belongs in [corpus]"),
        ("layers = 2", "temperature = 0.5", "it belongs in [synthesis]"),
        ("[[arm]]", "[[arm]]\nnatural_fraction = 0.5", "it belongs in the mixture of an arm"),
        ("[[arm]]", "[synthesis]\nbest_of = 2\n[[arm]]", "it belongs in [synthesis.selection]"),
        ("[[arm]]", "[[arm]]\nseeds = [1]", "it belongs in the first lines of the file"),
    ];
    for (from, to, expected) in cases {
        let refused = refusal(from, to);
        assert!(refused.contains(expected), "{refused}");
    }
}

/// `measured_tokens` is the smallest `synthesis.tokens` of an arm, which is `corpus.train_tokens` if left out.
#[test]
fn a_number_out_of_range_is_blamed_on_the_setting_that_was_written() {
    let refused = refusal("train_tokens = 10_000", "train_tokens = 5");
    assert!(refused.starts_with("base.toml:8:1: corpus.train_tokens: 5 is out of range"), "{refused}");
    let refused = refusal("[[arm]]", "[synthesis]\ntokens = 10\n[[arm]]");
    assert!(refused.contains(": synthesis.tokens: 10 is out of range"), "{refused}");
}

#[test]
fn a_key_that_is_given_twice_is_named() {
    let refused = refusal("generations = 3", "generations = 3\ngenerations = 4");
    assert!(refused.contains("duplicate key \"generations\""), "{refused}");
}

#[test]
fn a_setting_of_the_control_can_be_given_although_the_file_does_not_name_it() {
    let set = |setting: &str| config::parse(BASE, "base.toml", &[setting.to_owned()]);
    let changed = set("arm.control.synthesis.temperature=0.5").unwrap();
    assert_eq!(changed.arms[0].synthesis.decoding.table()["temperature"].as_float(), Some(0.5));
    let error = set("arm.unachored.synthesis.temperature=0.5").unwrap_err().to_string();
    assert!(error.contains("there is no arm \"unachored\"; the nearest is \"unanchored\""), "{error}");
}

#[test]
fn a_number_that_is_too_large_for_toml_is_called_that() {
    for number in ["9223372036854775808", "99999999999999999999"] {
        let in_file = refusal("seeds = [1, 2]", &format!("seeds = [{number}]"));
        for setting in [format!("seeds=[{number}]"), format!("generations={number}")] {
            let refused =
                config::parse(BASE, "base.toml", std::slice::from_ref(&setting)).unwrap_err().to_string();
            for error in [&refused, &in_file] {
                assert!(error.contains("whole numbers go up to 9223372036854775807"), "{setting}: {error}");
            }
        }
    }
    let text = config::parse(BASE, "base.toml", &["corpus.source=a+b.txt".to_owned()]).unwrap();
    assert_eq!(text.corpus.source, genloss::corpus::CorpusSource::Files(vec!["a+b.txt".to_owned()]));
}

/// An n-gram model has no initial weights, and neither has one that starts from a folder. A single seed needs no second
/// that differs.
#[test]
fn seeds_must_differ_in_something_that_is_drawn() {
    let vary = |seeds: &str| format!("seeds = {seeds}\nvary = [\"initialisation\"]");
    let ngram = BASE.replace("layers = 2\nwidth = 64\nheads = 4\ncontext = 32", "kind = \"ngram\"");
    let based = BASE.replace("[model]", "[training]\ninit = \"base\"\nbase = \"folder\"\n[model]");
    for text in [ngram, based] {
        let error = parse(&text.replace("seeds = [1, 2]", &vary("[1, 2]"))).unwrap_err();
        assert!(error.contains("vary: no model here starts from random weights"), "{error}");
        assert!(parse(&text.replace("seeds = [1, 2]", &vary("[1]"))).is_ok());
    }
    assert!(parse(&BASE.replace("seeds = [1, 2]", &vary("[1, 2]"))).is_ok());
}

#[test]
fn low_rank_updates_need_weights_to_adapt() {
    let with = |training: &str| parse(&format!("{BASE}[training]\n{training}\n"));
    for training in ["lora = {}", "init = \"chained\"\nlora = { rank = 4 }"] {
        let error = with(training).unwrap_err();
        assert!(error.contains("training.lora: has no weights to adapt; set base"), "{error}");
    }
    let nothing = with("init = \"base\"\nbase = \"x\"\nlora = { rank = 4, alpha = 1e-300 }").unwrap_err();
    assert!(
        nothing.contains("training.lora.alpha") && nothing.contains("smaller updates change nothing"),
        "{nothing}"
    );
    let unknown = with("init = \"base\"\nbase = \"x\"\nlora = { ranks = 4 }").unwrap_err();
    assert!(unknown.contains("ranks"), "{unknown}");
    let zero = with("init = \"base\"\nbase = \"x\"\nlora = { rank = 0 }").unwrap_err();
    assert!(zero.contains("training.lora.rank") && zero.contains("1"), "{zero}");
    let lora = "init = \"chained\"\nbase = \"x\"\nlora = { rank = 4, alpha = 8, targets = [\"q_proj\"] }";
    let experiment = with(lora).unwrap();
    let resolved = config::parse(&experiment.to_toml(), "resolved.toml", &[]).unwrap();
    assert_eq!(resolved, experiment);
    assert_eq!(experiment.arms[1].training.lora.as_ref().unwrap().rank, 4);
}

/// An arm that starts from other weights says itself how it adapts them.
#[test]
fn an_arm_with_its_own_start_does_not_inherit_low_rank_updates() {
    let text = format!(
        "{BASE}training = {{ init = \"scratch\" }}\n[training]\ninit = \"base\"\nbase = \"x\"\nlora = {{}}\n"
    );
    let experiment = parse(&text).unwrap();
    assert!(experiment.control().training.lora.is_some());
    assert!(experiment.arms[1].training.lora.is_none());
}

/// The two arms write with another temperature and by another method; the number of tokens changes no text.
#[test]
fn arms_that_write_under_other_settings_than_the_control_are_named() {
    let arm = |name: &str, synthesis: &str| {
        format!("[[arm]]\nname = \"{name}\"\nmixture = \"replace\"\nsynthesis = {{ {synthesis} }}\n")
    };
    let alike = arm("longer", "tokens = 5000");
    let note = |arms: &str| parse(&format!("{BASE}{arms}")).unwrap().written_unlike_control();
    assert_eq!(note(&alike), None);
    let unlike =
        [alike, arm("cool", "temperature = 0.5"), arm("continued", "method = \"continuation\"")].concat();
    let note = note(&unlike).unwrap();
    assert!(
        note.starts_with(
            "arms \"cool\", \"continued\" write under other settings than the control (synthesis.method, \
             synthesis.temperature), so part"
        ),
        "{note}"
    );
    assert!(note.contains("at generation 0 already"), "{note}");
}
