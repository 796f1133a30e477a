//! How many seats a request takes, by what it is expected to cost.

use crate::filters::RequestInfo;
use crate::http::query::Query;
use crate::registry::Registry;

/// Objects that a list may go through per seat.
const OBJECTS_PER_SEAT: usize = 100;
/// No list takes more seats than this,
const MAX_SEATS: u32 = 100;
/// nor a larger part of its level's.
const MAX_PART: f64 = 0.15;

/// The seats of a request on a level with `nominal` seats: lists, and watches that begin with a list, by the number of
/// objects that they go through; all else one.
pub fn seats(registry: &Registry, info: &RequestInfo, query: &Query, nominal: u32) -> u32 {
    let lists = info.verb == "list" || (info.verb == "watch" && query.flag("sendInitialEvents"));
    // With a name the list is a look-up.
    if !lists || !info.is_resource || !info.name.is_empty() {
        return 1;
    }
    let endpoint = registry.endpoint(&info.group, &info.version, &info.resource);
    let count = endpoint.and_then(|endpoint| endpoint.store().ok().map(storage::ResourceStore::count));
    let selects = query.get("labelSelector").is_some() || query.get("fieldSelector").is_some();
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
    of_list(count.unwrap_or(0), limit, selects, nominal)
}

fn of_list(count: usize, limit: Option<usize>, selects: bool, nominal: u32) -> u32 {
    let objects = match limit {
        // A selector may have to go through everything to fill a page.
        Some(limit) if !selects => count.min(limit.saturating_mul(2)),
        _ => count,
    };
    let most = ((f64::from(nominal) * MAX_PART).ceil() as u32).clamp(1, MAX_SEATS);
    u32::try_from(objects.div_ceil(OBJECTS_PER_SEAT)).unwrap_or(u32::MAX).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::of_list;

    #[test]
    fn lists_are_as_wide_as_long() {
        let cases = [
            ((0, None, false, 100), 1),
            ((101, None, false, 100), 2),
            ((100_000, None, false, 100), 15),
            ((100_000, None, false, 10_000), 100),
            ((100_000, Some(500), false, 1_000), 10),
            ((100_000, Some(500), true, 1_000), 100),
        ];
        for ((count, limit, selects, nominal), expected) in cases {
            assert_eq!(
                of_list(count, limit, selects, nominal),
                expected,
                "{count} {limit:?} {selects} {nominal}"
            );
        }
    }
}
