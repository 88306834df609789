//! How much of what they may use has somebody used?
//!
//! In: a token, a project, a deployment. Out: a [`Use`], for people. Fails: never. Holds: a short lock.

use base::Timestamp;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use spec::{Limits, Name, Period, TokenId, Usd};
use tokio::time::Instant;

use crate::access::Access;
use crate::bucket::Rate;
use crate::holder::terms;
use crate::meter::{Meter, Terms};
use crate::window::Window;
use crate::words::{Coin, Quota};

/// What somebody uses now.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Use {
    /// Calls since the month (UTC) began.
    pub requests: u64,
    /// Tokens in and out since the month began.
    pub tokens: u64,
    /// What they cost.
    pub usd: Usd,
    /// Calls that run now.
    pub running: u32,
    /// The limits of a minute, those that are set.
    #[serde(skip_serializing_if = "Minute::is_empty")]
    pub minute: Minute,
    /// The budgets that are set.
    #[serde(skip_serializing_if = "Quotas::is_empty")]
    pub budget: Quotas,
}

/// How the limits of a minute stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rate")]
    pub requests: Option<Rate>,
    /// Tokens.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rate")]
    pub tokens: Option<Rate>,
}

impl Minute {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How budgets stand, by their names as they are written: `tokens_per_day`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quotas(pub Vec<Quota>);

impl Quotas {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Serialize)]
struct ShownRate {
    limit: u64,
    remaining: u64,
    reset_ms: u128,
}

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn rate<S: Serializer>(rate: &Option<Rate>, serializer: S) -> Result<S::Ok, S::Error> {
    rate.map(|rate| ShownRate { limit: rate.limit, remaining: rate.remaining, reset_ms: rate.reset.as_millis() }).serialize(serializer)
}

#[derive(Serialize)]
#[serde(untagged)]
enum Amount {
    Tokens(u64),
    Usd(Usd),
}

#[derive(Serialize)]
struct ShownQuota {
    limit: Amount,
    spent: Amount,
    reserved: Amount,
    resets_at: Timestamp,
}

impl Serialize for Quotas {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for quota in &self.0 {
            let coin = |n: u64| if quota.coin == Coin::Tokens { Amount::Tokens(n) } else { Amount::Usd(Usd(n)) };
            let shown =
                ShownQuota { limit: coin(quota.limit), spent: coin(quota.spent), reserved: coin(quota.reserved), resets_at: quota.resets };
            let name = match quota.coin {
                Coin::Tokens => format!("tokens_per_{}", quota.period),
                Coin::Usd => format!("usd_per_{}", quota.period),
            };
            map.serialize_entry(&name, &shown)?;
        }
        map.end()
    }
}

impl Access {
    /// What a token uses.
    pub fn use_of_token(&self, id: &TokenId) -> Option<Use> {
        self.caller_of(id).map(|caller| match caller.metered() {
            Some(meter) => used(meter, caller.terms()),
            None => used(&Meter::new(), caller.terms()),
        })
    }

    /// What the tokens of a project use together.
    pub fn use_of_project(&self, name: &Name) -> Option<Use> {
        let projects = self.inner.projects.load();
        let shared = projects.get(name.as_str())?;
        Some(used(&shared.meter, terms(shared.project.load().as_deref())))
    }

    /// What the callers of a deployment use together.
    pub fn use_of_deployment(&self, name: &Name, limits: &Limits, budget: &spec::Budget) -> Option<Use> {
        let gates = self.inner.gates.load();
        Some(used(&gates.get(name.as_str())?.meter, Terms { limits, budget }))
    }
}

fn used(meter: &Meter, terms: Terms<'_>) -> Use {
    let counts = &mut *meter.lock();
    counts.roll(Timestamp::now());
    let rates = counts.rates(terms, Instant::now());
    let month = counts.windows().iter().rfind(|window| window.period() == Period::Month).map(Window::sums).unwrap_or_default();
    Use {
        requests: month.requests,
        tokens: month.amounts.tokens,
        usd: Usd(month.amounts.usd),
        running: counts.running(),
        minute: Minute { requests: rates.requests, tokens: rates.tokens },
        budget: Quotas(counts.windows().iter().flat_map(|window| window.quotas(terms.budget)).collect()),
    }
}
