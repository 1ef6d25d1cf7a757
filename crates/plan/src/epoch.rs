//! `SOURCE_DATE_EPOCH`: the time that nothing new is later than (reference: section 13).

use dockerfile::ast::Kind;
use dockerfile::diagnostic::nearest;
use dockerfile::word::Variables as _;
use dockerfile::{Diagnostic, Diagnostics, Dockerfile, Span};

use crate::findings::Findings;
use crate::globals::Globals;
use crate::names::Names;
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
}

/// Returns what the arguments say of the time; `None` if nothing, or if `diagnostics` received an error. Comes before
/// [`bases`](crate::bases): what is found out in a context is an argument like any other.
pub fn epoch(dockerfile: &Dockerfile, options: &Options, diagnostics: &mut Diagnostics) -> Option<Epoch> {
    let platform = lower::platforms(options).into_iter().next()?;
    // What is wrong with other arguments is said when they are used.
    let globals = Globals::as_written(dockerfile, options, &platform, &mut Findings::default());
    let text = globals.get(EPOCH_ARGUMENT).filter(|text| !text.is_empty())?;
    match read(text, dockerfile, options) {
        Ok(epoch) => Some(epoch),
        Err(help) => {
            let error = Diagnostic::error(span(dockerfile, options), format!("invalid {EPOCH_ARGUMENT}: {text}"));
            diagnostics.push(error.help(help));
            None
        }
    }
}

/// True for a value that has to be found out: no part of a build sees it as it is written.
pub(crate) fn is_unresolved(name: &str, value: &str) -> bool {
    name == EPOCH_ARGUMENT && !value.is_empty() && value.parse::<i64>().is_err()
}

fn read(text: &str, dockerfile: &Dockerfile, options: &Options) -> Result<Epoch, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Epoch::Seconds(seconds));
    }
    if text == CONTEXT {
        return Ok(Epoch::Context(ContextName::Main));
    }
    match options.contexts.get_key_value(&text.to_lowercase()) {
        Some((name, NamedContext::Directory)) => return Ok(Epoch::Context(ContextName::Named(name.clone()))),
        Some((_, NamedContext::Image(_))) => return Err("that context is an image, which has no one time".to_owned()),
        None => {}
    }
    if Names::new(&dockerfile.stages, options).stage(text).is_some() {
        return Err("the time of a stage's ADD is not supported yet".to_owned());
    }
    let known = options.contexts.keys().map(String::as_str).chain([CONTEXT]);
    Err(match nearest(text, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("expected seconds since 1970, `{CONTEXT}`, or the name of a context"),
    })
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
