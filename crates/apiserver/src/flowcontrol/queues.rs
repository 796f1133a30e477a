//! A priority level at work: requests take seats, wait for them, and give them back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::config::{LevelKind, PriorityLevel};
use super::demand::Summary;
use super::fair::State;
use super::limits::Bounds;
use super::metrics::{Flow, LevelGauges};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The level has no queues, and no seats.
    ConcurrencyLimit,
    /// The queue is full.
    QueueFull,
    /// The request has waited for too long.
    TimeOut,
}

impl Rejection {
    /// The label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Rejection::ConcurrencyLimit => "concurrency-limit",
            Rejection::QueueFull => "queue-full",
            Rejection::TimeOut => "time-out",
        }
    }
}

/// A priority level.
pub struct Level {
    pub name: String,
    gauges: LevelGauges,
    state: Mutex<State<Waiter>>,
}

/// What a request leaves in its queue.
struct Waiter {
    flow: Flow,
    wake: oneshot::Sender<Ticket>,
}

/// Seats held by a request that runs; given back when it is dropped.
pub struct Ticket {
    level: Arc<Level>,
    flow: Flow,
    queue: Option<usize>,
    seats: u32,
    began: Instant,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.flow.finished(self.seats, took);
        self.level.release(self.queue, self.seats, took);
    }
}

/// A request's place in a queue; left when it is dropped.
struct Place<'a> {
    level: &'a Level,
    queue: usize,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // What comes back is dropped after the lock has been released.
        let left = self.level.state.lock().leave(self.queue, self.id, Instant::now());
        drop(left);
    }
}

/// What becomes of a request that arrives.
enum Entry {
    Runs(Ticket),
    Waits { queue: usize, id: u64, turn: oneshot::Receiver<Ticket> },
    Refused(Rejection),
}

impl Level {
    pub fn new(name: &str) -> Self {
        Level {
            name: name.to_owned(),
            gauges: LevelGauges::new(name),
            state: Mutex::new(State::new(Instant::now())),
        }
    }

    /// Takes over a configuration. Requests that wait stay where they are.
    pub fn configure(self: &Arc<Self>, config: &PriorityLevel, bounds: Bounds) {
        let mut state = self.state.lock();
        state.set_kind(config.kind);
        let changed = state.bounds != bounds;
        state.bounds = bounds;
        drop(state);
        if changed {
            self.gauges.bounds(bounds);
            self.set_limit(bounds.nominal);
        }
    }

    /// Seats by the level's shares.
    pub fn nominal(&self) -> u32 {
        self.state.lock().bounds.nominal
    }

    pub fn is_exempt(&self) -> bool {
        self.state.lock().kind == LevelKind::Exempt
    }

    pub fn bounds(&self) -> Bounds {
        self.state.lock().bounds
    }

    pub fn gauges(&self) -> &LevelGauges {
        &self.gauges
    }

    /// Changes how many seats the level may use, and lets in who can go now.
    pub fn set_limit(self: &Arc<Self>, limit: u32) {
        self.state.lock().limit = limit;
        self.gauges.limit(limit);
        self.dispatch();
    }

    /// What the level's requests wanted since this was last asked.
    pub fn take_demand(&self) -> Summary {
        self.state.lock().demand.take(Instant::now())
    }

    /// Seats in use, the limit, and how many queues have something to do.
    #[cfg(test)]
    pub fn snapshot(&self) -> (u32, u32, usize) {
        let state = self.state.lock();
        let busy = state.queues().filter(|(length, _, running)| *length > 0 || *running > 0);
        (state.seats_in_use(), state.limit, busy.count())
    }

    /// Waits for seats.
    ///
    /// # Errors
    /// The level has no place for the request, or not in time.
    pub async fn admit(
        self: &Arc<Self>,
        flow: &Flow,
        hash: u64,
        seats: u32,
        patience: Duration,
    ) -> Result<Ticket, Rejection> {
        flow.estimated(seats);
        let (queue, id, turn) = match self.enter(flow, hash, seats) {
            Entry::Runs(ticket) => {
                flow.waited(Duration::ZERO, true);
                return Ok(ticket);
            }
            Entry::Refused(why) => {
                flow.rejected(why);
                return Err(why);
            }
            Entry::Waits { queue, id, turn } => (queue, id, turn),
        };
        let began = Instant::now();
        let _waiting = flow.queued();
        let place = Place { level: self, queue, id };
        let outcome = tokio::time::timeout(patience, turn).await;
        drop(place);
        let ticket = outcome.ok().and_then(Result::ok);
        flow.waited(began.elapsed(), ticket.is_some());
        ticket.ok_or_else(|| {
            flow.rejected(Rejection::TimeOut);
            Rejection::TimeOut
        })
    }

