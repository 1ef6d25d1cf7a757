//! The value of `RUN --mount` (reference: section 8.1).

use std::ops::Range;

use dockerfile::diagnostic::nearest;
use dockerfile::{Diagnostic, Span};

use crate::choice::Choice;
use crate::op::CacheSharing;
use crate::options::Options;
use crate::path;

/// Keeps caches of one name apart.
const CACHE_NAMESPACE_ARGUMENT: &str = "BUILDKIT_CACHE_MOUNT_NS";

/// A mount as declared: checked, names and paths not yet resolved.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Declared {
    pub(crate) kind: Kind,
    pub(crate) target: String,
    pub(crate) source: String,
    pub(crate) from: Option<String>,
    pub(crate) read_only: bool,
    /// Bytes, of a tmpfs.
    pub(crate) size: Option<u64>,
    pub(crate) id: Option<String>,
    pub(crate) sharing: CacheSharing,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) required: bool,
    /// The variable a secret is put into.
    pub(crate) env: Option<String>,
}

impl Declared {
    /// Returns which secret is meant.
    pub(crate) fn secret_id(&self) -> String {
        let source = Some(&self.source).filter(|source| !source.is_empty());
        self.id.as_ref().or(source).cloned().unwrap_or_else(|| last(&self.target).to_owned())
    }

    /// Returns which agent is meant.
    pub(crate) fn ssh_id(&self) -> String {
        self.id.clone().unwrap_or_else(|| "default".to_owned())
    }

    /// Returns which cache is meant.
    pub(crate) fn cache_id(&self, options: &Options) -> String {
        let id = self.id.clone().unwrap_or_else(|| clean_text(&self.target));
        match options.build_args.get(CACHE_NAMESPACE_ARGUMENT).filter(|name| !name.is_empty()) {
            Some(namespace) => format!("{namespace}/{id}"),
            None => id,
        }
    }
}

/// Returns the last component of a path.
pub(crate) fn last(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Returns a target as it stands, without what changes nothing: relative ones stay so.
fn clean_text(target: &str) -> String {
    let clean = path::clean(target);
    if target.starts_with('/') { clean } else { clean.trim_start_matches('/').to_owned() }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Kind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

const TYPES: Choice = Choice { of: "type", known: &["bind", "cache", "tmpfs", "secret", "ssh"] };

const SHARING: Choice = Choice { of: "sharing", known: &["shared", "private", "locked"] };

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "ro",
    "readonly",
    "rw",
    "readwrite",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_lowercase().as_str() {
            "bind" => Self::Bind,
            "cache" => Self::Cache,
            "tmpfs" => Self::Tmpfs,
            "secret" => Self::Secret,
            "ssh" => Self::Ssh,
            _ => return None,
        })
    }

    /// Returns the word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }

    fn is_credential(self) -> bool {
        matches!(self, Self::Secret | Self::Ssh)
    }
}

/// What was said, in the order it was said, before it is checked as a whole.
#[derive(Debug, Default)]
struct Draft {
    mount: Declared,
    read_only: Option<bool>,
    has_sharing: bool,
    /// The first of `mode`, `uid` and `gid`.
    ownership: Option<&'static str>,
}

/// Why a mount cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Invalid {
    /// `at` is the field at fault; `None` if it is the mount as a whole.
    Because { mistake: Mistake, at: Option<Range<usize>> },
    /// A variable could not be expanded, and who tried has said so.
    Reported,
}

/// What is wrong with a field, or with all of them together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Mistake {
    message: String,
    help: Option<String>,
}

impl Mistake {
    /// Returns it as a finding at `span`.
    pub(crate) fn at(self, span: Span) -> Diagnostic {
        self.help.into_iter().fold(Diagnostic::error(span, self.message), Diagnostic::help)
    }
}

impl From<String> for Mistake {
    fn from(message: String) -> Self {
        Self { message, help: None }
    }
}

