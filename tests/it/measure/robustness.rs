//! Degenerate, empty and mismatched inputs; threads and interrupts.

use super::*;

#[test]
fn degenerate_text_yields_finite_numbers_or_none() {
    let source = Source::zipf(300, 1.0);
    let natural = source.write(5_000, &mut stream(40));
    let one_type = [5; 40];
    let degenerate: [(&str, Vec<&[TokenId]>); 8] = [
        ("no text", vec![]),
        ("an empty document", vec![&[]]),
        ("one token", vec![&[3]]),
        ("two tokens", vec![&[3, 4]]),
        ("one document", vec![&one_type[..]]),
        ("a single type", vec![&one_type[..], &one_type[..7], &one_type[..1]]),
        ("documents of the end token only", vec![&[END]; 50]),
        ("types that the reference lacks", vec![&[900, 901, 902, 903, 904], &[905, 906], &[907]]),
    ];
    for (natural_name, natural) in
        [("natural", natural.clone()), ("no reference", Documents::new()), ("one", natural.prefix(Tokens(9)))]
    {
        for heldout in [natural.clone(), Documents::new(), natural.prefix(Tokens(1))] {
            let world = World::new(&natural, &heldout);
            for (name, documents) in &degenerate {
                let synthetic: Documents = documents.iter().copied().collect();
                let measured = world.measure(&synthetic);
                for m in &measured.measurements {
                    let finite = m.value.is_finite() && m.std_err.is_finite() && m.std_err >= 0.0;
                    assert!(finite, "{name}, {natural_name}: {m:?}");
                }
                let json = serde_json::to_string(&measured.curves).expect("curves are plain data");
                assert!(!json.contains("null"), "{name}, {natural_name}: {json}");
            }
        }
    }
}

/// Checks that every metric has either a value or a reason why it has none.
#[track_caller]
fn assert_accounted_for(measured: &Measured) {
    // Without held-out text a group of writers cannot be told from a single one.
    for metric in Catalogue::builtin().iter().filter(|metric| metric.id != "writer_disagreement") {
        let (value, reason) = (measured.get(&metric.id), measured.missing.get(&*metric.id));
        assert!(value.is_some() != reason.is_some(), "{}: {value:?}, {reason:?}", metric.id);
    }
}

/// No synthetic text, and text of one or of two tokens, of documents of one token each, of one document, of equal
/// documents.
#[test]
fn a_metric_has_a_value_or_a_reason_why_it_has_none() {
    let natural = Source::zipf(300, 1.0).write(5_000, &mut stream(44));
    let one_document: Documents = [natural.flat()].into_iter().collect();
    let texts: [Vec<&[TokenId]>; 7] = [
        vec![],
        vec![&[3]],
        vec![&[3, 4]],
        vec![&[3]; 40],
        vec![&[5; 40]],
        vec![&[3, 4, 5, END]; 500],
        vec![natural.flat()],
    ];
    for natural in [&natural, &one_document, &Documents::new()] {
        let world = World::new(natural, natural);
        for text in &texts {
            let measured = world.measure(&text.iter().copied().collect());
            assert_accounted_for(&measured);
            for m in &measured.measurements {
                assert!(m.value.is_finite() && m.std_err.is_finite() && m.n > 0, "{m:?}");
            }
        }
    }
}

#[test]
fn equal_documents_have_no_spread_and_no_repetition_across_documents() {
    let natural = Source::zipf(300, 1.0).write(5_000, &mut stream(45));
    let measured =
        World::new(&natural, &natural).measure(&vec![&[3, 4, 5, END][..]; 500].into_iter().collect());
    let repetition = measured.get("repetition").expect("measured");
    assert_eq!((repetition.value, repetition.std_err), (0.0, 0.0));
    assert!((measured.value("hill_0") - 4.0).abs() < 1e-12);
    // Three quarters of the words in natural text of 2000 tokens would be compared, and there are 1500.
    assert!(measured.get("hill_0_words").is_some());
}

