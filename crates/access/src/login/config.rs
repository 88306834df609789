//! Who may tell us who somebody is: an entry of the config's `auth.providers`.
//!
//! In: an issuer, what Penstock is called there, what its groups stand for here. Out: [`ProviderConfig`]. Fails: with
//! all that is wrong with it by itself ([`ProviderConfig::check`]); when its secret cannot be read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use base::Secret;
use openidconnect::url::{Host, Url};
use serde::{Deserialize, Serialize};
use spec::{Grants, Invalid, Name, Problem};

use super::error::Error;

/// An identity provider that speaks OpenID Connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// What it is called here: in URLs, and as the origin of its users.
    pub name: String,
    /// Its words on the button of the login page; the name when not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its issuer, below which `/.well-known/openid-configuration` lies.
    pub issuer: String,
    /// What Penstock is called there.
    pub client_id: String,
    /// The environment variable with Penstock's secret there; none for a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_env: Option<String>,
    /// The file with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for beside `openid`.
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<String>,
    /// The claim with a person's groups; dots lead into objects.
    #[serde(default = "usual_groups_claim")]
    pub groups_claim: String,
    /// The claim that people are called by here; when not set `preferred_username`, else `email`, else the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_claim: Option<String>,
    /// What members of a group may do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Grants>,
    /// What everybody may do whom it knows; who gets nothing by it nor by a group is not let in.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub everybody: Grants,
    /// Access tokens of this provider, as JWTs made for one of these audiences, are taken from programs like a token of our own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_audiences: Vec<String>,
}

fn usual_scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).to_vec()
}

fn usual_groups_claim() -> String {
    "groups".to_owned()
}

impl ProviderConfig {
    /// With these three and the usual rest.
    pub fn new(name: &str, issuer: &str, client_id: &str) -> Self {
        Self {
            name: name.to_owned(),
            label: None,
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            client_secret_env: None,
            client_secret_file: None,
            scopes: usual_scopes(),
            groups_claim: usual_groups_claim(),
            name_claim: None,
            groups: BTreeMap::new(),
            everybody: Grants::default(),
            allowed_audiences: Vec::new(),
        }
    }

    /// What stands on its button.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }

    /// The names of the roles that it gives.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &Name> {
        let all = self.groups.values().chain([&self.everybody]);
        all.flat_map(|grants| grants.roles.iter().chain(grants.projects.values().flatten()))
    }

    /// All that is wrong with it by itself.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut found = Vec::new();
        let mut add = |field: &str, what: &str, hint: &str| {
            found.push(Problem { field: field.to_owned(), what: what.to_owned(), hint: hint.to_owned() });
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > LONGEST_NAME || !self.name.chars().all(plain) {
            add("name", "not a name of a provider", "use up to 32 of a-z, 0-9 and -, such as `corp`");
        }
        if self.client_id.trim().is_empty() {
            add("client_id", "it is empty", "write what the provider calls Penstock");
        }
        match Url::parse(&self.issuer) {
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                add("issuer", "an issuer has no query and no fragment", "write it as the provider's discovery document has it");
            }
            Ok(url) if is_safe(&url) => {}
            Ok(_) => add("issuer", "what comes from it could be changed on the way", "use https; plain http is for loopback only"),
            Err(_) => add("issuer", "it is no URL", "write https://HOST, as the provider's discovery document has it"),
        }
        if self.client_secret_env.is_some() && self.client_secret_file.is_some() {
            add("client_secret_file", "client_secret_env says where the secret is already", "keep one of the two");
        }
        if self.groups.is_empty() && self.everybody.is_empty() {
            add("groups", "nobody could log in: no group and nobody else gets a role", "write groups: {NAME: {roles: [viewer]}}");
        }
        if self.groups_claim.is_empty() {
            add("groups_claim", "it is empty", "leave it out for `groups`");
        }
        if self.allowed_audiences.contains(&self.client_id) {
            let what = "with Penstock's own client_id in it, what people get at login could be used in place of a token";
            add("allowed_audiences", what, "give programs an audience of their own, such as `https://penstock.example.org`");
        }
        Invalid::from_problems(found)
    }

    /// Whether Penstock's secret at the provider is where it is said to be.
    pub fn check_secret(&self, of_variable: &dyn Fn(&str) -> Option<Secret>) -> Result<(), Error> {
        self.secret(of_variable).map(drop)
    }

    /// Penstock's secret at the provider.
    pub(crate) fn secret(&self, of_variable: &dyn Fn(&str) -> Option<Secret>) -> Result<Option<Secret>, Error> {
        let missing = |from: String| Error::NoSecret { provider: self.name.clone(), from };
        match (&self.client_secret_env, &self.client_secret_file) {
            (Some(variable), _) => of_variable(variable).map(Some).ok_or_else(|| missing(variable.clone())),
            (None, Some(path)) => {
                let unread = |source| Error::SecretFile { provider: self.name.clone(), path: path.clone(), source };
                let text = std::fs::read_to_string(path).map_err(unread)?;
                let text = text.trim();
                if text.is_empty() { Err(missing(path.display().to_string())) } else { Ok(Some(Secret::new(text))) }
            }
            (None, None) => Ok(None),
        }
    }
}

const LONGEST_NAME: usize = 32;

/// Whether browsers can be sent back to a path below this URL.
pub fn is_public_url(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| is_safe(&url) && url.path() == "/" && url.query().is_none() && url.fragment().is_none())
}

/// Nobody on the way can change what comes from there.
pub(crate) fn is_safe(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> ProviderConfig {
        let everybody = Grants { roles: vec!["viewer".parse().expect("a name")], ..Grants::default() };
        ProviderConfig { everybody, ..ProviderConfig::new("corp", "https://id.example.org/realms/x", "penstock") }
    }

    fn wrong(config: &ProviderConfig) -> Vec<String> {
        config.check().err().map(|invalid| invalid.0.into_iter().map(|problem| problem.field).collect()).unwrap_or_default()
    }

    #[test]
    fn each_fault_is_told_with_its_field() {
        assert!(wrong(&good()).is_empty());
        assert_eq!(wrong(&ProviderConfig { name: "Corp IdP".to_owned(), ..good() }), ["name"]);
        assert_eq!(wrong(&ProviderConfig { everybody: Grants::default(), ..good() }), ["groups"]);
        assert_eq!(wrong(&ProviderConfig { allowed_audiences: vec!["penstock".to_owned()], ..good() }), ["allowed_audiences"]);
        for issuer in ["http://id.example.org", "id.example.org", "https://id.example.org?x=1", "http://10.0.0.1"] {
            assert_eq!(wrong(&ProviderConfig { issuer: issuer.to_owned(), ..good() }), ["issuer"], "{issuer}");
        }
        for issuer in ["http://127.0.0.1:9000", "http://localhost:9000/", "http://[::1]:9"] {
            assert!(wrong(&ProviderConfig { issuer: issuer.to_owned(), ..good() }).is_empty(), "{issuer}");
        }
    }

    #[test]
    fn a_secret_that_is_named_must_be_there() {
        let config = ProviderConfig { client_secret_env: Some("OIDC".to_owned()), ..good() };
        assert!(matches!(config.secret(&|_| None), Err(Error::NoSecret { .. })));
        assert_eq!(config.secret(&|name| Some(Secret::new(name))).expect("a secret"), Some(Secret::new("OIDC")));
        assert_eq!(good().secret(&|_| None).expect("a public client"), None);
    }
}
