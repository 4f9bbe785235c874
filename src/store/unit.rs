//! The units of work of a run, each of which one process makes at a time.

use super::Address;
use crate::config::{Arm, Experiment};
use std::fmt;
use std::str::FromStr;

/// A unit of work: generation 0 of all arms with one seed, or the later generations of one arm with one seed. Arms that learn
/// from each other's text are one unit ([`Experiment::arms_together`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// The seed.
    pub seed: u64,
    /// The arms whose generations from 1 on belong to the unit; empty for generation 0 of all arms.
    pub arms: Vec<String>,
}

impl Unit {
    /// The unit that makes generation 0 of all arms with a seed.
    #[must_use]
    pub fn first(seed: u64) -> Self {
        Self { seed, arms: Vec::new() }
    }

    /// The unit that makes the later generations of these arms.
    #[must_use]
    pub fn lineages(seed: u64, arms: &[&Arm]) -> Self {
        Self { seed, arms: arms.iter().map(|arm| arm.name.clone()).collect() }
    }

    /// Whether it makes generation 0.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.arms.is_empty()
    }

    /// Whether it makes this generation.
    #[must_use]
    pub fn makes(&self, address: Address) -> bool {
        self.seed == address.seed
            && match address.generation {
                0 => self.is_first(),
                _ => address.arm.is_some_and(|arm| self.arms.iter().any(|one| one == arm)),
            }
    }

    /// The arms of an experiment that have generations in the unit.
    pub fn arms_of<'a>(&self, experiment: &'a Experiment) -> impl Iterator<Item = &'a Arm> {
        experiment.arms.iter().filter(|arm| self.is_first() || self.arms.contains(&arm.name))
    }

    /// The units of an experiment, in the order in which a single process makes them.
    #[must_use]
    pub fn all(experiment: &Experiment) -> Vec<Self> {
        let later = if experiment.generations > 0 { experiment.arms_together() } else { Vec::new() };
        let of_seed = |&seed: &u64| {
            std::iter::once(Self::first(seed)).chain(later.iter().map(move |arms| Self::lineages(seed, arms)))
        };
        experiment.seeds.iter().flat_map(of_seed).collect()
    }

    /// The addresses of its generations, in the order in which they are made.
    #[must_use]
    pub fn addresses<'a>(&self, experiment: &'a Experiment) -> Vec<Address<'a>> {
        let generations = if self.is_first() { 0..=0 } else { 1..=experiment.generations };
        let mut addresses = Vec::new();
        for generation in generations {
            for arm in self.arms_of(experiment) {
                let address = Address::of(experiment, self.seed, arm, generation);
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
        (!self.is_first()).then(|| Self::first(self.seed))
    }

    pub(super) fn from_key(key: &str) -> Option<Self> {
        key.replacen('+', "/", 1).parse().ok()
    }

    /// The name of its claims, and its name in those of unfinished files.
    pub(super) fn key(&self) -> String {
        self.to_string().replace('/', "+")
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed-{}", self.seed)?;
        if self.is_first() { Ok(()) } else { write!(f, "/{}", self.arms.join("+")) }
    }
}

/// A text is not the name of a unit.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a unit; give seed-S or seed-S/ARM, as genloss units lists them")]
pub struct NotAUnit(String);

impl FromStr for Unit {
    type Err = NotAUnit;

    fn from_str(text: &str) -> Result<Self, NotAUnit> {
        let (seed, arms) = match text.split_once('/') {
            None => (text, Vec::new()),
            Some((seed, arms)) => (seed, arms.split('+').map(str::to_owned).collect()),
        };
        let number = seed.strip_prefix("seed-").and_then(|seed| seed.parse().ok());
        match number {
            Some(seed) if !arms.iter().any(String::is_empty) => Ok(Self { seed, arms }),
            _ => Err(NotAUnit(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_back_from_its_name() {
        for name in ["seed-1", "seed-18446744073709551615/a=1,b", "seed-2/a+b"] {
            let unit: Unit = name.parse().unwrap();
            assert_eq!(unit.to_string(), name);
            assert_eq!(Unit::from_key(&unit.key()), Some(unit));
        }
        for name in ["seed-", "1", "seed-1/", "seed--1", "", "seed-1/a+"] {
            assert!(name.parse::<Unit>().is_err(), "{name}");
        }
    }
}
