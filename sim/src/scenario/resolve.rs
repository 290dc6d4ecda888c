//! From the file as it is written to a [`Scenario`]: defaults filled in, and everything that one value cannot tell by
//! itself checked.

use super::{
    BugSwitch, Check, Clock, Cluster, Cost, Disk, Endpoints, Event, Expect, Mix, Network, Observation, Range32,
    Range64, ReportSettings, Scenario, Trigger, Workload, WorkloadKind,
    at::At,
    error::Problem,
    expect::ExpectShape,
    names::BugText,
    plan::{self, Entry, Surroundings, exists},
    shape::{
        CheckShape, ClockShape, ClusterShape, CostShape, DiskShape, FaultShape, FileShape, MixShape, NetworkShape,
        ReportShape, WorkloadShape,
    },
    units::{Ends, Size, Time, in_seconds},
    watching,
};
use seedbed::member::AutoCompaction;
use toml::de::{DeTable, DeValue};

/// The scenario that a file describes, without regard to its arms and its swarm. `root` is the table that `file` was
/// read from.
pub(super) fn scenario(file: &FileShape, root: &DeTable<'_>) -> Result<Scenario, Problem> {
    let name = file.name.as_ref().ok_or_else(|| {
        Problem::new(0..0, "a scenario needs a name", "such as name = \"leader-crash\", at the top of the file")
    })?;
    if name.get().trim().is_empty() {
        return Err(Problem::new(name.span(), "a scenario's name cannot be empty", ""));
    }
    let defaults = Scenario::default();
    let text = |key: &Option<At<String>>| key.as_ref().map(|text| text.get().clone()).unwrap_or_default();
    let duration = positive_time(&file.duration, defaults.duration)?;
    let cluster = file.cluster.as_ref().map_or(Ok(Cluster::default()), cluster)?;
    let workloads = match &file.workload {
        None => defaults.workloads,
        Some(list) => list.iter().map(|shape| workload(shape, &cluster, duration)).collect::<Result<_, _>>()?,
    };
    let (faults, operations) = plan_of(file, root, &cluster, duration)?;
    Ok(Scenario {
        name: name.get().clone(),
        about: text(&file.about),
        chapter: text(&file.chapter),
        duration,
        tolerance: file.tolerance.as_ref().map(|tolerance| *tolerance.get()).unwrap_or_default(),
        workloads,
        faults,
        operations,
        network: file.network.as_ref().map_or(Ok(Network::default()), network)?,
        disk: file.disk.as_ref().map_or_else(Disk::default, disk),
        clock: file.clock.as_ref().map_or(Ok(Clock::default()), clock)?,
        cost: file.cost.as_ref().map_or_else(Cost::default, cost),
        check: file.check.as_ref().map_or_else(Check::default, check),
        expect: file.expect.as_ref().map_or_else(Expect::default, expect),
        report: file.report.as_ref().map_or(Ok(ReportSettings::default()), |shape| report(shape, &cluster))?,
        cluster,
    })
}

