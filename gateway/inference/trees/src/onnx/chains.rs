//! Chains of `BRANCH_EQ` that ask for one set of numbers.
//!
//! Versions 1 and 3 have no test for a set. OnnxMLTools writes a categorical split of LightGBM as a chain instead: each node
//! asks for one category and goes on to the next if it is another, and all of them lead to the same node if it is that one.
//! That node has several parents, so what comes out is no tree; taken together, the chain is one node that asks for a
//! member of a set, and means the same.

use crate::{Child, Comparison, Node, Test, Tree};

/// Puts each chain into its first node. What else has several parents is left as it is.
pub(super) fn fold(tree: &mut Tree) {
    let parents = parents(tree);
    let follows = |node: &Node| match node.no {
        Child::Node(next) if parents.get(next as usize) == Some(&1) => {
            let goes_on = tree.nodes.get(next as usize).is_some_and(|next| asks_on(node, next));
            goes_on.then_some(next as usize)
        }
        _ => None,
    };
    let mut follower = vec![false; tree.nodes.len()];
    for next in tree.nodes.iter().filter_map(follows) {
        if let Some(follower) = follower.get_mut(next) {
            *follower = true;
        }
    }
    let mut folded = vec![false; tree.nodes.len()];
    let mut heads = Vec::new();
    for (index, head) in tree.nodes.iter().enumerate().filter(|(index, _)| follower.get(*index) == Some(&false)) {
        let (mut last, mut members) = (head, equal(head).into_iter().collect::<Vec<_>>());
        // Ends: a follower has one parent, so no way leads back to it.
        while let Some((next, node)) = follows(last).and_then(|next| Some((next, tree.nodes.get(next)?))) {
            members.extend(equal(node));
            if let Some(folded) = folded.get_mut(next) {
                *folded = true;
            }
            last = node;
        }
        if members.len() > 1 {
            heads.push((index, members, last.no));
        }
    }
    for (index, members, no) in heads {
        if let Some(head) = tree.nodes.get_mut(index) {
            (head.test, head.no) = (Test::Member(members.into()), no);
        }
    }
    remove(tree, &folded);
}

/// What a node asks for, if that is one number.
fn equal(node: &Node) -> Option<f64> {
    match node.test {
        // NaN equals nothing, and ends sets elsewhere.
        Test::Compare { comparison: Comparison::Equal, threshold } if !threshold.is_nan() => Some(threshold),
        _ => None,
    }
}

/// Whether the second of two nodes asks for another number where the first did, with the same yes.
fn asks_on(node: &Node, next: &Node) -> bool {
    equal(node).is_some()
        && equal(next).is_some()
        && (node.feature, node.missing, node.yes) == (next.feature, next.missing, next.yes)
}

/// How many ways lead to each node.
fn parents(tree: &Tree) -> Vec<usize> {
    let mut parents = vec![0; tree.nodes.len()];
    let children = tree.nodes.iter().flat_map(|node| [node.yes, node.no]);
    for child in children.chain([tree.root]) {
        if let Child::Node(index) = child
            && let Some(count) = parents.get_mut(index as usize)
        {
            *count += 1;
        }
    }
    parents
}

/// Takes nodes out to which nothing leads any more.
fn remove(tree: &mut Tree, folded: &[bool]) {
    if !folded.contains(&true) {
        return;
    }
    let mut kept = 0;
    let places: Vec<u32> = folded
        .iter()
        .map(|folded| {
            let place = kept;
            kept += u32::from(!folded);
            place
        })
        .collect();
    let moved = |child: &mut Child| {
        if let Child::Node(index) = child
            && let Some(place) = places.get(*index as usize)
        {
            *index = *place;
        }
    };
    let mut is_folded = folded.iter().copied();
    tree.nodes.retain(|_| is_folded.next() == Some(false));
    moved(&mut tree.root);
    for node in &mut tree.nodes {
        moved(&mut node.yes);
        moved(&mut node.no);
    }
}
