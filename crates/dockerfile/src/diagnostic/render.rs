//! Drawing a finding with the text it points to.

use std::fmt::Write as _;
use std::ops::Range;

use super::text::{cell, clean, push, width};
use super::{Diagnostic, Severity};
use crate::source::{Source, Sources};

/// Widest piece of a line that is shown; of a longer one the part around the marker.
const MAX_WIDTH: usize = 120;

/// Columns shown before the marker where a line is cut.
const BEFORE: usize = 30;

/// Most lines of a span that are shown.
const MAX_LINES: usize = 6;

/// What is drawn in which color.
#[derive(Clone, Copy)]
enum Style {
    Severity(Severity),
    Title,
    Gutter,
}

struct Canvas {
    drawn: String,
    color: bool,
    /// Columns of the widest line number.
    gutter: usize,
    severity: Severity,
}

impl Diagnostic {
    /// Draws the finding with the text it points to, without a final newline.
    pub fn render(&self, sources: &Sources, color: bool) -> String {
        let mut canvas = Canvas { drawn: String::new(), color, gutter: 1, severity: self.severity };
        canvas.title(self);
        if let Some(source) = sources.get(self.span.source) {
            let marked = Marked::new(source, self.span.range());
            canvas.gutter = marked.last_line().to_string().len();
            canvas.place(source, &marked);
            canvas.lines(&marked, self.label.as_deref());
        }
        for help in &self.help {
            let mut lines = help.lines();
            canvas.help(lines.next().unwrap_or(""));
            lines.for_each(|line| canvas.help_goes_on(line));
        }
        canvas.drawn.truncate(canvas.drawn.trim_end().len());
        canvas.drawn
    }
}

/// The lines a span covers, and which columns of the first and of the last.
struct Marked<'a> {
    /// Number of the first line, counted from 1.
    first: usize,
    column: usize,
    lines: Vec<&'a str>,
    /// Bytes of the first line where the span starts, and of the last where it ends.
    start: usize,
    end: usize,
}

impl<'a> Marked<'a> {
    fn new(source: &'a Source, range: Range<usize>) -> Self {
        let text = &*source.text;
        let start = crate::source::floor_boundary(text, range.start);
        let mut end = crate::source::floor_boundary(text, range.end).max(start);
        // A line end at the end of the span would only show an empty line.
        end = start + text[start..end].trim_end_matches(['\r', '\n']).len();
        let (first, column) = source.line_column(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
        let lines: Vec<&str> = text[line_start..line_end].split('\n').map(|line| line.trim_end_matches('\r')).collect();
        let last_start = text[..end].rfind('\n').map_or(0, |at| at + 1).max(line_start);
        Self { first, column, lines, start: start - line_start, end: end - last_start }
    }

    fn last_line(&self) -> usize {
        self.first + self.lines.len() - 1
    }
}

impl Canvas {
    fn styled(&mut self, style: Style, text: &str) {
        if !self.color {
            self.drawn.push_str(text);
            return;
        }
        let code = match style {
            Style::Severity(Severity::Error) => "1;31",
            Style::Severity(Severity::Warning) => "1;33",
            Style::Title => "1",
            Style::Gutter => "1;34",
        };
        let _ = write!(self.drawn, "\u{1b}[{code}m{text}\u{1b}[0m");
    }

    /// `error: no such path`, `warning[Rule]: …`
    fn title(&mut self, diagnostic: &Diagnostic) {
        let word = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let word = diagnostic.rule.map_or(word.to_owned(), |rule| format!("{word}[{rule}]"));
        self.styled(Style::Severity(diagnostic.severity), &word);
        self.styled(Style::Title, &format!(": {}", clean(&diagnostic.message)));
        self.drawn.push('\n');
    }

    /// ` --> Dockerfile:7:6`
    fn place(&mut self, source: &Source, marked: &Marked<'_>) {
        self.drawn.push_str(&" ".repeat(self.gutter));
        self.styled(Style::Gutter, "-->");
        let _ = writeln!(self.drawn, " {}:{}:{}", clean(&source.name), marked.first, marked.column);
        self.margin("");
        self.drawn.push('\n');
    }

