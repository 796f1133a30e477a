//! Messages on the wire: what a query must look like, EDNS, and answers that fit.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::DNSClass;

use crate::resolve::Answer;

/// Largest UDP answer, whatever the client takes: what crosses every path unfragmented (DNS flag day 2020).
pub const UDP_LIMIT: u16 = 1232;
/// Largest UDP answer to a client without EDNS (RFC 1035).
const PLAIN_LIMIT: u16 = 512;

/// What arrived.
#[derive(Debug)]
pub enum Request {
    /// A question to answer.
    Question(Message),
    /// Something that gets this answer at once.
    Reply(Box<Message>),
    /// Something that gets none: an answer, or no DNS message at all.
    Nothing,
}

/// Reads what arrived.
pub fn parse(bytes: &[u8]) -> Request {
    let Ok(message) = Message::from_vec(bytes) else {
        // With a header there is an id to answer; the rest is garbage.
        let Some(&[a, b, flags, ..]) = bytes.first_chunk::<12>().map(|header| header.as_slice()) else {
            return Request::Nothing;
        };
        if flags & 0x80 != 0 {
            return Request::Nothing;
        }
        let id = u16::from_be_bytes([a, b]);
        return Request::Reply(Box::new(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr)));
    };
    if message.metadata.message_type == MessageType::Response {
        return Request::Nothing;
    }
    let refuse = |code| Request::Reply(Box::new(reply(&message, code)));
    if message.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return refuse(ResponseCode::BADVERS);
    }
    match (message.metadata.op_code, message.queries.as_slice()) {
        (OpCode::Query, [query]) if query.query_class() == DNSClass::IN => Request::Question(message),
        (OpCode::Query, [_]) => refuse(ResponseCode::Refused),
        (OpCode::Query, _) => refuse(ResponseCode::FormErr),
        _ => refuse(ResponseCode::NotImp),
    }
}

/// The question of a message that [`parse`] let through.
pub fn question(message: &Message) -> Option<&Query> {
    message.queries.first()
}

/// An answer to `query` without records.
pub fn reply(query: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.checking_disabled = query.metadata.checking_disabled;
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = code;
    reply.queries.clone_from(&query.queries);
    if let Some(edns) = &query.edns {
        let mut ours = Edns::new();
        ours.set_max_payload(UDP_LIMIT);
        ours.set_dnssec_ok(edns.flags().dnssec_ok);
        reply.edns = Some(ours);
    }
    reply
}

/// The authoritative answer to `query`.
pub fn authoritative(query: &Message, answer: Answer) -> Message {
    let mut reply = reply(query, answer.code);
    reply.metadata.authoritative = true;
    reply.answers = answer.answers;
    reply.authorities = answer.authorities;
    reply.additionals = answer.additionals;
    reply
}

/// Bytes that a UDP answer to `query` may have.
pub fn udp_limit(query: &Message) -> usize {
    let client = query.edns.as_ref().map_or(PLAIN_LIMIT, Edns::max_payload);
    usize::from(client.clamp(PLAIN_LIMIT, UDP_LIMIT))
}

/// The bytes of a message, at most `limit`: additional records go first, which nobody misses, then answers, with the flag that
/// makes the client ask again over TCP. `None` when it cannot be encoded at all.
pub fn encode(message: &Message, limit: usize) -> Option<Vec<u8>> {
    let mut bytes = message.to_vec().ok()?;
    if bytes.len() <= limit {
        return Some(bytes);
    }
    let mut shorter = message.clone();
    shorter.additionals.clear();
    bytes = shorter.to_vec().ok()?;
    while bytes.len() > limit {
        shorter.metadata.truncation = true;
        if shorter.answers.is_empty() && shorter.authorities.is_empty() {
            return None;
        }
        shorter.authorities.clear();
        let fitting = shorter.answers.len() * limit / bytes.len();
        shorter.answers.truncate(fitting.min(shorter.answers.len().saturating_sub(1)));
        bytes = shorter.to_vec().ok()?;
    }
    Some(bytes)
}
