//! Checks which text a generation is trained on.

use super::values::share;
use crate::config::error::{ConfigError, setting};
use crate::config::file::{ArmTable, FractionValue, MixtureTable, MixtureValue};
use crate::config::regimes;
use crate::config::settings::{
    Budget, CONTROL, Mixture, NaturalDocuments, NaturalFraction, SyntheticDocuments,
};

pub(super) fn mixture(key: &str, table: &ArmTable) -> Result<Mixture, ConfigError> {
    match &table.mixture {
        None if table.name == CONTROL => Ok(regimes::control()),
        None => Err(setting(
            key,
            "is missing; give a published name such as \"replace\", or { natural_fraction = 0.3 }",
        )),
        Some(value) => mixture_value(key, value),
    }
}

/// Checks a mixture, given by a published name or by its settings.
pub(in crate::config) fn mixture_value(key: &str, value: &MixtureValue) -> Result<Mixture, ConfigError> {
    match value {
        MixtureValue::Name(name) => regimes::find(name).ok_or_else(|| unknown_regime(key, name)),
        MixtureValue::Settings(settings) => mixture_settings(key, settings),
    }
}

fn unknown_regime(key: &str, name: &str) -> ConfigError {
    let known: Vec<&str> = regimes::PUBLISHED_REGIMES.iter().map(|regime| regime.name).collect();
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)))
        .copied()
        .unwrap_or_default();
    setting(
        key,
        format!("\"{name}\" is no published regime; the nearest is \"{nearest}\" (of {})", known.join(", ")),
    )
}

fn mixture_settings(key: &str, table: &MixtureTable) -> Result<Mixture, ConfigError> {
    let fraction_key = format!("{key}.natural_fraction");
    let natural_fraction = match &table.natural_fraction {
        None => {
            return Err(setting(
                fraction_key,
                "is missing; give a number from 0 to 1, a list, or \"proportional\"",
            ));
        }
        Some(FractionValue::Proportional) => NaturalFraction::Proportional,
        Some(FractionValue::Schedule(fractions)) if fractions.is_empty() => {
            return Err(setting(
                fraction_key,
                "the list is empty; give one number per generation (the last one repeats)",
            ));
        }
        Some(FractionValue::Schedule(fractions)) => {
            fractions.iter().try_for_each(|&fraction| share(&fraction_key, fraction).map(drop))?;
            NaturalFraction::Schedule(fractions.clone())
        }
    };
    Ok(Mixture {
        natural_fraction,
        natural: table.natural.unwrap_or(NaturalDocuments::Fixed),
        synthetic: table.synthetic.unwrap_or(SyntheticDocuments::Latest),
        budget: table.budget.unwrap_or(Budget::Constant),
    })
}
