//! The order of the stages, and what makes one impossible.

use crate::findings::Findings;
use crate::graph::{Edge, Graph, on_line};

use dockerfile::{Diagnostic, Sources};

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Returns the needed stages, each after what it needs, in the order of the file wherever that allows it. Cycles and
/// copies from stages below become errors.
pub(crate) fn order(graph: &Graph<'_>, sources: &Sources, findings: &mut Findings) -> Vec<usize> {
    let mut marks = vec![Mark::New; graph.nodes.len()];
    let mut order = Vec::new();
    for start in 0..graph.nodes.len() {
        if let Err(cycle) = visit(graph, start, &mut marks, &mut order) {
            findings.push(cycle_found(graph, &cycle));
            return Vec::new();
        }
    }
    order.iter().for_each(|index| check_copies(graph, *index, sources, findings));
    order
}

/// Walks down from `start` with a stack of its own: a file may have more stages than the thread's stack holds. An error
/// is the way around a cycle: each stage with the edge that leads on.
fn visit(
    graph: &Graph<'_>,
    start: usize,
    marks: &mut [Mark],
    order: &mut Vec<usize>,
) -> Result<(), Vec<(usize, Edge)>> {
    if marks[start] != Mark::New || graph.node(start).is_none() {
        return Ok(());
    }
    marks[start] = Mark::Open;
    let mut path = vec![(start, 0)];
    while let Some((index, next)) = path.last_mut() {
        let edge = graph.node(*index).and_then(|node| node.edges.get(*next).copied());
        *next += 1;
        match edge {
            None => {
                marks[*index] = Mark::Done;
                order.push(*index);
                path.pop();
            }
            Some(edge) => match marks[edge.to] {
                Mark::New => {
                    marks[edge.to] = Mark::Open;
                    path.push((edge.to, 0));
                }
                Mark::Open => return Err(around(graph, &path, edge.to)),
                Mark::Done => {}
            },
        }
    }
    Ok(())
}

/// Returns the part of `path` from `first` on; the number beside a stage is one past the edge taken.
fn around(graph: &Graph<'_>, path: &[(usize, usize)], first: usize) -> Vec<(usize, Edge)> {
    let from = path.iter().position(|(index, _)| *index == first).unwrap_or_default();
    let taken = |(index, next): &(usize, usize)| {
        let edge = graph.node(*index)?.edges.get(next.checked_sub(1)?)?;
        Some((*index, *edge))
    };
    path[from..].iter().filter_map(taken).collect()
}

/// The longest cycle that is spelled out.
const SHOWN: usize = 6;

fn cycle_found(graph: &Graph<'_>, cycle: &[(usize, Edge)]) -> Diagnostic {
    let span = cycle.last().map(|(_, edge)| edge.span).unwrap_or_default();
    let name = |index: usize| format!("`{}`", graph.names.display(index));
    let first = cycle.first().map_or(graph.target, |(index, _)| *index);
    let diagnostic =
        Diagnostic::error(span, format!("circular dependency detected on stage: {}", graph.names.display(first)));
    if cycle.len() < 2 || cycle.len() > SHOWN {
        return diagnostic;
    }
    let way: Vec<_> = cycle.iter().map(|(index, _)| name(*index)).chain([name(first)]).collect();
    diagnostic.help(format!("each needs the next: {}", way.join(", ")))
}

fn check_copies(graph: &Graph<'_>, index: usize, sources: &Sources, findings: &mut Findings) {
    let edges = graph.node(index).map(|node| node.edges.as_slice()).unwrap_or_default();
    for edge in edges.iter().filter(|edge| edge.copy && edge.to > index) {
        let (from, current) = (graph.names.display(edge.to), graph.names.display(index));
        let message =
            format!("cannot copy from stage \"{from}\", it needs to be defined before current stage \"{current}\"");
        let place = on_line(graph.names.place(edge.to), sources);
        let diagnostic = Diagnostic::error(edge.span, message).label(format!("defined later{place}"));
        findings.push(diagnostic.help(format!("move the stage `{from}` above the stage `{current}`")));
    }
}
