//! What was used in this hour, this day and this month before this process began?
//!
//! In: the usage rows in the store. Out: the meters know it, so that a restart forgives no budget.
//! Fails: as the store does. It may be asked for again: rows of an earlier process that come late, out of
//! its journal, count then; rows of this process never do, they are counted as they happen.

use std::collections::HashMap;

use spec::Period;
use store::Spent;

use crate::access::Access;
use crate::error::Error;
use crate::window::{Amounts, Sums};

type Windows = [Sums; 3];
type ByName = HashMap<String, Windows>;

impl Access {
    /// Reads from the store what was used before this process began.
    pub async fn recount(&self) -> Result<(), Error> {
        let began = self.inner.began;
        let rows = self.inner.store.spent(Period::ALL.map(|period| period.around(began).0), began).await?;
        let [mut tokens, mut projects, mut deployments] = [ByName::new(), ByName::new(), ByName::new()];
        for row in &rows {
            let sums = windows(row);
            for (by_name, name) in [(&mut tokens, &row.token), (&mut projects, &row.project), (&mut deployments, &row.deployment)] {
                let Some(name) = name else { continue };
                for (all, sums) in by_name.entry(name.clone()).or_default().iter_mut().zip(sums) {
                    all.add(sums);
                }
            }
        }
        for (id, past) in &tokens {
            if let Some(caller) = self.inner.callers.by_id(id) {
                caller.meter().lock().set_past(began, *past);
            }
        }
        for (name, past) in &projects {
            self.shared(name).meter.lock().set_past(began, *past);
        }
        for (name, past) in &deployments {
            self.gate_of(name).meter.lock().set_past(began, *past);
        }
        Ok(())
    }
}

/// What a row adds to the hour, the day and the month.
fn windows(row: &Spent) -> Windows {
    let sums = Sums { requests: row.calls, amounts: Amounts { tokens: row.tokens, usd: row.cost.0 } };
    let none = Sums::default();
    [if row.in_hour { sums } else { none }, if row.in_day { sums } else { none }, sums]
}
