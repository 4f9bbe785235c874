//! Classes of types, or of facts, by rarity: head, torso and tail, defined by cumulative shares of the text.
//!
//! ```
//! use genloss::rarity::Rarity;
//!
//! // Cumulative shares of the types before each type: 0, 0.7, 0.92 and 0.995.
//! let classes = Rarity::of_descending(&[0.7, 0.22, 0.075, 0.005]);
//! assert_eq!(classes, [Rarity::Head, Rarity::Head, Rarity::Torso, Rarity::Tail]);
//! ```

use serde::{Deserialize, Serialize};

/// The class of a type, when types are sorted by descending frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rarity {
    /// The most frequent types: the fewest that together make up at least 90 % of the text.
    Head,
    /// The next types: the fewest that, together with the head, make up at least 99 % of the text.
    Torso,
    /// All other types, which make up at most 1 % of the text.
    Tail,
}

impl Rarity {
    /// The classes, from the most frequent types to the rarest.
    pub const ALL: [Self; 3] = [Self::Head, Self::Torso, Self::Tail];

    /// Name of the class, as it appears in metric ids.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Torso => "torso",
            Self::Tail => "tail",
        }
    }

    /// The class of each type, given the types' frequencies or counts in descending order. The
    /// frequencies need not sum to 1.
    #[must_use]
    pub fn of_descending(masses: &[f64]) -> Vec<Self> {
        let total: f64 = masses.iter().sum();
        let mut before = 0.0;
        let mut classes = Vec::with_capacity(masses.len());
        for mass in masses {
            classes.push(Self::at_cumulative_share(before / total));
            before += mass;
        }
        classes
    }

    /// The class of a type, given the share of the text that more frequent types make up.
    fn at_cumulative_share(share: f64) -> Self {
        /// A share that is below a bound by less than this counts as having reached the bound.
        const ROUNDING: f64 = 1e-12;
        if share < 0.90 - ROUNDING {
            Self::Head
        } else if share < 0.99 - ROUNDING {
            Self::Torso
        } else {
            Self::Tail
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rarity::{self, Head, Tail, Torso};

    /// The cumulative shares before each type are 0, 0.5, 0.85, 0.95, 0.985 and 0.995. The head needs the third type to
    /// reach 0.9.
    #[test]
    fn a_class_ends_with_the_type_that_reaches_its_bound() {
        let classes = Rarity::of_descending(&[0.5, 0.35, 0.1, 0.035, 0.01, 0.005]);
        assert_eq!(classes, [Head, Head, Head, Torso, Torso, Tail]);
    }

    #[test]
    fn rounding_does_not_begin_another_class() {
        let classes = Rarity::of_descending(&[0.1; 10]);
        assert_eq!(classes.iter().filter(|&&class| class == Head).count(), 9);
    }
}
