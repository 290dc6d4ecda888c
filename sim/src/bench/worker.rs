//! One client: its requests one after the other.

use super::keys::Draw;
use super::{PATIENCE, Shared, Work, since};
use crate::client::{Answers, Channel, ClientError, Requests, method};
use bytes::{Bytes, BytesMut};
use seedbed::pb::etcdserverpb::compare::TargetUnion;
use seedbed::pb::etcdserverpb::{
    Compare, CompareResult, CompareTarget, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest, request_op, response_op,
};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Before a client connects again.
const PAUSE: Duration = Duration::from_millis(100);
/// Seconds that a lease would live.
const TTL: i64 = 60;

type KeepAlives = (Requests<LeaseKeepAliveRequest>, Answers<LeaseKeepAliveResponse>);

/// See the module.
pub(super) struct Worker {
    shared: Rc<Shared>,
    channel: Channel,
    number: u64,
    draw: Draw,
    /// Requests made so far.
    made: u64,
    /// When the load began, to make keys that no other load made.
    run: u128,
    /// Revisions of the keys that this client updates, as it read them last.
    revisions: BTreeMap<u64, i64>,
    keep_alives: Option<KeepAlives>,
    /// What a watched value says of when it was due counts from here.
    clock: Duration,
}

impl Worker {
    pub(super) fn new(shared: Rc<Shared>, channel: Channel, number: usize, clock: Duration) -> Worker {
        let draw = Draw::new(number, shared.load.keys.val_size);
        let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let (number, revisions) = (number as u64, BTreeMap::new());
        Worker { shared, channel, number, draw, made: 0, run, revisions, keep_alives: None, clock }
    }

    /// Works until nothing is due any more.
    pub(super) async fn work(mut self) {
        let shared = self.shared.clone();
        while let Some(due) = shared.pace.next().await {
            let endpoint = self.channel.endpoint().to_string();
            let answered = tokio::time::timeout(PATIENCE, self.once(due)).await;
            let timed_out = |_| ClientError::TimedOut { endpoint, seconds: PATIENCE.as_secs() };
            let Err(error) = answered.map_err(timed_out).and_then(|answered| answered) else { continue };
            shared.tally.failed(error.to_string(), 1);
            if !matches!(error, ClientError::Status { .. }) {
                self.connect_again().await;
            }
        }
    }

    /// Whose connection broke gets one of its own.
    async fn connect_again(&mut self) {
        tokio::time::sleep(PAUSE).await;
        self.keep_alives = None;
        if let Ok(channel) = Channel::connect(self.channel.endpoint()).await {
            self.channel = channel;
        }
    }

    async fn once(&mut self, due: Instant) -> Result<(), ClientError> {
        self.made += 1;
        let row = match self.shared.load.work {
            Work::Put | Work::Watch { .. } => self.put(due).await?,
            Work::Range { serializable } => {
                let key = self.key();
                let request = RangeRequest { key, serializable, ..RangeRequest::default() };
                self.channel.call(&method::RANGE, &request).await?;
                0
            }
            Work::Create => self.create().await?,
            Work::Update => self.update().await?,
            Work::Lease => return self.lease(due).await,
        };
        self.shared.tally.took(row, since(due));
        Ok(())
    }

    fn key(&mut self) -> Bytes {
        let keys = &self.shared.load.keys;
        let number = match keys.sequential {
            // Clients take turns, each its own numbers.
            true => ((self.made - 1) * self.shared.load.clients as u64 + self.number) % keys.count.max(1),
            false => self.draw.below(keys.count),
        };
        keys.key(number)
    }

    async fn put(&mut self, due: Instant) -> Result<usize, ClientError> {
        let (key, mut value) = (self.key(), self.draw.value(self.shared.load.keys.val_size));
        if let Work::Watch { .. } = self.shared.load.work {
            value = super::watch::stamped(self.clock + due.saturating_duration_since(self.shared.pace.began()), &value);
        }
        self.channel.call(&method::PUT, &PutRequest { key, value, ..PutRequest::default() }).await?;
        Ok(0)
    }

    /// A key that nobody made.
    async fn create(&mut self) -> Result<usize, ClientError> {
        let keys = &self.shared.load.keys;
        let key = format!("{}{:x}-{}-{}", keys.prefix, self.run, self.number, self.made);
        let mut padded = BytesMut::from(key.as_bytes());
        padded.resize(key.len().max(keys.key_size), b'-');
        let value = self.draw.value(self.shared.load.keys.val_size);
        let answer = self.channel.call(&method::TXN, &put_if_at(padded.freeze(), value, 0, false)).await?;
        Ok(usize::from(!answer.succeeded))
    }

    /// One of this client's own keys.
    async fn update(&mut self) -> Result<usize, ClientError> {
        let load = &self.shared.load;
        let clients = load.clients as u64;
        let number = self.draw.below(load.keys.count.div_ceil(clients)) * clients + self.number;
        let (key, value) = (load.keys.key(number), self.draw.value(load.keys.val_size));
        let revision = self.revisions.get(&number).copied().unwrap_or(0);
        let answer = self.channel.call(&method::TXN, &put_if_at(key, value, revision, true)).await?;
        let now = match answer.succeeded {
            true => answer.header.map_or(0, |header| header.revision),
            false => found(&answer.responses),
        };
        self.revisions.insert(number, now);
        Ok(usize::from(!answer.succeeded))
    }

    async fn lease(&mut self, due: Instant) -> Result<(), ClientError> {
        let granted = self.channel.call(&method::LEASE_GRANT, &LeaseGrantRequest { ttl: TTL, id: 0 }).await?;
        self.shared.tally.took(0, since(due));
        let began = Instant::now();
        if self.keep_alives.is_none() {
            self.keep_alives = Some(self.channel.stream(&method::LEASE_KEEP_ALIVE).await?);
        }
        let (requests, answers) = self.keep_alives.as_mut().expect("invariant: it was made above");
        requests.say(&LeaseKeepAliveRequest { id: granted.id })?;
        if answers.next().await?.is_none() {
            self.keep_alives = None;
            return Err(ClientError::Status { code: 14, message: "the stream of keepalives ended".to_owned() });
        }
        self.shared.tally.took(1, since(began));
        let began = Instant::now();
        self.channel.call(&method::LEASE_REVOKE, &LeaseRevokeRequest { id: granted.id }).await?;
        self.shared.tally.took(2, since(began));
        Ok(())
    }
}

/// What Kubernetes asks: a put, if the key was changed last at this revision (0: is not there); else a read, if wanted.
fn put_if_at(key: Bytes, value: Bytes, revision: i64, or_read: bool) -> TxnRequest {
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.clone(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        range_end: Bytes::new(),
    };
    let op = |request| RequestOp { request: Some(request) };
    let put = PutRequest { key: key.clone(), value, ..PutRequest::default() };
    let read = RangeRequest { key, ..RangeRequest::default() };
    TxnRequest {
        compare: vec![compare],
        success: vec![op(request_op::Request::RequestPut(put))],
        failure: or_read.then(|| op(request_op::Request::RequestRange(read))).into_iter().collect(),
    }
}

/// The revision at which the key that was read was changed last.
fn found(responses: &[ResponseOp]) -> i64 {
    match responses.first().and_then(|response| response.response.as_ref()) {
        Some(response_op::Response::ResponseRange(range)) => range.kvs.first().map_or(0, |kv| kv.mod_revision),
        _ => 0,
    }
}
