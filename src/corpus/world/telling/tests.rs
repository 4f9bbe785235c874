use super::super::grammar::{GrammarSymbol, Rule, rules};
use super::*;
use crate::corpus::WorldSettings;
use crate::rarity::Rarity;
use crate::seed::StreamKey;
use std::collections::BTreeSet;

fn world_of(nouns: usize, entities: usize, relations: usize) -> World {
    World::new(&WorldSettings { seed: 7, nouns, entities, relations, zipf_exponent: 1.0, fact_share: 0.4 })
}

fn usual() -> World {
    world_of(600, 150, 4)
}

fn stream(item: u64) -> Stream {
    StreamKey::new(1, "", 0, "test").stream(item)
}

fn perfect(world: &World) -> Teller<'_> {
    Teller::new(world, &vec![true; world.facts().len()], 0.0)
}

/// Facts and values that a text states, sorted.
fn told<'t>(world: &World, text: &'t str) -> Vec<(usize, &'t str)> {
    let mut told: Vec<(usize, &str)> = stated(world, text);
    told.sort_unstable();
    told
}

/// Facts and values in the order of the text.
fn stated<'t>(world: &World, text: &'t str) -> Vec<(usize, &'t str)> {
    world.statements(text).into_iter().flatten().map(|one| (one.fact, one.value)).collect()
}

fn entities(world: &World, text: &str) -> Vec<usize> {
    stated(world, text).into_iter().map(|(fact, _)| world.known.entity(fact)).collect()
}

fn sentence(world: &World, fact: usize) -> String {
    format!("{} {}.", world.facts()[fact].prompt, world.facts()[fact].value)
}

/// Σ (observed − expected)² / expected.
fn chi_squared(observed: &[f64], probabilities: &[f64]) -> f64 {
    let total: f64 = observed.iter().sum();
    observed.iter().zip(probabilities).map(|(count, p)| (count - p * total).powi(2) / (p * total)).sum()
}

/// How many standard errors the mean of `values` is from `expected`.
fn z_of_mean(values: &[f64], expected: f64) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean - expected) / (variance / n).sqrt()
}

fn z_of_share(hits: usize, trials: usize, p: f64) -> f64 {
    (hits as f64 - p * trials as f64) / (p * (1.0 - p) * trials as f64).sqrt()
}

#[test]
fn a_perfect_rephrasing_keeps_each_fact_and_the_number_of_sentences_and_adds_no_fact() {
    let world = usual();
    let teller = perfect(&world);
    let mut unchanged = 0;
    for index in 0..3000 {
        let natural = world.document(index);
        let rephrased = teller.rephrase(&natural, &mut stream(index));
        assert_eq!(told(&world, &natural), told(&world, &rephrased), "{natural} → {rephrased}");
        assert_eq!(world.statements(&natural).len(), world.statements(&rephrased).len());
        unchanged += usize::from(natural == rephrased);
    }
    // Only a document without other sentences can come out as it was. One in 50 has two sentences, both of them facts.
    assert!(unchanged < 3000 / 30, "{unchanged}");
}

/// Every sentence of the grammar with its probability: expands all rules, without the code that reads and writes.
fn all_phrases(phrase: Nonterminal, world: &World) -> Vec<(String, f64)> {
    let of_symbol = |symbol: &GrammarSymbol| match *symbol {
        GrammarSymbol::Word(word) => vec![(word.to_owned(), 1.0)],
        GrammarSymbol::Content(class) => {
            let words = &world.lexicon.class(class).words;
            assert_eq!(words.len(), 1, "this test needs one word in every class");
            vec![(words[0].clone(), 1.0)]
        }
        GrammarSymbol::Nested(phrase) => all_phrases(phrase, world),
    };
    let of_rule = |(p, symbols): &Rule| {
        symbols.iter().fold(vec![(String::new(), *p)], |beginnings, symbol| {
            let endings = of_symbol(symbol);
            let join = |(a, p): &(String, f64), (b, q): &(String, f64)| {
                ([a.as_str(), b].join(" ").trim().to_owned(), p * q)
            };
            beginnings.iter().flat_map(|a| endings.iter().map(move |b| join(a, b))).collect()
        })
    };
    rules(phrase).iter().flat_map(of_rule).collect()
}

