//! Scores of documents.

use super::*;

/// The log-probability and entropy of each token by the reference pass, a window at a time.
fn reference_scores(model: &Transformer, document: &[TokenId]) -> Vec<(f32, f32)> {
    let context = model.context();
    let mut inputs = vec![SPECIAL.start];
    inputs.extend_from_slice(document);
    (0..document.len())
        .map(|t| {
            // The first window reaches to the context; each later one begins half a context later.
            let first = if t < context { 0 } else { (t - context / 2) / (context / 2) * (context / 2) };
            let tokens = Tensor::new(&inputs[first..=t], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let hidden = plain::hidden(model.network(), &tokens).unwrap();
            let logits = values(&plain::logits(model.network(), &hidden).unwrap());
            let row = &logits[logits.len() - model.vocab_size()..];
            let total: f64 = row.iter().map(|&z| f64::from(z).exp()).sum();
            let log_p = |z: f32| f64::from(z) - total.ln();
            let entropy: f64 = row.iter().map(|&z| -log_p(z).exp() * log_p(z)).sum();
            (log_p(row[document[t] as usize]) as f32, entropy as f32)
        })
        .collect()
}

#[test]
fn scores_agree_with_the_reference_also_beyond_the_context() {
    let model = lively(Shape::new(&TINY, 50));
    let documents = random_documents(12, 50);
    let scores = staged(|stage| model.score(&documents, stage).unwrap());
    let slow: Vec<_> = documents.iter().flat_map(|document| reference_scores(&model, document)).collect();
    assert_eq!(scores.log_probabilities.len(), slow.len());
    for (i, (log_probability, entropy)) in slow.into_iter().enumerate() {
        assert!((scores.log_probabilities[i] - log_probability).abs() < 1e-4);
        assert!((scores.entropies[i] - entropy).abs() < 1e-4);
    }
}

#[test]
fn a_document_has_the_same_score_beside_others() {
    let model = lively(Shape::new(&TINY, 50));
    let documents = random_documents(30, 50);
    let together = staged(|stage| model.score(&documents, stage).unwrap());
    let alone: Vec<Scores> = documents
        .iter()
        .map(|document| staged(|stage| model.score(&[document].into_iter().collect(), stage).unwrap()))
        .collect();
    let alone = alone.iter().flat_map(|scores| &scores.log_probabilities);
    assert!(together.log_probabilities.iter().zip(alone).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn scores_are_the_same_to_the_bit_on_any_number_of_threads() {
    let model = lively(Shape::new(&TINY, 50));
    let documents = random_documents(300, 50);
    let on = |threads| with_threads(threads, || staged(|stage| model.score(&documents, stage).unwrap()));
    let one = on(1);
    assert!([2, 3, 8].into_iter().all(|threads| on(threads) == one));
}

#[test]
fn no_documents_and_empty_documents_have_no_scores() {
    let documents: Documents = [&[][..], &[]].into_iter().collect();
    staged(|stage| {
        assert_eq!(tiny().score(&documents, stage).unwrap(), Scores::default());
        assert_eq!(tiny().score(&Documents::new(), stage).unwrap(), Scores::default());
    });
}

#[test]
fn a_token_that_the_model_does_not_have_is_an_error() {
    let documents: Documents = [&[50][..]].into_iter().collect();
    let error = staged(|stage| tiny().score(&documents, stage).unwrap_err());
    assert!(error.to_string().contains("token 50 is outside the vocabulary of 50"), "{error}");
}

#[test]
fn scoring_and_writing_stop_when_asked_to() {
    let interrupt = AtomicBool::new(true);
    let stage = Stage::new(place("test"), &Silent, &interrupt);
    let documents = random_documents(3, 50);
    assert!(matches!(tiny().score(&documents, &stage), Err(ModelError::Interrupted)));
    let request = GenerateRequest {
        prompts: &documents,
        max_document_tokens: 4,
        decoding: &DecodingStrategy::GREEDY,
        item: &|index| index as u64,
    };
    assert!(matches!(tiny().generate(&request, &stage), Err(ModelError::Interrupted)));
}

/// Documents of several windows. Under greedy decoding one token has probability 1, and all others 0.
#[test]
fn scores_under_a_decoder_are_the_probabilities_of_what_it_writes() {
    let model = lively(grouped_shape());
    let documents = random_documents(5, model.vocab_size());
    let scores = staged(|stage| model.score(&documents, stage)).unwrap();
    let plain = staged(|stage| model.score_decoded(&documents, &SamplingSettings::PLAIN, stage)).unwrap();
    assert!(scores.log_probabilities.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-4));
    let likely = SamplingSettings { min_p: Some(1.0), ..SamplingSettings::PLAIN };
    let best = staged(|stage| model.score_decoded(&documents, &likely, stage)).unwrap();
    let greedy = staged(|stage| model.score_decoded(&documents, &SamplingSettings::GREEDY, stage)).unwrap();
    assert_eq!(best, greedy);
    assert!(greedy.iter().all(|&log| log == 0.0 || log == f32::NEG_INFINITY));
}
