//! The calls to etcd that the store makes, each with a deadline, a metric and an error in our terms.

mod connect;
mod failure;

use std::future::Future;
use std::time::{Duration, Instant};

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, GetOptions, KeyValue, KvClient, LeaseClient,
    MaintenanceClient, PutOptions, Txn, TxnOp, TxnOpResponse, WatchClient,
};
use tonic::Code;

use self::connect::{connect_options, open};
use self::failure::{Failure, code_of, never_sent, transient};
use crate::error::{Error, Result};
use crate::metrics;
use crate::options::Options;

/// The clients of one etcd cluster. The watch has a connection of its own: its traffic must not delay requests.
#[derive(Clone)]
pub(crate) struct Etcd {
    kv: KvClient,
    watch: WatchClient,
    lease: LeaseClient,
    maintenance: MaintenanceClient,
    timeout: Duration,
    options: ConnectOptions,
    endpoints: Vec<String>,
}

/// A range of keys at one revision.
pub(crate) struct Range {
    pub kvs: Vec<KeyValue>,
    pub revision: i64,
    pub more: bool,
    /// How many keys the whole range holds, those beyond the limit included.
    pub count: i64,
}

/// What a compare-and-swap found.
pub(crate) enum Swap {
    /// Written at this revision.
    Done(i64),
    /// Another version is stored.
    Differs(KeyValue),
    /// Nothing is stored.
    Absent,
}

/// Why a range could not be read.
pub(crate) enum RangeError {
    /// The revision is compacted.
    Compacted,
    /// Anything else.
    Other(Error),
}

/// What is being asked, for metrics: the operation and the resource.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub operation: &'static str,
    pub group: &'a str,
    pub resource: &'a str,
    /// Completes "etcd did not answer while …".
    pub attempted: &'static str,
}

impl Etcd {
    /// Sets the clients up; connections are made on first use.
    pub async fn new(options: &Options) -> Result<Self> {
        let connect = connect_options(options).await?;
        let client = open(&options.endpoints, &connect).await?;
        let watch = open(&options.endpoints, &connect).await?;
        Ok(Self {
            kv: client.kv_client().max_decoding_message_size(MESSAGE_BYTES_MAX),
            watch: watch.watch_client().max_decoding_message_size(MESSAGE_BYTES_MAX),
            lease: client.lease_client(),
            maintenance: client.maintenance_client(),
            timeout: options.request_timeout,
            options: connect,
            endpoints: options.endpoints.clone(),
        })
    }

    /// The client for the watch stream.
    pub fn watch_client(&self) -> WatchClient {
        self.watch.clone()
    }

    /// The present revision, linearizable: every write acknowledged before the call is at or below it.
    pub async fn revision(&self) -> Result<i64> {
        let call =
            Call { operation: "get", group: "", resource: "", attempted: "reading its current revision" };
        let response = self
            .retrying(call, || {
                let mut kv = self.kv.clone();
                async move { kv.get(NO_KEY, Some(GetOptions::new().with_count_only())).await }
            })
            .await
            .map_err(|failure| failure.into_error(call))?;
        Ok(response.header().map_or(0, |header| header.revision()))
    }

    /// A linearizable read, tried once: whether etcd answers now.
    pub async fn probe(&self) -> Result<i64> {
        let call = Call { operation: "get", group: "", resource: "", attempted: "checking its health" };
        let mut kv = self.kv.clone();
        let read = kv.get(NO_KEY, Some(GetOptions::new().with_count_only()));
        let read = async {
            tokio::time::timeout(PROBE_TIMEOUT, self.timed(call, read))
                .await
                .unwrap_or(Err(Failure::Deadline))
        };
        let response = read.await.map_err(|failure| failure.into_error(call))?;
        Ok(response.header().map_or(0, |header| header.revision()))
    }

