//! `genloss bench --explain`: which instructions multiply matrices on this processor, how, and how fast; and how fast its
//! memory is.

use crate::cli::output;
use crate::model::Precision;
use crate::units::counted;
use genloss_kernels::bandwidth;
use genloss_kernels::instructions::Instructions;
use genloss_kernels::matmul::{self, MatmulOptions};
use serde::Serialize;

/// How products of one number format are computed with one set of instructions.
#[derive(Serialize)]
struct Kernel {
    instructions: String,
    /// Whether this process computes with these instructions.
    used: bool,
    precision: Precision,
    sums: &'static str,
    /// Multiplications and additions per second of all threads together, in units of 10⁹.
    gflops: f64,
}

/// Every set of instructions that this processor has, with the rates of its products, and the rate of its memory.
#[derive(Serialize)]
pub struct Explanation {
    threads: usize,
    kernels: Vec<Kernel>,
    /// Bytes per second between memory and all threads together, in units of 10⁹.
    memory_gbytes: f64,
}

impl Explanation {
    /// Measures every kernel for a second, and then the memory.
    pub fn measure() -> Self {
        let used = Instructions::get().name();
        let kernel = |instructions: Instructions, precision| {
            let options = MatmulOptions { precision, instructions };
            Kernel {
                instructions: instructions.name(),
                used: instructions.name() == used,
                precision,
                sums: options.sums(),
                gflops: matmul::peak_gflops(options),
            }
        };
        let kernels = Instructions::all()
            .into_iter()
            .flat_map(|instructions| Precision::ALL.map(|precision| kernel(instructions, precision)))
            .collect();
        Self { threads: rayon::current_num_threads(), kernels, memory_gbytes: bandwidth::memory_gbytes() }
    }

    /// A table, and what it means for an experiment.
    pub fn to_text(&self) -> String {
        let header = ["instructions", "precision", "GFLOP/s", "sums of a product are computed"];
        let row = |kernel: &Kernel| {
            vec![
                format!("{}{}", kernel.instructions, if kernel.used { " (used)" } else { "" }),
                kernel.precision.to_string(),
                output::plain(kernel.gflops, 0),
                kernel.sums.to_owned(),
            ]
        };
        let rows: Vec<Vec<String>> = self.kernels.iter().map(row).collect();
        format!(
            "Matrix products whose factors stay in the caches, {}:\n\n{}\n{}\n",
            counted(self.threads as u64, "thread"),
            output::table(&header, &rows),
            output::paragraph(&format!(
                "The largest set is used unless GENLOSS_INSTRUCTIONS names another. {} Additions of large arrays read and \
                 write {} GB/s of memory.",
                self.advice(),
                output::plain(self.memory_gbytes, 0)
            )),
        )
    }

    fn advice(&self) -> String {
        let used = |precision| {
            let mut kernels = self.kernels.iter();
            kernels
                .find(|kernel| kernel.used && kernel.precision == precision)
                .map_or(0.0, |kernel| kernel.gflops)
        };
        let ratio = used(Precision::Bf16) / used(Precision::F32);
        if ratio > 1.0 {
            format!(
                "With precision = \"bf16\" in [model], products take {:.0} % of the time that they take in f32.",
                100.0 / ratio
            )
        } else {
            "With these instructions bf16 is not faster than f32: keep precision = \"f32\".".to_owned()
        }
    }
}
