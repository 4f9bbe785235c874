//! Synthetic documents, side by side.

use super::ExperimentSection;
use crate::report::series::{evenly_spaced, last_generation};
use crate::seed::SHARED;
use maud::{Markup, html};

/// Maximum number of rows of the table. If there are more generations, some are left out.
const MOST_GENERATIONS: usize = 7;
/// Documents shown per generation and arm.
const DOCUMENTS: usize = 2;
/// Characters shown of a document.
const EXCERPT: usize = 320;

/// A row per generation, a column per arm.
pub(super) fn side_by_side(section: &ExperimentSection) -> Markup {
    let Some(seed) = shown_seed(section) else {
        return html! { p { "The synthetic texts are not kept in this copy of the experiment." } };
    };
    let arms = &section.arms;
    let of_seed = section.samples.iter().filter(|sample| sample.seed == seed);
    let last =
        of_seed.map(|sample| sample.generation).max().unwrap_or(0).min(last_generation(section.recorded));
    let width = 7 + 15 * arms.len();
    html! {
        p {
            "The first documents of seed " (seed) ", without selection by content, shortened to " (EXCERPT) " characters."
            @if last >= MOST_GENERATIONS { " Some generations are left out." }
        }
        div.scroll tabindex="0" role="group" aria-label="Texts, scrolls sideways" {
            table.texts.by-generation style={ "min-width:" (width) "rem" } {
                caption { "Beginnings of synthetic documents, by generation and arm." }
                thead { tr { th scope="col" { "Generation" } @for arm in arms { th scope="col" { (arm.name) } } } }
                tbody {
                    @for generation in evenly_spaced(last, MOST_GENERATIONS) {
                        tr {
                            th scope="row" { (generation) }
                            @for arm in arms { td { (cell(documents(section, arm.name, generation))) } }
                        }
                    }
                }
            }
        }
    }
}

fn cell(documents: &[String]) -> Markup {
    html! {
        @for document in documents.iter().take(DOCUMENTS) { p.doc { (excerpt(document, EXCERPT)) } }
        @if documents.is_empty() { span.sub { "not kept" } }
    }
}

/// The seed whose texts the page shows: the first one of which texts are kept.
fn shown_seed(section: &ExperimentSection) -> Option<u64> {
    section.samples.iter().find(|sample| !sample.documents.is_empty()).map(|sample| sample.seed)
}

/// The documents that the page has of an arm and generation; none if they are not kept. All arms may share generation 0.
pub(super) fn documents<'a>(section: &'a ExperimentSection, arm: &str, generation: usize) -> &'a [String] {
    let seed = shown_seed(section);
    let by = |name: &str| {
        let mut samples = section.samples.iter();
        samples.find(|one| Some(one.seed) == seed && one.generation == generation && one.arm == name)
    };
    let sample = by(arm).or_else(|| if generation == 0 { by(SHARED) } else { None });
    sample.map_or(&[], |sample| &sample.documents)
}

/// At most `most` characters from the beginning of a document, cut between words if possible.
pub(super) fn excerpt(document: &str, most: usize) -> String {
    let document = document.trim();
    if document.is_empty() {
        return "(an empty document)".to_owned();
    }
    match document.char_indices().nth(most) {
        None => document.to_owned(),
        Some((end, _)) => {
            let cut = &document[..end];
            let word = cut.rfind(char::is_whitespace).filter(|space| *space > end / 2).unwrap_or(end);
            format!("{} …", cut[..word].trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_ends_between_words_and_never_inside_a_letter() {
        let long = "wörter ".repeat(100);
        let short = excerpt(&long, EXCERPT);
        assert!(short.ends_with("wörter …") && short.chars().count() <= EXCERPT + 2);
        assert_eq!(excerpt(&"ü".repeat(400), EXCERPT).chars().count(), EXCERPT + 2);
        assert_eq!(excerpt("  short ", EXCERPT), "short");
    }
}