    /// One page of a key range: `[from, end)` at a revision (zero: the newest, linearizable).
    pub async fn range(
        &self,
        call: Call<'_>,
        from: &[u8],
        end: &[u8],
        limit: i64,
        revision: i64,
    ) -> Result<Range, RangeError> {
        let outcome = self
            .retrying(call, || {
                let mut kv = self.kv.clone();
                let options = GetOptions::new().with_range(end).with_limit(limit).with_revision(revision);
                async move { kv.get(from, Some(options)).await }
            })
            .await;
        match outcome {
            Ok(mut response) => Ok(Range {
                revision: response.header().map_or(0, |header| header.revision()),
                more: response.more(),
                count: response.count(),
                kvs: response.take_kvs(),
            }),
            Err(Failure::Etcd(error)) if code_of(&error) == Some(Code::OutOfRange) => {
                Err(RangeError::Compacted)
            }
            Err(failure) => Err(RangeError::Other(failure.into_error(call))),
        }
    }

    /// Writes a value if the key's newest version is `expected` (zero: absent).
    pub async fn put(
        &self,
        call: Call<'_>,
        key: &str,
        value: &[u8],
        expected: i64,
        lease: i64,
    ) -> Result<Swap> {
        let put = TxnOp::put(key, value, (lease != 0).then(|| PutOptions::new().with_lease(lease)));
        self.swap(call, key, expected, put, value.len()).await
    }

    /// Deletes a key if its newest version is `expected`.
    pub async fn delete(&self, call: Call<'_>, key: &str, expected: i64) -> Result<Swap> {
        self.swap(call, key, expected, TxnOp::delete(key, None), 0).await
    }

