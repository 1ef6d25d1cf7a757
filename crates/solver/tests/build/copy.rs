use solver::SolveErrorKind;

use crate::Case;
use crate::env::Env;

pub(crate) const CASES: &[Case] = &[
    ("copy::files_and_directories", files_and_directories),
    ("copy::owners_by_name", owners_by_name),
    ("copy::links_in_the_base", links_in_the_base),
    ("copy::from_a_stage", from_a_stage),
    ("copy::heredocs", heredocs),
    ("copy::archives", archives),
    ("copy::missing_sources", missing_sources),
    ("copy::beside_a_command_that_changes_the_destination", beside_a_command_that_changes_the_destination),
    ("copy::onto_what_is_there", onto_what_is_there),
    ("copy::commands_see_what_was_copied", commands_see_what_was_copied),
    ("copy::workdirs", workdirs),
    ("copy::unchanged_files_come_from_the_layer_before", unchanged_files_come_from_the_layer_before),
];

fn files_and_directories() {
    let env = Env::new();
    env.file("a.txt", "a").file("b.txt", "b").file("src/x/y", "y").file("src/z", "z");
    let built = env.build("FROM base\nCOPY *.txt /data/\nCOPY src /app\nCOPY --chmod=600 a.txt /one\n");
    assert_eq!(built.layer(&env, "COPY *.txt"), ["/data", "/data/a.txt", "/data/b.txt"]);
    assert_eq!(built.layer(&env, "COPY src"), ["/app", "/app/x", "/app/x/y", "/app/z"]);
    assert_eq!(built.stat("/data"), "750 0:0");
    assert_eq!(built.stat("/one"), "600 0:0");
    assert_eq!(built.read("/app/x/y"), "y");
}

fn owners_by_name() {
    let env = Env::new();
    env.file("a", "");
    let built = env.build(
        "FROM base\nRUN echo new:x:77:88::/: >> /etc/passwd\nCOPY --chown=app a /1\nCOPY --chown=new:staff a /2\n\
         COPY --chown=nobody a /3\nCOPY --chown=5 a /n/4\n",
    );
    assert_eq!(built.stat("/1"), "644 1000:1001");
    assert_eq!(built.stat("/2"), "644 77:50");
    assert_eq!(built.stat("/3"), "644 0:0");
    assert_eq!(built.stat("/n"), "755 5:5");
}

fn links_in_the_base() {
    let env = Env::new();
    env.file("a", "");
    let built = env.build("FROM base\nCOPY a /srv/\n");
    assert_eq!(built.layer(&env, "COPY"), ["/data", "/data/a"]);
}

fn from_a_stage() {
    let env = Env::new();
    let built = env.build(
        "FROM base AS s\nRUN mkdir -p /o/d && echo 1 > /o/f && ln /o/f /o/g && ln -s f /o/l && chown 3:4 /o/d && chmod 4755 /o/f\n\
         FROM scratch\nCOPY --from=s /o /\nCOPY --from=s /etc/pass* /etc/\nCOPY --from=base /etc/group /g\n",
    );
    assert_eq!(built.stat("/f"), "4755 0:0");
    assert_eq!(built.stat("/d"), "755 3:4");
    assert_eq!(built.read("/g"), "root:x:0:\nstaff:x:50:app\n");
    assert!(built.read("/etc/passwd").starts_with("root:"));
    let link = built.entry("/g").unwrap().kind;
    assert!(matches!(link, image::Kind::File { .. }));
    assert_eq!(built.layer(&env, "COPY --from=s /o"), ["/d", "/f", "/g", "/l"]);
}

fn heredocs() {
    let env = Env::new();
    let built = env.build("FROM base\nARG X=1\nCOPY <<a <<-\"b\" /h/\nx=$X\na\n\tx=$X\nb\n");
    assert_eq!((built.read("/h/a"), built.read("/h/b")), ("x=1\n".to_owned(), "x=$X\n".to_owned()));
}

fn archives() {
    let env = Env::new();
    let mut tar = tar::Builder::new(Vec::new());
    for (path, data) in [("top", "1"), ("data/in", "22"), ("new/in", "333")] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o640);
        header.set_uid(9);
        header.set_gid(8);
        header.set_size(data.len() as u64);
        tar.append_data(&mut header, path, data.as_bytes()).unwrap();
    }
    env.file("a.tar", tar.into_inner().unwrap()).file("plain", "no archive");
    let built = env.build("FROM base\nADD a.tar plain /\nCOPY a.tar /copied\n");
    assert_eq!(built.layer(&env, "ADD"), ["/data", "/data/in", "/new", "/new/in", "/plain", "/top"]);
    assert_eq!(built.stat("/data"), "750 0:0");
    assert_eq!(built.stat("/data/in"), "640 9:8");
    assert_eq!(built.read("/new/in"), "333");
    assert_eq!(built.read("/plain"), "no archive");
    assert!(env.known(&built.plan).is_some());
    env.file("a.tar", [1; 1024]);
    assert!(env.known(&built.plan).is_none());
}

fn missing_sources() {
    let env = Env::new();
    env.file("src/main.rs", "");
    let error = env.fails("FROM base\nCOPY src/mian.rs /\n");
    assert!(error.to_string().ends_with("\"/src/mian.rs\": not found"), "{error}");
    let SolveErrorKind::CopyMissing { similar, span, .. } = error.kind else { panic!("{error:?}") };
    assert_eq!(similar.as_deref(), Some("src/main.rs"));
    assert_eq!(span.map(|span| (span.start, span.end)), Some((15, 26)));
    let error = env.fails("FROM base AS s\nFROM base\nCOPY --from=s /nope /\n");
    assert!(error.to_string().ends_with("\"/nope\": not found"), "{error}");
    assert_eq!(env.build("FROM base\nCOPY none* /x/\n").layer(&env, "COPY"), [""; 0]);
}

