//! Booting, reading along, and how it ended.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::files::RunDirectory;
use super::kernel::Unpacked;
use super::qemu::Qemu;
use crate::process;
use crate::progress::{self, Progress};

const CONSOLE_TAIL_LINES: usize = 25;

/// Lines of init (`init.sh`), which are for us.
const UP: &str = "NETPOL-VM-UP ";
const EXIT: &str = "NETPOL-VM-EXIT ";

/// Time comes from the ACPI timer, whose frequency is known. That of the TSC is measured at boot, and on a busy machine
/// the guest's seconds then last a fraction of ours: every time-out of a test would come too early.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off random.trust_cpu=on \
     nokaslr no_timer_check clocksource=acpi_pm";

/// A virtual machine that is ready to boot.
pub(super) struct Machine {
    pub(super) memory_mib: u32,
    pub(super) timeout: Duration,
    directory: PathBuf,
    qemu: Qemu,
    kernel: Unpacked,
}

/// How a machine's life ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The script's exit code.
    Exited(u8),
    /// The time was up; the last lines of the console.
    TimedOut(String),
    /// The machine stopped before the script ended; the last lines of the console.
    Died(String),
}

impl Ending {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Exited(code) => *code,
            Self::TimedOut(_) => 124,
            Self::Died(_) => 125,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::TimedOut(console) => write!(
                f,
                "time ran out (`--timeout SECONDS` gives more); the console's last lines:\n{console}"
            ),
            Self::Died(console) => write!(
                f,
                "the kernel ended before the script; the console's last lines:\n{console}"
            ),
        }
    }
}

impl Machine {
    pub(super) fn new(directory: &Path, qemu: Qemu, kernel: Unpacked) -> Self {
        Self {
            memory_mib: 1024,
            timeout: Duration::from_secs(600),
            directory: directory.to_owned(),
            qemu,
            kernel,
        }
    }

    /// Boots with all but the modules, runs the payload in there, and hands on each line it prints.
    pub(super) fn run(&self, common: &[u8], each: impl FnMut(&str)) -> anyhow::Result<Ending> {
        let directory = RunDirectory::create(&self.directory, &self.kernel.release)?;
        let initramfs = directory.join("initramfs");
        let console = directory.join("console");
        self.write_initramfs(common, &initramfs)?;
        let progress = Progress::start(&format!("booting Linux {}", self.kernel.release));
        let started = Instant::now();
        let mut child = self
            .command(&initramfs, &console)
            .spawn()
            .context("start QEMU")?;
        let lines = read_lines(&mut child)?;
        let code = follow(&lines, started + self.timeout, progress, each);
        let timed_out = code == Err(RecvTimeoutError::Timeout);
        if timed_out {
            child.kill().context("end QEMU")?;
        }
        child.wait().context("wait for QEMU")?;
        eprintln!(
            "Linux {}: {}",
            self.kernel.release,
            progress::seconds(started.elapsed())
        );
        let tail = || console_tail(&console);
        Ok(match code {
            Ok(code) => Ending::Exited(code),
            Err(RecvTimeoutError::Timeout) => Ending::TimedOut(tail()),
            Err(RecvTimeoutError::Disconnected) => Ending::Died(tail()),
        })
    }

    fn write_initramfs(&self, common: &[u8], path: &Path) -> anyhow::Result<()> {
        let modules = fs::read(&self.kernel.modules)
            .with_context(|| format!("read {}", self.kernel.modules.display()))?;
        let mut file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        file.write_all(common)?;
        file.write_all(&modules)?;
        Ok(())
    }

    fn command(&self, initramfs: &Path, console: &Path) -> Command {
        let mut command = self.qemu.command();
        command
            // Emulation always: where KVM is there but does not work, machines hang.
            .args([
                "-accel",
                "tcg,thread=multi",
                "-machine",
                "q35",
                "-cpu",
                "max",
            ])
            .args(["-smp", "1", "-m", &self.memory_mib.to_string()])
            .args(["-nodefaults", "-display", "none", "-no-reboot"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(["-serial", "stdio", "-append", KERNEL_ARGUMENTS])
            .arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(initramfs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }
}

fn console_tail(console: &Path) -> String {
    let tail = process::tail(console, CONSOLE_TAIL_LINES);
    if tail.trim().is_empty() {
        return "(the kernel said nothing)".to_owned();
    }
    tail
}

/// Reads the second serial port on a thread of its own, so that waiting for a line can time out.
fn read_lines(child: &mut Child) -> anyhow::Result<Receiver<String>> {
    let output: Box<dyn Read + Send> = Box::new(child.stdout.take().context("QEMU's output")?);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if sender.send(line.trim_end_matches('\r').to_owned()).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// Hands lines on until the script's exit code comes. An error says that the time was up or the machine stopped.
fn follow(
    lines: &Receiver<String>,
    deadline: Instant,
    progress: Progress,
    mut each: impl FnMut(&str),
) -> Result<u8, RecvTimeoutError> {
    let mut progress = Some(progress);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = lines.recv_timeout(left)?;
        if line.starts_with(UP) {
            if let Some(progress) = progress.take() {
                progress.done();
            }
        } else if let Some((rest, code)) = line.split_once(EXIT) {
            // The script's last line may have had no end.
            if !rest.is_empty() {
                each(rest);
            }
            return Ok(code.trim().parse().unwrap_or(u8::MAX));
        } else {
            each(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow_lines(text: &[&str]) -> (Result<u8, RecvTimeoutError>, Vec<String>) {
        let (sender, receiver) = mpsc::channel();
        for line in text {
            sender
                .send((*line).to_owned())
                .expect("the receiver is alive");
        }
        drop(sender);
        let mut printed = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(60);
        let code = follow(&receiver, deadline, Progress::start("test"), |line| {
            printed.push(line.to_owned());
        });
        (code, printed)
    }

    #[test]
    fn the_scripts_lines_and_exit_code_are_told_from_inits() {
        let (code, printed) =
            follow_lines(&["NETPOL-VM-UP 5.10 after 2 s", "hello", "NETPOL-VM-EXIT 7"]);
        assert_eq!(code, Ok(7));
        assert_eq!(printed, ["hello"]);
    }

    #[test]
    fn a_last_line_without_an_end_is_not_lost() {
        let (code, printed) = follow_lines(&["almostNETPOL-VM-EXIT 0"]);
        assert_eq!(code, Ok(0));
        assert_eq!(printed, ["almost"]);
    }

    #[test]
    fn a_machine_that_stops_without_exit_code_died() {
        let (code, printed) = follow_lines(&["hello"]);
        assert_eq!(code, Err(RecvTimeoutError::Disconnected));
        assert_eq!(printed, ["hello"]);
        assert_eq!(Ending::Died(String::new()).code(), 125);
    }

    #[test]
    fn a_silent_machine_runs_out_of_time() {
        let (_sender, receiver) = mpsc::channel();
        let code = follow(&receiver, Instant::now(), Progress::start("test"), |_| {});
        assert_eq!(code, Err(RecvTimeoutError::Timeout));
        assert_eq!(Ending::TimedOut(String::new()).code(), 124);
    }
}