    async fn swap(&self, call: Call<'_>, key: &str, expected: i64, then: TxnOp, size: usize) -> Result<Swap> {
        let txn = Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, expected)])
            .and_then([then])
            .or_else([TxnOp::get(key, None)]);
        match self.writing(call, txn).await {
            Ok(response) => {
                if response.succeeded() {
                    return Ok(Swap::Done(response.header().map_or(0, |header| header.revision())));
                }
                let found = response.op_responses().into_iter().find_map(|response| match response {
                    TxnOpResponse::Get(mut get) => get.take_kvs().pop(),
                    _ => None,
                });
                Ok(found.map_or(Swap::Absent, Swap::Differs))
            }
            Err(Failure::Etcd(error)) => Err(self.write_error(call, key, size, error).await),
            Err(failure) => Err(failure.into_error(call)),
        }
    }

    /// Writes a key unconditionally; returns the revision.
    pub async fn put_marker(&self, key: &str) -> Result<i64> {
        let call =
            Call { operation: "update", group: "", resource: "", attempted: "writing the progress marker" };
        let txn = Txn::new().and_then([TxnOp::put(key, "", None)]);
        let response = self.writing(call, txn).await.map_err(|failure| failure.into_error(call))?;
        Ok(response.header().map_or(0, |header| header.revision()))
    }

    /// One transaction of the compaction protocol: if the key's version is `version`, sets it to `value`. Returns
    /// whether that happened, the version and value there otherwise, and the revision of etcd.
    pub async fn swap_version(
        &self,
        key: &str,
        version: i64,
        value: &str,
    ) -> Result<(bool, i64, String, i64)> {
        let call =
            Call { operation: "update", group: "", resource: "", attempted: "agreeing on a compaction" };
        let txn = Txn::new()
            .when([Compare::version(key, CompareOp::Equal, version)])
            .and_then([TxnOp::put(key, value, None)])
            .or_else([TxnOp::get(key, None)]);
        let response = self.writing(call, txn).await.map_err(|failure| failure.into_error(call))?;
        let revision = response.header().map_or(0, |header| header.revision());
        let found = response.op_responses().into_iter().find_map(|response| match response {
            TxnOpResponse::Get(mut get) => get.take_kvs().pop(),
            _ => None,
        });
        let (version, value) = found.map_or((0, String::new()), |kv| {
            (kv.version(), String::from_utf8_lossy(kv.value()).into_owned())
        });
        Ok((response.succeeded(), version, value, revision))
    }

    /// Drops the history up to a revision. That someone else did so already is success.
    pub async fn compact(&self, revision: i64) -> Result<()> {
        let call =
            Call { operation: "compact", group: "", resource: "", attempted: "compacting its history" };
        let mut kv = self.kv.clone();
        match self.timed(call, kv.compact(revision, None)).await {
            Ok(_) => Ok(()),
            Err(Failure::Etcd(error)) if code_of(&error) == Some(Code::OutOfRange) => Ok(()),
            Err(failure) => Err(failure.into_error(call)),
        }
    }

    /// Grants a lease of so many seconds.
    pub async fn grant(&self, seconds: i64) -> Result<i64> {
        let call = Call { operation: "grant", group: "", resource: "", attempted: "granting a lease" };
        let mut lease = self.lease.clone();
        let response =
            self.timed(call, lease.grant(seconds, None)).await.map_err(|failure| failure.into_error(call))?;
        Ok(response.id())
    }

    /// The version of every member that answers, and whether all did.
    pub async fn versions(&self) -> (Vec<String>, bool) {
        let mut versions = Vec::with_capacity(self.endpoints.len());
        for endpoint in &self.endpoints {
            let asked = async {
                let client = Client::connect([endpoint], Some(self.options.clone())).await?;
                client.maintenance_client().status().await
            };
            if let Ok(Ok(status)) = tokio::time::timeout(PROBE_TIMEOUT, asked).await {
                versions.push(status.version().to_owned());
            }
        }
        let complete = versions.len() == self.endpoints.len();
        (versions, complete)
    }

    /// Bytes of the database of the member that answers.
    pub async fn size_bytes(&self) -> Result<i64> {
        let call = Call { operation: "status", group: "", resource: "", attempted: "asking for its status" };
        let mut maintenance = self.maintenance.clone();
        let status =
            self.timed(call, maintenance.status()).await.map_err(|failure| failure.into_error(call))?;
        Ok(status.db_size())
    }

    /// Repeats a request that changes nothing until it succeeds, fails for good, or the deadline passes.
    async fn retrying<T, F>(&self, call: Call<'_>, request: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut pause = RETRY_FIRST;
        loop {
            match self.timed(call, request()).await {
                Err(Failure::Etcd(error)) if transient(&error) && Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LAST);
                }
                outcome => return outcome,
            }
        }
    }

    /// Sends a write. It is repeated only when it certainly did not leave this host: no connection could be made.
    async fn writing(&self, call: Call<'_>, txn: Txn) -> Result<etcd_client::TxnResponse, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = RETRY_FIRST;
        loop {
            let mut kv = self.kv.clone();
            match self.timed(call, kv.txn(txn.clone())).await {
                Err(Failure::Etcd(error)) if never_sent(&error) && Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LAST);
                }
                outcome => return outcome,
            }
        }
    }

    async fn timed<T>(
        &self,
        call: Call<'_>,
        request: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let outcome = match tokio::time::timeout(self.timeout, request).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Failure::Etcd(error)),
            Err(_) => Err(Failure::Deadline),
        };
        metrics::etcd_request(call.operation, call.group, call.resource, started.elapsed(), outcome.is_ok());
        outcome
    }

    async fn write_error(&self, call: Call<'_>, key: &str, size: usize, error: etcd_client::Error) -> Error {
        match code_of(&error) {
            Some(Code::InvalidArgument) => Error::TooLarge { key: key.to_owned() },
            Some(Code::ResourceExhausted) if size > REQUEST_BYTES_DEFAULT => {
                Error::TooLarge { key: key.to_owned() }
            }
            Some(Code::ResourceExhausted) if self.alarmed().await => Error::NoSpace(Box::new(error)),
            _ => Failure::Etcd(error).into_error(call),
        }
    }

    /// Whether a member has raised an alarm; the one that refuses writes is `NOSPACE`.
    async fn alarmed(&self) -> bool {
        let mut maintenance = self.maintenance.clone();
        let (action, kind) = (etcd_client::AlarmAction::Get, etcd_client::AlarmType::Nospace);
        match tokio::time::timeout(PROBE_TIMEOUT, maintenance.alarm(action, kind, None)).await {
            Ok(Ok(response)) => !response.alarms().is_empty(),
            _ => false,
        }
    }
}

/// A key that is never written; reading it costs etcd nothing but the agreement on the revision.
const NO_KEY: &str = "\u{1}";
/// etcd's own limit of what it sends is the largest 32-bit length.
const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;
/// etcd's default of `--max-request-bytes`.
const REQUEST_BYTES_DEFAULT: usize = 1_572_864;
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LAST: Duration = Duration::from_secs(1);
