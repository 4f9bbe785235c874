//! Training, its checkpoints and its records.

use super::*;

fn learner(start: Start, steps: u64) -> TransformerLearner {
    TransformerLearner {
        architecture: TINY,
        training: TrainingSettings {
            tokens: Some(Tokens(steps * 4 * 8)),
            batch: 4,
            learning_rate: 0.01,
            warmup_fraction: 0.1,
            final_rate_fraction: 0.1,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.99,
            ..TrainingSettings::default()
        },
        vocab_size: 50,
        special: SPECIAL,
        sentinels: None,
        start,
        device: Device::Cpu,
    }
}

fn fit(learner: &TransformerLearner, documents: &Documents) -> Trained {
    staged(|stage| learner.fit(documents, &mut NoCheckpoints, stage).unwrap())
}

/// The weights that a model saves.
fn weights(trained: &Trained) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    trained.model.save(dir.path()).unwrap();
    std::fs::read(dir.path().join("model.safetensors")).unwrap()
}

/// Keeps checkpoints in a folder.
struct FolderCheckpoints {
    dir: tempfile::TempDir,
    latest: Option<PathBuf>,
    saves: usize,
    /// Whether a checkpoint is due after every step, or never.
    due: bool,
}

impl FolderCheckpoints {
    fn new(due: bool) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), latest: None, saves: 0, due }
    }
}

impl Checkpoints for FolderCheckpoints {
    fn latest(&self) -> Option<PathBuf> {
        self.latest.clone()
    }
    fn due(&self) -> bool {
        self.due
    }
    fn save(
        &mut self,
        write: &mut dyn FnMut(&Path) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        self.saves += 1;
        let dir = self.dir.path().join(self.saves.to_string());
        std::fs::create_dir(&dir).unwrap();
        write(&dir)?;
        self.latest = Some(dir);
        Ok(())
    }
}

/// Sets the interrupt flag after a number of steps.
struct StopAfter<'a> {
    steps: AtomicU64,
    interrupt: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn observe(&self, event: &Event) {
        if matches!(event, Event::Advanced { amount, .. } if *amount > 0)
            && self.steps.fetch_sub(1, Ordering::Relaxed) == 1
        {
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }
}

fn fit_for(
    learner: &TransformerLearner,
    documents: &Documents,
    steps: u64,
    kept: &mut FolderCheckpoints,
) -> Result<Trained, TrainingError> {
    let interrupt = AtomicBool::new(false);
    let observer = StopAfter { steps: AtomicU64::new(steps), interrupt: &interrupt };
    learner.fit(documents, kept, &Stage::new(place("test"), &observer, &interrupt))
}

#[test]
fn a_tiny_model_memorises_a_sequence() {
    let documents: Documents = (0..20).map(|_| &[7, 3, 9, 3, 5, 0][..]).collect();
    let trained = fit(&learner(Start::Scratch, 200), &documents);
    let scores = staged(|stage| trained.model.score(&documents, stage).unwrap());
    let loss = -scores.log_probabilities.iter().sum::<f32>() / scores.log_probabilities.len() as f32;
    assert!(loss < 0.05, "{loss}");
    let prompts: Documents = [&[][..], &[7, 3]].into_iter().collect();
    let request = GenerateRequest {
        prompts: &prompts,
        max_document_tokens: 10,
        decoding: &DecodingStrategy::GREEDY,
        item: &|index| index as u64,
    };
    let written = staged(|stage| trained.model.generate(&request, stage).unwrap());
    assert_eq!(written.get(0), [7, 3, 9, 3, 5, 0]);
    assert_eq!(written.get(1), [9, 3, 5, 0]);
}

#[test]
fn the_record_describes_the_training() {
    let documents = random_documents(30, 50);
    let record = fit(&learner(Start::Scratch, 250), &documents).record;
    assert_eq!((record.init.as_str(), record.steps), ("scratch", 250));
    assert_eq!(record.tokens_seen, Tokens(250 * 32));
    assert_eq!(record.parameters, Shape::new(&TINY, 50).parameters());
    assert!((record.epochs - 8000.0 / documents.tokens().0 as f64).abs() < 1e-9);
    // Every third step, and the last.
    assert_eq!(record.curve.len(), 84);
    assert_eq!(record.curve[83].tokens, record.tokens_seen);
    assert!((record.curve[0].loss_nats - 50f64.ln()).abs() < 0.1);
    assert!(record.curve[83].loss_nats < record.curve[0].loss_nats);
}