fn cluster(shape: &ClusterShape) -> Result<Cluster, Problem> {
    let defaults = Cluster::default();
    let profile = shape.profile.as_ref().map_or(defaults.profile, |profile| *profile.get());
    let heartbeat = positive_time(&shape.heartbeat, defaults.heartbeat)?;
    let election = positive_time(&shape.election, defaults.election)?;
    if election < 2 * heartbeat {
        let place = shape.election.as_ref().or(shape.heartbeat.as_ref()).map_or(0..0, At::span);
        let (election, heartbeat) = (in_seconds(election), in_seconds(heartbeat));
        let message = format!("an election timeout of {election} is less than two heartbeats of {heartbeat}");
        return Err(Problem::new(place, message, "etcd asks for five heartbeats, and advises ten"));
    }
    let members = shape.members.as_ref().map_or(defaults.members, |members| members.get().to());
    let spares = shape.spares.as_ref().map_or(defaults.spares, |spares| spares.get().to());
    if let Some(place) = shape.spares.as_ref().filter(|_| spares >= members) {
        let message =
            format!("of {members} machines at most {} can be spare: a cluster begins with a member", members - 1);
        return Err(Problem::new(place.span(), message, ""));
    }
    let mut cluster = Cluster {
        members,
        spares,
        profile,
        heartbeat,
        election,
        pre_vote: shape.pre_vote.as_ref().map_or(profile.pre_vote(), |on| *on.get()),
        check_quorum: shape.check_quorum.as_ref().map_or(defaults.check_quorum, |on| *on.get()),
        snapshot_count: shape.snapshot_count.as_ref().map_or(defaults.snapshot_count, |count| count.get().to()),
        snapshot_catchup: shape.snapshot_catchup.as_ref().map_or(defaults.snapshot_catchup, |n| n.get().to()),
        wal_segment_bytes: size_at_least(&shape.wal_segment_bytes, 4 << 10, defaults.wal_segment_bytes)?,
        engine: shape.engine.as_ref().map_or(defaults.engine, |engine| *engine.get()),
        freelist: shape.freelist.as_ref().map_or(defaults.freelist, |freelist| *freelist.get()),
        sync_freelist: shape.sync_freelist.as_ref().map_or(defaults.sync_freelist, |on| *on.get()),
        batch_interval: positive_time(&shape.batch_interval, defaults.batch_interval)?,
        batch_limit: shape.batch_limit.as_ref().map_or(defaults.batch_limit, |limit| limit.get().to()),
        compaction_batch: shape.compaction_batch.as_ref().map_or(defaults.compaction_batch, |n| n.get().to()),
        compaction_pause: shape.compaction_pause.as_ref().map_or(defaults.compaction_pause, |pause| pause.get().0),
        restore_chunk: shape.restore_chunk.as_ref().map_or(defaults.restore_chunk, |chunk| chunk.get().to()),
        backend_cache: size_at_least(&shape.backend_cache, 64 << 10, defaults.backend_cache)?,
        max_request_bytes: size_at_least(&shape.max_request_bytes, 1, defaults.max_request_bytes)?,
        quota: size_at_least(&shape.quota, 1, defaults.quota)?,
        corrupt_check: shape.corrupt_check.as_ref().map(|_| positive_time(&shape.corrupt_check, 1)).transpose()?,
        initial_corrupt_check: shape.initial_corrupt_check.as_ref().is_some_and(|on| *on.get()),
        auto_compaction: auto_compaction(shape)?,
        lease_checkpoint: match &shape.lease_checkpoint {
            None => defaults.lease_checkpoint,
            some => Some(positive_time(some, 1)?),
        },
        max_inflight: shape.max_inflight.as_ref().map_or(defaults.max_inflight, |count| count.get().to()),
        watch_progress_interval: positive_time(&shape.watch_progress_interval, defaults.watch_progress_interval)?,
        auth: shape.auth.as_ref().map_or(defaults.auth, |on| *on.get()),
        tokens: shape.tokens.as_ref().map_or(defaults.tokens, |tokens| *tokens.get()),
        bugs: Vec::new(),
    };
    cluster.bugs = bug_switches(shape.bugs.as_deref().unwrap_or_default(), &cluster)?;
    Ok(cluster)
}

fn auto_compaction(shape: &ClusterShape) -> Result<Option<AutoCompaction>, Problem> {
    match (&shape.auto_compaction_period, &shape.auto_compaction_revisions) {
        (None, None) => Ok(None),
        (Some(_), None) => Ok(Some(AutoCompaction::Periodic(positive_time(&shape.auto_compaction_period, 1)?))),
        (None, Some(revisions)) => Ok(Some(AutoCompaction::Revisions(revisions.get().to()))),
        (Some(_), Some(revisions)) => {
            Err(Problem::new(revisions.span(), "a cluster compacts by time or by revisions, not by both", ""))
        }
    }
}

/// Bug switches, each in a member that the cluster has.
pub(super) fn bug_switches(switches: &[At<BugText>], cluster: &Cluster) -> Result<Vec<BugSwitch>, Problem> {
    let switch = |switch: &At<BugText>| {
        let BugText(found) = *switch.get();
        found.member.map_or(Ok(0), |member| exists(member, switch.span(), cluster)).map(|_| found)
    };
    switches.iter().map(switch).collect()
}

