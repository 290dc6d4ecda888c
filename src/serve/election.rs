//! Service `v3election`: an election by calls, and its leaders as a stream.

use super::client::{Client, Missed, to_the_end};
use crate::api::{Request, Response};
use crate::bug::BugSet;
use crate::concurrency::{self, Campaign, ElectionError, Next, leave};
use crate::pb::etcdserverpb::response_op::Response as Done;
use crate::pb::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use crate::pb::mvccpb::{EventType, KeyValue};
use crate::pb::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse,
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Stands for an election until it is won. A caller that goes meanwhile stands no longer.
pub(super) async fn campaign(client: Client, request: CampaignRequest) -> Result<CampaignResponse, Status> {
    to_the_end(|mut caller| async move {
        let CampaignRequest { name, lease, value } = request;
        let lease = client.session(lease).await?;
        let mut campaign = Campaign::new(&name, lease, value.clone(), BugSet::NONE);
        let header = enter(&client, &mut campaign, &value).await?;
        match client.first(campaign.line(), &mut caller).await {
            Ok(_) => {}
            Err(Missed::Refused(status)) => return Err(status),
            // etcd's client does not look, and believes that it leads.
            Err(Missed::Out) => return Err(not_leader(ElectionError::NotLeader)),
        }
        let leader = LeaderKey { name, key: campaign.key().clone(), rev: campaign.token(), lease };
        // etcd's header is that of having entered, not that of having won.
        Ok(CampaignResponse { header, leader: Some(leader) })
    })
    .await
}

/// Enters the line. Who stands there already shows another value from now on.
async fn enter(client: &Client, campaign: &mut Campaign, value: &Bytes) -> Result<Option<ResponseHeader>, Status> {
    let Next::Ask(request) = campaign.line().next() else {
        panic!("invariant: a candidate begins by entering");
    };
    let response = client.ask(request).await?;
    campaign.line().answered(&response);
    let Response::Txn(entered) = &response else { panic!("invariant: a transaction is answered by one") };
    let stood = entered.responses.first().and_then(|op| match &op.response {
        Some(Done::ResponseRange(range)) => range.kvs.first(),
        _ => None,
    });
    if stood.is_some_and(|stood| stood.value != *value) {
        let shown = client.ask(campaign.proclaim(value)).await?;
        if let Err(error) = campaign.proclaimed(&shown) {
            // Best effort: the place is gone already.
            let _ = client.ask(campaign.resign()).await;
            return Err(not_leader(error));
        }
    }
    Ok(entered.header)
}

/// Shows another value.
pub(super) async fn proclaim(client: Client, request: ProclaimRequest) -> Result<ProclaimResponse, Status> {
    let leader = request.leader.ok_or_else(no_leader_given)?;
    let lease = client.session(leader.lease).await?;
    let shown = client.ask(concurrency::proclaim(&leader.key, leader.rev, &request.value, lease)).await?;
    match shown {
        Response::Txn(shown) if shown.succeeded => Ok(ProclaimResponse { header: shown.header }),
        _ => Err(not_leader(ElectionError::NotLeader)),
    }
}

/// Gives a place up. Whoever has none has none afterwards.
pub(super) async fn resign(client: Client, request: ResignRequest) -> Result<ResignResponse, Status> {
    let leader = request.leader.ok_or_else(no_leader_given)?;
    match client.ask(leave(&leader.key, leader.rev)).await? {
        Response::Txn(left) => Ok(ResignResponse { header: left.header }),
        other => panic!("invariant: a transaction is answered by one, not by {other:?}"),
    }
}

/// Who leads now.
pub(super) async fn leader(client: Client, request: LeaderRequest) -> Result<LeaderResponse, Status> {
    let RangeResponse { header, mut kvs, .. } = oldest(&client, &request.name).await?;
    match kvs.pop() {
        Some(kv) => Ok(LeaderResponse { header, kv: Some(kv) }),
        None => Err(Status::unknown("election: no leader")),
    }
}

/// Who leads, from now on, with each value that is shown. The caller's pace is the watch's.
pub(super) fn observe(client: Client, request: LeaderRequest) -> ReceiverStream<Result<LeaderResponse, Status>> {
    let (told, hear) = mpsc::channel(1);
    tokio::spawn(async move {
        let over = tokio::select! {
            over = follow(&client, &request.name, &told) => over,
            () = told.closed() => return,
        };
        if let Err(error) = over {
            // Who asked may have gone.
            let _ = told.send(Err(error)).await;
        }
    });
    ReceiverStream::new(hear)
}

type Told = mpsc::Sender<Result<LeaderResponse, Status>>;

/// Follows one leader after the other. Whatever goes wrong, etcd's text is the same.
async fn follow(client: &Client, name: &[u8], told: &Told) -> Result<(), Status> {
    let closed_early = || Status::unknown("election: observe closed early");
    loop {
        let RangeResponse { header, mut kvs, .. } = oldest(client, name).await.map_err(|_| closed_early())?;
        let (header, kv) = match kvs.pop() {
            Some(kv) => (header, kv),
            None => first_put(client, name, header).await.ok_or_else(closed_early)?,
        };
        let from = header.map_or(0, |header| header.revision) + 1;
        let key = kv.key.clone();
        tell(told, header, kv).await;
        let mut watch = client.watch(key, Bytes::new(), from, &[]);
        'leads: loop {
            let response = watch.next().await.filter(|response| !response.canceled).ok_or_else(closed_early)?;
            for event in response.events {
                if event.r#type() == EventType::Delete {
                    break 'leads;
                }
                tell(told, response.header, event.kv.unwrap_or_default()).await;
            }
        }
    }
}

/// Waits until somebody stands for an election in which nobody did at the header's revision.
async fn first_put(
    client: &Client,
    name: &[u8],
    header: Option<ResponseHeader>,
) -> Option<(Option<ResponseHeader>, KeyValue)> {
    let RangeRequest { key, range_end, .. } = whole_line(name);
    let mut watch = client.watch(key, range_end, header?.revision, &[]);
    loop {
        let response = watch.next().await.filter(|response| !response.canceled)?;
        if let Some(event) = response.events.into_iter().find(|event| event.r#type() == EventType::Put) {
            let kv = event.kv?;
            let header = response.header.map(|header| ResponseHeader { revision: kv.mod_revision, ..header });
            return Some((header, kv));
        }
    }
}

async fn tell(told: &Told, header: Option<ResponseHeader>, kv: KeyValue) {
    // Who does not listen any more ends this from outside.
    let _ = told.send(Ok(LeaderResponse { header, kv: Some(kv) })).await;
}

async fn oldest(client: &Client, name: &[u8]) -> Result<RangeResponse, Status> {
    match client.ask(Request::Range(whole_line(name))).await? {
        Response::Range(response) => Ok(response),
        other => panic!("invariant: a range is answered by one, not by {other:?}"),
    }
}

/// The oldest key of an election.
fn whole_line(name: &[u8]) -> RangeRequest {
    match concurrency::leader(name) {
        Request::Range(range) => range,
        other => panic!("invariant: who leads is a range, not {other:?}"),
    }
}

fn no_leader_given() -> Status {
    Status::unknown("\"leader\" field must be provided")
}

fn not_leader(error: ElectionError) -> Status {
    Status::unknown(error.to_string())
}
