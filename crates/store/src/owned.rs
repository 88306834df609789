//! What belongs to a project, and may one more?
//!
//! In: a project's name. Out: [`Owned`]. Fails: [`Error::NoProject`], [`Error::Quota`]. Who asks whether there is room asks within the change that
//! takes the place, so that two who come at once never get more than there is.

use spec::{Name, Project};
use sqlx::SqliteConnection;

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, from_json, from_word};

/// What belongs to a project. A deployment that is on its way out belongs to nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned {
    /// So many tokens.
    pub tokens: u64,
    /// These deployments, by name.
    pub deployments: Vec<Name>,
    /// These models, by name.
    pub models: Vec<Name>,
}

impl Owned {
    pub(crate) const DEPLOYMENTS: &'static str = "deployments";
    pub(crate) const MODELS: &'static str = "models";

    /// Nothing does.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Store {
    /// What belongs to this project.
    pub async fn owned_by(&self, project: &Name) -> Result<Owned, Error> {
        let tokens = self.count_tokens_of(project.as_str()).await?;
        let named = async |what, sql| {
            let names: Vec<String> = sqlx::query_scalar(sql).bind(project.as_str()).fetch_all(self.reader()).await?;
            names.iter().map(|name| from_word(what, name)).collect::<Result<Vec<Name>, Error>>()
        };
        let deployments = named("deployment", "SELECT name FROM deployments WHERE project = ? AND deleting = 0 ORDER BY name").await?;
        let models = named("model", "SELECT name FROM models WHERE project = ? ORDER BY name").await?;
        Ok(Owned { tokens, deployments, models })
    }

    /// Whether this project may have one more model; a later one than this ask may still take the place.
    pub async fn has_room_for_a_model(&self, project: &Name) -> Result<(), Error> {
        let mut connection = self.reader().acquire().await?;
        must_fit(&mut connection, Some(project), Owned::MODELS).await
    }
}

/// One more has room in this project, if it is to belong to one.
pub(crate) async fn must_fit(change: &mut SqliteConnection, project: Option<&Name>, what: &'static str) -> Result<(), Error> {
    let Some(name) = project else { return Ok(()) };
    let body: Option<String> =
        sqlx::query_scalar("SELECT body FROM projects WHERE name = ?").bind(name.as_str()).fetch_optional(&mut *change).await?;
    let project: Project = from_json("project", name.as_str(), &body.ok_or_else(|| Error::NoProject(name.clone()))?)?;
    let (most, count) = match what {
        Owned::MODELS => (project.quota.models, "SELECT count(*) FROM models WHERE project = ?"),
        _ => (project.quota.deployments, "SELECT count(*) FROM deployments WHERE project = ? AND deleting = 0"),
    };
    let Some(most) = most else { return Ok(()) };
    let used: i64 = sqlx::query_scalar(count).bind(name.as_str()).fetch_one(&mut *change).await?;
    let used = from_int(used);
    if used >= u64::from(most) { Err(Error::Quota { project: name.clone(), what, most, used }) } else { Ok(()) }
}
