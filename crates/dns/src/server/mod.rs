//! From bytes to bytes, over UDP and TCP.

mod tcp;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use component::CancellationToken;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use parking_lot::RwLock;

use crate::forward::{Forwarder, Question};
use crate::index::{Index, Kind};
use crate::message::{self, Request};
use crate::metrics::METRICS;
use crate::resolve::{Answer, Zone};

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// In a stream.
    Tcp,
}

/// Answers questions. Shared by all sockets.
#[derive(Debug)]
pub struct Handler {
    zone: Zone,
    index: RwLock<Index>,
    /// Whether the index is complete, so that it may be said what does not exist.
    complete: std::sync::atomic::AtomicBool,
    forwarder: Forwarder,
}

/// What [`Handler::begin`] can say at once.
#[derive(Debug)]
pub enum Step {
    /// These bytes, or nothing.
    Done(Option<Vec<u8>>),
    /// Others have to be asked; see [`Handler::finish`].
    Ask(Box<Pending>),
}

/// A question that others have to be asked about.
#[derive(Debug)]
pub struct Pending {
    query: Message,
    question: Question,
    /// Our part of the answer, when it is an alias that leads outside.
    ours: Option<Answer>,
    transport: Transport,
    started: Instant,
}

impl Handler {
    /// A handler with an empty index.
    pub fn new(zone: Zone, forwarder: Forwarder) -> Self {
        Self { zone, index: RwLock::default(), complete: false.into(), forwarder }
    }

    /// Changes the index.
    pub fn update(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.index.write());
    }

    /// The index holds the whole cluster from now on.
    pub fn set_complete(&self) {
        METRICS.services.set(self.index.read().len() as i64);
        self.complete.store(true, std::sync::atomic::Ordering::Release);
    }

    /// Whether it does.
    pub fn is_complete(&self) -> bool {
        self.complete.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Answers what can be answered without waiting.
    pub fn begin(&self, bytes: &[u8], from: SocketAddr, transport: Transport) -> Step {
        let started = Instant::now();
        let query = match message::parse(bytes) {
            Request::Question(query) => query,
            Request::Reply(reply) => {
                return Step::Done(message::encode(&reply, usize::from(message::UDP_LIMIT)));
            }
            Request::Nothing => return Step::Done(None),
        };
        let Some(asked) = message::question(&query) else { return Step::Done(None) };
        count(&self.zone, &query, asked.query_type(), from, transport);
        let resolved = self.zone.resolve(&self.index.read(), asked.name(), asked.query_type());
        let ours = self.zone.domain.zone_of(asked.name());
        if ours && !self.is_complete() && resolved.as_ref().is_some_and(|answer| answer.answers.is_empty()) {
            let reply = message::reply(&query, ResponseCode::ServFail);
            return Step::Done(self.encode(&query, &reply, transport, started));
        }
        let question = Question::of(&query, asked);
        match resolved {
            Some(Answer { outside: None, .. }) => {
                let mut reply = message::authoritative(
                    &query,
                    resolved.unwrap_or_else(|| Answer::empty(ResponseCode::ServFail)),
                );
                rotate(&mut reply.answers, query.metadata.id);
                Step::Done(self.encode(&query, &reply, transport, started))
            }
            Some(answer) => {
                let question =
                    answer.outside.as_ref().map_or_else(|| question.clone(), |name| question.about(name));
                Step::Ask(Box::new(Pending { query, question, ours: Some(answer), transport, started }))
            }
            None => match self.forwarder.cached(&question) {
                Some(answer) => {
                    let reply = relay(&query, &answer, None);
                    Step::Done(self.encode(&query, &reply, transport, started))
                }
                None => Step::Ask(Box::new(Pending { query, question, ours: None, transport, started })),
            },
        }
    }

    /// Asks others, and answers.
    pub async fn finish(&self, pending: Pending) -> Option<Vec<u8>> {
        let Pending { query, question, ours, transport, started } = pending;
        let answer = match self.forwarder.cached(&question).filter(|_| ours.is_some()) {
            Some(answer) => Ok(Arc::new(answer)),
            None => self.forwarder.ask(&question, &self.ourselves()).await,
        };
        let reply = match answer {
            Ok(answer) => relay(&query, &answer, ours),
            Err(error) => {
                tracing::warn!(?question, %error, "cannot answer");
                message::reply(&query, ResponseCode::ServFail)
            }
        };
        self.encode(&query, &reply, transport, started)
    }

    /// An answer for when too much is under way.
    pub fn overloaded(&self, pending: &Pending) -> Option<Vec<u8>> {
        let reply = message::reply(&pending.query, ResponseCode::ServFail);
        self.encode(&pending.query, &reply, pending.transport, pending.started)
    }

    /// Addresses of the Service in front of this server.
    fn ourselves(&self) -> Vec<IpAddr> {
        let Some((namespace, name)) = &self.zone.service else { return Vec::new() };
        match self.index.read().service(namespace, name).map(|service| &service.kind) {
            Some(Kind::Cluster(ips)) => ips.clone(),
            _ => Vec::new(),
        }
    }

    fn encode(
        &self,
        query: &Message,
        reply: &Message,
        transport: Transport,
        started: Instant,
    ) -> Option<Vec<u8>> {
        let zone = zone_label(&self.zone, query);
        METRICS.responses.with_label_values(&[&zone, rcode(reply.metadata.response_code).as_str()]).inc();
        METRICS.duration.observe(started.elapsed().as_secs_f64());
        let limit = match transport {
            Transport::Udp => message::udp_limit(query),
            Transport::Tcp => usize::from(u16::MAX),
        };
        message::encode(reply, limit)
    }
}

