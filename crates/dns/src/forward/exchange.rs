//! One question to one resolver: UDP, and TCP where the answer was cut short.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::Question;
use crate::message::UDP_LIMIT;

/// Asks; the caller limits the time.
pub(super) async fn ask(to: SocketAddr, question: &Question) -> io::Result<Message> {
    let query = query(question);
    let bytes = query.to_vec().map_err(io::Error::other)?;
    let answer = over_udp(to, &query, &bytes).await?;
    if answer.metadata.truncation {
        return over_tcp(to, &query, &bytes).await;
    }
    Ok(answer)
}

fn query(question: &Question) -> Message {
    let mut query = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.metadata.checking_disabled = question.unchecked;
    query.add_query(Query::query(question.name.clone(), question.kind));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_LIMIT);
    edns.set_dnssec_ok(question.dnssec);
    query.edns = Some(edns);
    query
}

/// A new socket per question: its random port makes answers hard to forge.
async fn over_udp(to: SocketAddr, query: &Message, bytes: &[u8]) -> io::Result<Message> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if let Ok(answer) = Message::from_vec(&buffer[..len])
            && answers(query, &answer)
        {
            return Ok(answer);
        }
    }
}

async fn over_tcp(to: SocketAddr, query: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(to).await?;
    let mut framed = (bytes.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    let answer = Message::from_vec(&buffer).map_err(io::Error::other)?;
    if answers(query, &answer) {
        Ok(answer)
    } else {
        Err(io::Error::other("the answer is to another question"))
    }
}

/// Same id and same question; names compare without regard to case.
fn answers(query: &Message, answer: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == query.metadata.id
        && answer.queries == query.queries
}
