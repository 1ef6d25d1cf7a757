//! Measures reading and expanding: a usual file of 300 lines, and hostile ones of 64 KiB.
//! `cargo run --release -p dockerfile --example measure`

#![expect(clippy::print_stdout, reason = "it is a program for people")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dockerfile::ast::{CopySource, Kind};
use dockerfile::{Diagnostics, Dockerfile, Sources, Word};

fn usual() -> String {
    let mut text = String::from("# syntax=docker/dockerfile:1\nARG VERSION=12\n");
    for stage in 0..10 {
        text.push_str(&format!(
            "FROM --platform=$BUILDPLATFORM debian:${{VERSION}} AS stage{stage}\n# A comment.\nARG A{stage}=\"v$VERSION\"\n\
             ENV PATH=\"/opt/bin:$PATH\" HOME=/root LANG='C.UTF-8'\nWORKDIR /src/${{A{stage}:-none}}\n"
        ));
        for step in 0..5 {
            text.push_str(&format!(
                "COPY --chown=1000:1000 Cargo.toml src/*.rs ./dir{step}/\n\
                 RUN --mount=type=cache,target=/var/cache/apt apt-get update && \\\n    apt-get install -y \\\n        build-essential ca-certificates\n\
                 LABEL org.opencontainers.image.title=\"step {step}\"\n"
            ));
        }
    }
    text.push_str("EXPOSE 80 443/tcp\nUSER nobody\nCMD [\"/bin/app\", \"--serve\"]\n");
    text
}

fn words(file: &Dockerfile) -> Vec<&Word> {
    let mut words = Vec::new();
    for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
        match &instruction.kind {
            Kind::Env(pairs) | Kind::Label(pairs) => {
                words.extend(pairs.pairs.iter().flat_map(|(key, value)| [key, value]));
            }
            Kind::Copy(copy) | Kind::Add(copy) => {
                words.extend(copy.sources.iter().map(|source| match source {
                    CopySource::Path(word) => word,
                    CopySource::Heredoc(heredoc) => &heredoc.body,
                }));
                words.push(&copy.destination);
                words.extend(copy.flags.chown.as_ref());
            }
            Kind::Arg(items) => words.extend(items.iter().filter_map(|item| item.default.as_ref())),
            Kind::Expose(list) | Kind::Volume(list) => words.extend(list),
            Kind::User(word) | Kind::Workdir(word) | Kind::Stopsignal(word) => words.push(word),
            _ => {}
        }
    }
    words
}

/// Returns the median time of reading, and of expanding all words.
fn measure(text: &str, repeats: usize) -> (Duration, Duration) {
    let source = Sources::default().add("Dockerfile", text);
    let variables: BTreeMap<String, String> = [("VERSION", "12"), ("PATH", "/bin"), ("A", "x")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let (mut parsing, mut expanding) = (Vec::new(), Vec::new());
    for _ in 0..repeats {
        let start = Instant::now();
        let mut diagnostics = Diagnostics::default();
        let file = dockerfile::parse(&source, &mut diagnostics);
        parsing.push(start.elapsed());
        let start = Instant::now();
        for word in words(&file) {
            let _ = std::hint::black_box(word.expand(&variables));
        }
        expanding.push(start.elapsed());
    }
    parsing.sort();
    expanding.sort();
    (parsing[repeats / 2], expanding[repeats / 2])
}

fn main() {
    let text = usual();
    let (parse, expand) = measure(&text, 200);
    println!("usual file, {} lines, {} bytes: parse {parse:?}, expand {expand:?}", text.lines().count(), text.len());
    if std::env::args().any(|argument| argument == "usual") {
        return;
    }
    for line in [
        "FROM --platform=$BUILDPLATFORM debian:${VERSION} AS stage1\n",
        "# A comment.\n",
        "ARG A1=\"v$VERSION\"\n",
        "ENV PATH=\"/opt/bin:$PATH\" HOME=/root LANG='C.UTF-8'\n",
        "WORKDIR /src/${A:-none}\n",
        "COPY --chown=1000:1000 Cargo.toml src/*.rs ./dir1/\n",
        "RUN --mount=type=cache,target=/var/cache/apt apt-get update && \\\n    apt-get install -y \\\n        build-essential ca-certificates\n",
        "LABEL org.opencontainers.image.title=\"step 1\"\n",
        "USER nobody\n",
        "CMD [\"/bin/app\", \"--serve\"]\n",
    ] {
        let (parse, expand) = measure(&format!("FROM a\n{}", line.repeat(1000)), 20);
        println!("{:>9?} {:>9?} a line: {}", parse / 1000, expand / 1000, line.trim_end());
    }
    let hostile = [
        ("nested defaults", format!("FROM a\nENV A={}", "${A:-".repeat(12_000))),
        ("open quotes", format!("FROM a\nENV A={}", "\"'".repeat(30_000))),
        ("many heredocs", format!("FROM a\nRUN {}", "<<A ".repeat(16_000))),
        ("nested arrays", format!("FROM a\nCMD {}", "[".repeat(64_000))),
        ("many words", format!("FROM a\nCOPY {}", "a ".repeat(32_000))),
        ("many stages", "FROM a\n".repeat(9_000)),
        ("no instruction", "X\n".repeat(32_000)),
        ("many variables", format!("FROM a\nENV A={}", "${A}$B".repeat(10_000))),
        ("many names", format!("FROM a\nENV {}", "A=b ".repeat(16_000))),
        ("near names", "ENTRYPIONT a\n".repeat(5_000)),
    ];
    for (name, text) in hostile {
        let (parse, expand) = measure(&text, 5);
        println!("{name}, {} bytes: parse {parse:?}, expand {expand:?}", text.len());
    }
}
