//! Figures in a page of the documentation: where they are from, and the marks that they stand between.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use jiff::Timestamp;

/// This machine at this moment, in a few words: figures mean little without it.
pub fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    // Others on the machine make times longer.
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').nth(1).unwrap_or("?").to_owned();
    let release = nix::sys::utsname::uname().ok();
    let release = release.map(|it| it.release().to_string_lossy().into_owned());
    format!(
        "{processors} processors, Linux {}, load {load} over the last five minutes",
        release.unwrap_or_default()
    )
}

/// Today, in UTC.
pub fn day() -> String {
    Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// Writes `text` into a page, between two marks.
///
/// # Errors
/// When the page cannot be read or written, or lacks a mark.
pub fn write(path: &Path, marks: [&str; 2], text: &str) -> Result<()> {
    let page = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let [begin, end] = marks;
    let page = replaced(&page, marks, text)
        .with_context(|| format!("{} lacks the line `{begin}` or `{end}`", path.display()))?;
    fs::write(path, page).with_context(|| format!("write {}", path.display()))
}

fn replaced(page: &str, [begin, end]: [&str; 2], text: &str) -> Option<String> {
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{text}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn what_stands_around_the_marks_stays() {
        let page = "one\n<a>\nold\n</a>\ntwo\n";
        let expected = "one\n<a>\nnew\n</a>\ntwo\n";
        let marks = ["<a>", "</a>"];
        assert_eq!(replaced(page, marks, "new").as_deref(), Some(expected));
        assert_eq!(replaced("nothing", marks, "new"), None);
    }
}
