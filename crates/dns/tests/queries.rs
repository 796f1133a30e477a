//! Real questions over real sockets: to this server, and from it to a resolver that the test plays.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use component::CancellationToken;
use dns::forward::Forwarder;
use dns::resolve::Zone;
use dns::server::{Handler, listen};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// The server under test and what it asks.
struct Setup {
    address: SocketAddr,
    handler: Arc<Handler>,
    asked: Arc<AtomicUsize>,
    _shutdown: tokio_util::sync::DropGuard,
}

#[allow(clippy::unwrap_used, reason = "a test helper")]
async fn setup() -> Setup {
    let shutdown = CancellationToken::new();
    let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let forwarder = Forwarder::new(vec![resolver.local_addr().unwrap()]);
    tokio::spawn(play_resolver(resolver, Arc::clone(&asked)));
    let zone = Zone { domain: Name::from_ascii("cluster.local.").unwrap(), ttl: 5, serial: 1, service: None };
    let handler = Arc::new(Handler::new(zone, forwarder));
    let address =
        listen(Arc::clone(&handler), "127.0.0.1:0".parse().unwrap(), shutdown.clone()).await.unwrap();
    Setup { address, handler, asked, _shutdown: shutdown.drop_guard() }
}

/// Answers A questions with 192.0.2.1 (to live 60 s), and `missing.` names with NXDOMAIN; takes its time about `slow.` ones.
#[allow(clippy::unwrap_used, reason = "a test helper")]
async fn play_resolver(socket: UdpSocket, asked: Arc<AtomicUsize>) {
    let mut buffer = [0; 2048];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        asked.fetch_add(1, Ordering::Relaxed);
        let query = Message::from_vec(&buffer[..len]).unwrap();
        let name = query.queries[0].name().clone();
        let first = name.iter().next().unwrap_or_default().to_vec();
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        answer.add_queries(query.queries.clone());
        match first.as_slice() {
            b"missing" => answer.metadata.response_code = ResponseCode::NXDomain,
            b"slow" => tokio::time::sleep(Duration::from_millis(200)).await,
            _ => {}
        }
        if first != b"missing" {
            answer.add_answer(Record::from_rdata(name, 60, RData::A(A([192, 0, 2, 1].into()))));
        }
        socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
    }
}

impl Setup {
    #[allow(clippy::unwrap_used, reason = "a test helper")]
    fn service(&self, name: &str, spec: Value) {
        let object = json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec});
        self.handler.update(|index| index.apply_service(&serde_json::from_value(object).unwrap()));
    }

    #[allow(clippy::unwrap_used, reason = "a test helper")]
    fn endpoints(&self, service: &str, count: usize) {
        let endpoints: Vec<Value> =
            (0..count).map(|i| json!({"addresses": [format!("10.244.{}.{}", i / 256, i % 256)]})).collect();
        let object = json!({"metadata": {"namespace": "shop", "name": service, "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "endpoints": endpoints, "ports": []});
        self.handler.update(|index| index.apply_slice(&serde_json::from_value(object).unwrap()));
    }

    async fn udp(&self, name: &str, kind: RecordType, payload: Option<u16>) -> Message {
        self.raw(&query(name, kind, payload)).await
    }

    #[allow(clippy::unwrap_used, reason = "a test helper")]
    async fn raw(&self, query: &Message) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&query.to_vec().unwrap(), self.address).await.unwrap();
        let mut buffer = [0; 4096];
        let received = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut buffer)).await.unwrap();
        Message::from_vec(&buffer[..received.unwrap()]).unwrap()
    }

    #[allow(clippy::unwrap_used, reason = "a test helper")]
    async fn tcp(&self, name: &str, kind: RecordType) -> Message {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let bytes = query(name, kind, None).to_vec().unwrap();
        stream.write_u16(bytes.len() as u16).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }
}

