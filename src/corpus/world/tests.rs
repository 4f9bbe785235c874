use super::grammar::{GrammarSymbol, Rule, rules};
use super::lexicon::WordClass;
use super::*;
use std::collections::BTreeSet;

fn config(nouns: usize, entities: usize, relations: usize) -> WorldSettings {
    WorldSettings { seed: 7, nouns, entities, relations, zipf_exponent: 1.0, fact_share: 0.4 }
}

fn usual() -> World {
    World::new(&config(600, 150, 4))
}

#[test]
fn reading_and_writing_agree_on_the_probability_of_a_document() {
    let world = usual();
    for index in 0..1000 {
        let (text, written) = world.write(index);
        let read = world.log_probability(&text).expect("a document of the world");
        assert!((read - written).abs() < 1e-9, "{text}: {read} read, {written} written");
    }
}

/// Every string of a phrase. Expands all rules, without the code that writes and reads.
fn all_strings(phrase: Nonterminal, world: &World) -> Vec<String> {
    let of_symbol = |symbol: &GrammarSymbol| match *symbol {
        GrammarSymbol::Word(word) => vec![word.to_owned()],
        GrammarSymbol::Content(class) => world.lexicon.class(class).words.clone(),
        GrammarSymbol::Nested(phrase) => all_strings(phrase, world),
    };
    let of_rule = |(_, symbols): &Rule| {
        symbols.iter().fold(vec![String::new()], |beginnings, symbol| {
            let endings = of_symbol(symbol);
            let join = |a: &String, b: &String| [a.as_str(), b].join(" ").trim().to_owned();
            beginnings.iter().flat_map(|a| endings.iter().map(move |b| join(a, b))).collect()
        })
    };
    rules(phrase).iter().flat_map(of_rule).collect()
}

fn probability(phrase: Nonterminal, text: &str, world: &World) -> f64 {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let mut rest = words.as_slice();
    let log_probability = grammar::read(phrase, &world.lexicon, &mut rest);
    assert!(rest.is_empty(), "{text}");
    log_probability.unwrap_or_else(|| panic!("{phrase:?}: {text}")).exp()
}

/// With four nouns and one word in every other class, phrases have up to 20 000 strings.
#[test]
fn the_probabilities_of_all_strings_of_each_phrase_sum_to_1() {
    let world = World::new(&config(4, 2, 1));
    for phrase in Nonterminal::ALL.into_iter().filter(|phrase| *phrase != Nonterminal::Sentence) {
        let strings = all_strings(phrase, &world);
        let distinct: BTreeSet<&String> = strings.iter().collect();
        assert_eq!(distinct.len(), strings.len(), "{phrase:?} can write one string in two ways");
        let sum: f64 = strings.iter().map(|text| probability(phrase, text, &world)).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{phrase:?}: {sum}");
        let entropy: f64 =
            strings.iter().map(|text| probability(phrase, text, &world)).map(|p| -p * p.ln()).sum();
        assert!((entropy - grammar::entropy(phrase, &world.lexicon)).abs() < 1e-9, "{phrase:?}: {entropy}");
    }
}

/// The world of this test has one word in every class.
#[test]
fn the_probabilities_of_all_sentences_sum_to_1() {
    let world = World::new(&config(1, 2, 1));
    let strings = all_strings(Nonterminal::Sentence, &world);
    let distinct: BTreeSet<&String> = strings.iter().collect();
    assert_eq!(distinct.len(), strings.len(), "a sentence can be written in two ways");
    let sum: f64 = strings.iter().map(|text| probability(Nonterminal::Sentence, text, &world)).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
}

/// Enumerates all documents of up to three sentences, each of which is one of four facts or a single grammar sentence
/// that stands for all grammar sentences. Each occurrence of that sentence multiplies the probability of a document by
/// the probability of the sentence. The probabilities of all grammar sentences sum to 1, so dividing by these factors
/// gives the sum over all documents.
#[test]
fn the_probabilities_of_all_documents_sum_to_1() {
    let mut world = World::new(&config(1, 2, 2));
    world.lengths = DocumentLengths { min: 1, max: 3, go_on: 0.6 };
    let other = "There is a ".to_owned() + &world.lexicon.class(WordClass::Noun).words[0] + " in the ";
    let other = other + &world.lexicon.class(WordClass::Noun).words[0] + ".";
    let uncapitalised = other.to_ascii_lowercase();
    let of_other = probability(Nonterminal::Sentence, uncapitalised.trim_end_matches('.'), &world);
    let mut sentences: Vec<(String, f64)> =
        world.facts().iter().map(|fact| (format!("{} {}.", fact.prompt, fact.value), 1.0)).collect();
    sentences.push((other, of_other));
    let mut sum = 0.0;
    let mut documents: Vec<(String, f64)> = vec![(String::new(), 1.0)];
    for _ in 0..3 {
        let longer = |(text, factor): &(String, f64)| -> Vec<(String, f64)> {
            let go_on = |(next, p): &(String, f64)| (format!("{text} {next}").trim().to_owned(), factor * p);
            sentences.iter().map(go_on).collect()
        };
        documents = documents.iter().flat_map(longer).collect();
        for (text, factor) in &documents {
            sum += world.log_probability(text).expect("a document").exp() / factor;
        }
    }
    assert_eq!(documents.len(), 125);
    assert!((sum - 1.0).abs() < 1e-12, "{sum}");
}

