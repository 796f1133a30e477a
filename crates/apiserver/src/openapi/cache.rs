//! Finished documents. They are kept compressed, which makes all of them together smaller than a small cluster's cache, and
//! are made again when the resources that they tell of have changed.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use api_types::resource::ResourceInfo;
use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compression, read::GzDecoder};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha512};

use super::definitions::Definitions;
use super::document::{self, Source};
use super::gnostic::{self, Message};
use super::paths::Row;
use super::schemas::Dialect;

/// A document as it is served.
#[derive(Clone)]
pub struct Document {
    /// Compressed by gzip.
    pub gzip: Bytes,
    /// Length before compression.
    pub length: usize,
    /// SHA-512 in capital hexadecimal digits.
    pub hash: Arc<str>,
}

impl Document {
    /// The document uncompressed.
    ///
    /// # Errors
    /// None that the writer has not had.
    pub fn plain(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.length);
        GzDecoder::new(&*self.gzip).read_to_end(&mut out)?;
        Ok(out)
    }

    fn made(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Document> {
        let mut out = Hashing {
            gzip: GzEncoder::new(Vec::new(), Compression::default()),
            hash: Sha512::new(),
            length: 0,
        };
        let mut buffered = io::BufWriter::with_capacity(16 * 1024, &mut out);
        write(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        let Hashing { gzip, hash, length } = out;
        let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02X}")).collect();
        let mut gzip = gzip.finish()?;
        gzip.shrink_to_fit();
        Ok(Document { gzip: gzip.into(), length, hash: hash.into() })
    }
}

struct Hashing {
    gzip: GzEncoder<Vec<u8>>,
    hash: Sha512,
    length: usize,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gzip.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Which document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// OpenAPI v2 as JSON.
    V2,
    /// OpenAPI v2 as protobuf.
    V2Protobuf,
    /// OpenAPI v3 of a path (`apis/apps/v1`).
    V3(String),
}

/// A document and the rows that it was made from.
type Made = (Vec<Arc<ResourceInfo>>, Document);

/// The documents that somebody has asked for.
#[derive(Default)]
pub struct Documents {
    made: Mutex<HashMap<Key, Made>>,
}

impl Documents {
    /// The document, made if it is not there or if its resources are not those it was made from. Takes some tens of
    /// milliseconds the first time.
    ///
    /// # Errors
    /// None that a buffer in memory has not.
    pub fn get(&self, source: &Source<'_>, key: &Key) -> io::Result<Document> {
        let told_of: Vec<Arc<ResourceInfo>> =
            source.rows.iter().map(|row| &row.info).filter(|info| concerns(key, info)).cloned().collect();
        if let Some((rows, document)) = self.made.lock().get(key)
            && same(rows, &told_of)
        {
            return Ok(document.clone());
        }
        // Made without the lock: two requests may do the same work, but nobody waits for another document.
        let document = Document::made(|out| match key {
            Key::V2 => document::write_v2(source, out),
            Key::V2Protobuf => out.write_all(&protobuf(source)),
            Key::V3(name) => document::write_v3(source, name, out),
        })?;
        self.made.lock().insert(key.clone(), (told_of, document.clone()));
        Ok(document)
    }

    /// Forgets v3 documents that are not among these names.
    pub fn retain(&self, names: &[String]) {
        self.made.lock().retain(|key, _| match key {
            Key::V3(name) => names.binary_search(name).is_ok(),
            _ => true,
        });
    }
}

/// Whether a document tells of a resource.
fn concerns(key: &Key, info: &ResourceInfo) -> bool {
    match key {
        Key::V2 | Key::V2Protobuf => true,
        Key::V3(name) => match name.strip_prefix("apis/").and_then(|rest| rest.split_once('/')) {
            Some((group, version)) => info.group == group && info.version == version,
            None => info.group.is_empty() && name.strip_prefix("api/").is_some_and(|v| info.version == v),
        },
    }
}

fn same(one: &[Arc<ResourceInfo>], other: &[Arc<ResourceInfo>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b))
}

fn protobuf(source: &Source<'_>) -> Vec<u8> {
    let rows: &[Row] = source.rows;
    let (mut paths, mut types) = (Message::default(), Message::default());
    let (mut definitions, mut shared) = (Definitions::default(), serde_json::Map::new());
    for path in document::names(rows).iter().flat_map(|name| document::paths_of(name, rows)) {
        document::collect(&path, rows, &mut definitions);
        document::collect_shared(&path, &mut shared);
        paths.named(2, &path.template, &gnostic::path_item(&document::path_item(&path, Dialect::V2)));
    }
    for (name, schema) in definitions.iter(Dialect::V2) {
        types.named(1, name, &gnostic::schema(&schema));
    }
    gnostic::document(source.version, &paths, &types, &shared)
}
