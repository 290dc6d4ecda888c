//! TLS for connections: certificates out of files, and who shows which.
//!
//! Files are looked at when somebody connects, as etcd does: a certificate that was replaced is in use from the next
//! connection on, without a restart. Where the new one cannot be read the old one stays, and the log says so.
//!
//! A client must show a certificate of the trusted authority where one is named. With `client_cert_auth` the common name in
//! it then says who asks, unless the call has a token; that is for [`crate::api::Credentials`].
//!
//! [`Connector`] is the same for who calls: a member among its peers.
//!
//! With `--auto-tls` a member makes a certificate for itself, which nobody can verify: it keeps listeners out, no more.

mod connector;
mod name;
mod own;

pub use connector::Connector;
pub(super) use own::certificate as own_certificate;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take until it is clear who it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where certificates and keys lie, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The own certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates of the authorities; whoever connects must show one of theirs. `None`: nobody has to.
    pub trusted_ca: Option<PathBuf>,
    /// The common name in a client's certificate says who it is.
    pub client_cert_auth: bool,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// An address wants TLS, and there is no certificate for it.
    #[error("{address}: for https:// a certificate and its key are expected")]
    Missing {
        /// The address.
        address: String,
    },
    /// A file cannot be read, or holds something else.
    #[error("{}: {expected} is expected: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Certificate and key do not go together, or an authority's certificate is none.
    #[error("{}, {}: {source}; name a certificate and its own key", cert.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

impl TlsFiles {
    fn load(&self) -> Result<ServerConfig, TlsError> {
        let key = key(&self.key)?;
        let mismatch = |source| TlsError::Mismatch { cert: self.cert.clone(), key: self.key.clone(), source };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(mismatch)?;
        let builder = match &self.trusted_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(roots(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|why| file_error(path, "an authority's certificate", &why))?,
                )
            }
        };
        let mut config = builder.with_single_cert(certificates(&self.cert)?, key).map_err(mismatch)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// What tells that a file was replaced.
    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        [&self.cert, &self.key].into_iter().chain(&self.trusted_ca).map(stamp).collect()
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|why| file_error(path, "a private key in PEM", &why))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let expected = "a certificate in PEM";
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(file_error(path, expected, &"it holds none")),
        Ok(certificates) => Ok(certificates),
        Err(why) => Err(file_error(path, expected, &why)),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|why| file_error(path, "an authority's certificate", &why))?;
    }
    Ok(roots)
}

fn file_error(path: &Path, expected: &'static str, why: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), expected, why: why.to_string() }
}

/// The host in `host:port`, without the brackets of an IPv6 address.
pub(super) fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Takes connections in.
#[derive(Debug)]
pub(super) struct Acceptor {
    files: TlsFiles,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    stamps: Vec<Option<(SystemTime, u64)>>,
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// Reads the files.
    pub(super) fn new(files: TlsFiles) -> Result<Acceptor, TlsError> {
        let (stamps, config) = (files.stamps(), Arc::new(files.load()?));
        Ok(Acceptor { files, loaded: Mutex::new(Loaded { stamps, config }) })
    }

    /// Agrees with a client on a secret. Returns who it is as well, if that is to be believed.
    pub(super) async fn accept(&self, connection: TcpStream) -> io::Result<(TlsStream<TcpStream>, Option<String>)> {
        let acceptor = TlsAcceptor::from(self.config());
        let stream = tokio::time::timeout(PATIENCE, acceptor.accept(connection)).await??;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let name = certificate.filter(|_| self.files.client_cert_auth).and_then(|der| name::common_name(der));
        Ok((stream, name))
    }

    /// What stands in the files now.
    fn config(&self) -> Arc<ServerConfig> {
        let stamps = self.files.stamps();
        // Whoever panicked here left a whole value behind.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.stamps != stamps {
            match self.files.load() {
                Ok(config) => loaded.config = Arc::new(config),
                Err(error) => tracing::warn!("the certificate in use stays: {error}"),
            }
            loaded.stamps = stamps;
        }
        loaded.config.clone()
    }
}
