//! Administrators: who sets users and roles up, and the workload that keeps changing them.
//!
//! ```text
//!   user   password   role   permits at first
//!   root   root       root   everything
//!   u1     u1         r1     to read and write [k, l), where the workloads' keys are; r2 and r3 of u2 and u3 likewise
//! ```

use super::client::Client;
use super::random::Stream;
use crate::scenario::{Range64, Workload};
use bytes::Bytes;
use seedbed::api::{AuthRequest, Request};
use seedbed::pb::authpb::{Permission, PermissionType};
use seedbed::pb::etcdserverpb::{
    AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest,
    AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
};
use seedbed::time::{Nanos, SECOND};

/// How long an administrator waits before asking the next member.
pub(super) const TIMEOUT: Nanos = 5 * SECOND;

/// Users beside root, and their roles.
const USERS: u64 = 3;

fn user_add(name: String) -> AuthRequest {
    AuthRequest::UserAdd(AuthUserAddRequest { password: name.clone(), name, ..Default::default() })
}

fn grant_role(user: String, role: String) -> AuthRequest {
    AuthRequest::UserGrantRole(AuthUserGrantRoleRequest { user, role })
}

fn grant(role: u64, kind: PermissionType, key: &str, range_end: &str) -> AuthRequest {
    let (key, range_end) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(range_end.as_bytes()));
    let perm = Some(Permission { perm_type: kind as i32, key, range_end });
    AuthRequest::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: format!("r{role}"), perm })
}

/// Sets everything up and turns auth on. What was done before an answer was lost is refused the second time, and done.
pub(super) async fn set_up(mut client: Client) {
    let mut requests = vec![user_add("root".into()), grant_role("root".into(), "root".into())];
    for n in 1..=USERS {
        let (user, role) = (format!("u{n}"), format!("r{n}"));
        requests.push(user_add(user.clone()));
        requests.push(AuthRequest::RoleAdd(AuthRoleAddRequest { name: role.clone() }));
        requests.push(grant(n, PermissionType::Readwrite, "k", "l"));
        requests.push(grant_role(user, role));
    }
    requests.push(AuthRequest::Enable(AuthEnableRequest {}));
    for request in requests {
        let _ = client.insist(Request::Auth(request)).await;
    }
}

/// One administrator of workload `auth`: a change every `clients / rate` seconds on average, one after the other.
pub(super) async fn churn(mut client: Client, workload: Workload, mut random: Stream, until: Nanos) {
    let gap = SECOND * u64::from(workload.clients) / u64::from(workload.rate.max(1));
    let jitter = Range64::new(gap / 2, gap + gap / 2);
    let until = workload.stop.unwrap_or(until).min(until);
    let mut next = workload.start + random.below(gap.max(1));
    loop {
        next = next.max(client.handle().now());
        if next >= until {
            return;
        }
        client.handle().sleep_until(next).await;
        next += random.within(jitter);
        for request in change(&mut random, workload.keys) {
            let _ = client.insist(request).await;
        }
    }
}

/// What an administrator does next. Much of it is refused, since it is done already or undone: that is agreed on too.
fn change(random: &mut Stream, keys: u32) -> Vec<Request> {
    let n = 1 + random.below(USERS);
    let (user, role) = (format!("u{n}"), format!("r{n}"));
    let key = format!("k{}", random.below(u64::from(keys.max(1))));
    let kind = [PermissionType::Read, PermissionType::Write, PermissionType::Readwrite][random.below(3) as usize];
    let everything = || grant(n, PermissionType::Readwrite, "k", "l");
    let requests = match random.below(15) {
        0..=2 => vec![grant(n, kind, &key, "")],
        3 | 4 => vec![grant(n, kind, "k", "l")],
        5 | 6 => vec![everything()],
        7 => vec![revoke(role, &key, "")],
        8 => vec![revoke(role, "k", "l")],
        9 => vec![AuthRequest::UserRevokeRole(AuthUserRevokeRoleRequest { name: user, role })],
        10 | 11 => vec![grant_role(user, role)],
        12 => vec![password(user)],
        13 => {
            let delete = AuthRequest::RoleDelete(AuthRoleDeleteRequest { role: role.clone() });
            vec![delete, AuthRequest::RoleAdd(AuthRoleAddRequest { name: role }), everything()]
        }
        _ => {
            let delete = AuthRequest::UserDelete(AuthUserDeleteRequest { name: user.clone() });
            vec![delete, user_add(user.clone()), grant_role(user, role)]
        }
    };
    requests.into_iter().map(Request::Auth).collect()
}

fn revoke(role: String, key: &str, range_end: &str) -> AuthRequest {
    let (key, range_end) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(range_end.as_bytes()));
    AuthRequest::RoleRevokePermission(AuthRoleRevokePermissionRequest { role, key, range_end })
}

/// The same password, hashed with another salt.
fn password(name: String) -> AuthRequest {
    AuthRequest::UserChangePassword(AuthUserChangePasswordRequest {
        password: name.clone(),
        name,
        ..Default::default()
    })
}