/// The reference has one word in a hundred tokens, so 15 of 2000 tokens would be compared. The other reference has
/// enough, but the text has 30 of 1125.
#[test]
fn too_few_words_are_not_compared() {
    let tokens: Documents = vec![&[1, 2, 3, END][..]; 500].into_iter().collect();
    let no_words = vec!["… !".to_owned(); 500];
    let few: Vec<String> = (0..500).map(|i| if i % 25 == 0 { "word" } else { "… !" }.to_owned()).collect();
    let scores = Scores { log_probabilities: vec![], ..Scores::default() };
    let reason = |reference_texts: &[String], synthetic_texts: &[String]| {
        let reference = Reference::new(&tokens, reference_texts, &Documents::new(), &[]).unwrap();
        let inputs = Inputs {
            reference: &reference,
            synthetic: &tokens,
            synthetic_texts,
            heldout_scores: &scores,
            synthetic_scores_0: None,
            own_text_scores: None,
            natural_training: None,
            heldout_floor: None,
            facts: &[],
        };
        let measured = staged(|stage| measure(&inputs, &Metrics::builtin(), stage)).unwrap();
        assert!(measured.measurements.iter().all(|m| !m.metric.ends_with("_words")));
        assert!(measured.curves.rank_frequency_words.is_empty());
        assert!(!measured.missing.contains_key("excess_loss"), "no one expects it");
        measured.missing["tail_mass_words"].clone()
    };
    let (full, few_reason) = (texts_of(&tokens), "the text has only 20 of the 1125 words that are compared");
    assert_eq!(reason(&full, &few), few_reason);
    assert_eq!(reason(&few, &few), "15 words would be compared, as natural text has hardly any");
    assert_eq!(reason(&no_words, &full), "0 words would be compared, as natural text has hardly any");
}

/// Token 7 is the only rare one, in one held-out document: nothing shows how its loss varies between documents.
#[test]
fn a_class_of_tokens_in_a_single_document_has_no_loss() {
    let common = [1; 199];
    let rare = [&[1; 198][..], &[7]].concat();
    let natural: Documents = vec![&common[..]; 4].into_iter().chain([&rare[..]]).collect();
    let measured = World::new(&natural, &natural).measure(&natural);
    assert_eq!(measured.missing["heldout_loss_tail"], "fewer than two held-out documents have such tokens");
    assert!(measured.get("heldout_loss").is_some());
}

/// With training documents of three tokens every 4-gram would count as new.
#[test]
fn novelty_needs_four_grams_in_the_training_text() {
    let natural: Documents = vec![&[1, 2, END][..]; 500].into_iter().collect();
    let synthetic: Documents = vec![&[1, 2, 1, 2, END][..]; 100].into_iter().collect();
    let measured = World::new(&natural, &natural).measure(&synthetic);
    assert_eq!(measured.missing["novelty_4"], "no natural training document has four tokens");
}

#[test]
fn a_reference_of_one_document_has_no_survival_curve() {
    let natural = Source::zipf(300, 1.0).write(5_000, &mut stream(46));
    let one: Documents = [natural.flat()].into_iter().collect();
    let measured = World::new(&one, &natural).measure(&natural);
    assert!(measured.curves.survival.is_empty());
    assert!(measured.missing.contains_key("tail_coverage"));
}

#[test]
fn empty_text_has_no_measurements_of_its_own() {
    let natural = Source::zipf(300, 1.0).write(5_000, &mut stream(41));
    let measured = World::new(&natural, &natural).measure(&Documents::new());
    for m in &measured.measurements {
        assert!(definition(&m.metric).on_fixed_text, "{m:?}");
    }
}

#[test]
fn text_of_replacement_characters_has_tokens_but_no_words() {
    let natural = Source::zipf(300, 1.0).write(5_000, &mut stream(42));
    let synthetic: Documents = vec![&[7, 8, 9, END][..]; 20].into_iter().collect();
    let texts = vec!["\u{fffd}\u{fffd} \u{fffd}".to_owned(); 20];
    let measured = World::new(&natural, &natural).measure_texts(&synthetic, &texts);
    assert!(measured.measurements.iter().all(|m| m.value.is_finite() && !m.metric.ends_with("_words")));
    assert!((measured.value("hill_0") - 4.0).abs() < 1e-12);
    assert!(measured.value("compression_ratio") > 1.0);
}

