//! Findings in a Dockerfile: shown by a build, by `--check`, and by `kiln lint`.

use crate::environment::TestEnv;

const DOUBTFUL: &str = "from busybox as base\nENV A b\nCOPY src /src\nWORKDIR rel\nCMD echo $HOME $NOPE\n";

#[test]
fn a_build_shows_each_warning_once_in_the_order_of_the_text() {
    let env = TestEnv::with_busybox();
    env.file("src/x", "");
    let stderr = env.build("FROM busybox AS Base\nENV A b\nWORKDIR rel\nENV C=$NOPE\n").ok().stderr;
    let rules = ["StageNameCasing", "LegacyKeyValueFormat", "WorkdirRelativePath", "UndefinedVar"];
    let places: Vec<usize> = rules
        .iter()
        .map(|rule| {
            let title = format!("warning[{rule}]");
            assert_eq!(stderr.matches(&title).count(), 1, "{rule}\n{stderr}");
            stderr.find(&title).unwrap()
        })
        .collect();
    assert!(places.is_sorted(), "{stderr}");
    assert!(stderr.contains("Usage of undefined variable '$NOPE'"), "{stderr}");
}

#[test]
fn directives_and_comments_silence_rules_of_every_pass() {
    let env = TestEnv::with_busybox();
    let stderr = env
        .build("# check=skip=UndefinedVar\nFROM busybox\n# check=skip=WorkdirRelativePath\nWORKDIR rel\nENV A=$NOPE\n")
        .ok()
        .stderr;
    assert!(!stderr.contains("warning["), "{stderr}");
    let stderr = env.build("FROM busybox\n# check=skip=WorkdirRelativePath\nENV A=1\nWORKDIR rel\n").ok().stderr;
    assert!(stderr.contains("warning[WorkdirRelativePath]"), "{stderr}");
}

#[test]
fn a_file_can_ask_that_warnings_fail_the_build() {
    let env = TestEnv::with_busybox();
    env.build("# check=error=true\nFROM busybox AS B\nENV A b\n")
        .fails(1, &["lint violation found for rules: LegacyKeyValueFormat, StageNameCasing", "Dockerfile:2"]);
    env.build("# check=error=true;skip=all\nFROM busybox AS B\nENV A b\n").ok();
    env.build("# check=nonsense\nFROM busybox\n").fails(1, &["invalid check option \"nonsense\"", "Dockerfile:1"]);
}

#[test]
fn a_build_argument_takes_the_place_of_the_directive() {
    let env = TestEnv::with_busybox();
    let text = "# check=skip=all\nFROM busybox AS B\nENV A b\n";
    let check = |value: &str| env.build_with(text, &["--build-arg", &format!("BUILDKIT_DOCKERFILE_CHECK={value}")]);
    check("skip=LegacyKeyValueFormat;error=true").fails(1, &["lint violation found for rules: StageNameCasing"]);
    check("").ok();
    assert!(check("").ok().stderr.contains("warning[LegacyKeyValueFormat]"));
    check("what").fails(1, &["--build-arg BUILDKIT_DOCKERFILE_CHECK: invalid check option \"what\""]);
    let flags = ["--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all"];
    env.build_with("# check=what\nFROM busybox AS B\n", &flags).ok();
}

#[test]
fn a_shell_of_the_base_image_is_chosen_too() {
    let env = TestEnv::with_busybox();
    env.build("FROM busybox\nSHELL [\"/bin/sh\", \"-ec\"]\n").ok();
    let text = "FROM test AS one\nCMD x\nFROM busybox\nCOPY --from=one /bin/sh /x\nENTRYPOINT y\n";
    env.file("Dockerfile", text);
    for found in [env.build_with(text, &["--check"]).stdout, env.build_with(text, &[]).ok().stderr] {
        assert!(!found.contains("for CMD") && found.contains("for ENTRYPOINT"), "{found}");
    }
}

#[test]
fn copies_of_what_is_not_ignored_are_not_found() {
    let env = TestEnv::with_busybox();
    for name in ["a/x", "b/x", "c"] {
        env.file(name, "");
    }
    env.file(".dockerignore", "*.txt\n.*\na/x\n/b/*\n");
    let ran = env.build("FROM busybox AS one\nCOPY . /\nCOPY a c /d/\nADD b /e/\nCOPY <<a.txt /\na.txt\nFROM busybox\nCOPY --from=one /a.txt /\n");
    assert!(!ran.ok().stderr.contains("CopyIgnoredFile"));
    for (ignored, source, shown) in
        [("*", ".", "."), ("**", "/", "."), ("a", "a/x", "a/x"), ("a/*", "./a/../a/x*", "a/x*")]
    {
        env.file(".dockerignore", format!("{ignored}\n"));
        let ran = env.build_with(&format!("FROM busybox\nADD {source} /d/\n"), &["--check"]);
        let message = format!("Attempting to Add file \"{shown}\" that is excluded by .dockerignore");
        assert!(ran.stdout.contains(&message), "{ignored} {source}\n{}{}", ran.stdout, ran.stderr);
        env.file(".dockerignore", format!("{ignored}\n!c\n"));
        let ran = env.build_with(&format!("FROM busybox\nADD {source} /d/\n"), &["--check"]);
        assert!(!ran.stdout.contains("CopyIgnoredFile"), "{ignored} {source}");
    }
}

