//! What a server has, remembered on disk between commands, as asking takes longer than the command itself.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::resources::Resources;

/// How long it is believed. A kind that is not in it is asked for again, so new kinds are seen at once.
const BELIEVED: Duration = Duration::from_secs(10 * 60);

/// One server's file; without a home folder there is none, and nothing is remembered.
#[derive(Debug)]
pub struct Cache(Option<PathBuf>);

impl Cache {
    /// The file for the server at this URL.
    pub fn of(server: &str) -> Self {
        let address = server.split_once("://").map_or(server, |(_, address)| address);
        let name: String =
            address
                .chars()
                .map(|character| {
                    if character.is_ascii_alphanumeric() || "-.".contains(character) {
                        character
                    } else {
                        '_'
                    }
                })
                .collect();
        let folder = match std::env::var_os("KUBECACHEDIR") {
            Some(folder) => Some(PathBuf::from(folder)),
            None => std::env::home_dir().map(|home| home.join(".kube/cache")),
        };
        Self(folder.map(|folder| folder.join("ctl").join(format!("{name}.json"))))
    }

    /// What it holds, when that is recent.
    pub fn read(&self) -> Option<Resources> {
        let path = self.0.as_ref()?;
        let written = std::fs::metadata(path).and_then(|file| file.modified()).ok()?;
        let recent = SystemTime::now().duration_since(written).is_ok_and(|age| age < BELIEVED);
        // A file of another version of this program is as good as none.
        recent.then(|| serde_json::from_slice(&std::fs::read(path).ok()?).ok())?
    }

    /// Remembers. A home folder that cannot be written costs time, not correctness, so failure is not an error.
    pub fn write(&self, resources: &Resources) {
        let Some(path) = &self.0 else { return };
        let Some(folder) = path.parent() else { return };
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| tempfile::NamedTempFile::new_in(folder))
            .and_then(|file| Ok((serde_json::to_writer(&file, resources)?, file)));
        if let Ok(((), file)) = written {
            // Renamed into place: two commands at once never read half a file.
            file.persist(path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_until_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ctl/server.json");
        let cache = Cache(Some(path.clone()));
        assert!(cache.read().is_none());
        cache.write(&Resources::default());
        assert!(cache.read().is_some());
        let old = SystemTime::now() - 2 * BELIEVED;
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        assert!(cache.read().is_none());
    }
}
