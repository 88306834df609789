//! Which models does somebody look for?
//!
//! In: words and traits, all of which a model must have; after which name to go on, and how many. Out: rows. What is looked
//! for is data, never part of the statement.

use spec::{Capability, Format, Model, Name};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::Row;
use crate::error::Error;

/// What somebody looks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelQuery {
    /// Each of these words stands somewhere: in the name, the description, a label, the architecture.
    pub words: Vec<String>,
    /// With each of these labels: `key=value`, or `key` with any value.
    pub labels: Vec<String>,
    /// With a version of this format.
    pub format: Option<Format>,
    /// That can do all of this.
    pub capabilities: Vec<Capability>,
    /// That belong to one of these projects.
    pub projects: Option<Vec<Name>>,
    /// Only those that should not be used any more, or only those that may.
    pub deprecated: Option<bool>,
    /// Names that come after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl ModelQuery {
    pub(super) async fn run(&self, connection: &mut SqliteConnection) -> Result<Vec<Row>, Error> {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT name, body, generation FROM models WHERE 1 = 1");
        if let Some(after) = &self.after {
            sql.push(" AND name > ").push_bind(after.clone());
        }
        if let Some(deprecated) = self.deprecated {
            sql.push(" AND deprecated = ").push_bind(deprecated);
        }
        if let Some(projects) = &self.projects {
            sql.push(" AND project IN (");
            let mut each = sql.separated(", ");
            for project in projects {
                each.push_bind(project.to_string());
            }
            sql.push(")");
        }
        for word in &self.words {
            sql.push(" AND instr(words, ").push_bind(word.to_lowercase()).push(") > 0");
        }
        if let Some(format) = self.format {
            has(&mut sql, "format", format.as_str());
        }
        for capability in &self.capabilities {
            has(&mut sql, "capability", capability.as_str());
        }
        for label in &self.labels {
            has(&mut sql, "label", label);
        }
        sql.push(" ORDER BY name LIMIT ").push_bind(self.limit.map_or(-1, i64::from));
        Ok(sql.build_query_as().fetch_all(connection).await?)
    }
}

fn has(sql: &mut QueryBuilder<Sqlite>, kind: &'static str, word: &str) {
    sql.push(" AND EXISTS (SELECT 1 FROM model_traits WHERE model = models.name AND kind = ").push_bind(kind);
    // A label is stored as `key=value` and as `key`, so that both are found by the index.
    sql.push(" AND word = ").push_bind(word.to_owned()).push(")");
}

/// Writes by what a model is found.
pub(super) async fn write(change: &mut SqliteConnection, model: &Model) -> Result<(), Error> {
    sqlx::query("DELETE FROM model_traits WHERE model = ?").bind(model.name.as_str()).execute(&mut *change).await?;
    let formats = model.versions.iter().map(|listed| ("format", listed.version.format.to_string()));
    let capabilities = model.capabilities().into_iter().map(|capability| ("capability", capability.to_string()));
    let labels = model.card.labels.iter().flat_map(|(key, value)| [("label", format!("{key}={value}")), ("label", key.clone())]);
    for (kind, word) in formats.chain(capabilities).chain(labels) {
        sqlx::query("INSERT INTO model_traits (model, kind, word) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(model.name.as_str())
            .bind(kind)
            .bind(word)
            .execute(&mut *change)
            .await?;
    }
    Ok(())
}
