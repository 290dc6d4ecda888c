//! A client of a member elsewhere: etcd's calls with one answer, on one connection.

use super::peers::dial::{Connection, DialError};
use super::tls::Connector;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// Longer answers than a member's own limit of requests: a list of everything is one.
const MAX_MESSAGE: usize = 64 << 20;

/// See the module.
#[derive(Clone, Debug)]
pub struct Client {
    grpc: Grpc<Connection>,
}

impl Client {
    /// Connects to `http://host:port`, or `https://host:port` by TLS.
    pub async fn connect(url: &str, tls: Option<&Connector>) -> Result<Client, DialError> {
        let connection = Connection::dial(url, tls).await?;
        let origin = connection.origin();
        Ok(Client { grpc: Grpc::with_origin(connection, origin).max_decoding_message_size(MAX_MESSAGE) })
    }

    /// Makes a call, such as `/etcdserverpb.KV/Put`. An error is what the member said, or that the connection broke: then
    /// it may have been done or not.
    pub async fn ask<I, O>(&mut self, method: &'static str, request: I) -> Result<O, Status>
    where
        I: Message + 'static,
        O: Message + Default + 'static,
    {
        self.grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(method);
        let answer = self.grpc.unary(Request::new(request), path, ProstCodec::<I, O>::default()).await?;
        Ok(answer.into_inner())
    }
}
