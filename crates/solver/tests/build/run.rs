use std::collections::BTreeSet;

use solver::{Cancel, Event, SolveErrorKind, Stream};

use crate::Case;
use crate::env::Env;

pub(crate) const CASES: &[Case] = &[
    ("run::leaves_what_it_changed", leaves_what_it_changed),
    ("run::sees_its_environment", sees_its_environment),
    ("run::tells_what_it_writes", tells_what_it_writes),
    ("run::a_failure_names_itself_and_leaves_nothing", a_failure_names_itself_and_leaves_nothing),
    ("run::a_command_that_is_not_there", a_command_that_is_not_there),
    ("run::mounts", mounts),
    ("run::mounts_of_a_filtered_context", mounts_of_a_filtered_context),
    ("run::scripts", scripts),
    ("run::cancel_kills", cancel_kills),
    ("run::the_first_failure_stops_the_others", the_first_failure_stops_the_others),
    ("run::a_chain", a_chain),
    ("run::a_context_that_changes_under_a_command", a_context_that_changes_under_a_command),
    ("run::the_same_layer_twice", the_same_layer_twice),
];

fn leaves_what_it_changed() {
    let env = Env::new();
    let built =
        env.build("FROM base\nRUN echo hi > /hello && rm /etc/group && chmod 700 /data && touch /tmp/x && rm /tmp/x\n");
    assert_eq!(built.read("/hello"), "hi\n");
    assert_eq!(built.entry("/etc/group"), None);
    assert_eq!(built.stat("/data"), "700 0:0");
    assert_eq!(built.stat("/hello"), "644 0:0");
    // What came and went is no change.
    assert_eq!(built.layer(&env, "RUN"), ["/data", "/etc", "/etc/group", "/hello"]);
}

fn sees_its_environment() {
    let env = Env::new();
    let built = env.build(
        "FROM base\nENV A=b\nWORKDIR /srv/w\nUSER app\nRUN --network=none env > /tmp/env; id > /tmp/id; echo $PWD > /tmp/pwd; \
         hostname > /tmp/host; cat /etc/hosts > /tmp/hosts; cat /etc/resolv.conf > /tmp/resolv; stat -c %a / > /tmp/root\n",
    );
    let lines = |at: &str| built.read(at).lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let environment = lines("/tmp/env");
    for line in ["A=b", "PATH=/bin", "HOME=/data"] {
        assert!(environment.contains(line), "{line}: {environment:?}");
    }
    assert_eq!(built.read("/tmp/id"), "uid=1000(app) gid=1001 groups=50(staff),1001\n");
    assert_eq!(built.read("/tmp/pwd"), "/data/w\n", "links on the way are followed");
    assert_eq!(built.read("/tmp/host"), "buildkitsandbox\n");
    assert!(built.read("/tmp/hosts").contains("127.0.0.1\tlocalhost buildkitsandbox\n"));
    assert_eq!(built.read("/tmp/resolv"), "nameserver 192.0.2.1\n");
    assert_eq!(built.read("/tmp/root"), "755\n");
    // `USER` comes after `WORKDIR`.
    assert_eq!(built.stat("/data/w"), "755 0:0");
    assert!(!built.layer(&env, "RUN").iter().any(|path| path.starts_with("/etc") || path.starts_with("/dev")));
}

fn tells_what_it_writes() {
    let env = Env::new();
    let built = env.build("FROM base\nRUN echo out; echo err >&2\n");
    let output = |wanted: Stream| -> Vec<u8> {
        let bytes = built.events.iter().filter_map(|event| match event {
            Event::Output { stream, bytes, .. } if *stream == wanted => Some(bytes.clone()),
            _ => None,
        });
        bytes.flatten().collect()
    };
    assert_eq!(output(Stream::Stdout), b"out\n");
    assert_eq!(output(Stream::Stderr), b"err\n");
    assert!(matches!(built.events.last(), Some(Event::Finished { unchanged: false, .. })), "{:?}", built.events);
}

fn a_failure_names_itself_and_leaves_nothing() {
    let env = Env::new();
    let error = env.fails("FROM base\nRUN echo first >&2; echo last; exit 7\n");
    assert_eq!(
        error.to_string(),
        "process \"/bin/sh -c echo first >&2; echo last; exit 7\" did not complete successfully: exit code: 7"
    );
    let SolveErrorKind::Run { status, tail, .. } = error.kind else { panic!("{error}") };
    assert_eq!(status.code(), 7);
    let tail = String::from_utf8(tail).unwrap();
    assert!(tail.contains("first\n") && tail.contains("last\n"));
    let ids: Vec<_> = env.store.layers().unwrap();
    assert_eq!(ids.len(), 1, "only the base's layer: {ids:?}");
    assert_eq!(env.build("FROM base\nRUN echo fine > /x\n").read("/x"), "fine\n");
}