/// By hand: a document of n < 40 sentences has the length probability 0.125 · 0.875^(n − 2); entities have the weights
/// 1/(r + 2.7); a later fact repeats the topic with probability 1/2; both relations are equally probable.
#[test]
fn a_rephrased_document_has_the_probability_that_is_worked_out_by_hand() {
    let world = world_of(1, 3, 2);
    let teller = perfect(&world);
    let sentences: BTreeMap<String, f64> = all_phrases(Nonterminal::Sentence, &world).into_iter().collect();
    let weights = [1.0 / 3.7, 1.0 / 4.7, 1.0 / 5.7];
    let popularity = weights.map(|weight| weight / weights.iter().sum::<f64>());
    for index in 0..500 {
        let rephrased = teller.rephrase(&world.document(index), &mut stream(index));
        let pieces: Vec<&str> = rephrased.trim_end_matches('.').split(". ").collect();
        if pieces.len() == 40 {
            continue;
        }
        let mut probability = 0.125 * 0.875_f64.powi(pieces.len() as i32 - 2);
        let mut topic = None;
        for piece in &pieces {
            let about =
                (0..3).find(|&entity| piece.contains(&format!(" of {} is ", world.known.name(entity))));
            probability *= match (about, topic) {
                (None, _) => 0.6 * sentences[&piece.to_ascii_lowercase()],
                (Some(entity), None) => 0.4 * 0.5 * popularity[entity],
                (Some(entity), Some(topic)) => {
                    let repeated = if entity == topic { 0.5 } else { 0.0 };
                    0.4 * 0.5 * (repeated + 0.5 * popularity[entity])
                }
            };
            topic = topic.or(about);
        }
        let exact = world.log_probability(&rephrased).expect("a document of the world");
        assert!((exact - probability.ln()).abs() < 1e-9, "{rephrased}: {exact}, {}", probability.ln());
    }
}

/// The weights of the module's closed form, against π(e₁) ∏ q(e_j | e₁) itself.
#[test]
fn the_weights_of_first_facts_are_those_of_the_definition() {
    let world = usual();
    let teller = perfect(&world);
    for entities in [vec![0], vec![3, 3], vec![0, 1, 2], vec![5, 0, 5, 149, 5, 0]] {
        let direct: Vec<f64> = (0..entities.len())
            .map(|first| {
                let topic = entities[first];
                let later = (0..entities.len()).filter(|&other| other != first);
                let of_later: f64 =
                    later.map(|other| world.known.probability(entities[other], Some(topic))).product();
                world.known.probability(topic, None) * of_later
            })
            .collect();
        let closed = teller.first_weights(&entities);
        let ratio = closed[0] / direct[0];
        for (closed, direct) in closed.iter().zip(&direct) {
            assert!((closed / direct / ratio - 1.0).abs() < 1e-9, "{entities:?}: {closed}, {direct}");
        }
    }
}

/// Three facts in five sentences: 10 sets of positions, all alike, times 6 orders, with the probabilities of the
/// definition. χ² with 59 degrees of freedom exceeds 108.3 with probability 10⁻⁴.
#[test]
fn positions_are_uniform_and_orders_have_the_probabilities_of_the_world() {
    let world = usual();
    let teller = perfect(&world);
    // Two facts about entity 20, one about entity 2.
    let facts = [80, 81, 8];
    let text = format!(
        "{} The dog barks. {} {} It rains.",
        sentence(&world, facts[0]),
        sentence(&world, facts[1]),
        sentence(&world, facts[2])
    );
    let q = |entity, topic| world.known.probability(entity, topic);
    let first = [q(20, None) * q(20, Some(20)) * q(2, Some(20)), q(2, None) * q(20, Some(2)).powi(2)];
    let first = [first[0], first[0], first[1]].map(|weight| weight / (2.0 * first[0] + first[1]));
    let mut cells: BTreeMap<Vec<Option<usize>>, f64> = BTreeMap::new();
    for draw in 0..20_000 {
        let rephrased = teller.rephrase(&text, &mut stream(draw));
        let cell = world.statements(&rephrased).iter().map(|one| one.map(|one| one.fact)).collect();
        *cells.entry(cell).or_default() += 1.0;
    }
    assert_eq!(cells.len(), 60);
    let expected: Vec<f64> = cells
        .keys()
        .map(|cell| {
            let leading = cell.iter().flatten().next().expect("a fact");
            let which = facts.iter().position(|fact| fact == leading).expect("one of the three");
            first[which] / 2.0 / 10.0
        })
        .collect();
    let chi_squared = chi_squared(&cells.values().copied().collect::<Vec<_>>(), &expected);
    assert!(chi_squared < 108.3, "χ² = {chi_squared}");
}