    /// The number of a line, or blanks, and the bar.
    fn margin(&mut self, number: &str) {
        let margin = format!("{number:>width$} |", width = self.gutter);
        self.styled(Style::Gutter, &margin);
    }

    fn lines(&mut self, marked: &Marked<'_>, label: Option<&str>) {
        if let [line] = marked.lines[..] {
            self.line(marked.first, line, marked.start..marked.end, label);
        } else {
            self.block(marked, label);
        }
    }

    /// One line with its marker below.
    fn line(&mut self, number: usize, line: &str, range: Range<usize>, label: Option<&str>) {
        let before = width(&line[..range.start]);
        let marked = width(&line[range.clone()]).max(1);
        let (shown, skipped) = window(line, before);
        self.margin(&number.to_string());
        let gap = if shown.is_empty() { "" } else { " " };
        let _ = writeln!(self.drawn, "{gap}{shown}");
        self.margin("");
        self.drawn.push_str(&" ".repeat(before - skipped + 1));
        let marked = marked.min(MAX_WIDTH.saturating_sub(before - skipped).max(1));
        self.marker(&"^".repeat(marked), label);
    }

    /// Several lines, joined by a bar at their left.
    fn block(&mut self, marked: &Marked<'_>, label: Option<&str>) {
        let last = marked.lines.len() - 1;
        for (index, line) in marked.lines.iter().enumerate() {
            let hidden = marked.lines.len() > MAX_LINES && (MAX_LINES - 2..last).contains(&index);
            if hidden {
                if index == MAX_LINES - 2 {
                    self.styled(Style::Gutter, "...");
                    self.drawn.push('\n');
                }
                continue;
            }
            self.margin(&(marked.first + index).to_string());
            self.drawn.push(' ');
            self.styled(Style::Severity(self.severity), if index == 0 { "/" } else { "|" });
            let (shown, _) = window(line, 0);
            let gap = if shown.is_empty() { "" } else { " " };
            let _ = writeln!(self.drawn, "{gap}{shown}");
        }
        let end = marked.lines[last].get(..marked.end).map_or(1, width).clamp(1, MAX_WIDTH);
        self.margin("");
        self.drawn.push(' ');
        self.marker(&format!("|{}^", "_".repeat(end)), label);
    }

    fn marker(&mut self, marker: &str, label: Option<&str>) {
        let label = label.map(|label| format!(" {}", clean(label))).unwrap_or_default();
        self.styled(Style::Severity(self.severity), &format!("{marker}{label}"));
        self.drawn.push('\n');
    }

    fn help(&mut self, text: &str) {
        self.drawn.push_str(&" ".repeat(self.gutter + 1));
        self.styled(Style::Gutter, "=");
        self.drawn.push(' ');
        self.styled(Style::Title, "help");
        let _ = writeln!(self.drawn, ": {}", clean(text));
    }

    fn help_goes_on(&mut self, text: &str) {
        let _ = writeln!(self.drawn, "{}{}", " ".repeat(self.gutter + 9), clean(text));
    }
}

/// Returns what is shown of a line, with at most [`MAX_WIDTH`] columns, so that column `from` is in it; and how many
/// columns are missing at the left.
fn window(line: &str, from: usize) -> (String, usize) {
    let total = width(line);
    if total <= MAX_WIDTH {
        return (clean(line).trim_end().to_owned(), 0);
    }
    let first = if from < MAX_WIDTH - BEFORE { 0 } else { from - BEFORE };
    let (mut shown, mut column, mut skipped) = (String::new(), 0, 0);
    for character in line.chars() {
        let (_, columns) = cell(character);
        if column < first {
            skipped = column + columns;
        } else if column + columns <= skipped + MAX_WIDTH {
            push(character, &mut shown);
        } else {
            break;
        }
        column += columns;
    }
    if skipped > 0 {
        // The mark takes a column of its own.
        shown.insert(0, '…');
        skipped -= 1;
    }
    if column < total {
        shown.push('…');
    }
    (shown, skipped)
}

#[cfg(test)]
mod tests;
