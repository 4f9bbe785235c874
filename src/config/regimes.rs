//! The published mixture regimes as points of the mixture grammar.

use super::settings::{Budget, Mixture, NaturalDocuments, NaturalFraction, SyntheticDocuments};

/// A published name and what it stands for.
pub struct Regime {
    /// The name that `mixture = "…"` accepts.
    pub name: &'static str,
    /// Who published it.
    pub source: &'static str,
    mixture: fn() -> Mixture,
}

impl Regime {
    /// The regime's four settings.
    #[must_use]
    pub fn mixture(&self) -> Mixture {
        (self.mixture)()
    }
}

/// Every published name that stands in place of the four settings.
pub const PUBLISHED_REGIMES: [Regime; 8] = [
    Regime {
        name: "replace",
        source: "Shumailov et al. 2024; the fully synthetic loop of Alemohammad et al. 2024",
        mixture: || constant(0.0, NaturalDocuments::Fixed),
    },
    Regime {
        name: "replace-multiple",
        source: "Gerstgrasser et al. 2024: replace, grown to the size of accumulate",
        mixture: || Mixture { budget: Budget::Growing, ..constant(0.0, NaturalDocuments::Fixed) },
    },
    Regime {
        name: "anchored",
        source: "10 % of the original data kept: Shumailov et al. 2024; Bertrand et al. 2024",
        mixture: || constant(0.1, NaturalDocuments::Fixed),
    },
    Regime {
        name: "fresh-data-loop",
        source: "the fresh data loop of Alemohammad et al. 2024",
        mixture: || constant(0.1, NaturalDocuments::Fresh),
    },
    Regime {
        name: "append-human-data",
        source: "Drayson et al. 2025",
        mixture: || Mixture { budget: Budget::Added, ..constant(0.1, NaturalDocuments::Fixed) },
    },
    Regime {
        name: "accumulate",
        source: "Gerstgrasser et al. 2024",
        mixture: || Mixture {
            natural_fraction: NaturalFraction::Proportional,
            natural: NaturalDocuments::Fixed,
            synthetic: SyntheticDocuments::All,
            budget: Budget::Growing,
        },
    },
    Regime {
        name: "accumulate-subsample",
        source: "Kazdan et al. 2024",
        mixture: || Mixture {
            natural_fraction: NaturalFraction::Proportional,
            natural: NaturalDocuments::Fixed,
            synthetic: SyntheticDocuments::All,
            budget: Budget::Constant,
        },
    },
    Regime {
        name: "control",
        source: "natural text only",
        mixture: || constant(1.0, NaturalDocuments::Fixed),
    },
];

fn constant(fraction: f64, natural: NaturalDocuments) -> Mixture {
    Mixture {
        natural_fraction: NaturalFraction::Schedule(vec![fraction]),
        natural,
        synthetic: SyntheticDocuments::Latest,
        budget: Budget::Constant,
    }
}

/// The mixture that `name` stands for. Words may be joined by hyphens, underscores or spaces.
pub(super) fn find(name: &str) -> Option<Mixture> {
    let name = name.replace(['_', ' '], "-");
    PUBLISHED_REGIMES.iter().find(|regime| regime.name == name).map(Regime::mixture)
}

/// The control's mixture.
pub(super) fn control() -> Mixture {
    constant(1.0, NaturalDocuments::Fixed)
}