    fn enter(self: &Arc<Self>, flow: &Flow, hash: u64, seats: u32) -> Entry {
        let now = Instant::now();
        let mut state = self.state.lock();
        let (queues, hand, length) = match state.kind {
            LevelKind::Queue { queues, hand, length } => (queues, hand, length),
            LevelKind::Reject if !state.has_room(seats) => {
                return Entry::Refused(Rejection::ConcurrencyLimit);
            }
            LevelKind::Reject | LevelKind::Exempt => {
                state.begin(None, seats, now);
                return Entry::Runs(self.ticket(flow.clone(), None, seats, now));
            }
        };
        let queue = state.shortest(hash, queues, hand);
        if !state.is_anyone_waiting() && state.has_room(seats) {
            state.begin(Some(queue), seats, now);
            return Entry::Runs(self.ticket(flow.clone(), Some(queue), seats, now));
        }
        if state.queue_length(queue) >= length {
            return Entry::Refused(Rejection::QueueFull);
        }
        let (wake, turn) = oneshot::channel();
        let id = state.enqueue(queue, seats, Waiter { flow: flow.clone(), wake }, now);
        drop(state);
        self.dispatch();
        Entry::Waits { queue, id, turn }
    }

    fn ticket(self: &Arc<Self>, flow: Flow, queue: Option<usize>, seats: u32, began: Instant) -> Ticket {
        flow.began(seats);
        Ticket { level: Arc::clone(self), flow, queue, seats, began }
    }

    fn release(self: &Arc<Self>, queue: Option<usize>, seats: u32, took: Duration) {
        self.state.lock().end(queue, seats, took, Instant::now());
        self.dispatch();
    }

    /// Lets in all whose turn it is. A request that has gone away gives its seats back as its ticket is dropped, which
    /// comes here again: never with the lock held.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let now = Instant::now();
            let next = {
                let mut state = self.state.lock();
                if !state.is_anyone_waiting() {
                    return;
                }
                state.next(now)
            };
            let Some((queue, seats, waiter)) = next else { return };
            let ticket = self.ticket(waiter.flow, Some(queue), seats, now);
            drop(waiter.wake.send(ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(kind: LevelKind, seats: u32) -> Arc<Level> {
        let level = Arc::new(Level::new("test"));
        let bounds = Bounds { nominal: seats, min: seats, max: seats };
        level.configure(&PriorityLevel { kind, ..PriorityLevel::default() }, bounds);
        level
    }

    const PATIENCE: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn requests_wait_their_turn_and_give_up() {
        let level = level(LevelKind::Queue { queues: 4, hand: 2, length: 1 }, 1);
        let flow = Flow::new("test", "test");
        let first = level.admit(&flow, 1, 1, PATIENCE).await.ok().unwrap();
        assert_eq!(level.admit(&flow, 1, 1, PATIENCE).await.err(), Some(Rejection::TimeOut));
        let waiting = tokio::spawn({
            let (level, flow) = (Arc::clone(&level), flow.clone());
            async move { level.admit(&flow, 1, 1, Duration::from_secs(60)).await.is_ok() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.unwrap());
        assert_eq!(level.snapshot(), (0, 1, 0));
    }

    #[tokio::test]
    async fn a_client_that_goes_away_while_it_waits_leaves_its_place() {
        let level = level(LevelKind::Queue { queues: 1, hand: 1, length: 9 }, 1);
        let flow = Flow::new("test", "test");
        let first = level.admit(&flow, 1, 1, PATIENCE).await.ok().unwrap();
        {
            let waiting = level.admit(&flow, 1, 1, PATIENCE);
            tokio::pin!(waiting);
            assert!(futures::poll!(&mut waiting).is_pending());
            // Its turn comes, and nobody takes the ticket.
            drop(first);
        }
        assert_eq!(level.snapshot().0, 0);
        assert!(level.admit(&flow, 1, 1, PATIENCE).await.is_ok());
    }

    #[tokio::test]
    async fn levels_without_queues_refuse() {
        let level = level(LevelKind::Reject, 1);
        let flow = Flow::new("test", "test");
        let ticket = level.admit(&flow, 1, 1, PATIENCE).await.ok().unwrap();
        assert_eq!(level.admit(&flow, 2, 1, PATIENCE).await.err(), Some(Rejection::ConcurrencyLimit));
        drop(ticket);
        assert!(level.admit(&flow, 2, 1, PATIENCE).await.is_ok());
    }
}
