//! What a newcomer and CI run: `cargo xtask demo` and `cargo xtask test`, set-up included.

mod conformance;
mod demo;
mod fuzz;
mod peers;

mod setup;

mod test;

use std::process::ExitCode;

use xtask::shell;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["demo"] => demo::run(),
        ["test", rest @ ..] => test::run(rest),
        ["conformance", rest @ ..] => conformance::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["peers", rest @ ..] => peers::run(rest),
        ["growth", rest @ ..] => peers::growth(rest),
        ["crash", rest @ ..] => test::crash(rest),
        ["model", rest @ ..] => test::model(rest),
        _ => {
            shell::say(USAGE);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "usage: cargo xtask COMMAND

  demo            build kiln, build an image, run it, change a file, build again
  test [--long]   install what the tests need and run all of them; --long runs the long form of the randomized ones
  conformance [FILTER]
                  build the cases of testdata/build with kiln, docker and buildah, and compare
  crash [POINTS]  kill kiln, or fail its system calls, at POINTS of the places where it changes something [default: all]
  model [SEQUENCES [SEED]]
                  compare builds with and without the cache after random edits [default: 100,000 sequences of them]
  fuzz [TARGET] [--runs N]
                  hand random input to the parser, the word expander and the ignore matcher
  peers           time kiln beside buildah, podman and docker on the same Dockerfiles
  growth          time more and more files of a COPY, steps of a Dockerfile, layers of an image";
