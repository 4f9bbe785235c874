//! A corpus that several models write in turn.

use super::SynthesisError;
use super::method::{Draft, Generator, GeneratorContext, GeneratorResult, SynthesisMethod};
use crate::documents::Documents;
use crate::stage::Stage;
use crate::units::Tokens;

/// The generator of a corpus by the model of `context`, or, if that is a group, by its members in turn.
pub(super) fn generator<'a>(
    method: &'a dyn SynthesisMethod,
    context: GeneratorContext<'a>,
) -> GeneratorResult<'a> {
    let members = context.model.members();
    if members.is_empty() {
        return method.generator(context);
    }
    let candidates = context.candidates as u64;
    let of_member = |model| method.generator(GeneratorContext { model, ..context.clone() });
    let writers = members.iter().map(|member| of_member(&**member)).collect::<Result<_, _>>()?;
    Ok(Box::new(TakingTurns { writers, candidates }))
}

/// Generates each document by the writer whose turn it is. All candidates for a slot have the same writer.
struct TakingTurns<'a> {
    writers: Vec<Box<dyn Generator + 'a>>,
    /// Number of candidates for each slot.
    candidates: u64,
}

impl TakingTurns<'_> {
    fn writer_of(&self, item: u64) -> usize {
        (item / self.candidates % self.writers.len() as u64) as usize
    }
}

impl Generator for TakingTurns<'_> {
    fn generate(&self, items: &[u64], stage: &Stage) -> Result<Draft, SynthesisError> {
        let mut drafts = Vec::new();
        for (writer, generator) in self.writers.iter().enumerate() {
            let own: Vec<u64> =
                items.iter().copied().filter(|&item| self.writer_of(item) == writer).collect();
            drafts.push(whole(&**generator, &own, stage)?);
        }
        let kept = drafts.iter().filter_map(|draft| draft.kept).reduce(|sum, kept| Tokens(sum.0 + kept.0));
        let mut written: Vec<_> = drafts.iter().map(|draft| draft.documents.iter()).collect();
        let documents = items.iter().filter_map(|&item| written[self.writer_of(item)].next()).collect();
        Ok(Draft { documents, kept })
    }

    fn source(&self) -> String {
        let writers = self.writers.len();
        self.writers
            .first()
            .map_or_else(String::new, |one| format!("{}; {writers} writers in turn", one.source()))
    }
}

/// Writes all of `items`, in as many requests as the generator needs.
fn whole(generator: &dyn Generator, items: &[u64], stage: &Stage) -> Result<Draft, SynthesisError> {
    let mut whole = Draft { documents: Documents::new(), kept: None };
    while whole.documents.len() < items.len() {
        let Draft { documents, kept } = generator.generate(&items[whole.documents.len()..], stage)?;
        documents.iter().for_each(|document| whole.documents.push(document));
        whole.kept = kept.map(|kept| Tokens(kept.0 + whole.kept.unwrap_or_default().0));
    }
    Ok(whole)
}
