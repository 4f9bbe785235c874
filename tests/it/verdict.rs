//! Verdicts on simulated experiments with known effects.

use genloss::measure::{Catalogue, Family};
use genloss::seed::StreamKey;
use genloss::verdict::{
    ArmComparison, Effect, Observation, Verdict, compare, compare_pairs, headline_metrics, practical_size,
};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

/// A simulated experiment of `control` and `arm`: the same noise in both, independent in every metric.
#[derive(Clone)]
struct Simulation {
    seeds: u64,
    generations: usize,
    /// Standard deviation of the noise that is independent in every generation, in practical sizes.
    training_noise: f64,
    /// Standard deviation of the noise that a lineage keeps from generation 1 on, in practical sizes.
    lasting_noise: f64,
    /// The effect on the arm per generation, by metric, in practical sizes and in the narrowing direction.
    narrowing: fn(&str) -> f64,
}

const NO_EFFECT: Simulation =
    Simulation { seeds: 3, generations: 6, training_noise: 0.3, lasting_noise: 0.0, narrowing: |_| 0.0 };

impl Simulation {
    fn observations(&self, experiment: u64) -> Vec<Observation> {
        let mut observations = Vec::new();
        for seed in 1..=self.seeds {
            for arm in ["control", "arm"] {
                let mut rng = StreamKey::new(experiment, arm, seed as usize, "simulation").stream(0);
                let mut normal = move || -> f64 { StandardNormal.sample(&mut rng) };
                for headline in headline_metrics() {
                    let size = headline.practical;
                    let lasting = self.lasting_noise * normal();
                    for generation in 0..=self.generations {
                        let kept = if generation == 0 { 0.0 } else { lasting };
                        let lost = if arm == "control" {
                            0.0
                        } else {
                            (self.narrowing)(headline.metric) * generation as f64
                        };
                        let value =
                            3.0 + size * (headline.sign * lost + kept + self.training_noise * normal());
                        observations.push(Observation {
                            seed,
                            arm: arm.to_owned(),
                            generation,
                            metric: headline.metric.to_owned(),
                            value,
                            std_err: 0.05 * size,
                        });
                    }
                }
            }
        }
        observations
    }

    fn verdict(&self, experiment: u64) -> ArmComparison {
        compare("simulation", &self.observations(experiment), "control", &Catalogue::builtin()).remove(0)
    }
}

fn family(id: &str) -> Family {
    Catalogue::builtin().get(id).expect("a built-in metric").family
}

/// The rules promise at most 2.5 %. `genloss verify` measures less than 1 % on such noise: 5 of 500, and 2 σ.
#[test]
fn control_against_control_is_rarely_called_narrowing() {
    for seeds in [1, 3, 5] {
        for lasting_noise in if seeds == 1 { &[0.0][..] } else { &[0.0, 0.5] } {
            let simulation = Simulation { seeds, lasting_noise: *lasting_noise, ..NO_EFFECT.clone() };
            let false_calls =
                (0..500).filter(|&e| simulation.verdict(e).called_at_generation.is_some()).count();
            assert!(false_calls <= 10, "{seeds} seeds, lasting noise {lasting_noise}: {false_calls} of 500");
        }
    }
}

/// A call needs two families, each at half the family-wise error of 2.5 %; the probability of a false positive in any of
/// three is thus at most 3.75 %, with ± 3 · 0.85 % in 500 experiments.
#[test]
fn false_positives_in_any_family_stay_below_their_bound() {
    for (seeds, lasting_noise) in [(1, 0.0), (2, 0.0), (3, 0.0), (3, 0.5), (5, 1.0)] {
        let simulation = Simulation { seeds, lasting_noise, ..NO_EFFECT.clone() };
        let any = |e: &u64| simulation.verdict(*e).effects.iter().any(|effect| effect.significant);
        let wrong = (0..500).filter(any).count();
        assert!(wrong <= 32, "{seeds} seeds, lasting noise {lasting_noise}: {wrong} of 500");
    }
}

