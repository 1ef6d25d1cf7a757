//! The directory below all others in every box.

use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, chmodat};

use crate::files::DIR_MODE;
use crate::{Result, Store};

const POINTS: &str = "points";

impl Store {
    /// Returns a directory of empty directories (true) and files (false), made if it is missing; parents come first. As the
    /// lowest lower of a box it has a place for what is mounted in every box, which then need not be made in the upper.
    pub fn mount_points(&self, points: &[(&str, bool)]) -> Result<PathBuf> {
        if !self.dir().exists(POINTS) {
            let name = self.temporary()?;
            self.dir().mkdir(&name, DIR_MODE)?;
            for (point, is_directory) in points {
                let point = format!("{name}/{point}");
                let mode = if *is_directory { 0o755 } else { 0o644 };
                if *is_directory {
                    self.dir().mkdir(&point, DIR_MODE)?;
                } else {
                    self.dir().create(&point)?;
                }
                // Whatever the umask: some of it can be seen in a box.
                let changed = chmodat(self.dir().fd(), &point, Mode::from_raw_mode(mode), AtFlags::empty());
                changed.map_err(self.dir().fails("set the mode of", &point))?;
            }
            if let Err(error) = self.name(&name, POINTS) {
                // Somebody else was faster, or there is a reason.
                self.discard(&name)?;
                if !self.dir().exists(POINTS) {
                    return Err(error);
                }
            }
        }
        Ok(self.dir().full(POINTS))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use crate::testing::new_store;

    #[test]
    fn it_is_made_once_whatever_the_umask() {
        let (_dir, store) = new_store();
        let points = [("etc", true), ("etc/hosts", false)];
        let directory = store.mount_points(&points).unwrap();
        let mode = |path: &str| directory.join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("etc"), mode("etc/hosts")), (0o755, 0o644));
        std::fs::write(directory.join("etc/hosts"), "x").unwrap();
        assert_eq!(store.mount_points(&points).unwrap(), directory);
        assert_eq!(std::fs::read(directory.join("etc/hosts")).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(store.root().join("trash")).unwrap().count(), 0);
    }

    #[test]
    fn many_can_want_it_at_once() {
        let (_dir, store) = new_store();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| store.mount_points(&[("proc", true)]).unwrap());
            }
        });
        assert!(store.root().join("points/proc").is_dir());
    }
}
