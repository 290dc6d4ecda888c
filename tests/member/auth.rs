//! Auth on a member: who asks, what is refused, what a restart remembers.

use super::*;
use seedbed::api::{AuthError, AuthRequest, AuthResponse, Credentials};
use seedbed::auth::Jwt;
use seedbed::member::StreamInput;
use seedbed::pb::authpb::{Permission, PermissionType, UserAddOptions};
use seedbed::pb::etcdserverpb::watch_request::RequestUnion;
use seedbed::pb::etcdserverpb::{
    AlarmAction, AlarmRequest, AlarmType, AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest,
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, AuthenticateRequest, LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
    RequestOp, TxnRequest, WatchCreateRequest, WatchRequest, request_op,
};
use seedbed::time::SECOND;

type Reply = Result<Response, Error>;

const OLD: Error = Error::Auth(AuthError::AuthOldRevision);
const DENIED: Error = Error::Auth(AuthError::PermissionDenied);
const INVALID_TOKEN: Error = Error::Auth(AuthError::InvalidAuthToken);
const NO_USER: Error = Error::Auth(AuthError::UserEmpty);

fn text(text: &str) -> String {
    text.to_owned()
}

fn settings() -> Config {
    Config { bcrypt_cost: 4, ..config(1) }
}

fn put_of(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: "v".into(), ..Default::default() }
}

fn get_of(key: &'static str) -> Request {
    Request::Range(RangeRequest { key: key.into(), ..Default::default() })
}

fn user(name: &str, password: &str) -> AuthRequest {
    AuthRequest::UserAdd(AuthUserAddRequest { name: text(name), password: text(password), ..Default::default() })
}

fn grant_role(user: &str, role: &str) -> AuthRequest {
    AuthRequest::UserGrantRole(AuthUserGrantRoleRequest { user: text(user), role: text(role) })
}

fn role(name: &str) -> AuthRequest {
    AuthRequest::RoleAdd(AuthRoleAddRequest { name: text(name) })
}

fn permission(role: &str, key: &'static str, range_end: &'static str) -> AuthRequest {
    let perm = Permission { perm_type: PermissionType::Readwrite as i32, key: key.into(), range_end: range_end.into() };
    AuthRequest::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: text(role), perm: Some(perm) })
}

fn login(name: &str, password: &str) -> AuthRequest {
    AuthRequest::Authenticate(AuthenticateRequest { name: text(name), password: text(password) })
}

fn root() -> Credentials {
    Credentials::CommonName(text("root"))
}

impl Bench {
    fn ask_as(&mut self, who: &Credentials, request: Request) -> Reply {
        self.step(Input::RequestAs(RequestId(1), who.clone(), Box::new(request)));
        assert_eq!(self.replies.len(), 1, "{:?}", self.replies);
        self.replies.pop().expect("an answer").1
    }

    fn manage(&mut self, request: AuthRequest) -> Result<AuthResponse, Error> {
        match self.ask_as(&root(), Request::Auth(request))? {
            Response::Auth(response) => Ok(response),
            other => panic!("{other:?}"),
        }
    }

    fn token(&mut self, name: &str, password: &str) -> Result<Credentials, Error> {
        match self.ask_as(&Credentials::None, Request::Auth(login(name, password)))? {
            Response::Auth(AuthResponse::Authenticate(response)) => {
                assert!(response.header.is_some());
                Ok(Credentials::Token(response.token))
            }
            other => panic!("{other:?}"),
        }
    }

    /// A member that leads, with `root` and with `alice`, who may read and write `[a, f)`; auth is on.
    fn guarded(config: Config) -> Bench {
        let mut bench = Bench::leading(config);
        let enable = || AuthRequest::Enable(AuthEnableRequest {});
        assert_eq!(bench.manage(enable()), Err(AuthError::RootUserNotExist.into()));
        assert_eq!(bench.token("alice", "rabbit"), Err(AuthError::AuthNotEnabled.into()));
        for request in [
            user("root", "secret"),
            grant_role("root", "root"),
            user("alice", "rabbit"),
            role("rw"),
            permission("rw", "a", "f"),
            grant_role("alice", "rw"),
            enable(),
        ] {
            bench.manage(request).expect("it is allowed");
        }
        bench
    }
}

