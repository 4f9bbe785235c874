//! Look-up of definitions when records are read.

use super::{MeasureError, MetricDefinition};

/// Definitions of metrics by id, in the order of output.
///
/// A record may contain metrics that this version of the program does not compute: those of a program that added its own,
/// or of another version. [`RunRecord::catalogue`](crate::store::RunRecord::catalogue) includes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue(Vec<MetricDefinition>);

impl Catalogue {
    pub(super) fn of(definitions: Vec<MetricDefinition>) -> Self {
        Self(definitions)
    }

    /// Adds a definition at the end.
    ///
    /// # Errors
    /// If its id is in use already, or is not in `snake_case`.
    pub fn add(&mut self, definition: MetricDefinition) -> Result<(), MeasureError> {
        let id = &definition.id;
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if id.is_empty() || !id.chars().all(is_allowed) {
            return Err(MeasureError::InvalidId { id: id.to_string() });
        }
        if self.get(id).is_some() {
            return Err(MeasureError::DuplicateId { id: id.to_string() });
        }
        self.0.push(definition);
        Ok(())
    }

    /// Adds a definition at the end, unless its id is defined already.
    pub fn add_if_new(&mut self, definition: &MetricDefinition) {
        if self.get(&definition.id).is_none() {
            self.0.push(definition.clone());
        }
    }

    /// Adds a metric about which nothing but its id and unit is known, unless its id is defined already. Its label is
    /// its id, its family is [`Other`](super::Family::Other) and its direction is unclear.
    pub fn add_unknown(&mut self, id: &str, unit: &str) {
        if self.get(id).is_none() {
            self.0.push(MetricDefinition::unknown(id, unit));
        }
    }

    /// The definition of the metric called `id`.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&MetricDefinition> {
        self.0.iter().find(|definition| definition.id == id)
    }

    /// The label of the metric called `id`, or `id` itself if there is no such metric.
    #[must_use]
    pub fn label<'a>(&'a self, id: &'a str) -> &'a str {
        self.get(id).map_or(id, |definition| &definition.label)
    }

    /// The definitions in the order of output.
    pub fn iter(&self) -> std::slice::Iter<'_, MetricDefinition> {
        self.0.iter()
    }

    /// The number of definitions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no definitions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Catalogue {
    type Item = &'a MetricDefinition;
    type IntoIter = std::slice::Iter<'a, MetricDefinition>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Direction, Family};

    /// Adding an id that is invalid or already there is an error.
    #[test]
    fn builtin_ids_are_snake_case_and_unique() {
        let mut catalogue = Catalogue::of(Vec::new());
        for definition in &Catalogue::builtin() {
            catalogue.add(definition.clone()).unwrap();
        }
        assert_eq!(catalogue.len(), Catalogue::builtin().len());
        assert_eq!(catalogue.get("no_such_metric"), None);
    }

    #[test]
    fn a_metric_known_only_by_id_and_unit_has_its_id_as_label_and_no_direction() {
        let mut catalogue = Catalogue::builtin();
        catalogue.add_unknown("reading_ease", "points");
        catalogue.add_unknown("heldout_loss", "points");
        let unknown = catalogue.get("reading_ease").unwrap();
        assert_eq!((&*unknown.label, &*unknown.unit), ("reading_ease", "points"));
        assert_eq!((unknown.family, unknown.narrowing), (Family::Other, Direction::Unclear));
        assert_eq!(catalogue.get("heldout_loss").unwrap().unit, "nats/token");
        assert_eq!(catalogue.label("never_heard_of"), "never_heard_of");
    }
}
