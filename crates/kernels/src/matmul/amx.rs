//! Products of bf16 in the tile registers of AMX: `tdpbf16ps` adds the products of 16 × 32 and 32 × 16 numbers to 16 × 16
//! sums.
//!
//! Rows and panels are read as they are packed for the other kernels: sixteen words of sixteen rows are a left tile, and
//! sixteen columns of sixteen rows of a panel are a right tile. Sums of 32 × 32 numbers stay in four tiles; up to sixteen
//! rows that are left over are multiplied with all 64 columns of the panel.
//!
//! Within a step of 32 numbers along the depth, the processor adds the products of even and of odd numbers each in order,
//! and then both sums to the sum so far. Subnormal numbers count as zero, as in `vdpbf16ps`.

#![allow(unsafe_code)]

use super::panels::rows_of;
use super::{OutputMode, PANEL, PanelsView};
use crate::instructions::Amx;
use std::arch::asm;

/// Rows of a tile, and words in each of its rows.
const TILE: usize = 16;
/// Rows and columns of the sums that are computed together.
const BLOCK: usize = 2 * TILE;

/// Whether the CPU has these instructions and this process may use them.
pub(crate) fn is_available() -> bool {
    processor_has_amx() && kernel_permits_tiles()
}

fn processor_has_amx() -> bool {
    const FEATURES: u32 = 7;
    const BF16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    let (last_leaf, _) = std::arch::x86_64::__get_cpuid_max(0);
    last_leaf >= FEATURES && {
        let edx = std::arch::x86_64::__cpuid_count(FEATURES, 0).edx;
        edx & BF16 != 0 && edx & TILES != 0
    }
}

/// Asks for the permission that Linux requires of each process, since the tiles enlarge the state of its threads.
fn kernel_permits_tiles() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes two integers and touches no memory of the process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// A pair of factors.
pub(super) struct Segment<'a> {
    /// Row r begins at word r times `stride`.
    pub(super) rows: &'a [u32],
    pub(super) stride: usize,
    /// (depth, 64)
    pub(super) panel: &'a [u32],
}

/// Where the sum of the products of all segments goes.
pub(super) struct Output<'a> {
    pub(super) rows: usize,
    /// Columns of the panels that belong to the matrix.
    pub(super) columns: usize,
    /// From the first of these columns on, rows `stride` numbers apart.
    pub(super) numbers: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) mode: OutputMode,
}

/// Computes the sum of the products of all segments.
///
/// # Panics
/// If a slice is shorter than its shape.
pub(super) fn multiply(proof: Amx, segments: &[Segment], mut output: Output) {
    let panel_tails: Vec<Vec<u32>> = segments.iter().map(Segment::last_rows_of_panel).collect();
    let whole_blocks = output.rows / BLOCK * BLOCK;
    if whole_blocks > 0 {
        let tiles = Tiles::configure(proof, BLOCK);
        for first_row in (0..whole_blocks).step_by(BLOCK) {
            multiply_rows(&tiles, segments, &panel_tails, first_row, &mut output);
        }
    }
    let left_over = output.rows - whole_blocks;
    if left_over > 0 {
        let tiles = Tiles::configure(proof, left_over);
        multiply_rows(&tiles, segments, &panel_tails, whole_blocks, &mut output);
    }
}

/// As [`super::multiply_transposed`].
pub(super) fn multiply_transposed(
    proof: Amx,
    pairs: &[(PanelsView, PanelsView)],
    panel: usize,
    out: &mut [f32],
    mode: OutputMode,
) {
    let columns = pairs.first().map_or(0, |(_, right)| right.columns);
    let lefts: Vec<Vec<u32>> = pairs.iter().map(|(left, _)| rows_of(left.panel(panel))).collect();
    assert!(pairs.iter().all(|(left, right)| left.depth == right.depth), "the factors differ in depth");
    for (right_panel, first_column) in (0..columns).step_by(PANEL).enumerate() {
        let segments: Vec<Segment> = (pairs.iter().zip(&lefts))
            .map(|((_, right), rows)| Segment { rows, stride: right.depth, panel: right.panel(right_panel) })
            .collect();
        let output = Output {
            rows: out.len() / columns,
            columns: PANEL.min(columns - first_column),
            numbers: &mut out[first_column..],
            stride: columns,
            mode,
        };
        multiply(proof, &segments, output);
    }
}

