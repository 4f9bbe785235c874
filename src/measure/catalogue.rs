//! The catalogue: what is known of every metric before it is measured.

use super::{
    Direction::{self, Down, Unclear, Up},
    Family::{self, Divergence, Entropy, Form, HeldOut, Tail},
    Metric,
};

/// Every metric there is, by family. Ids are stable: they stand in records on disk.
///
/// The direction is where the metric goes when a distribution narrows: rare types die out, probabilities sharpen,
/// text repeats itself.
pub const METRICS: &[Metric] = &[
    of("heldout_loss", "held-out loss", "nats/token", HeldOut, Up),
    of("heldout_loss_head", "held-out loss, frequent tokens", "nats/token", HeldOut, Up),
    of("heldout_loss_torso", "held-out loss, medium tokens", "nats/token", HeldOut, Up),
    of("heldout_loss_tail", "held-out loss, rare tokens", "nats/token", HeldOut, Up),
    of("bits_per_byte", "held-out bits per byte", "bits/byte", HeldOut, Up),
    of("excess_loss", "held-out loss above the exact floor", "nats/token", HeldOut, Up),
    of("tail_mass", "rare-token mass alive", "share", Tail, Down),
    of("tail_coverage", "rare tokens found, of those expected", "ratio", Tail, Down),
    of("tail_mass_words", "rare-word mass alive", "share", Tail, Down),
    of("tail_coverage_words", "rare words found, of those expected", "ratio", Tail, Down),
    of("fact_recall_head", "popular facts recalled", "share", Tail, Down),
    of("fact_recall_torso", "medium facts recalled", "share", Tail, Down),
    of("fact_recall_tail", "rare facts recalled", "share", Tail, Down),
    of("unigram_entropy", "token entropy", "nats", Entropy, Down),
    of("bigram_entropy", "token-pair entropy", "nats", Entropy, Down),
    of("predictive_entropy", "entropy of the model's predictions", "nats/token", Entropy, Down),
    of("hill_0", "token types", "types", Entropy, Down),
    of("hill_1", "effective token types (order 1)", "types", Entropy, Down),
    of("hill_2", "effective token types (order 2)", "types", Entropy, Down),
    of("zipf_exponent", "Zipf exponent of tokens", "1", Entropy, Up),
    of("unigram_entropy_words", "word entropy", "nats", Entropy, Down),
    of("hill_0_words", "word types", "types", Entropy, Down),
    of("hill_1_words", "effective word types (order 1)", "types", Entropy, Down),
    of("hill_2_words", "effective word types (order 2)", "types", Entropy, Down),
    of("zipf_exponent_words", "Zipf exponent of words", "1", Entropy, Up),
    of("kl_unigram", "KL divergence, tokens", "nats", Divergence, Up),
    of("js_unigram", "Jensen–Shannon divergence, tokens", "nats", Divergence, Up),
    of("tv_unigram", "total variation, tokens", "share", Divergence, Up),
    of("kl_bigram", "KL divergence, token pairs", "nats", Divergence, Up),
    of("js_bigram", "Jensen–Shannon divergence, token pairs", "nats", Divergence, Up),
    of("tv_bigram", "total variation, token pairs", "share", Divergence, Up),
    of("distinct_1", "distinct tokens", "share", Form, Down),
    of("distinct_2", "distinct 2-grams", "share", Form, Down),
    of("distinct_3", "distinct 3-grams", "share", Form, Down),
    of("distinct_4", "distinct 4-grams", "share", Form, Down),
    of("repetition", "4-grams repeated within a document", "share", Form, Up),
    of("compression_ratio", "compression ratio", "bytes/byte", Form, Up),
    of("novelty_4", "4-grams not in the training text", "share", Form, Unclear),
    of("loss_under_generation_0", "loss of the text under generation 0", "nats/token", Form, Down),
];

const fn of(
    id: &'static str,
    label: &'static str,
    unit: &'static str,
    family: Family,
    narrowing: Direction,
) -> Metric {
    Metric { id, label, unit, family, narrowing }
}

/// The metric called `id`, if there is one.
#[must_use]
pub fn metric(id: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_id_is_snake_case_and_names_one_metric() {
        let ids: BTreeSet<&str> = METRICS.iter().map(|metric| metric.id).collect();
        assert_eq!(ids.len(), METRICS.len());
        for id in ids {
            assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{id}");
            assert_eq!(metric(id).map(|metric| metric.id), Some(id));
        }
        assert_eq!(metric("no_such_metric"), None);
    }
}