/// First words of the grammar's sentences, with the sums of the probabilities of all sentences that begin with them. χ²
/// with 7 degrees of freedom exceeds 29.9 with probability 10⁻⁴.
#[test]
fn sentences_between_facts_are_drawn_anew_from_the_grammar() {
    let world = world_of(1, 10, 2);
    let teller = perfect(&world);
    let mut probabilities: BTreeMap<String, f64> = BTreeMap::new();
    for (sentence, p) in all_phrases(Nonterminal::Sentence, &world) {
        *probabilities.entry(sentence.split(' ').next().unwrap_or_default().to_owned()).or_default() += p;
    }
    let mut counts: BTreeMap<String, f64> = probabilities.keys().map(|word| (word.clone(), 0.0)).collect();
    let text = format!("{} There is a thing in the place. This goes.", sentence(&world, 0));
    for draw in 0..5000 {
        let rephrased = teller.rephrase(&text, &mut stream(draw));
        for (piece, states) in rephrased.trim_end_matches('.').split(". ").zip(world.statements(&rephrased)) {
            let word = piece.split(' ').next().unwrap_or_default().to_ascii_lowercase();
            if states.is_none() {
                *counts.get_mut(&word).expect("a first word of the grammar") += 1.0;
            }
        }
    }
    assert_eq!((counts.len(), counts.values().sum::<f64>()), (8, 10_000.0));
    let [counts, probabilities] = [counts, probabilities].map(|map| map.into_values().collect::<Vec<_>>());
    let chi_squared = chi_squared(&counts, &probabilities);
    assert!(chi_squared < 29.9, "χ² = {chi_squared}");
}

/// Of documents that are distributed as the world writes: −E ln p is the entropy, topics are distributed as π, and the
/// second fact is about the topic with probability τ + (1 − τ) Σ π². χ² with 9 degrees of freedom exceeds 33.7 with
/// probability 10⁻⁴.
fn assert_distributed_as_the_world(world: &World, documents: &[String]) {
    let nats: Vec<f64> =
        documents.iter().map(|text| -world.log_probability(text).expect("a document of the world")).collect();
    let z = z_of_mean(&nats, world.entropy_nats_per_document());
    assert!(z.abs() < 4.0, "log-probability: z = {z}");
    let statements: Vec<_> = documents.iter().flat_map(|text| world.statements(text)).collect();
    let facts = statements.iter().flatten().count();
    let z = z_of_share(facts, statements.len(), world.fact_share);
    assert!(z.abs() < 4.0, "share of facts: z = {z}");
    let popularity: Vec<f64> = (0..10).map(|entity| world.known.probability(entity, None)).collect();
    let mut topics = vec![0.0; 10];
    let (mut pairs, mut repeated) = (0, 0);
    for text in documents {
        let entities = entities(world, text);
        entities.first().into_iter().for_each(|&topic| topics[topic] += 1.0);
        if let [topic, second, ..] = entities[..] {
            pairs += 1;
            repeated += usize::from(topic == second);
        }
    }
    let chi_squared = chi_squared(&topics, &popularity);
    assert!(chi_squared < 33.7, "topics: χ² = {chi_squared}");
    let of_repetition = 0.5 + 0.5 * popularity.iter().map(|p| p * p).sum::<f64>();
    let z = z_of_share(repeated, pairs, of_repetition);
    assert!(z.abs() < 4.0, "second facts: z = {z}");
}

#[test]
fn perfect_rephrasing_leaves_the_distribution_of_the_world_as_it_is_however_often_it_is_done() {
    let world = world_of(100, 10, 3);
    let teller = perfect(&world);
    let mut documents: Vec<String> = (0..8000).map(|index| world.document(index)).collect();
    for round in 0..3 {
        let rephrase =
            |(index, text): (usize, &String)| teller.rephrase(text, &mut stream(8000 * round + index as u64));
        documents = documents.iter().enumerate().map(rephrase).collect();
        assert_distributed_as_the_world(&world, &documents);
    }
}

#[test]
fn a_writer_who_knows_everything_writes_as_the_world_does() {
    let world = world_of(100, 10, 3);
    let teller = perfect(&world);
    let documents: Vec<String> = (0..8000).map(|index| teller.textbook(&mut stream(index))).collect();
    assert_distributed_as_the_world(&world, &documents);
}

/// Every third fact.
fn some_known(world: &World) -> Vec<bool> {
    (0..world.facts().len()).map(|fact| fact % 3 == 0).collect()
}

