//! A Dockerfile that is edited, and its ignore file.

use std::fmt;

use super::Means;
use super::random::Random;

const SOURCES: [&str; 11] = [".", "a*", "b*", "*.txt", "d*", "d/*", "[e]", "f*", "*/c.txt", "d/e*", "a* b*"];
const DESTINATIONS: [&str; 7] = ["/app/", "/app/sub/", "/data/", "/srv/x/", "in/", "/", "/app/d/"];
const IGNORED: [&str; 7] = ["", "a\n", "d\n!d/b\n", "**/c.txt\n", "*\n!d\n!a\n", "e\n", "f/g\n# a\n"];

#[derive(Clone)]
pub(super) struct Text {
    stages: Vec<Vec<String>>,
    ignore: usize,
    /// Comments between the lines, which mean nothing.
    comments: usize,
}

impl Text {
    pub(super) fn random(random: &mut Random) -> Self {
        let mut stages = Vec::new();
        for stage in 0..1 + random.below(3) {
            let lines = 1 + random.below(4);
            stages.push((0..lines).map(|_| line(stage, random)).collect());
        }
        Self { stages, ignore: random.below(IGNORED.len()), comments: 0 }
    }

    pub(super) fn ignore(&self) -> String {
        IGNORED[self.ignore].to_owned()
    }

    pub(super) fn edit(&mut self, random: &mut Random) -> (String, Means) {
        let stage = random.below(self.stages.len());
        let lines = &mut self.stages[stage];
        let at = random.below(lines.len());
        match random.below(7) {
            0 => {
                self.comments += 1;
                ("a comment".to_owned(), Means::Nothing)
            }
            1 => {
                lines[at] = flip_case(&lines[at]);
                ("another case".to_owned(), Means::Nothing)
            }
            2 => {
                self.ignore = random.below(IGNORED.len());
                ("what is ignored".to_owned(), Means::Something)
            }
            3 if lines.len() > 1 => {
                let gone = lines.remove(at);
                (format!("without {gone}"), Means::Something)
            }
            4 if at > 0 => {
                lines.swap(at, at - 1);
                ("two lines swapped".to_owned(), Means::Something)
            }
            5 => {
                lines[at] = line(stage, random);
                (format!("instead {}", lines[at]), Means::Something)
            }
            _ => {
                lines.insert(at, line(stage, random));
                (format!("more {}", lines[at]), Means::Something)
            }
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, lines) in self.stages.iter().enumerate() {
            // Each stage is built: the next one stands on it or takes of it.
            let from = if number % 2 == 1 { format!("s{}", number - 1) } else { "base".to_owned() };
            writeln!(f, "FROM {from} AS s{number}")?;
            for line in lines {
                for comment in 0..self.comments {
                    writeln!(f, "# {comment}")?;
                }
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }
}

fn flip_case(line: &str) -> String {
    let (word, rest) = line.split_once(' ').unwrap();
    let lower = word.to_lowercase();
    format!("{} {rest}", if lower == word { word.to_uppercase() } else { lower })
}

/// An instruction of the stage with that number.
fn line(stage: usize, random: &mut Random) -> String {
    match random.below(10) {
        0..3 => {
            format!("COPY {}{}{} {}", flags(random), link(random), random.pick(&SOURCES), random.pick(&DESTINATIONS))
        }
        3 if stage > 0 => {
            let from = random.below(stage);
            let source = random.pick(&["/ap[p]", "/data/*", "/ou[t]", "/etc/passwd", "/app*/d*"]);
            format!("COPY --from=s{from} {}{source} {}", flags(random), random.pick(&DESTINATIONS))
        }
        4 if stage > 0 => {
            let from = random.below(stage);
            format!(
                "RUN --mount=type=bind,from=s{from},target=/m mkdir -p /out && {}",
                listing("/m/app /m/out", random)
            )
        }
        5 => format!("ADD a.tar {}", random.pick(&DESTINATIONS)),
        6 => format!("WORKDIR {}", random.pick(&["/app/w", "w", "/srv/w", "/data"])),
        7 => random.pick(&["ENV X=1", "ENV X=2", "ARG Y=1", "ARG Y=2", "USER app", "USER root"]).to_owned(),
        _ => command(random),
    }
}

fn flags(random: &mut Random) -> &'static str {
    random.pick(&["", "", "", "--chown=app ", "--chown=5:6 ", "--chmod=640 ", "--chmod=a+x ", "--exclude=a "])
}

fn link(random: &mut Random) -> &'static str {
    random.pick(&["", "", "--link ", "--parents "])
}

/// What it writes depends on nothing but what it reads.
fn command(random: &mut Random) -> String {
    let change = random.pick(&[
        "RUN rm -rf /app/d",
        "RUN mkdir -p /app && chmod 711 /app",
        "RUN mkdir -p /app/d && echo $X > /app/d/x",
        "RUN true",
        "RUN echo \"$X $Y\" > /tmp/out",
        "RUN mkdir -p /app/e && ln -sfn /data /app/e/l",
        "RUN cd /app 2> /dev/null && for f in *; do mv \"$f\" \"z$f\"; done; true",
        "RUN cp -a /app /tmp/copy 2> /dev/null; true",
        "RUN [ ! -e /app/a ] || chown 9:9 /app/a",
        "RUN touch /tmp/t && ln -f /tmp/t /tmp/u",
    ]);
    match random.below(4) {
        0 => format!(
            "RUN mkdir -p /tmp/out.d && {}",
            listing("/app /data /srv/", random).replace("/out/", "/tmp/out.d/")
        ),
        1 => format!(
            "RUN --mount=type=bind,target=/m mkdir -p /tmp/o && {}",
            listing("/m", random).replace("/out/", "/tmp/o/")
        ),
        _ => change.to_owned(),
    }
}

/// Writes a listing of some directories to a file.
fn listing(of: &str, random: &mut Random) -> String {
    let to = random.below(2);
    if random.one_in(2) {
        return format!(
            "find {of} -type f 2> /dev/null | sort | busybox xargs -r stat -c '%n %a %u:%g %s' > /out/{to}; true"
        );
    }
    format!("find {of} -type f 2> /dev/null | sort | busybox xargs -r cat > /out/{to}; true")
}
