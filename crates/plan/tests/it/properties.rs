//! What holds for every plan.

use std::collections::BTreeSet;

use plan::{Op, Plan};
use proptest::prelude::*;

use crate::case::{self, build_platform, default_images, default_options, lower, lower_text};
use crate::print;

const LINES: [&str; 17] = [
    "RUN make",
    "RUN --mount=from=s0,target=/m make",
    "RUN --mount=type=tmpfs,from=s1,target=/m make",
    "COPY --from=s0 /a /b",
    "COPY --from=1 /a /b",
    "COPY --from=busybox /a /b",
    "COPY --from=s0 <<f /b\nf",
    "COPY a b",
    "WORKDIR w",
    "ENV A=$A-1",
    "ARG A=2",
    "USER u",
    "CMD c",
    "ENTRYPOINT e",
    "LABEL l=$A",
    "ONBUILD RUN make",
    "ONBUILD COPY --from=s0 /a /b",
];

const BASES: [&str; 6] = ["scratch", "debian:12", "busybox", "s0", "s1", "onbuild"];

prop_compose! {
    fn stage()(base in 0..BASES.len(), lines in proptest::collection::vec(0..LINES.len(), 0..5)) -> (usize, Vec<usize>) {
        (base, lines)
    }
}

fn text(stages: &[(usize, Vec<usize>)]) -> String {
    let mut text = String::new();
    for (index, (base, lines)) in stages.iter().enumerate() {
        text += &format!("FROM {} AS s{index}\n", BASES[*base]);
        lines.iter().for_each(|line| text += &format!("{}\n", LINES[*line]));
    }
    text
}

fn check(plan: &Plan) {
    let mut needed: BTreeSet<usize> = plan.targets.iter().filter_map(|t| t.root).map(|id| id.index()).collect();
    for (index, vertex) in plan.vertices.iter().enumerate().rev() {
        let inputs: Vec<_> = vertex.inputs.iter().filter_map(|input| input.vertex()).chain(vertex.parent).collect();
        assert!(inputs.iter().all(|input| input.index() < index), "an input of #{index} comes after it");
        assert!(needed.contains(&index), "#{index} is not needed");
        needed.extend(inputs.iter().map(|input| input.index()));
        assert_eq!(vertex.digest, plan::OpDigest::of(&vertex.op));
        assert!(!matches!(vertex.op, Op::Base(_)) || inputs.is_empty());
    }
    for target in &plan.targets {
        check_history(plan, target);
    }
}

/// Every layer above the base has its line, in order, and nothing else has.
fn check_history(plan: &Plan, target: &plan::Target) {
    let mut layers = Vec::new();
    let mut next = target.root;
    while let Some(id) = next {
        let vertex = &plan.vertices[id.index()];
        if !matches!(vertex.op, Op::Base(_)) {
            layers.push(id);
        }
        next = vertex.parent;
    }
    layers.reverse();
    let lines: Vec<_> = target.history.iter().filter_map(|line| line.layer).collect();
    assert_eq!(lines, layers);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_are_sound_and_the_same_each_time(stages in proptest::collection::vec(stage(), 1..5)) {
        let (text, images) = (text(&stages), default_images());
        let first = lower(&text, &default_options(), &images);
        let second = lower(&text, &default_options(), &images);
        prop_assert_eq!(print::outcome(&first), print::outcome(&second));
        prop_assert_eq!(format!("{:?}", first.plan), format!("{:?}", second.plan));
        first.plan.iter().for_each(check);
        prop_assert!(first.plan.is_some() || first.diagnostics.has_errors());
    }

    #[test]
    fn no_text_makes_it_fail_otherwise_than_with_an_error(text in "(FROM|COPY|RUN|ARG|ENV|ADD|EXPOSE|WORKDIR| |\n|--from=|--mount=|--chmod=|\\$|\\{|\\}|=|,|:|/|a|1|s0|<<E|\"){0,24}") {
        let text = format!("FROM scratch AS s0\n{text}\n");
        let outcome = lower(&text, &default_options(), &default_images());
        prop_assert!(outcome.plan.is_some() || outcome.diagnostics.has_errors());
    }
}

#[test]
fn many_stages_need_no_deep_stack_and_no_square_of_memory() {
    let mut text = "FROM scratch AS s0\nENV A=1\n".to_owned();
    for index in 1..10_000 {
        text += &format!("FROM s{} AS s{index}\nENV V{index}=1\n", index - 1);
    }
    let plan = lower_text(&text);
    assert_eq!(plan.targets[0].history.len(), 10_000);
    assert_eq!(plan.targets[0].platform, build_platform());
}

#[test]
fn a_trigger_is_one_source_however_often_it_is_read() {
    let outcome = lower("FROM onbuild\nFROM onbuild\nCOPY --from=0 a b\n", &default_options(), &default_images());
    let names: Vec<_> = (0..).map_while(|id| outcome.sources.get(dockerfile::SourceId(id))).map(|s| &*s.name).collect();
    assert_eq!(names, ["Dockerfile", "ONBUILD trigger 1 of onbuild:latest", "ONBUILD trigger 2 of onbuild:latest"]);
}

#[test]
fn what_grows_without_end_is_stopped() {
    let doubling = "ENV A=$A$A\n".repeat(60);
    let deep = "WORKDIR aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(3_000);
    let copied = format!("ENV B={}\n{}", "b".repeat(60_000), "RUN make\n".repeat(2_000));
    for (instructions, reason) in [
        (doubling, "a command can be given 131071 at most"),
        (deep, "longer than 4095 bytes"),
        (copied, "64 MiB in all"),
    ] {
        let text = format!("FROM scratch\nENV A=aaaaaaaaaaaaaaaa\n{instructions}");
        let outcome = lower(&text, &default_options(), &default_images());
        assert!(outcome.plan.is_none());
        let errors = outcome.diagnostics.items().iter().filter(|found| found.rule.is_none());
        let messages: Vec<_> = errors.map(|error| error.message.as_str()).collect();
        assert!(messages[0].ends_with(reason) && messages.len() < 100, "{} {}", messages.len(), messages[0]);
    }
}

#[test]
fn a_long_cycle_is_found() {
    let mut text = "FROM scratch AS s0\nCOPY --from=s9999 a b\n".to_owned();
    for index in 1..10_000 {
        text += &format!("FROM s{} AS s{index}\n", index - 1);
    }
    let outcome = case::lower(&text, &default_options(), &default_images());
    let messages: Vec<_> = outcome.diagnostics.items().iter().map(|d| d.message.as_str()).collect();
    assert_eq!(messages, ["circular dependency detected on stage: s0"]);
}