impl From<&str> for Mistake {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

/// Returns the value of `from` without looking at anything else: it may not contain variables.
pub(crate) fn from(text: &str) -> Option<String> {
    let fields = fields(text).ok()?;
    let pairs = fields.iter().filter_map(|field| field.text.split_once('='));
    let mut values = pairs.filter(|(key, _)| key.eq_ignore_ascii_case("from")).map(|(_, value)| value);
    values.next_back().filter(|value| !value.is_empty() && !value.contains('$')).map(str::to_owned)
}

/// Reads a mount; `expand` resolves the variables of a value, which stands at a range of `text`, and `None` from it ends
/// the reading.
pub(crate) fn parse(
    text: &str,
    expand: &mut dyn FnMut(&str, Range<usize>) -> Option<String>,
) -> Result<Declared, Invalid> {
    let whole = |mistake| Invalid::Because { mistake, at: None };
    let mut draft = Draft::default();
    for field in fields(text).map_err(whole)? {
        let read = match field.text.split_once('=') {
            None => bare(&mut draft, &field.text),
            Some((key, value)) if key.eq_ignore_ascii_case("from") => from_key(&mut draft, value),
            Some((key, value)) => {
                let value = expand(value, field.end_of(value.len())).ok_or(Invalid::Reported)?;
                assign(&mut draft, &key.to_lowercase(), value, &field.text)
            }
        };
        read.map_err(|mistake| Invalid::Because { mistake, at: Some(field.place) })?;
    }
    check(&draft).map_err(whole)?;
    let default = !matches!(draft.mount.kind, Kind::Cache | Kind::Tmpfs);
    Ok(Declared { read_only: draft.read_only.unwrap_or(default), ..draft.mount })
}

fn bare(draft: &mut Draft, field: &str) -> Result<(), Mistake> {
    match field.to_lowercase().as_str() {
        "ro" | "readonly" => draft.read_only = Some(true),
        "rw" | "readwrite" => draft.read_only = Some(false),
        "required" if draft.mount.kind.is_credential() => draft.mount.required = true,
        "required" => return Err(unexpected_for("required", draft)),
        _ => return Err(format!("invalid field '{field}' must be a key=value pair").into()),
    }
    Ok(())
}

fn from_key(draft: &mut Draft, value: &str) -> Result<(), Mistake> {
    if value.contains('$') {
        return Err("'from' doesn't support variable expansion, define alias stage instead".into());
    }
    draft.mount.from = Some(value.to_owned()).filter(|value| !value.is_empty());
    Ok(())
}

fn assign(draft: &mut Draft, key: &str, value: String, field: &str) -> Result<(), Mistake> {
    match key {
        "type" => {
            let unsupported = || not_one_of(&TYPES, format!("unsupported mount type \"{value}\""), &value);
            draft.mount.kind = Kind::parse(&value).ok_or_else(unsupported)?;
        }
        "source" | "src" => draft.mount.source = value,
        "target" | "dst" | "destination" => draft.mount.target = value,
        "ro" | "readonly" => draft.read_only = Some(boolean(key, &value)?),
        "rw" | "readwrite" => draft.read_only = Some(!boolean(key, &value)?),
        "required" if draft.mount.kind.is_credential() => draft.mount.required = boolean(key, &value)?,
        "size" if draft.mount.kind == Kind::Tmpfs => draft.mount.size = Some(size(&value)?),
        "required" | "size" => return Err(unexpected_for(key, draft)),
        "id" => draft.mount.id = Some(value).filter(|value| !value.is_empty()),
        "sharing" => sharing(draft, &value)?,
        "mode" => draft.mount.mode = Some(number(draft, "mode", &value, 8)?),
        "uid" => draft.mount.uid = Some(number(draft, "uid", &value, 10)?),
        "gid" => draft.mount.gid = Some(number(draft, "gid", &value, 10)?),
        "env" => draft.mount.env = Some(value).filter(|value| !value.is_empty()),
        _ => return Err(unexpected(key, field)),
    }
    Ok(())
}

fn not_one_of(choice: &Choice, message: String, value: &str) -> Mistake {
    Mistake { message: message + &choice.question(value), help: Some(choice.list()) }
}

fn unexpected(key: &str, field: &str) -> Mistake {
    let question = nearest(key, KEYS).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    format!("unexpected key '{key}' in '{field}'{question}").into()
}

fn unexpected_for(key: &str, draft: &Draft) -> Mistake {
    format!("unexpected key '{key}' for mount type '{}'", draft.mount.kind.name()).into()
}

fn sharing(draft: &mut Draft, value: &str) -> Result<(), Mistake> {
    draft.mount.sharing = match value.to_lowercase().as_str() {
        "shared" => CacheSharing::Shared,
        "private" => CacheSharing::Private,
        "locked" => CacheSharing::Locked,
        _ => return Err(not_one_of(&SHARING, format!("unsupported sharing value \"{value}\""), value)),
    };
    draft.has_sharing = true;
    Ok(())
}

fn number(draft: &mut Draft, key: &'static str, value: &str, radix: u32) -> Result<u32, Mistake> {
    let is_plain = value.starts_with(|c: char| c.is_ascii_digit());
    let number = u32::from_str_radix(value, radix).ok().filter(|_| is_plain);
    draft.ownership = draft.ownership.or(Some(key));
    number.ok_or_else(|| format!("invalid value {value} for {key}").into())
}

fn boolean(key: &str, value: &str) -> Result<bool, Mistake> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("invalid value for {key}: {value}").into()),
    }
}