/// 95 % pointwise intervals: 300 experiments × 8 metrics at the last generation; the noise estimates are conservative.
#[test]
fn intervals_cover_the_true_effect_at_least_as_often_as_promised() {
    for (seeds, lasting_noise) in [(2, 0.0), (3, 0.5), (5, 0.5)] {
        let simulation = Simulation { seeds, lasting_noise, ..NO_EFFECT.clone() };
        let last: Vec<_> = (0..300)
            .flat_map(|e| simulation.verdict(e).effects.into_iter().filter(|effect| effect.generation == 6))
            .collect();
        let covered = last.iter().filter(|effect| effect.ci_low <= 0.0 && 0.0 <= effect.ci_high).count();
        let share = covered as f64 / last.len() as f64;
        assert!(share > 0.93, "{seeds} seeds, lasting noise {lasting_noise}: {share}");
    }
}

#[test]
fn an_arm_that_loses_more_than_a_practical_size_per_generation_has_collapsed() {
    for seeds in [1, 3] {
        let simulation = Simulation { seeds, narrowing: |_| 1.5, training_noise: 0.1, ..NO_EFFECT.clone() };
        for experiment in 0..50 {
            let comparison = simulation.verdict(experiment);
            assert_eq!(comparison.verdict, Verdict::Collapsed, "{}", comparison.explanation);
            let called = comparison.called_at_generation.unwrap();
            assert!(called <= if seeds == 1 { 6 } else { 3 }, "called at {called}");
            assert_eq!(comparison.explanation.contains("one seed"), seeds == 1);
        }
    }
}

#[test]
fn a_small_but_certain_loss_is_narrowing_and_not_collapse() {
    let simulation = Simulation { seeds: 5, narrowing: |_| 0.1, training_noise: 0.05, ..NO_EFFECT.clone() };
    for experiment in 0..20 {
        assert_eq!(simulation.verdict(experiment).verdict, Verdict::Narrowing);
    }
}

/// One family is not enough for a call, but the explanation names it.
#[test]
fn a_loss_in_one_family_alone_is_explained() {
    let lost = |id: &str| if family(id) == Family::HeldOut { 0.165 } else { 0.0 };
    let simulation = Simulation { narrowing: lost, training_noise: 0.05, ..NO_EFFECT.clone() };
    for experiment in 0..20 {
        let ArmComparison { verdict, explanation, possible, .. } = simulation.verdict(experiment);
        assert_eq!(verdict, Verdict::Inconclusive, "{explanation}");
        assert!(
            possible.contains(&Verdict::Degraded) && !possible.contains(&Verdict::Collapsed),
            "{explanation}"
        );
        assert!(explanation.starts_with("At generation 6, the held-out loss"), "{explanation}");
        assert!(
            explanation.contains("but neither the tail nor entropy is significantly worse"),
            "{explanation}"
        );
    }
}

/// The loss grows by one practical size in each generation: after six it is six.
#[test]
fn an_arm_that_only_predicts_natural_text_worse_is_degraded() {
    let lost = |id: &str| if family(id) == Family::HeldOut { 1.0 } else { 0.0 };
    let simulation = Simulation { narrowing: lost, training_noise: 0.3, ..NO_EFFECT.clone() };
    for experiment in 0..20 {
        let comparison = simulation.verdict(experiment);
        assert_eq!(comparison.verdict, Verdict::Degraded, "{}", comparison.explanation);
        assert!(
            comparison.explanation.contains("while narrowing is not shown in two families"),
            "{}",
            comparison.explanation
        );
        let called = comparison.called_at_generation.unwrap();
        assert!((2..=6).contains(&called), "called at {called}");
        assert!(comparison.possible.is_empty() && comparison.seeds_needed.is_none());
    }
}

