//! The queues of a level and whose turn it is: decisions over a clock that is given, without waiting.
//!
//! Flows are dealt a small hand of the queues, so that a flood rarely shares all its queues with another flow (shuffle
//! sharding). Queues take turns by the work that they have been given, measured on a virtual clock (start-time fair
//! queueing): it runs as fast as each busy queue would be served if seats could be split evenly.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::config::LevelKind;
use super::demand::Demand;
use super::limits::Bounds;

/// Seconds that a request is taken to need before it has shown how long it needs.
const EXPECTED_SECS: f64 = 0.003;

/// Seats, queues and waiting requests of one level; `W` is what a waiting request leaves behind.
pub struct State<W> {
    pub kind: LevelKind,
    pub bounds: Bounds,
    /// Seats that the level may use now.
    pub limit: u32,
    pub demand: Demand,
    in_use: u32,
    waiting_seats: u32,
    queues: Vec<Queue<W>>,
    next_id: u64,
    virtual_now: f64,
    virtual_at: Instant,
}

struct Queue<W> {
    waiting: VecDeque<Waiting<W>>,
    waiting_seats: u32,
    executing_seats: u32,
    /// When the work of the next request begins, in virtual time.
    next_start: f64,
}

struct Waiting<W> {
    id: u64,
    seats: u32,
    waiter: W,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Queue { waiting: VecDeque::new(), waiting_seats: 0, executing_seats: 0, next_start: 0.0 }
    }
}

impl<W> Queue<W> {
    fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.executing_seats > 0
    }
}

impl<W> State<W> {
    pub fn new(now: Instant) -> Self {
        State {
            kind: LevelKind::Reject,
            bounds: Bounds::default(),
            limit: 0,
            demand: Demand::new(now, 0.0),
            in_use: 0,
            waiting_seats: 0,
            queues: Vec::new(),
            next_id: 0,
            virtual_now: 0.0,
            virtual_at: now,
        }
    }

    /// Makes room for a configuration's queues. More than it has now are kept: requests may wait in them.
    pub fn set_kind(&mut self, kind: LevelKind) {
        self.kind = kind;
        if let LevelKind::Queue { queues, .. } = kind
            && self.queues.len() < queues
        {
            self.queues.resize_with(queues, Queue::default);
        }
    }

    /// Whether a request could begin. One that wants more seats than there are may run alone.
    pub fn has_room(&self, seats: u32) -> bool {
        self.in_use == 0 || self.in_use.saturating_add(seats) <= self.limit
    }

    pub fn is_anyone_waiting(&self) -> bool {
        self.waiting_seats > 0
    }

    /// How many requests a queue holds, and the seats of those that wait and run.
    #[cfg(test)]
    pub fn queues(&self) -> impl Iterator<Item = (usize, u32, u32)> {
        self.queues.iter().map(|queue| (queue.waiting.len(), queue.waiting_seats, queue.executing_seats))
    }

    #[cfg(test)]
    pub fn seats_in_use(&self) -> u32 {
        self.in_use
    }

    pub fn queue_length(&self, queue: usize) -> usize {
        self.queues.get(queue).map_or(0, |queue| queue.waiting.len())
    }

    /// The queue of a flow's hand that has the least to do.
    pub fn shortest(&self, flow: u64, queues: usize, hand: usize) -> usize {
        let load = |queue: &usize| {
            let queue = &self.queues[*queue];
            queue.waiting_seats + queue.executing_seats
        };
        deal(flow, queues.min(self.queues.len()), hand).into_iter().min_by_key(load).unwrap_or(0)
    }

    /// A request begins; `queue` is none where the level has no queues.
    pub fn begin(&mut self, queue: Option<usize>, seats: u32, now: Instant) {
        self.advance(now);
        self.in_use += seats;
        if let Some(queue) = queue.and_then(|index| self.queues.get_mut(index)) {
            if !queue.is_busy() {
                queue.next_start = self.virtual_now;
            }
            queue.executing_seats += seats;
            queue.next_start += f64::from(seats) * EXPECTED_SECS;
        }
        self.note_demand(now);
    }

    /// A request has ended; its queue is charged what it took.
    pub fn end(&mut self, queue: Option<usize>, seats: u32, took: Duration, now: Instant) {
        self.advance(now);
        self.in_use = self.in_use.saturating_sub(seats);
        if let Some(queue) = queue.and_then(|index| self.queues.get_mut(index)) {
            queue.executing_seats = queue.executing_seats.saturating_sub(seats);
            queue.next_start += f64::from(seats) * (took.as_secs_f64() - EXPECTED_SECS);
        }
        self.note_demand(now);
    }

    /// A request goes to the end of a queue; returns its number.
    pub fn enqueue(&mut self, queue: usize, seats: u32, waiter: W, now: Instant) -> u64 {
        self.advance(now);
        let id = self.next_id;
        self.next_id += 1;
        let place = &mut self.queues[queue];
        if !place.is_busy() {
            place.next_start = self.virtual_now;
        }
        place.waiting.push_back(Waiting { id, seats, waiter });
        place.waiting_seats += seats;
        self.waiting_seats += seats;
        self.note_demand(now);
        id
    }

