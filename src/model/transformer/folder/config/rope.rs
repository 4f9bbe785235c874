//! The rotary positions that a `config.json` describes.

use super::super::super::architecture::{Rope, RopeScaling, Yarn};
use super::ModelConfig;
use super::fields::unsupported;
use serde_json::Value;

/// The value of a setting that has an older and a newer name, of which version 4 of transformers reads the one and version 5
/// the other.
fn one_of(
    older_name: &str,
    older: Option<f64>,
    newer_name: &str,
    newer: Option<f64>,
) -> Result<Option<f64>, String> {
    match (older, newer) {
        (Some(older), Some(newer)) if older != newer => {
            Err(differ(&format!("{older_name} {older}"), &format!("{newer_name} {newer} of rope_parameters")))
        }
        (older, newer) => Ok(newer.or(older)),
    }
}

fn differ(older: &str, newer: &str) -> String {
    format!(
        "{older} and {newer} differ, and which of them is read depends on the version of transformers; make them equal, as the \
         model was trained"
    )
}

fn kind_of(settings: &Value) -> Option<&str> {
    settings.get("rope_type").or_else(|| settings.get("type"))?.as_str()
}

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
        for name in ["rope_parameters", "rope_scaling"] {
            if let Some(other) = self.value(name).filter(|value| !value.is_object()) {
                return Err(format!("{name} {other} is not an object"));
            }
        }
        let newer = self.value("rope_parameters").map(|all| all.get(layers).unwrap_or(all));
        let number = |settings: Option<&Value>, name: &str| match settings.and_then(|all| all.get(name)) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| format!("{name} {value} is not a number")),
        };
        let older = |name: &str| self.value(name).map(|_| self.number(name, 0.0)).transpose();
        let theta =
            one_of(theta.0, older(theta.0)?, "rope_theta", number(newer, "rope_theta")?)?.unwrap_or(theta.1);
        if !(theta > 0.0 && theta.is_finite()) {
            return Err(format!("rope_theta {theta} is out of range"));
        }
        let share = match share {
            None => 1.0,
            Some((name, default)) => {
                let newer_name = "partial_rotary_factor";
                one_of(name, older(name)?, newer_name, number(newer, newer_name)?)?.unwrap_or(default)
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
        let scaling = |settings: Option<&Value>| settings.map(|settings| self.scaling(settings)).transpose();
        // The newer field may have the base alone.
        let has_kind = |settings: &&Value| kind_of(settings).is_some() || settings.get("factor").is_some();
        match (scaling(older)?, scaling(newer.filter(has_kind))?) {
            (Some(older), Some(newer)) if older != newer => Err(differ("rope_scaling", "rope_parameters")),
            (older, newer) => {
                Ok(Rope { columns, theta, scaling: older.or(newer).unwrap_or(RopeScaling::None) })
            }
        }
    }

    fn scaling(&self, settings: &Value) -> Result<RopeScaling, String> {
        let number = |name: &str| match settings.get(name) {
            None => Err(format!("{name} of the rotary scaling is missing")),
            Some(value) => value
                .as_f64()
                .filter(|value| *value > 0.0)
                .ok_or_else(|| format!("{name} of the rotary scaling, {value}, is not a number above 0")),
        };
        match kind_of(settings).ok_or("the rotary scaling has no rope_type")? {
            "default" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear { factor: number("factor")? }),
            "dynamic" => Ok(RopeScaling::Dynamic { factor: number("factor")? }),
            "yarn" => Ok(RopeScaling::Yarn(self.yarn(settings, number("factor")?)?)),
            "llama3" => Ok(RopeScaling::Llama3 {
                factor: number("factor")?,
                low: number("low_freq_factor")?,
                high: number("high_freq_factor")?,
                original_context: number("original_max_position_embeddings")?,
            }),
            kind => {
                let kind: String = kind.chars().take(40).collect();
                Err(unsupported(&format!("scaled rotary positions of the type {kind:?} are")))
            }
        }
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
