//! Mixtures: for any setting the parts add up, fresh means fresh, and latest means latest.

use genloss::mixture::{self, DocumentPool, MixtureError, MixturePlan};
use genloss::mixture::{Budget, Mixture, NaturalDocuments, NaturalFraction, SyntheticDocuments};
use genloss::seed::StreamKey;
use genloss::units::Tokens;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn mixture_of(
    fraction: NaturalFraction,
    natural: NaturalDocuments,
    synthetic: SyntheticDocuments,
    budget: Budget,
) -> Mixture {
    Mixture { natural_fraction: fraction, natural, synthetic, budget, synthetic_from: Vec::new() }
}

fn any_mixture() -> impl Strategy<Value = Mixture> {
    let fraction = prop_oneof![
        Just(NaturalFraction::Proportional),
        prop::collection::vec(0.0..=1.0, 1..4).prop_map(NaturalFraction::Schedule),
    ];
    (
        fraction,
        prop_oneof![Just(NaturalDocuments::Fixed), Just(NaturalDocuments::Fresh)],
        prop_oneof![Just(SyntheticDocuments::Latest), Just(SyntheticDocuments::All)],
        prop_oneof![Just(Budget::Constant), Just(Budget::Added), Just(Budget::Growing)],
    )
        .prop_map(|(fraction, natural, synthetic, budget)| mixture_of(fraction, natural, synthetic, budget))
}

/// The plans of generations 0..=G of one lineage, which writes `budget` tokens each generation.
fn lineage(
    mixture: &Mixture,
    generations: usize,
    budget: Tokens,
    natural: &[usize],
    corpora: &[Vec<usize>],
) -> Result<Vec<MixturePlan>, MixtureError> {
    (0..=generations)
        .map(|g| {
            let pool = DocumentPool { natural, rereads: false, synthetic: &corpora[..g] };
            mixture::plan(
                mixture,
                g,
                budget,
                budget,
                pool,
                &mut StreamKey::new(1, "arm", g, "mixture").stream(0),
            )
        })
        .collect()
}

