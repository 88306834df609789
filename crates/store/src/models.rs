//! Which models are registered?
//!
//! In: [`Model`]s, whole, with versions and tags, and what moved which tag. Out: the same; pages of those that a search finds.
//! Fails: [`Error::StaleModel`], [`Error::Quota`]; else as the database does. The generation rises by one with every change; the owner of the
//! decision is this module, so that two writers cannot both believe that they were first. Bounded: the newest [`MOST_MOVES`]
//! moves of a model.

use spec::{Card, Listed, Model, Name, TagMove};
use sqlx::SqliteConnection;

use crate::error::Error;
use crate::open::Store;
use crate::owned::{self, Owned};
use crate::row::{from_int, from_json, to_int, to_json};

mod search;

pub use search::ModelQuery;

/// Moves of the tags of one model that are remembered.
const MOST_MOVES: i64 = 1_000;

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    body: String,
    generation: i64,
}

impl Store {
    /// Stores a model and how its tags moved, if it still has the generation that it says (0: if there is none). Returns it at the
    /// next one.
    pub async fn put_model(&self, model: &Model, moves: &[TagMove]) -> Result<Model, Error> {
        let mut change = self.begin().await?;
        let before: Option<(i64, Option<String>)> = sqlx::query_as("SELECT generation, project FROM models WHERE name = ?")
            .bind(model.name.as_str())
            .fetch_optional(&mut *change)
            .await?;
        let (actual, belonged) = before.map_or((0, None), |(generation, project)| (from_int(generation), project));
        if actual != model.generation {
            return Err(Error::StaleModel { name: model.name.clone(), actual });
        }
        let project = model.card.project.as_ref();
        if belonged.as_deref() != project.map(Name::as_str) {
            owned::must_fit(&mut change, project, Owned::MODELS).await?;
        }
        let model = Model { generation: actual + 1, ..model.clone() };
        write(&mut change, &model).await?;
        write_versions(&mut change, &model).await?;
        search::write(&mut change, &model).await?;
        write_moves(&mut change, &model.name, moves).await?;
        touch(&mut change).await?;
        change.commit().await?;
        Ok(model)
    }

    /// All models, by name.
    pub async fn list_models(&self) -> Result<Vec<Model>, Error> {
        self.find_models(&ModelQuery::default()).await
    }

    /// The models that a search finds, by name.
    pub async fn find_models(&self, query: &ModelQuery) -> Result<Vec<Model>, Error> {
        let mut connection = self.reader().acquire().await?;
        let found = query.run(&mut connection).await?;
        let mut models = Vec::with_capacity(found.len());
        for row in found {
            models.push(whole(&mut connection, row).await?);
        }
        Ok(models)
    }

    /// The model of this name.
    pub async fn get_model(&self, name: &Name) -> Result<Option<Model>, Error> {
        let mut connection = self.reader().acquire().await?;
        let row: Option<Row> = sqlx::query_as("SELECT name, body, generation FROM models WHERE name = ?")
            .bind(name.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        match row {
            Some(row) => Ok(Some(whole(&mut connection, row).await?)),
            None => Ok(None),
        }
    }

    /// The same without its versions, for who only wants to know where its tags point.
    pub async fn get_bare_model(&self, name: &Name) -> Result<Option<Model>, Error> {
        let row: Option<Row> = sqlx::query_as("SELECT name, body, generation FROM models WHERE name = ?")
            .bind(name.as_str())
            .fetch_optional(self.reader())
            .await?;
        row.map(|row| bare(&row)).transpose()
    }

    /// How the tags of a model moved, the newest move first.
    pub async fn list_tag_moves(&self, model: &Name, most: u32) -> Result<Vec<TagMove>, Error> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT body FROM tag_moves WHERE model = ? ORDER BY id DESC LIMIT ?")
            .bind(model.as_str())
            .bind(most)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(|body| from_json("move of a tag", model.as_str(), body)).collect()
    }

    /// A number that rises with every change of a model.
    pub async fn models_changed(&self) -> Result<u64, Error> {
        let value: i64 = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'models'").fetch_one(self.reader()).await?;
        Ok(from_int(value))
    }

    /// Forgets a model; `false` when there is none. With `expect` only if it has that generation.
    pub async fn remove_model(&self, name: &Name, expect: Option<u64>) -> Result<bool, Error> {
        let mut change = self.begin().await?;
        let done = sqlx::query("DELETE FROM models WHERE name = ?1 AND generation = coalesce(?2, generation)")
            .bind(name.as_str())
            .bind(expect.map(to_int))
            .execute(&mut *change)
            .await?;
        if done.rows_affected() == 0 {
            let actual: Option<i64> =
                sqlx::query_scalar("SELECT generation FROM models WHERE name = ?").bind(name.as_str()).fetch_optional(&mut *change).await?;
            return actual.map_or(Ok(false), |actual| Err(Error::StaleModel { name: name.clone(), actual: from_int(actual) }));
        }
        touch(&mut change).await?;
        change.commit().await?;
        Ok(true)
    }