#[allow(clippy::unwrap_used, reason = "a test helper")]
fn query(name: &str, kind: RecordType, payload: Option<u16>) -> Message {
    let mut query = Message::new(4711, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query.edns = payload.map(|payload| {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        edns
    });
    query
}

#[tokio::test]
async fn our_names_are_answered_with_authority() {
    let setup = setup().await;
    setup.service("web", json!({"clusterIP": "10.96.0.20", "ports": []}));
    // Until the index is complete nothing can be said not to exist; what is there is there.
    let early = setup.udp("nope.shop.svc.cluster.local.", RecordType::A, None).await;
    assert_eq!(early.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(setup.udp("web.shop.svc.cluster.local.", RecordType::A, None).await.answers.len(), 1);
    setup.handler.set_complete();
    for answer in [
        setup.udp("web.shop.svc.cluster.local.", RecordType::A, Some(1232)).await,
        setup.tcp("web.shop.svc.cluster.local.", RecordType::A).await,
    ] {
        assert!(
            answer.metadata.authoritative
                && answer.metadata.recursion_available
                && answer.metadata.recursion_desired
        );
        assert_eq!((answer.metadata.id, answer.answers.len(), answer.answers[0].ttl), (4711, 1, 5));
    }
    assert!(setup.udp("web.shop.svc.cluster.local.", RecordType::A, Some(1232)).await.edns.is_some());
    let missing = setup.udp("nope.shop.svc.cluster.local.", RecordType::A, None).await;
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(missing.authorities[0].record_type(), RecordType::SOA);
    assert_eq!(setup.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn long_answers_are_cut_and_complete_over_tcp() {
    let setup = setup().await;
    setup.service("many", json!({"clusterIP": "None", "ports": []}));
    setup.endpoints("many", 200);
    setup.handler.set_complete();
    for (payload, most) in [(None, 512), (Some(900), 900), (Some(4096), 1232)] {
        let answer = setup.udp("many.shop.svc.cluster.local.", RecordType::A, payload).await;
        assert!(answer.metadata.truncation && !answer.answers.is_empty());
        assert!(answer.to_vec().unwrap().len() <= most);
        assert_eq!(answer.edns.is_some(), payload.is_some());
    }
    let whole = setup.tcp("many.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!((whole.answers.len(), whole.metadata.truncation), (200, false));
}

#[tokio::test]
async fn other_names_are_asked_of_others_once() {
    let setup = setup().await;
    setup.handler.set_complete();
    let answer = setup.udp("www.example.org.", RecordType::A, None).await;
    assert_eq!(
        (answer.answers.len(), answer.metadata.authoritative, answer.edns.is_some()),
        (1, false, false)
    );
    setup.tcp("WWW.example.org.", RecordType::A).await;
    assert_eq!(setup.asked.load(Ordering::Relaxed), 1, "the second answer is remembered");
    let slow = || setup.udp("slow.example.org.", RecordType::A, None);
    let (a, b, c) = tokio::join!(slow(), slow(), slow());
    assert!([a, b, c].iter().all(|answer| answer.answers.len() == 1));
    assert_eq!(setup.asked.load(Ordering::Relaxed), 2, "equal questions under way are one");
    let missing = setup.udp("missing.example.org.", RecordType::A, None).await;
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn external_names_come_with_addresses() {
    let setup = setup().await;
    setup.service("wiki", json!({"type": "ExternalName", "externalName": "wiki.example.org"}));
    setup.handler.set_complete();
    let answer = setup.udp("wiki.shop.svc.cluster.local.", RecordType::A, None).await;
    let data: Vec<&RData> = answer.answers.iter().map(|record| &record.data).collect();
    let alias = RData::CNAME(CNAME(Name::from_ascii("wiki.example.org.").unwrap()));
    assert_eq!(data, [&alias, &RData::A(A([192, 0, 2, 1].into()))]);
}

#[tokio::test]
async fn odd_messages_are_refused_or_ignored() {
    let setup = setup().await;
    let mut update = query("web.shop.svc.cluster.local.", RecordType::A, None);
    update.metadata.op_code = OpCode::Status;
    assert_eq!(setup.raw(&update).await.metadata.response_code, ResponseCode::NotImp);
    let mut two = query("a.example.org.", RecordType::A, None);
    two.add_query(Query::query(Name::from_ascii("b.example.org.").unwrap(), RecordType::A));
    assert_eq!(setup.raw(&two).await.metadata.response_code, ResponseCode::FormErr);
    let mut newer = query("a.example.org.", RecordType::A, Some(1232));
    newer.edns.as_mut().unwrap().set_version(1);
    // 16 is BADVERS here and BADSIG in signed messages.
    assert_eq!(u16::from(setup.raw(&newer).await.metadata.response_code), 16);
    // Garbage and answers get nothing back; the next question does.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"?", setup.address).await.unwrap();
    let response = Message::response(1, OpCode::Query).to_vec().unwrap();
    socket.send_to(&response, setup.address).await.unwrap();
    assert_eq!(setup.udp("a.example.org.", RecordType::A, None).await.answers.len(), 1);
}

#[tokio::test]
async fn nobody_to_ask_is_a_failure_not_a_hang() {
    let zone = Zone { domain: Name::from_ascii("cluster.local.").unwrap(), ttl: 5, serial: 1, service: None };
    let handler = Arc::new(Handler::new(zone, Forwarder::new(Vec::new())));
    let shutdown = CancellationToken::new();
    let address =
        listen(Arc::clone(&handler), "127.0.0.1:0".parse().unwrap(), shutdown.clone()).await.unwrap();
    let setup = Setup { address, handler, asked: Arc::default(), _shutdown: shutdown.drop_guard() };
    let answer = setup.udp("www.example.org.", RecordType::A, None).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}