fn workload(shape: &WorkloadShape, cluster: &Cluster, duration: u64) -> Result<Workload, Problem> {
    let defaults = Workload::default();
    let endpoints = match &shape.endpoints {
        None => defaults.endpoints,
        Some(endpoints) => {
            if let Endpoints::Member(member) = *endpoints.get() {
                exists(member, endpoints.span(), cluster)?;
            }
            *endpoints.get()
        }
    };
    let start = shape.start.as_ref().map_or(defaults.start, |start| start.get().0);
    if let Some(place) = shape.start.as_ref().filter(|_| start >= duration) {
        let message = format!("this is after the chaos phase, which ends at {}", in_seconds(duration));
        return Err(Problem::new(place.span(), message, ""));
    }
    if let Some(stop) = shape.stop.as_ref().filter(|stop| stop.get().0 <= start) {
        return Err(Problem::new(stop.span(), "this workload stops before it starts", ""));
    }
    if let Some(kind) = shape.kind.as_ref().filter(|kind| *kind.get() == WorkloadKind::Auth && !cluster.auth) {
        let hint = "auth = true in the table [cluster]";
        return Err(Problem::new(kind.span(), "there are no users and roles to change without auth", hint));
    }
    Ok(Workload {
        kind: shape.kind.as_ref().map_or(WorkloadKind::Kv, |kind| *kind.get()),
        clients: shape.clients.as_ref().map_or(defaults.clients, |count| count.get().to()),
        rate: shape.rate.as_ref().map_or(defaults.rate, |rate| rate.get().to()),
        keys: shape.keys.as_ref().map_or(defaults.keys, |count| count.get().to()),
        value_bytes: shape.value_bytes.as_ref().map_or(Ok(defaults.value_bytes), value_bytes)?,
        mix: shape.mix.as_ref().map_or(Ok(defaults.mix), mix)?,
        timeout: positive_time(&shape.timeout, defaults.timeout)?,
        ttl: positive_time(&shape.ttl, defaults.ttl)?,
        keep_alive: shape.keep_alive.as_ref().map_or(defaults.keep_alive, |keep_alive| *keep_alive.get()),
        shared: shape.shared.as_ref().is_some_and(|shared| *shared.get()),
        fence: shape.fence.as_ref().map_or(defaults.fence, |fence| *fence.get()),
        stall: shape.stall.as_ref().map_or(defaults.stall, |stall| {
            let Ends { lo: Time(lo), hi: Time(hi) } = *stall.get();
            Range64::new(lo, hi)
        }),
        compact_every: positive_time(&shape.compact_every, defaults.compact_every)?,
        guard: shape.guard.as_ref().map_or(defaults.guard, |guard| *guard.get()),
        endpoints,
        user: shape.user.as_ref().map_or(defaults.user, |user| *user.get()),
        start,
        stop: shape.stop.as_ref().map(|stop| stop.get().0),
        watching: shape.watch.as_ref().map_or(Ok(defaults.watching), watching::resolve)?,
    })
}

fn value_bytes(sizes: &At<Ends<Size>>) -> Result<Range32, Problem> {
    let Ends { lo: Size(lo), hi: Size(hi) } = *sizes.get();
    match (u32::try_from(lo), u32::try_from(hi)) {
        (Ok(lo), Ok(hi)) if hi <= 1 << 30 => Ok(Range32::new(lo, hi)),
        _ => Err(Problem::new(sizes.span(), "a value has at most 1 GiB", "")),
    }
}

fn mix(mix: &At<MixShape>) -> Result<Mix, Problem> {
    let shape = mix.get();
    let weights = [shape.put, shape.get, shape.serializable, shape.delete, shape.cas, shape.list, shape.past];
    let [put, get, serializable, delete, cas, list, past] =
        weights.map(|weight| weight.map_or(0, |weight| weight.to()));
    let mix_of_all = Mix { put, get, serializable, delete, cas, list, past };
    if put + get + serializable + delete + cas + list + past == 0 {
        return Err(Problem::new(mix.span(), "a mix of nothing: every weight is 0", "such as { put = 1, get = 1 }"));
    }
    Ok(mix_of_all)
}

