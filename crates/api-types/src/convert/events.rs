//! Events of the core group and of `events.k8s.io` (KEP-383): one object, other names.

use super::{Object, rename};

/// Core name, `events.k8s.io` name.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

pub(super) fn to_events(event: &mut Object) {
    rename(event, &NAMES);
}

pub(super) fn to_core(event: &mut Object) {
    rename(event, &NAMES.map(|(core, events)| (events, core)));
}
