//! Opening files of text: gzip is unpacked, a byte order mark is passed over, and what is no text is named.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

use crate::error::DataError;
use crate::magic::{BYTE_ORDER_MARK, GZIP, HEAD_BYTES, foreign};

/// What a row says that a gzip stream broke off in.
pub(crate) const TRUNCATED: &str = "the gzip stream ends here, before its end: whatever followed is missing";

/// The text of a file.
pub struct Text {
    reader: Box<dyn Read + Send>,
    /// Bytes of the file before it; `None` where it is unpacked from the file's bytes.
    offset: Option<u64>,
}

impl Text {
    /// Bytes of the file before the text, where its bytes are the file's.
    pub(crate) fn offset(&self) -> Option<u64> {
        self.offset
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text")
    }
}

/// Opens a file of text; gzip, in one piece or several, is known by its first bytes, whatever its name. `progress`
/// counts bytes of the file.
///
/// # Errors
/// The file cannot be read, cannot be read twice (a pipe), or is no text in UTF-8 by its first bytes.
pub fn open(path: &Path, progress: &ProgressBar) -> Result<Text, DataError> {
    let mut file = open_file(path)?;
    let head = head(&mut file).map_err(DataError::io(path))?;
    let is_gzip = head.starts_with(GZIP);
    let whole = progress.wrap_read(io::Cursor::new(head.clone()).chain(file));
    if !is_gzip {
        return text(path, &head, whole, Some(0));
    }
    let mut unpacked = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, whole));
    let mut head = Vec::new();
    match unpacked.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head) {
        // What breaks off so early does so again, where it is read.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(DataError::io(path)(error)),
    }
    text(path, &head.clone(), io::Cursor::new(head).chain(unpacked), None)
}

/// Opens a file of text that is not packed at so many bytes from its beginning.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn open_at(path: &Path, offset: u64, progress: &ProgressBar) -> Result<Text, DataError> {
    let mut file = open_file(path)?;
    file.seek(io::SeekFrom::Start(offset)).map_err(DataError::io(path))?;
    Ok(Text { reader: Box::new(progress.wrap_read(file)), offset: Some(offset) })
}

/// Opens a regular file. Rows are read several times: a pipe would be empty the second time.
///
/// # Errors
/// The file cannot be opened, or is a folder, a pipe, or a device.
pub(crate) fn open_file(path: &Path) -> Result<File, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    let kind = file.metadata().map_err(DataError::io(path))?.file_type();
    if kind.is_dir() {
        return Err(DataError::file(path, "a folder, a file expected"));
    }
    if !kind.is_file() {
        return Err(DataError::file(path, "neither a file nor a folder: what is read several times cannot be a pipe"));
    }
    Ok(file)
}

/// The whole text of a small file.
///
/// # Errors
/// Those of [`open`], and bytes that are not UTF-8.
pub(crate) fn read_to_string(path: &Path) -> Result<String, DataError> {
    let mut bytes = Vec::new();
    open(path, &ProgressBar::hidden())?.read_to_end(&mut bytes).map_err(DataError::io(path))?;
    String::from_utf8(bytes).map_err(|e| DataError::file(path, format!("not UTF-8: {e}")))
}

/// The first bytes of what `reader` gives.
pub(crate) fn head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    reader.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn text(
    path: &Path,
    head: &[u8],
    mut whole: impl Read + Send + 'static,
    mut offset: Option<u64>,
) -> Result<Text, DataError> {
    if let Some(what) = foreign(head) {
        return Err(DataError::file(path, what));
    }
    if head.starts_with(BYTE_ORDER_MARK) {
        whole.read_exact(&mut [0; BYTE_ORDER_MARK.len()]).map_err(DataError::io(path))?;
        offset = offset.map(|offset| offset + BYTE_ORDER_MARK.len() as u64);
    }
    Ok(Text { reader: Box::new(whole), offset })
}
