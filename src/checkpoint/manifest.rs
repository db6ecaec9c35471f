//! The manifest of a checkpoint: length and digest of each file, and its own digest.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use super::{SCHEMA, digest};

/// The name of its file.
pub(super) const MANIFEST: &str = "manifest.json";

/// The longest manifest that is read. It lists tens of thousands of files.
const MOST_BYTES: u64 = 1 << 24;

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub name: String,
    pub bytes: u64,
    pub xxh3_128: String,
}

/// All files of a checkpoint, except the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    schema: u32,
    pub step: u64,
    pub files: Vec<Entry>,
    /// The digest of everything above.
    digest: String,
}

/// The file at fault, and what is wrong with it.
pub(super) type Fault = (PathBuf, String);

impl Manifest {
    pub fn new(step: u64, files: Vec<Entry>) -> Self {
        let mut manifest = Self { schema: SCHEMA, step, files, digest: String::new() };
        manifest.digest = manifest.digest_of_contents();
        manifest
    }

    fn digest_of_contents(&self) -> String {
        let contents = Self { digest: String::new(), ..self.clone() };
        digest::of_bytes(&contents.to_bytes())
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("strings and numbers are JSON")
    }

    /// Reads the bytes of `to_bytes`. Any other byte is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let version = serde_json::from_slice::<Version>(bytes).map_err(|error| format!("no manifest: {error}"))?;
        if version.schema != SCHEMA {
            return Err(format!("schema {} is not {SCHEMA}, the only one that this version reads", version.schema));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| format!("no manifest: {error}"))?;
        let found = manifest.digest_of_contents();
        if manifest.digest != found || manifest.to_bytes() != bytes {
            return Err(format!("digest {found}, not {}: it was changed after it was written", manifest.digest));
        }
        let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        match manifest.files.iter().find(|entry| !plain(&entry.name)) {
            Some(entry) => Err(format!("{:?} is not the name of a file in this folder", entry.name)),
            None => Ok(manifest),
        }
    }

    /// The manifest of `folder`, if each file has its length and digest.
    pub fn verify(folder: &Path) -> Result<Self, Fault> {
        Self::verify_without(folder, &[])
    }

    /// The same, but the files `optional` may be absent. The manifest then omits them too.
    pub fn verify_without(folder: &Path, optional: &[&str]) -> Result<Self, Fault> {
        let mut manifest = Self::read(folder)?;
        manifest.files.retain(|entry| !optional.contains(&&*entry.name) || folder.join(&entry.name).exists());
        for entry in &manifest.files {
            let path = folder.join(&entry.name);
            entry.verify(&path).map_err(|message| (path, message))?;
        }
        Ok(manifest)
    }

    fn read(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join(MANIFEST);
        let read = || {
            let mut bytes = Vec::new();
            let file = File::open(&path).map_err(|error| format!("{error}: the checkpoint is not complete"))?;
            file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            Self::parse(&bytes)
        };
        read().map_err(|message| (path.clone(), message))
    }
}

impl Entry {
    fn verify(&self, path: &Path) -> Result<(), String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        if length != self.bytes {
            return Err(format!("{length} bytes, not {}", self.bytes));
        }
        let mut hash = Xxh3Default::new();
        let mut buffer = vec![0; length.clamp(1, 1 << 20) as usize];
        loop {
            match file.read(&mut buffer).map_err(|error| error.to_string())? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let found = digest::hex(&hash);
        if found == self.xxh3_128 {
            Ok(())
        } else {
            Err(format!("digest {found}, not {}: its bytes have changed", self.xxh3_128))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_no_flipped_bit_or_missing_byte_does() {
        let entry = Entry { name: "model.safetensors".into(), bytes: 12, xxh3_128: "ab".repeat(16) };
        let manifest = Manifest::new(500, vec![entry]);
        let bytes = manifest.to_bytes();
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::parse(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Manifest::parse(&bytes[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn files_outside_of_the_folder_and_later_schemas_are_refused() {
        for name in ["../model", "/etc/passwd", "", ".hidden", "a\\b"] {
            let entry = Entry { name: name.into(), bytes: 0, xxh3_128: String::new() };
            let message = Manifest::parse(&Manifest::new(1, vec![entry]).to_bytes()).unwrap_err();
            assert!(message.contains("is not the name of a file in this folder"), "{name}: {message}");
        }
        let message = Manifest::parse(br#"{"schema":2,"shards":[]}"#).unwrap_err();
        assert_eq!(message, "schema 2 is not 1, the only one that this version reads");
    }
}
