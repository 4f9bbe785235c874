//! How rare is a type? By mass, not by number.

/// Where a type stands when types are sorted by falling frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rarity {
    /// The fewest, most frequent types that hold at least 90 % of the mass.
    Head,
    /// The fewest next ones that, with the head, hold at least 99 %.
    Torso,
    /// The rest: at most 1 %.
    Tail,
}

impl Rarity {
    /// All three, the most frequent first.
    pub const ALL: [Self; 3] = [Self::Head, Self::Torso, Self::Tail];

    /// The name that stands in the ids of metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Torso => "torso",
            Self::Tail => "tail",
        }
    }

    /// The class of each type, given masses that do not increase. They need not sum to 1.
    #[must_use]
    pub fn of_descending(masses: &[f64]) -> Vec<Self> {
        let total: f64 = masses.iter().sum();
        let mut before = 0.0;
        let class = |mass: &f64| {
            let share = before / total;
            before += mass;
            // What is rounding, not mass, must not start another class.
            match share {
                _ if share < 0.90 - 1e-12 => Self::Head,
                _ if share < 0.99 - 1e-12 => Self::Torso,
                _ => Self::Tail,
            }
        };
        masses.iter().map(class).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Rarity::{self, Head, Tail, Torso};

    /// Cumulated before each: 0, 0.5, 0.85, 0.95, 0.985, 0.995. The head needs the third to reach 0.9.
    #[test]
    fn classes_are_the_fewest_types_that_reach_their_mass() {
        let classes = Rarity::of_descending(&[0.5, 0.35, 0.1, 0.035, 0.01, 0.005]);
        assert_eq!(classes, [Head, Head, Head, Torso, Torso, Tail]);
    }

    #[test]
    fn rounding_starts_no_class() {
        let classes = Rarity::of_descending(&[0.1; 10]);
        assert_eq!(classes.iter().filter(|&&class| class == Head).count(), 9);
    }
}