#[test]
fn a_password_brings_a_token_and_a_token_what_its_user_may_do() {
    let mut bench = Bench::guarded(settings());
    for (name, password) in [("alice", "hare"), ("nobody", "rabbit"), ("alice", "")] {
        assert_eq!(bench.token(name, password), Err(AuthError::AuthFailed.into()));
    }
    let alice = bench.token("alice", "rabbit").unwrap();
    assert!(bench.ask_as(&alice, Request::Put(put_of("a"))).is_ok());
    assert!(bench.ask_as(&alice, get_of("a")).is_ok());
    assert_eq!(bench.ask_as(&alice, Request::Put(put_of("x"))), Err(DENIED));
    assert_eq!(bench.ask_as(&alice, get_of("x")), Err(DENIED));
    let branch = RequestOp { request: Some(request_op::Request::RequestPut(put_of("x"))) };
    let txn = TxnRequest { failure: vec![branch], ..Default::default() };
    assert_eq!(bench.ask_as(&alice, Request::Txn(txn)), Err(DENIED));
    assert_eq!(bench.ask_as(&alice, Request::Defragment), Err(DENIED));
    assert_eq!(bench.ask_as(&Credentials::None, get_of("a")), Err(NO_USER));
    assert_eq!(bench.ask_as(&Credentials::None, Request::Put(put_of("a"))), Err(NO_USER));
    assert_eq!(bench.ask_as(&Credentials::Token(text("x")), get_of("a")), Err(INVALID_TOKEN));
    assert!(bench.ask_as(&root(), Request::Put(put_of("x"))).is_ok());
    assert_eq!(bench.member.store().revision(), 3, "what is refused changes nothing");
}

/// Whoever may not do a thing does not hear of alarms either: a full database refuses those alone who may write.
#[test]
fn permissions_are_asked_before_alarms() {
    let mut bench = Bench::guarded(settings());
    let alice = bench.token("alice", "rabbit").unwrap();
    let member_id = bench.member.id();
    for (alarm, refused) in [(AlarmType::Nospace, Error::NoSpace), (AlarmType::Corrupt, Error::Corrupt)] {
        let raise = AlarmRequest { action: AlarmAction::Activate.into(), member_id, alarm: alarm.into() };
        assert!(bench.ask_as(&alice, Request::Alarm(raise)).is_ok());
        assert_eq!(bench.ask_as(&alice, Request::Put(put_of("a"))), Err(refused.clone()));
        assert_eq!(bench.ask_as(&alice, Request::Put(put_of("x"))), Err(DENIED));
        assert_eq!(bench.ask_as(&Credentials::None, Request::Put(put_of("a"))), Err(NO_USER));
    }
    assert!(bench.ask_as(&root(), Request::Auth(role("other"))).is_ok(), "users and roles go on changing");
}

