//! What a trial needs to have been built before.

use std::{env, path::PathBuf};

use crate::{
    cluster::Assets,
    install::IMAGE_VARIABLE,
    lab::{CTL_VARIABLE, is_root},
};

/// Names the program of pods that are watched from their first instruction on.
pub const NEWBORN_VARIABLE: &str = "NETPOL_NEWBORN";

/// Programs and images under test.
#[derive(Debug, Clone)]
pub struct Prerequisites {
    /// netpol's image, a docker archive.
    pub image: PathBuf,
    /// netpolctl, for questions offline.
    pub ctl: PathBuf,
    /// The static program `newborn`.
    pub newborn: PathBuf,
}

impl Prerequisites {
    /// Those the environment names.
    ///
    /// # Errors
    ///
    /// Says what is missing, and what to do.
    pub fn find() -> Result<Self, String> {
        if !is_root() {
            return Err("a cluster needs root: run it again with sudo".to_owned());
        }
        let file = |variable: &str| {
            let path = env::var_os(variable).map(PathBuf::from);
            let path = path.filter(|path| path.is_file());
            path.ok_or_else(|| {
                format!("{variable} names no file: `cargo xtask trial` builds what it needs and says where it is")
            })
        };
        for program in ["kube-apiserver", "kubelet", "agnhost"] {
            let found = Assets::find().kubernetes(program);
            found.map_err(|error| error.to_string())?;
        }
        Ok(Self {
            image: file(IMAGE_VARIABLE)?,
            ctl: file(CTL_VARIABLE)?,
            newborn: file(NEWBORN_VARIABLE)?,
        })
    }
}
