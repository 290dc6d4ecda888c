//! `seedbed serve`: the flags of TLS, for clients and for peers.

use super::BadInput;
use seedbed::serve::TlsFiles;
use std::path::PathBuf;

/// Certificates, keys and who must show one.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct TlsArgs {
    /// The certificate for clients (PEM)
    #[arg(long, value_name = "FILE", env = "ETCD_CERT_FILE", hide_env = true)]
    cert_file: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", env = "ETCD_KEY_FILE", hide_env = true)]
    key_file: Option<PathBuf>,

    /// Authorities (PEM); a client must show a certificate of theirs
    #[arg(long, value_name = "FILE", env = "ETCD_TRUSTED_CA_FILE", hide_env = true)]
    trusted_ca_file: Option<PathBuf>,

    /// A client's certificate says by its common name who the client is
    #[arg(long, value_name = "BOOL", env = "ETCD_CLIENT_CERT_AUTH", hide_env = true, default_value_t = false,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    client_cert_auth: bool,

    /// Make a certificate where none is named; nobody can verify it
    #[arg(long, value_name = "BOOL", env = "ETCD_AUTO_TLS", hide_env = true, default_value_t = false,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    auto_tls: bool,
}

/// The same for peers, whom a member calls as well.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct PeerTlsArgs {
    /// The certificate that peers see (PEM)
    #[arg(long, value_name = "FILE", env = "ETCD_PEER_CERT_FILE", hide_env = true)]
    peer_cert_file: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", env = "ETCD_PEER_KEY_FILE", hide_env = true)]
    peer_key_file: Option<PathBuf>,

    /// Authorities of the peers (PEM): each shows a certificate of theirs
    #[arg(long, value_name = "FILE", env = "ETCD_PEER_TRUSTED_CA_FILE", hide_env = true)]
    peer_trusted_ca_file: Option<PathBuf>,

    /// A peer that calls must show a certificate
    #[arg(long, value_name = "BOOL", env = "ETCD_PEER_CLIENT_CERT_AUTH", hide_env = true, default_value_t = false,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    peer_client_cert_auth: bool,
}

impl PeerTlsArgs {
    /// The files that are named.
    pub(super) fn files(&self) -> Result<Option<TlsFiles>, BadInput> {
        let with = |flag: &str, other: &str| Err(BadInput(format!("{flag}: {other} is expected with it")));
        match (&self.peer_cert_file, &self.peer_key_file, &self.peer_trusted_ca_file) {
            (None, None, None) if self.peer_client_cert_auth => with("--peer-client-cert-auth", "--peer-cert-file"),
            (None, None, None) => Ok(None),
            (Some(cert), Some(key), Some(trusted_ca)) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                trusted_ca: Some(trusted_ca.clone()),
                client_cert_auth: self.peer_client_cert_auth,
            })),
            (None, _, _) => with("TLS for peers", "--peer-cert-file"),
            (_, None, _) => with("--peer-cert-file", "--peer-key-file"),
            (_, _, None) => with("--peer-cert-file", "--peer-trusted-ca-file"),
        }
    }
}

impl TlsArgs {
    /// The files that are named, and whether a certificate is to be made where there are none.
    pub(super) fn files(&self) -> Result<(Option<TlsFiles>, bool), BadInput> {
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                if self.client_cert_auth && self.trusted_ca_file.is_none() {
                    return Err(BadInput("--client-cert-auth: --trusted-ca-file is expected with it".to_owned()));
                }
                let files = TlsFiles {
                    cert: cert.clone(),
                    key: key.clone(),
                    trusted_ca: self.trusted_ca_file.clone(),
                    client_cert_auth: self.client_cert_auth,
                };
                Ok((Some(files), false))
            }
            (None, None) => Ok((None, self.auto_tls)),
            (Some(_), None) => Err(BadInput("--cert-file: --key-file is expected with it".to_owned())),
            (None, Some(_)) => Err(BadInput("--key-file: --cert-file is expected with it".to_owned())),
        }
    }
}
