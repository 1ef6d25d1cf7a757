use super::*;

struct Case {
    directory: tempfile::TempDir,
    options: Options,
}

impl Case {
    fn new(conf: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut case = Self { directory, options: Options::default() };
        case.add("00.conf", conf);
        case.options.registries_conf.push(case.directory.path().to_owned());
        case
    }

    fn add(&mut self, name: &str, conf: &str) {
        std::fs::write(self.directory.path().join(name), conf).unwrap();
    }

    fn route(&self, name: &str, purpose: Purpose) -> Result<Vec<String>> {
        let (routes, name) = (Routes::new(&self.options), name.parse().unwrap());
        let endpoints = routes.endpoints(&name, purpose)?;
        assert_eq!(endpoints.last(), Some(&routes.origin(&name)?), "the registry itself comes last");
        let shown = |e: &Endpoint| {
            let security = match e.security {
                Security::Verified => "",
                Security::Insecure => " insecure",
                Security::Loopback => " loopback",
                Security::Plain => " plain",
            };
            format!("{}{}/{}{security}", if e.mirror { "mirror " } else { "" }, e.host, e.repository)
        };
        assert!(endpoints.iter().rev().skip(1).all(|e| e.mirror) && !endpoints.last().unwrap().mirror);
        Ok(endpoints.iter().map(shown).collect())
    }

    #[track_caller]
    fn check(&self, name: &str, purpose: Purpose, expected: &[&str]) {
        assert_eq!(self.route(name, purpose).unwrap(), expected);
    }
}

#[test]
fn nothing_configured() {
    let case = Case::new("unqualified-search-registries = ['quay.io']\nshort-name-mode = 'enforcing'\n");
    case.check("busybox", Purpose::Tag, &["registry-1.docker.io/library/busybox"]);
    case.check("localhost:5000/a", Purpose::Digest, &["localhost:5000/a loopback"]);
}

#[test]
fn options_come_before_files() {
    let mut case = Case::new("[[registry]]\nlocation='docker.io'\n[[registry.mirror]]\nlocation='m1.example'\n");
    case.options.mirrors.push(("docker.io".into(), "http://m0.example/hub/".into()));
    case.options.mirrors.push(("quay.io".into(), "127.0.0.1:1".into()));
    let origin = "registry-1.docker.io/library/busybox";
    case.check(
        "busybox",
        Purpose::Tag,
        &["mirror m0.example/hub/library/busybox plain", "mirror m1.example/library/busybox", origin],
    );
    case.check("quay.io/a", Purpose::Tag, &["mirror 127.0.0.1:1/a loopback", "quay.io/a"]);
}

#[test]
fn the_longest_prefix_decides() {
    let case = Case::new(
        "[[registry]]\nprefix='a.example/x'\nlocation='b.example/y'\ninsecure=true\n\
         [[registry]]\nprefix='a.example/x/bad'\nblocked=true\n\
         [[registry]]\nprefix='*.c.example'\nlocation='d.example'\n",
    );
    case.check("a.example/x/z", Purpose::Tag, &["b.example/y/z insecure"]);
    case.check("a.example/xx/z", Purpose::Tag, &["a.example/xx/z"]);
    case.check("q.c.example:99/z", Purpose::Digest, &["d.example/z"]);
    case.check("c.example/z", Purpose::Digest, &["c.example/z"]);
    let error = case.route("a.example/x/bad/z", Purpose::Tag).unwrap_err();
    assert!(error.to_string().starts_with("a.example/x/bad/z is blocked by /"), "{error}");
}

#[test]
fn mirrors_for_tags_or_digests() {
    let case = Case::new(
        "[[registry]]\nlocation='a.example'\n\
         [[registry.mirror]]\nlocation='t.example'\npull-from-mirror='tag-only'\n\
         [[registry.mirror]]\nlocation='d.example'\npull-from-mirror='digest-only'\ninsecure=true\n\
         [[registry]]\nlocation='b.example'\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation='e.example'\n",
    );
    case.check("a.example/z", Purpose::Tag, &["mirror t.example/z", "a.example/z"]);
    case.check("a.example/z", Purpose::Digest, &["mirror d.example/z insecure", "a.example/z"]);
    case.check("b.example/z", Purpose::Tag, &["b.example/z"]);
    case.check("b.example/z", Purpose::Digest, &["mirror e.example/z", "b.example/z"]);
}

#[test]
fn a_later_file_replaces_a_prefix() {
    let mut case = Case::new("[[registry]]\nlocation='a.example'\nblocked=true\n");
    case.add("10.conf", "[[registry]]\nprefix='a.example'\nlocation='b.example'\n");
    case.add("ignored.txt", "not toml");
    case.check("a.example/z", Purpose::Tag, &["b.example/z"]);
}

#[test]
fn insecure_hosts_by_option() {
    let mut case = Case::new("");
    case.options.insecure.push("a.example".into());
    case.options.insecure.push("b.example:5000".into());
    case.check("a.example:99/z", Purpose::Tag, &["a.example:99/z insecure"]);
    case.check("b.example:5000/z", Purpose::Tag, &["b.example:5000/z insecure"]);
    case.check("b.example/z", Purpose::Tag, &["b.example/z"]);
}

#[test]
fn mistakes_are_told_with_their_file() {
    for conf in
        ["[[registry]", "[[registry]]\nblocked=true", "[[registry]]\nlocation='a'\n[[registry.mirror]]\nlocation=''"]
    {
        let error = Case::new(conf).route("a.example/z", Purpose::Tag).unwrap_err();
        assert!(matches!(&error, Error::Config { path, .. } if path.ends_with("00.conf")), "{conf}: {error:?}");
    }
    let mut case = Case::new("");
    case.options.mirrors.push(("docker.io".into(), "https://user@m".into()));
    assert!(matches!(case.route("busybox", Purpose::Tag), Err(Error::Option { .. })));
    case.options = Options { registries_conf: vec!["/no/such/file".into()], ..Options::default() };
    case.check("a.example/z", Purpose::Tag, &["a.example/z"]);
}