/// From generation 1 to 5 the arm loses two practical sizes per generation in everything; at generation 6 it equals the control.
#[test]
fn an_arm_that_recovered_is_not_said_to_be_worse_ever_since() {
    let simulation = Simulation { narrowing: |_| 2.0, ..NO_EFFECT.clone() };
    let mut observations = simulation.observations(1);
    let lasting = compare("simulation", &observations, "control", &Catalogue::builtin()).remove(0);
    assert!(
        lasting
            .explanation
            .starts_with("From generation 1 on, the tail, entropy and held-out loss are worse")
    );
    let of_control: Vec<Observation> =
        observations.iter().filter(|one| one.arm == "control").cloned().collect();
    for one in observations.iter_mut().filter(|one| one.generation == 6 && one.arm == "arm") {
        let place = |other: &&Observation| {
            (other.seed, other.generation) == (one.seed, 6) && other.metric == one.metric
        };
        // A thousandth of a practical size, so that arm and control are not the same computation.
        let difference = one.seed as f64 * 1e-3 * practical_size(&one.metric).unwrap();
        one.value = of_control.iter().find(place).unwrap().value + difference;
    }
    let comparison = compare("simulation", &observations, "control", &Catalogue::builtin()).remove(0);
    let explanation = &comparison.explanation;
    assert_eq!((comparison.verdict, comparison.called_at_generation), (Verdict::Narrowing, Some(1)));
    assert!(
        explanation.starts_with("At generation 1, the tail, entropy and held-out loss were worse"),
        "{explanation}"
    );
    assert!(explanation.contains("fewer than two families are still significantly worse"), "{explanation}");
}

/// From generation 1 to 6 the arm loses two practical sizes of held-out loss per generation, except at generation 5.
#[test]
fn an_arm_that_was_degraded_at_first_is_not_said_to_be_degraded_ever_since() {
    let lost = |id: &str| if family(id) == Family::HeldOut { 2.0 } else { 0.0 };
    let mut observations = Simulation { narrowing: lost, ..NO_EFFECT.clone() }.observations(1);
    for one in observations.iter_mut().filter(|one| one.generation == 5 && one.arm == "arm") {
        let of_headline = headline_metrics().iter().find(|headline| headline.metric == one.metric).unwrap();
        one.value -= of_headline.sign * of_headline.practical * 5.0 * lost(&one.metric);
    }
    let comparison = compare("simulation", &observations, "control", &Catalogue::builtin()).remove(0);
    let explanation = &comparison.explanation;
    let called = comparison.called_at_generation.unwrap();
    assert_eq!(comparison.verdict, Verdict::Degraded);
    let beginning = format!("At generation {called}, natural text was predicted worse");
    assert!(called < 5 && explanation.starts_with(&beginning), "{explanation}");
}

/// Text metrics have an error of measurement, so that their standard error is not 0.
#[test]
fn arms_that_are_equal_to_the_last_bit_are_identical() {
    for seeds in [1, 3] {
        let mut observations = Simulation { seeds, ..NO_EFFECT.clone() }.observations(1);
        let control: Vec<Observation> =
            observations.iter().filter(|one| one.arm == "control").cloned().collect();
        let arm = observations.iter_mut().filter(|one| one.arm == "arm");
        arm.zip(&control).for_each(|(arm, control)| arm.value = control.value);
        let comparison = compare("simulation", &observations, "control", &Catalogue::builtin()).remove(0);
        assert!(comparison.effects.len() > 30 && comparison.effects.iter().all(|effect| effect.identical));
    }
    assert!(NO_EFFECT.clone().verdict(1).effects.iter().all(|effect| !effect.identical));
}

/// Two texts with the same number of rare tokens in every seed are two texts: only their interval says how alike they are. Half
/// of it is `t · 0.1 σ / √S` with σ² = 2 · 0.005², for the standard error is at least a tenth of that of measuring.
#[test]
fn counts_that_agree_by_chance_are_not_identical() {
    let mut observations = NO_EFFECT.clone().observations(1);
    observations.iter_mut().filter(|one| one.metric == "tail_coverage").for_each(|one| one.value = 0.5);
    let comparison = compare("simulation", &observations, "control", &Catalogue::builtin()).remove(0);
    let at_last = |effect: &&Effect| effect.metric == "tail_coverage" && effect.generation == 6;
    let tail = comparison.effects.iter().find(at_last).unwrap();
    assert!(!tail.identical && tail.difference == 0.0);
    let half = 4.3027 * 0.1 * 0.005 * (2.0_f64 / 3.0).sqrt();
    assert!((tail.ci_high - half).abs() < 1e-7 && (tail.ci_low + half).abs() < 1e-7, "{tail:?}");
}