/// Computes the rows that the tiles are configured for, from `first_row` on.
fn multiply_rows(
    tiles: &Tiles,
    segments: &[Segment],
    panel_tails: &[Vec<u32>],
    first_row: usize,
    output: &mut Output,
) {
    let count = tiles.count;
    let row_tails: Vec<Vec<u32>> =
        segments.iter().map(|segment| segment.last_words_of_rows(first_row, count)).collect();
    let tail = |(rows, panel)| Steps::of(&Segment { rows, stride: TILE, panel }, 0, count);
    let tails = row_tails.iter().map(Vec::as_slice).zip(panel_tails.iter().map(Vec::as_slice)).map(tail);
    let whole = segments.iter().map(|segment| Steps::of(segment, first_row, count));
    let steps: Vec<Steps> = whole.chain(tails).filter(|steps| steps.count > 0).collect();
    let width = tiles.width();
    for first_column in (0..output.columns).step_by(width) {
        let out = &mut output.numbers[first_row * output.stride + first_column..];
        let used = width.min(output.columns - first_column);
        if used == width {
            tiles.multiply_block(&steps, first_column, out, output.stride, output.mode);
            continue;
        }
        let mut all = [0f32; BLOCK * BLOCK];
        for (all, out) in all.chunks_mut(width).zip(out.chunks(output.stride)).take(count) {
            all[..used].copy_from_slice(&out[..used]);
        }
        tiles.multiply_block(&steps, first_column, &mut all, width, output.mode);
        for (all, out) in all.chunks(width).zip(out.chunks_mut(output.stride)).take(count) {
            out[..used].copy_from_slice(&all[..used]);
        }
    }
}

impl Segment<'_> {
    fn depth(&self) -> usize {
        self.panel.len() / PANEL
    }

    /// The rows of the panel that do not fill a step, followed by zeros; empty if there are none.
    fn last_rows_of_panel(&self) -> Vec<u32> {
        let rest = self.depth() % TILE;
        if rest == 0 {
            return Vec::new();
        }
        let mut words = self.panel[(self.depth() - rest) * PANEL..].to_vec();
        words.resize(TILE * PANEL, 0);
        words
    }

    /// The words of `count` rows that do not fill a step, each followed by zeros; empty if there are none.
    fn last_words_of_rows(&self, first_row: usize, count: usize) -> Vec<u32> {
        let rest = self.depth() % TILE;
        if rest == 0 {
            return Vec::new();
        }
        let mut words = vec![0; count * TILE];
        for (row, words) in (first_row..).zip(words.chunks_exact_mut(TILE)) {
            let start = row * self.stride + self.depth() - rest;
            words[..rest].copy_from_slice(&self.rows[start..start + rest]);
        }
        words
    }
}

/// Steps of sixteen words along the depth of a segment, as the assembly reads them.
#[repr(C)]
struct Steps {
    rows: *const u32,
    /// Bytes from row to row.
    row_bytes: usize,
    panel: *const u32,
    count: usize,
}

impl Steps {
    /// The whole steps of `rows` rows from `first_row` on.
    fn of(segment: &Segment, first_row: usize, rows: usize) -> Self {
        let count = segment.depth() / TILE;
        let last_row = (first_row + rows - 1) * segment.stride;
        assert!(count == 0 || last_row + count * TILE <= segment.rows.len(), "the left factor is too short");
        Self {
            rows: segment.rows[(first_row * segment.stride).min(segment.rows.len())..].as_ptr(),
            row_bytes: segment.stride * size_of::<u32>(),
            panel: segment.panel.as_ptr(),
            count,
        }
    }
}

