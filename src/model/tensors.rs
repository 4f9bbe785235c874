//! Files of f32 tensors in the format safetensors, written and read one tensor at a time, so that a large model is not
//! copied as a whole.

use crate::files;
use crate::model::slices::with_slice;
use candle_core::{Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A tensor to write.
pub struct NamedTensor<'a> {
    /// Its name, which no other has.
    pub name: String,
    /// Its dimensions.
    pub dims: Vec<usize>,
    /// Its numbers.
    pub numbers: Numbers<'a>,
}

/// The numbers of a tensor to write.
pub enum Numbers<'a> {
    /// Those of a contiguous tensor on any device.
    Tensor(Tensor),
    /// Numbers in memory.
    Slice(&'a [f32]),
}

/// Bytes of a number.
const NUMBER: usize = size_of::<f32>();

/// Bytes of the length of the header, which the file begins with. The header is padded to a multiple of them.
const LENGTH: usize = size_of::<u64>();

/// Writes a file of these tensors and this metadata, without flushing it to disk. After an error the file may be incomplete.
///
/// # Errors
/// If the file system or the device fails.
pub fn write(
    path: &Path,
    mut tensors: Vec<NamedTensor>,
    metadata: BTreeMap<String, String>,
) -> io::Result<()> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += NUMBER * tensor.dims.iter().product::<usize>();
        let info = TensorInfo { dtype: Dtype::F32, shape: tensor.dims.clone(), data_offsets: (start, end) };
        (tensor.name.clone(), info)
    });
    let infos = infos.collect();
    let metadata = (!metadata.is_empty()).then(|| metadata.into_iter().collect());
    let metadata = Metadata::new(metadata, infos).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    let length = LENGTH + header.len() + end;
    files::write_pieces(path, length as u64, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|tensor| tensor.numbers.write(file))
    })
}

impl Numbers<'_> {
    fn write(&self, file: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Slice(numbers) => write_numbers(file, numbers),
            Self::Tensor(tensor) => {
                let on_cpu = tensor.to_device(&Device::Cpu).map_err(io::Error::other)?;
                with_slice(&on_cpu, |numbers| write_numbers(file, numbers)).map_err(io::Error::other)?
            }
        }
    }
}

fn write_numbers(file: &mut dyn Write, numbers: &[f32]) -> io::Result<()> {
    numbers.chunks(1 << 14).try_for_each(|chunk| {
        let bytes: Vec<u8> = chunk.iter().flat_map(|number| number.to_le_bytes()).collect();
        file.write_all(&bytes)
    })
}

/// An open file of f32 tensors.
pub struct TensorFile {
    file: File,
    metadata: Metadata,
    /// Where the numbers begin.
    start: u64,
}

impl TensorFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// If it cannot be read, or is not complete.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut length = [0; LENGTH];
        file.read_exact(&mut length)?;
        let start = u64::from_le_bytes(length).saturating_add(LENGTH as u64);
        if start > size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends in its header"));
        }
        let mut header = Vec::new();
        Read::by_ref(&mut file).take(start - LENGTH as u64).read_to_end(&mut header)?;
        let metadata: Metadata = serde_json::from_slice(&header)?;
        if start + metadata.data_len() as u64 != size {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is not as long as its header says",
            ));
        }
        Ok(Self { file, metadata, start })
    }

    /// The numbers of a tensor. `None` if there is none of this name, or if it has other dimensions or is not f32.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn numbers(&mut self, name: &str, dims: &[usize]) -> io::Result<Option<Vec<f32>>> {
        let info = self.metadata.info(name).filter(|info| info.shape == dims && info.dtype == Dtype::F32);
        let Some(TensorInfo { data_offsets: (start, end), .. }) = info else { return Ok(None) };
        self.file.seek(SeekFrom::Start(self.start + *start as u64))?;
        let mut bytes = vec![0; 1 << 16];
        let mut left = end - start;
        let mut numbers = Vec::with_capacity(left / NUMBER);
        while left > 0 {
            let now = bytes.len().min(left);
            self.file.read_exact(&mut bytes[..now])?;
            let (words, _) = bytes[..now].as_chunks::<NUMBER>();
            numbers.extend(words.iter().map(|&word| f32::from_le_bytes(word)));
            left -= now;
        }
        Ok(Some(numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn tensors(numbers: &[f32]) -> Vec<NamedTensor<'_>> {
        let tensor = Tensor::new(&[[9f32, 8.0], [7.0, 6.0]], &Device::Cpu).unwrap();
        let named = |name: &str, dims: &[usize], numbers| NamedTensor {
            name: name.to_owned(),
            dims: dims.to_vec(),
            numbers,
        };
        vec![
            named("z", &[numbers.len()], Numbers::Slice(numbers)),
            named("a", &[2, 2], Numbers::Tensor(tensor)),
        ]
    }

    /// The bytes are those that the library of the format writes from the same tensors.
    #[test]
    fn a_file_is_the_one_that_the_library_writes() {
        let numbers: Vec<f32> = (0u16..20_000).map(f32::from).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let metadata = [("format".to_owned(), "pt".to_owned())];
        write(&path, tensors(&numbers), metadata.clone().into()).unwrap();
        let bytes = |numbers: &[f32]| -> Vec<u8> { numbers.iter().flat_map(|x| x.to_le_bytes()).collect() };
        let (z, a) = (bytes(&numbers), bytes(&[9.0, 8.0, 7.0, 6.0]));
        let views = [
            ("z", TensorView::new(Dtype::F32, vec![20_000], &z).unwrap()),
            ("a", TensorView::new(Dtype::F32, vec![2, 2], &a).unwrap()),
        ];
        let expected = safetensors::serialize(views, Some(metadata.into_iter().collect())).unwrap();
        assert!(std::fs::read(&path).unwrap() == expected);
        let mut file = TensorFile::open(&path).unwrap();
        assert_eq!(file.numbers("z", &[20_000]).unwrap().unwrap(), numbers);
        assert_eq!(file.numbers("a", &[2, 2]).unwrap().unwrap(), [9.0, 8.0, 7.0, 6.0]);
        assert!(file.numbers("a", &[4]).unwrap().is_none() && file.numbers("b", &[4]).unwrap().is_none());
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        write(&path, tensors(&[1.0, 2.0]), BTreeMap::new()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(TensorFile::open(&path).is_err(), "{length} of {} bytes", whole.len());
        }
        std::fs::write(&path, [u8::MAX; 40]).unwrap();
        assert!(TensorFile::open(&path).is_err());
    }
}
