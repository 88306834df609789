//! What happened, in which order?
//!
//! In: [`Event`]s. Out: the same with their place in the story. Fails: as the database does.
//! Bounded: the newest [`KEPT`], and so many of those that tell who changed what; the ids run on, so a watcher sees by a gap that it came too late.

use spec::{Event, EventKind, Name};
use sqlx::SqliteConnection;

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, from_json, to_int, to_json};

/// Events that are kept.
const KEPT: i64 = 100_000;
/// Most events of one answer.
const LARGEST_PAGE: u32 = 10_000;

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only those stored after this one.
    pub after: Option<u64>,
    /// Only those of this deployment.
    pub deployment: Option<Name>,
    /// Only those of these kinds; all when there are none.
    pub kinds: Vec<EventKind>,
    /// None of this kind.
    pub but: Option<EventKind>,
    /// At most so many; 10,000 at most, and so many when 0.
    pub limit: u32,
    /// From the newest back, instead of from the oldest on.
    pub newest_first: bool,
}

impl Store {
    /// Stores events in this order, all or none, and gives their ids.
    pub async fn append_events(&self, events: &[Event]) -> Result<Vec<u64>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut change = self.begin().await?;
        let mut ids = Vec::with_capacity(events.len());
        for event in events {
            let id: i64 = sqlx::query_scalar("INSERT INTO events (deployment, kind, body) VALUES (?, ?, ?) RETURNING id")
                .bind(event.deployment.as_ref().map(Name::as_str))
                .bind(event.kind.as_str())
                .bind(to_json("event", event)?)
                .fetch_one(&mut *change)
                .await?;
            ids.push(from_int(id));
        }
        prune(&mut change, KEPT).await?;
        if events.iter().any(|event| event.kind == EventKind::Audit) {
            prune_audit(&mut change, KEPT).await?;
        }
        change.commit().await?;
        Ok(ids)
    }

    /// Events as asked for.
    pub async fn list_events(&self, query: EventQuery) -> Result<Vec<Event>, Error> {
        const SELECT: &str = "SELECT id, body FROM events WHERE id > ";
        let limit = if query.limit == 0 { LARGEST_PAGE } else { query.limit.min(LARGEST_PAGE) };
        let mut sql = sqlx::QueryBuilder::<sqlx::Sqlite>::new(SELECT);
        sql.push_bind(to_int(query.after.unwrap_or(0)));
        if let Some(deployment) = &query.deployment {
            sql.push(" AND deployment = ").push_bind(deployment.as_str());
        }
        if !query.kinds.is_empty() {
            let mut kinds = sql.push(" AND kind IN (").separated(", ");
            for kind in &query.kinds {
                kinds.push_bind(kind.as_str());
            }
            sql.push(")");
        }
        if let Some(kind) = query.but {
            sql.push(" AND kind <> ").push_bind(kind.as_str());
        }
        sql.push(if query.newest_first { " ORDER BY id DESC LIMIT " } else { " ORDER BY id LIMIT " }).push_bind(limit);
        let rows: Vec<(i64, String)> = sql.build_query_as().fetch_all(self.reader()).await?;
        rows.iter()
            .map(|(id, body)| {
                let event: Event = from_json("event", &id.to_string(), body)?;
                Ok(Event { id: from_int(*id), ..event })
            })
            .collect()
    }
}

/// Ids have no gaps, so what lies behind the newest `keep` is found by number. Who changed what stays: a flood of other
/// events must not wash it away.
async fn prune(connection: &mut SqliteConnection, keep: i64) -> Result<(), Error> {
    sqlx::query("DELETE FROM events INDEXED BY events_told WHERE kind <> 'audit' AND id <= (SELECT max(id) FROM events) - ?")
        .bind(keep)
        .execute(connection)
        .await?;
    Ok(())
}

/// The newest `keep` of those that tell who changed what.
async fn prune_audit(connection: &mut SqliteConnection, keep: i64) -> Result<(), Error> {
    sqlx::query(
        "DELETE FROM events WHERE kind = 'audit'
            AND id <= (SELECT id FROM events WHERE kind = 'audit' ORDER BY id DESC LIMIT 1 OFFSET ?)",
    )
    .bind(keep)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use spec::EventKind;

    use super::*;

    #[tokio::test]
    async fn old_events_make_room_and_ids_run_on() -> Result<(), Error> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(dir.path().join("penstock.db")).await?;
        let event = Event::now(EventKind::Started, spec::Cause::Penstock, "up");
        store.append_events(&vec![event.clone(); 10]).await?;
        prune(&mut *store.writer().acquire().await?, 3).await?;
        let left: Vec<u64> = store.list_events(EventQuery::default()).await?.iter().map(|e| e.id).collect();
        assert_eq!(left, [8, 9, 10]);
        prune(&mut *store.writer().acquire().await?, 0).await?;
        assert_eq!(store.append_events(&[event]).await?, [11]);
        Ok(())
    }

    #[tokio::test]
    async fn who_changed_what_is_not_washed_away_by_other_events() -> Result<(), Error> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(dir.path().join("penstock.db")).await?;
        let event = |kind| Event::now(kind, spec::Cause::Penstock, "it");
        store.append_events(&[event(EventKind::Audit), event(EventKind::Audit), event(EventKind::Audit)]).await?;
        store.append_events(&vec![event(EventKind::Started); 10]).await?;
        let mut change = store.writer().acquire().await?;
        prune(&mut change, 3).await?;
        prune_audit(&mut change, 2).await?;
        drop(change);
        let left: Vec<u64> = store.list_events(EventQuery::default()).await?.iter().map(|e| e.id).collect();
        assert_eq!(left, [2, 3, 11, 12, 13]);
        let audit = EventQuery { kinds: vec![EventKind::Audit], ..EventQuery::default() };
        assert_eq!(store.list_events(audit).await?.len(), 2);
        let but = EventQuery { but: Some(EventKind::Audit), ..EventQuery::default() };
        assert_eq!(store.list_events(but).await?.len(), 3);
        Ok(())
    }
}
