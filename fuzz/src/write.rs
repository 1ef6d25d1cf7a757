//! The tree as a Dockerfile, and the tree without its places: reading what was written gives the tree.

use std::collections::HashSet;
use std::fmt::Write as _;

use dockerfile::ast::*;
use dockerfile::{Dockerfile, Span, Spanned, Word};

/// Returns a file that says the same. Nothing if only the way it was written says what it means: a `<<` within the
/// quotes or escapes of a flag.
pub fn write(file: &Dockerfile) -> Option<String> {
    let mut writer = Writer { text: String::new(), escape: file.directives.escape_character() };
    writer.directives(&file.directives);
    for instruction in &file.globals {
        writer.instruction(instruction)?;
    }
    for stage in &file.stages {
        writer.comments(&stage.comments);
        let start = writer.text.len();
        writer.text.push_str(&stage.keyword.value);
        writer.option("platform", stage.from.platform.as_ref().map(|word| word.text.as_str()));
        writer.rest(&stage.from.image.text);
        if let (Some(keyword), Some(name)) = (&stage.from.as_keyword, &stage.from.name) {
            let _ = write!(writer.text, " {} {}", keyword.value, name.value);
        }
        writer.end_line(start);
        for instruction in &stage.instructions {
            writer.instruction(instruction)?;
        }
    }
    Some(writer.text)
}

struct Writer {
    text: String,
    escape: char,
}

