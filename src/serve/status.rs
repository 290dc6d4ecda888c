//! etcd's errors as gRPC has them, and who asks.

use crate::api::{Code, Credentials, Error};
use tonic::Status;
use tonic::codegen::http::HeaderMap;

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

/// Who asks: etcd's clients send their token under `token`, its gateway under `authorization`.
pub(super) fn credentials(headers: &HeaderMap) -> Credentials {
    let token = ["token", "authorization"].iter().find_map(|name| headers.get(*name));
    match token.and_then(|token| token.to_str().ok()) {
        Some(token) => Credentials::Token(token.to_owned()),
        None => Credentials::None,
    }
}
