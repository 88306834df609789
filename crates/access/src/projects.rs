//! How do projects come, change and go?
//!
//! In: what an operator wants. Out: the store is changed first, then what their callers read. Fails:
//! on a wish that makes no sense, on a name that is taken, and while something belongs to what is to go. Holds: the one writer's place.

use std::sync::Arc;

use base::Timestamp;
use serde::{Deserialize, Deserializer};
use spec::{Allotment, Budget, Invalid, Limits, Name, Project};

use crate::access::Access;
use crate::change::to_the_end;
use crate::error::Error;

const LONGEST_DESCRIPTION: usize = 1_000;
/// Projects that are kept in memory.
const MOST_PROJECTS: usize = 5_000;

/// A project that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// What tokens will call it.
    pub name: Name,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// How much at a time, all of its tokens together.
    #[serde(default)]
    pub limits: Limits,
    /// How much within an hour, a day, a month.
    #[serde(default)]
    pub budget: Budget,
    /// How many things it may have.
    #[serde(default)]
    pub quota: Allotment,
}

/// A change of a project: what is not there stays; `null` takes a value away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectPatch {
    /// Another description.
    #[serde(deserialize_with = "there")]
    pub description: Option<Option<String>>,
    /// Other limits, all of them.
    pub limits: Option<Limits>,
    /// Another budget, all of it.
    pub budget: Option<Budget>,
    /// Another quota, all of it.
    pub quota: Option<Allotment>,
}

#[expect(clippy::option_option, reason = "not there, taken away and set are three things")]
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Access {
    /// All projects, by name.
    pub async fn list_projects(&self) -> Result<Vec<Project>, Error> {
        Ok(self.inner.store.list_projects().await?)
    }

    /// One project.
    pub async fn get_project(&self, name: &Name) -> Result<Project, Error> {
        self.find_project(name).await?.ok_or_else(|| Error::NoProject(name.clone()))
    }

    /// Makes a project; what the tokens that carry its name have used already counts.
    pub async fn create_project(&self, new: NewProject) -> Result<Project, Error> {
        let this = self.clone();
        to_the_end(async move {
            let _alone = this.alone().await;
            if this.find_project(&new.name).await?.is_some() {
                return Err(Error::ProjectExists(new.name));
            }
            this.keep_project(new, None).await
        })
        .await
    }

    /// Makes a project, or takes the place of the one of this name; says whether it was made.
    pub async fn put_project(&self, new: NewProject) -> Result<(Project, bool), Error> {
        let this = self.clone();
        to_the_end(async move {
            let _alone = this.alone().await;
            let before = this.find_project(&new.name).await?;
            let made = before.is_none();
            Ok((this.keep_project(new, before).await?, made))
        })
        .await
    }

    /// Changes a project, at once also for those who call.
    pub async fn patch_project(&self, name: &Name, patch: ProjectPatch) -> Result<Project, Error> {
        let (this, name) = (self.clone(), name.clone());
        to_the_end(async move {
            let _alone = this.alone().await;
            let before = this.get_project(&name).await?;
            let new = NewProject {
                name,
                description: patch.description.unwrap_or_else(|| before.description.clone()),
                limits: patch.limits.unwrap_or_else(|| before.limits.clone()),
                budget: patch.budget.unwrap_or_else(|| before.budget.clone()),
                quota: patch.quota.unwrap_or(before.quota),
            };
            this.keep_project(new, Some(before)).await
        })
        .await
    }

    /// Removes a project that nothing belongs to.
    pub async fn delete_project(&self, name: &Name) -> Result<(), Error> {
        let (this, name) = (self.clone(), name.clone());
        to_the_end(async move {
            let _alone = this.alone().await;
            this.get_project(&name).await?;
            let owned = this.inner.store.owned_by(&name).await?;
            // Between the look and the deletion something may have come: then the store deletes nothing.
            if !owned.is_nothing() || !this.inner.store.delete_project(&name).await? {
                let owned = Box::new(this.inner.store.owned_by(&name).await?);
                return Err(Error::ProjectInUse { name, owned });
            }
            this.shared(name.as_str()).project.store(None);
            Ok(())
        })
        .await
    }

    async fn find_project(&self, name: &Name) -> Result<Option<Project>, Error> {
        Ok(self.list_projects().await?.into_iter().find(|project| project.name == *name))
    }

    /// Store first, then memory.
    async fn keep_project(&self, new: NewProject, before: Option<Project>) -> Result<Project, Error> {
        check(&new)?;
        if before.is_none() && self.list_projects().await?.len() >= MOST_PROJECTS {
            return Err(Error::TooMany { what: "projects", most: MOST_PROJECTS });
        }
        let now = Timestamp::now();
        let NewProject { name, description, limits, budget, quota } = new;
        let created_at = before.map_or(now, |before| before.created_at);
        let project = Project { name, description, limits, budget, quota, created_at, updated_at: now };
        self.inner.store.put_project(&project).await?;
        self.shared(project.name.as_str()).project.store(Some(Arc::new(project.clone())));
        Ok(project)
    }
}

/// All that is wrong with a project.
fn check(new: &NewProject) -> Result<(), Invalid> {
    let mut found = Vec::new();
    if new.description.as_ref().is_some_and(|words| words.len() > LONGEST_DESCRIPTION || words.chars().any(|c| c.is_control() && c != '\n'))
    {
        let what = format!("longer than {LONGEST_DESCRIPTION} bytes, or with characters that are not shown");
        found.extend(Invalid::one("description", what, "use some words, or leave it out").0);
    }
    found.extend([new.limits.check(), new.budget.check()].into_iter().filter_map(Result::err).flat_map(|Invalid(more)| more));
    Invalid::from_problems(found)
}
