//! Lints that need evaluation; the rules and their words are BuildKit's (reference: section 15).

use dockerfile::word::{Expanded, Variables};
use dockerfile::{Diagnostic, Span, Word};
use image::{Platform, Reference};

use crate::env::{Env, NOT_IN_ENV};
use crate::findings::Findings;
use crate::globals::Globals;

/// `UndefinedArgInFrom`: a `FROM` that refers to an argument nobody declared.
pub(crate) fn from_arguments(expanded: &Expanded, word: &Word, globals: &Globals, findings: &mut Findings) {
    let undeclared = |(name, unset): &&(String, bool)| *unset && !globals.declared.contains(name);
    for (name, _) in expanded.used.iter().filter(undeclared) {
        let known = globals.env.names().chain(globals.declared.iter().map(String::as_str));
        let question = question(findings.nearest(name, known));
        let message = format!("FROM argument '{name}' is not declared{question}");
        findings.push(Diagnostic::warning("UndefinedArgInFrom", word.span, message));
    }
}

/// `InvalidDefaultArgInFrom`: a `FROM` that works only with a build argument. One that says so itself (`${BASE:?}`) means it.
pub(crate) fn default_base(word: &Word, defaults: &Env, findings: &mut Findings) {
    let expanded = findings.try_expand(word, defaults);
    let invalid = expanded.is_some_and(|expanded| expanded.value.parse::<Reference>().is_err());
    if invalid {
        let message = format!("Default value for ARG {} results in empty or invalid base image name", word.text);
        findings.push(Diagnostic::warning("InvalidDefaultArgInFrom", word.span, message));
    }
}

/// `RedundantTargetPlatform`: the platform asked for is the default.
pub(crate) fn redundant_platform(expanded: &Expanded, word: &Word, globals: &Env, findings: &mut Findings) {
    const NAME: &str = "TARGETPLATFORM";
    let alone = matches!(expanded.used.as_slice(), [(name, _)] if name == NAME);
    if alone && globals.get(NAME) == Some(expanded.value.as_str()) {
        let text = &word.text;
        let message =
            format!("Setting platform to predefined {text} in FROM is redundant as this is the default behavior");
        findings.push(Diagnostic::warning("RedundantTargetPlatform", word.span, message));
    }
}

/// `InvalidBaseImagePlatform`: the image is for something else than was asked for. Variants are not compared: many images
/// have a wrong one in their configuration, or none.
pub(crate) fn base_platform(name: &str, span: Span, actual: &Platform, wanted: &Platform, findings: &mut Findings) {
    if (&actual.os, &actual.architecture) != (&wanted.os, &wanted.architecture) {
        let message =
            format!("Base image {name} was pulled with platform \"{actual}\", expected \"{wanted}\" for current build");
        findings.push(Diagnostic::warning("InvalidBaseImagePlatform", span, message));
    }
}

/// `UndefinedVar`: a variable that is neither set nor declared in the stage.
pub(crate) fn undefined_variable(name: &str, span: Span, env: &Env, findings: &mut Findings) {
    if NOT_IN_ENV.contains(&name) {
        return;
    }
    let question = question(findings.nearest(name, env.names()).map(|near| format!("${near}")).as_deref());
    let message = format!("Usage of undefined variable '${name}'{question}");
    findings.push(Diagnostic::warning("UndefinedVar", span, message));
}

/// `WorkdirRelativePath`: the first `WORKDIR` of a stage rests on what the base has.
pub(crate) fn relative_workdir(path: &str, span: Span, findings: &mut Findings) {
    let message = format!("Relative workdir \"{path}\" can have unexpected results if the base image changes");
    findings.push(Diagnostic::warning("WorkdirRelativePath", span, message));
}

/// Parts of a name, between underscores, that tell of a secret.
const SECRETIVE: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Parts that tell of something else after all: `TOKEN_FILE`.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// `SecretsUsedInArgOrEnv`: what stays in the history or the configuration is no secret.
pub(crate) fn secret(instruction: &str, name: &str, span: Span, findings: &mut Findings) {
    let lower = name.to_lowercase();
    let has = |parts: &[&str]| lower.split('_').any(|part| parts.contains(&part));
    if has(&SECRETIVE) && !has(&HARMLESS) {
        let message = format!("Do not use ARG or ENV instructions for sensitive data ({instruction} \"{name}\")");
        findings.push(Diagnostic::warning("SecretsUsedInArgOrEnv", span, message));
    }
}

/// `ExposeProtoCasing`, where the protocol is known only once variables are expanded: `80/$PROTOCOL`.
pub(crate) fn expose_protocol(text: &str, span: Span, findings: &mut Findings) {
    let protocol = text.rsplit_once('/').map_or("", |(_, protocol)| protocol);
    if protocol != protocol.to_lowercase() {
        let message = format!("Defined protocol '{text}' in EXPOSE instruction should be lowercase");
        findings.push(Diagnostic::warning("ExposeProtoCasing", span, message));
    }
}

/// `ExposeInvalidFormat`: an address or a port of the host, which an image cannot decide.
pub(crate) fn expose_format(text: &str, span: Span, findings: &mut Findings) {
    let message = format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'");
    findings.push(Diagnostic::warning("ExposeInvalidFormat", span, message));
}

fn question(near: Option<&str>) -> String {
    near.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}