    /// The revisions that are remembered of this version of a model: the deployment, and the number. An undo may go back to any.
    pub async fn revisions_of_digest(&self, digest: &str) -> Result<Vec<(Name, u64)>, Error> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT deployment, number FROM revisions WHERE digest = ? ORDER BY deployment, number")
                .bind(digest)
                .fetch_all(self.reader())
                .await?;
        rows.into_iter().map(|(name, number)| Ok((crate::row::from_word("deployment", &name)?, from_int(number)))).collect()
    }
}

fn bare(row: &Row) -> Result<Model, Error> {
    Ok(Model { generation: from_int(row.generation), ..from_json("model", &row.name, &row.body)? })
}

async fn whole(connection: &mut SqliteConnection, row: Row) -> Result<Model, Error> {
    let rows: Vec<String> = sqlx::query_scalar("SELECT body FROM model_versions WHERE model = ? ORDER BY place DESC")
        .bind(&row.name)
        .fetch_all(connection)
        .await?;
    let versions = rows.iter().map(|body| from_json::<Listed>("version", &row.name, body)).collect::<Result<_, _>>()?;
    Ok(Model { versions, ..bare(&row)? })
}

async fn write(change: &mut SqliteConnection, model: &Model) -> Result<(), Error> {
    let bare = Model { versions: Vec::new(), ..model.clone() };
    sqlx::query(
        "INSERT INTO models (name, body, generation, words, deprecated) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET body = excluded.body, generation = excluded.generation, words = excluded.words,
            deprecated = excluded.deprecated",
    )
    .bind(model.name.as_str())
    .bind(to_json("model", &bare)?)
    .bind(to_int(model.generation))
    .bind(words(model))
    .bind(model.card.deprecated.is_some())
    .execute(change)
    .await?;
    Ok(())
}

/// All that a search looks through.
fn words(model: &Model) -> String {
    let Card { description, licence, labels, .. } = &model.card;
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
    let of_versions = model.versions.iter().flat_map(|listed| {
        let version = &listed.version;
        [version.architecture.clone(), version.quantisation.clone(), version.title.clone().unwrap_or_default(), listed.note.clone()]
    });
    let mut all: Vec<String> = [model.name.to_string(), description.clone(), licence.clone()].into_iter().chain(labels).collect();
    for word in of_versions.filter(|word| !word.is_empty()) {
        if !all.contains(&word) {
            all.push(word);
        }
    }
    all.join("\n").to_lowercase()
}

/// Writes what is new, and forgets what is gone; a version itself never changes, what is said of it may.
async fn write_versions(change: &mut SqliteConnection, model: &Model) -> Result<(), Error> {
    let name = model.name.as_str();
    let before: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT digest, place, body FROM model_versions WHERE model = ?").bind(name).fetch_all(&mut *change).await?;
    for (digest, ..) in before.iter().filter(|(digest, ..)| model.version(digest).is_none()) {
        sqlx::query("DELETE FROM model_versions WHERE model = ? AND digest = ?").bind(name).bind(digest).execute(&mut *change).await?;
    }
    let mut place = 0;
    for listed in model.versions.iter().rev() {
        let digest = &listed.version.digest;
        let body = to_json("version", listed)?;
        let known = before.iter().find(|(known, ..)| known == digest);
        // Places only rise, and one that still does is kept: what goes leaves a gap.
        let kept = known.map(|(_, at, _)| *at).filter(|at| *at > place);
        place = kept.unwrap_or(place + 1);
        if known.is_some_and(|(_, _, as_it_was)| *as_it_was == body) && kept.is_some() {
            continue;
        }
        sqlx::query(
            "INSERT INTO model_versions (model, digest, place, body) VALUES (?, ?, ?, ?)
             ON CONFLICT (model, digest) DO UPDATE SET place = excluded.place, body = excluded.body",
        )
        .bind(name)
        .bind(digest)
        .bind(place)
        .bind(body)
        .execute(&mut *change)
        .await?;
    }
    Ok(())
}

async fn write_moves(change: &mut SqliteConnection, model: &Name, moves: &[TagMove]) -> Result<(), Error> {
    for moved in moves {
        sqlx::query("INSERT INTO tag_moves (model, tag, body) VALUES (?, ?, ?)")
            .bind(model.as_str())
            .bind(&moved.tag)
            .bind(to_json("move of a tag", moved)?)
            .execute(&mut *change)
            .await?;
    }
    sqlx::query(
        "DELETE FROM tag_moves WHERE model = ?1
            AND id <= (SELECT id FROM tag_moves WHERE model = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(model.as_str())
    .bind(MOST_MOVES)
    .execute(change)
    .await?;
    Ok(())
}

async fn touch(change: &mut SqliteConnection) -> Result<(), Error> {
    sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'models'").execute(change).await?;
    Ok(())
}
