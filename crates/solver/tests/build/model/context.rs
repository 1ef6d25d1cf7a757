//! A build context that is edited.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Means;
use super::random::Random;

/// Where things can be. Some are below others, so that directories become files and the other way round.
const PLACES: [&str; 10] = ["a", "b", "c.txt", "d/a", "d/b", "d/e/f", "e", "e/a", "f/c.txt", "f/g/h"];

pub(super) struct Files(PathBuf);

impl Files {
    /// Empties the directory and puts some files there.
    pub(super) fn new(root: &Path, random: &mut Random) -> Self {
        for entry in fs::read_dir(root).unwrap() {
            remove(&entry.unwrap().path());
        }
        let files = Self(root.to_owned());
        for _ in 0..6 {
            files.write(random);
        }
        fs::write(root.join("a.tar"), archive(random)).unwrap();
        files
    }

    pub(super) fn edit(&mut self, random: &mut Random) -> (String, Means) {
        let present: Vec<&str> = PLACES.into_iter().filter(|place| self.metadata(place).is_some()).collect();
        if present.is_empty() || random.one_in(5) {
            return (self.write(random), Means::Something);
        }
        let place = random.pick(&present);
        let path = self.0.join(place);
        let metadata = self.metadata(place).unwrap();
        match random.below(11) {
            0 => {
                remove(&path);
                (format!("remove {place}"), Means::Something)
            }
            1 => {
                let mode = random.pick(&[0o600, 0o644, 0o755, 0o4755, 0o700]);
                if !metadata.is_symlink() {
                    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                }
                (format!("chmod {mode:o} {place}"), Means::Something)
            }
            2 if metadata.is_file() => {
                File::options().write(true).open(&path).unwrap().set_modified(time(random)).unwrap();
                (format!("touch {place}"), Means::Nothing)
            }
            3 if metadata.is_file() => {
                let data = fs::read(&path).unwrap();
                fs::write(&path, data).unwrap();
                (format!("write the same to {place}"), Means::Nothing)
            }
            4 if !metadata.is_symlink() => {
                chown(&path, Some(random.below(9) as u32), Some(7)).unwrap();
                // Ends set-uid bits.
                fs::set_permissions(&path, metadata.permissions()).unwrap();
                (format!("chown {place}"), Means::Nothing)
            }
            5 if metadata.is_file() => {
                // Neither size nor modification time tell.
                fs::write(&path, vec![b'0' + random.below(10) as u8; metadata.len() as usize]).unwrap();
                File::options().write(true).open(&path).unwrap().set_modified(metadata.modified().unwrap()).unwrap();
                (format!("write secretly to {place}"), Means::Something)
            }
            6 => {
                let other = random.pick(&present);
                if !place.starts_with(other) && !other.starts_with(place) {
                    let spare = self.0.join("spare");
                    fs::rename(&path, &spare).unwrap();
                    fs::rename(self.0.join(other), &path).unwrap();
                    fs::rename(&spare, self.0.join(other)).unwrap();
                }
                (format!("swap {place} and {other}"), Means::Something)
            }
            7 => {
                let (name, value) = (random.pick(&["user.a", "user.b"]), [b'0' + random.below(3) as u8]);
                if !metadata.is_symlink() {
                    rustix::fs::setxattr(&path, name, &value, rustix::fs::XattrFlags::empty()).unwrap();
                }
                (format!("set {name} of {place}"), Means::Something)
            }
            8 if metadata.is_file() => {
                let other = random.pick(&PLACES);
                self.make_room(other);
                if path.is_file() {
                    fs::hard_link(&path, self.0.join(other)).unwrap();
                }
                (format!("link {place} to {other}"), Means::Something)
            }
            9 => {
                fs::write(self.0.join("a.tar"), archive(random)).unwrap();
                ("another archive".to_owned(), Means::Something)
            }
            _ => (self.write(random), Means::Something),
        }
    }

    /// Puts a file, a directory or a link somewhere.
    fn write(&self, random: &mut Random) -> String {
        let place = random.pick(&PLACES);
        self.make_room(place);
        let path = self.0.join(place);
        match random.below(8) {
            0 => fs::create_dir(&path).unwrap(),
            1 => symlink(random.pick(&["a", "d", "../b", "/etc/passwd", "gone"]), &path).unwrap(),
            _ => fs::write(&path, random.pick(&["", "1", "22", "another text\n"])).unwrap(),
        }
        format!("write {place}")
    }

    /// Makes the directories above a place, and nothing at it.
    fn make_room(&self, place: &str) {
        let mut path = self.0.clone();
        let parts: Vec<&str> = place.split('/').collect();
        for part in &parts[..parts.len() - 1] {
            path.push(part);
            if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                remove(&path);
                fs::create_dir(&path).unwrap();
            }
        }
        remove(&self.0.join(place));
    }

    /// Not of what lies behind a link.
    fn metadata(&self, place: &str) -> Option<fs::Metadata> {
        let above = Path::new(place).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        let real = above.map(|above| self.0.join(above)).all(|above| !above.is_symlink());
        real.then(|| self.0.join(place).symlink_metadata().ok()).flatten()
    }
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

fn time(random: &mut Random) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(1_600_000_000_000_000_000 + random.below(1 << 40) as u64)
}

fn archive(random: &mut Random) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for path in ["in", "sub/in"] {
        let data = random.pick(&["x", "yy", "zzz"]);
        let mut header = tar::Header::new_gnu();
        header.set_mode(random.pick(&[0o644, 0o600]));
        header.set_uid(3);
        header.set_gid(4);
        header.set_size(data.len() as u64);
        tar.append_data(&mut header, path, data.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}
