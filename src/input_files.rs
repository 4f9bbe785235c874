//! Whole files in memory, with a limit on their size.
//!
//! ```
//! let file = tempfile::NamedTempFile::new()?;
//! std::fs::write(&file, "12345")?;
//! assert_eq!(genloss::input_files::read(file.path(), 5)?, b"12345");
//! assert!(genloss::input_files::read(file.path(), 4).is_err());
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Beginning of the text that Git LFS stores in place of a large file that was not downloaded.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// If it cannot be read, is not a regular file (a pipe or a device may have no end), is larger, or is a pointer that
/// Git LFS stored in place of a file that was not downloaded. The message has no path.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let found = path.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if found.len() > most {
        let message =
            format!("{} MB are more than the {} MB that such a file may have", found.len() >> 20, most >> 20);
        return Err(io::Error::other(message));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(found.len()).unwrap_or(usize::MAX)).map_err(io::Error::other)?;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.starts_with(LFS_POINTER) {
        return Err(io::Error::other(
            "this is a pointer of Git LFS and not the file; fetch it with `git lfs pull`",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_a_large_file_and_a_pointer_of_git_lfs_are_errors() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").expect("writes");
        assert_eq!(read(&path, 5).expect("reads"), b"12345");
        assert!(read(&path, 4).is_err());
        assert!(read(dir.path(), 4).expect_err("a folder").to_string().contains("regular file"));
        std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n").expect("writes");
        assert!(read(&path, 100).expect_err("a pointer").to_string().contains("git lfs pull"));
    }
}