/// Three equal differences whose mean is not the same to the last bit: what rounding leaves is no noise, so seeds that are all the
/// same computation tell nothing, however many they are and whether metrics rise or fall.
#[test]
fn rounding_is_no_noise() {
    let values = [1.4955360749758546, 2.39717017772852];
    let mean = [1, 2, 3].map(|_| values[1] - values[0]).iter().sum::<f64>() / 3.0;
    assert_ne!(mean, values[1] - values[0], "the values of a run in which this happened");
    for (seeds, [control, arm]) in
        [2, 3, 4, 5, 30].into_iter().flat_map(|seeds| [(seeds, values), (seeds, [values[1], values[0]])])
    {
        let mut observations = Simulation { seeds, ..NO_EFFECT.clone() }.observations(1);
        for one in &mut observations {
            one.value = if one.generation > 0 && one.arm == "arm" { arm } else { control };
        }
        let comparison = compare("simulation", &observations, "control", &Catalogue::builtin()).remove(0);
        assert_eq!((comparison.verdict, comparison.called_at_generation), (Verdict::Inconclusive, None));
        let loss = comparison.effects.iter().find(|effect| effect.metric == "heldout_loss").unwrap();
        // The errors of measuring both arms; more seeds of the same are no more measurements.
        let measuring = 0.05 * 0.1 * 2.0_f64.sqrt();
        assert!((loss.std_err / measuring - 1.0).abs() < 1e-9 && !loss.significant, "{loss:?}");
        assert!(comparison.effects.iter().all(|effect| !effect.includes_training_noise));
        let explanation = &comparison.explanation;
        assert!(explanation.contains("all seeds give the same difference: what varies"), "{explanation}");
        let metrics: Vec<_> =
            headline_metrics().iter().filter(|one| one.metric == "heldout_loss").copied().collect();
        let pairs = compare_pairs("simulation", &observations, "control", &metrics, &Catalogue::builtin());
        assert_eq!((pairs[0].p_value, pairs[0].worse.clone()), (1.0, None), "{seeds} seeds");
    }
}

/// Metrics at the ends of their ranges show nothing, even if an error of measuring is told for them.
#[test]
fn arms_that_are_equal_in_two_families_are_not_stable() {
    let simulation = Simulation { training_noise: 0.01, seeds: 5, ..NO_EFFECT.clone() };
    let mut observations = simulation.observations(1);
    let verdict = |observations: &[Observation]| {
        compare("simulation", observations, "control", &Catalogue::builtin()).remove(0).verdict
    };
    assert_eq!(verdict(&observations), Verdict::Stable);
    for one in observations.iter_mut().filter(|one| family(&one.metric) != Family::HeldOut) {
        one.value = 0.0;
    }
    assert_eq!(verdict(&observations), Verdict::Inconclusive);
}

/// A loss of 1e300 is that of a model that diverged.
#[test]
fn a_diverged_model_is_told_with_powers_of_ten() {
    let mut observations = NO_EFFECT.clone().observations(1);
    let is_diverged = |one: &Observation| one.seed == 2 && one.arm == "arm" && one.generation == 6;
    let of_loss = observations.iter_mut().filter(|one| one.metric == "heldout_loss" && is_diverged(one));
    of_loss.for_each(|one| one.value = 1e300);
    let comparison = compare("simulation", &observations, "control", &Catalogue::builtin()).remove(0);
    assert!(comparison.explanation.len() < 600, "{}", comparison.explanation);
    let at_last = |effect: &&Effect| effect.metric == "heldout_loss" && effect.generation == 6;
    let loss = comparison.effects.iter().find(at_last).unwrap();
    assert!(loss.std_err > 1e299, "what differs so much between seeds is noise: {loss:?}");
}