impl Writer {
    fn directives(&mut self, directives: &Directives) {
        let escape = directives.escape.as_ref().map(|escape| escape.value.to_string());
        let texts = [
            ("escape", escape.as_deref()),
            ("syntax", directives.syntax.as_ref().map(|text| text.value.as_str())),
            ("check", directives.check.as_ref().map(|text| text.value.as_str())),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                let _ = writeln!(self.text, "# {key}={value}");
            }
        }
        // Ends the directives, so that no comment is one.
        self.text.push('\n');
    }

    fn comments(&mut self, comments: &[Spanned<String>]) {
        self.text.push_str("#\n");
        for comment in comments {
            let _ = writeln!(self.text, "# {}", comment.value);
        }
    }

    /// Writes a flag in double quotes.
    fn option(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        let _ = write!(self.text, " --{name}=\"");
        for character in value.chars() {
            if character == '"' || character == self.escape {
                self.text.push(self.escape);
            }
            self.text.push(character);
        }
        self.text.push('"');
    }

    fn options(&mut self, name: &str, values: &[Spanned<String>]) {
        values.iter().for_each(|value| self.option(name, Some(&value.value)));
    }

    /// Writes what follows the flags.
    fn rest(&mut self, text: &str) {
        self.text.push_str(if text.starts_with("--") { " -- " } else { " " });
        self.text.push_str(text);
    }

    fn instruction(&mut self, instruction: &Instruction) -> Option<()> {
        self.comments(&instruction.comments);
        let start = self.text.len();
        let bodies = self.head(instruction)?;
        self.end_line(start);
        self.text.push_str(&bodies);
        Some(())
    }

    /// Ends the line that begins at `start`. If its last character is an escape, white space follows that is none to a continuation.
    fn end_line(&mut self, start: usize) {
        let last: Vec<char> = self.text[start..].chars().rev().take(2).collect();
        if last.first() == Some(&self.escape) && last.get(1) != Some(&self.escape) {
            self.text.push('\u{A0}');
        }
        self.text.push('\n');
    }

    /// Writes the line, and returns the bodies that belong below it.
    fn head(&mut self, instruction: &Instruction) -> Option<String> {
        self.text.push_str(&instruction.keyword.value);
        match &instruction.kind {
            Kind::Add(copy) | Kind::Copy(copy) => return self.copy(copy),
            Kind::Run(run) => return self.run(run),
            Kind::Onbuild(onbuild) => {
                self.text.push(' ');
                return self.head(&onbuild.instruction);
            }
            Kind::Arg(items) => self.arguments(items),
            Kind::Cmd(command) | Kind::Entrypoint(command) => self.command(command),
            Kind::Env(pairs) | Kind::Label(pairs) => self.pairs(pairs),
            Kind::Expose(words) => self.rest(&joined(words)),
            Kind::Volume(words) => self.list(words),
            Kind::Healthcheck(healthcheck) => self.healthcheck(healthcheck),
            Kind::Maintainer(text) => self.rest(&text.value),
            Kind::Shell(arguments) => self.rest(&json(arguments.iter().map(|one| one.value.as_str()))),
            Kind::Stopsignal(word) | Kind::User(word) | Kind::Workdir(word) => self.rest(&word.text),
        }
        Some(String::new())
    }

    fn arguments(&mut self, items: &[ArgItem]) {
        let items: Vec<String> = items
            .iter()
            .map(|item| match &item.default {
                Some(default) => format!("{}={}", item.name.text, default.text),
                None => item.name.text.clone(),
            })
            .collect();
        self.names(&items);
    }

    fn pairs(&mut self, pairs: &KeyValues) {
        // The escape at the end of a name takes the first space only for whoever looks for a `=`.
        let escaped = |(key, _): &(Word, Word)| key.text.ends_with(self.escape);
        let separator = match pairs.legacy {
            true if pairs.pairs.first().is_some_and(escaped) => "  ",
            true => " ",
            false => "=",
        };
        let pairs: Vec<String> =
            pairs.pairs.iter().map(|(key, value)| format!("{}{separator}{}", key.text, value.text)).collect();
        self.names(&pairs);
    }

    /// A quote that nothing closes may end in white space, which is kept by the escape behind it that means nothing.
    fn names(&mut self, names: &[String]) {
        let text = names.join(" ");
        self.rest(&text);
        if text.ends_with(separates) {
            self.text.push(self.escape);
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Exec(arguments) => self.rest(&json(arguments.iter().map(|one| one.value.as_str()))),
            Command::Shell(text) => self.rest(&text.value),
        }
    }

    fn list(&mut self, words: &[Word]) {
        let text = joined(words);
        let plain = |word: &Word| !word.text.is_empty() && !word.text.contains(separates);
        if words.iter().all(plain) && !text.starts_with('[') {
            self.rest(&text);
        } else {
            self.rest(&json(words.iter().map(|word| word.text.as_str())));
        }
    }

    fn healthcheck(&mut self, healthcheck: &Healthcheck) {
        let Healthcheck { interval, timeout, start_period, start_interval, retries, command } = healthcheck;
        let times = [("interval", interval), ("timeout", timeout), ("start-period", start_period)];
        for (name, nanoseconds) in times.into_iter().chain([("start-interval", start_interval)]) {
            self.option(name, Some(&format!("{nanoseconds}ns")));
        }
        self.option("retries", Some(&retries.to_string()));
        match command {
            None => self.text.push_str(" NONE"),
            Some(command) => {
                self.text.push_str(" CMD");
                match command {
                    Command::Exec(arguments) => {
                        let _ = write!(self.text, " {}", json(arguments.iter().map(|one| one.value.as_str())));
                    }
                    Command::Shell(text) => {
                        let _ = write!(self.text, " {}", text.value);
                    }
                }
            }
        }
    }

    fn run(&mut self, run: &Run) -> Option<String> {
        let RunFlags { mounts, network, security, devices } = &run.flags;
        let start = self.text.len();
        self.options("mount", mounts);
        self.option("network", network.as_ref().map(|text| text.value.as_str()));
        self.option("security", security.as_ref().map(|text| text.value.as_str()));
        self.options("device", devices);
        let flags = self.text.len() - start;
        if flags > 0 && is_told_by_quotes(&self.text[start..]) {
            return None;
        }
        self.command(&run.command);
        if flags > 0 && !is_settled(&self.text[start..]) {
            return None;
        }
        Some(run.heredocs.iter().map(body).collect())
    }

    fn copy(&mut self, copy: &Copy) -> Option<String> {
        let flags = &copy.flags;
        let start = self.text.len();
        self.option("from", flags.from.as_ref().map(|text| text.value.as_str()));
        for (name, word) in [("chown", &flags.chown), ("chmod", &flags.chmod), ("checksum", &flags.checksum)] {
            self.option(name, word.as_ref().map(|word| word.text.as_str()));
        }
        let booleans = [
            ("link", &flags.link),
            ("parents", &flags.parents),
            ("keep-git-dir", &flags.keep_git_dir),
            ("unpack", &flags.unpack),
        ];
        for (name, value) in booleans {
            self.option(name, value.as_ref().map(|value| if value.value { "true" } else { "false" }));
        }
        self.options("exclude", &flags.exclude);
        if self.text.len() > start && is_told_by_quotes(&self.text[start..]) {
            return None;
        }
        let mut bodies = String::new();
        let mut words = Vec::new();
        let mut names = HashSet::new();
        for source in &copy.sources {
            match source {
                CopySource::Path(word) => words.push(word.text.clone()),
                CopySource::Heredoc(heredoc) => {
                    // Two words that name one heredoc, or two heredocs: only how the line is written tells.
                    if !names.insert(&heredoc.name) {
                        return None;
                    }
                    words.push(announcement(heredoc));
                    bodies += &body(heredoc);
                }
            }
        }
        words.push(copy.destination.text.clone());
        let has_heredoc = !names.is_empty();
        if has_heredoc {
            self.rest(&words.join(" "));
        } else {
            self.rest(&json(words.iter().map(String::as_str)));
        }
        if has_heredoc && !is_settled(&self.text[start..]) {
            return None;
        }
        Some(bodies)
    }
}

