//! What an arm inherits from the experiment: its own keys over the base tables.

use super::file::{MethodValue, ModelKind, ModelTable, SynthesisTable, TrainingTable};

impl ModelTable {
    /// This table's keys over those of `base`; of another kind, the keys of the base have no meaning.
    pub(super) fn over(&self, base: &Self) -> Self {
        let kind = |table: &Self| table.kind.unwrap_or(ModelKind::Transformer);
        if self.kind.is_some() && kind(self) != kind(base) {
            return self.clone();
        }
        Self {
            kind: self.kind.or(base.kind),
            layers: self.layers.or(base.layers),
            width: self.width.or(base.width),
            heads: self.heads.or(base.heads),
            // An inherited default would not fit another width.
            ffn: self.ffn.or(if self.width.is_none() { base.ffn } else { None }),
            context: self.context.or(base.context),
            precision: self.precision.or(base.precision),
            order: self.order.or(base.order),
        }
    }
}

impl TrainingTable {
    /// This table's keys over those of `base`; what it says of the length or the start replaces both keys of it.
    pub(super) fn over(&self, base: &Self) -> Self {
        let own_length = self.tokens.is_some() || self.epochs.is_some();
        Self {
            tokens: if own_length { self.tokens } else { base.tokens },
            epochs: if own_length { self.epochs } else { base.epochs },
            init: self.init.or(base.init),
            base: if self.init.is_some() {
                self.base.clone()
            } else {
                self.base.clone().or(base.base.clone())
            },
            batch: self.batch.or(base.batch),
            learning_rate: self.learning_rate.or(base.learning_rate),
            warmup_fraction: self.warmup_fraction.or(base.warmup_fraction),
            final_rate_fraction: self.final_rate_fraction.or(base.final_rate_fraction),
            weight_decay: self.weight_decay.or(base.weight_decay),
            beta1: self.beta1.or(base.beta1),
            beta2: self.beta2.or(base.beta2),
            gradient_clip: self.gradient_clip.or(base.gradient_clip),
            fim_share: self.fim_share.or(base.fim_share),
            checkpoint_minutes: self.checkpoint_minutes.or(base.checkpoint_minutes),
        }
    }
}

/// What the decoding keys of a synthesis table are about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decoder {
    Sampling,
    Greedy,
    Beam,
    Contrastive,
}

impl SynthesisTable {
    /// This table's keys over those of `base`. An arm that turns to another method, or to another decoder, leaves behind
    /// what governs the base's; a penalty on repetitions goes with sampling and with greedy decoding. A selection is
    /// inherited as a whole, so that an empty table selects nothing.
    pub(super) fn over(&self, base: &Self) -> Self {
        let nothing = Self::default();
        let base_method = base.method.unwrap_or(MethodValue::Textbook);
        let of_method = if self.method.is_none_or(|own| own == base_method) { base } else { &nothing };
        let own = self.decoder();
        let turns = own.is_some_and(|own| own != base.decoder().unwrap_or(Decoder::Sampling));
        let alike = if turns { &nothing } else { base };
        let searches = matches!(own, Some(Decoder::Beam | Decoder::Contrastive));
        let penalised = if searches { &nothing } else { base };
        Self {
            method: self.method.or(base.method),
            seed: self.seed.or(of_method.seed),
            // Keywords are of the seed, not of every textbook.
            keywords: self.keywords.or(if self.seed.is_none() { of_method.keywords } else { None }),
            prefix: self.prefix.or(of_method.prefix),
            prefix_tokens: self.prefix_tokens.or(of_method.prefix_tokens),
            fidelity: self.fidelity.or(of_method.fidelity),
            span_tokens: self.span_tokens.or(of_method.span_tokens),
            view_tokens: self.view_tokens.or(of_method.view_tokens),
            sharpness: self.sharpness.or(of_method.sharpness),
            command: self.command.clone().or_else(|| of_method.command.clone()),
            timeout_seconds: self.timeout_seconds.or(of_method.timeout_seconds),
            tokens: self.tokens.or(base.tokens),
            max_document_tokens: self.max_document_tokens.or(base.max_document_tokens),
            greedy: self.greedy.or(alike.greedy),
            repetition_penalty: self.repetition_penalty.or(penalised.repetition_penalty),
            temperature: self.temperature.or(alike.temperature),
            top_k: self.top_k.or(alike.top_k),
            top_p: self.top_p.or(alike.top_p),
            min_p: self.min_p.or(alike.min_p),
            typical_p: self.typical_p.or(alike.typical_p),
            beams: self.beams.or(alike.beams),
            length_penalty: self.length_penalty.or(alike.length_penalty),
            contrastive_k: self.contrastive_k.or(alike.contrastive_k),
            contrastive_alpha: self.contrastive_alpha.or(alike.contrastive_alpha),
            selection: self.selection.clone().or_else(|| base.selection.clone()),
        }
    }

    /// The decoder that this table speaks of, if it speaks of one.
    fn decoder(&self) -> Option<Decoder> {
        let truncates =
            self.top_k.is_some() || self.top_p.is_some() || self.min_p.is_some() || self.typical_p.is_some();
        if self.beams.is_some() || self.length_penalty.is_some() {
            Some(Decoder::Beam)
        } else if self.contrastive_k.is_some() || self.contrastive_alpha.is_some() {
            Some(Decoder::Contrastive)
        } else if self.greedy == Some(true) {
            Some(Decoder::Greedy)
        } else if self.greedy == Some(false) || self.temperature.is_some() || truncates {
            Some(Decoder::Sampling)
        } else {
            None
        }
    }
}