    /// A request gives up its place, if it still has one.
    pub fn leave(&mut self, queue: usize, id: u64, now: Instant) -> Option<W> {
        let place = self.queues.get_mut(queue)?;
        let at = place.waiting.iter().position(|waiting| waiting.id == id)?;
        let waiting = place.waiting.remove(at)?;
        place.waiting_seats -= waiting.seats;
        self.waiting_seats -= waiting.seats;
        self.note_demand(now);
        Some(waiting.waiter)
    }

    /// The next request that can begin, which it does: its queue, seats and what it left.
    pub fn next(&mut self, now: Instant) -> Option<(usize, u32, W)> {
        if self.waiting_seats == 0 {
            return None;
        }
        let finish = |queue: &Queue<W>| {
            let first = queue.waiting.front()?;
            Some(queue.next_start + f64::from(first.seats) * EXPECTED_SECS)
        };
        let turns = self.queues.iter().enumerate().filter_map(|(index, queue)| Some((index, finish(queue)?)));
        let (index, _) = turns.min_by(|a, b| a.1.total_cmp(&b.1))?;
        // A wide request is not passed by narrow ones for ever: when it is its turn, the others wait for it.
        let seats = self.queues[index].waiting.front()?.seats;
        if !self.has_room(seats) {
            return None;
        }
        let queue = &mut self.queues[index];
        let waiting = queue.waiting.pop_front()?;
        queue.waiting_seats -= seats;
        self.waiting_seats -= seats;
        self.begin(Some(index), seats, now);
        Some((index, seats, waiting.waiter))
    }

    fn advance(&mut self, now: Instant) {
        let secs = now.saturating_duration_since(self.virtual_at).as_secs_f64();
        self.virtual_at = now;
        // Nobody compares queues while nobody waits; the clock then only has to go on.
        if self.waiting_seats == 0 {
            self.virtual_now += secs * f64::from(self.in_use.min(self.limit));
            return;
        }
        let busy = self.queues.iter().filter(|queue| queue.is_busy()).count().max(1);
        let wanted = self.in_use.saturating_add(self.waiting_seats);
        self.virtual_now += secs * f64::from(wanted.min(self.limit)) / busy as f64;
    }

    fn note_demand(&mut self, now: Instant) {
        self.demand.set(f64::from(self.in_use.saturating_add(self.waiting_seats)), now);
    }
}

/// `hand` different ones of `queues` queues, the same for equal hashes.
fn deal(hash: u64, queues: usize, hand: usize) -> Vec<usize> {
    let mut rest = hash;
    let mut dealt: Vec<usize> = Vec::with_capacity(hand);
    for taken in 0..hand.min(queues) {
        let left = (queues - taken) as u64;
        let mut card = usize::try_from(rest % left).unwrap_or(0);
        rest /= left;
        // The card counts among those that are left: skip those that were dealt, in ascending order.
        let mut place = 0;
        while place < dealt.len() && dealt[place] <= card {
            card += 1;
            place += 1;
        }
        dealt.insert(place, card);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(queues: usize, limit: u32, now: Instant) -> State<&'static str> {
        let mut state = State::new(now);
        state.set_kind(LevelKind::Queue { queues, hand: 1, length: 100 });
        state.limit = limit;
        state
    }

    #[test]
    fn hands_are_different_cards() {
        for hash in [0, 1, 77, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            let mut hand = deal(hash, 64, 8);
            assert_eq!(hand, deal(hash, 64, 8));
            assert!(hand.iter().all(|card| *card < 64));
            hand.dedup();
            assert_eq!(hand.len(), 8, "{hash}");
        }
        assert_eq!(deal(5, 3, 3), [0, 1, 2]);
    }

    #[test]
    fn a_flood_does_not_delay_another_flow() {
        let now = Instant::now();
        let mut state = level(2, 1, now);
        state.begin(Some(0), 1, now);
        for _ in 0..50 {
            state.enqueue(0, 1, "flood", now);
        }
        state.enqueue(1, 1, "other", now);
        state.end(Some(0), 1, Duration::from_millis(10), now);
        assert_eq!(state.next(now).map(|next| next.2), Some("other"));
        assert!(state.next(now).is_none(), "one seat only");
        state.end(Some(1), 1, Duration::from_millis(1), now);
        assert_eq!(state.next(now).map(|next| next.2), Some("flood"));
    }

    #[test]
    fn a_wide_request_waits_until_it_is_alone() {
        let now = Instant::now();
        let mut state = level(1, 4, now);
        assert!(state.has_room(9), "nothing runs");
        state.begin(Some(0), 2, now);
        let id = state.enqueue(0, 9, "wide", now);
        assert!(state.next(now).is_none());
        state.end(Some(0), 2, Duration::ZERO, now);
        assert_eq!(state.next(now), Some((0, 9, "wide")));
        assert_eq!(state.leave(0, id, now), None, "it has begun");
        assert_eq!((state.seats_in_use(), state.is_anyone_waiting()), (9, false));
    }

    #[test]
    fn who_gives_up_leaves_no_trace() {
        let now = Instant::now();
        let mut state = level(1, 1, now);
        state.begin(Some(0), 1, now);
        let id = state.enqueue(0, 1, "gone", now);
        assert_eq!(state.leave(0, id, now), Some("gone"));
        state.end(Some(0), 1, Duration::ZERO, now);
        assert!(state.next(now).is_none());
        assert_eq!(state.queues().collect::<Vec<_>>(), [(0, 0, 0)]);
    }
}
