//! Whom does a provider speak of, and what may they do here?
//!
//! In: claims that are proven (`proof`), and what the config says about groups. Out: a [`Person`], who may be nobody here. Fails: never.

use std::collections::BTreeSet;

use base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spec::Grants;

use super::config::ProviderConfig;
use crate::users::Login;

/// All claims that the protocol itself gives no meaning to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl openidconnect::AdditionalClaims for Claims {}

/// Somebody whom a provider knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// Which provider, by its name here.
    pub(crate) provider: String,
    /// What it calls them for good.
    pub(crate) subject: String,
    /// What people call them.
    pub(crate) name: String,
    /// Where they get mail, if the provider has made sure of it.
    pub(crate) email: Option<String>,
    /// What they may do, by their groups.
    pub(crate) grants: Grants,
}

impl Person {
    /// What the provider said of them then.
    pub(crate) fn said_at(self, as_of: Timestamp) -> Login {
        let Self { provider, subject, name, email, grants } = self;
        Login { provider, subject, name, email, mapped: grants, as_of }
    }
}

/// What a provider says about somebody, of the claims that the protocol does give a meaning to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) subject: String,
    pub(crate) username: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) others: Claims,
}

/// A name for people that is longer is cut.
const LONGEST_NAME: usize = 100;

impl Said {
    /// The person, with what their groups stand for.
    pub(crate) fn person(&self, config: &ProviderConfig) -> Person {
        let groups = self.others.groups(&config.groups_claim).unwrap_or_default();
        let (name, grants) = (self.name(config), grants(config, &groups));
        Person { provider: config.name.clone(), subject: self.subject.clone(), name, email: self.email.clone(), grants }
    }

    /// Whether it tells all that the config asks for; else the provider is asked for the rest.
    pub(crate) fn is_whole(&self, config: &ProviderConfig) -> bool {
        let named = match &config.name_claim {
            Some(claim) => self.others.text(claim).is_some(),
            None => self.username.is_some() || self.email.is_some(),
        };
        named && (config.groups.is_empty() || self.others.groups(&config.groups_claim).is_some())
    }

    /// With what another answer of the same provider about the same person says besides.
    pub(crate) fn and(mut self, more: Self) -> Self {
        self.username = self.username.or(more.username);
        self.email = self.email.or(more.email);
        for (claim, value) in more.others.all {
            self.others.all.entry(claim).or_insert(value);
        }
        self
    }

    fn name(&self, config: &ProviderConfig) -> String {
        let own = config.name_claim.as_deref().and_then(|claim| self.others.text(claim));
        let all = [own, self.username.as_deref(), self.email.as_deref(), Some(self.subject.as_str())];
        all.into_iter().flatten().map(seen).find(|name| !name.is_empty()).unwrap_or_default()
    }
}

impl Claims {
    pub(crate) fn get(&self, claim: &str) -> Option<&Value> {
        // Some providers put dots into names, others put objects into objects.
        self.all.get(claim).or_else(|| {
            let mut steps = claim.split('.');
            let first = self.all.get(steps.next()?)?;
            steps.try_fold(first, |value, step| value.get(step))
        })
    }

    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        self.get(claim)?.as_str().filter(|text| !text.trim().is_empty())
    }

    pub(crate) fn seconds(&self, claim: &str) -> Option<i64> {
        let value = self.get(claim)?;
        #[expect(clippy::cast_possible_truncation, reason = "some providers write whole seconds with a point")]
        value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
    }

    /// A list of texts, or one text.
    fn groups(&self, claim: &str) -> Option<BTreeSet<String>> {
        match self.get(claim)? {
            Value::Array(all) => Some(all.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            Value::String(one) => Some(BTreeSet::from([one.clone()])),
            _ => None,
        }
    }
}

/// What is seen of a name.
fn seen(name: &str) -> String {
    let letters = name.chars().filter(|c| !base::is_unseen(*c)).skip_while(|c| c.is_whitespace());
    letters.take(LONGEST_NAME).collect::<String>().trim_end().to_owned()
}

fn grants(config: &ProviderConfig, groups: &BTreeSet<String>) -> Grants {
    let mut sum = config.everybody.clone();
    for one in groups.iter().filter_map(|group| config.groups.get(group)) {
        sum.roles.extend(one.roles.iter().cloned());
        for (project, roles) in &one.projects {
            sum.projects.entry(project.clone()).or_default().extend(roles.iter().cloned());
        }
    }
    for roles in std::iter::once(&mut sum.roles).chain(sum.projects.values_mut()) {
        roles.sort();
        roles.dedup();
    }
    sum
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> ProviderConfig {
        let groups = json!({
            "ops": {"roles": ["operator"]},
            "everyone": {"roles": ["viewer"]},
            "red": {"projects": {"red": ["developer"]}},
        });
        ProviderConfig { groups: serde_json::from_value(groups).expect("groups"), ..ProviderConfig::new("corp", "https://x", "p") }
    }

    fn said(claims: Value) -> Said {
        Said { subject: "s1".to_owned(), others: serde_json::from_value(claims).expect("claims"), ..Said::default() }
    }

    #[test]
    fn groups_give_the_sum_of_what_each_stands_for_and_strange_ones_give_nothing() {
        let person = said(json!({"groups": ["red", "everyone", "ops", "everyone", "cooks"]})).person(&config());
        assert_eq!(person.grants.roles.iter().map(spec::Name::as_str).collect::<Vec<_>>(), ["operator", "viewer"]);
        assert_eq!(person.grants.projects.len(), 1);
        assert!(said(json!({"groups": ["cooks"]})).person(&config()).grants.is_empty());
        assert!(said(json!({})).person(&config()).grants.is_empty());
    }

    #[test]
    fn groups_are_found_in_objects_under_names_with_dots_and_as_one_text() {
        let nested = ProviderConfig { groups_claim: "realm_access.roles".to_owned(), ..config() };
        assert!(!said(json!({"realm_access": {"roles": ["ops"]}})).person(&nested).grants.is_empty());
        let dotted = ProviderConfig { groups_claim: "https://example.org/groups".to_owned(), ..config() };
        assert!(!said(json!({"https://example.org/groups": "ops"})).person(&dotted).grants.is_empty());
    }

    #[test]
    fn a_person_is_called_by_the_best_name_that_there_is() {
        let open = ProviderConfig { everybody: Grants { roles: vec!["viewer".parse().expect("a name")], ..Grants::default() }, ..config() };
        let name = |said: &Said, config: &ProviderConfig| said.person(config).name;
        let mut said = said(json!({"nick": " anni\n"}));
        assert_eq!(name(&said, &open), "s1");
        said.email = Some("ann@example.org".to_owned());
        assert_eq!(name(&said, &open), "ann@example.org");
        said.username = Some("ann".to_owned());
        assert_eq!(name(&said, &open), "ann");
        assert_eq!(name(&said, &ProviderConfig { name_claim: Some("nick".to_owned()), ..open.clone() }), "anni");
        said.username = Some("\u{202e}nna\u{2069}\u{200b} ".to_owned());
        assert_eq!(name(&said, &open), "nna", "nobody is called what only looks like a name");
        said.username = Some("\u{202e}\u{200b}".to_owned());
        assert_eq!(name(&said, &open), "ann@example.org", "of that name nothing is seen");
    }
}
