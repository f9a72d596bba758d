//! Output compared with what was agreed on, under `tests/golden/`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p netpolctl` writes the files anew; review the difference then.

use std::fs;

use crate::program::tests;

/// Compares `text` with the golden file `name`.
#[track_caller]
pub(crate) fn assert_golden(name: &str, text: &str) {
    let path = tests().join("golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).expect("the golden file can be written");
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == text,
        "{} differs.\n--- agreed\n{golden}\n--- now\n{text}\n---\n\
         UPDATE_GOLDEN=1 agrees to the latter",
        path.display()
    );
}
