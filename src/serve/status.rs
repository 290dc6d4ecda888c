//! etcd's errors as gRPC has them, and who asks.

use crate::api::{AuthError, Code, Credentials, Error};
use tonic::Status;
use tonic::codegen::http::Request;

/// An error as clients know it: they match on its code and on its text.
pub(super) fn status(error: &Error) -> Status {
    let code = match error.code() {
        Code::Unknown => tonic::Code::Unknown,
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::OutOfRange => tonic::Code::OutOfRange,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::DataLoss => tonic::Code::DataLoss,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
    };
    Status::new(code, error.to_string())
}

/// The same of a call whose path is this. Where etcd asks whether an administrator calls, before it does some of its
/// maintenance, the refusal is passed on as its store of users words it, under no code of its own.
pub(super) fn status_at(path: &str) -> fn(&Error) -> Status {
    let of_an_administrator = ["Defragment", "Hash", "HashKV", "Snapshot"];
    match path.strip_prefix("/etcdserverpb.Maintenance/") {
        Some(method) if of_an_administrator.contains(&method) => as_the_store_words_it,
        _ => status,
    }
}

fn as_the_store_words_it(error: &Error) -> Status {
    match error {
        Error::Auth(AuthError::AuthOldRevision) => Status::unknown("auth: revision in header is old"),
        Error::Auth(refusal) => Status::unknown(refusal.to_string().replace("etcdserver: ", "auth: ")),
        other => status(other),
    }
}

/// The common name in a client's certificate: an extension of its calls.
#[derive(Clone, Debug)]
pub(super) struct CommonName(pub(super) String);

/// Who asks: etcd's clients send their token under `token`, its gateway under `authorization`. Without one the client's
/// certificate says it, where that counts.
pub(super) fn credentials<B>(call: &Request<B>) -> Credentials {
    let headers = call.headers();
    let token = ["token", "authorization"].iter().find_map(|name| headers.get(*name));
    match token.and_then(|token| token.to_str().ok()) {
        Some(token) => Credentials::Token(token.to_owned()),
        None => match call.extensions().get() {
            Some(CommonName(name)) => Credentials::CommonName(name.clone()),
            None => Credentials::None,
        },
    }
}