type Plan = (Vec<super::Fault>, Vec<super::Operation>);

fn plan_of(file: &FileShape, root: &DeTable<'_>, cluster: &Cluster, duration: u64) -> Result<Plan, Problem> {
    let shapes = file.fault.as_deref().unwrap_or_default();
    let fault_names = fault_names(shapes)?;
    let around = Surroundings { cluster, duration, fault_names: &fault_names };
    let faults: Vec<_> = shapes
        .iter()
        .zip(entries(root, "fault", "a fault"))
        .map(|(shape, entry)| plan::fault(shape, entry, &around))
        .collect::<Result<_, _>>()?;
    refuse_waiting_in_a_circle(&faults, shapes)?;
    let operations = file.operation.as_deref().unwrap_or_default();
    let operations = operations
        .iter()
        .zip(entries(root, "operation", "an operation"))
        .map(|(shape, entry)| plan::operation(shape, entry, &around))
        .collect::<Result<_, _>>()?;
    Ok((faults, operations))
}

/// The tables of an array of tables, with their places.
fn entries<'a>(root: &'a DeTable<'a>, key: &str, what: &'static str) -> impl Iterator<Item = Entry<'a>> {
    let list = root.get(key).and_then(|value| value.get_ref().as_array());
    list.into_iter().flat_map(|list| list.iter()).filter_map(move |value| match value.get_ref() {
        DeValue::Table(table) => Some(Entry { table, span: value.span(), what: what.to_owned(), takes: &[] }),
        _ => None,
    })
}

fn fault_names(shapes: &[FaultShape]) -> Result<Vec<Option<String>>, Problem> {
    let mut names: Vec<Option<String>> = Vec::new();
    for shape in shapes {
        let name = shape.name.as_ref().map(|name| name.get().clone());
        if let Some(place) = shape.name.as_ref().filter(|_| names.contains(&name)) {
            return Err(Problem::new(place.span(), format!("two faults are named {:?}", place.get()), ""));
        }
        names.push(name);
    }
    Ok(names)
}

/// Faults that wait for each other never strike.
fn refuse_waiting_in_a_circle(faults: &[super::Fault], shapes: &[FaultShape]) -> Result<(), Problem> {
    let awaited = |at: usize| match &faults[at].trigger {
        Trigger::When(condition) if matches!(condition.event, Event::FaultStarted | Event::FaultEnded) => {
            condition.fault
        }
        _ => None,
    };
    for (first, shape) in shapes.iter().enumerate() {
        // Each waits for at most one, so a circle is shorter than the list.
        let mut chain = std::iter::successors(awaited(first), |at| awaited(*at)).take(faults.len());
        if chain.any(|at| at == first) {
            let place = shape.fault.as_ref().map_or(0..0, At::span);
            return Err(Problem::new(place, "this fault waits for itself, so it never strikes", ""));
        }
    }
    Ok(())
}

fn network(shape: &NetworkShape) -> Result<Network, Problem> {
    let defaults = Network::default();
    let bandwidth = shape.bandwidth.as_ref();
    if let Some(place) = bandwidth.filter(|bytes| bytes.get().0 == 0) {
        return Err(Problem::new(place.span(), "a link of 0 bytes per second carries nothing", ""));
    }
    let range = |key: &Option<At<Ends<Time>>>, default| key.as_ref().map_or(default, |range| range.get().range());
    Ok(Network {
        latency: range(&shape.latency, defaults.latency),
        client_latency: range(&shape.client_latency, defaults.client_latency),
        loss_ppm: shape.loss_ppm.as_ref().map_or(defaults.loss_ppm, |ppm| ppm.get().to()),
        duplicate_ppm: shape.duplicate_ppm.as_ref().map_or(defaults.duplicate_ppm, |ppm| ppm.get().to()),
        reorder_ppm: shape.reorder_ppm.as_ref().map_or(defaults.reorder_ppm, |ppm| ppm.get().to()),
        reorder_by: range(&shape.reorder_by, defaults.reorder_by),
        slow_ppm: shape.slow_ppm.as_ref().map_or(defaults.slow_ppm, |ppm| ppm.get().to()),
        slow: range(&shape.slow, defaults.slow),
        bandwidth: bandwidth.map(|bytes| bytes.get().0),
    })
}