/// The configuration of this thread's tiles, which ends with the value.
struct Tiles {
    /// Rows of a block.
    count: usize,
}

/// The memory that `ldtilecfg` reads.
#[repr(C, align(64))]
struct TileConfiguration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Configures the tiles for blocks of `count` rows, 1 to [`BLOCK`].
    fn configure(_: Amx, count: usize) -> Self {
        assert!((1..=BLOCK).contains(&count));
        let (first, second) = (count.min(TILE) as u8, count.saturating_sub(TILE) as u8);
        let whole = TILE as u8;
        let rows = if second > 0 {
            [first, first, second, second, first, second, whole, whole]
        } else {
            [first, first, first, first, first, whole, whole, whole]
        };
        let mut configuration = TileConfiguration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        configuration.rows[..8].copy_from_slice(&rows);
        configuration.row_bytes[..8].fill((TILE * size_of::<u32>()) as u16);
        // SAFETY: an `Amx` exists only where the processor has tiles and the kernel permits them. The configuration is
        // valid: palette 1 has eight tiles of up to 16 rows of 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly)) };
        Self { count }
    }

    /// Columns of a block.
    fn width(&self) -> usize {
        if self.count > TILE { BLOCK } else { PANEL }
    }

    /// Computes a block, from `first_column` of the panels on. Writes it to `out`, or adds it to what is there.
    fn multiply_block(
        &self,
        steps: &[Steps],
        first_column: usize,
        out: &mut [f32],
        out_stride: usize,
        mode: OutputMode,
    ) {
        let (count, width) = (self.count, self.width());
        assert!(first_column + width <= PANEL);
        assert!((count - 1) * out_stride + width <= out.len(), "the output is too short");
        if steps.is_empty() {
            if mode == OutputMode::Overwrite {
                out.chunks_mut(out_stride).take(count).for_each(|row| row[..width].fill(0.0));
            }
            return;
        }
        let block = if count > TILE { two_by_two } else { one_by_four };
        // SAFETY: `Steps::of` checked that the rows have all bytes of their steps, and counted the steps of the panel, whose
        // rows have the columns that are read. The output was checked above. The tiles are configured for these rows.
        unsafe {
            block(
                steps,
                first_column * size_of::<u32>(),
                out.as_mut_ptr(),
                out_stride * size_of::<f32>(),
                mode == OutputMode::Accumulate,
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there is a value only where there are tiles.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nomem, nostack),
            );
        }
    }
}

