//! The header of a safetensors file: its tensors, and where they are. The crate `safetensors` defines the format and
//! checks headers. Its writer neither syncs nor hashes, and its reader needs the whole file in memory.

use std::io::Read;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::tensor::{Elements, Tensor};

/// The longest header, as in the format's own reader.
const MOST_BYTES: u64 = 100_000_000;

/// The types that hotrow writes.
pub(super) fn dtype(elements: &Elements) -> Dtype {
    match elements {
        Elements::F32(_) => Dtype::F32,
        Elements::Bf16(_) => Dtype::BF16,
        Elements::U8(_) => Dtype::U8,
        Elements::U32(_) => Dtype::U32,
        Elements::U64(_) => Dtype::U64,
    }
}

/// The header, and the tensors in the order of the file. Wide elements come first, so that all are aligned.
///
/// # Panics
///
/// If two tensors have one name, or a tensor's elements disagree with its shape.
#[track_caller]
pub(super) fn plan<'a, 'b>(tensors: &'a [Tensor<'b>]) -> (Vec<u8>, Vec<&'a Tensor<'b>>) {
    let mut ordered: Vec<_> = tensors.iter().collect();
    ordered.sort_by_key(|tensor| std::cmp::Reverse(dtype(&tensor.elements).bitsize()));
    let mut end = 0;
    let infos: Vec<_> = ordered
        .iter()
        .map(|tensor| {
            let start = end;
            end += tensor.elements.bytes().len();
            let info =
                TensorInfo { dtype: dtype(&tensor.elements), shape: tensor.shape.clone(), data_offsets: (start, end) };
            (tensor.name.clone(), info)
        })
        .collect();
    let mut names: Vec<_> = tensors.iter().map(|tensor| &tensor.name).collect();
    names.sort_unstable();
    assert!(names.is_sorted_by(|a, b| a < b), "two tensors have the same name");
    // Loaders of other programs ask for the framework: PyTorch lays out rows one after the other, as hotrow does.
    let format = [("format".to_owned(), "pt".to_owned())].into();
    let metadata = match Metadata::new(Some(format), infos) {
        Ok(metadata) => metadata,
        Err(error) => panic!("shape and elements of a tensor disagree: {error}"),
    };
    let mut json = serde_json::to_vec(&metadata).expect("names and numbers are JSON");
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    (header, ordered)
}

/// The contents of a file of `length` bytes. Reading stops before the first tensor.
#[derive(Debug)]
pub(super) struct Header {
    /// Where the first tensor starts.
    pub start: u64,
    /// The tensors in the order of the file; `data_offsets` count from `start`.
    pub tensors: Vec<(String, TensorInfo)>,
}

impl Header {
    pub fn read(mut file: impl Read, length: u64) -> Result<Self, String> {
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(|error| format!("no safetensors header: {error}"))?;
        let size = u64::from_le_bytes(size);
        if size > MOST_BYTES || size > length.saturating_sub(8) {
            return Err(format!("a header of {size} bytes in a file of {length}"));
        }
        let mut json = vec![0; size as usize];
        file.read_exact(&mut json).map_err(|error| format!("no safetensors header: {error}"))?;
        let metadata: Metadata =
            serde_json::from_slice(&json).map_err(|error| format!("no safetensors header: {error}"))?;
        let start = 8 + size;
        let end = start.saturating_add(metadata.data_len() as u64);
        if end != length {
            return Err(format!("tensors up to byte {end} in a file of {length}"));
        }
        let info = |name: String| {
            let info = metadata.info(&name).cloned();
            info.map(|info| (name, info))
        };
        Ok(Self { start, tensors: metadata.offset_keys().into_iter().filter_map(info).collect() })
    }
}
