use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;
use std::vec;
use std::vec::Vec;

use xsfm_runtime::ScratchBlock;
use zerocopy::IntoBytes;

/// The bytes of a file at a multiple of 64, as the runtime wants a model.
#[derive(Clone, Debug)]
pub struct ModelBytes {
    blocks: Vec<ScratchBlock>,
    len: usize,
}

impl ModelBytes {
    /// Reads a file whole. Its bytes are not checked: `Model::from_bytes` does that.
    ///
    /// # Errors
    /// The file system's.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut blocks = vec![ScratchBlock::ZERO; len.div_ceil(ScratchBlock::LEN)];
        file.read_exact(&mut blocks.as_mut_bytes()[..len])?;
        Ok(ModelBytes { blocks, len })
    }
}

impl Deref for ModelBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.blocks.as_bytes()[..self.len]
    }
}
