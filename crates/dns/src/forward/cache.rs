//! What resolvers said, for as long as they allow and never longer than half a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record};

use super::Question;

/// Most answers remembered; each takes about half a kilobyte.
const CAPACITY: usize = 2000;
/// Longest time, seconds.
const LONGEST: u32 = 30;

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Question, Entry>,
}

#[derive(Debug)]
struct Entry {
    answer: Arc<Message>,
    stored: Instant,
    ttl: u32,
}

impl Entry {
    /// Seconds since it was stored, while it is good.
    fn age(&self) -> Option<u32> {
        u32::try_from(self.stored.elapsed().as_secs()).ok().filter(|age| *age < self.ttl)
    }
}

impl Cache {
    /// The answer with times to live as they are now.
    pub(super) fn get(&self, question: &Question) -> Option<Message> {
        let entry = self.entries.get(question)?;
        let age = entry.age()?;
        let mut answer = (*entry.answer).clone();
        let sections = [&mut answer.answers, &mut answer.authorities, &mut answer.additionals];
        for record in sections.into_iter().flatten() {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(answer)
    }

    pub(super) fn put(&mut self, question: &Question, answer: &Arc<Message>) {
        let Some(ttl) = time_to_live(answer) else { return };
        if self.entries.len() >= CAPACITY {
            self.entries.retain(|_, entry| entry.age().is_some());
        }
        if self.entries.len() >= CAPACITY {
            // All are good: a tenth of them goes, whichever they are.
            let mut kept = 0;
            self.entries.retain(|_, _| {
                kept += 1;
                kept <= CAPACITY - CAPACITY / 10
            });
        }
        self.entries
            .insert(question.clone(), Entry { answer: Arc::clone(answer), stored: Instant::now(), ttl });
    }
}

/// Seconds that an answer may be kept; negative ones by their SOA record (RFC 2308).
fn time_to_live(answer: &Message) -> Option<u32> {
    if answer.metadata.truncation {
        return None;
    }
    let shortest = |records: &[Record]| records.iter().map(|record| record.ttl).min();
    let ttl = match answer.metadata.response_code {
        ResponseCode::NoError if !answer.answers.is_empty() => shortest(&answer.answers)?,
        ResponseCode::NoError | ResponseCode::NXDomain => {
            answer.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            })?
        }
        _ => return None,
    };
    Some(ttl.min(LONGEST)).filter(|ttl| *ttl > 0)
}
