//! Leaves out of a plan what no target reads: an instruction may name a stage and then take nothing from it.

use crate::{Input, Plan, VertexId};

/// Returns the plan with the needed vertices alone, in the same order.
pub(crate) fn prune(plan: Plan) -> Plan {
    let needed = needed(&plan);
    let mut next = 0;
    let renumbered: Vec<VertexId> = needed
        .iter()
        .map(|needed| {
            let id = VertexId(next);
            next += u32::from(*needed);
            id
        })
        .collect();
    renumber(plan, &needed, &renumbered)
}

/// Inputs are smaller than their users, so one pass from the end sees every user first.
fn needed(plan: &Plan) -> Vec<bool> {
    let mut needed = vec![false; plan.vertices.len()];
    for root in plan.targets.iter().filter_map(|target| target.root) {
        needed[root.index()] = true;
    }
    for (index, vertex) in plan.vertices.iter().enumerate().rev() {
        if needed[index] {
            let inputs = vertex.inputs.iter().filter_map(|input| input.vertex());
            vertex.parent.into_iter().chain(inputs).for_each(|id| needed[id.index()] = true);
        }
    }
    needed
}

fn renumber(mut plan: Plan, needed: &[bool], ids: &[VertexId]) -> Plan {
    let mut keep = needed.iter();
    plan.vertices.retain(|_| keep.next().is_some_and(|needed| *needed));
    for vertex in &mut plan.vertices {
        vertex.parent = vertex.parent.map(|id| ids[id.index()]);
        for input in &mut vertex.inputs {
            if let Input::Vertex(id) = input {
                *id = ids[id.index()];
            }
        }
    }
    for target in &mut plan.targets {
        target.root = target.root.map(|id| ids[id.index()]);
        target.history.iter_mut().for_each(|line| line.layer = line.layer.map(|id| ids[id.index()]));
    }
    plan
}
