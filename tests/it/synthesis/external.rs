//! A command of the user's, and everything that may go wrong with it.

use super::*;
use genloss::synthesis::ExternalError;
use std::time::{Duration, Instant};

fn by(command: &[&str], timeout_seconds: f64) -> Result<(Documents, SynthesisRecord), SynthesisError> {
    let texts = ["one fish", "two \"fish\"\nred fish", "blue fish"].map(str::to_owned);
    let tokenizer = tokenizer();
    let natural = tokenizer.encode_documents(&texts).unwrap();
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    let method = External { command, timeout_seconds }.into();
    let synthesis = SynthesisSettings { method, ..textbook(natural.tokens().0) };
    write_corpus(
        &ngram(),
        &synthesis,
        Sources { natural: &natural, previous: None, tokenizer: &tokenizer, world: None },
        &ngram(),
        &stage(),
    )
}

fn error(command: &[&str], timeout_seconds: f64) -> ExternalError {
    match by(command, timeout_seconds) {
        Err(SynthesisError::External(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A question has the field that an answer needs, so `cat` gives back every document.
#[test]
fn the_answers_of_the_command_are_the_corpus() {
    let (corpus, record) = by(&["cat"], 60.0).unwrap();
    let texts = tokenizer().decode_documents(&corpus).concat();
    for text in ["one fish", "two \"fish\"\nred", "blue fish"] {
        assert!(texts.contains(text), "{texts}");
    }
    assert_eq!((record.method.as_str(), record.prompts.as_str()), ("external", "train split, through cat"));
}

#[test]
fn the_error_about_a_missing_program_names_it() {
    let error = error(&["no-such-program-anywhere"], 60.0).to_string();
    assert!(error.contains("cannot start \"no-such-program-anywhere\""), "{error}");
}

#[test]
fn a_failure_is_reported_with_the_tail_of_stderr() {
    let error = error(&["sh", "-c", "cat; echo the server is down >&2; exit 3"], 60.0).to_string();
    assert!(error.contains("exit status: 3") && error.contains("stderr: the server is down"), "{error}");
}

/// The child process keeps standard error open, so that its tail is known only if the child is stopped.
#[test]
fn child_processes_of_a_failed_command_are_stopped() {
    let error = error(&["sh", "-c", "sleep 600 & echo the server is down >&2; exit 3"], 60.0);
    let ExternalError::Failed { stderr_tail, .. } = &error else { panic!("{error}") };
    assert!(stderr_tail.contains("stderr: the server is down"), "{error}");
}

#[test]
fn a_bad_line_is_named_by_its_number() {
    let error = error(&["sh", "-c", "head -n 1; echo nonsense; cat > /dev/null"], 60.0);
    let ExternalError::Line { line: 2, excerpt, .. } = &error else { panic!("{error}") };
    assert_eq!(excerpt, "nonsense");
}

/// The text is empty, or has only white space.
#[test]
fn an_empty_answer_is_an_error_that_names_its_line_and_item() {
    for text in ["", "   ", "\\n\\t", "\\u3000"] {
        let script = format!("head -n 2; cat > /dev/null; printf '%s\\n' '{{\"text\": \"{text}\"}}'");
        let empty = error(&["sh", "-c", &script], 60.0);
        assert!(matches!(empty, ExternalError::Line { line: 3, .. }), "{empty}");
        assert!(empty.to_string().contains("the text for item 2 is empty"), "{empty}");
    }
}

#[test]
fn an_answer_with_two_texts_or_of_another_kind_is_an_error() {
    let cases = [
        (r#"{"text": "fish", "text": "dog"}"#, "duplicate field `text`"),
        (r#"["fish", 1]"#, "no string \"text\""),
        (r#"{"text": ["fish"]}"#, "no string \"text\""),
    ];
    for (answer, expected) in cases {
        let script = format!("cat > /dev/null; printf '%s\\n' '{answer}'");
        let refused = error(&["sh", "-c", &script], 60.0).to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn an_answer_to_another_document_is_an_error_and_one_to_this_document_is_not() {
    for echoed in ["7", "\"1\"", "null", "-1", "1.5"] {
        let answer = format!("{{\"item\": {echoed}, \"text\": \"fish\"}}");
        let script = format!("head -n 1; cat > /dev/null; printf '%s\\n' '{answer}'");
        let swapped = error(&["sh", "-c", &script], 60.0);
        assert!(matches!(swapped, ExternalError::Line { line: 2, .. }), "{swapped}");
        assert!(swapped.to_string().contains("this line is for item 1"), "{swapped}");
    }
    // `sed` turns the echoed number into a float, as some JSON libraries do.
    let floats = by(&["sed", r#"s/"item":\([0-9]*\)/"item":\1.0/"#], 60.0);
    assert!(floats.is_ok(), "{floats:?}");
}

#[test]
fn too_few_and_too_many_lines_are_errors() {
    let few = error(&["sh", "-c", "head -n 2; cat > /dev/null"], 60.0);
    assert!(matches!(few, ExternalError::TooFew { lines: 2, .. }), "{few}");
    let many = error(&["sh", "-c", "cat; echo '{\"text\": \"more\"}'"], 60.0);
    assert!(matches!(many, ExternalError::Line { .. }), "{many}");
    assert!(many.to_string().contains("documents were requested"), "{many}");
}

/// The command starts a child process that keeps the output open; both are stopped.
#[test]
fn a_command_that_hangs_is_stopped_at_its_limit() {
    let started = Instant::now();
    let slow = error(&["sh", "-c", "head -n 1; sleep 600 & wait"], 0.5);
    assert!(matches!(slow, ExternalError::TooSlow { lines: 1, .. }), "{slow}");
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_command_may_answer_without_reading_its_input() {
    let nine = "for i in 1 2 3 4 5 6 7 8 9; do echo '{\"text\": \"fish\"}'; done";
    let ExternalError::TooFew { lines: 9, documents, .. } = error(&["sh", "-c", nine], 60.0) else {
        panic!("nine are too few")
    };
    let all = format!("for i in $(seq {documents}); do echo '{{\"text\": \"fish\"}}'; done");
    let (corpus, _) = by(&["sh", "-c", &all], 60.0).unwrap();
    assert!(tokenizer().decode_documents(&corpus).concat().contains("fish"));
}

/// Neither one that stays after its last answer, whether or not it closes its output, nor one that leaves a child behind,
/// which holds the output open.
#[test]
fn a_command_that_has_answered_is_not_waited_for() {
    for script in ["cat; exec >&-; sleep 600", "cat; sleep 600", "sleep 600 & cat"] {
        let started = Instant::now();
        let (corpus, _) = by(&["sh", "-c", script], 300.0).unwrap();
        assert!(tokenizer().decode_documents(&corpus).concat().contains("one fish"));
        assert!(started.elapsed() < Duration::from_secs(60), "{script}");
    }
}

#[test]
fn an_interrupt_stops_the_command() {
    let tokenizer = tokenizer();
    let natural = tokenizer.encode_documents(&["a".to_owned()]).unwrap();
    let method =
        External { command: vec!["sleep".to_owned(), "600".to_owned()], timeout_seconds: 600.0 }.into();
    let synthesis = SynthesisSettings { method, ..textbook(100) };
    let stopped = Stage::new(place(), &Silent, &ALWAYS);
    let sources = Sources { natural: &natural, previous: None, tokenizer: &tokenizer, world: None };
    let result = write_corpus(&ngram(), &synthesis, sources, &ngram(), &stopped);
    assert!(matches!(result, Err(SynthesisError::Model(ModelError::Interrupted))), "{result:?}");
}
