//! Runs the program and keeps what it said.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run has left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// stdout of a run that must end with `code`; all it said when it did not.
    #[track_caller]
    pub(crate) fn stdout_of(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.stdout
    }

    /// stderr of a run that must end with `code` and print nothing else.
    #[track_caller]
    pub(crate) fn stderr_of(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        self.stderr
    }
}

/// `netpolctl`, in a 100 columns wide world without colours.
pub(crate) fn netpolctl(arguments: &[impl AsRef<OsStr>]) -> Run {
    netpolctl_fed(arguments, "")
}

/// The same, with something on stdin.
pub(crate) fn netpolctl_fed(arguments: &[impl AsRef<OsStr>], stdin: &str) -> Run {
    let mut child = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("netpolctl starts");
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    let text = stdin.to_owned();
    let feeder = std::thread::spawn(move || {
        // The program may end without having read everything.
        let _ = pipe.write_all(text.as_bytes());
    });
    let output = child.wait_with_output().expect("netpolctl ends");
    feeder.join().expect("the feeder ends");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// The built program with a clean environment, in the directory of the tests.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netpolctl"));
    command
        .env_clear()
        .env("COLUMNS", "100")
        .current_dir(tests());
    command
}

/// The directory of recorded replies, manifests and golden files.
pub(crate) fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}
