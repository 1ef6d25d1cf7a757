use super::*;

/// What the kernel does with a filter, for the instructions that are used here.
fn interpret(program: &[Instruction], architecture: u32, number: u32, argument: u32) -> u32 {
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let code = u32::from(code);
        let branch = |holds: bool| usize::from(if holds { jt } else { jf });
        if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS {
            accumulator = match k {
                NUMBER => number,
                ARCHITECTURE => architecture,
                ARGUMENT_0 => argument,
                other => panic!("loads offset {other}"),
            };
        } else if code == libc::BPF_RET | libc::BPF_K {
            return k;
        } else if code == libc::BPF_JMP | libc::BPF_JA {
            at += k as usize;
        } else if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K {
            at += branch(accumulator == k);
        } else if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K {
            at += branch(accumulator >= k);
        } else if code == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K {
            at += branch(accumulator & k != 0);
        } else {
            panic!("instruction {code:#x} is not one the compiler makes");
        }
    }
}

/// What the table says, read line by line.
fn expected(column: Column, number: u32, argument: u32) -> u32 {
    if let Some(row) = CONDITIONAL.iter().find(|row| column(row) == number) {
        let allowed = match row.0 {
            "clone" => argument & 0x7E02_0000 == 0,
            "personality" => [0, 8, 0x20000, 0x20008, 0xFFFF_FFFF].contains(&argument),
            "socket" => (0..=45).contains(&argument) && ![12, 19, 20, 23, 25, 34, 37, 38, 40].contains(&argument),
            _ => return errno(libc::ENOSYS),
        };
        return if allowed { ALLOW } else { errno(libc::EPERM) };
    }
    if ALLOWED.iter().any(|row| column(row) == number) {
        ALLOW
    } else if number <= LAST_KNOWN {
        errno(libc::EPERM)
    } else {
        errno(libc::ENOSYS)
    }
}

/// Whoever waits for a network asks for each socket that needs one, and for nothing else.
#[test]
fn sockets_of_networks_ask() {
    let (plain, asking) = (Filter::new(false), Filter::asking(false));
    for (architecture, column) in architectures() {
        let number_of = |name| ALLOWED.iter().chain(CONDITIONAL).find(|row| row.0 == name).map(column).unwrap();
        for number in 0..LAST_KNOWN + 2 {
            for argument in [0, 1, 2, 3, 10, 16, 17, 40, 46, 0x1000_0000] {
                let asks = number == number_of("socket") && [2, 10, 16, 17].contains(&argument)
                    || number == number_of("socketcall") && argument == 1;
                let expected = match asks {
                    true => libc::SECCOMP_RET_USER_NOTIF,
                    false => interpret(plain.instructions(), architecture, number, argument),
                };
                let answer = interpret(asking.instructions(), architecture, number, argument);
                assert_eq!(answer, expected, "{architecture:#x} {number} {argument}");
            }
        }
    }
}

#[test]
fn the_tree_answers_as_the_list_for_every_number() {
    let filter = Filter::new(false);
    for (architecture, column) in architectures() {
        for number in (0..2048).chain([0x4000_0000, 0x4000_0001, u32::MAX - 1]) {
            for argument in [0, 1, 0x11, 0x2_0000, 0x1000_0000, u32::MAX] {
                let answer = interpret(filter.instructions(), architecture, number, argument);
                assert_eq!(answer, expected(column, number, argument), "{architecture:#x} {number} {argument:#x}");
            }
        }
    }
}

#[test]
fn argument_rules_hold_for_every_interesting_argument() {
    let filter = Filter::new(false);
    let arguments = (0..100).chain((0..32).map(|bit| 1 << bit)).chain([0x20008, u32::MAX]);
    for argument in arguments {
        for (architecture, column) in architectures() {
            for row in CONDITIONAL {
                let number = column(row);
                let answer = interpret(filter.instructions(), architecture, number, argument);
                assert_eq!(answer, expected(column, number, argument), "{} {argument:#x}", row.0);
            }
        }
    }
}

#[test]
fn other_architectures_are_refused() {
    let filter = Filter::new(false);
    assert_eq!(interpret(filter.instructions(), 0xC000_00F3, 0, 0), errno(libc::EPERM));
}

#[test]
fn with_a_single_id_changing_ids_succeeds_without_effect() {
    let filter = Filter::new(true);
    let plain = Filter::new(false);
    for (architecture, column) in architectures() {
        for row in ALLOWED {
            let number = column(row);
            if number == NONE {
                continue;
            }
            let answer = interpret(filter.instructions(), architecture, number, 0);
            let wanted = if PRETEND.contains(&row.0) { errno(0) } else { ALLOW };
            assert_eq!(answer, wanted, "{}", row.0);
            assert_eq!(interpret(plain.instructions(), architecture, number, 0), ALLOW, "{}", row.0);
        }
    }
}

#[test]
fn the_numbers_of_this_machine_are_those_of_its_headers() {
    let (_, column) = architectures().remove(0);
    for (name, number) in [
        ("read", libc::SYS_read),
        ("execve", libc::SYS_execve),
        ("openat2", libc::SYS_openat2),
        ("statx", libc::SYS_statx),
        ("setresuid", libc::SYS_setresuid),
        ("close_range", libc::SYS_close_range),
        ("ptrace", libc::SYS_ptrace),
        ("chroot", libc::SYS_chroot),
    ] {
        let row = ALLOWED.iter().find(|row| row.0 == name).unwrap();
        assert_eq!(i64::from(column(row)), number, "{name}");
    }
    for forbidden in [libc::SYS_mount, libc::SYS_unshare, libc::SYS_setns, libc::SYS_bpf, libc::SYS_keyctl] {
        assert!(ALLOWED.iter().all(|row| i64::from(column(row)) != forbidden), "{forbidden}");
    }
}

#[test]
fn the_program_is_short() {
    // A list would take two instructions a call. What this must not do is grow like one.
    let length = Filter::new(false).instructions().len();
    assert!(length < 300, "{length} instructions");
}
