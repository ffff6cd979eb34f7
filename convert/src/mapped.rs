//! Packed files mapped into memory: a page comes when it is looked at, and programs that score the same file share it.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::error::Error;
use crate::pack::Packed;

/// The bytes of a packed file, at an address that suits the runtime; unchecked.
#[derive(Debug)]
pub struct Mapped(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Read(Packed),
}

impl Mapped {
    /// Maps the file at `path`; reads it where it has no pages to map, as a pipe has none.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let bytes = || {
            let mut file = File::open(path)?;
            if let Ok(mapped) = map(&file) {
                return Ok(Bytes::Mapped(mapped));
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Bytes::Read(Packed::new(&bytes)))
        };
        bytes().map(Mapped).map_err(Error::io(path))
    }
}

#[allow(unsafe_code, reason = "a call to C")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: it is sound while nobody writes to the file in place, which no program can prove of the others. This
    // project's write beside a file and rename (`xsfm_interchange::atomic`), after which the mapping still has the file
    // that was opened. Whoever cuts the file short ends this program with SIGBUS at the next look beyond its end;
    // Rust's types read nothing else for it. docs/security.md asks the same of others.
    unsafe { Mmap::map(file) }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(mapped) => mapped,
            Bytes::Read(packed) => packed,
        }
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_mapped_where_the_runtime_can_use_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.xsfm");
        let written: Vec<u8> = (0..10_001_u32).map(|i| i as u8).collect();
        std::fs::write(&path, &written).unwrap();
        let mapped = Mapped::open(&path).unwrap();
        assert!(matches!(mapped.0, Bytes::Mapped(_)), "{mapped:?}");
        assert!(*mapped == written && mapped.as_ptr().addr().is_multiple_of(64));

        // As all our outputs are written: what was opened stays.
        xsfm_interchange::atomic::write(&path, |file| file.write_all(b"another")).unwrap();
        assert!(*mapped == written && *Mapped::open(&path).unwrap() == *b"another");

        std::fs::write(&path, b"").unwrap();
        assert!(Mapped::open(&path).unwrap().is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_is_read() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let written: Vec<u8> = (0..1001_u32).map(|i| i as u8).collect();
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&written).unwrap();
        drop(writer);
        let read = Mapped::open(Path::new(&format!("/dev/fd/{}", reader.as_raw_fd()))).unwrap();
        assert!(matches!(read.0, Bytes::Read(_)), "{read:?}");
        assert!(*read == written && read.as_ptr().addr().is_multiple_of(64));
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("missing.xsfm"), folder.path().to_owned()] {
            let message = Mapped::open(&path).unwrap_err().to_string();
            assert!(message.contains(&path.display().to_string()), "{message}");
        }
    }
}
