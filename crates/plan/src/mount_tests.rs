use super::*;

fn read(text: &str) -> Result<Declared, Invalid> {
    parse(text, &mut |value, _| Some(value.replace("$X", "expanded")))
}

#[track_caller]
fn check(text: &str, expected: Declared) {
    assert_eq!(read(text), Ok(expected), "{text}");
}

#[track_caller]
fn check_error(text: &str, message: &str) {
    match read(text) {
        Err(Invalid::Because { mistake, .. }) => assert_eq!(mistake.message, message, "{text}"),
        other => panic!("{text}: {other:?}"),
    }
}

fn bind() -> Declared {
    Declared { target: "/t".to_owned(), read_only: true, ..Declared::default() }
}

#[test]
fn a_bind_is_the_default_and_read_only() {
    check("target=/t", bind());
    check("type=bind,dst=/t", bind());
    check("TYPE=Bind,Destination=/t", bind());
    check("target=/t,source=a,from=b", Declared { source: "a".into(), from: Some("b".into()), ..bind() });
}

#[test]
fn read_only_in_all_spellings() {
    let writable = Declared { read_only: false, ..bind() };
    for text in ["rw", "readwrite", "rw=true", "ro=false", "readonly=0", "RW"] {
        check(&format!("target=/t,{text}"), writable.clone());
    }
    for text in ["ro", "readonly=1", "rw=false", "rw,ro"] {
        check(&format!("target=/t,{text}"), bind());
    }
    check_error("target=/t,ro=maybe", "invalid value for ro: maybe");
}

#[test]
fn values_are_expanded_but_from_is_not() {
    check("target=/$X", Declared { target: "/expanded".into(), ..bind() });
    check_error("from=$X,target=/t", "'from' doesn't support variable expansion, define alias stage instead");
    assert_eq!(parse("target=$Y", &mut |_, _| None), Err(Invalid::Reported));
}

#[test]
fn fields_may_be_quoted() {
    check("\"target=/t\",\"source=a,b\"", Declared { source: "a,b".into(), ..bind() });
    check("target=/t,\"source=a\"\"b\"", Declared { source: "a\"b".into(), ..bind() });
    check_error("\"target=/t", "failed to parse csv mounts: a quote that is not closed");
    check_error("\"target=/t\"x", "failed to parse csv mounts: text after the quote that ends a field");
    check_error("target=\"/t\"", "failed to parse csv mounts: a quote inside a field that does not start with one");
}

#[test]
fn a_tmpfs_has_a_size() {
    let tmpfs = Declared { kind: Kind::Tmpfs, target: "/t".into(), ..Declared::default() };
    check("type=tmpfs,target=/t", tmpfs.clone());
    for (text, bytes) in [("1024", 1024), ("64m", 64 << 20), ("1.5k", 1536), ("2GiB", 2 << 30), ("3mb", 3 << 20)] {
        check(&format!("type=tmpfs,target=/t,size={text}"), Declared { size: Some(bytes), ..tmpfs.clone() });
    }
    check_error("type=tmpfs,target=/t,size=big", "invalid value for size: big");
    check_error("type=tmpfs,target=/t,size=-1", "invalid value for size: -1");
    check_error("target=/t,size=1k", "unexpected key 'size' for mount type 'bind'");
    check_error("size=1k,type=tmpfs,target=/t", "unexpected key 'size' for mount type 'bind'");
}

#[test]
fn keys_belong_to_types() {
    check_error("type=disk", "unsupported mount type \"disk\"");
    check_error("target=/t,mode=0700", "mode not allowed for \"bind\" type mounts");
    check_error("type=tmpfs,target=/t,uid=1", "uid not allowed for \"tmpfs\" type mounts");
    check_error("target=/t,sharing=locked", "invalid cache sharing set for bind mount");
    check_error("type=cache,target=/t,sharing=loud", "unsupported sharing value \"loud\"");
    check_error("type=cache,target=/t,mode=9", "invalid value 9 for mode");
    check_error("target=/t,required", "unexpected key 'required' for mount type 'bind'");
    check_error("type=secret", "invalid secret mount. one of source, target required");
    check_error("type=secret,id=a,source=b", "both source and id can't be set");
    check_error("type=secret,id=a,from=b", "secret mount should not have a from");
    let ssh = Declared { kind: Kind::Ssh, read_only: true, required: true, ..Declared::default() };
    check("type=ssh,required", ssh);
    check_error("type=ssh,from=b", "ssh mount should not have a from");
    check_error("type=ssh,source=/b", "ssh mount should not have a source: `id` names what --ssh gives");
    let cache = Declared { kind: Kind::Cache, read_only: false, ..bind() };
    check("type=cache,target=/t,mode=0700,uid=1", Declared { mode: Some(0o700), uid: Some(1), ..cache.clone() });
    check(
        "type=cache,target=/t,sharing=locked,id=a",
        Declared { sharing: CacheSharing::Locked, id: Some("a".into()), ..cache },
    );
    let secret = Declared { kind: Kind::Secret, read_only: true, id: Some("a".into()), ..Declared::default() };
    check("type=secret,id=a,env=A,required=false,gid=2", Declared { env: Some("A".into()), gid: Some(2), ..secret });
}

#[test]
fn what_is_not_known() {
    check_error("target=/t,colour=red", "unexpected key 'colour' in 'colour=red'");
    check_error("taget=/t", "unexpected key 'taget' in 'taget=/t' (did you mean target?)");
    check_error("target=/t,verbose", "invalid field 'verbose' must be a key=value pair");
}

#[test]
fn mistakes_and_variables_have_places() {
    let text = "source=a,taget=/x,\"target=/t\"";
    let Err(Invalid::Because { at, .. }) = read(text) else { panic!("`taget` is no key") };
    assert_eq!(&text[at.unwrap()], "taget=/x");
    let text = "source=$A,\"target=/$B\"";
    let mut places = Vec::new();
    let expanded = parse(text, &mut |value, at| {
        places.push(&text[at]);
        Some(value.to_owned())
    });
    assert!(expanded.is_ok());
    assert_eq!(places, ["$A", "\"target=/$B\""]);
}

#[test]
fn from_alone() {
    assert_eq!(from("type=bind,from=build,target=/t"), Some("build".to_owned()));
    assert_eq!(from("FROM=build"), Some("build".to_owned()));
    assert_eq!(from("target=/t"), None);
    assert_eq!(from("from="), None);
    assert_eq!(from("from=$X"), None);
}
