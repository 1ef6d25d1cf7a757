//! The global scope: predefined arguments and the `ARG`s before the first `FROM` (reference: section 4).

use std::collections::{BTreeMap, BTreeSet};

use dockerfile::Dockerfile;
use dockerfile::ast::{ArgItem, Kind};
use image::Platform;

use crate::env::Env;
use crate::epoch::{self, EPOCH_ARGUMENT};
use crate::findings::Findings;
use crate::options::Options;

/// What `FROM` sees, and what an `ARG` without default takes its value from.
#[derive(Debug)]
pub(crate) struct Globals {
    pub(crate) env: Env,
    /// The same as if no `--build-arg` were given; `None` if one is needed then (`ARG A=${B:?}`).
    pub(crate) defaults: Option<Env>,
    /// Names of the file's own, with a value or without.
    pub(crate) declared: BTreeSet<String>,
}

impl Globals {
    pub(crate) fn new(
        dockerfile: &Dockerfile,
        options: &Options,
        platform: &Platform,
        findings: &mut Findings,
    ) -> Self {
        let shown = |name: &str, value: &str| !epoch::is_unresolved(name, value);
        let items = items(dockerfile);
        let (env, declared) = evaluate(&items, predefined(options, platform), &options.build_args, shown, findings);
        // What is wrong with a default that a build argument replaces is not this build's concern.
        let none = BTreeMap::new();
        let mut mistakes = Findings::default();
        let (defaults, _) = evaluate(&items, predefined(options, platform), &none, shown, &mut mistakes);
        Self { env, defaults: Some(defaults).filter(|_| !mistakes.has_errors()), declared }
    }

    /// Returns all values, those too that name something to be found out.
    pub(crate) fn as_written(
        dockerfile: &Dockerfile,
        options: &Options,
        platform: &Platform,
        findings: &mut Findings,
    ) -> Env {
        let items = items(dockerfile);
        let (mut env, _) = evaluate(&items, predefined(options, platform), &options.build_args, |_, _| true, findings);
        if let Some(given) = options.build_args.get(EPOCH_ARGUMENT) {
            // It need not be declared.
            env.set(EPOCH_ARGUMENT, given);
        }
        env
    }
}

/// True if an `ARG` before the first `FROM` has that name.
pub(crate) fn declares(dockerfile: &Dockerfile, name: &str) -> bool {
    items(dockerfile).iter().any(|item| item.name.text == name)
}

fn items(dockerfile: &Dockerfile) -> Vec<&ArgItem> {
    let instructions = dockerfile.globals.iter();
    instructions.filter_map(|i| if let Kind::Arg(items) = &i.kind { Some(items) } else { None }).flatten().collect()
}

/// Returns the variables, and the names of all that are declared.
fn evaluate(
    items: &[&ArgItem],
    predefined: Vec<(String, String)>,
    build_args: &BTreeMap<String, String>,
    shown: impl Fn(&str, &str) -> bool,
    findings: &mut Findings,
) -> (Env, BTreeSet<String>) {
    let (mut env, mut declared) = (Env::default(), BTreeSet::new());
    for (key, value) in predefined {
        env.set(&key, build_args.get(&key).unwrap_or(&value));
    }
    for item in items {
        let Some(key) = findings.expand(&item.name, &env) else { continue };
        let given = build_args.get(&key.value).cloned();
        let default = || findings.expand(item.default.as_ref()?, &env).map(|expanded| expanded.value);
        if let Some(value) = given.or_else(default).filter(|value| shown(&key.value, value)) {
            env.set(&key.value, &value);
        }
        declared.insert(key.value);
    }
    (env, declared)
}

fn predefined(options: &Options, target: &Platform) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (side, platform) in [("BUILD", &options.build_platform), ("TARGET", target)] {
        let mut add = |name: &str, value: String| pairs.push((format!("{side}{name}"), value));
        add("PLATFORM", platform.to_string());
        add("OS", platform.os.clone());
        add("OSVERSION", String::new());
        add("ARCH", platform.architecture.clone());
        add("VARIANT", platform.variant.clone().unwrap_or_default());
    }
    let stage = options.target.clone().unwrap_or_else(|| "default".to_owned());
    pairs.push(("TARGETSTAGE".to_owned(), stage));
    pairs
}
