//! Writes inputs to begin with into the directories `packets` and `sequences` of the one it is
//! given.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use netpol_fuzz::seeds;

fn main() -> io::Result<()> {
    let Some(directory) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other(
            "name the directory to write the inputs into",
        ));
    };
    write(&directory.join("packets"), &seeds::packets())?;
    write(&directory.join("sequences"), &seeds::sequences())
}

fn write(directory: &Path, inputs: &[Vec<u8>]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (number, input) in inputs.iter().enumerate() {
        fs::write(directory.join(format!("seed-{number:04}")), input)?;
    }
    Ok(())
}
