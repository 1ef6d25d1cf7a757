//! `SOURCE_DATE_EPOCH`: the time that nothing new is later than (reference: section 13).

use dockerfile::ast::{ArgItem, Copy, CopySource, Kind, Stage};
use dockerfile::diagnostic::nearest;
use dockerfile::word::Variables as _;
use dockerfile::{Diagnostic, Diagnostics, Dockerfile, Span, Word};
use image::Platform;

use crate::env::Env;
use crate::findings::Findings;
use crate::globals::Globals;
use crate::names::SCRATCH;
use crate::op::Source;
use crate::options::{NamedContext, Options};
use crate::{ContextName, lower};

/// The argument that says it.
pub const EPOCH_ARGUMENT: &str = "SOURCE_DATE_EPOCH";

/// The value that stands for the time of the build context.
const CONTEXT: &str = "context";

/// A time, or what has one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Epoch {
    /// Since 1970.
    Seconds(i64),
    /// When the files of a context were made, as far as its source says. The caller finds out, and puts the number in
    /// place of the argument; without one, the argument is as if it were not there.
    Context(ContextName),
    /// When that was made which a stage of the file adds; likewise.
    Source(Source),
}

/// Returns what the arguments say of the time; `None` if nothing, or if `diagnostics` received an error. Comes before
/// [`bases`](crate::bases): what is found out in a context is an argument like any other.
pub fn epoch(dockerfile: &Dockerfile, options: &Options, diagnostics: &mut Diagnostics) -> Option<Epoch> {
    let platform = lower::platforms(options).into_iter().next()?;
    // What is wrong with other arguments is said when they are used.
    let globals = Globals::as_written(dockerfile, options, &platform, &mut Findings::default());
    let text = globals.get(EPOCH_ARGUMENT).filter(|text| !text.is_empty())?;
    if let Ok(seconds) = text.parse() {
        return Some(Epoch::Seconds(seconds));
    }
    let mut findings = Findings::default();
    let epoch = named(text, dockerfile, options, &platform, &mut findings);
    findings.report_errors(diagnostics);
    epoch
}

/// True for a value that has to be found out: no part of a build sees it as it is written.
pub(crate) fn is_unresolved(name: &str, value: &str) -> bool {
    name == EPOCH_ARGUMENT && !value.is_empty() && value.parse::<i64>().is_err()
}

/// Returns what has the time: a context, or else a stage.
fn named(
    text: &str,
    dockerfile: &Dockerfile,
    options: &Options,
    platform: &Platform,
    findings: &mut Findings,
) -> Option<Epoch> {
    if text == CONTEXT {
        return Some(Epoch::Context(ContextName::Main));
    }
    let help = match options.contexts.get_key_value(&text.to_lowercase()) {
        Some((name, NamedContext::Directory)) => return Some(Epoch::Context(ContextName::Named(name.clone()))),
        Some((_, NamedContext::Image(_))) => "that context is an image, which has no one time".to_owned(),
        None => {
            let is_meant = |name: &str| name.to_lowercase() == text.to_lowercase();
            let names = || dockerfile.stages.iter().filter_map(|stage| Some((stage, stage.from.name.as_ref()?)));
            if let Some((stage, _)) = names().find(|(_, name)| is_meant(&name.value)) {
                // What is wrong with other arguments is said when they are used.
                let env = Globals::new(dockerfile, options, platform, &mut Findings::default()).env;
                return Adding { options, env, findings }.source(stage).map(Epoch::Source);
            }
            let known = options.contexts.keys().map(String::as_str).chain([CONTEXT]);
            match nearest(text, known.chain(names().map(|(_, name)| name.value.as_str()))) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("expected seconds since 1970, `{CONTEXT}`, or the name of a context or stage"),
            }
        }
    };
    let error = Diagnostic::error(span(dockerfile, options), format!("invalid {EPOCH_ARGUMENT}: {text}"));
    findings.push(error.help(help));
    None
}

/// Reads a stage that does nothing but add one thing from elsewhere.
struct Adding<'a> {
    options: &'a Options,
    env: Env,
    findings: &'a mut Findings,
}

impl Adding<'_> {
    fn source(&mut self, stage: &Stage) -> Option<Source> {
        if self.expand(&stage.from.image)? != SCRATCH {
            return self.unfit(stage.from.image.span, "must use FROM scratch");
        }
        let mut source = None;
        for instruction in &stage.instructions {
            match &instruction.kind {
                Kind::Arg(items) => items.iter().try_for_each(|item| self.declare(item))?,
                Kind::Add(_) if source.is_some() => {
                    return self.unfit(instruction.span, "must contain exactly one remote ADD");
                }
                Kind::Add(copy) => source = Some(self.added(copy, instruction.span)?),
                _ => {
                    let keyword = instruction.keyword.value.to_uppercase();
                    return self.unfit(instruction.keyword.span, &format!("cannot contain {keyword}"));
                }
            }
        }
        source.or_else(|| self.unfit(stage.span, "must contain exactly one remote ADD"))
    }

    fn declare(&mut self, item: &ArgItem) -> Option<()> {
        let name = self.expand(&item.name)?;
        let given = self.options.build_args.get(&name).filter(|value| !is_unresolved(&name, value)).cloned();
        let value = match (given, &item.default) {
            (Some(given), _) => given,
            (None, Some(default)) => self.expand(default)?,
            (None, None) => return Some(()),
        };
        self.env.set(&name, &value);
        Some(())
    }

    fn added(&mut self, copy: &Copy, span: Span) -> Option<Source> {
        let [CopySource::Path(word)] = copy.sources.as_slice() else {
            return self.unfit(span, "must contain exactly one remote ADD source");
        };
        let text = self.expand(word)?;
        let checksum = match &copy.flags.checksum {
            Some(checksum) => Some((self.expand(checksum)?, checksum.span)).filter(|(text, _)| !text.is_empty()),
            None => None,
        };
        let checksum = checksum.as_ref().map(|(text, span)| (text.as_str(), *span));
        let keep = copy.flags.keep_git_dir.as_ref().map(|keep| (keep.value, keep.span));
        match Source::read((&text, word.span), checksum, keep) {
            Some(Ok(source)) => Some(source),
            Some(Err(diagnostic)) => {
                self.findings.push(diagnostic);
                None
            }
            None => self.unfit(word.span, "source must be a single HTTP(S) or Git ADD"),
        }
    }

    fn expand(&mut self, word: &Word) -> Option<String> {
        self.findings.expand(word, &self.env).map(|expanded| expanded.value)
    }

    fn unfit<T>(&mut self, span: Span, why: &str) -> Option<T> {
        let help = "the time is that of one `ADD` of an HTTP(S) or git address, with nothing else but `ARG`s";
        self.findings.push(Diagnostic::error(span, format!("{EPOCH_ARGUMENT} stage {why}")).help(help));
        None
    }
}

/// Returns where the value stands: at the argument's default, else it came from outside.
fn span(dockerfile: &Dockerfile, options: &Options) -> Span {
    let start = Span::new(dockerfile.source, 0, 0);
    if options.build_args.contains_key(EPOCH_ARGUMENT) {
        return start;
    }
    let instructions = dockerfile.globals.iter();
    let items = instructions.filter_map(|i| if let Kind::Arg(items) = &i.kind { Some(items) } else { None });
    let last = items.flatten().rfind(|item| item.name.text == EPOCH_ARGUMENT);
    last.and_then(|item| item.default.as_ref()).map_or(start, |default| default.span)
}
