//! Users and groups, as the box's own files have them.

use super::fixture::{Fixture, Mode, chain, tree, upper};
use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("users_of_every_form", users_of_every_form),
    ("unknown_users_and_groups", unknown_users_and_groups),
    ("root_needs_no_files", root_needs_no_files),
    ("ids_that_are_not_there", ids_that_are_not_there),
    ("working_directory_belongs_to_the_user", working_directory_belongs_to_the_user),
    ("set_user_id_programs_work", set_user_id_programs_work),
    ("privileges_can_be_dropped", privileges_can_be_dropped),
    ("files_of_other_owners", files_of_other_owners),
    ("apt_is_told_of_a_single_id", apt_is_told_of_a_single_id),
];

const WHO: &str = "id -u; id -g; id -G; echo $HOME";

fn users_of_every_form(fixture: &Fixture) {
    let check = |user: &str, extra: &[u32], expected: &str| {
        let mut spec = fixture.shell(WHO);
        spec.user = user.into();
        spec.extra_groups = extra.to_vec();
        let output = fixture.run(&spec).good().replace('\n', " | ");
        assert_eq!(output, expected, "user `{user}`");
    };
    if fixture.mode == Mode::Single {
        for user in ["", "root", "0", "0:0"] {
            let mut spec = fixture.shell("id -u; id -g; echo $HOME");
            spec.user = user.into();
            assert_eq!(fixture.run(&spec).good(), "0\n0\n/root");
        }
        return;
    }
    check("", &[], "0 | 0 | 0 10 | /root");
    check("root", &[], "0 | 0 | 0 10 | /root");
    check("0:0", &[], "0 | 0 | 0 | /root");
    check("app", &[], "1000 | 1000 | 1000 10 | /home/app");
    check("1000", &[], "1000 | 1000 | 1000 10 | /home/app");
    check("app", &[7, 10], "1000 | 1000 | 1000 7 10 | /home/app");
    check("app:staff", &[], "1000 | 50 | 50 | /home/app");
    check("app:77", &[], "1000 | 77 | 77 | /home/app");
    check("4711", &[], "4711 | 0 | 0 | /");
    check("4711:4712", &[], "4711 | 4712 | 4712 | /");
}

fn unknown_users_and_groups(fixture: &Fixture) {
    let check = |user: &str, expected: &str| {
        let mut spec = fixture.shell(":");
        spec.user = user.into();
        assert_eq!(chain(&fixture.try_run(&spec).unwrap_err()), expected);
    };
    check("nobody", "unable to find user nobody: no matching entries in passwd file");
    check("root:nogroup", "unable to find group nogroup: no matching entries in group file");
    check("-1", "uids and gids must be in range 0-2147483647, not -1");
}

fn root_needs_no_files(fixture: &Fixture) {
    let path = fixture.directory();
    std::fs::create_dir(path.join("bin")).unwrap();
    std::fs::copy("/bin/busybox", path.join("bin/sh")).unwrap();
    // A pipe would hang whoever reads it.
    std::fs::create_dir(path.join("etc")).unwrap();
    let fifo = path.join("etc/passwd");
    assert!(std::process::Command::new("mkfifo").arg(fifo).status().unwrap().success());
    let mut spec = fixture.shell("echo $HOME");
    spec.rootfs = sandbox::Rootfs::Directory { path, read_only: false };
    assert_eq!(fixture.run(&spec).good(), "/");
    spec.user = "app".into();
    let error = chain(&fixture.try_run(&spec).unwrap_err());
    assert_eq!(error, "reading /etc/passwd of the image: Invalid argument (os error 22)");
}

fn ids_that_are_not_there(fixture: &Fixture) {
    let (user, what) = match fixture.mode {
        Mode::Root => return,
        Mode::Subordinate => {
            ("1000000:0", "user 1000000 is not available in this user namespace (needs a longer range")
        }
        Mode::Single => ("app", "user 1000 is not available in this user namespace, which holds a single id"),
    };
    let mut spec = fixture.shell(":");
    spec.user = user.into();
    let error = chain(&fixture.try_run(&spec).unwrap_err());
    assert!(error.starts_with(what) && error.contains("/etc/subuid"), "{error}");
}

fn working_directory_belongs_to_the_user(fixture: &Fixture) {
    if fixture.mode == Mode::Single {
        return;
    }
    let mut spec = fixture.shell("stat -c %u:%g /srv /srv/app; touch file");
    spec.user = "app:staff".into();
    spec.cwd = "/srv/app".into();
    assert_eq!(fixture.run(&spec).good(), "1000:50\n1000:50");
    assert_eq!(tree(upper(&spec)), ["srv", "srv/app", "srv/app/file"]);
    // One that only root may enter will do.
    let mut spec = fixture.shell("mkdir -m 700 /closed");
    fixture.run(&spec).good();
    spec.argv = vec!["/bin/pwd".into()];
    spec.user = "app".into();
    spec.cwd = "/closed".into();
    assert_eq!(fixture.run(&spec).stdout, "/closed\n");
}

fn set_user_id_programs_work(fixture: &Fixture) {
    if fixture.mode == Mode::Single {
        return;
    }
    let mut spec = fixture.shell("id -u; /suid/su root -c 'id -u'");
    spec.user = "app".into();
    assert_eq!(fixture.run(&spec).good(), "1000\n0");
    spec.security = sandbox::Security::Default { no_new_privs: true };
    assert!(!fixture.run(&spec).status.success());
}

fn privileges_can_be_dropped(fixture: &Fixture) {
    // With a single id it only looks as if: the command runs, as the one user there is.
    let expected = if fixture.mode == Mode::Single { "0" } else { "1000" };
    assert_eq!(fixture.says("su app -c 'id -u'"), expected);
}

fn files_of_other_owners(fixture: &Fixture) {
    let expected = if fixture.mode == Mode::Single { "0:0" } else { "1000:50" };
    assert_eq!(fixture.says("touch /f && chown app:staff /f && stat -c %u:%g /f"), expected);
}

fn apt_is_told_of_a_single_id(fixture: &Fixture) {
    let mut spec = fixture.shell("cat /etc/apt/apt.conf.d/*");
    std::fs::create_dir_all(upper(&spec).join("etc/apt/apt.conf.d")).unwrap();
    let output = fixture.run(&spec);
    if fixture.mode == Mode::Single {
        assert_eq!(output.stdout, "APT::Sandbox::User \"root\";\n");
        assert_eq!(output.exit.stubs, ["/etc/apt/apt.conf.d/99single-id"]);
    } else {
        assert!(output.exit.stubs.is_empty(), "{output:?}");
    }
    spec = fixture.shell(":");
    assert!(fixture.run(&spec).exit.stubs.is_empty());
}
