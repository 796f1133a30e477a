//! Questions that are not ours, asked of resolvers that recurse.
//!
//! Equal questions that are under way are asked once. So even a resolver that sends our questions back to us causes one
//! question that waits for itself and times out, not a storm; resolvers known to be this server are left out altogether.

mod cache;
mod exchange;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::metrics::METRICS;
use cache::Cache;

/// How long a resolver may take before the next one is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions to resolvers in all before giving up.
const ATTEMPTS: usize = 4;

/// What makes two questions one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Lower case.
    name: Name,
    kind: RecordType,
    /// The client asked for DNSSEC records.
    dnssec: bool,
    /// The client validates by itself.
    unchecked: bool,
}

impl Question {
    /// The question of a client's message.
    pub fn of(message: &Message, query: &Query) -> Self {
        Self {
            name: query.name().to_lowercase(),
            kind: query.query_type(),
            dnssec: message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
            unchecked: message.metadata.checking_disabled,
        }
    }

    /// The same question about another name.
    pub fn about(&self, name: &Name) -> Self {
        Self { name: name.to_lowercase(), ..self.clone() }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Nobody to ask.
    #[error(
        "no resolver is configured to ask about names outside the cluster; give --forward, or nameservers in --resolv-conf"
    )]
    NoResolvers,
    /// Nobody answered.
    #[error("none of the resolvers {0:?} answered")]
    NoAnswer(Vec<SocketAddr>),
}

type Flight = Arc<OnceCell<Result<Arc<Message>, Error>>>;

/// Asks resolvers, and remembers what they said for a short while.
#[derive(Debug)]
pub struct Forwarder {
    resolvers: Vec<SocketAddr>,
    /// The resolver that answered last is asked first.
    preferred: AtomicUsize,
    cache: Mutex<Cache>,
    flights: Mutex<HashMap<Question, Flight>>,
}

impl Forwarder {
    /// A forwarder to `resolvers`, asked in this order.
    pub fn new(resolvers: Vec<SocketAddr>) -> Self {
        Self { resolvers, preferred: AtomicUsize::new(0), cache: Mutex::default(), flights: Mutex::default() }
    }

    /// An answer that is remembered.
    pub fn cached(&self, question: &Question) -> Option<Message> {
        let hit = self.cache.lock().get(question);
        let counter = if hit.is_some() { &METRICS.cache_hits } else { &METRICS.cache_misses };
        counter.inc();
        hit
    }

    /// Asks. `ourselves` are addresses of this server that must not be asked.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ask(&self, question: &Question, ourselves: &[IpAddr]) -> Result<Arc<Message>, Error> {
        let flight = Arc::clone(self.flights.lock().entry(question.clone()).or_default());
        let outcome = flight.get_or_init(|| self.ask_resolvers(question, ourselves)).await.clone();
        self.flights.lock().retain(|key, other| key != question || !Arc::ptr_eq(other, &flight));
        outcome
    }

    async fn ask_resolvers(&self, question: &Question, ourselves: &[IpAddr]) -> Result<Arc<Message>, Error> {
        let candidates: Vec<(usize, SocketAddr)> = self
            .resolvers
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, to)| !ourselves.contains(&to.ip()))
            .collect();
        if candidates.is_empty() {
            return Err(Error::NoResolvers);
        }
        let first = candidates
            .iter()
            .position(|(index, _)| *index == self.preferred.load(Ordering::Relaxed))
            .unwrap_or(0);
        for (index, to) in candidates.iter().cycle().skip(first).take(ATTEMPTS.max(candidates.len())) {
            match tokio::time::timeout(PATIENCE, exchange::ask(*to, question)).await {
                Ok(Ok(answer)) => {
                    self.preferred.store(*index, Ordering::Relaxed);
                    METRICS
                        .forwarded
                        .with_label_values(&[&to.to_string(), &answer.metadata.response_code.to_string()])
                        .inc();
                    let answer = Arc::new(answer);
                    self.cache.lock().put(question, &answer);
                    return Ok(answer);
                }
                Ok(Err(error)) => tracing::debug!(resolver = %to, %error, "a resolver does not answer"),
                Err(_) => tracing::debug!(resolver = %to, "a resolver takes too long"),
            }
            METRICS.forward_failures.with_label_values(&[&to.to_string()]).inc();
        }
        Err(Error::NoAnswer(candidates.into_iter().map(|(_, to)| to).collect()))
    }
}

/// The resolvers of a resolv.conf(5), without `ourselves`.
pub fn resolvers(resolv_conf: &str, ourselves: impl Fn(IpAddr) -> bool) -> Vec<SocketAddr> {
    let lines = resolv_conf.lines().filter_map(|line| line.trim_start().strip_prefix("nameserver"));
    lines
        .filter_map(|rest| rest.split_whitespace().next()?.split('%').next()?.parse().ok())
        .filter(|ip| !ourselves(*ip))
        .map(|ip| SocketAddr::new(ip, 53))
        .collect()
}

#[cfg(test)]
mod tests;