/// 465 tokens, 1.5 times, 32 a step: 21.8.
#[test]
fn epochs_count_passes_over_the_text() {
    let documents = random_documents(30, 50);
    let tokens = documents.tokens().0;
    let mut learner = learner(Start::Scratch, 1);
    learner.training.tokens = None;
    learner.training.epochs = Some(1.5);
    let record = fit(&learner, &documents).record;
    assert_eq!(record.steps, (tokens * 3).div_ceil(64));
}

#[test]
fn training_gives_the_same_bits_on_any_number_of_threads() {
    let documents = random_documents(300, 50);
    let mut learner = learner(Start::Scratch, 1);
    // Several shards a step.
    learner.training.batch = 200;
    learner.training.tokens = Some(Tokens(200 * 8 * 5));
    for precision in Precision::ALL {
        learner.architecture.precision = precision;
        let on = |threads| with_threads(threads, || weights(&fit(&learner, &documents)));
        let one = on(1);
        assert!([2, 3, 8].into_iter().all(|threads| on(threads) == one), "{precision}");
    }
}

/// Documents in which the next token is one of three that depend on the two before it.
fn patterned_documents(count: usize, index: u64) -> Documents {
    let mut stream = place("patterns").stream(index);
    let document = |_| {
        let mut tokens: Vec<TokenId> = vec![1, 2];
        while tokens.len() < 40 {
            let (a, b) = (tokens[tokens.len() - 2], tokens[tokens.len() - 1]);
            let choice = [0, 0, 0, 1, 1, 2][stream.random_range(0..6)];
            tokens.push(1 + (a * 7 + b * 3 + choice * 11) % 49);
        }
        tokens
    };
    (0..count).map(document).collect::<Vec<_>>().iter().map(Vec::as_slice).collect()
}

/// 500 steps on each of eight texts; 0.5 % of the held-out loss on average. Single trainings differ by up to 0.9 %, either
/// way, with every set of instructions.
#[test]
fn training_in_bf16_ends_at_the_held_out_loss_of_f32() {
    let heldout = patterned_documents(100, 1);
    let loss = |precision, text| {
        let mut learner = learner(Start::Scratch, 500);
        learner.architecture = genloss::model::TransformerSettings {
            family: None,
            layers: 2,
            width: 32,
            heads: 2,
            ffn: 88,
            context: 32,
            precision,
        };
        learner.training.batch = 16;
        learner.training.tokens = Some(Tokens(500 * 16 * 32));
        let trained = fit(&learner, &patterned_documents(500, text));
        let scores = staged(|stage| trained.model.score(&heldout, stage).unwrap()).log_probabilities;
        -scores.iter().map(|&x| f64::from(x)).sum::<f64>() / scores.len() as f64
    };
    let differences = [0, 2, 3, 4, 5, 6, 7, 8].map(|text| {
        let (exact, rounded) = (loss(Precision::F32, text), loss(Precision::Bf16, text));
        assert!(exact < 0.6 * 49f64.ln(), "it learnt nothing: {exact}");
        rounded / exact - 1.0
    });
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    assert!(mean.abs() < 0.005, "{differences:?}");
}

#[test]
fn an_interrupted_training_continues_to_the_same_bits() {
    for precision in Precision::ALL {
        let mut learner = learner(Start::Scratch, 60);
        learner.architecture.precision = precision;
        check_continuation(&learner);
    }
}

/// A learner of low-rank updates of a saved random model, and the folder of that model.
fn lora_learner(lora: LoraSettings, steps: u64) -> (TransformerLearner, tempfile::TempDir) {
    let base = tempfile::tempdir().unwrap();
    tiny().save(base.path()).unwrap();
    let mut learner = learner(Start::Base(base.path().to_owned()), steps);
    learner.training.lora = Some(lora);
    (learner, base)
}