/// Two tiles of rows times two tiles of columns. The left tiles are 4 and 5, the right ones 6 and 7, the sums 0 to 3.
///
/// # Safety
/// The tiles must be configured for more than sixteen rows. All memory that `steps`, which must not be empty, and `out`
/// describe must exist.
unsafe fn two_by_two(steps: &[Steps], column_bytes: usize, out: *mut f32, out_bytes: usize, adds: bool) {
    // SAFETY: what is read and written is what the caller promises.
    unsafe {
        asm!(
            "test {n}, {n}",
            "jnz 2f",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "jmp 3f",
            "2:",
            "mov {rows}, {out_bytes}",
            "shl {rows}, 4",
            "add {rows}, {out}",
            "tileloadd tmm0, [{out} + {out_bytes}*1]",
            "tileloadd tmm1, [{out} + {out_bytes}*1 + 64]",
            "tileloadd tmm2, [{rows} + {out_bytes}*1]",
            "tileloadd tmm3, [{rows} + {out_bytes}*1 + 64]",
            "3:",
            "mov {rows}, [{steps}]",
            "mov {row_bytes}, [{steps} + 8]",
            "mov {panel}, [{steps} + 16]",
            "mov {n}, [{steps} + 24]",
            "add {panel}, {column_bytes}",
            "mov {more_rows}, {row_bytes}",
            "shl {more_rows}, 4",
            "add {more_rows}, {rows}",
            "4:",
            "tileloadd tmm6, [{panel} + {panel_bytes}*1]",
            "tileloadd tmm4, [{rows} + {row_bytes}*1]",
            "tileloadd tmm7, [{panel} + {panel_bytes}*1 + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{more_rows} + {row_bytes}*1]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {rows}, 64",
            "add {more_rows}, 64",
            "add {panel}, 4096",
            "dec {n}",
            "jnz 4b",
            "add {steps}, 32",
            "cmp {steps}, {end}",
            "jne 3b",
            "mov {rows}, {out_bytes}",
            "shl {rows}, 4",
            "add {rows}, {out}",
            "tilestored [{out} + {out_bytes}*1], tmm0",
            "tilestored [{out} + {out_bytes}*1 + 64], tmm1",
            "tilestored [{rows} + {out_bytes}*1], tmm2",
            "tilestored [{rows} + {out_bytes}*1 + 64], tmm3",
            steps = inout(reg) steps.as_ptr() => _,
            end = in(reg) steps.as_ptr_range().end,
            n = inout(reg) usize::from(adds) => _,
            out = in(reg) out,
            out_bytes = in(reg) out_bytes,
            column_bytes = in(reg) column_bytes,
            panel_bytes = in(reg) PANEL * size_of::<u32>(),
            rows = out(reg) _,
            more_rows = out(reg) _,
            row_bytes = out(reg) _,
            panel = out(reg) _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// One tile of rows times four tiles of columns. The left tile is 4, the right ones 5 to 7, the sums 0 to 3.
///
/// # Safety
/// As of [`two_by_two`], with tiles that are configured for up to sixteen rows.
unsafe fn one_by_four(steps: &[Steps], column_bytes: usize, out: *mut f32, out_bytes: usize, adds: bool) {
    // SAFETY: what is read and written is what the caller promises.
    unsafe {
        asm!(
            "test {n}, {n}",
            "jnz 2f",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "jmp 3f",
            "2:",
            "tileloadd tmm0, [{out} + {out_bytes}*1]",
            "tileloadd tmm1, [{out} + {out_bytes}*1 + 64]",
            "tileloadd tmm2, [{out} + {out_bytes}*1 + 128]",
            "tileloadd tmm3, [{out} + {out_bytes}*1 + 192]",
            "3:",
            "mov {rows}, [{steps}]",
            "mov {row_bytes}, [{steps} + 8]",
            "mov {panel}, [{steps} + 16]",
            "mov {n}, [{steps} + 24]",
            "add {panel}, {column_bytes}",
            "4:",
            "tileloadd tmm4, [{rows} + {row_bytes}*1]",
            "tileloadd tmm5, [{panel} + {panel_bytes}*1]",
            "tileloadd tmm6, [{panel} + {panel_bytes}*1 + 64]",
            "tileloadd tmm7, [{panel} + {panel_bytes}*1 + 128]",
            "tdpbf16ps tmm0, tmm4, tmm5",
            "tdpbf16ps tmm1, tmm4, tmm6",
            "tileloadd tmm5, [{panel} + {panel_bytes}*1 + 192]",
            "tdpbf16ps tmm2, tmm4, tmm7",
            "tdpbf16ps tmm3, tmm4, tmm5",
            "add {rows}, 64",
            "add {panel}, 4096",
            "dec {n}",
            "jnz 4b",
            "add {steps}, 32",
            "cmp {steps}, {end}",
            "jne 3b",
            "tilestored [{out} + {out_bytes}*1], tmm0",
            "tilestored [{out} + {out_bytes}*1 + 64], tmm1",
            "tilestored [{out} + {out_bytes}*1 + 128], tmm2",
            "tilestored [{out} + {out_bytes}*1 + 192], tmm3",
            steps = inout(reg) steps.as_ptr() => _,
            end = in(reg) steps.as_ptr_range().end,
            n = inout(reg) usize::from(adds) => _,
            out = in(reg) out,
            out_bytes = in(reg) out_bytes,
            column_bytes = in(reg) column_bytes,
            panel_bytes = in(reg) PANEL * size_of::<u32>(),
            rows = out(reg) _,
            row_bytes = out(reg) _,
            panel = out(reg) _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
