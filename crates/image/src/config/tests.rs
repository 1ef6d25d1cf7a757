use super::*;

/// Reads `input`, writes it, compares with `expected`, and reads that again.
#[track_caller]
fn check(input: &str, expected: &str) {
    let config = ImageConfig::parse(input.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    let written = String::from_utf8(config.to_json()).unwrap();
    assert_eq!(written, expected);
    assert_eq!(ImageConfig::parse(written.as_bytes()).unwrap(), config);
}

#[test]
fn a_configuration_of_buildkit_keeps_its_bytes() {
    let text = r##"{"architecture":"arm64","author":"me","config":{"User":"1000:1000","ExposedPorts":{"53/udp":{},"80/tcp":{}},"Env":["PATH=/bin","B=1","A=2"],"Entrypoint":["/init"],"Cmd":["/bin/busybox","sh"],"Volumes":{"/data":{}},"WorkingDir":"/","Labels":{"a":"1","x":"\u003cy\u003e\u2028"},"StopSignal":"SIGINT","Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000},"ArgsEscaped":true,"OnBuild":["RUN ls"],"Shell":["/bin/ash","-c"]},"created":"2026-11-21T01:32:56.197182958Z","history":[{"created":"2026-11-21T01:32:56.129690511Z","created_by":"COPY busybox /bin/busybox # buildkit","comment":"buildkit.dockerfile.v0"},{"created":"2026-11-21T01:32:56.197182958Z","created_by":"ENV A=1 B=2","comment":"buildkit.dockerfile.v0","empty_layer":true},{"created":"2026-11-21T01:32:56.197182958Z","created_by":"RUN /bin/busybox sh -c echo hi \u0026\u0026 echo a \u003e /x # buildkit","comment":"buildkit.dockerfile.v0"}],"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:7138380ef75355754b7970ec3fb2f57407d5608c481afde2bc0fdeb2bb780add","sha256:b82ae01f4d512d34009bc7d9267f391202895ccce364862e0700ce0c49b43d78"]},"variant":"v8"}"##;
    check(text, text);
    let config = ImageConfig::parse(text.as_bytes()).unwrap();
    assert_eq!(config.platform().to_string(), "linux/arm64");
    assert_eq!(config.diff_ids().len(), 2);
    assert_eq!(config.config.env, ["PATH=/bin", "B=1", "A=2"]);
    assert_eq!(
        config.history[2].created_by.as_deref(),
        Some("RUN /bin/busybox sh -c echo hi && echo a > /x # buildkit")
    );
}

#[test]
fn what_the_classic_builder_leaves_behind_is_dropped() {
    check(
        r##"{"id":"5c","parent":"5b","created":"2020-01-01T00:00:00Z","container":"ab12","container_config":{"Hostname":"ab12","Cmd":["/bin/sh","-c","#(nop) "]},"docker_version":"20.10.24","architecture":"amd64","os":"linux","config":{"Hostname":"","AttachStdin":false,"Tty":false,"Env":["PATH=/bin"],"Cmd":["sh"],"Image":"sha256:5b","Volumes":null,"OnBuild":null,"Labels":null},"rootfs":{"type":"layers","diff_ids":null},"history":null}"##,
        r##"{"architecture":"amd64","config":{"Env":["PATH=/bin"],"Cmd":["sh"],"AttachStdin":false,"Hostname":"","Image":"sha256:5b","Tty":false},"created":"2020-01-01T00:00:00Z","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"##,
    );
}

#[test]
fn unknown_fields_of_other_builders_are_kept() {
    check(
        r##"{"os.features":["win32k"],"os.version":"10.0.1","os":"windows","architecture":"amd64","moby.buildkit.cache.v0":"x","moby.buildkit.buildinfo.v1":"y","x.vendor":{"deep":[1,2.5,null]},"config":{"StopTimeout":7,"Healthcheck":{"Test":null,"Interval":1000000000},"ArgsEscaped":true},"rootfs":{"type":"layers","diff_ids":[]}}"##,
        r##"{"architecture":"amd64","config":{"Healthcheck":{"Interval":1000000000},"ArgsEscaped":true,"StopTimeout":7},"os":"windows","os.version":"10.0.1","rootfs":{"type":"layers","diff_ids":[]},"os.features":["win32k"],"x.vendor":{"deep":[1,2.5,null]}}"##,
    );
}

#[test]
fn nulls_and_absent_fields_are_defaults() {
    let empty = r##"{"architecture":"","config":{},"os":"","rootfs":{"type":"layers","diff_ids":[]}}"##;
    check("{}", empty);
    check(r##"{"architecture":null,"os":null,"config":null,"rootfs":null,"history":null,"created":null}"##, empty);
    check(
        r##"{"config":{"User":null,"ExposedPorts":null,"Env":null,"Entrypoint":null,"Cmd":null,"Healthcheck":null,"ArgsEscaped":null,"WorkingDir":null,"StopSignal":null,"Shell":null},"rootfs":{}}"##,
        empty,
    );
    check(
        r##"{"history":[{"created":null,"empty_layer":null}]}"##,
        r##"{"architecture":"","config":{},"history":[{}],"os":"","rootfs":{"type":"layers","diff_ids":[]}}"##,
    );
}

#[test]
fn empty_commands_are_left_out() {
    check(
        r##"{"config":{"Entrypoint":[],"Cmd":[],"Shell":[]}}"##,
        r##"{"architecture":"","config":{},"os":"","rootfs":{"type":"layers","diff_ids":[]}}"##,
    );
}

#[test]
fn one_string_is_a_list_of_one() {
    let config =
        ImageConfig::parse(br##"{"config":{"Cmd":"sh","Entrypoint":["a"],"Shell":"/bin/ash"}}"##).unwrap().config;
    assert_eq!(config.cmd, Some(vec!["sh".to_owned()]));
    assert_eq!(config.entrypoint, Some(vec!["a".to_owned()]));
    assert_eq!(config.shell, Some(vec!["/bin/ash".to_owned()]));
}

#[track_caller]
fn check_invalid(bytes: &[u8], expected: &str) {
    let error = ImageConfig::parse(bytes).unwrap_err();
    let source = std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
    let text = format!("{error}{source}");
    assert!(text.contains(expected), "{text}");
}

#[test]
fn mistakes_are_named() {
    check_invalid(b"", "invalid image configuration: EOF");
    check_invalid(b"[]", "invalid image configuration: invalid type: sequence");
    check_invalid(br##"{"config":{"Env":"A=b"}}"##, "expected a sequence");
    check_invalid(br##"{"rootfs":{"diff_ids":["sha256:1"]}}"##, "invalid digest `sha256:1`");
    check_invalid(&vec![b' '; MAX_CONFIG + 1], "has 4194305 bytes, more than the 4194304 allowed");
    check_invalid("[".repeat(100_000).as_bytes(), "invalid image configuration");
    check_invalid(format!(r##"{{"x":{}"##, "[".repeat(100_000)).as_bytes(), "recursion limit");
}
