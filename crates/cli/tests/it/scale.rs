//! More layers than an overlay takes, and more steps than anybody writes.

use std::fmt::Write as _;

use crate::environment::TestEnv;
use crate::registry::Server;

/// Layers below and above a `RUN` that deletes and makes anew: more than 500 together.
const BELOW: usize = 270;
const ALL: usize = 510;

/// A file each, a command that hides some of them, more files, and a command that looks at all.
fn dockerfile() -> String {
    let mut text = "FROM busybox\nRUN mkdir -m 750 /o && touch /o/old && echo x > /h && ln /h /hh\n".to_owned();
    let copies = |text: &mut String, range: std::ops::Range<usize>| {
        for n in range {
            // Writing to a string does not fail.
            let _ = writeln!(text, "COPY f /d/{n}");
        }
    };
    copies(&mut text, 0..BELOW);
    text += "RUN rm /d/7 && echo changed > /d/8 && rm -r /o && mkdir -m 711 /o && touch /o/new && echo y > /h\n";
    copies(&mut text, BELOW..ALL);
    text += "RUN set -e; [ $(ls /d | wc -l) = 509 ]; [ ! -e /d/7 ]; [ \"$(ls /o)\" = new ]; [ $(stat -c %a /o) = 711 ]; \
             [ \"$(cat /h /hh)\" = \"$(printf 'y\\nx')\" ]; echo again > /d/7; rm /d/300; rm -r /o\n\
             COPY f /o/copied\n";
    text
}

/// What a container of it shows; each line is checked.
const LOOK: &str = "ls /d | wc -l; cat /d/7 /d/8 /d/9; ls /o; [ ! -e /d/300 ] && cat /h /hh";
const SEEN: &str = "509\nagain\nchanged\nfile\ncopied\ny\nx\n";

#[test]
fn more_layers_than_an_overlay_takes() {
    let env = TestEnv::with_busybox();
    env.file("f", "file\n");
    let text = dockerfile();
    let steps = ALL + 4;
    assert_eq!(env.build(&text).ok().counts(), (steps, 0));
    assert_eq!(env.sh(LOOK), SEEN);
    let id = env.image_id();
    assert_eq!(env.inspect("test")["RootFS"]["Layers"].as_array().map(Vec::len), Some(steps + 1));
    assert_eq!(env.build(&text).ok().counts(), (0, steps));
    assert_eq!(env.image_id(), id);

    // Without the flats, which are derived, all is as it was.
    std::fs::remove_dir_all(env.store().join("flats")).expect("flats");
    assert_eq!(env.sh(LOOK), SEEN);

    // A step on top, and files of it elsewhere.
    env.file("more", "FROM test\nRUN ls /d | wc -l > /count\nFROM scratch\nCOPY --from=0 /count /d/8 /\n");
    env.kiln(["build", "-f", "more", "-o", "type=local,dest=out", "."]).ok();
    let read = |name: &str| std::fs::read_to_string(env.path("context/out").join(name)).expect("a file");
    assert_eq!((read("count"), read("8")), ("509\n".to_owned(), "changed\n".to_owned()));

    // The image goes elsewhere and is the same there.
    env.kiln(["save", "test", "-o", "saved.tar"]).ok();
    let other = TestEnv::new();
    other.kiln(["load", env.path("context/saved.tar").to_str().expect("UTF-8")]).ok();
    assert_eq!(other.sh(LOOK), SEEN);
    assert_eq!(other.image_id(), id);
    if let Some(server) = Server::start(&env) {
        let name = format!("{}/deep:v1", server.host);
        env.kiln(["tag", "test", &name]).ok();
        env.kiln(["push", "-q", &name]).ok();
        let other = TestEnv::new();
        other.build(&format!("FROM {name}\nRUN ( {LOOK} ) > /seen\n")).ok();
        assert_eq!(other.sh("cat /seen"), SEEN);
    }

    env.kiln(["prune", "-af"]).ok();
    assert!(!env.store().join("flats").read_dir().is_ok_and(|mut flats| flats.next().is_some()), "flats stay");
    assert_eq!(env.sh(LOOK), SEEN);
}

#[test]
fn ten_thousand_steps() {
    let env = TestEnv::with_busybox();
    let mut text = "FROM busybox\n".to_owned();
    for n in 0..10_000 {
        let _ = match n % 1_000 {
            0 => writeln!(text, "RUN echo {n} >> /lines"),
            500 => writeln!(text, "RUN true {n}"),
            _ if n % 2 == 0 => writeln!(text, "LABEL l{n}={n}"),
            _ => writeln!(text, "ENV E{} value{n}", n % 100),
        };
    }
    assert_eq!(env.build(&text).ok().counts(), (20, 0));
    assert_eq!(env.build(&text).ok().counts(), (0, 20));
    assert_eq!(env.sh("wc -l < /lines; echo $E99"), "10\nvalue9999\n");
    let config = env.inspect("test");
    assert_eq!(config["Config"]["Labels"].as_object().map(serde_json::Map::len), Some(4_980));
    assert!(env.kiln(["history", "test"]).ok().stdout.lines().count() > 10_000);
}
