//! The units of work of a run, each of which one process makes at a time.

use super::Address;
use crate::config::{Arm, Experiment};
use std::fmt;
use std::str::FromStr;

/// A unit of work: generation 0 of all arms with one seed, or the later generations of one arm with one seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// The seed.
    pub seed: u64,
    /// The arm whose generations from 1 on belong to the unit; `None` for generation 0 of all arms.
    pub arm: Option<String>,
}

impl Unit {
    /// The unit that makes generation 0 of all arms with a seed.
    #[must_use]
    pub fn first(seed: u64) -> Self {
        Self { seed, arm: None }
    }

    /// The unit that makes the later generations of an arm.
    #[must_use]
    pub fn lineage(seed: u64, arm: &Arm) -> Self {
        Self { seed, arm: Some(arm.name.clone()) }
    }

    /// The unit that makes a generation.
    #[must_use]
    pub fn of(address: Address) -> Self {
        let arm = address.arm.filter(|_| address.generation > 0).map(str::to_owned);
        Self { seed: address.seed, arm }
    }

    /// The units of an experiment, in the order in which a single process makes them.
    #[must_use]
    pub fn all(experiment: &Experiment) -> Vec<Self> {
        let later = if experiment.generations > 0 { experiment.arms.as_slice() } else { &[] };
        let of_seed = |&seed: &u64| {
            std::iter::once(Self::first(seed)).chain(later.iter().map(move |arm| Self::lineage(seed, arm)))
        };
        experiment.seeds.iter().flat_map(of_seed).collect()
    }

    /// The addresses of its generations, in order.
    #[must_use]
    pub fn addresses<'a>(&self, experiment: &'a Experiment) -> Vec<Address<'a>> {
        let mut addresses = Vec::new();
        for arm in &experiment.arms {
            let generations = match &self.arm {
                None => 0..=0,
                Some(name) if *name == arm.name => 1..=experiment.generations,
                Some(_) => continue,
            };
            for address in generations.map(|generation| Address::of(experiment, self.seed, arm, generation)) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        addresses
    }

    /// The unit that must be done before this one can be made.
    #[must_use]
    pub fn needs(&self) -> Option<Self> {
        self.arm.is_some().then(|| Self::first(self.seed))
    }

    pub(super) fn from_key(key: &str) -> Option<Self> {
        key.replace('+', "/").parse().ok()
    }

    /// The name of its claims, and its name in those of unfinished files.
    pub(super) fn key(&self) -> String {
        self.to_string().replace('/', "+")
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed-{}", self.seed)?;
        self.arm.as_ref().map_or(Ok(()), |arm| write!(f, "/{arm}"))
    }
}

/// A text is not the name of a unit.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a unit; give seed-S or seed-S/ARM, as genloss units lists them")]
pub struct NotAUnit(String);

impl FromStr for Unit {
    type Err = NotAUnit;

    fn from_str(text: &str) -> Result<Self, NotAUnit> {
        let (seed, arm) =
            text.split_once('/').map_or((text, None), |(seed, arm)| (seed, Some(arm.to_owned())));
        let number = seed.strip_prefix("seed-").and_then(|seed| seed.parse().ok());
        match number {
            Some(seed) if arm.as_deref() != Some("") => Ok(Self { seed, arm }),
            _ => Err(NotAUnit(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_back_from_its_name() {
        for name in ["seed-1", "seed-18446744073709551615/a=1,b"] {
            assert_eq!(name.parse::<Unit>().unwrap().to_string(), name);
        }
        for name in ["seed-", "1", "seed-1/", "seed--1", ""] {
            assert!(name.parse::<Unit>().is_err(), "{name}");
        }
    }
}
