//! Disks that are small: in come a place and a size, out come a file system that fills up, and room in it on demand.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A file system of a size.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts it at this path, which is made; `size` is as tmpfs has it: `24m`.
    pub fn new(path: &Path, size: &str) -> Result<Self> {
        fs::create_dir_all(path)?;
        let options = CString::new(format!("size={size}"))?;
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))?;
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes up so many bytes of it.
    pub fn take_up(&self, bytes: usize) -> Result<()> {
        Ok(fs::write(self.room(), vec![0; bytes])?)
    }

    /// Takes up what is left of it.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::options().append(true).create(true).open(self.room())?;
        loop {
            match file.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives all of that back.
    pub fn give_back(&self) -> Result<()> {
        match fs::remove_file(self.room()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => Ok(removed?),
        }
    }

    fn room(&self) -> PathBuf {
        self.0.join("room")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).ok();
    }
}