/// Reads bytes with an optional suffix (`64m`, `1.5GiB`), powers of 1024.
fn size(text: &str) -> Result<u64, Mistake> {
    let invalid = || Mistake::from(format!("invalid value for size: {text}"));
    let lower = text.to_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let letters = unit.trim_start().trim_end_matches('b').trim_end_matches('i');
    let power = match letters {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(invalid()),
    };
    let bytes = number * 1024_f64.powi(power);
    // Half of the range of the type is more than any file system has.
    if bytes.is_finite() && bytes < 9e18 { Ok(bytes as u64) } else { Err(invalid()) }
}

fn check(draft: &Draft) -> Result<(), Mistake> {
    let kind = draft.mount.kind;
    if let Some(key) = draft.ownership
        && matches!(kind, Kind::Bind | Kind::Tmpfs)
    {
        return Err(format!("{key} not allowed for \"{}\" type mounts", kind.name()).into());
    }
    if draft.has_sharing && kind != Kind::Cache {
        return Err(format!("invalid cache sharing set for {} mount", kind.name()).into());
    }
    if kind == Kind::Secret {
        return check_secret(draft);
    }
    if kind == Kind::Ssh {
        return check_ssh(draft);
    }
    Ok(())
}

fn check_ssh(draft: &Draft) -> Result<(), Mistake> {
    if draft.mount.from.is_some() {
        return Err("ssh mount should not have a from".into());
    }
    if !draft.mount.source.is_empty() {
        return Err("ssh mount should not have a source: `id` names what --ssh gives".into());
    }
    Ok(())
}

fn check_secret(draft: &Draft) -> Result<(), Mistake> {
    let Declared { source, target, from, id, .. } = &draft.mount;
    if from.is_some() {
        return Err("secret mount should not have a from".into());
    }
    if source.is_empty() && target.is_empty() && id.is_none() {
        return Err("invalid secret mount. one of source, target required".into());
    }
    if !source.is_empty() && id.is_some() {
        return Err("both source and id can't be set".into());
    }
    Ok(())
}

/// One `key=value` or bare key.
struct Field {
    text: String,
    /// Where it stands, quotes included.
    place: Range<usize>,
}

impl Field {
    /// Returns where its last `length` bytes stand; the whole if quotes make that unclear.
    fn end_of(&self, length: usize) -> Range<usize> {
        let plain = self.place.len() == self.text.len();
        if plain { self.place.end - length..self.place.end } else { self.place.clone() }
    }
}

/// Splits at commas as CSV does (RFC 4180): a field may stand in quotes, a quote inside is doubled.
fn fields(text: &str) -> Result<Vec<Field>, Mistake> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if !rest.starts_with('"') && field.contains('"') {
            return Err("failed to parse csv mounts: a quote inside a field that does not start with one".into());
        }
        let start = text.len() - rest.len();
        fields.push(Field { text: field, place: start..text.len() - after.len() });
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("failed to parse csv mounts: text after the quote that ends a field".into()),
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), Mistake> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((inside, after)) = rest.split_once('"') else {
            return Err("failed to parse csv mounts: a quote that is not closed".into());
        };
        field.push_str(inside);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Ok((field, after)),
        }
    }
}

#[cfg(test)]
#[path = "mount_tests.rs"]
mod tests;