fn a_command_that_is_not_there() {
    let env = Env::new();
    let error = env.fails("FROM base\nRUN [\"nothing\", \"-x\"]\n");
    assert!(matches!(error.kind, SolveErrorKind::Sandbox { .. }), "{error:?}");
    let error = env.fails("FROM base\nUSER nobody\nRUN true\n");
    let SolveErrorKind::Sandbox { source, .. } = error.kind else { panic!("{error:?}") };
    assert_eq!(source.to_string(), "unable to find user nobody: no matching entries in passwd file");
}

fn mounts() {
    let env = Env::new();
    env.file("d/a", "from the context");
    let text = "FROM base AS other\nRUN echo from a stage > /made\nFROM base\n\
        RUN --mount=type=bind,source=d,target=/c --mount=type=bind,from=other,target=/s \
        --mount=type=bind,source=d,target=/rw,rw --mount=type=tmpfs,target=/data/t \
        cat /c/a > /x && cat /s/made >> /x && echo new > /rw/b && touch /data/t/y && ! touch /c/z\n";
    let built = env.build(text);
    assert_eq!(built.read("/x"), "from the contextfrom a stage\n");
    assert_eq!(built.layer(&env, "--mount"), ["/x"], "no mount points and nothing that was in them");
    assert!(!env.context.join("d/b").exists());
    assert!(env.known(&built.plan).is_some());
    env.file("unrelated", "");
    assert!(env.known(&built.plan).is_some(), "only what is mounted counts");
    env.file("d/a", "changed");
    assert!(env.known(&built.plan).is_none());
    assert_eq!(env.build(text).read("/x"), "changedfrom a stage\n");
}

fn mounts_of_a_filtered_context() {
    let mut env = Env::new();
    env.ignore = "secret\n".to_owned();
    env.file("secret", "!").file("plain", "?");
    let built = env.build("FROM base\nRUN --mount=type=bind,target=/c ls /c > /x; stat -c %u /c/plain >> /x\n");
    assert_eq!(built.read("/x"), "plain\n0\n");
}

fn scripts() {
    let env = Env::new();
    let built = env.build("FROM base\nRUN <<EOF\n#!/bin/sh\necho $0 > /x\nEOF\nRUN <<EOF\necho plain > /y\nEOF\n");
    assert!(built.read("/x").starts_with("/dev/pipes/"), "{}", built.read("/x"));
    assert_eq!(built.read("/y"), "plain\n");
}

fn cancel_kills() {
    let env = Env::new();
    let plan = env.plan("FROM base\nRUN echo started; sleep 1000\n");
    let cancel = Cancel::new();
    let (result, events) = env.solve(&plan, &cancel, |event| {
        if matches!(event, Event::Output { .. }) {
            cancel.cancel();
        }
    });
    let error = result.unwrap_err();
    assert!(matches!(error.kind, SolveErrorKind::Canceled), "{error:?}");
    assert!(matches!(events.last(), Some(Event::Canceled { .. })), "{events:?}");
    assert!(env.known(&plan).is_none());
}

fn the_first_failure_stops_the_others() {
    let env = Env::new();
    let plan = env.plan(
        "FROM base AS a\nRUN sleep 1000\nFROM base AS b\nRUN sleep 0.1; exit 3\nFROM base\nCOPY --from=a /x /\nCOPY --from=b /x /\n",
    );
    let (result, events) = env.solve(&plan, &Cancel::new(), |_| {});
    let error = result.unwrap_err();
    let vertex = &plan.vertices[error.vertex.unwrap().index()];
    assert!(vertex.name.contains("exit 3"), "{}", vertex.name);
    assert!(events.iter().any(|event| matches!(event, Event::Canceled { .. })), "{events:?}");
}

fn a_chain() {
    let env = Env::new();
    let mut text = "FROM base\n".to_owned();
    for n in 0..30 {
        text.push_str(&format!("RUN echo {n} >> /log\n"));
    }
    let built = env.build(&text);
    assert_eq!(built.read("/log").lines().count(), 30);
    assert_eq!(built.ran().len(), 30);
}

fn a_context_that_changes_under_a_command() {
    let env = Env::new();
    env.file("a", "before");
    let plan = env.plan("FROM base\nRUN --mount=type=bind,target=/c echo started; sleep 0.3; cat /c/a > /x\n");
    let (result, _) = env.solve(&plan, &Cancel::new(), |event| {
        if matches!(event, Event::Output { .. }) {
            env.file("a", "meanwhile");
        }
    });
    result.unwrap();
    env.file("a", "before");
    assert!(env.known(&plan).is_none(), "what it gave belongs to no key");
    assert_eq!(env.build_plan(plan).read("/x"), "before");
}

fn the_same_layer_twice() {
    let env = Env::new();
    env.file("a", "1").file("b", "2");
    let built = env.build("FROM base\nRUN touch /x\nCOPY a /x\nCOPY b /x\nCOPY a /x\nCOPY b /x\nRUN cat /x > /y\n");
    assert_eq!(built.read("/y"), "2");
    let layers = &built.solution.targets[0].layers;
    assert_eq!(layers[1].layer, layers[3].layer);
}
