//! Manifests on disk: which files, and the documents in them.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use netpol_policy::objects_of;
use serde_json::Value;
use thiserror::Error;

mod yaml;

/// The extensions kubectl reads in a directory.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];
/// The path that means stdin.
const STDIN: &str = "-";

/// An object, and the file it stands in.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The file.
    pub(crate) file: String,
    /// The object.
    pub(crate) value: Value,
}

/// A file that cannot be read, or is neither YAML nor JSON.
#[derive(Debug, Error)]
pub(crate) enum ManifestError {
    #[error("{file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("{file}: {reason}")]
    Syntax { file: String, reason: String },
    #[error("{0}: no .yaml, .yml or .json file in this directory (-R looks below it as well)")]
    Empty(String),
}

/// Reads every document of files and directories; Lists are taken apart.
pub(crate) fn read(paths: &[PathBuf], recursive: bool) -> Result<Vec<Document>, ManifestError> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path, recursive)? {
            read_file(&file, &mut documents)?;
        }
    }
    Ok(documents)
}

/// The files of a path, sorted, as kubectl takes them: a file as it is, of a directory those with
/// the extension of a manifest.
fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, ManifestError> {
    if path == Path::new(STDIN) {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    if fs::metadata(path)
        .map_err(|e| unreadable(path, e))?
        .is_dir()
    {
        below(path, recursive, &mut found)?;
        if found.is_empty() {
            return Err(ManifestError::Empty(path.display().to_string()));
        }
    } else {
        found.push(path.to_owned());
    }
    Ok(found)
}

fn below(directory: &Path, recursive: bool, found: &mut Vec<PathBuf>) -> Result<(), ManifestError> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|e| unreadable(directory, e))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        let extension = path.extension().and_then(|e| e.to_str());
        if path.is_dir() {
            if recursive {
                below(&path, recursive, found)?;
            }
        } else if extension.is_some_and(|e| EXTENSIONS.contains(&e)) {
            found.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path, documents: &mut Vec<Document>) -> Result<(), ManifestError> {
    let (file, text) = if path == Path::new(STDIN) {
        let mut text = String::new();
        let read = io::stdin().read_to_string(&mut text);
        ("stdin".to_owned(), read.map(|_| text))
    } else {
        (path.display().to_string(), fs::read_to_string(path))
    };
    let text = text.map_err(|source| ManifestError::Read {
        file: file.clone(),
        source,
    })?;
    let parsed = yaml::documents(&text).map_err(|reason| ManifestError::Syntax {
        file: file.clone(),
        reason,
    })?;
    let values = parsed.into_iter().flat_map(objects_of);
    documents.extend(values.map(|value| Document {
        file: file.clone(),
        value,
    }));
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> ManifestError {
    ManifestError::Read {
        file: path.display().to_string(),
        source,
    }
}
