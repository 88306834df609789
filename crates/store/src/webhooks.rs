//! How far in the story is each receiver of events?
//!
//! In: a place. Out: the same after a crash. Fails: as the database does.

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, to_int};

/// Where a receiver is in the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookPlace {
    /// What it is called.
    pub name: String,
    /// A digest of where it is: one that has moved is another one.
    pub target: String,
    /// The last event that it has, or that was passed over.
    pub after: u64,
    /// Events that it took, ever.
    pub sent: u64,
    /// Events that it never got, ever.
    pub dropped: u64,
    /// Why it is sent nothing any more.
    pub disabled: Option<String>,
}

/// A row.
type Row = (String, String, i64, i64, i64, Option<String>);

impl Store {
    /// Stores the place of a receiver.
    pub async fn put_webhook(&self, place: &WebhookPlace) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO webhooks (name, target, after, sent, dropped, disabled) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET target = excluded.target, after = excluded.after, sent = excluded.sent,
                dropped = excluded.dropped, disabled = excluded.disabled",
        )
        .bind(&place.name)
        .bind(&place.target)
        .bind(to_int(place.after))
        .bind(to_int(place.sent))
        .bind(to_int(place.dropped))
        .bind(&place.disabled)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// The places of all receivers, by name.
    pub async fn list_webhooks(&self) -> Result<Vec<WebhookPlace>, Error> {
        let rows: Vec<Row> = sqlx::query_as("SELECT name, target, after, sent, dropped, disabled FROM webhooks ORDER BY name")
            .fetch_all(self.reader())
            .await?;
        let read = |(name, target, after, sent, dropped, disabled): Row| WebhookPlace {
            name,
            target,
            after: from_int(after),
            sent: from_int(sent),
            dropped: from_int(dropped),
            disabled,
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Forgets a receiver; it does not matter if there was none.
    pub async fn remove_webhook(&self, name: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM webhooks WHERE name = ?").bind(name).execute(self.writer()).await?;
        Ok(())
    }

    /// The id of the newest event; 0 when there is none.
    pub async fn newest_event(&self) -> Result<u64, Error> {
        let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM events").fetch_one(self.reader()).await?;
        Ok(from_int(newest))
    }
}
