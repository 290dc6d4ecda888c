//! The other end: connections to members that want TLS.
//!
//! A member shows the same certificate when it calls as when it is called, and believes whoever its authorities have
//! signed for the host that it wanted. The files are read for each connection, of which there are few.

use super::{TlsError, TlsFiles, certificates, file_error, key, roots};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// See the module.
#[derive(Clone, Debug)]
pub struct Connector {
    files: TlsFiles,
}

impl Connector {
    /// Reads the files once, so that what is wrong with them is heard early.
    pub fn new(files: TlsFiles) -> Result<Connector, TlsError> {
        let connector = Connector { files };
        connector.config()?;
        Ok(connector)
    }

    /// Agrees on a secret with whoever is at the other end of a connection, if it is this host. An error is the
    /// system's, or says why the other is not believed.
    pub async fn connect(&self, host: &str, connection: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let invalid = |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let config = self.config().map_err(|error| invalid(&error))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| invalid(&error))?;
        TlsConnector::from(Arc::new(config)).connect(name, connection).await
    }

    fn config(&self) -> Result<ClientConfig, TlsError> {
        let TlsFiles { cert, key: key_file, trusted_ca, .. } = &self.files;
        let trusted = trusted_ca.as_ref();
        let trusted = trusted.ok_or_else(|| file_error(cert, "an authority for it", &"none is named"))?;
        let mismatch = |source| TlsError::Mismatch { cert: cert.clone(), key: key_file.clone(), source };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(mismatch)?.with_root_certificates(roots(trusted)?);
        let mut config = builder.with_client_auth_cert(certificates(cert)?, key(key_file)?).map_err(mismatch)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Acceptor;
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use std::fs;
    use tokio::net::TcpListener;

    fn signed(folder: &std::path::Path) -> TlsFiles {
        let authority = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names to be wrong");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&authority).expect("a certificate");
        let issuer = Issuer::new(params, authority);
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a host");
        params.distinguished_name.push(DnType::CommonName, "n1");
        let own = params.signed_by(&key, &issuer).expect("a certificate");
        fs::create_dir_all(folder).expect("a folder of its own");
        let files = [("ca", certificate.pem()), ("cert", own.pem()), ("key", key.serialize_pem())];
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).expect("writable"));
        let [trusted_ca, cert, key] = ["ca", "cert", "key"].map(|name| folder.join(name));
        TlsFiles { cert, key, trusted_ca: Some(trusted_ca), client_cert_auth: true }
    }

    #[test]
    fn members_know_each_other_by_their_authority() {
        let folder = std::env::temp_dir().join(format!("seedbed-tls-{}", std::process::id()));
        let [files, others] = ["a", "b"].map(|name| signed(&folder.join(name)));
        let acceptor = Acceptor::new(files.clone()).expect("files that are there");
        let connector = Connector::new(files.clone()).expect("files that are there");
        let stranger = Connector::new(TlsFiles { trusted_ca: files.trusted_ca, ..others }).expect("the same");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("it is bound");
            for (connector, host, name) in
                [(&connector, "127.0.0.1", Some("n1")), (&connector, "127.0.0.2", None), (&stranger, "127.0.0.1", None)]
            {
                let connecting = async {
                    let connection = TcpStream::connect(address).await.expect("it listens");
                    connector.connect(host, connection).await
                };
                let accepting = async {
                    let (connection, _) = listener.accept().await.expect("it listens");
                    acceptor.accept(connection).await
                };
                let (_connected, accepted) = tokio::join!(connecting, accepting);
                assert_eq!(accepted.ok().and_then(|(_, name)| name).as_deref(), name, "{host}");
            }
        });
        fs::remove_dir_all(folder).expect("it was made above");
    }
}
