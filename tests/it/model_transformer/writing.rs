//! Sampling documents.

use super::*;

/// The most probable next token by the reference pass, over the part of `inputs` that is in the context.
fn reference_next(model: &Transformer, inputs: &[TokenId]) -> TokenId {
    let half = model.context() / 2;
    let mut first = 0;
    while inputs.len() - first > model.context() {
        first += half;
    }
    let tokens = Tensor::new(&inputs[first..], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let hidden = plain::hidden(model.network(), &tokens).unwrap();
    let logits = values(&plain::logits(model.network(), &hidden).unwrap());
    let row = &logits[logits.len() - model.vocab_size()..];
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as TokenId
}

#[test]
fn greedy_writing_takes_the_most_probable_token_also_beyond_the_context() {
    for model in [lively(grouped_shape()), lively(Shape::new(&TINY, 37))] {
        let prompts: Vec<_> = (0..9).map(|i| random_tokens(i * 2, 37, i as u64)).collect();
        let prompts: Documents = prompts.iter().map(Vec::as_slice).collect();
        let request = GenerateRequest {
            prompts: &prompts,
            max_document_tokens: 30,
            decoding: &DecodingStrategy::GREEDY,
            item: &|index| index as u64,
        };
        let written = staged(|stage| model.generate(&request, stage).unwrap());
        assert_eq!(written.len(), 9);
        for (prompt, document) in prompts.iter().zip(written.iter()) {
            let mut inputs = [&[SPECIAL.start][..], prompt].concat();
            for &token in document {
                assert_eq!(token, reference_next(&model, &inputs), "after {inputs:?}");
                inputs.push(token);
            }
            assert!(document.len() == 30 || document.last() == Some(&SPECIAL.end));
            assert!(document[..document.len() - 1].iter().all(|&token| token != SPECIAL.end));
        }
    }
}

#[test]
fn a_document_depends_only_on_its_own_stream() {
    let model = lively(Shape::new(&TINY, 50));
    let prompts = random_documents(200, 50);
    let write = |prompts: &Documents, first_item| {
        let request = GenerateRequest {
            prompts,
            max_document_tokens: 20,
            decoding: &DecodingStrategy::PLAIN,
            item: &|index| first_item + index as u64,
        };
        staged(|stage| model.generate(&request, stage).unwrap())
    };
    let all = write(&prompts, 5);
    for threads in [1, 2, 3, 8] {
        assert_eq!(with_threads(threads, || write(&prompts, 5)), all);
    }
    for index in [0, 1, 63, 64, 120, 199] {
        let alone = write(&[prompts.get(index)].into_iter().collect(), 5 + index as u64);
        assert_eq!(alone.get(0), all.get(index), "document {index}");
    }
}

/// 4000 first tokens against the probabilities that the model gives them: χ² with 49 degrees of freedom has mean
/// 49 and standard deviation √98 ≈ 10; 100 is five of those above.
#[test]
fn tokens_are_drawn_as_often_as_they_are_probable() {
    let model = lively(Shape::new(&TINY, 50));
    let prompts: Documents = (0..4000).map(|_| &[][..]).collect();
    let request = GenerateRequest {
        prompts: &prompts,
        max_document_tokens: 1,
        decoding: &DecodingStrategy::PLAIN,
        item: &|index| index as u64,
    };
    let written = staged(|stage| model.generate(&request, stage).unwrap());
    let all: Vec<[TokenId; 1]> = (0..50).map(|token| [token]).collect();
    let all: Documents = all.iter().map(|document| &document[..]).collect();
    let scores = staged(|stage| model.score(&all, stage).unwrap());
    let chi_squared: f64 = (0..50)
        .map(|token| {
            let expected = 4000.0 * f64::from(scores.log_probabilities[token]).exp();
            let seen = written.flat().iter().filter(|&&t| t as usize == token).count() as f64;
            (seen - expected).powi(2) / expected
        })
        .sum();
    assert!(chi_squared < 100.0, "{chi_squared}");
}

#[test]
fn progress_counts_every_token_written() {
    struct Count(AtomicU64);
    impl Observer for Count {
        fn observe(&self, event: &Event) {
            if let Event::Advanced { amount, .. } = event {
                self.0.fetch_add(*amount, Ordering::Relaxed);
            }
        }
    }
    let (count, interrupt) = (Count(AtomicU64::new(0)), AtomicBool::new(false));
    let stage = Stage::new(place("test"), &count, &interrupt);
    let prompts = random_documents(70, 50);
    let request = GenerateRequest {
        prompts: &prompts,
        max_document_tokens: 9,
        decoding: &DecodingStrategy::PLAIN,
        item: &|index| index as u64,
    };
    let written = tiny().generate(&request, &stage).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), written.tokens().0);
}
