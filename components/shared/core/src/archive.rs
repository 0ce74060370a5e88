//! ZIP archives that are made as they are sent: stored, with ZIP64 where it takes that. Lengths and CRC-32 stand behind
//! each file and in the directory at the end, so no byte has to be known before it passes.
//!
//! Memory is that of the directory: some 250 bytes a file.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, Write};
use std::mem;
use std::rc::Rc;

use rawzip::time::UtcDateTime;
use rawzip::{ZipArchiveWriter, ZipDataWriter, ZipEntryWriter};

use crate::error::Error;

/// Files of one archive, at the most. More are several archives, each behind the last file of the one before.
pub const MAX_ARCHIVE_FILES: i32 = 50_000;

/// Keys that one request may name.
pub const MAX_ARCHIVE_KEYS: usize = 10_000;

/// Names of what is not in an archive, and why, one a line.
pub const LEFT_OUT: &str = "LEFT-OUT.txt";

/// A file that an archive takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the archive.
    pub name: String,
    /// Where its bytes lie.
    pub s3_key: String,
    /// How many they are.
    pub size: u64,
    /// When it was committed, in microseconds of Unix time.
    pub committed_at_us: i64,
}

/// A file that an archive does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// What is written and not sent yet.
#[derive(Clone, Default)]
struct Outgoing(Rc<RefCell<Vec<u8>>>);

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An archive that is being made. What it writes is taken out again and sent; it grows until then.
pub struct Archive {
    outgoing: Outgoing,
    writer: ZipArchiveWriter<Outgoing>,
    names: HashSet<String>,
}

impl Default for Archive {
    fn default() -> Self {
        let outgoing = Outgoing::default();
        let writer = ZipArchiveWriter::new(outgoing.clone());
        Self { outgoing, writer, names: HashSet::new() }
    }
}

impl Archive {
    /// Begins a file.
    ///
    /// # Errors
    /// [`crate::error::Code::InternalError`]: the name is none that a ZIP takes.
    pub fn file(&mut self, name: &str, committed_at_us: i64) -> Result<File<'_>, Error> {
        let name = self.free_name(name);
        let at = UtcDateTime::from_unix(committed_at_us.div_euclid(1_000_000));
        let file = self.writer.new_file(name.as_str()).last_modified(at).unix_permissions(0o644);
        let (entry, config) = file.start().map_err(Error::internal)?;
        Ok(File { data: config.wrap(entry), outgoing: self.outgoing.clone() })
    }

    /// Ends the archive; the bytes that are left to be sent.
    ///
    /// # Errors
    /// [`crate::error::Code::InternalError`]: a file was not ended.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        self.writer.finish().map_err(Error::internal)?;
        Ok(mem::take(&mut *self.outgoing.0.borrow_mut()))
    }

    /// A name that stays within the folder where it is unpacked, and that no other file has.
    fn free_name(&mut self, key: &str) -> String {
        let parts = key.split(['/', '\\']).filter(|part| !matches!(*part, "" | "." | ".."));
        let name = match parts.collect::<Vec<_>>().join("/") {
            name if name.is_empty() => "_".to_owned(),
            name => name,
        };
        let mut free = name.clone();
        let mut count = 1;
        while !self.names.insert(free.clone()) {
            count += 1;
            free = numbered(&name, count);
        }
        free
    }
}

/// `a/b.txt` as `a/b (2).txt`.
fn numbered(name: &str, count: u32) -> String {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[start..].rfind('.').filter(|dot| *dot > 0) {
        Some(dot) => {
            let (stem, extension) = name.split_at(start + dot);
            format!("{stem} ({count}){extension}")
        }
        None => format!("{name} ({count})"),
    }
}

/// A file of an archive that is being written.
pub struct File<'a> {
    data: ZipDataWriter<ZipEntryWriter<'a, Outgoing>>,
    outgoing: Outgoing,
}

impl File<'_> {
    /// Adds bytes of the file; what is to be sent, headers included, goes into `out`, which is emptied first.
    ///
    /// # Errors
    /// [`crate::error::Code::InternalError`].
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.data.write_all(bytes).map_err(Error::internal)?;
        out.clear();
        mem::swap(&mut *self.outgoing.0.borrow_mut(), out);
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`crate::error::Code::InternalError`].
    pub fn end(self) -> Result<(), Error> {
        let (entry, descriptor) = self.data.finish().map_err(Error::internal)?;
        entry.finish(descriptor).map_err(Error::internal)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of these files, whose bytes come in pieces of three.
    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut archive, mut sent, mut out) = (Archive::default(), Vec::new(), Vec::new());
        for (name, bytes) in files {
            let mut file = archive.file(name, 1_764_000_000_000_000).expect("begun");
            for piece in bytes.chunks(3) {
                file.write(piece, &mut out).expect("written");
                sent.extend_from_slice(&out);
            }
            file.end().expect("ended");
        }
        sent.extend(archive.finish().expect("finished"));
        sent
    }

    fn read(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
        let archive = rawzip::ZipArchive::from_slice(zip).expect("an archive");
        let mut files = Vec::new();
        let mut entries = archive.entries();
        while let Some(entry) = entries.next_entry().expect("an entry") {
            let name = entry.file_path().try_normalize().expect("a name").as_str().to_owned();
            let found = archive.get_entry(entry.wayfinder()).expect("its bytes");
            let mut bytes = Vec::new();
            let mut verifier = found.verifying_reader(found.data());
            io::copy(&mut verifier, &mut bytes).expect("its CRC-32");
            files.push((name, bytes));
        }
        files
    }

    #[test]
    fn what_goes_in_comes_out() {
        let files: [(&str, &[u8]); 4] =
            [("a.txt", b"one"), ("b/ü 🌊.bin", b"0123456789"), ("empty", b""), ("z", b"last")];
        let found = read(&archive(&files));
        let wanted: Vec<_> = files.iter().map(|(n, b)| ((*n).to_owned(), b.to_vec())).collect();
        assert_eq!(found, wanted);
        assert_eq!(read(&archive(&[])), []);
    }

    #[test]
    fn names_stay_in_their_folder_and_are_nobody_elses() {
        let keys =
            ["a/b.txt", "a//b.txt", "/a/b.txt", r"a\b.txt", "..", "x/../y", ".env", ".env", "p/"];
        let files: Vec<_> = keys.iter().map(|key| (*key, b"".as_slice())).collect();
        let names: Vec<_> = read(&archive(&files)).into_iter().map(|(name, _)| name).collect();
        let wanted = [
            "a/b.txt",
            "a/b (2).txt",
            "a/b (3).txt",
            "a/b (4).txt",
            "_",
            "x/y",
            ".env",
            ".env (2)",
            "p",
        ];
        assert_eq!(names, wanted);
    }

    #[test]
    fn more_files_than_a_plain_directory_counts() {
        let mut archive = Archive::default();
        for number in 0..70_000 {
            archive.file(&number.to_string(), 0).expect("begun").end().expect("ended");
        }
        let zip = archive.finish().expect("finished");
        assert_eq!(
            rawzip::ZipArchive::from_slice(&zip).expect("an archive").entries_hint(),
            70_000
        );
    }
}
