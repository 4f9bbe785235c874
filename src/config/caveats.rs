//! What a comparison of an experiment's arms cannot tell, because of how they are set up.

use super::experiment::{Arm, Experiment};
use super::names::arms_in_words;
use std::collections::BTreeSet;

impl Experiment {
    /// What intervals over seeds leave out, in words; None if seeds differ in everything.
    #[must_use]
    pub fn shared_by_seeds(&self) -> Option<String> {
        let shared = self.vary.names(false).join(" and ");
        (!shared.is_empty() && self.seeds.len() > 1)
            .then(|| format!("all seeds have the same {shared} (vary), so intervals leave out the spread that comes from it"))
    }

    /// Which arms write their text under other settings than the control, and what comes from that alone, in words; None if
    /// no arm does.
    #[must_use]
    pub fn written_unlike_control(&self) -> Option<String> {
        let keys_of = |arm: &Arm| different_synthesis_keys(arm, self.control());
        let arms: Vec<&Arm> = self.arms.iter().filter(|arm| !keys_of(arm).is_empty()).collect();
        let keys: BTreeSet<String> = arms.iter().flat_map(|arm| keys_of(arm)).collect();
        let keys: Vec<String> = keys.into_iter().map(|key| format!("synthesis.{key}")).collect();
        let already = match self.writer {
            None => ", at generation 0 already (see genloss inspect DIR --generation 0)",
            Some(_) => "",
        };
        let (verb, their) = if arms.len() == 1 { ("writes", "its") } else { ("write", "their") };
        (!arms.is_empty()).then(|| {
            format!(
                "{} {verb} under other settings than the control ({}), so part of the difference in {their} own text, as in \
                 entropy and rare tokens, comes from how it is written and not from what a model has lost{already}; held-out \
                 loss differs only by what training on that text did",
                arms_in_words(arms.iter().map(|arm| arm.name.as_str())),
                keys.join(", ")
            )
        })
    }
}

/// The keys of `[synthesis]` that affect how text reads and that differ between two arms. The number of tokens does not.
fn different_synthesis_keys(arm: &Arm, control: &Arm) -> BTreeSet<String> {
    let (ours, theirs) = (arm.synthesis.result_table(), control.synthesis.result_table());
    let is_different = |key: &&String| *key != "tokens" && ours.get(*key) != theirs.get(*key);
    let different: BTreeSet<String> =
        ours.keys().chain(theirs.keys()).filter(is_different).cloned().collect();
    if !different.contains("method") {
        return different;
    }
    // A method has settings that another one lacks.
    different.into_iter().filter(|key| ours.contains_key(key) && theirs.contains_key(key)).collect()
}