/// True if flags have what makes the search for heredocs, which reads quotes and escapes, depend on how they are written.
fn is_told_by_quotes(flags: &str) -> bool {
    flags.replace("=\"", "=").replace("\" --", " --").trim_end_matches('"').contains(['\'', '"', '\\', '`', '<', '$'])
}

/// False if a line with a `<<` has quotes, escapes or substitutions that reach over its words, or a `<<` that takes the next word to it.
fn is_settled(line: &str) -> bool {
    !line.contains("<<") || !line.contains(['\'', '\\', '`', '$']) && !line.contains("<< ")
}

fn separates(character: char) -> bool {
    character.is_whitespace()
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn announcement(heredoc: &Heredoc) -> String {
    let number = heredoc.file_descriptor.map(|number| number.to_string()).unwrap_or_default();
    let special = |character: char| matches!(character, '"' | '\\' | '$');
    let name: String = heredoc
        .name
        .chars()
        .flat_map(|character| special(character).then_some('\\').into_iter().chain([character]))
        .collect();
    let escaped: String = heredoc.name.chars().flat_map(|character| ['\\', character]).collect();
    let plain = heredoc.name.chars().all(|character| character.is_alphanumeric());
    let dash = if heredoc.chomp { "-" } else { "" };
    match heredoc.expand {
        true if plain => format!("{number}<<{dash}{}", heredoc.name),
        true => format!("{number}<<{dash}{escaped}"),
        false => format!("{number}<<{dash}\"{name}\""),
    }
}

fn body(heredoc: &Heredoc) -> String {
    format!("{}{}\n", heredoc.raw, heredoc.name)
}

fn json<'a>(strings: impl Iterator<Item = &'a str>) -> String {
    let mut json = String::from("[");
    for (index, string) in strings.enumerate() {
        json.push_str(if index == 0 { "\"" } else { ", \"" });
        for character in string.chars() {
            match character {
                '"' | '\\' => json.extend(['\\', character]),
                other if other.is_control() || other.is_whitespace() && other != ' ' => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        let _ = write!(json, "\\u{unit:04x}");
                    }
                }
                other => json.push(other),
            }
        }
        json.push('"');
    }
    json + "]"
}