/// The control has three seeds, and the arm has begun with two of them.
#[test]
fn a_seed_that_an_arm_has_not_begun_is_counted_as_missing() {
    let simulation = Simulation { narrowing: |_| 2.0, ..NO_EFFECT.clone() };
    let is_there = |one: &Observation| one.arm == "control" || one.seed < 3;
    let observations: Vec<Observation> = simulation.observations(1).into_iter().filter(is_there).collect();
    let comparison = compare("simulation", &observations, "control", &Catalogue::builtin()).remove(0);
    assert_eq!(comparison.seeds, 2);
    let clause = "2 of 3 seeds begun have reached generation 6";
    assert!(comparison.explanation.contains(clause), "{}", comparison.explanation);
}

/// One seed's tail cannot be measured with the others.
#[test]
fn a_metric_that_only_one_of_several_seeds_has_is_left_out() {
    let mut observations = Simulation { narrowing: |_| 2.0, ..NO_EFFECT.clone() }.observations(1);
    for one in observations.iter_mut().filter(|one| one.seed > 1 && one.metric == "tail_mass") {
        one.value = f64::INFINITY;
    }
    let comparison = compare("simulation", &observations, "control", &Catalogue::builtin()).remove(0);
    assert!(comparison.effects.iter().all(|effect| effect.seeds == 3 && effect.metric != "tail_mass"));
}