/// Documents of `lengths`, repeated and the last one cut, that hold `total` tokens.
fn corpus(lengths: &[usize], total: usize) -> Vec<usize> {
    let mut documents = Vec::new();
    let mut left = total;
    for &length in lengths.iter().cycle() {
        if left == 0 {
            break;
        }
        documents.push(length.min(left));
        left -= length.min(left);
    }
    documents
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn parts_add_up_fresh_never_repeats_and_latest_means_latest(
        mixture in any_mixture(),
        budget in 1_usize..3000,
        natural_lengths in prop::collection::vec(1_usize..200, 1..20),
        synthetic_lengths in prop::collection::vec(1_usize..200, 1..20),
        generations in 1_usize..5,
    ) {
        let natural = corpus(&natural_lengths, budget * 20 + 4000);
        // Corpora that other arms share hold more than this lineage writes.
        let corpora = vec![corpus(&synthetic_lengths, budget * 6); generations];
        let budget = Tokens(budget as u64);
        let plans = match lineage(&mixture, generations, budget, &natural, &corpora) {
            Ok(plans) => plans,
            // Only a growing budget can ask for more synthetic text than there is.
            Err(MixtureError::Synthetic { .. }) => {
                prop_assert_eq!(mixture.budget, Budget::Growing);
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let mut used = BTreeSet::new();
        for (g, plan) in plans.iter().enumerate() {
            let (n, s) = (plan.natural_tokens().0, plan.synthetic_tokens().0);
            if g == 0 {
                prop_assert_eq!((n, s), (budget.0, 0));
            } else {
                let expected = mixture::parts(&mixture, g, budget, budget);
                let drawn = mixture.natural_fraction == NaturalFraction::Proportional && mixture.budget == Budget::Constant;
                if drawn {
                    prop_assert_eq!(n + s, budget.0);
                } else {
                    prop_assert_eq!((n, s), (expected.natural.0, expected.synthetic.0));
                }
                match mixture.budget {
                    Budget::Constant => prop_assert_eq!(n + s, budget.0),
                    Budget::Added => prop_assert_eq!(s, budget.0),
                    Budget::Growing => prop_assert_eq!(n + s, (g as u64 + 1) * budget.0),
                    Budget::Repeated => prop_assert_eq!((n, s), (budget.0, 0)),
                }
            }
            for excerpt in &plan.natural {
                prop_assert!(excerpt.tokens >= 1 && excerpt.tokens <= natural[excerpt.document]);
                if mixture.natural == NaturalDocuments::Fresh {
                    prop_assert!(used.insert(excerpt.document), "document {} used twice", excerpt.document);
                }
            }
            let mut taken = BTreeSet::new();
            let mut by_writer = vec![0; generations];
            for (writer, excerpt) in &plan.synthetic {
                prop_assert!(excerpt.tokens >= 1 && excerpt.tokens <= corpora[*writer][excerpt.document]);
                prop_assert!(taken.insert((*writer, excerpt.document)), "a synthetic document taken twice");
                by_writer[*writer] += excerpt.tokens as u64;
                match mixture.synthetic {
                    SyntheticDocuments::Latest => prop_assert_eq!(*writer, g - 1),
                    SyntheticDocuments::All => prop_assert!(*writer < g),
                }
            }
            let each = mixture::corpus_tokens(&mixture, g, budget, budget).0;
            prop_assert!(by_writer.iter().all(|&tokens| tokens <= each), "{by_writer:?} beyond {each}");
        }
    }
}

fn constant(fraction: f64) -> Mixture {
    let fraction = NaturalFraction::Schedule(vec![fraction]);
    mixture_of(fraction, NaturalDocuments::Fixed, SyntheticDocuments::Latest, Budget::Constant)
}

#[test]
fn a_fixed_anchor_is_the_beginning_of_what_generation_0_trained_on() {
    let natural = vec![10; 20];
    let plans = lineage(&constant(0.25), 2, Tokens(100), &natural, &[vec![10; 10], vec![10; 10]]).unwrap();
    let documents = |plan: &MixturePlan| {
        plan.natural.iter().map(|excerpt| (excerpt.document, excerpt.tokens)).collect::<Vec<_>>()
    };
    assert_eq!(documents(&plans[1]), [(0, 10), (1, 10), (2, 5)]);
    assert_eq!(documents(&plans[2]), documents(&plans[1]));
    assert_eq!(documents(&plans[0]).len(), 10);
}

#[test]
fn a_schedule_gives_each_generation_its_fraction_and_repeats_the_last() {
    let mixture = Mixture { natural_fraction: NaturalFraction::Schedule(vec![0.5, 0.2]), ..constant(0.0) };
    let parts = mixture::schedule(&mixture, 3, Tokens(100), Tokens(100)).unwrap();
    let natural: Vec<u64> = parts.iter().map(|part| part.natural.0).collect();
    assert_eq!(natural, [50, 20, 20]);
}

/// Accumulate (Gerstgrasser et al. 2024): generation g trains on the natural text and all g corpora.
#[test]
fn accumulate_takes_the_whole_pool() {
    let mixture = mixture_of(
        NaturalFraction::Proportional,
        NaturalDocuments::Fixed,
        SyntheticDocuments::All,
        Budget::Growing,
    );
    let corpora = vec![vec![10; 10]; 3];
    let plans = lineage(&mixture, 3, Tokens(100), &[10; 50], &corpora).unwrap();
    for (g, plan) in plans.iter().enumerate() {
        assert_eq!((plan.natural_tokens().0, plan.synthetic_tokens().0), (100, 100 * g as u64));
    }
}

/// Replace-Multiple (Gerstgrasser et al. 2024): generation g trains on as much as accumulate, N + g·S, all of it by
/// generation g − 1. With N = 100 and S = 40: 140, 180, 220.
#[test]
fn replace_grows_to_the_size_of_accumulate_on_the_latest_corpus_alone() {
    let grown = Mixture { budget: Budget::Growing, ..constant(0.0) };
    let sizes = |mixture: &Mixture| -> Vec<(u64, u64)> {
        let parts = mixture::schedule(mixture, 3, Tokens(100), Tokens(40)).unwrap();
        parts.iter().map(|part| (part.natural.0, part.synthetic.0)).collect()
    };
    assert_eq!(sizes(&grown), [(0, 140), (0, 180), (0, 220)]);
    let proportional = NaturalFraction::Proportional;
    let kept = Mixture { natural_fraction: proportional.clone(), ..grown.clone() };
    assert_eq!(sizes(&kept), [(100, 40), (100, 80), (100, 120)]);
    let accumulate = Mixture { synthetic: SyntheticDocuments::All, ..kept };
    assert_eq!(sizes(&accumulate), [(100, 40), (100, 80), (100, 120)]);
    let each = |mixture: &Mixture, g| mixture::corpus_tokens(mixture, g, Tokens(100), Tokens(40)).0;
    assert_eq!([1, 2, 3].map(|g| each(&grown, g)), [140, 180, 220]);
    assert_eq!([1, 2, 3].map(|g| each(&accumulate, g)), [40; 3]);
    assert_eq!([1, 2, 3].map(|g| each(&constant(0.0), g)), [40; 3]);
    let stream = &mut StreamKey::new(1, "arm", 2, "mixture").stream(0);
    let pool = DocumentPool { natural: &[10; 10], rereads: false, synthetic: &[vec![10; 14], vec![10; 18]] };
    let plan = mixture::plan(&grown, 2, Tokens(100), Tokens(40), pool, stream).unwrap();
    assert_eq!(plan.synthetic.len(), 18);
    assert!(plan.synthetic.iter().all(|(writer, _)| *writer == 1));
}

/// A document of the pool is drawn with probability budget / pool: over 200 draws of 50 out of 200 documents, a
/// natural one (50 of the 200) is expected 12.5 times a draw, with variance 50·¼·¾·(150/199) = 7.07.
#[test]
fn accumulate_subsample_draws_uniformly_from_the_whole_pool() {
    let mixture = mixture_of(
        NaturalFraction::Proportional,
        NaturalDocuments::Fixed,
        SyntheticDocuments::All,
        Budget::Constant,
    );
    let corpora = vec![vec![2; 50]; 3];
    let draws = 200;
    let total: usize = (0..draws)
        .map(|seed| {
            let pool = DocumentPool { natural: &[2; 60], rereads: false, synthetic: &corpora };
            let stream = &mut StreamKey::new(seed, "arm", 3, "mixture").stream(0);
            mixture::plan(&mixture, 3, Tokens(100), Tokens(100), pool, stream).unwrap().natural.len()
        })
        .sum();
    let z = (total as f64 - 12.5 * draws as f64) / (7.07 * draws as f64).sqrt();
    assert!(z.abs() < 4.0, "z = {z}");
}

#[test]
fn too_little_text_is_an_error_that_says_how_much_there_is() {
    let fresh = Mixture { natural: NaturalDocuments::Fresh, ..constant(0.5) };
    let error = lineage(&fresh, 3, Tokens(100), &[10; 18], &vec![vec![10; 10]; 3]).unwrap_err();
    assert!(error.to_string().contains("but the train split ends at 180"), "{error}");
    let error = mixture::schedule(&constant(0.0), 1, Tokens(100), Tokens(60)).unwrap_err();
    assert!(
        error.to_string().contains("needs 100 tokens of synthetic text, but earlier generations provide 60"),
        "{error}"
    );
    assert_eq!(mixture::natural_reach(&fresh, 3, Tokens(100), Tokens(100)), Tokens(250));
}

/// The documents and tokens of the natural excerpts of a generation, where natural text is limited.
fn read_again(mixture: &Mixture, generation: usize, budget: u64, natural: &[usize]) -> Vec<(usize, usize)> {
    let corpora = vec![vec![10; budget as usize]; generation];
    let pool = DocumentPool { natural, rereads: true, synthetic: &corpora };
    let stream = &mut StreamKey::new(1, "arm", generation, "mixture").stream(0);
    let plan = mixture::plan(mixture, generation, Tokens(budget), Tokens(budget), pool, stream).unwrap();
    let excerpts = plan.natural.iter().map(|excerpt| (excerpt.document, excerpt.tokens));
    let distinct: BTreeSet<usize> = plan.natural.iter().map(|excerpt| excerpt.document).collect();
    assert!(plan.distinct_natural_tokens().0 <= distinct.iter().map(|&index| natural[index] as u64).sum());
    excerpts.collect()
}

/// A text of 25 tokens: 60 are two passes and 10 more, half of 60 are one pass and 5 more.
#[test]
fn a_limited_text_is_read_again_from_its_beginning() {
    let natural = [10, 10, 5];
    let once = [(0, 10), (1, 10), (2, 5)];
    assert_eq!(read_again(&constant(0.5), 0, 60, &natural), [&once[..], &once, &[(0, 10)]].concat());
    assert_eq!(read_again(&constant(0.5), 1, 60, &natural), [&once[..], &[(0, 5)]].concat());
    assert_eq!(read_again(&constant(0.25), 1, 60, &natural), [(0, 10), (1, 5)]);
}

/// A quarter of 100 tokens are 25, which are read four times. In the schedule, half of them are read twice, and three
/// tenths three times and 10 tokens more.
#[test]
fn a_repeated_budget_is_the_natural_part_read_again_until_it_is_full() {
    let repeated = |fractions: &[f64]| Mixture {
        natural_fraction: NaturalFraction::Schedule(fractions.to_vec()),
        budget: Budget::Repeated,
        ..constant(0.0)
    };
    let once = [(0, 10), (1, 10), (2, 5)];
    assert_eq!(read_again(&repeated(&[0.25]), 2, 100, &[10; 20]), [once; 4].concat());
    let scheduled = repeated(&[0.5, 0.3]);
    let whole = |documents: usize| (0..documents).map(|document| (document, 10)).collect::<Vec<_>>();
    assert_eq!(read_again(&scheduled, 1, 100, &[10; 20]), [whole(5), whole(5)].concat());
    assert_eq!(read_again(&scheduled, 2, 100, &[10; 20]), [whole(3), whole(3), whole(3), whole(1)].concat());
    // Of a limited text of 20 tokens, the part of 25 has 5 twice, and these come again four times.
    let part = [(0, 10), (1, 10), (0, 5)];
    assert_eq!(read_again(&repeated(&[0.25]), 1, 100, &[10, 10]), [part; 4].concat());
    let parts = mixture::schedule(&scheduled, 2, Tokens(100), Tokens(40)).unwrap();
    assert!(parts.iter().all(|part| (part.natural, part.synthetic) == (Tokens(100), Tokens(0))));
    assert_eq!(mixture::natural_reach(&scheduled, 2, Tokens(100), Tokens(40)), Tokens(100));
}

#[test]
fn a_share_that_rounds_to_no_token_vanishes() {
    let vanishes_in = |budget: Budget, fraction: f64| {
        let fraction = NaturalFraction::Schedule(vec![fraction]);
        let mixture = mixture_of(fraction, NaturalDocuments::Fixed, SyntheticDocuments::Latest, budget);
        mixture::a_share_vanishes(&mixture, 1, Tokens(2000), Tokens(2000))
    };
    let vanishes = |fraction: f64| vanishes_in(Budget::Constant, fraction);
    assert!(!vanishes_in(Budget::Added, 0.9999) && !vanishes_in(Budget::Repeated, 0.9999));
    assert_eq!(
        [0.0, 0.0001, 0.0003, 0.5, 0.9999, 1.0].map(vanishes),
        [false, true, false, false, true, false]
    );
}

#[test]
fn a_part_that_rounds_to_no_token_cannot_be_repeated() {
    let tiny = Mixture { budget: Budget::Repeated, ..constant(0.1) };
    let error = mixture::schedule(&tiny, 1, Tokens(4), Tokens(4)).unwrap_err();
    assert_eq!(error, MixtureError::NothingToRepeat { generation: 1 });
}

/// A limit caps what is needed of fixed text. Fresh text of 100 + 50 + 50 + 50 tokens needs them all.
#[test]
fn fresh_text_cannot_be_read_again() {
    let fixed = mixture::natural_reach_within(Some(Tokens(30)), &constant(0.5), 3, Tokens(100), Tokens(100));
    assert_eq!(fixed, Ok(Tokens(30)));
    let fresh = Mixture { natural: NaturalDocuments::Fresh, ..constant(0.5) };
    let reach =
        |limit| mixture::natural_reach_within(Some(Tokens(limit)), &fresh, 3, Tokens(100), Tokens(100));
    assert_eq!(reach(249), Err(MixtureError::FreshBeyondLimit { limit: Tokens(249) }));
    assert_eq!(reach(250), Ok(Tokens(250)));
    // Documents of 30 tokens that are cut waste 20 of the first 120, and the rest of the limit is not enough.
    let checked = mixture::check_natural(Some(Tokens(250)), &fresh, 3, Tokens(100), Tokens(100), &[30; 8]);
    assert_eq!(checked, Err(MixtureError::FreshBeyondLimit { limit: Tokens(250) }));
}
