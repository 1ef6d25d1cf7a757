//! What a box does not see and cannot do.

use std::fs;
use std::path::Path;

use sandbox::{Network, Security};

use super::fixture::{Fixture, Mode, chain};
use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("namespaces_are_its_own", namespaces_are_its_own),
    ("without_network_there_is_loopback", without_network_there_is_loopback),
    ("it_is_process_one_and_sees_no_other", it_is_process_one_and_sees_no_other),
    ("host_name_is_set", host_name_is_set),
    ("capabilities_are_those_of_docker", capabilities_are_those_of_docker),
    ("no_new_privileges_on_request", no_new_privileges_on_request),
    ("insecure_keeps_everything", insecure_keeps_everything),
    ("system_calls_are_filtered", system_calls_are_filtered),
    ("secrets_of_the_kernel_are_masked", secrets_of_the_kernel_are_masked),
    ("kernel_settings_are_read_only", kernel_settings_are_read_only),
    ("devices_are_those_of_docker", devices_are_those_of_docker),
    ("no_descriptors_come_along", no_descriptors_come_along),
    ("the_old_root_is_gone", the_old_root_is_gone),
    ("shared_memory_has_its_size", shared_memory_has_its_size),
    ("mounts_stay_inside", mounts_stay_inside),
];

fn namespaces_are_its_own(fixture: &Fixture) {
    for (network, own) in [(Network::Host, false), (Network::None, true)] {
        let mut spec = fixture.shell("for n in mnt pid ipc uts cgroup net user; do readlink /proc/self/ns/$n; done");
        spec.network = network;
        let inside = fixture.run(&spec).good();
        for (line, name) in inside.lines().zip(["mnt", "pid", "ipc", "uts", "cgroup", "net", "user"]) {
            let here = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
            let differs = line != here.to_str().unwrap();
            let expected = match name {
                "net" => own,
                "user" => false,
                _ => true,
            };
            assert_eq!(differs, expected, "{name}: {line}, here {}", here.display());
        }
    }
}

fn without_network_there_is_loopback(fixture: &Fixture) {
    let mut spec = fixture.shell("ls /sys/class/net; cat /proc/net/dev | tail -n +3 | cut -d: -f1; ping -c1 127.0.0.1");
    spec.network = Network::None;
    let output = fixture.run(&spec).good();
    assert!(output.starts_with("lo\n    lo\n"), "{output}");
    assert!(output.contains("1 packets received"), "{output}");
}

fn it_is_process_one_and_sees_no_other(fixture: &Fixture) {
    assert_eq!(fixture.says("echo $$; echo /proc/[0-9]*"), "1\n/proc/1");
}

fn host_name_is_set(fixture: &Fixture) {
    let mut spec = fixture.shell("hostname");
    spec.hostname = "buildkitsandbox".into();
    assert_eq!(fixture.run(&spec).good(), "buildkitsandbox");
    assert_ne!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim(), "buildkitsandbox");
}

const DEFAULT_CAPABILITIES: &str = "CapInh:	0000000000000000\nCapPrm:	00000000a80425fb\n\
     CapEff:	00000000a80425fb\nCapBnd:	00000000a80425fb\nCapAmb:	0000000000000000";

fn capabilities_are_those_of_docker(fixture: &Fixture) {
    assert_eq!(fixture.says("grep ^Cap /proc/self/status"), DEFAULT_CAPABILITIES);
    if fixture.mode != Mode::Single {
        let mut spec = fixture.shell("grep ^Cap /proc/self/status");
        spec.user = "1000:1000".into();
        let none = "0000000000000000";
        let expected = DEFAULT_CAPABILITIES.replacen("00000000a80425fb", none, 2);
        assert_eq!(fixture.run(&spec).good(), expected);
    }
}

fn no_new_privileges_on_request(fixture: &Fixture) {
    let script = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status";
    assert_eq!(fixture.says(script), "NoNewPrivs:\t0\nSeccomp:\t2");
    let mut spec = fixture.shell(script);
    spec.security = Security::Default { no_new_privs: true };
    assert_eq!(fixture.run(&spec).good(), "NoNewPrivs:\t1\nSeccomp:\t2");
}

fn insecure_keeps_everything(fixture: &Fixture) {
    let mut spec = fixture.shell(
        "grep -E '^(CapEff|Seccomp):' /proc/self/status; mkdir /m; mount -t tmpfs none /m && echo mounted; \
         [ -w /proc/sys ] && grep -c ' /proc/kcore ' /proc/self/mountinfo",
    );
    spec.security = Security::Insecure;
    let output = fixture.run(&spec);
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find(|line| line.starts_with("CapEff:")).unwrap().to_owned();
    assert_eq!(output.stdout, format!("{own}\nSeccomp:\t0\nmounted\n0\n"), "{output:?}");
}