/// Listens on UDP and TCP at `address`; answers until shutdown. Gives the address bound, for port 0.
///
/// # Errors
/// When the address cannot be had.
pub async fn listen(
    handler: Arc<Handler>,
    address: SocketAddr,
    shutdown: CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let socket = tokio::net::UdpSocket::bind(address).await?;
    tokio::spawn(udp::serve(Arc::clone(&handler), Arc::new(socket), shutdown.clone()));
    tokio::spawn(tcp::serve(handler, listener, shutdown));
    Ok(address)
}

/// Passes a resolver's answer on, behind our own alias where there is one.
fn relay(query: &Message, answer: &Message, ours: Option<Answer>) -> Message {
    let mut reply = message::reply(query, answer.metadata.response_code);
    reply.metadata.authentic_data = answer.metadata.authentic_data && ours.is_none();
    reply.answers = ours.map(|ours| ours.answers).unwrap_or_default();
    reply.answers.extend(answer.answers.iter().cloned());
    reply.authorities.clone_from(&answer.authorities);
    reply.additionals.clone_from(&answer.additionals);
    reply
}

/// Spreads clients that take the first address over all of them; aliases stay in front.
fn rotate(answers: &mut [Record], id: u16) {
    let first =
        answers.iter().position(|record| record.record_type() != RecordType::CNAME).unwrap_or(answers.len());
    let addresses = &mut answers[first..];
    if addresses.len() > 1 {
        addresses.rotate_left(usize::from(id) % addresses.len());
    }
}

fn count(zone: &Zone, query: &Message, kind: RecordType, from: SocketAddr, transport: Transport) {
    let proto = if transport == Transport::Udp { "udp" } else { "tcp" };
    let family = if from.ip().to_canonical().is_ipv4() { "1" } else { "2" };
    // Other types come under one label, so that clients cannot make labels up.
    let kind = match kind {
        RecordType::A
        | RecordType::AAAA
        | RecordType::SRV
        | RecordType::PTR
        | RecordType::CNAME
        | RecordType::TXT => kind.to_string(),
        RecordType::MX | RecordType::NS | RecordType::SOA | RecordType::HTTPS | RecordType::ANY => {
            kind.to_string()
        }
        _ => "other".to_owned(),
    };
    METRICS.requests.with_label_values(&[zone_label(zone, query).as_str(), proto, family, &kind]).inc();
}

fn zone_label(zone: &Zone, query: &Message) -> String {
    let ours = message::question(query).is_some_and(|asked| zone.domain.zone_of(asked.name()));
    if ours { zone.domain.to_ascii() } else { ".".to_owned() }
}

/// The mnemonic of a response code (IANA's).
fn rcode(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".into(),
        ResponseCode::FormErr => "FORMERR".into(),
        ResponseCode::ServFail => "SERVFAIL".into(),
        ResponseCode::NXDomain => "NXDOMAIN".into(),
        ResponseCode::NotImp => "NOTIMP".into(),
        ResponseCode::Refused => "REFUSED".into(),
        other => u16::from(other).to_string(),
    }
}