fn disk(shape: &DiskShape) -> Disk {
    let defaults = Disk::default();
    let range = |key: &Option<At<Ends<Time>>>, default| key.as_ref().map_or(default, |range| range.get().range());
    Disk {
        write: range(&shape.write, defaults.write),
        fsync: range(&shape.fsync, defaults.fsync),
        slow_ppm: shape.slow_ppm.as_ref().map_or(defaults.slow_ppm, |ppm| ppm.get().to()),
        slow: range(&shape.slow, defaults.slow),
        size_bytes: shape.size_bytes.as_ref().map(|bytes| bytes.get().0),
    }
}

fn clock(shape: &ClockShape) -> Result<Clock, Problem> {
    let defaults = Clock::default();
    if let Some(place) = shape.drift_ppm.as_ref().filter(|range| range.get().hi.0 > 500_000) {
        return Err(Problem::new(place.span(), "a clock is at most 500000 ppm off its rate", ""));
    }
    Ok(Clock {
        drift_ppm: shape.drift_ppm.as_ref().map_or(defaults.drift_ppm, |range| range.get().range()),
        wall_skew: shape.wall_skew.as_ref().map_or(defaults.wall_skew, |range| range.get().range()),
    })
}

fn cost(shape: &CostShape) -> Cost {
    let defaults = Cost::default();
    let time = |key: &Option<At<Time>>, default| key.as_ref().map_or(default, |time| time.get().0);
    Cost {
        enabled: shape.enabled.as_ref().map_or(defaults.enabled, |on| *on.get()),
        step: time(&shape.step, defaults.step),
        message: time(&shape.message, defaults.message),
        propose: time(&shape.propose, defaults.propose),
        apply: time(&shape.apply, defaults.apply),
        read: time(&shape.read, defaults.read),
        per_record: time(&shape.per_record, defaults.per_record),
        per_kib: time(&shape.per_kib, defaults.per_kib),
        bcrypt: time(&shape.bcrypt, defaults.bcrypt),
    }
}

fn check(shape: &CheckShape) -> Check {
    let defaults = Check::default();
    let on = |key: &Option<At<bool>>, default| key.as_ref().map_or(default, |on| *on.get());
    Check {
        linearizable: on(&shape.linearizable, defaults.linearizable),
        serializable: on(&shape.serializable, defaults.serializable),
        members_equal: on(&shape.members_equal, defaults.members_equal),
        wal_replay: on(&shape.wal_replay, defaults.wal_replay),
        wal_replay_equals_backend: on(&shape.wal_replay_equals_backend, defaults.wal_replay_equals_backend),
        compaction_hash: on(&shape.compaction_hash, defaults.compaction_hash),
        backend_check: on(&shape.backend_check, defaults.backend_check),
        member_stopped: on(&shape.member_stopped, defaults.member_stopped),
        auth: on(&shape.auth, defaults.auth),
        raft: on(&shape.raft, defaults.raft),
        lease: on(&shape.lease, defaults.lease),
        liveness: on(&shape.liveness, defaults.liveness),
        watch: on(&shape.watch, defaults.watch),
        membership: on(&shape.membership, defaults.membership),
        budget_steps: shape.budget_steps.as_ref().map_or(defaults.budget_steps, |steps| steps.get().to()),
        budget_mib: shape.budget_mib.as_ref().map_or(defaults.budget_mib, |mib| mib.get().to()),
    }
}

