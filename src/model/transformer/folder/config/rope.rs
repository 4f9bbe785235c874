//! The rotary positions that a `config.json` describes.

use super::super::super::architecture::{Rope, RopeScaling, Yarn};
use super::ModelConfig;
use super::fields::unsupported;
use serde_json::Value;

impl ModelConfig {
    /// The rotary positions of heads of `head` columns. Newer folders have the base, the rotated share and the scaling
    /// under `rope_parameters`; `theta` and `share` are the names of the older fields, with their defaults.
    pub(super) fn rope(
        &self,
        head: usize,
        theta: (&str, f64),
        share: Option<(&str, f64)>,
    ) -> Result<Rope, String> {
        self.rope_of_layers(head, theta, share, "full_attention")
    }

    /// As [`rope`](Self::rope), of the layers of a kind, which may have rotary parameters of their own.
    pub(super) fn rope_of_layers(
        &self,
        head: usize,
        theta: (&str, f64),
        share: Option<(&str, f64)>,
        layers: &str,
    ) -> Result<Rope, String> {
        let newer = self.value("rope_parameters").map(|all| all.get(layers).unwrap_or(all));
        let number = |settings: Option<&Value>, name: &str| match settings.and_then(|all| all.get(name)) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| format!("{name} {value} is not a number")),
        };
        let older = self.number(theta.0, theta.1)?;
        let theta = number(newer, "rope_theta")?.unwrap_or(older);
        if !(theta > 0.0 && theta.is_finite()) {
            return Err(format!("rope_theta {theta} is out of range"));
        }
        let share = match share {
            None => 1.0,
            Some((name, default)) => {
                let older = self.number(name, default)?;
                number(newer, "partial_rotary_factor")?.unwrap_or(older)
            }
        };
        let columns = (head as f64 * share) as usize;
        if !(0.0..=1.0).contains(&share) || !columns.is_multiple_of(2) || columns == 0 {
            return Err(format!(
                "{share} of heads of {head} columns would be rotated; rotary positions need an even number"
            ));
        }
        // Only layers that read everything are scaled.
        let older = self.value("rope_scaling").filter(|_| layers == "full_attention");
        Ok(Rope { columns, theta, scaling: self.scaling(older, newer)? })
    }

    fn scaling(&self, older: Option<&Value>, newer: Option<&Value>) -> Result<RopeScaling, String> {
        for settings in older.into_iter().chain(newer) {
            let kind = settings.get("rope_type").or_else(|| settings.get("type"));
            let number = |name: &str| {
                let value = settings.get(name).and_then(Value::as_f64);
                value
                    .filter(|value| *value > 0.0)
                    .ok_or_else(|| format!("{name} of the rotary scaling is missing"))
            };
            match kind.and_then(Value::as_str) {
                None | Some("default") => {}
                Some("linear") => return Ok(RopeScaling::Linear { factor: number("factor")? }),
                Some("dynamic") => return Ok(RopeScaling::Dynamic { factor: number("factor")? }),
                Some("yarn") => return Ok(RopeScaling::Yarn(self.yarn(settings, number("factor")?)?)),
                Some("llama3") => {
                    return Ok(RopeScaling::Llama3 {
                        factor: number("factor")?,
                        low: number("low_freq_factor")?,
                        high: number("high_freq_factor")?,
                        original_context: number("original_max_position_embeddings")?,
                    });
                }
                Some(kind) => {
                    let kind: String = kind.chars().take(40).collect();
                    return Err(unsupported(&format!("scaled rotary positions of the type {kind:?} are")));
                }
            }
        }
        Ok(RopeScaling::None)
    }

    fn yarn(&self, settings: &Value, factor: f64) -> Result<Yarn, String> {
        let number = |name: &str| settings.get(name).and_then(Value::as_f64).filter(|value| *value > 0.0);
        // The length of rotated vectors that Peng et al. (2023) recommend for a factor.
        let length = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
        let attention_factor = match (number("attention_factor"), number("mscale"), number("mscale_all_dim"))
        {
            (Some(given), ..) => given,
            (None, Some(one), Some(all)) => length(one) / length(all),
            _ => length(1.0),
        };
        let original_context = match number("original_max_position_embeddings") {
            Some(given) => given,
            None => self.size("max_position_embeddings")? as f64,
        };
        Ok(Yarn {
            factor,
            beta_fast: number("beta_fast").unwrap_or(32.0),
            beta_slow: number("beta_slow").unwrap_or(1.0),
            original_context,
            attention_factor,
            truncate: settings.get("truncate").and_then(Value::as_bool).unwrap_or(true),
        })
    }
}