#[test]
fn users_and_roles_are_for_root_and_for_whom_they_concern() {
    let mut bench = Bench::guarded(settings());
    let alice = bench.token("alice", "rabbit").unwrap();
    let look = |name: &str| Request::Auth(AuthRequest::UserGet(AuthUserGetRequest { name: text(name) }));
    match bench.ask_as(&alice, look("alice")) {
        Ok(Response::Auth(AuthResponse::UserGet(response))) => assert_eq!(response.roles, ["rw"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.ask_as(&alice, look("root")), Err(DENIED));
    assert_eq!(bench.ask_as(&alice, Request::Auth(role("mine"))), Err(DENIED));
    assert_eq!(bench.ask_as(&alice, Request::Auth(user("bob", "x"))), Err(DENIED));
    assert_eq!(bench.manage(user("alice", "again")), Err(AuthError::UserAlreadyExist.into()));
    let options = Some(UserAddOptions { no_password: true });
    let machine = AuthUserAddRequest { name: text("machine"), options, ..Default::default() };
    assert!(bench.manage(AuthRequest::UserAdd(machine)).is_ok());
    assert_eq!(bench.token("machine", ""), Err(AuthError::NoPasswordUser.into()));
}

#[test]
fn a_change_of_password_or_the_end_of_a_user_ends_its_tokens() {
    let mut bench = Bench::guarded(settings());
    let alice = bench.token("alice", "rabbit").unwrap();
    let (name, password) = (text("alice"), text("hare"));
    let change = AuthUserChangePasswordRequest { name, password, ..Default::default() };
    bench.manage(AuthRequest::UserChangePassword(change)).unwrap();
    assert_eq!(bench.ask_as(&alice, get_of("a")), Err(INVALID_TOKEN));
    assert_eq!(bench.token("alice", "rabbit"), Err(AuthError::AuthFailed.into()));
    let alice = bench.token("alice", "hare").unwrap();
    assert!(bench.ask_as(&alice, get_of("a")).is_ok());
    bench.manage(AuthRequest::UserDelete(AuthUserDeleteRequest { name: text("alice") })).unwrap();
    assert_eq!(bench.ask_as(&alice, get_of("a")), Err(INVALID_TOKEN));
}

#[test]
fn a_token_is_waited_for_until_its_entry_is_applied_and_then_unknown() {
    let mut bench = Bench::guarded(settings());
    bench.step(Input::RequestAs(RequestId(1), Credentials::Token(text("letters.999")), Box::new(get_of("a"))));
    bench.wait(6_900);
    assert_eq!(bench.replies, []);
    bench.wait(200);
    assert_eq!(bench.replies.pop(), Some((RequestId(1), Err(INVALID_TOKEN))));
    let alice = bench.token("alice", "rabbit").unwrap();
    for _ in 0..3 {
        bench.wait(290_000);
        assert!(bench.ask_as(&alice, get_of("a")).is_ok(), "use prolongs it");
    }
    bench.wait(300_000);
    assert_eq!(bench.ask_as(&alice, get_of("a")), Err(INVALID_TOKEN));
}

#[test]
fn a_restart_knows_users_and_roles_but_only_tokens_of_entries_that_it_replays() {
    let mut bench = Bench::guarded(settings());
    let alice = bench.token("alice", "rabbit").unwrap();
    let (hash, revision) = (bench.member.store().hash(), bench.member.auth().revision());
    let restarted = |bench: &Bench| {
        let mut again = Bench::start(settings(), bench.disk.get().clone(), bench.now);
        assert_eq!((again.member.store().hash(), again.member.auth().revision()), (hash, revision));
        again.wait(3000);
        again
    };
    assert!(restarted(&bench).ask_as(&alice, get_of("a")).is_ok());
    bench.step(Input::TakeSnapshot);
    let mut bench = restarted(&bench);
    assert_eq!(bench.ask_as(&alice, get_of("a")), Err(INVALID_TOKEN));
    let alice = bench.token("alice", "rabbit").unwrap();
    assert!(bench.ask_as(&alice, get_of("a")).is_ok());
    assert_eq!(bench.ask_as(&alice, get_of("x")), Err(DENIED));
}

#[test]
fn a_signed_token_outlives_a_restart_but_no_change_of_users_or_roles() {
    let jwt = Some(Jwt { key: Bytes::from("key"), ttl: 300 * SECOND });
    let config = Config { jwt, ..settings() };
    let mut bench = Bench::guarded(config.clone());
    let alice = bench.token("alice", "rabbit").unwrap();
    let mut bench = Bench::start(config, bench.disk.get().clone(), bench.now);
    bench.wait(3000);
    assert!(bench.ask_as(&alice, Request::Put(put_of("a"))).is_ok());
    bench.manage(role("other")).unwrap();
    assert_eq!(bench.ask_as(&alice, Request::Put(put_of("a"))), Err(OLD.clone()));
    assert_eq!(bench.ask_as(&alice, get_of("a")), Err(OLD));
}

/// Steps the member without completing what it asks of its disk.
fn step_only(bench: &mut Bench, input: Input) -> Vec<Input> {
    let mut fx = Effects::default();
    bench.member.step(bench.now, input, &mut fx);
    bench.replies.append(&mut fx.replies);
    fx.disk.iter().map(|op| Input::Disk(bench.disk.get().apply(op))).collect()
}

#[test]
fn a_write_that_a_change_of_roles_overtook_is_proposed_again() {
    let mut bench = Bench::guarded(settings());
    let alice = bench.token("alice", "rabbit").unwrap();
    let denied = |bench: &mut Bench, change: AuthRequest, write: PutRequest| {
        let applied = bench.member.store().consistent_index();
        let mut done = step_only(bench, Input::RequestAs(RequestId(8), root(), Box::new(Request::Auth(change))));
        done.extend(step_only(bench, Input::RequestAs(RequestId(9), alice.clone(), Box::new(Request::Put(write)))));
        done.into_iter().for_each(|input| bench.step(input));
        let reply = bench.replies.drain(..).find(|(id, _)| *id == RequestId(9)).expect("an answer").1;
        (reply.err(), bench.member.store().consistent_index() - applied)
    };
    assert_eq!(denied(&mut bench, role("other"), put_of("a")), (None, 3), "the change, the write, the write again");
    assert_eq!(denied(&mut bench, permission("rw", "x", ""), put_of("x")), (None, 3), "permitted meanwhile");
    assert_eq!(denied(&mut bench, role("third"), put_of("y")), (Some(DENIED), 3), "as of now");
    let gone = AuthRequest::UserDelete(AuthUserDeleteRequest { name: text("alice") });
    assert_eq!(denied(&mut bench, gone, put_of("a")), (Some(INVALID_TOKEN), 2), "nobody to propose it for");
}

#[test]
fn a_password_that_changes_while_it_is_checked_is_checked_again() {
    let mut bench = Bench::guarded(settings());
    let mut fx = Effects::default();
    let ask = Input::RequestAs(RequestId(7), Credentials::None, Box::new(Request::Auth(login("alice", "rabbit"))));
    bench.member.step(bench.now, ask, &mut fx);
    let [job] = &fx.jobs[..] else { panic!("{:?}", fx.jobs) };
    let (name, password) = (text("alice"), text("hare"));
    let change = AuthUserChangePasswordRequest { name, password, ..Default::default() };
    bench.manage(AuthRequest::UserChangePassword(change)).unwrap();
    bench.step(Input::JobDone(job.id, job.work.run()));
    assert_eq!(bench.replies.pop(), Some((RequestId(7), Err(AuthError::AuthFailed.into()))), "right, but not any more");
    bench.step(Input::JobDone(job.id, job.work.run()));
    assert_eq!(bench.replies, [], "nobody waits for it");
}

#[test]
fn a_job_that_takes_too_long_is_not_waited_for() {
    let mut bench = Bench::guarded(settings());
    let ask = Input::RequestAs(RequestId(7), Credentials::None, Box::new(Request::Auth(login("alice", "rabbit"))));
    bench.member.step(bench.now, ask, &mut Effects::default());
    bench.wait(7_000);
    assert_eq!(bench.replies, [(RequestId(7), Err(Error::Timeout))]);
}

#[test]
fn leases_are_revoked_and_looked_at_by_who_may_touch_their_keys() {
    let mut bench = Bench::guarded(settings());
    let alice = bench.token("alice", "rabbit").unwrap();
    bench.ask_as(&alice, Request::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 5 })).unwrap();
    let with_lease = |key| Request::Put(PutRequest { lease: 7, ..put_of(key) });
    let (revoke, look) = (
        || Request::LeaseRevoke(LeaseRevokeRequest { id: 7 }),
        |keys| Request::LeaseTimeToLive(LeaseTimeToLiveRequest { id: 7, keys }),
    );
    bench.ask_as(&alice, with_lease("a")).unwrap();
    assert!(bench.ask_as(&alice, look(true)).is_ok());
    bench.ask_as(&root(), with_lease("x")).unwrap();
    assert_eq!(bench.ask_as(&alice, with_lease("b")), Err(DENIED), "x would die with b's lease");
    assert_eq!(bench.ask_as(&alice, revoke()), Err(DENIED));
    assert_eq!(bench.ask_as(&alice, look(true)), Err(DENIED));
    assert!(bench.ask_as(&alice, look(false)).is_ok());
    bench.wait(7_000);
    match bench.ask_as(&root(), get_of("x")) {
        Ok(Response::Range(response)) => assert_eq!(response.kvs, [], "the member itself may end a lease"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_watch_needs_read_on_all_of_its_range() {
    let mut bench = Bench::guarded(settings());
    let alice = bench.token("alice", "rabbit").unwrap();
    let watch = |bench: &mut Bench, stream: u64, who: Option<&Credentials>, end: &'static str| {
        let stream = StreamId(stream);
        let create = WatchCreateRequest { key: "a".into(), range_end: end.into(), ..Default::default() };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        if let Some(who) = who {
            bench.step(Input::Stream(stream, Box::new(StreamInput::OpenedBy(who.clone()))));
        }
        bench.step(Input::Stream(stream, Box::new(StreamInput::Request(request))));
        bench.watched.pop().map(|(_, response)| (response.created, response.canceled, response.cancel_reason))
    };
    let denied = |words: &str| Some((true, true, words.to_owned()));
    assert_eq!(watch(&mut bench, 1, Some(&alice), "f"), Some((true, false, String::new())));
    let reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    assert_eq!(watch(&mut bench, 1, None, "\0"), denied(reason));
    let reason = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
    assert_eq!(watch(&mut bench, 2, None, ""), denied(reason));
    let early = Credentials::Token(text("letters.999"));
    assert_eq!(watch(&mut bench, 3, Some(&early), ""), None, "its token may become known");
    bench.wait(7_100);
    let reason = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
    let (_, response) = bench.watched.pop().expect("an answer");
    assert_eq!(response.cancel_reason, reason);
}

#[test]
fn the_hash_of_a_member_covers_users_and_roles() {
    let mut bench = Bench::guarded(settings());
    let before = (bench.member.store().hash(), bench.member.store().revision());
    bench.manage(role("other")).unwrap();
    let after = (bench.member.store().hash(), bench.member.store().revision());
    assert_eq!(before.1, after.1, "no key changed");
    let mut again = Bench::guarded(settings());
    again.manage(role("another")).unwrap();
    assert_eq!(again.member.store().consistent_index(), bench.member.store().consistent_index());
    assert_ne!(again.member.store().hash(), after.0, "as many entries, but another role");
}