/// What a run, or an arm of it, must show.
pub(super) fn expect(shape: &ExpectShape) -> Expect {
    let observations = Observation::ALL.iter().filter_map(|observation| {
        let comparison = match observation {
            Observation::LeaderChanges => &shape.leader_changes,
            Observation::LeaderlessS => &shape.leaderless_s,
            Observation::LeaderlessTotalS => &shape.leaderless_total_s,
            Observation::FinalTerm => &shape.final_term,
            Observation::Campaigns => &shape.campaigns,
            Observation::Ok => &shape.ok,
            Observation::Unknown => &shape.unknown,
            Observation::Failed => &shape.failed,
            Observation::Crashes => &shape.crashes,
            Observation::SnapshotsSent => &shape.snapshots_sent,
            Observation::SlowestS => &shape.slowest_s,
            Observation::Events => &shape.events,
            Observation::DbSizeMib => &shape.db_size_mib,
            Observation::DbSizeMaxMib => &shape.db_size_max_mib,
            Observation::DbInUseMib => &shape.db_in_use_mib,
            Observation::DbFreePages => &shape.db_free_pages,
            Observation::DbPendingPagesMax => &shape.db_pending_pages_max,
            Observation::FreelistWork => &shape.freelist_work,
            Observation::Commits => &shape.commits,
            Observation::CommitMs => &shape.commit_ms,
            Observation::CommitMaxMs => &shape.commit_max_ms,
            Observation::Compactions => &shape.compactions,
            Observation::Defrags => &shape.defrags,
            Observation::DefragMaxMs => &shape.defrag_max_ms,
            Observation::SnapshotsInstalled => &shape.snapshots_installed,
            Observation::SnapshotMaxMs => &shape.snapshot_max_ms,
            Observation::StartMaxMs => &shape.start_max_ms,
            Observation::OperationsFailed => &shape.operations_failed,
            Observation::LeasesGranted => &shape.leases_granted,
            Observation::LeasesExpired => &shape.leases_expired,
            Observation::LeasesLeft => &shape.leases_left,
            Observation::AlarmsRaised => &shape.alarms_raised,
            Observation::AlarmsEnd => &shape.alarms_end,
            Observation::WatchEvents => &shape.watch_events,
            Observation::WatchMissed => &shape.watch_missed,
            Observation::WatchDuplicates => &shape.watch_duplicates,
            Observation::WatchLagS => &shape.watch_lag_s,
            Observation::WatchBroken => &shape.watch_broken,
            Observation::WatchCompacted => &shape.watch_compacted,
            Observation::MirrorWrong => &shape.mirror_wrong,
            Observation::RingTold => &shape.ring_told,
            Observation::RingLost => &shape.ring_lost,
            Observation::LocksTaken => &shape.locks_taken,
            Observation::Conflicts => &shape.conflicts,
            Observation::MemberChanges => &shape.member_changes,
        };
        comparison.as_ref().map(|comparison| (*observation, *comparison.get()))
    });
    Expect {
        cause: shape.cause.as_ref().map(|cause| cause.get().0.clone()),
        violation: shape.violation.as_ref().map(|check| check.get().0.clone()),
        observations: observations.collect(),
    }
}

/// What is shown beside the story.
fn report(shape: &ReportShape, cluster: &Cluster) -> Result<ReportSettings, Problem> {
    let defaults = ReportSettings::default();
    Ok(ReportSettings {
        columns: shape.columns.as_ref().map(|columns| columns.get().clone()).unwrap_or_default(),
        plots: shape.plots.as_ref().map(|plots| plots.get().clone()).unwrap_or_default(),
        member: shape.member.as_ref().map_or(Ok(defaults.member), |member| plan::member_in(member, cluster))?,
    })
}

fn positive_time(key: &Option<At<Time>>, default: u64) -> Result<u64, Problem> {
    match key {
        Some(time) if time.get().0 == 0 => Err(Problem::new(time.span(), "this time cannot be 0", "")),
        Some(time) => Ok(time.get().0),
        None => Ok(default),
    }
}

fn size_at_least(key: &Option<At<Size>>, least: u64, default: u64) -> Result<u64, Problem> {
    match key {
        Some(size) if size.get().0 < least => {
            Err(Problem::new(size.span(), format!("at least {least} bytes are expected"), ""))
        }
        Some(size) => Ok(size.get().0),
        None => Ok(default),
    }
}