/// Within 4 standard errors over 20 000 documents.
#[test]
fn the_mean_surprisal_of_documents_is_the_entropy_from_the_chain_rule() {
    let world = usual();
    let nats: Vec<f64> = (0..20_000).map(|index| -world.write(index).1).collect();
    let n = nats.len() as f64;
    let mean = nats.iter().sum::<f64>() / n;
    let variance = nats.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let z = (mean - world.entropy_nats_per_document()) / (variance / n).sqrt();
    assert!(z.abs() < 4.0, "z = {z}");
}

/// Within 4 standard errors over 5000 documents.
#[test]
fn the_mean_number_of_words_is_that_of_the_rules() {
    let world = usual();
    let words: Vec<f64> = (0..5000).map(|index| world.document(index).split(' ').count() as f64).collect();
    let n = words.len() as f64;
    let mean = words.iter().sum::<f64>() / n;
    let variance = words.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let z = (mean - world.mean_words_per_document()) / (variance / n).sqrt();
    assert!(z.abs() < 4.0, "z = {z}");
}

/// Facts of one document are correlated through its topic, so the tolerance of 0.02 is not derived from a binomial.
#[test]
fn facts_are_stated_in_proportion_to_their_popularity() {
    let world = World::new(&config(50, 10, 2));
    let text: Vec<String> = (0..5000).map(|index| world.document(index)).collect();
    let text = text.join(" ");
    let stated: Vec<f64> = world
        .facts()
        .iter()
        .map(|fact| text.matches(&format!("{} {}.", fact.prompt, fact.value)).count() as f64)
        .collect();
    let all: f64 = stated.iter().sum();
    for (fact, count) in world.facts().iter().zip(stated) {
        let share = count / all;
        assert!((share - fact.popularity).abs() < 0.02, "{}: {share}, not {}", fact.prompt, fact.popularity);
    }
}

#[test]
fn facts_are_sorted_and_distinct_and_their_popularities_sum_to_1() {
    let world = usual();
    let facts = world.facts();
    assert_eq!(facts.len(), 600);
    assert!(facts.windows(2).all(|pair| pair[0].popularity >= pair[1].popularity));
    assert!(facts.windows(2).all(|pair| pair[0].rarity <= pair[1].rarity));
    let total: f64 = facts.iter().map(|fact| fact.popularity).sum();
    assert!((total - 1.0).abs() < 1e-12);
    let prompts: BTreeSet<&String> = facts.iter().map(|fact| &fact.prompt).collect();
    assert_eq!(prompts.len(), facts.len());
}

#[test]
fn only_the_true_value_can_follow_a_prompt() {
    let world = usual();
    let (fact, other) = (&world.facts()[0], &world.facts()[1]);
    let twice = |value: &str| format!("{p} {value}. {p} {value}.", p = fact.prompt);
    assert!(world.log_probability(&twice(&fact.value)).is_some());
    assert_eq!(world.log_probability(&twice(&other.value)), None);
}

#[test]
fn text_that_the_world_cannot_generate_has_no_probability() {
    let world = usual();
    let document = world.document(3);
    assert!(world.log_probability(&document).is_some());
    let first_sentence = document.split_inclusive('.').next().expect("a sentence");
    for broken in [
        String::new(),
        ".".to_owned(),
        first_sentence.to_owned(),
        document.to_ascii_lowercase(),
        document.replacen(' ', "  ", 1),
        document.replacen(". ", ".", 1),
        document.trim_end_matches('.').to_owned(),
        format!("{document} "),
        format!(" {document}"),
        format!("{document} É."),
        format!("{document}."),
        format!("{document} The dog barks."),
        document.replacen("The", "The the", 1),
    ] {
        assert_eq!(world.log_probability(&broken), None, "{broken}");
    }
}

#[test]
fn different_seeds_give_different_languages() {
    let other = World::new(&WorldSettings { seed: 8, ..config(600, 150, 4) });
    let world = usual();
    assert_ne!(other.facts()[0].prompt, world.facts()[0].prompt);
    assert_eq!(other.log_probability(&world.document(0)), None);
    assert_eq!(usual().document(5), world.document(5));
}

/// The text as generated by the first version: experiments of all versions must be about the same language.
#[test]
fn a_seed_gives_the_same_text_in_every_version() {
    assert_eq!(
        World::new(&config(50, 10, 2)).document(2),
        "The river of Thesail is Gelrok. The king of Dranguthim is Fanhai. The grujasok shoulhouholes the lekan. \
         A gravem luntreboles this lekan. The lekan mansokes a nukin. The loudridrom refukes the lekan. \
         A gravem mansokes the drepemish thishipir. The river of Zongrusta is Routhaplam."
    );
}