#[test]
fn an_interrupted_training_of_low_rank_updates_continues_to_the_same_bits() {
    let lora = LoraSettings { rank: 2, ..LoraSettings::default() };
    let (mut learner, _base) = lora_learner(lora, 60);
    for precision in Precision::ALL {
        learner.architecture.precision = precision;
        check_continuation(&learner);
    }
}

/// An update of rank 1 has only minors of zero.
#[test]
fn low_rank_updates_change_their_targets_alone_and_by_their_rank() {
    let targets = vec!["v_proj".to_owned(), "down_proj".to_owned()];
    let (learner, base) = lora_learner(LoraSettings { rank: 1, alpha: 2.0, targets }, 30);
    let trained = fit(&learner, &random_documents(30, 50));
    // Two layers, with factors of 16 + 16 numbers for values, and of 16 + 44 for the feed-forward layer.
    assert_eq!(trained.record.adapter_parameters, Some(2 * (32 + 60)));
    assert_eq!(trained.record.parameters, Shape::new(&TINY, 50).parameters());
    let folder = tempfile::tempdir().unwrap();
    trained.model.save(folder.path()).unwrap();
    let read = |dir: &Path| {
        let tensors = candle_core::safetensors::load(dir.join("model.safetensors"), &Device::Cpu).unwrap();
        tensors.into_iter().collect::<std::collections::BTreeMap<String, Tensor>>()
    };
    for ((name, before), (same, after)) in read(base.path()).into_iter().zip(read(folder.path())) {
        assert_eq!(name, same);
        let update = (after - before).unwrap();
        let largest =
            update.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        if !name.ends_with("v_proj.weight") && !name.ends_with("down_proj.weight") {
            assert_eq!(largest, 0.0, "{name}");
            continue;
        }
        assert!(largest > 1e-3, "{name}: {largest}");
        let rows = update.to_vec2::<f32>().unwrap();
        for (i, j) in (1..rows.len()).flat_map(|i| (1..rows[0].len()).map(move |j| (i, j))) {
            let minor = rows[0][0] * rows[i][j] - rows[0][j] * rows[i][0];
            assert!(minor.abs() < 1e-4 * largest * largest, "{name}: {minor} at {i}, {j}");
        }
    }
}

#[test]
fn what_low_rank_updates_cannot_adapt_is_said_of_the_folder() {
    let lora = LoraSettings { targets: vec!["c_attn".to_owned()], ..LoraSettings::default() };
    let (learner, base) = lora_learner(lora, 1);
    let error = staged(|stage| learner.check_start(stage)).unwrap_err().to_string();
    assert!(error.contains(&base.path().display().to_string()), "{error}");
    assert!(error.contains("no matrix \"c_attn\", which training.lora.targets names"), "{error}");
}

fn check_continuation(learner: &TransformerLearner) {
    let documents = random_documents(30, 50);
    let undisturbed = fit(learner, &documents);
    for (first, second, due) in [(1, 1, false), (23, 17, true), (59, 100, false)] {
        let mut kept = FolderCheckpoints::new(due);
        assert!(matches!(fit_for(learner, &documents, first, &mut kept), Err(TrainingError::Interrupted)));
        // The first event of a continued run reports the steps of before.
        match fit_for(learner, &documents, second + 1, &mut kept) {
            Err(error) => assert!(matches!(error, TrainingError::Interrupted)),
            Ok(trained) => assert_eq!(trained.record, undisturbed.record),
        }
        let trained = fit_for(learner, &documents, 1000, &mut kept).unwrap();
        assert_eq!(weights(&trained), weights(&undisturbed));
        assert_eq!(trained.record, undisturbed.record);
    }
}

#[test]
fn a_finished_training_is_not_done_again() {
    let documents = random_documents(30, 50);
    let learner = learner(Start::Scratch, 5);
    let mut kept = FolderCheckpoints::new(false);
    let trained = fit_for(&learner, &documents, 1000, &mut kept).unwrap();
    assert_eq!(kept.saves, 1);
    let again = fit_for(&learner, &documents, 1000, &mut kept).unwrap();
    assert_eq!((kept.saves, weights(&again)), (1, weights(&trained)));
}

