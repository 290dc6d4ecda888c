//! A certificate that a member makes for itself (`--auto-tls`), kept in its data directory where etcd keeps its own.

use super::{TlsError, TlsFiles, file_error};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The member's own certificate for these hosts, below its data directory; made if it is not there.
pub(in crate::serve) fn certificate(data_dir: &Path, hosts: Vec<String>) -> Result<TlsFiles, TlsError> {
    let folder = data_dir.join("fixtures/client");
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if !cert.exists() || !key.exists() {
        let made = rcgen::generate_simple_self_signed(hosts);
        let made = made.map_err(|why| file_error(&cert, "a certificate of the member's own", &why))?;
        let folders = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        folders.map_err(|why| file_error(&folder, "a folder that can be made", &why))?;
        for (path, text) in [(&cert, made.cert.pem()), (&key, made.signing_key.serialize_pem())] {
            let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
            written.map_err(|why| file_error(path, "a file that can be written", &why))?;
        }
    }
    Ok(TlsFiles { cert, key, trusted_ca: None, client_cert_auth: false })
}
