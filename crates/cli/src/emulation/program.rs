//! The smallest programs: each ends at once, if the machine can execute it.

/// Everything is in one segment, at this address.
const BASE: u64 = 0x0040_0000;

/// An architecture's ELF header, and the instructions of `exit(0)`.
struct Machine {
    wide: bool,
    big_endian: bool,
    number: u16,
    flags: u32,
    code: &'static [u8],
}

/// Returns a program for an architecture of Linux (in an image's words); `None` for one that is not known here.
pub(super) fn program(architecture: &str) -> Option<Vec<u8>> {
    machine(architecture).map(|machine| machine.elf())
}

fn machine(architecture: &str) -> Option<Machine> {
    let little = |wide, number, flags, code| Machine { wide, big_endian: false, number, flags, code };
    Some(match architecture {
        "386" => little(false, 3, 0, b"\x31\xdb\x31\xc0\x40\xcd\x80"),
        "amd64" => little(true, 62, 0, b"\x31\xff\xb8\x3c\0\0\0\x0f\x05"),
        "arm" => little(false, 40, 0x0500_0000, b"\0\0\xa0\xe3\x01\x70\xa0\xe3\0\0\0\xef"),
        "arm64" => little(true, 183, 0, b"\0\0\x80\xd2\xa8\x0b\x80\xd2\x01\0\0\xd4"),
        "loong64" => little(true, 258, 0x43, b"\x04\0\x80\x02\x0b\x74\x81\x02\0\0\x2b\0"),
        "mips64le" => little(true, 8, 0x8000_0007, b"\xc2\x13\x02\x24\0\0\x04\x24\x0c\0\0\0"),
        "ppc64le" => little(true, 21, 2, b"\x01\0\0\x38\0\0\x60\x38\x02\0\0\x44"),
        "riscv64" => little(true, 243, 0, b"\x13\x05\0\0\x93\x08\xd0\x05\x73\0\0\0"),
        "s390x" => Machine { big_endian: true, ..little(true, 22, 0, b"\xa7\x29\0\0\x0a\x01") },
        _ => return None,
    })
}

impl Machine {
    /// Lays the file out (elf(5)): header, one segment, the code.
    fn elf(&self) -> Vec<u8> {
        let (header, segment): (u16, u16) = if self.wide { (64, 56) } else { (52, 32) };
        let start = u64::from(header + segment);
        let size = start + self.code.len() as u64;
        let mut file = Fields { bytes: Vec::new(), machine: self };
        file.bytes.extend(b"\x7fELF");
        file.bytes.extend([if self.wide { 2 } else { 1 }, if self.big_endian { 2 } else { 1 }, 1]);
        file.bytes.resize(16, 0);
        file.half(2).half(self.number).word(1);
        file.address(BASE + start).address(header.into()).address(0).word(self.flags);
        file.half(header).half(segment).half(1).half(0).half(0).half(0);
        // Loaded whole, to be read and executed.
        file.word(1);
        if self.wide {
            file.word(5);
        }
        file.address(0).address(BASE).address(BASE).address(size).address(size);
        if !self.wide {
            file.word(5);
        }
        file.address(0x1_0000);
        file.bytes.extend(self.code);
        file.bytes
    }
}

/// Numbers in the order and width of a machine.
struct Fields<'a> {
    bytes: Vec<u8>,
    machine: &'a Machine,
}

impl Fields<'_> {
    fn half(&mut self, value: u16) -> &mut Self {
        self.bytes.extend(if self.machine.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    fn word(&mut self, value: u32) -> &mut Self {
        self.bytes.extend(if self.machine.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    fn address(&mut self, value: u64) -> &mut Self {
        if !self.machine.wide {
            return self.word(u32::try_from(value).unwrap_or(u32::MAX));
        }
        self.bytes.extend(if self.machine.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_one_for_this_machine_ends_well() {
        let architecture = image::Platform::host().architecture;
        let Some(bytes) = program(&architecture) else { panic!("no program for {architecture}") };
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let path = file.into_temp_path();
        assert!(std::process::Command::new(&path).status().expect("it starts").success());
    }

    #[test]
    fn headers_are_those_of_each_machine() {
        let read = |architecture: &str| program(architecture).expect("known here");
        for (architecture, class, data, machine) in
            [("386", 1, 1, [3, 0]), ("arm", 1, 1, [40, 0]), ("arm64", 2, 1, [183, 0]), ("s390x", 2, 2, [0, 22])]
        {
            let file = read(architecture);
            assert_eq!((file[4], file[5], &file[18..20]), (class, data, &machine[..]), "{architecture}");
        }
        assert_eq!(read("386").len(), 52 + 32 + 7);
        assert_eq!(program("vax"), None);
    }
}
