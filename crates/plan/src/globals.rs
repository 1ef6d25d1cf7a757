//! The global scope: predefined arguments and the `ARG`s before the first `FROM` (reference: section 4).

use std::collections::BTreeMap;

use dockerfile::Dockerfile;
use dockerfile::ast::{ArgItem, Kind};
use image::Platform;

use crate::env::Env;
use crate::findings::Findings;
use crate::options::Options;

/// What `FROM` sees, and what an `ARG` without default takes its value from.
#[derive(Debug)]
pub(crate) struct Globals {
    pub(crate) env: Env,
    /// The same as if no `--build-arg` were given.
    pub(crate) defaults: Env,
}

impl Globals {
    pub(crate) fn new(
        dockerfile: &Dockerfile,
        options: &Options,
        platform: &Platform,
        findings: &mut Findings,
    ) -> Self {
        let items: Vec<&ArgItem> = dockerfile
            .globals
            .iter()
            .filter_map(|instruction| if let Kind::Arg(items) = &instruction.kind { Some(items) } else { None })
            .flatten()
            .collect();
        let env = evaluate(&items, predefined(options, platform), &options.build_args, findings);
        // What is wrong with a default that a build argument replaces is not this build's concern.
        let defaults = evaluate(&items, predefined(options, platform), &BTreeMap::new(), &mut Findings::default());
        Self { env, defaults }
    }
}

fn evaluate(
    items: &[&ArgItem],
    predefined: Vec<(String, String)>,
    build_args: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Env {
    let mut env = Env::default();
    for (key, value) in predefined {
        env.set(&key, build_args.get(&key).unwrap_or(&value));
    }
    for item in items {
        let Some(key) = findings.expand(&item.name, &env) else { continue };
        let given = build_args.get(&key.value).cloned();
        let default = || findings.expand(item.default.as_ref()?, &env).map(|expanded| expanded.value);
        if let Some(value) = given.or_else(default) {
            env.set(&key.value, &value);
        }
    }
    env
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
