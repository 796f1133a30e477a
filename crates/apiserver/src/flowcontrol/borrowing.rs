//! Lending: levels that used fewer seats than they have leave them to those that wanted more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use component::CancellationToken;

use super::FlowControl;
use super::limits::{Claim, divide};

/// How often seats are divided anew.
const PERIOD: Duration = Duration::from_secs(10);
/// How much of the smoothed demand of the last period stays: after five minutes half of a peak is forgotten.
const MEMORY: f64 = 0.977;

/// Divides the seats from time to time, until the server stops.
pub async fn run(control: Arc<FlowControl>, stop: CancellationToken) {
    let mut smoothed = BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => lend(&control, &mut smoothed),
            () = stop.cancelled() => return,
        }
    }
}

fn lend(control: &FlowControl, smoothed: &mut BTreeMap<String, f64>) {
    let levels = control.levels();
    smoothed.retain(|name, _| levels.iter().any(|level| level.name == *name));
    let mut claims = Vec::new();
    let mut borrowers = Vec::new();
    for level in levels {
        let demand = level.take_demand();
        let envelope = demand.high.min(demand.average + demand.deviation);
        let smooth = smoothed.entry(level.name.clone()).or_default();
        *smooth = envelope.max(MEMORY * *smooth + (1.0 - MEMORY) * envelope);
        let bounds = level.bounds();
        let lower = f64::from(bounds.min).max(f64::from(bounds.nominal).min(demand.high));
        let target = lower.max(*smooth).min(f64::from(bounds.max)).max(1.0);
        level.gauges().demand([demand.average, demand.deviation, demand.high, *smooth, target]);
        // Exempt requests take what they need; their level has no limit to change.
        if !level.is_exempt() {
            claims.push(Claim { lower, upper: f64::from(bounds.max), target });
            borrowers.push(level);
        }
    }
    for (level, seats) in borrowers.iter().zip(divide(control.total, &claims)) {
        level.set_limit(seats);
    }
}

#[cfg(test)]
mod tests {
    use access::authz::Replica as _;

    use super::*;

    #[test]
    fn a_level_in_need_borrows_what_others_do_not_use() {
        let control = FlowControl::new(100);
        for name in ["busy", "idle"] {
            let json = format!(
                r#"{{"metadata": {{"name": "{name}"}}, "spec": {{"type": "Limited", "limited":
                    {{"nominalConcurrencyShares": 50, "lendablePercent": 50, "limitResponse": {{"type": "Reject"}}}}}}}}"#
            );
            control.upsert("prioritylevelconfigurations", "", name, json.as_bytes()).unwrap();
        }
        let limit = |name: &str| {
            control.levels().iter().find(|level| level.name == name).map(|level| level.snapshot().1)
        };
        let before = limit("busy");
        assert_eq!(before, limit("idle"));
        let flow = super::super::metrics::Flow::new("busy", "test");
        let busy = control.levels().into_iter().find(|level| level.name == "busy").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let admit = || runtime.block_on(busy.admit(&flow, 0, 1, Duration::ZERO)).ok();
        let tickets: Vec<_> = std::iter::from_fn(admit).collect();
        assert_eq!(tickets.len(), before.unwrap() as usize);
        lend(&control, &mut BTreeMap::new());
        assert!(limit("busy") > before && limit("idle") < before, "{:?} {:?}", limit("busy"), limit("idle"));
    }
}