fn system_calls_are_filtered(fixture: &Fixture) {
    let refused = |script: &str, text: &str| {
        let output = fixture.run(&fixture.shell(script));
        assert!(!output.status.success() && output.stderr.contains(text), "{script}: {output:?}");
    };
    refused("mount -t tmpfs none /tmp", "permission denied");
    refused("unshare -n true", "Operation not permitted");
    refused("unshare -U true", "Operation not permitted");
    refused("umount /proc", "ermi");
    refused("hostname other", "Operation not permitted");
    assert_eq!(fixture.says("chroot / echo allowed"), "allowed");
    if fixture.mode == Mode::Single {
        // There is no other id, so this does nothing, and says it worked.
        let script = "touch /f; chown 1000:1000 /f && stat -c %u:%g /f";
        assert_eq!(fixture.says(script), "0:0");
    }
}

fn secrets_of_the_kernel_are_masked(fixture: &Fixture) {
    let script = "for f in kcore keys timer_list interrupts; do \
                  if [ -e /proc/$f ]; then wc -c < /proc/$f; fi; done; ls -A /sys/firmware /proc/scsi /proc/acpi 2>/dev/null | \
                  grep -v '^/' | grep . | wc -l";
    let output = fixture.says(script);
    assert!(output.lines().count() > 1 && output.lines().all(|line| line == "0"), "{output}");
}

fn kernel_settings_are_read_only(fixture: &Fixture) {
    for path in ["/proc/sys/kernel/domainname", "/proc/irq/default_smp_affinity", "/proc/sysrq-trigger"] {
        if !Path::new(path).exists() {
            continue;
        }
        let output = fixture.run(&fixture.shell(&format!("echo x > {path}")));
        assert!(output.stderr.contains("Read-only file system"), "{path}: {output:?}");
    }
    let output = fixture.run(&fixture.shell("mkdir /sys/fs/cgroup/x"));
    assert!(!output.status.success(), "{output:?}");
    let flags = fixture.says("grep -E ' /(proc|sys) ' /proc/self/mountinfo | cut -d' ' -f5,6");
    assert!(flags.contains("/proc rw,nosuid,nodev,noexec"), "{flags}");
    assert!(flags.contains("/sys ro,nosuid,nodev,noexec"), "{flags}");
}

fn devices_are_those_of_docker(fixture: &Fixture) {
    let expected = "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero";
    assert_eq!(fixture.says("ls /dev"), expected);
    assert_eq!(fixture.says("head -c 8 /dev/zero | wc -c; head -c 9 /dev/urandom | wc -c"), "8\n9");
    assert_eq!(fixture.says("echo gone > /dev/null; echo x > /dev/full 2>/dev/null || echo full"), "full");
    assert_eq!(fixture.says("stat -c '%a %t:%T' /dev/null /dev/tty"), "666 1:3\n666 5:0");
    assert_eq!(fixture.says("echo through > /dev/stdout; stat -c %a /dev/shm"), "through\n1777");
    let mut spec = fixture.shell("echo through > /dev/stdout; echo err > /dev/stderr");
    if fixture.mode != Mode::Single {
        spec.user = "app".into();
    }
    let output = fixture.run(&spec);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("through\n", "err\n"));
}

fn no_descriptors_come_along(fixture: &Fixture) {
    // One more than the three is the directory that ls reads.
    assert_eq!(fixture.run(&fixture.command(&["ls", "/proc/self/fd"])).good(), "0\n1\n2\n3");
}

fn the_old_root_is_gone(fixture: &Fixture) {
    let mounts = fixture.says("cut -d' ' -f5 /proc/self/mountinfo");
    let roots = mounts.lines().filter(|line| *line == "/").count();
    assert_eq!(roots, 1, "{mounts}");
    assert!(!mounts.contains("/staging") && !mounts.contains("/tmp"), "{mounts}");
    assert_eq!(fixture.says("ls /.. | sort | head -n 2"), "bin\ndev");
}

fn shared_memory_has_its_size(fixture: &Fixture) {
    let script = "df -k /dev/shm | tail -n 1 | awk '{print $2}'";
    assert_eq!(fixture.says(script), "65536");
    let mut spec = fixture.shell(script);
    spec.shm_size = 8 << 20;
    assert_eq!(fixture.run(&spec).good(), "8192");
}

fn mounts_stay_inside(fixture: &Fixture) {
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let mut spec = fixture.shell("mkdir /m; mount -t tmpfs none /m && sleep 1000");
    spec.security = Security::Insecure;
    let child = fixture.spawn(&spec);
    assert_eq!(mounts(), before);
    drop(child);
    assert_eq!(mounts(), before);
    // What a box mounted is no obstacle to the removal of its directories.
    let upper = super::fixture::upper(&spec).to_owned();
    fs::remove_dir_all(&upper).unwrap_or_else(|error| panic!("{}", chain(&error)));
}
