//! Which servers' certificates a client verb believes.
//!
//! In: a file that the user named. Out: the authorities of this machine, and those of the file. Fails: when the file is none.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Failure;

/// For a server that speaks TLS.
pub(super) fn tls(cacert: Option<&Path>) -> Result<TlsConfig, Failure> {
    // A machine without any has its own reasons; what the server shows is then believed by nobody but the file.
    let mut roots = rustls_native_certs::load_native_certs().certs;
    if let Some(path) = cacert {
        let named: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        match named {
            Ok(found) if !found.is_empty() => roots.extend(found),
            Ok(_) => return Err(useless(path, "there is no certificate in it")),
            Err(error) => return Err(useless(path, &error.to_string())),
        }
    }
    let roots = roots.iter().map(|root| Certificate::from_der(root).to_owned());
    Ok(TlsConfig::builder().root_certs(RootCerts::from(roots)).build())
}

fn useless(path: &Path, why: &str) -> Failure {
    Failure::Misused {
        what: format!("cannot use {} as an authority: {why}", path.display()),
        hint: "--cacert takes a file of certificates as PEM".to_owned(),
    }
}

/// Whether nothing came of it because the server's certificate is not believed.
pub(super) fn is_distrust(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Rustls(error) => matches!(error, rustls::Error::InvalidCertificate(_)),
        ureq::Error::Io(error) => error
            .get_ref()
            .and_then(|error| error.downcast_ref::<rustls::Error>())
            .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_))),
        _ => false,
    }
}
