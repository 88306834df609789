//! What the door goes by, and who looks after its certificates.
//!
//! In: settings. Out: the listener's [`Rules`]; a task that takes new certificates when their files change, and adds to the story that it did, or could
//! not. Fails: at the start, when a certificate is of no use.

use std::sync::Arc;
use std::time::Duration;

use base::tasks::{self, Task};
use base::{Fault as _, chain};
use gateway::Source;
use net::Proxies;
use spec::{Cause, Event, EventKind};

use super::listener::{Certificates, Files, Look, Rules};
use crate::config::{Config, Settings};
use crate::error::Error;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// As the settings want them.
pub(super) fn rules(settings: &Settings) -> Result<Rules, Error> {
    let config = &settings.config;
    let certificates = match (&config.tls.cert, &config.tls.key) {
        (Some(cert), Some(key)) => {
            let files = Files { cert: cert.clone(), key: key.clone(), client_ca: config.tls.client_ca.clone() };
            Some(Arc::new(Certificates::load(files)?))
        }
        _ => None,
    };
    Ok(Rules {
        limits: config.limits.clone(),
        write_timeout: config.client_write_timeout,
        certificates,
        proxies: proxies(config),
        lost: Arc::default(),
    })
}

/// What a scrape tells of the door.
pub(super) fn readings(rules: &Rules) -> Source {
    let (lost, certificates) = (Arc::clone(&rules.lost), rules.certificates.clone());
    Arc::new(move |readings| {
        let help = "Connections that were refused, or let go for being slow, by reason";
        readings.counters("penstock_connections_refused", help, "reason", lost.each());
        if let Some(expires) = certificates.as_ref().and_then(|certificates| certificates.expires()) {
            let help = "When the first certificate of the chain that new connections are shown expires, in seconds since 1970";
            #[expect(clippy::cast_precision_loss, reason = "seconds of any year fit")]
            readings.gauge("penstock_tls_certificate_expiry_timestamp_seconds", help, expires as f64);
        }
    })
}

/// The proxies that are believed.
pub(super) fn proxies(config: &Config) -> Option<Arc<Proxies>> {
    Proxies::new(config.trusted_proxies.clone(), config.forwarded_header).map(Arc::new)
}

/// Says what is not safe about the door.
pub(super) fn warn(config: &Config) {
    if !config.listen.is_loopback() && config.tls.cert.is_none() && config.trusted_proxies.is_empty() {
        tracing::warn!(
            listen = %config.listen.0,
            "other machines can reach this address, and tokens go over the network as they are; set tls.cert and tls.key, or name the proxy that speaks TLS in trusted_proxies"
        );
    }
}

/// Looks after the certificates for as long as it is held.
#[derive(Debug)]
pub(super) struct Keeper {
    certificates: Option<Arc<Certificates>>,
    fleet: fleet::Handle,
    _task: Option<Task>,
}

impl Keeper {
    /// Of these, if there are any.
    pub(super) fn of(certificates: Option<Arc<Certificates>>, fleet: &fleet::Handle) -> Self {
        let task = certificates.clone().map(|certificates| {
            let fleet = fleet.clone();
            tasks::spawn("certificates", async move {
                loop {
                    tokio::time::sleep(LOOK_EVERY).await;
                    tell(&fleet, certificates.look()).await;
                }
            })
        });
        Self { certificates, fleet: fleet.clone(), _task: task }
    }

    /// Takes what there is now.
    pub(super) async fn look_closely(&self) {
        if let Some(certificates) = &self.certificates {
            tell(&self.fleet, certificates.look_closely()).await;
        }
    }
}

async fn tell(fleet: &fleet::Handle, look: Look) {
    let (kind, message) = match look {
        Look::Same => return,
        Look::Loaded => {
            tracing::info!("the certificate was read again; new connections get it");
            (EventKind::CertificateLoaded, "the certificate was read again; new connections get it".to_owned())
        }
        Look::Refused(error) => {
            tracing::error!(error = chain(&error), hint = error.hint(), "the certificate was not read again; the one before stays");
            (EventKind::CertificateRefused, format!("{}; the certificate before stays", chain(&error)))
        }
    };
    fleet.tell(Event::now(kind, Cause::Config, message)).await;
}
