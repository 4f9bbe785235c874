//! Files of numbers in little-endian order, mapped into memory for reading.
//!
//! Processes of one machine that map the same file share one copy of it, and pages that are never read are never loaded.
//! On a machine or a file system that cannot map the file it is read into memory instead.
//!
//! **Contract.** A mapped file must not be changed in place: the numbers would change under a shared reference, and a file
//! that is cut short ends the process with SIGBUS. Write such a file under a temporary name, rename it, and replace it
//! only by another rename; a process that has mapped the old file keeps the old numbers. Removing the file is safe except
//! on network file systems, where pages that were not read yet may be lost.
//!
//! ```
//! use genloss_kernels::mapped::{Mapped, to_bytes};
//!
//! let mut file = tempfile::NamedTempFile::new()?;
//! std::io::Write::write_all(&mut file, &to_bytes(&[3_u32, 1, 4]))?;
//! let numbers: Mapped<u32> = Mapped::new(file.as_file())?;
//! assert_eq!(numbers[..], [3, 1, 4]);
//! # Ok::<(), std::io::Error>(())
//! ```

#![allow(unsafe_code)]

use memmap2::Mmap;
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::ops::Deref;

/// Types of numbers that can be mapped. Every pattern of bits is a number, and there is no padding.
pub trait Number: Copy + sealed::Sealed {
    /// The number with these bytes, as many as it has.
    fn from_le_bytes(bytes: &[u8]) -> Self;

    /// The bytes of the number.
    fn to_le_bytes(self) -> impl IntoIterator<Item = u8>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
}

macro_rules! number {
    ($number:ty) => {
        impl Number for $number {
            fn from_le_bytes(bytes: &[u8]) -> Self {
                let (first, _) = bytes.split_first_chunk().unwrap_or((&[0; size_of::<Self>()], &[]));
                Self::from_le_bytes(*first)
            }

            fn to_le_bytes(self) -> impl IntoIterator<Item = u8> {
                self.to_le_bytes()
            }
        }
    };
}
number!(u32);
number!(u64);

/// The numbers of a file, which outlive its name.
pub struct Mapped<T>(Contents<T>);

enum Contents<T> {
    Map(Mmap),
    Memory(Vec<T>),
}

impl<T: Number> Mapped<T> {
    /// Maps all of a file, for which the contract of [this module](self) holds. An empty file has no numbers.
    ///
    /// # Errors
    /// If the file cannot be read, or if its length is not a whole number of numbers.
    pub fn new(file: &File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        if !bytes.is_multiple_of(size_of::<T>() as u64) {
            let reason = format!("has {bytes} bytes, which is not a multiple of {}", size_of::<T>());
            return Err(io::Error::new(ErrorKind::InvalidData, reason));
        }
        let is_mappable = bytes > 0 && cfg!(target_endian = "little");
        // SAFETY: the contract of this module says that the file is not changed while it is mapped.
        let map = is_mappable.then(|| unsafe { Mmap::map(file) }.ok()).flatten();
        match map.filter(|map| map.len() as u64 == bytes) {
            Some(map) => Ok(Self(Contents::Map(map))),
            None => Ok(Self(Contents::Memory(read(file)?))),
        }
    }
}

impl<T> Mapped<T> {
    /// Lets the memory go that was filled from the file. What is read again is loaded again.
    pub fn release(&self) {
        #[cfg(unix)]
        if let Contents::Map(map) = &self.0 {
            // SAFETY: the advice must not change what references to the map read. The map is shared and read-only, and by the
            // contract of this module the file is neither changed nor cut: a page that is read again comes from the file
            // with the same bytes, at the same address. If the advice fails, nothing happened.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

fn read<T: Number>(mut file: &File) -> io::Result<Vec<T>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.chunks_exact(size_of::<T>()).map(T::from_le_bytes).collect())
}

impl<T: Number> Deref for Mapped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            // SAFETY: every pattern of bits is a `Number`. `align_to` takes care of the alignment.
            Contents::Map(map) => unsafe { map.align_to().1 },
            Contents::Memory(numbers) => numbers,
        }
    }
}

impl<T> fmt::Debug for Mapped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mapped(…)")
    }
}

/// The contents of a file of `numbers`, without a copy on little-endian machines.
#[must_use]
pub fn to_bytes<T: Number>(numbers: &[T]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        // SAFETY: a `Number` has no padding, so that all of its bytes are initialised.
        Cow::Borrowed(unsafe { numbers.align_to().1 })
    } else {
        numbers.iter().flat_map(|&number| number.to_le_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("writes");
        file
    }

    #[test]
    fn numbers_are_those_that_were_written() {
        let numbers: [u32; 4] = [0, 1, 0x0102_0304, u32::MAX];
        let bytes = to_bytes(&numbers);
        assert_eq!(bytes[8..12], [4, 3, 2, 1]);
        let mapped = Mapped::<u32>::new(&file(&bytes)).expect("maps");
        assert_eq!(mapped[..], numbers);
        mapped.release();
        assert_eq!(mapped[..], numbers);
        assert_eq!(read::<u32>(&file(&bytes)).expect("reads"), numbers);
        let wide: [u64; 2] = [7, 1 << 40];
        assert_eq!(Mapped::<u64>::new(&file(&to_bytes(&wide))).expect("maps")[..], wide);
    }

    #[test]
    fn an_empty_file_has_no_numbers() {
        assert!(Mapped::<u32>::new(&file(&[])).expect("maps").is_empty());
        assert!(to_bytes::<u64>(&[]).is_empty());
    }

    #[test]
    fn a_length_that_is_no_multiple_of_a_number_is_an_error() {
        let error = Mapped::<u32>::new(&file(&[1, 2, 3, 4, 5])).expect_err("five bytes");
        assert_eq!(error.to_string(), "has 5 bytes, which is not a multiple of 4");
    }

    #[cfg(unix)]
    #[test]
    fn the_numbers_stay_when_the_file_is_replaced_or_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let [path, next] = ["a", "b"].map(|name| dir.path().join(name));
        std::fs::write(&path, to_bytes(&[1_u32, 2])).expect("writes");
        let mapped: Mapped<u32> = Mapped::new(&File::open(&path).expect("opens")).expect("maps");
        std::fs::write(&next, to_bytes(&[3_u32])).expect("writes");
        std::fs::rename(&next, &path).expect("renames");
        std::fs::remove_file(&path).expect("removes");
        assert_eq!(mapped[..], [1, 2]);
    }
}