/// JSON cannot represent infinity, so the losses of a text with a token of probability 0 are left out.
#[test]
fn an_infinite_loss_is_left_out() {
    let natural = Source::zipf(300, 1.0).write(5_000, &mut stream(43));
    let mut world = World::new(&natural, &natural);
    world.scores.log_probabilities[17] = f32::NEG_INFINITY;
    let measured = world.measure(&natural);
    assert!(measured.get("heldout_loss").is_none());
    assert_eq!(
        measured.missing["heldout_loss"],
        "the model gives a held-out token no finite log-probability"
    );
    assert!(measured.get("predictive_entropy").is_some());
}

#[test]
fn the_number_of_threads_does_not_change_the_results() {
    let source = Source::zipf(2000, 1.0);
    let world = world_of(&source, 50);
    let text = source.write(20_000, &mut stream(51));
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        pool.install(|| world.measure(&text))
    };
    let (one, three) = (with(1), with(3));
    assert_eq!(one.measurements, three.measurements);
    assert_eq!(one.curves, three.curves);
}

/// The budget is three quarters of the words in n tokens of reference text. Here every token but the end of a document is
/// a word.
#[test]
fn words_are_counted_up_to_a_budget_that_depends_on_the_reference() {
    let natural: Documents = vec![&[1, 2, 3, END][..]; 1000].into_iter().collect();
    let synthetic: Documents = vec![&[4, 5, 6, 7, 8, 9, 1, END][..]; 250].into_iter().collect();
    let measured = World::new(&natural, &natural).measure(&synthetic);
    // 2000 tokens · ¾ word per token · ¾.
    assert_eq!(measured.get("hill_0_words").map(|m| m.n), Some(1125));
    // Text with fewer words per token does not reach the budget, and `n` shows it.
    let texts: Vec<String> = vec!["w1 w2 w3".to_owned(); 250];
    let measured = World::new(&natural, &natural).measure_texts(&synthetic, &texts);
    assert_eq!(measured.get("hill_0_words").map(|m| m.n), Some(750));
}

#[test]
fn inputs_of_different_sizes_are_an_error() {
    let natural = Source::zipf(300, 1.0).write(1_000, &mut stream(60));
    let world = World::new(&natural, &natural);
    let short = Scores { log_probabilities: vec![-1.0], entropies: vec![1.0], ..Scores::default() };
    let texts = texts_of(&natural);
    let matching = Inputs {
        reference: &world.reference,
        synthetic: &natural,
        synthetic_texts: &texts,
        heldout_scores: &world.scores,
        synthetic_scores_0: None,
        own_text_scores: None,
        natural_training: None,
        heldout_floor: None,
        facts: &[],
    };
    for inputs in [
        Inputs { heldout_scores: &short, ..matching },
        Inputs { synthetic_scores_0: Some(&short), ..matching },
        Inputs { own_text_scores: Some(&short), ..matching },
        Inputs { synthetic_texts: &texts[1..], ..matching },
    ] {
        let error = staged(|stage| measure(&inputs, &Metrics::builtin(), stage)).expect_err("sizes differ");
        assert!(matches!(error, MeasureError::Mismatch { .. }), "{error}");
    }
    assert!(Reference::new(&natural, &texts[1..], &natural, &texts).is_err());
}

#[test]
fn measuring_stops_when_interrupted() {
    let natural = Source::zipf(300, 1.0).write(1_000, &mut stream(61));
    let world = World::new(&natural, &natural);
    let texts = texts_of(&natural);
    let inputs = Inputs {
        reference: &world.reference,
        synthetic: &natural,
        synthetic_texts: &texts,
        heldout_scores: &world.scores,
        synthetic_scores_0: None,
        own_text_scores: None,
        natural_training: None,
        heldout_floor: None,
        facts: &[],
    };
    let interrupt = AtomicBool::new(true);
    let stage = Stage::new(StreamKey::new(1, "test", 0, "measure"), &Silent, &interrupt);
    assert!(matches!(measure(&inputs, &Metrics::builtin(), &stage), Err(MeasureError::Interrupted)));
}