#[test]
fn rephrasing_leaves_out_what_the_writer_does_not_know_and_keeps_the_rest() {
    let world = usual();
    let is_known = some_known(&world);
    let teller = Teller::new(&world, &is_known, 0.0);
    for index in 0..2000 {
        let natural = world.document(index);
        let rephrased = teller.rephrase(&natural, &mut stream(index));
        let known: Vec<_> = told(&world, &natural).into_iter().filter(|(fact, _)| is_known[*fact]).collect();
        assert_eq!(told(&world, &rephrased), known);
        assert_eq!(world.statements(&natural).len(), world.statements(&rephrased).len());
        assert!(world.log_probability(&rephrased).is_some(), "{rephrased}");
    }
}

#[test]
fn who_knows_nothing_states_nothing() {
    let world = usual();
    let teller = Teller::new(&world, &vec![false; world.facts().len()], 0.5);
    for index in 0..200 {
        for text in
            [teller.textbook(&mut stream(index)), teller.rephrase(&world.document(index), &mut stream(index))]
        {
            assert_eq!(told(&world, &text), []);
            assert!(world.log_probability(&text).is_some(), "{text}");
        }
    }
}

/// Of 10 entities with 3 relations each, 10 facts are known. First facts are distributed as π over these; later ones, for
/// each topic, as q(· | topic). χ² with 9 degrees of freedom exceeds 33.7 with probability 10⁻⁴.
#[test]
fn textbook_facts_are_distributed_as_those_of_the_world_given_that_they_are_known() {
    let world = world_of(100, 10, 3);
    let is_known: Vec<bool> = (0..30).map(|fact| fact < 6 || fact % 7 == 0).collect();
    let known: Vec<usize> = (0..30).filter(|&fact| is_known[fact]).collect();
    assert_eq!(known.len(), 10);
    let teller = Teller::new(&world, &is_known, 0.0);
    let given = |topic: Option<usize>| {
        let masses: Vec<f64> =
            known.iter().map(|&fact| world.known.probability(world.known.entity(fact), topic)).collect();
        let total: f64 = masses.iter().sum();
        masses.into_iter().map(|mass| mass / total).collect::<Vec<_>>()
    };
    let mut first = vec![0.0; known.len()];
    let mut later: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for draw in 0..20_000 {
        let text = teller.textbook(&mut stream(draw));
        let facts = stated(&world, &text);
        let position = |fact: usize| known.iter().position(|&one| one == fact).expect("a known fact");
        let Some(((leading, _), rest)) = facts.split_first() else { continue };
        first[position(*leading)] += 1.0;
        let counts = later.entry(world.known.entity(*leading)).or_insert_with(|| vec![0.0; known.len()]);
        rest.iter().for_each(|(fact, _)| counts[position(*fact)] += 1.0);
    }
    let of_first = chi_squared(&first, &given(None));
    assert!(of_first < 33.7, "first facts: χ² = {of_first}");
    assert_eq!(
        later.len(),
        known.iter().map(|&fact| world.known.entity(fact)).collect::<BTreeSet<_>>().len()
    );
    for (topic, counts) in later {
        let of_later = chi_squared(&counts, &given(Some(topic)));
        assert!(of_later < 33.7, "topic {topic}: χ² = {of_later}");
    }
}

/// The share of wrong facts is binomial; the wrong values of one fact are uniform. χ² with 4 to 29 degrees of freedom
/// exceeds the Wilson–Hilferty bound with probability about 10⁻⁴.
#[test]
fn facts_are_told_wrong_as_often_as_set_with_another_value_of_the_same_relation() {
    let world = usual();
    let teller = Teller::new(&world, &vec![true; world.facts().len()], 0.3);
    let (mut wrong, mut all) = (0, 0);
    let mut values_of_first: BTreeMap<String, f64> = BTreeMap::new();
    let mut count = |text: &str| {
        for sentence in text.trim_end_matches('.').split(". ") {
            let prompted =
                world.facts().iter().position(|fact| sentence.starts_with(&(fact.prompt.clone() + " ")));
            let Some(fact) = prompted else { continue };
            let value = sentence.rsplit(' ').next().unwrap_or_default();
            assert!(world.known.choices(fact).iter().any(|choice| choice == value), "{sentence}");
            all += 1;
            if value != world.facts()[fact].value {
                wrong += 1;
                if fact == 0 {
                    *values_of_first.entry(value.to_owned()).or_default() += 1.0;
                }
            }
        }
    };
    for index in 0..6000 {
        count(&teller.rephrase(&world.document(index), &mut stream(index)));
        count(&teller.textbook(&mut stream(10_000 + index)));
    }
    let z = z_of_share(wrong, all, 0.3);
    assert!(z.abs() < 4.0, "{wrong} of {all}: z = {z}");
    let choices = world.known.choices(0).len() - 1;
    assert_eq!(values_of_first.len(), choices);
    let uniform = vec![1.0 / choices as f64; choices];
    let chi_squared = chi_squared(&values_of_first.into_values().collect::<Vec<_>>(), &uniform);
    let freedom = (choices - 1) as f64;
    let bound = freedom * (1.0 - 2.0 / (9.0 * freedom) + 3.72 * (2.0 / (9.0 * freedom)).sqrt()).powi(3);
    assert!(chi_squared < bound, "χ² = {chi_squared}, bound {bound}");
}

