//! Findings for people and for other programs.

use dockerfile::lint::rule;
use dockerfile::{Diagnostic, Severity, Source, Sources};
use serde_json::{Value, json};

use crate::error::Failure;

/// How findings are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Format {
    /// With the text they point to, for people
    Text,
    /// A list of objects
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
}

/// Where a finding begins and ends, lines and columns counted from 1; the end column is the one behind it.
struct Place {
    file: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

impl Place {
    fn of(found: &Diagnostic, sources: &Sources) -> Self {
        let Some(source) = sources.get(found.span.source) else {
            return Self { file: String::new(), line: 1, column: 1, end_line: 1, end_column: 1 };
        };
        let text = source.slice(found.span).trim_end_matches(['\r', '\n']).len();
        let (line, column) = source.line_column(found.span.start as usize);
        let (end_line, end_column) = source.line_column(found.span.start as usize + text);
        Self { file: source.name.clone(), line, column, end_line, end_column }
    }
}

fn level(found: &Diagnostic) -> &'static str {
    match found.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// Writes the findings of all files, without a final newline.
pub(crate) fn write(format: Format, findings: &[Diagnostic], sources: &Sources, color: bool) -> String {
    match format {
        Format::Text => findings.iter().map(|f| f.render(sources, color)).collect::<Vec<_>>().join("\n\n"),
        Format::Json => pretty(&Value::Array(findings.iter().map(|f| object(f, sources)).collect())),
        Format::Sarif => pretty(&sarif(findings, sources)),
        Format::Github => findings.iter().map(|f| annotation(f, sources)).collect::<Vec<_>>().join("\n"),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn object(found: &Diagnostic, sources: &Sources) -> Value {
    let place = Place::of(found, sources);
    json!({
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
        "severity": level(found),
        "rule": found.rule,
        "message": found.message,
        "help": found.help,
        "fixable": found.fix.is_some(),
        "url": found.rule.and_then(rule).map(|rule| rule.url()),
    })
}

fn sarif(findings: &[Diagnostic], sources: &Sources) -> Value {
    let mut names: Vec<&str> = findings.iter().filter_map(|found| found.rule).collect();
    names.sort_unstable();
    names.dedup();
    let rules = names.iter().filter_map(|name| rule(name)).map(
        |rule| json!({ "id": rule.name, "shortDescription": { "text": rule.description }, "helpUri": rule.url() }),
    );
    let results = findings.iter().map(|found| {
        let place = Place::of(found, sources);
        json!({
            "ruleId": found.rule.unwrap_or("error"),
            "level": level(found),
            "message": { "text": found.message },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": place.file },
                "region": {
                    "startLine": place.line, "startColumn": place.column,
                    "endLine": place.end_line, "endColumn": place.end_column,
                },
            } }],
        })
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "kiln", "version": env!("CARGO_PKG_VERSION"), "rules": rules.collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

/// `::warning file=Dockerfile,line=2,…::message`; `%`, line ends and, in properties, `:` and `,` are escaped.
fn annotation(found: &Diagnostic, sources: &Sources) -> String {
    let place = Place::of(found, sources);
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    format!(
        "::{} file={},line={},endLine={},col={},title={}::{}",
        level(found),
        property(&place.file),
        place.line,
        place.end_line,
        place.column,
        property(found.rule.unwrap_or("error")),
        data(&found.message),
    )
}

/// The lines a finding is on, as buildx has them.
pub(crate) fn range(found: &Diagnostic, sources: &Sources) -> Value {
    let place = Place::of(found, sources);
    json!({ "start": { "line": place.line }, "end": { "line": place.end_line } })
}

/// Writes findings as the answer to buildx's `--call=check,format=json`.
pub(crate) fn buildx(findings: &[Diagnostic], source: &Source, sources: &Sources) -> String {
    let location = |found: &Diagnostic| json!({ "ranges": [range(found, sources)] });
    let warnings = findings.iter().filter(|found| found.severity == Severity::Warning).map(|found| {
        let rule = found.rule.and_then(rule);
        json!({
            "ruleName": found.rule,
            "description": rule.map(|rule| rule.description),
            "url": rule.map(|rule| rule.url()),
            "detail": found.message,
            "location": location(found),
        })
    });
    let mut answer = json!({
        "warnings": warnings.collect::<Vec<_>>(),
        "sources": [{ "filename": source.name, "language": "Dockerfile", "data": base64(source.text.as_bytes()) }],
    });
    if let Some(error) = findings.iter().find(|found| found.severity == Severity::Error) {
        answer["buildError"] = json!({ "message": error.message, "location": location(error) });
    }
    pretty(&answer)
}

/// Returns RFC 4648 base64, as JSON carries bytes in that answer.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let all = chunk.iter().fold(0_u32, |all, &byte| all << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (all >> (18 - 6 * place)) as usize & 63;
            text.push(if place > chunk.len() { '=' } else { char::from(DIGITS[digit]) });
        }
    }
    text
}

/// Returns `3 warnings`, `1 error, 2 warnings`, or that there is nothing.
pub(crate) fn count(findings: &[Diagnostic]) -> String {
    let errors = findings.iter().filter(|found| found.severity == Severity::Error).count();
    let part = |number: usize, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    };
    let parts: Vec<String> =
        [part(errors, "error"), part(findings.len() - errors, "warning")].into_iter().flatten().collect();
    if parts.is_empty() { "nothing was found".to_owned() } else { parts.join(", ") }
}

/// Reads the `format=` of `--call`.
pub(crate) fn is_json(text: &str) -> Result<bool, Failure> {
    match text {
        "json" => Ok(true),
        "text" => Ok(false),
        _ => Err(Failure::new(format!("--call: unknown format `{text}`")).help("text or json").code(2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dockerfile::Span;

    #[test]
    fn base64_is_padded() {
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (text, expected) in pairs {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn annotations_escape_what_would_end_them() {
        let mut sources = Sources::default();
        let source = sources.add("a,b:c", "FROM x\nRUN é y\n");
        let found = Diagnostic::warning("R", Span::new(source.id, 7, 14), "100%\nsure");
        let expected = "::warning file=a%2Cb%3Ac,line=2,endLine=2,col=1,title=R::100%25%0Asure";
        assert_eq!(write(Format::Github, &[found], &sources, false), expected);
    }
}
