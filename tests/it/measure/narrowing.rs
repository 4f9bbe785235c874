//! The direction of every metric on narrowing and widening text.

use super::*;

/// Asserts that a metric has moved in its narrowing direction by more than three standard errors.
#[track_caller]
fn assert_narrowed(before: &Measured, after: &Measured, id: &str) {
    let sign = match definition(id).narrowing {
        Direction::Up => 1.0,
        Direction::Down => -1.0,
        Direction::Unclear => panic!("{id} has no direction"),
    };
    let (old, new) = (before.get(id).expect("measured"), after.get(id).expect("measured"));
    let error = old.std_err.hypot(new.std_err);
    assert!(sign * (new.value - old.value) > 3.0 * error, "{id}: {old:?} → {new:?}");
}

#[test]
fn a_cut_tail_moves_every_metric_of_the_text_in_its_direction() {
    let source = Source::zipf(3000, 1.0);
    let world = world_of(&source, 10);
    let before = world.measure(&source.write(30_000, &mut stream(11)));
    let cut = Source::zipf(200, 1.0);
    let after = world.measure(&cut.write(30_000, &mut stream(12)));
    // Cutting the tail leaves the proportions of the head unchanged, so the slope there hardly changes.
    for id in text_metrics().filter(|id| !id.starts_with("zipf") && id != "repetition") {
        assert_narrowed(&before, &after, &id);
    }
}

#[test]
fn a_temperature_below_one_moves_every_metric_of_the_text_in_its_direction() {
    let source = Source::zipf(3000, 1.0);
    let world = world_of(&source, 13);
    let before = world.measure(&source.write(30_000, &mut stream(14)));
    let after = world.measure(&Source::zipf(3000, 0.6).write(30_000, &mut stream(15)));
    for id in text_metrics() {
        assert_narrowed(&before, &after, &id);
    }
}

#[test]
fn a_temperature_above_one_moves_all_but_the_divergences_in_the_opposite_direction() {
    let source = Source::zipf(3000, 1.0);
    let world = world_of(&source, 16);
    let before = world.measure(&source.write(30_000, &mut stream(17)));
    let after = world.measure(&Source::zipf(3000, 1.6).write(30_000, &mut stream(18)));
    for id in text_metrics().filter(|id| id != "repetition") {
        if definition(&id).family == Family::Divergence {
            assert_narrowed(&before, &after, &id);
        } else {
            assert_narrowed(&after, &before, &id);
        }
    }
}

/// Every rare type is replaced by a frequent one: fewer types, less entropy, larger divergence.
#[test]
fn merged_types_move_every_metric_of_the_text_in_its_direction() {
    let source = Source::zipf(3000, 1.0);
    let world = world_of(&source, 19);
    let text = source.write(30_000, &mut stream(20));
    let merged: Vec<Vec<TokenId>> = text
        .iter()
        .map(|document| document.iter().map(|&id| if id > 50 { 1 + id % 50 } else { id }).collect())
        .collect();
    let merged: Documents = merged.iter().map(Vec::as_slice).collect();
    let (before, after) = (world.measure(&text), world.measure(&merged));
    for id in text_metrics().filter(|id| !id.starts_with("zipf") && id != "repetition") {
        assert_narrowed(&before, &after, &id);
    }
}

/// The same few documents over and over (mode collapse): each is natural, the text is not.
#[test]
fn repeated_documents_affect_the_tail_distinct_n_grams_and_compression() {
    let source = Source::zipf(3000, 1.0);
    let world = world_of(&source, 21);
    let text = source.write(30_000, &mut stream(22));
    let few: Vec<&[TokenId]> = text.iter().take(100).collect();
    let repeated: Documents = few.iter().copied().cycle().take(2 * text.len()).collect();
    let (before, after) = (world.measure(&text), world.measure(&repeated.prefix(Tokens(30_000))));
    for id in [
        "tail_mass",
        "tail_coverage",
        "tail_mass_words",
        "tail_coverage_words",
        "unigram_entropy",
        "bigram_entropy",
        "hill_0",
        "hill_0_words",
        "js_unigram",
        "tv_bigram",
        "distinct_1",
        "distinct_2",
        "distinct_3",
        "distinct_4",
        "compression_ratio",
    ] {
        assert_narrowed(&before, &after, id);
    }
}

#[test]
fn documents_that_repeat_themselves_increase_repetition() {
    let source = Source::zipf(3000, 1.0);
    let world = world_of(&source, 23);
    let text = source.write(10_000, &mut stream(24));
    let looped: Vec<Vec<TokenId>> = text
        .iter()
        .map(|document| document.iter().copied().cycle().take(2 * document.len()).collect())
        .collect();
    let looped: Documents = looped.iter().map(Vec::as_slice).collect();
    assert_narrowed(&world.measure(&text), &world.measure(&looped.prefix(Tokens(10_000))), "repetition");
}
