//! The tree as text, for snapshots and for eyes.
//!
//! Every part has its place behind it: `3:6-9` is line 3, columns 6 to 8; `3:6-4:2` goes on into line 4.

use std::fmt::Write as _;

use crate::ast::*;
use crate::source::{Source, Span, Spanned};
use crate::word::{Word, quote};

/// Returns the tree with all places, one part a line.
pub fn print(dockerfile: &Dockerfile, source: &Source) -> String {
    let mut printer = Printer { source, text: String::new(), depth: 0 };
    printer.directives(&dockerfile.directives);
    for instruction in &dockerfile.globals {
        printer.instruction(instruction);
    }
    for stage in &dockerfile.stages {
        printer.stage(stage);
    }
    for span in &dockerfile.empty_continuations {
        printer.line("empty continuation", *span);
    }
    printer.text
}

/// Returns one instruction with all places.
pub fn print_instruction(instruction: &Instruction, source: &Source) -> String {
    let mut printer = Printer { source, text: String::new(), depth: 0 };
    printer.instruction(instruction);
    printer.text
}

struct Printer<'a> {
    source: &'a Source,
    text: String,
    depth: usize,
}

impl Printer<'_> {
    fn line(&mut self, text: &str, span: Span) {
        let place = self.place(span);
        let _ = writeln!(self.text, "{}{text} @{place}", "  ".repeat(self.depth));
    }

    fn place(&self, span: Span) -> String {
        let (line, column) = self.source.line_column(span.start as usize);
        let (last, end) = self.source.line_column(span.end as usize);
        if line == last { format!("{line}:{column}-{end}") } else { format!("{line}:{column}-{last}:{end}") }
    }

    fn nested(&mut self, print: impl FnOnce(&mut Self)) {
        self.depth += 1;
        print(self);
        self.depth -= 1;
    }

    fn directives(&mut self, directives: &Directives) {
        self.option("# syntax", directives.syntax.as_ref());
        let escape = directives.escape.as_ref().map(|Spanned { value, span }| (value.to_string(), *span));
        self.option("# escape", escape.map(|(value, span)| Spanned { value, span }).as_ref());
        self.option("# check", directives.check.as_ref());
    }

    fn stage(&mut self, stage: &Stage) {
        self.comments(&stage.comments);
        self.line(&format!("stage {}", stage.keyword.value), stage.span);
        self.nested(|printer| {
            printer.word_option("platform", stage.from.platform.as_ref());
            printer.word("image", &stage.from.image);
            printer.option("as", stage.from.as_keyword.as_ref());
            printer.option("name", stage.from.name.as_ref());
            for instruction in &stage.instructions {
                printer.instruction(instruction);
            }
        });
    }

    fn instruction(&mut self, instruction: &Instruction) {
        self.comments(&instruction.comments);
        let title = format!("{} {}", instruction.keyword.value, quote(&instruction.text));
        self.line(&title, instruction.span);
        self.nested(|printer| printer.kind(&instruction.kind));
    }

    fn comments(&mut self, comments: &[Spanned<String>]) {
        for comment in comments {
            self.string("#", comment);
        }
    }

    fn kind(&mut self, kind: &Kind) {
        match kind {
            Kind::Add(copy) | Kind::Copy(copy) => self.copy(copy),
            Kind::Arg(items) => self.arguments(items),
            Kind::Cmd(command) | Kind::Entrypoint(command) => self.command(command),
            Kind::Env(pairs) | Kind::Label(pairs) => self.pairs(pairs),
            Kind::Expose(words) | Kind::Volume(words) => words.iter().for_each(|word| self.word("word", word)),
            Kind::Healthcheck(healthcheck) => self.healthcheck(healthcheck),
            Kind::Maintainer(text) => self.string("text", text),
            Kind::Onbuild(Onbuild { trigger, instruction }) => {
                let _ = writeln!(self.text, "{}trigger {}", "  ".repeat(self.depth), quote(trigger));
                self.instruction(instruction);
            }
            Kind::Run(run) => self.run(run),
            Kind::Shell(arguments) => self.strings("argument", arguments),
            Kind::Stopsignal(word) | Kind::User(word) | Kind::Workdir(word) => self.word("word", word),
        }
    }

    fn arguments(&mut self, items: &[ArgItem]) {
        for item in items {
            self.word("name", &item.name);
            self.word_option("default", item.default.as_ref());
        }
    }

    fn pairs(&mut self, pairs: &KeyValues) {
        let title = if pairs.legacy { "legacy key" } else { "key" };
        for (key, value) in &pairs.pairs {
            self.word(title, key);
            self.word("value", value);
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Exec(arguments) if arguments.is_empty() => {
                let _ = writeln!(self.text, "{}exec of nothing", "  ".repeat(self.depth));
            }
            Command::Exec(arguments) => self.strings("exec", arguments),
            Command::Shell(text) => self.string("shell", text),
        }
    }

    fn healthcheck(&mut self, healthcheck: &Healthcheck) {
        let Healthcheck { interval, timeout, start_period, start_interval, retries, command } = healthcheck;
        let _ = writeln!(
            self.text,
            "{}interval={interval} timeout={timeout} start-period={start_period} start-interval={start_interval} retries={retries}",
            "  ".repeat(self.depth)
        );
        match command {
            Some(command) => self.command(command),
            None => {
                let _ = writeln!(self.text, "{}none", "  ".repeat(self.depth));
            }
        }
    }

    fn run(&mut self, run: &Run) {
        let RunFlags { mounts, network, security, devices } = &run.flags;
        self.strings("--mount", mounts);
        self.option("--network", network.as_ref());
        self.option("--security", security.as_ref());
        self.strings("--device", devices);
        self.command(&run.command);
        if run.script {
            let _ = writeln!(self.text, "{}script", "  ".repeat(self.depth));
        }
        run.heredocs.iter().for_each(|heredoc| self.heredoc(heredoc));
    }

    fn copy(&mut self, copy: &Copy) {
        let flags = &copy.flags;
        self.option("--from", flags.from.as_ref());
        self.word_option("--chown", flags.chown.as_ref());
        self.word_option("--chmod", flags.chmod.as_ref());
        self.word_option("--checksum", flags.checksum.as_ref());
        self.boolean("--link", flags.link.as_ref());
        self.boolean("--parents", flags.parents.as_ref());
        self.boolean("--keep-git-dir", flags.keep_git_dir.as_ref());
        self.boolean("--unpack", flags.unpack.as_ref());
        self.strings("--exclude", &flags.exclude);
        for source in &copy.sources {
            match source {
                CopySource::Path(word) => self.word("source", word),
                CopySource::Heredoc(heredoc) => self.heredoc(heredoc),
            }
        }
        self.word("destination", &copy.destination);
    }

    fn heredoc(&mut self, heredoc: &Heredoc) {
        let Heredoc { name, file_descriptor, chomp, expand, raw, body, span } = heredoc;
        let mut title = format!("heredoc {}", quote(name));
        if let Some(number) = file_descriptor {
            let _ = write!(title, " descriptor={number}");
        }
        title.push_str(if *chomp { " chomp" } else { "" });
        title.push_str(if *expand { " expand" } else { "" });
        self.line(&title, *span);
        self.nested(|printer| {
            printer.word("body", body);
            if *chomp {
                let _ = writeln!(printer.text, "{}raw {}", "  ".repeat(printer.depth), quote(raw));
            }
        });
    }

    fn word(&mut self, title: &str, word: &Word) {
        self.line(&format!("{title} {}", quote(&word.text)), word.span);
    }

    fn word_option(&mut self, title: &str, word: Option<&Word>) {
        if let Some(word) = word {
            self.word(title, word);
        }
    }

    fn string(&mut self, title: &str, text: &Spanned<String>) {
        self.line(&format!("{title} {}", quote(&text.value)), text.span);
    }

    fn strings(&mut self, title: &str, texts: &[Spanned<String>]) {
        texts.iter().for_each(|text| self.string(title, text));
    }

    fn option(&mut self, title: &str, text: Option<&Spanned<String>>) {
        if let Some(text) = text {
            self.string(title, text);
        }
    }

    fn boolean(&mut self, title: &str, value: Option<&Spanned<bool>>) {
        if let Some(Spanned { value, span }) = value {
            self.line(&format!("{title} {value}"), *span);
        }
    }
}