/// Of three seeds, one has reached generation 6, and two have reached generation 5.
#[test]
fn a_generation_that_one_of_several_seeds_has_reached_is_left_out_and_said_to_be() {
    let simulation = Simulation { narrowing: |_| 2.0, ..NO_EFFECT.clone() };
    let is_there = |one: &Observation| one.generation <= 7 - one.seed as usize;
    let observations: Vec<Observation> = simulation.observations(1).into_iter().filter(is_there).collect();
    let comparison = compare("simulation", &observations, "control", &Catalogue::builtin()).remove(0);
    assert_eq!((comparison.seeds, comparison.last_generation()), (3, Some(5)));
    let seeds = |generation| {
        let of_generation = comparison.effects.iter().filter(move |effect| effect.generation == generation);
        of_generation
            .map(|effect| effect.seeds)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!([seeds(4), seeds(5)], [[3], [2]]);
    let clause = "2 of 3 seeds begun have reached generation 5, and what only one has reached is left out";
    assert!(comparison.explanation.contains(clause), "{}", comparison.explanation);
}

/// At the last generation the loss is exactly the practical size, where the promise of at most 1 % is hardest to keep: 5 of
/// 500, and 3 σ.
#[test]
fn a_loss_of_the_practical_size_is_rarely_called_degraded() {
    let lost = |id: &str| if family(id) == Family::HeldOut { 1.0 / 6.0 } else { 0.0 };
    for seeds in [1, 2, 3, 5] {
        let simulation = Simulation { seeds, narrowing: lost, training_noise: 0.2, ..NO_EFFECT.clone() };
        let called = (0..500).filter(|&e| simulation.verdict(e).verdict == Verdict::Degraded).count();
        assert!(called <= 12, "{seeds} seeds: {called} of 500");
    }
}

/// The text has 50 % more types than the control's, and finds fewer of the rare natural ones.
#[test]
fn text_that_widens_is_said_to_widen() {
    let mut all = Simulation { training_noise: 0.05, ..NO_EFFECT.clone() }.observations(0);
    for seed in 1..=3 {
        for generation in 0..=6 {
            let values = [("hill_0_words", 1000.0, 500.0), ("tail_coverage_words", 1.0, -0.5)];
            for ((metric, natural, change), arm) in
                values.into_iter().flat_map(|one| [(one, "control"), (one, "arm")])
            {
                all.retain(|o| {
                    (o.seed, o.generation, &*o.metric, &*o.arm) != (seed, generation, metric, arm)
                });
                let noise = 1.0 + 1e-3 * ((seed * 7 + generation as u64 * 3 + arm.len() as u64) % 5) as f64;
                let value = noise * (natural + if arm == "arm" { change } else { 0.0 });
                all.push(Observation {
                    seed,
                    arm: arm.to_owned(),
                    generation,
                    metric: metric.to_owned(),
                    value,
                    std_err: 0.0,
                });
            }
        }
    }
    let explanation = compare("e", &all, "control", &Catalogue::builtin()).remove(0).explanation;
    assert!(
        explanation.contains("its text widens: 1502 different words where the control has 1002"),
        "{explanation}"
    );
}

#[test]
fn with_little_noise_an_arm_like_the_control_is_stable() {
    let simulation = Simulation { training_noise: 0.05, ..NO_EFFECT.clone() };
    for experiment in 0..20 {
        let comparison = simulation.verdict(experiment);
        assert_eq!(comparison.verdict, Verdict::Stable, "{}", comparison.explanation);
        assert_eq!(comparison.seeds_needed, None);
    }
}

#[test]
fn a_metric_that_improves_is_never_evidence_of_narrowing() {
    let simulation = Simulation { narrowing: |_| -2.0, training_noise: 0.05, ..NO_EFFECT.clone() };
    let comparison = simulation.verdict(0);
    assert_eq!(comparison.verdict, Verdict::Stable);
    assert!(comparison.effects.iter().all(|effect| !effect.significant));
}

#[test]
fn one_family_alone_is_inconclusive() {
    let entropy = |id: &str| if family(id) == Family::Entropy { 2.0 } else { 0.0 };
    let simulation = Simulation { narrowing: entropy, training_noise: 0.05, ..NO_EFFECT.clone() };
    let comparison = simulation.verdict(0);
    assert_eq!(comparison.verdict, Verdict::Inconclusive);
    assert!(comparison.effects.iter().any(|effect| effect.significant));
    assert_eq!(comparison.seeds_needed, None, "no number of seeds settles a disagreement of the families");
}

/// An arm whose models are the control's, but which writes in another way, differs from it in entropy alone where both texts
/// have all of the tail, which is measured without error.
#[test]
fn an_arm_that_differs_in_one_family_by_construction_is_told_why_it_cannot_be_stable() {
    let simulation = Simulation { training_noise: 0.05, ..NO_EFFECT.clone() };
    let mut observations = simulation.observations(0);
    let of_control = observations.clone();
    for observation in observations.iter_mut().filter(|one| one.arm != "control") {
        let is_same = |one: &&Observation| {
            let key = |of: &Observation| (of.seed, of.generation, of.metric.clone());
            one.arm == "control" && key(one) == key(observation)
        };
        if family(&observation.metric) != Family::Entropy || observation.metric == "predictive_entropy" {
            observation.value = of_control.iter().find(is_same).unwrap().value;
        }
    }
    for observation in observations.iter_mut().filter(|one| family(&one.metric) == Family::Tail) {
        observation.std_err = 0.0;
    }
    let comparison = compare("e", &observations, "control", &Catalogue::builtin()).remove(0);
    assert_eq!(comparison.verdict, Verdict::Inconclusive);
    assert_eq!(comparison.possible, []);
    assert!(
        comparison.explanation.contains(
            "the tail and held-out loss are identical in arm and control, and every verdict but degraded needs a \
             difference in two families; the "
        ) && comparison.explanation.contains("; so more seeds would settle nothing"
        ),
        "{}",
        comparison.explanation
    );
}

#[test]
fn a_call_does_not_depend_on_later_generations() {
    let simulation = Simulation { narrowing: |_| 0.4, training_noise: 0.3, ..NO_EFFECT.clone() };
    for experiment in 0..30 {
        let all = simulation.observations(experiment);
        let whole = compare("e", &all, "control", &Catalogue::builtin()).remove(0);
        for last in 1..=6 {
            let past: Vec<_> = all.iter().filter(|o| o.generation <= last).cloned().collect();
            let cut = compare("e", &past, "control", &Catalogue::builtin()).remove(0);
            let expected = whole.called_at_generation.filter(|&called| called <= last);
            assert_eq!(cut.called_at_generation, expected, "experiment {experiment}, cut after {last}");
            let until: Vec<_> = whole.effects.iter().filter(|e| e.generation <= last).cloned().collect();
            assert_eq!(cut.effects, until);
        }
    }
}

#[test]
fn the_order_of_observations_does_not_matter() {
    let simulation = Simulation { seeds: 4, narrowing: |_| 0.4, ..NO_EFFECT.clone() };
    let mut observations = simulation.observations(1);
    let before = compare("e", &observations, "control", &Catalogue::builtin());
    observations.shuffle(&mut StreamKey::new(1, "", 0, "shuffle").stream(0));
    assert_eq!(compare("e", &observations, "control", &Catalogue::builtin()), before);
}

/// One generation, three seeds, differences 0.1, 0.2, 0.3: mean 0.2, standard deviation 0.1, standard error
/// 0.1/√3 = 0.057735; t with 2 degrees of freedom is 4.302653 at 97.5 %, so the interval is 0.2 ± 0.248414.
#[test]
fn an_interval_equals_the_one_computed_by_hand() {
    let observation = |seed, arm: &str, value| Observation {
        seed,
        arm: arm.to_owned(),
        generation: 1,
        metric: "heldout_loss".to_owned(),
        value,
        std_err: 0.01,
    };
    let observations = [
        observation(1, "control", 3.0),
        observation(2, "control", 3.5),
        observation(3, "control", 2.0),
        observation(1, "arm", 3.1),
        observation(2, "arm", 3.7),
        observation(3, "arm", 2.3),
    ];
    let comparison = compare("e", &observations, "control", &Catalogue::builtin()).remove(0);
    let [effect] = &comparison.effects[..] else { panic!("one effect") };
    assert!((effect.difference - 0.2).abs() < 1e-12);
    assert!((effect.std_err - 0.057_735).abs() < 1e-6);
    assert!((effect.ci_low - (0.2 - 0.248_414)).abs() < 1e-5, "{}", effect.ci_low);
    assert!((effect.ci_high - (0.2 + 0.248_414)).abs() < 1e-5);
    assert_eq!(effect.practical_size, practical_size("heldout_loss"));
    assert_eq!(comparison.verdict, Verdict::Inconclusive);
    assert_eq!(comparison.seeds, 3);
}

/// The noise is that of two random walks like the control's (values 1, 3, 2; steps 2 and −1 with variance 4.5): after two
/// generations 2 · 2 · 4.5, so the standard error of one seed is √18.
#[test]
fn with_one_seed_noise_is_estimated_from_the_generations_of_the_control() {
    let mut observations = Vec::new();
    for (generation, value) in [1.0, 3.0, 2.0].into_iter().enumerate() {
        for arm in ["control", "arm"] {
            let metric = "heldout_loss".to_owned();
            observations.push(Observation {
                seed: 1,
                arm: arm.into(),
                generation,
                metric,
                value: if arm == "arm" { value + 0.5 } else { value },
                std_err: 0.1,
            });
        }
    }
    let comparison = compare("e", &observations, "control", &Catalogue::builtin()).remove(0);
    assert!((comparison.effects[1].std_err - 18f64.sqrt()).abs() < 1e-12);
    // At generation 1 there is one step, so no spread of steps: measurement error only, √(0.01 + 0.01).
    assert!((comparison.effects[0].std_err - 0.02f64.sqrt()).abs() < 1e-12);
}

#[test]
fn measurement_error_alone_never_leads_to_a_call() {
    let simulation = Simulation { seeds: 1, generations: 1, narrowing: |_| 50.0, ..NO_EFFECT.clone() };
    let comparison = simulation.verdict(0);
    assert_eq!(comparison.verdict, Verdict::Inconclusive);
    assert!(comparison.explanation.contains("noise of training"), "{}", comparison.explanation);
}

/// Half the number that is told leaves the verdict open, and twice as many seeds settle it, in at least nine of ten cases.
#[test]
fn a_number_of_seeds_is_told_only_where_it_is_right_within_a_factor_of_two() {
    let (mut told, mut right) = (0, 0);
    /// Seeds, noise of training, effect.
    type Case = (u64, f64, fn(&str) -> f64);
    let cases: [Case; 4] = [(3, 0.2, |_| 0.0), (3, 0.2, |_| 0.1), (2, 0.2, |_| 0.1), (2, 0.2, |_| 0.2)];
    for (seeds, training_noise, narrowing) in cases {
        for experiment in 0..60 {
            let with =
                |seeds| Simulation { seeds, training_noise, narrowing, ..NO_EFFECT }.verdict(experiment);
            let Some(needed) = with(seeds).seeds_needed else { continue };
            told += 1;
            let is_open = |seeds| with(seeds).verdict == Verdict::Inconclusive;
            let half = needed as u64 / 2;
            right += usize::from(!is_open(2 * needed as u64) && (half <= seeds || is_open(half)));
        }
    }
    assert!(told >= 30 && 10 * right >= 9 * told, "{right} of {told}");
}

#[test]
fn an_arm_that_predicts_natural_text_better_is_said_to() {
    let better = |id: &str| if id == "heldout_loss" { -2.0 } else { 0.0 };
    let simulation = Simulation { narrowing: better, ..NO_EFFECT };
    let comparison = simulation.verdict(0);
    assert_eq!(comparison.verdict, Verdict::Inconclusive);
    let said = "predicts natural text better than the control: held-out loss is 1.2";
    assert!(comparison.explanation.contains(said), "{}", comparison.explanation);
    assert!(!NO_EFFECT.verdict(0).explanation.contains("better than the control"));
}

#[test]
fn an_arm_that_cannot_be_compared_is_inconclusive_for_a_stated_reason() {
    let simulation = NO_EFFECT.clone();
    let all = simulation.observations(0);
    let without_control: Vec<_> = all.iter().filter(|o| o.arm != "control").cloned().collect();
    let only_generation_0: Vec<_> = all.iter().filter(|o| o.generation == 0).cloned().collect();
    for observations in [without_control, only_generation_0] {
        let comparison = compare("e", &observations, "control", &Catalogue::builtin()).remove(0);
        assert_eq!(comparison.verdict, Verdict::Inconclusive);
        assert!(
            comparison.explanation.contains("no generation after generation 0 in common"),
            "{}",
            comparison.explanation
        );
        assert_eq!(comparison.last_generation(), None);
    }
    let mut broken = all.clone();
    for observation in broken.iter_mut().filter(|o| o.metric == "tail_mass" && o.arm == "arm") {
        observation.value = f64::NAN;
    }
    let comparison = compare("e", &broken, "control", &Catalogue::builtin()).remove(0);
    assert_eq!(comparison.verdict, Verdict::Inconclusive);
    assert!(comparison.explanation.contains("not numbers"), "{}", comparison.explanation);
    assert!(compare("e", &[], "control", &Catalogue::builtin()).is_empty());
}

#[test]
fn lineages_that_stop_early_are_compared_up_to_their_last_common_generation() {
    let all = Simulation { narrowing: |_| 1.0, training_noise: 0.1, ..NO_EFFECT.clone() }.observations(0);
    let unfinished: Vec<_> =
        all.into_iter().filter(|o| o.generation <= if o.arm == "arm" { 4 } else { 6 }).collect();
    let comparison = compare("e", &unfinished, "control", &Catalogue::builtin()).remove(0);
    assert_eq!(comparison.last_generation(), Some(4));
    assert_eq!(comparison.verdict, Verdict::Collapsed);
}

#[test]
fn a_comparison_serializes_to_plain_json() {
    let json = serde_json::to_value(NO_EFFECT.clone().verdict(0)).unwrap();
    assert_eq!(json["arm"], "arm");
    assert!(["stable", "inconclusive"].contains(&json["verdict"].as_str().unwrap()));
    assert!(json["called_at_generation"].is_null());
    assert_eq!(json["effects"][0]["family"], "held_out");
}