#[test]
fn copies_of_ignored_files_are_found() {
    let env = TestEnv::with_busybox();
    env.file("secret.txt", "");
    env.file(".dockerignore", "secret.*\n");
    env.build("FROM busybox\nCOPY secret.txt /\n").fails(
        1,
        &["warning[CopyIgnoredFile]: Attempting to Copy file \"secret.txt\" that is excluded by .dockerignore"],
    );
    env.file(".dockerignore", "secret.*\n!other\n");
    let ran = env.build("FROM busybox\nADD secret.txt /\n");
    assert!(!ran.stderr.contains("CopyIgnoredFile"), "{}", ran.stderr);
}

#[test]
fn a_check_builds_nothing_and_fails_for_warnings() {
    let env = TestEnv::with_busybox();
    env.file("src/x", "");
    let ran = env.build_with(DOUBTFUL, &["--check"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for part in ["WorkdirRelativePath", "JSONArgsRecommended", "LegacyKeyValueFormat"] {
        assert!(ran.stdout.contains(part), "{part}\n{}", ran.stdout);
    }
    assert!(!env.kiln(["images"]).ok().stdout.contains("\ntest"));
    let clean = env.build_with("FROM busybox\nCOPY src /src\n", &["--check"]).ok();
    assert_eq!(clean.stdout, "Check complete, no warnings found.\n");
}

#[test]
fn a_check_needs_no_registry() {
    let env = TestEnv::new();
    let ran = env.build_with("FROM 127.0.0.1:1/none\nENV A=$FROM_BASE\nWORKDIR rel\n", &["--check"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("WorkdirRelativePath") && !ran.stdout.contains("UndefinedVar"), "{}", ran.stdout);
    assert!(ran.stderr.contains("note: image 127.0.0.1:1/none"), "{}", ran.stderr);
}

#[test]
fn buildx_answers_are_json() {
    let env = TestEnv::with_busybox();
    let ran = env.build_with("FROM busybox AS B\n", &["--call=check,format=json"]);
    assert_eq!(ran.code, 1);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(answer["warnings"][0]["ruleName"], "StageNameCasing");
    assert_eq!(answer["warnings"][0]["detail"], "Stage name 'B' should be lowercase");
    assert_eq!(answer["warnings"][0]["location"]["ranges"][0]["start"]["line"], 1);
    let ran = env.build_with("FROM busybox\nCPOY a b\n", &["--call=check,format=json"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert!(answer["buildError"]["message"].as_str().expect("a message").contains("unknown instruction: CPOY"));

    let text = "# build makes it\nFROM busybox AS build\nFROM build\n";
    let ran = env.build_with(text, &["--call=targets"]).ok();
    assert_eq!(ran.stdout, "TARGET    DESCRIPTION\nbuild     makes it\n(default)\n");
    let ran = env.build_with(text, &["--call=targets,format=json"]).ok();
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(answer["targets"][0]["name"], "build");
    assert_eq!(answer["targets"][1]["base"], "build");
    assert_eq!(answer["targets"][1]["default"], true);
    env.build_with(text, &["--call=nonsense"]).fails(2, &["unknown method `nonsense`"]);
}

#[test]
fn an_outline_tells_what_a_target_takes() {
    let env = TestEnv::new();
    // Bases that nobody has: nothing is fetched.
    let text = "ARG inner=box\nARG unused=1\n# name goes into the base\nARG name=busy${inner}\nFROM none.invalid/${name} AS first\n\
        # no description of it\nARG FOO=\n# BAR is a number\nARG BAR=456 TARGETARCH\n\
        RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true\n\
        FROM none.invalid/x AS second\nARG BAZ\nRUN --mount=type=secret,id=other --mount=type=ssh,id=ssh2 true\n\
        FROM scratch AS third\nARG ABC\nENV P=/cache\n\
        RUN --mount=type=secret,id=s-${ABC} --mount=type=cache,target=$P/x true\n\
        # target is what is asked for\nFROM third AS target\nCOPY --from=first /etc/passwd /\n\
        RUN --mount=type=ssh,required --mount=type=cache,target=$P/x true\nFROM second\n";
    let flags = ["--target=TARGET", "--build-arg", "BAR=678", "--build-arg", "ABC=a\nb"];
    let run = |call: &str| env.build_with(text, &[&[call], flags.as_slice()].concat());
    let expected = "TARGET:        target\nDESCRIPTION:   is what is asked for\n\n\
        BUILD ARG   VALUE     DESCRIPTION\ninner       box\nname        busybox   goes into the base\nFOO\n\
        BAR         678       is a number\nABC         a b\n\n\
        SECRET   REQUIRED\npasswd   true\ns-a b\n\nSSH       REQUIRED\ndefault   true\n\nCACHE\n/cache/x\n";
    assert_eq!(run("--call=outline").ok().stdout, expected);

    let answer: serde_json::Value = serde_json::from_str(&run("--call=outline,format=json").ok().stdout).expect("JSON");
    let at = |line: u32| serde_json::json!({ "ranges": [{ "start": { "line": line }, "end": { "line": line } }] });
    assert_eq!(answer["name"], "target");
    assert_eq!(answer["description"], "is what is asked for");
    let name = serde_json::json!({
        "name": "name", "description": "goes into the base", "value": "busybox", "location": at(4),
    });
    assert_eq!(answer["args"][1], name);
    assert_eq!(answer["args"].as_array().map(Vec::len), Some(5));
    assert_eq!(answer["secrets"][0], serde_json::json!({ "name": "passwd", "required": true, "location": at(10) }));
    assert_eq!(answer["secrets"][1]["required"], serde_json::Value::Null);
    assert_eq!(answer["cache"][0]["ID"], "/cache/x");
    assert!(answer["sources"][0].is_string());

    assert_eq!(env.build_with("FROM scratch\n", &["--call=outline"]).ok().stdout, "TARGET:   (default)\n");
    env.build_with("FROM scratch\nARG A=${\n", &["--call=outline"]).fails(1, &["Dockerfile:2:"]);
    env.build_with("FROM scratch AS one\n", &["--call=outline", "--target=on"]).fails(1, &["did you mean one?"]);
}

#[test]
fn lint_speaks_several_formats() {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", "FROM busybox AS B\nWORKDIR rel\n");
    let ran = env.kiln(["lint"]).ok();
    assert!(ran.stdout.contains("warning[StageNameCasing]: Stage name 'B' should be lowercase\n --> Dockerfile:1:17"));
    assert!(ran.stderr.contains("2 warnings"), "{}", ran.stderr);
    let json: serde_json::Value =
        serde_json::from_str(&env.kiln(["lint", "--format=json", "."]).ok().stdout).expect("JSON");
    assert_eq!((&json[1]["rule"], &json[1]["line"]), (&"WorkdirRelativePath".into(), &2.into()));
    let sarif: serde_json::Value =
        serde_json::from_str(&env.kiln(["lint", "--format=sarif"]).ok().stdout).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "StageNameCasing");
    let github = env.kiln(["lint", "--format=github"]).ok().stdout;
    assert!(github.starts_with("::warning file=Dockerfile,line=1,endLine=1,col=17,title=StageNameCasing::Stage name"));
}

#[test]
fn lint_has_exit_codes_for_machines() {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", "FROM busybox AS B\n");
    env.kiln(["lint"]).ok();
    assert_eq!(env.kiln(["lint", "--error"]).code, 1);
    env.file("Dockerfile", "# check=error=true\nFROM busybox AS B\n");
    assert_eq!(env.kiln(["lint"]).code, 1);
    env.file("Dockerfile", "FROM busybox\nCPOY a b\nWORKDIR\n");
    let ran = env.kiln(["lint"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("did you mean COPY?") && ran.stderr.contains("2 errors"), "{}", ran.stdout);
    env.kiln(["lint", "nowhere"]).fails(2, &["failed to read nowhere"]);
    assert_eq!(env.kiln(["lint", "--format=xml"]).code, 2);
}

#[test]
fn stages_that_the_target_does_not_need_are_checked_too() {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", "FROM busybox AS other\nWORKDIR rel\nFROM busybox\n");
    assert!(env.kiln(["lint"]).ok().stdout.contains("WorkdirRelativePath"));
}

#[test]
fn other_frontends_are_refused() {
    let env = TestEnv::with_busybox();
    env.build("# syntax=example.com/mine:1\nFROM busybox\n")
        .fails(1, &["syntax `example.com/mine:1` is not supported", "Dockerfile:1:10"]);
    env.build("# syntax=docker/dockerfile:1.7-labs\nFROM busybox\n").ok();
}

#[test]
fn a_fix_mends_what_is_safe_and_builds_the_same() {
    let env = TestEnv::with_busybox();
    env.build("from busybox as Base\nENV A b c\nRUN echo $A > /x\nCMD echo hi\n").ok();
    let before = env.image_id();
    let ran = env.kiln(["lint", "--fix"]).ok();
    assert!(ran.stderr.contains("Dockerfile: 4 mended"), "{}", ran.stderr);
    assert!(ran.stdout.contains("JSONArgsRecommended") && !ran.stdout.contains("Casing"), "{}", ran.stdout);
    let fixed = std::fs::read_to_string(env.path("context/Dockerfile")).expect("the file");
    assert_eq!(fixed, "FROM busybox AS base\nENV A=\"b c\"\nRUN echo $A > /x\nCMD echo hi\n");
    env.build(&fixed).ok();
    assert_eq!(env.image_id(), before);
    assert!(!env.kiln(["lint", "--fix"]).ok().stderr.contains("mended"));
    env.kiln(["lint", "--fix", "-"]).fails(2, &["--fix needs a file"]);
}
