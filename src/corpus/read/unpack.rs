//! Reading and unpacking a file, with a limit on what it unpacks to.

use super::CorpusError;
use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The compression that a file name shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstandard,
}

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "text",
            Self::Gzip => "gzip",
            Self::Zstandard => "Zstandard",
        }
    }
}

/// Any file may unpack to this many bytes, however small it is.
const ALWAYS_ALLOWED: u64 = 64 << 20;

/// Base-2 logarithm of the largest window of Zstandard. The decoder reserves the memory, but uses only what the file
/// needs.
const LARGEST_WINDOW_LOG: u32 = 31;

/// How many bytes a file of `packed` bytes may unpack to.
pub(super) fn limit(packed: u64, max_expansion: u64) -> u64 {
    packed.saturating_mul(max_expansion).max(ALWAYS_ALLOWED)
}

/// Why reading stopped, although nothing failed in the operating system or a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum UnpackFault {
    #[error("unpacks to more than is allowed")]
    TooLarge,
    #[error("bytes follow the compressed data")]
    TrailingBytes,
}

/// A reader of the unpacked bytes of `file`. It returns an error if there are more than `limit`.
pub(super) fn reader(file: File, compression: Compression, limit: u64) -> io::Result<Box<dyn BufRead>> {
    let packed = BufReader::with_capacity(1 << 16, file);
    let unpacked: Box<dyn Read> = match compression {
        Compression::None => return Ok(Box::new(packed)),
        Compression::Gzip => Box::new(GzipMembers(Some(GzDecoder::new(packed)))),
        Compression::Zstandard => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
            decoder.window_log_max(LARGEST_WINDOW_LOG)?;
            Box::new(decoder)
        }
    };
    Ok(Box::new(BufReader::with_capacity(1 << 16, Limited { unpacked, left: limit })))
}

/// Converts an error of a [`reader`].
pub(super) fn read_error(
    path: &Path,
    compression: Compression,
    max_expansion: u64,
    error: io::Error,
) -> CorpusError {
    let path = path.to_owned();
    let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<UnpackFault>());
    let text = error.to_string();
    match fault {
        Some(UnpackFault::TooLarge) => CorpusError::TooMuchExpansion { path, max_expansion },
        Some(UnpackFault::TrailingBytes) => {
            CorpusError::TrailingBytes { path, format: compression.name(), command: "gzip" }
        }
        None if error.raw_os_error().is_some() => CorpusError::Unreadable { path, source: error },
        None if text.contains("not enough memory") => CorpusError::TooLittleMemory { path, source: error },
        None if text.contains("Unknown frame descriptor") && !is_not_zstandard(&path) => {
            CorpusError::TrailingBytes { path, format: compression.name(), command: "zstd" }
        }
        None => CorpusError::Damaged { path, format: compression.name(), source: error.into() },
    }
}

/// Whether the very first bytes are not those of a Zstandard frame, so that nothing was unpacked at all.
fn is_not_zstandard(path: &Path) -> bool {
    let mut first = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    let is_skippable = (first[0] & 0xF0) == 0x50 && first[1..] == [0x2A, 0x4D, 0x18];
    read.is_err() || !(first == [0x28, 0xB5, 0x2F, 0xFD] || is_skippable)
}

/// Passes on up to `left` bytes, and returns an error if more follow.
struct Limited<R> {
    unpacked: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.unpacked.read(buffer)?;
        self.left =
            self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(UnpackFault::TooLarge))?;
        Ok(read)
    }
}

/// The members of a gzip file, one after the other. Zero bytes after the last member, with which some programs fill up
/// blocks, are skipped. Other bytes after the last member are an error.
struct GzipMembers<R: BufRead>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.0 {
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let finished = self.0.take().map(GzDecoder::into_inner);
            self.0 = finished.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

fn next_member<R: BufRead>(mut packed: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let bytes = packed.fill_buf()?;
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        match bytes.get(zeros) {
            Some(0x1F) => {
                packed.consume(zeros);
                return Ok(Some(GzDecoder::new(packed)));
            }
            Some(_) => return Err(io::Error::other(UnpackFault::TrailingBytes)),
            None if bytes.is_empty() => return Ok(None),
            None => packed.consume(zeros),
        }
    }
}