#[test]
fn a_damaged_checkpoint_says_to_delete_it() {
    let documents = random_documents(30, 50);
    let learner = learner(Start::Scratch, 60);
    let mut kept = FolderCheckpoints::new(false);
    fit_for(&learner, &documents, 5, &mut kept).err().unwrap();
    let state = kept.latest.clone().unwrap().join("state.safetensors");
    let whole = std::fs::read(&state).unwrap();
    std::fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    let error = fit_for(&learner, &documents, 5, &mut kept).err().unwrap();
    assert!(matches!(error, TrainingError::CheckpointFile { .. }));
    assert!(error.to_string().contains("delete this folder"), "{error}");
    std::fs::write(&state, &whole).unwrap();
    let longer = TransformerLearner {
        training: TrainingSettings { tokens: None, epochs: Some(50.0), ..learner.training.clone() },
        ..learner
    };
    let error = fit_for(&longer, &documents, 5, &mut kept).err().unwrap();
    assert!(error.to_string().contains("step 5 of 60"), "{error}");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_training() {
    let mut learner = learner(Start::Scratch, 60);
    learner.training.learning_rate = 1e30;
    let error =
        staged(|stage| learner.fit(&random_documents(30, 50), &mut NoCheckpoints, stage)).err().unwrap();
    assert!(error.to_string().contains("seed 1, test, generation 0: training diverged at step"), "{error}");
}

#[test]
fn too_little_text_is_an_error() {
    let documents: Documents = [&[1, 2, 3][..]].into_iter().collect();
    let learner = learner(Start::Scratch, 1);
    let error = staged(|stage| learner.fit(&documents, &mut NoCheckpoints, stage)).err().unwrap();
    assert!(matches!(error, TrainingError::TooShort { tokens: Tokens(3), context: 8 }));
}

#[test]
fn a_model_continues_from_the_previous_one() {
    let documents: Documents = (0..20).map(|_| &[7, 3, 9, 3, 5, 0][..]).collect();
    let dir = tempfile::tempdir().unwrap();
    fit(&learner(Start::Scratch, 100), &documents).model.save(dir.path()).unwrap();
    let continued = fit(&learner(Start::Previous(dir.path().to_owned()), 20), &documents);
    let fresh = fit(&learner(Start::Scratch, 20), &documents);
    assert!(continued.record.curve[0].loss_nats < fresh.record.curve[0].loss_nats - 0.5);
    let mut other = learner(Start::Base(dir.path().to_owned()), 20);
    other.architecture.layers = 3;
    let error = staged(|stage| other.fit(&documents, &mut NoCheckpoints, stage)).err().unwrap();
    assert!(error.to_string().contains("it has layers = 2, width = 16"), "{error}");
}

#[test]
fn a_model_computes_in_the_precision_of_the_experiment_whatever_it_starts_from() {
    let documents: Documents = (0..20).map(|_| &[7, 3, 9, 3, 5, 0][..]).collect();
    let dir = tempfile::tempdir().unwrap();
    let before = fit(&learner(Start::Scratch, 2), &documents);
    assert!(before.model.in_full_precision().is_none());
    before.model.save(dir.path()).unwrap();
    for start in [Start::Scratch, Start::Previous(dir.path().into()), Start::Base(dir.path().into())] {
        let mut learner = learner(start, 2);
        learner.architecture.precision = Precision::Bf16;
        let model = fit(&learner, &documents).model;
        assert!(model.in_full_precision().is_some());
        // Scores do not depend on the precision, which a folder does not record.
        model.save(dir.path()).unwrap();
        let read = Transformer::load(dir.path(), &Device::Cpu).unwrap();
        assert!(read.in_full_precision().is_none());
        let of = |model: &dyn LanguageModel| staged(|stage| model.score(&documents, stage).unwrap());
        assert_eq!(of(model.as_ref()), of(&read));
    }
}
