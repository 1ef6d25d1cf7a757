//! A real Debian: packages installed, a program compiled, the result copied.

use std::path::PathBuf;

use crate::environment::TestEnv;

/// The root filesystem that `cargo xtask test` makes; without it there is nothing to test.
fn debian() -> Option<PathBuf> {
    let tar = std::env::var_os("KILN_TEST_DEBIAN").map(PathBuf::from);
    assert!(tar.is_some() || std::env::var_os("REQUIRE_TOOLS").is_none(), "KILN_TEST_DEBIAN is not set");
    if tar.is_none() {
        eprintln!("skipped: KILN_TEST_DEBIAN is not set; `cargo xtask test` sets it");
    }
    tar
}

#[test]
fn apt_compilers_users_and_setuid_programs_work() {
    let Some(tar) = debian() else { return };
    let env = TestEnv::new();
    env.kiln(["import", tar.to_str().expect("UTF-8"), "debian:bookworm"]).ok();
    env.file("main.c", "#include <stdio.h>\nint main(void) { puts(\"compiled\"); return 0; }\n");
    let dockerfile = "FROM debian:bookworm AS base\n\
        ENV DEBIAN_FRONTEND=noninteractive\n\
        RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev sudo adduser >/dev/null\n\
        FROM base AS build\n\
        COPY main.c /src/\n\
        RUN gcc -static -O1 -o /src/main /src/main.c\n\
        FROM base\n\
        RUN adduser --disabled-password --gecos '' app && echo 'app ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/app\n\
        COPY --from=build --chown=app:app /src/main /usr/local/bin/\n\
        USER app\n\
        RUN sudo -n id -u > /tmp/sudo && su --version > /dev/null && stat -c '%U' /usr/local/bin/main /home/app > /tmp/owners\n\
        CMD [\"main\"]\n";
    env.build(dockerfile).ok();
    assert_eq!(env.kiln(["run", "--rm", "test"]).ok().stdout, "compiled\n");
    assert_eq!(env.sh("cat /tmp/sudo /tmp/owners"), "0\napp\napp\n");
    let id = env.image_id();
    assert_eq!(env.build(dockerfile).ok().counts().0, 0);
    assert_eq!(env.image_id(), id);
    env.file("main.c", "#include <stdio.h>\nint main(void) { puts(\"again\"); return 0; }\n");
    // COPY, gcc, COPY --from and the last RUN; apt-get is reused.
    assert_eq!(env.build(dockerfile).ok().counts().0, 4);
    assert_eq!(env.kiln(["run", "--rm", "test"]).ok().stdout, "again\n");
}
