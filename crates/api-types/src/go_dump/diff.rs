//! Unified diffs as Python's and Go's `difflib` make them: the longest matching blocks, found recursively, lines that
//! occur too often in long texts ignored as anchors (<https://docs.python.org/3/library/difflib.html>).

use std::collections::HashMap;
use std::fmt::Write as _;

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// From this many lines on, lines that are more than 1 % of the text are no anchors.
const POPULAR_FROM: usize = 200;

/// Lines `a[start..start + size]` equal `b[other..other + size]`.
#[derive(Clone, Copy, PartialEq)]
struct Match {
    a: usize,
    b: usize,
    size: usize,
}

/// A changed or equal stretch: `a[a.0..a.1]` becomes `b[b.0..b.1]`.
#[derive(Clone, Copy)]
struct Step {
    equal: bool,
    a: (usize, usize),
    b: (usize, usize),
}

/// The difference, without file names; empty when there is none.
pub(super) fn unified(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut out = String::new();
    for group in groups(&steps(&a, &b)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        // Writing to a String cannot fail.
        let _infallible =
            writeln!(out, "@@ -{} +{} @@", range(first.a.0, last.a.1), range(first.b.0, last.b.1));
        for step in &group {
            let mut lines = |mark: char, lines: &[&str]| {
                for line in lines {
                    let _infallible = writeln!(out, "{mark}{line}");
                }
            };
            if step.equal {
                lines(' ', &a[step.a.0..step.a.1]);
            } else {
                lines('-', &a[step.a.0..step.a.1]);
                lines('+', &b[step.b.0..step.b.1]);
            }
        }
    }
    out
}

fn range(start: usize, end: usize) -> String {
    match end - start {
        1 => (start + 1).to_string(),
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    }
}

/// Stretches in groups with at most `CONTEXT` equal lines around and between them.
fn groups(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut steps = steps.to_vec();
    if let Some(first) = steps.first_mut().filter(|s| s.equal) {
        first.a.0 = first.a.0.max(first.a.1.saturating_sub(CONTEXT));
        first.b.0 = first.b.0.max(first.b.1.saturating_sub(CONTEXT));
    }
    if let Some(last) = steps.last_mut().filter(|s| s.equal) {
        last.a.1 = last.a.1.min(last.a.0 + CONTEXT);
        last.b.1 = last.b.1.min(last.b.0 + CONTEXT);
    }
    let (mut done, mut group) = (Vec::new(), Vec::new());
    for mut step in steps {
        if step.equal && step.a.1 - step.a.0 > 2 * CONTEXT {
            let head =
                Step { equal: true, a: (step.a.0, step.a.0 + CONTEXT), b: (step.b.0, step.b.0 + CONTEXT) };
            group.push(head);
            done.push(std::mem::take(&mut group));
            step.a.0 = step.a.1 - CONTEXT;
            step.b.0 = step.b.1 - CONTEXT;
        }
        group.push(step);
    }
    done.push(group);
    done.retain(|group| group.iter().any(|step| !step.equal));
    done
}

fn steps(a: &[&str], b: &[&str]) -> Vec<Step> {
    let mut found = Vec::new();
    let anchors = anchors(b);
    let mut open = vec![(0, a.len(), 0, b.len())];
    while let Some((a_from, a_to, b_from, b_to)) = open.pop() {
        let best = longest(a, b, &anchors, (a_from, a_to), (b_from, b_to));
        if best.size == 0 {
            continue;
        }
        found.push(best);
        open.push((a_from, best.a, b_from, best.b));
        open.push((best.a + best.size, a_to, best.b + best.size, b_to));
    }
    found.sort_by_key(|m| (m.a, m.b));
    found.push(Match { a: a.len(), b: b.len(), size: 0 });
    let (mut i, mut j, mut steps) = (0, 0, Vec::new());
    for block in found {
        if i < block.a || j < block.b {
            steps.push(Step { equal: false, a: (i, block.a), b: (j, block.b) });
        }
        (i, j) = (block.a + block.size, block.b + block.size);
        if block.size > 0 {
            let is_next = |s: &&mut Step| s.equal && s.a.1 == block.a && s.b.1 == block.b;
            match steps.last_mut().filter(is_next) {
                Some(last) => (last.a.1, last.b.1) = (i, j),
                None => steps.push(Step { equal: true, a: (block.a, i), b: (block.b, j) }),
            }
        }
    }
    steps
}

/// Where each line of `b` is, popular lines left out.
fn anchors<'t>(b: &[&'t str]) -> HashMap<&'t str, Vec<usize>> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, line) in b.iter().enumerate() {
        places.entry(line).or_default().push(i);
    }
    if b.len() >= POPULAR_FROM {
        let limit = b.len() / 100 + 1;
        places.retain(|_, at| at.len() <= limit);
    }
    places
}

/// The longest match in the ranges, the earliest of equals, grown by equal neighbours that are no anchors.
fn longest(
    a: &[&str],
    b: &[&str],
    anchors: &HashMap<&str, Vec<usize>>,
    (a_from, a_to): (usize, usize),
    (b_from, b_to): (usize, usize),
) -> Match {
    let mut best = Match { a: a_from, b: b_from, size: 0 };
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for (i, line) in a.iter().enumerate().take(a_to).skip(a_from) {
        let mut next = HashMap::new();
        for &j in anchors.get(line).map(Vec::as_slice).unwrap_or_default() {
            if j < b_from {
                continue;
            }
            if j >= b_to {
                break;
            }
            let size = 1 + j.checked_sub(1).and_then(|j| lengths.get(&j)).copied().unwrap_or(0);
            next.insert(j, size);
            if size > best.size {
                best = Match { a: i + 1 - size, b: j + 1 - size, size };
            }
        }
        lengths = next;
    }
    while best.a > a_from && best.b > b_from && a[best.a - 1] == b[best.b - 1] {
        best = Match { a: best.a - 1, b: best.b - 1, size: best.size + 1 };
    }
    while best.a + best.size < a_to
        && best.b + best.size < b_to
        && a[best.a + best.size] == b[best.b + best.size]
    {
        best.size += 1;
    }
    best
}