#[test]
fn who_always_errs_never_states_the_truth_however_often_a_text_is_rephrased() {
    let world = usual();
    let erring = Teller::new(&world, &vec![true; world.facts().len()], 1.0);
    for index in 0..1000 {
        let once = erring.rephrase(&world.document(index), &mut stream(index));
        let twice = erring.rephrase(&once, &mut stream(1000 + index));
        for text in [once, twice, erring.textbook(&mut stream(2000 + index))] {
            for (fact, value) in stated(&world, &text) {
                assert_ne!(world.facts()[fact].value, value, "{text}");
            }
        }
    }
}

/// With error 0.2, the share of true statements after g rephrasings is 0.8^g.
#[test]
fn errors_add_up_over_rephrasings_and_a_perfect_writer_keeps_them() {
    let world = usual();
    let erring = Teller::new(&world, &vec![true; world.facts().len()], 0.2);
    let mut documents: Vec<String> = (0..3000).map(|index| world.document(index)).collect();
    for round in 1..=3 {
        let rephrase =
            |(index, text): (usize, &String)| erring.rephrase(text, &mut stream(3000 * round + index as u64));
        documents = documents.iter().enumerate().map(rephrase).collect();
        let statements: Vec<_> = documents.iter().flat_map(|text| stated(&world, text)).collect();
        let right = statements.iter().filter(|(fact, value)| world.facts()[*fact].value == **value).count();
        let z = z_of_share(right, statements.len(), 0.8_f64.powi(round as i32));
        assert!(z.abs() < 4.0, "round {round}: z = {z}");
    }
    let perfect = perfect(&world);
    for (index, text) in (0..).zip(&documents[..200]) {
        assert_eq!(told(&world, text), told(&world, &perfect.rephrase(text, &mut stream(index))));
    }
}

#[test]
fn only_whole_sentences_with_a_value_of_the_relation_state_a_fact() {
    let world = usual();
    let (fact, other) = (&world.facts()[0], &world.facts()[1]);
    let wrong = world.known.choices(0).iter().find(|value| **value != fact.value).expect("several values");
    let foreign = world.known.choices(1).iter().find(|value| !world.known.choices(0).contains(value));
    let prompt = &fact.prompt;
    let states =
        |text: &str| world.statements(text).iter().map(|one| one.map(|one| one.fact)).collect::<Vec<_>>();
    let two = format!("{prompt} {}. {} {}.", fact.value, other.prompt, other.value);
    assert_eq!(states(&two), [Some(0), Some(1)]);
    assert_eq!(states(two.trim_end_matches('.')), [Some(0), None], "the end is cut");
    assert_eq!(states(&format!("{prompt} {wrong}.")), [Some(0)]);
    for nothing in [
        String::new(),
        ".".to_owned(),
        "The dog barks.".to_owned(),
        format!("{prompt}."),
        format!("{prompt} {}.", foreign.expect("a name of another relation")),
        format!("{prompt} {}  .", fact.value),
        format!("{}.", two.to_ascii_lowercase().trim_end_matches('.')),
        format!("{prompt} {} indeed.", fact.value),
    ] {
        assert!(world.statements(&nothing).iter().all(Option::is_none), "{nothing}");
        assert!(!world.statements(&nothing).is_empty());
    }
}

#[test]
fn the_most_popular_facts_are_the_fewest_that_make_up_the_share() {
    let world = usual();
    let is_head: Vec<bool> = world.facts().iter().map(|fact| fact.rarity == Rarity::Head).collect();
    assert_eq!(world.most_popular(0.9), is_head);
    assert!(world.most_popular(1.0).into_iter().all(|known| known));
    let known = |share: f64| world.most_popular(share).iter().filter(|known| **known).count();
    assert_eq!(known(1e-15), 1);
    let half = known(0.5);
    let mass = |facts: usize| world.facts()[..facts].iter().map(|fact| fact.popularity).sum::<f64>();
    assert!(mass(half) >= 0.5 - 1e-12 && mass(half - 1) < 0.5);
}
