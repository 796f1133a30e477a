//! `fetch URL`: a GET from inside a container, for tutorials and tests. It resolves names by the container's
//! /etc/resolv.conf, search list included, which a static busybox cannot (its wget needs glibc's shared resolver modules).

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use hickory_resolver::TokioResolver;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

#[derive(Parser)]
#[command(name = "fetch", version, about = "Fetch a URL and print what it answers")]
struct Flags {
    /// http://HOST[:PORT]/PATH
    url: Uri,
    /// Seconds for everything together.
    #[arg(long, default_value_t = 3)]
    timeout: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let limit = Duration::from_secs(flags.timeout);
    let outcome = tokio::time::timeout(limit, fetch(&flags.url)).await;
    let failure = match outcome {
        Ok(Ok(true)) => return ExitCode::SUCCESS,
        Ok(Ok(false)) => return ExitCode::FAILURE,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", flags.timeout),
    };
    eprintln!("fetch {}: {failure}", flags.url);
    ExitCode::FAILURE
}

/// Prints the body; returns whether the status says success.
async fn fetch(url: &Uri) -> Result<bool, Box<dyn Error>> {
    let host = url.host().ok_or("the URL names no host")?;
    let port = url.port_u16().unwrap_or(80);
    let stream = connect(host, port).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, url.authority().map_or(host, |authority| authority.as_str()))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    print!("{}", String::from_utf8_lossy(&body));
    if !status.is_success() {
        eprintln!("fetch {url}: {status}");
    }
    Ok(status.is_success())
}

/// Tries every address that the name stands for.
async fn connect(host: &str, port: u16) -> Result<TcpStream, Box<dyn Error>> {
    let addresses: Vec<IpAddr> = match host.trim_matches(['[', ']']).parse() {
        Ok(address) => vec![address],
        Err(_) => TokioResolver::builder_tokio()?.build()?.lookup_ip(host).await?.iter().collect(),
    };
    let mut last: Box<dyn Error> = format!("{host} has no address").into();
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("{address}:{port}: {error}").into(),
        }
    }
    Err(last)
}
