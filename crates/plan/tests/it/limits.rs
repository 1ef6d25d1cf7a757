//! Small files that ask for more than can be made of them: one error each, where the limit is reached.

use dockerfile::Severity;

use crate::case::{default_images, default_options, lower};

#[track_caller]
fn check(instructions: &str, message: &str) {
    let outcome = lower(&format!("FROM scratch\n{instructions}"), &default_options(), &default_images());
    assert!(outcome.plan.is_none());
    let errors = outcome.diagnostics.items().iter().filter(|found| found.severity == Severity::Error);
    let errors: Vec<_> = errors.map(|error| (error.message.as_str(), error.span.is_empty())).collect();
    let [(text, false)] = errors[..] else { panic!("{} errors", errors.len()) };
    assert!(text.ends_with(message), "{text}");
}

fn long(length: usize) -> String {
    format!("ENV A={}\n", "a".repeat(length))
}

const TOO_LARGE: &str = "the values of this file take more than 64 MiB in all";
const TOO_LONG: &str = "the expansion takes too long";

#[test]
fn work_that_leaves_nothing_behind() {
    check(&(long(30_000) + &"USER x${A##*}\n".repeat(2_000)), TOO_LONG);
    check(&(long(30_000) + &"USER x${A//${A}b/}\n".repeat(100)), TOO_LONG);
    check(&(long(30_000) + &format!("USER x${{A//{}b/}}\n", "?".repeat(20_000))), TOO_LONG);
}

#[test]
fn values_that_are_copied_again_and_again() {
    check(&"EXPOSE 0-65535\n".repeat(20), TOO_LARGE);
    check(&(long(60_000) + &"RUN a\n".repeat(2_000)), TOO_LARGE);
    check(&(0..2_000).map(|number| format!("ARG A{number}=a\nRUN a\n")).collect::<String>(), TOO_LARGE);
}

#[test]
fn a_path_that_no_system_call_takes() {
    let deep = "WORKDIR abcdefg\n".repeat(511);
    check(&format!("{deep}WORKDIR abcdefg\n"), "the working directory is longer than 4095 bytes");
    let outcome = lower(&format!("FROM scratch\n{deep}WORKDIR abcdef\n"), &default_options(), &default_images());
    assert!(outcome.plan.is_some());
}

#[test]
fn a_variable_that_no_command_can_be_given() {
    let too_long = "the variable is 131072 bytes long: a command can be given 131071 at most";
    let variable = |keyword: &str, length: usize| {
        format!("ARG H={}\n{keyword} A=$H${{H}}{}\n", "a".repeat(60_000), "a".repeat(length - 120_000))
    };
    check(&variable("ENV", 131_070), too_long);
    check(&variable("ARG", 131_070), too_long);
    let text = format!("FROM scratch\n{}RUN a\n", variable("ENV", 131_069));
    assert!(lower(&text, &default_options(), &default_images()).plan.is_some());
}

#[test]
fn what_a_large_file_needs_is_within() {
    let text: String =
        (0..300).map(|number| format!("ENV NAME{number}=value\nRUN make $NAME{number}\nEXPOSE {number}\n")).collect();
    let outcome = lower(&format!("FROM scratch\n{text}"), &default_options(), &default_images());
    assert_eq!(outcome.plan.unwrap().vertices.len(), 300);
}

/// A thousand unknown names beside a thousand known ones.
#[test]
fn near_names_are_looked_for_among_so_many() {
    let text: String = (0..1_000).map(|number| format!("ENV VARIABLE{number}=a\nUSER $VARIABLES{number}\n")).collect();
    let outcome = lower(&format!("FROM scratch\n{text}"), &default_options(), &default_images());
    let near = outcome.diagnostics.items().iter().filter(|found| found.message.contains("did you mean")).count();
    assert!((200..400).contains(&near), "{near} of {}", outcome.diagnostics.items().len());
}
