//! The replacement of `${name//pattern/replacement}`, in which `$` is read as Go's `regexp` does: `$$` is a dollar, `$0`
//! and `${0}` are what was matched, any other name is nothing, and a `$` without a name stands for itself.

/// A part of a replacement.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Text(&'a str),
    Matched,
}

/// A replacement, read once.
#[derive(Debug)]
pub(super) struct Replacement<'a>(Vec<Part<'a>>);

impl<'a> Replacement<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            parts.push(Part::Text(&rest[..at]));
            let behind = &rest[at + 1..];
            if let Some(other) = behind.strip_prefix('$') {
                parts.push(Part::Text("$"));
                rest = other;
            } else if let Some((name, other)) = name(behind) {
                parts.extend((name == "0").then_some(Part::Matched));
                rest = other;
            } else {
                parts.push(Part::Text("$"));
                rest = behind;
            }
        }
        parts.push(Part::Text(rest));
        parts.retain(|part| *part != Part::Text(""));
        Self(parts)
    }

    /// Returns the number of its parts.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends what stands in place of `matched`.
    pub(super) fn push(&self, matched: &str, value: &mut String) {
        for part in &self.0 {
            value.push_str(match part {
                Part::Text(text) => text,
                Part::Matched => matched,
            });
        }
    }
}

/// Splits a text that begins with `name` or `{name}`.
fn name(text: &str) -> Option<(&str, &str)> {
    let (inner, closing) = text.strip_prefix('{').map_or((text, ""), |inner| (inner, "}"));
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let end = inner.find(|character| !is_part(character)).unwrap_or(inner.len());
    let rest = inner[end..].strip_prefix(closing)?;
    (end > 0).then_some((&inner[..end], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(replacement: &str, expected: &str) {
        let mut value = String::new();
        Replacement::parse(replacement).push("<m>", &mut value);
        assert_eq!(value, expected, "{replacement}");
    }

    #[test]
    fn a_dollar_is_that_of_go() {
        check("a$$b", "a$b");
        check("$0-${0}", "<m>-<m>");
        check("$00 $0x $1 ${1} $é_ ${name}", "     ");
        check("$-$", "$-$");
        check("${0 ${} ${a-b} $", "${0 ${} ${a-b} $");
        check("$$0", "$0");
        check("", "");
    }
}
