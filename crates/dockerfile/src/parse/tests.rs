use crate::ast::*;
use crate::source::Sources;
use crate::{Diagnostics, parse};

#[test]
fn smoke() {
    let mut sources = Sources::default();
    let source = sources.add("Dockerfile", "# syntax=docker/dockerfile:1\nARG V=1\nfrom --platform=$P debian:$V as Base\n# doc\nRUN --mount=type=cache,target=/x <<EOF\necho\nEOF\nCOPY --from=base <<a <<-\"b\" src /d/\nA\na\n\tB\n\tb\nCMD [\"a\", \"\\u00e9\"]\nONBUILD RUN x \\\n  y\nHEALTHCHECK --interval=1m CMD x\nENV a=b c=\"d e\"\nENV k v w\nFRM x\n");
    let mut diagnostics = Diagnostics::default();
    let file = parse(&source, &mut diagnostics);
    for d in diagnostics.items() {
        println!("{}", d.render(&sources, false));
    }
    println!("{file:#?}");
    assert_eq!(file.stages.len(), 1);
    assert_eq!(file.stages[0].instructions.len(), 7);
    assert!(matches!(file.stages[0].instructions[0].kind, Kind::Run(Run { script: true, .. })));
    assert_eq!(diagnostics.items().len(), 1);
}
