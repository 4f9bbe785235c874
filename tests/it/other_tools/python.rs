//! Scripts in `tests/tools/` that read with the packages of another program.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::Command;

fn python() -> Command {
    let mut command = Command::new(std::env::var_os("GENLOSS_PYTHON").unwrap_or_else(|| "python3".into()));
    // Nothing is fetched, and nothing is reported to anyone.
    let offline = ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"];
    command.envs(offline.map(|name| (name, "1")));
    command
}

/// Whether Python, or one of these packages, is missing. Says so.
pub fn lacks(packages: &[&str]) -> bool {
    const FIND: &str = "import importlib.util, sys; \
        print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])";
    let missing = match python().args(["-c", FIND]).args(packages).output() {
        Ok(found) if found.status.success() => String::from_utf8_lossy(&found.stdout).trim().to_owned(),
        _ => "Python".to_owned(),
    };
    if !missing.is_empty() {
        // Not eprintln!, whose output is hidden in a test that passes.
        let message = format!("SKIPPED, for want of {missing}: set GENLOSS_PYTHON to a Python that has");
        let _ = writeln!(std::io::stderr(), "{message} {}", packages.join(", "));
    }
    !missing.is_empty()
}

/// What a script prints as JSON.
pub fn read(script: &str, arguments: &[&OsStr]) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools").join(script);
    let home = tempfile::tempdir().unwrap();
    let run = python().arg(path).args(arguments).env("HF_HOME", home.path()).output().unwrap();
    assert!(run.status.success(), "{script}: {}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}

/// Executes a notebook on the run in `root`; `dir` is an empty folder.
pub fn execute(notebook: &Path, root: &Path, dir: &Path) -> Value {
    let mut command = python();
    command.args(["-m", "nbconvert", "--to", "notebook", "--execute", "--output-dir"]).arg(dir).arg(notebook);
    command.env("GENLOSS", env!("CARGO_BIN_EXE_genloss")).env("GENLOSS_RUN", root);
    let run = command.output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let executed = dir.join(notebook.file_name().unwrap());
    serde_json::from_slice(&std::fs::read(executed).unwrap()).unwrap()
}