/// Takes away all places, and how things were written that mean the same.
pub fn erase(file: &mut Dockerfile) {
    let eraser = Eraser { escape: file.directives.escape_character() };
    let directives = &mut file.directives;
    directives.syntax.iter_mut().chain(&mut directives.check).for_each(|text| text.span = Span::default());
    // Written or not, it is the default.
    directives.escape.take_if(|escape| escape.value == '\\');
    directives.escape.iter_mut().for_each(|escape| escape.span = Span::default());
    file.globals.iter_mut().for_each(|instruction| eraser.instruction(instruction));
    for stage in &mut file.stages {
        stage.span = Span::default();
        eraser.texts(&mut stage.comments);
        eraser.texts([&mut stage.keyword]);
        eraser.words(stage.from.platform.iter_mut().chain([&mut stage.from.image]));
        eraser.texts(stage.from.name.iter_mut().chain(&mut stage.from.as_keyword));
        stage.instructions.iter_mut().for_each(|instruction| eraser.instruction(instruction));
    }
    file.empty_continuations.clear();
}

struct Eraser {
    escape: char,
}

impl Eraser {
    fn texts<'a>(&self, texts: impl IntoIterator<Item = &'a mut Spanned<String>>) {
        texts.into_iter().for_each(|text| text.span = Span::default());
    }

    fn words<'a>(&self, words: impl IntoIterator<Item = &'a mut Word>) {
        words.into_iter().for_each(|word| *word = Word::parse(word.text.as_str(), Span::default(), self.escape));
    }

    fn instruction(&self, instruction: &mut Instruction) {
        instruction.span = Span::default();
        instruction.text.clear();
        self.texts(&mut instruction.comments);
        self.texts([&mut instruction.keyword]);
        match &mut instruction.kind {
            Kind::Add(copy) | Kind::Copy(copy) => self.copy(copy),
            Kind::Arg(items) => items.iter_mut().for_each(|item| {
                item.span = Span::default();
                self.words(item.default.iter_mut().chain([&mut item.name]));
            }),
            Kind::Cmd(command) | Kind::Entrypoint(command) => self.command(command),
            Kind::Env(pairs) | Kind::Label(pairs) => {
                self.words(pairs.pairs.iter_mut().flat_map(|(key, value)| [key, value]));
            }
            Kind::Expose(words) | Kind::Volume(words) => self.words(words),
            Kind::Healthcheck(healthcheck) => healthcheck.command.iter_mut().for_each(|command| self.command(command)),
            Kind::Maintainer(text) => self.texts([text]),
            Kind::Onbuild(onbuild) => {
                onbuild.trigger.clear();
                self.instruction(&mut onbuild.instruction);
            }
            Kind::Run(run) => {
                let RunFlags { mounts, network, security, devices } = &mut run.flags;
                self.texts(mounts.iter_mut().chain(network).chain(security).chain(devices));
                self.command(&mut run.command);
                run.heredocs.iter_mut().for_each(|heredoc| self.heredoc(heredoc));
            }
            Kind::Shell(arguments) => self.texts(arguments),
            Kind::Stopsignal(word) | Kind::User(word) | Kind::Workdir(word) => self.words([word]),
        }
    }

    fn command(&self, command: &mut Command) {
        match command {
            Command::Exec(arguments) => self.texts(arguments),
            Command::Shell(text) => self.texts([text]),
        }
    }

    fn copy(&self, copy: &mut Copy) {
        let flags = &mut copy.flags;
        self.texts(flags.from.iter_mut().chain(&mut flags.exclude));
        self.words(flags.chown.iter_mut().chain(&mut flags.chmod).chain(&mut flags.checksum));
        for flag in [&mut flags.link, &mut flags.parents, &mut flags.keep_git_dir, &mut flags.unpack] {
            flag.iter_mut().for_each(|flag| flag.span = Span::default());
        }
        for source in &mut copy.sources {
            match source {
                CopySource::Path(word) => self.words([word]),
                CopySource::Heredoc(heredoc) => self.heredoc(heredoc),
            }
        }
        self.words([&mut copy.destination]);
    }

    fn heredoc(&self, heredoc: &mut Heredoc) {
        heredoc.span = Span::default();
        heredoc.body = Word::here_document(heredoc.body.text.as_str(), Span::default());
    }
}