fn beside_a_command_that_changes_the_destination() {
    let env = Env::new();
    env.file("a", "a").file("b", "b");
    // While the command runs, the copies are made as if it did nothing. Both guesses about /made are wrong.
    let built = env.build(
        "FROM base\nRUN sleep 0.3; mkdir -m 711 /made\nCOPY a /made/\nCOPY b /data/b\nWORKDIR /w\nCOPY a b ./\n",
    );
    assert_eq!(built.stat("/made"), "711 0:0");
    assert_eq!(built.read("/made/a"), "a");
    assert_eq!(built.read("/data/b"), "b");
    assert_eq!(built.layer(&env, "COPY a b"), ["/w", "/w/a", "/w/b"]);
    assert_eq!(built.ran().len(), 5);
    assert!(env.known(&built.plan).is_some());
}

fn onto_what_is_there() {
    let env = Env::new();
    env.file("d/x", "");
    let error = env.fails("FROM base\nRUN mkdir -p /d/x\nCOPY d /d\n");
    assert_eq!(error.to_string(), "cannot replace to directory /d/x with file");
    // The same copy is known by now, but it does not fit everywhere.
    env.build("FROM base\nRUN mkdir -p /d/y\nCOPY d /d\n");
    let error = env.fails("FROM base\nRUN mkdir -p /d/y /d/x\nCOPY d /d\n");
    assert_eq!(error.to_string(), "cannot replace to directory /d/x with file");
    let error = env.fails("FROM base\nCOPY d /etc/passwd\n");
    assert_eq!(error.to_string(), "cannot copy to non-directory: /etc/passwd");
}

fn commands_see_what_was_copied() {
    let env = Env::new();
    env.file("bin/x", "#!/bin/sh\necho ran").file("data", "1");
    let built = env.build(
        "FROM base\nCOPY --chmod=755 bin /bin\nCOPY --chown=app data /data/\nRUN x > /out; ls /data >> /out; stat -c '%a %u' / /bin /data >> /out\n",
    );
    assert_eq!(built.read("/out"), "ran\ndata\n755 0\n755 0\n750 0\n");
}

fn workdirs() {
    let env = Env::new();
    let built = env.build("FROM base\nUSER app\nWORKDIR /srv/a/b\nWORKDIR c\nWORKDIR /etc\nUSER 7:8\nWORKDIR /z\n");
    assert_eq!(built.layer(&env, "WORKDIR /srv"), ["/data", "/data/a", "/data/a/b"]);
    assert_eq!(built.stat("/data/a"), "755 1000:1001");
    assert_eq!(built.stat("/data/a/b/c"), "755 1000:1001");
    assert_eq!(built.layer(&env, "WORKDIR /etc"), [""; 0]);
    assert_eq!(built.stat("/z"), "755 7:8");
}

fn unchanged_files_come_from_the_layer_before() {
    let env = Env::new();
    for n in 0..20 {
        env.file(&format!("src/d{}/f{n}", n % 3), format!("{n}"));
    }
    let text = "FROM base\nCOPY src /app\nRUN cat /app/d0/f0 > /out; echo more >> /app/d1/f1; chmod 600 /app/d2/f2; \
                touch -d 1980-01-01 /app/d0/f3; mv /app/d1/f4 /app/moved; rm /app/d2/f5; ln /app/d0/f6 /app/d0/link\n";
    let first = env.build(text);
    let mut layers = vec![first.layer_id("COPY")];
    for round in 0..3 {
        env.file("src/d0/f0", format!("changed {round}"));
        let built = env.build(text);
        assert_eq!(built.read("/out"), format!("changed {round}"));
        assert_eq!(built.read("/app/d1/f1"), "1more\n");
        assert_eq!(built.read("/app/d1/f7"), "7");
        layers.push(built.layer_id("COPY"));
    }
    let inode = |layer: &store::LayerId, at: &str| {
        std::os::unix::fs::MetadataExt::ino(
            &std::fs::metadata(env.store.layer(layer).unwrap().tree().join(at)).unwrap(),
        )
    };
    let linked = inode(&layers[0], "app/d1/f7") == inode(&layers[3], "app/d1/f7");
    for at in ["app/d1/f1", "app/d2/f2", "app/d0/f3", "app/d0/f6"] {
        assert_eq!(inode(&layers[0], at) == inode(&layers[3], at), linked, "{at}");
    }
    assert_ne!(inode(&layers[2], "app/d0/f0"), inode(&layers[3], "app/d0/f0"));
    assert_eq!(env.store.verify().unwrap(), [], "no command has reached into a layer");
    // Without the layers before, the last is whole.
    layers[..3].iter().for_each(|layer| assert!(env.store.remove_layer(layer).unwrap()));
    let left = env.store.verify().unwrap();
    assert!(left.iter().all(|problem| problem.name.starts_with("records/")), "{left:?}");
    // Who distrusts the cache gets copies.
    let fresh = env.plan_with(text, |options| options.no_cache = true);
    env.file("src/d0/f0", "last");
    let fresh = env.build_plan(fresh).layer_id("COPY");
    assert_ne!(inode(&fresh, "app/d1/f7"), inode(&layers[3], "app/d1/f7"));
}
