//! What an older client wants, as a deployment.
//!
//! In: its fields. Out: a [`Deployment`]; every field has become a part of it, or was checked against
//! this machine. Fails: with the field, as the client calls it, and what to write instead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::tasks;
use serde::{Deserialize, Serialize};
use spec::{Deployment, Invalid, Name, Problem, RuntimeKind, Source};
use utoipa::ToSchema;

use super::resources::Resources;
use crate::door::Admin;
use crate::error::Error;
use crate::{House, belongs};

/// A service as an older client asks for it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ServiceSpec {
    /// In an update: the id in the path, or nothing.
    #[serde(default)]
    service_id: Option<String>,
    /// The model name that clients will send; without `modelFileDir`, a model of the registry.
    #[schema(value_type = String)]
    pub(crate) model_name: Name,
    /// A model file of this machine, or a folder with just one in it; the whole path.
    #[serde(default)]
    model_file_dir: Option<String>,
    /// What an instance runs on.
    resource_requirements: Resources,
    /// How many instances, always; 1 when not given.
    #[serde(default)]
    replica_count: Option<u32>,
    /// Context length of one call, in tokens; the model's own when 0 or not given.
    #[serde(default)]
    context_length: Option<u32>,
    /// More environment for the engine.
    #[serde(default)]
    env: Option<Vec<EnvVar>>,
    /// `opensourcellm` or `remote`; by default what fits the runtime.
    #[serde(default)]
    pipeline: Option<String>,
    /// `process` or `external`; by default where the engine usually runs.
    #[serde(default)]
    runtime: Option<String>,
}

/// A variable.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvVar {
    /// Its name.
    key: String,
    /// Its value.
    value: String,
}

impl ServiceSpec {
    /// An id in the body must be that of the path.
    pub(crate) fn check_id(&self, path: &str) -> Result<(), Error> {
        match self.service_id.as_deref() {
            None | Some("") => Ok(()),
            Some(id) if id == path => Ok(()),
            Some(id) => Err(Invalid::one("serviceId", format!("`{id}` is not the id of this service"), "leave it out").into()),
        }
    }

    /// The deployment that honours every field, on top of `base`.
    pub(crate) async fn wish(&self, (house, admin): (&House, &Admin), base: Deployment) -> Result<Deployment, Error> {
        let mut found = Vec::new();
        let mut spec = Deployment {
            model: collect(&mut found, self.source((house, admin), base.model.as_ref()).await)?,
            runtime: collect(&mut found, self.runtime().map_err(Error::from))?,
            pipeline: self.pipeline.clone().filter(|pipeline| !pipeline.is_empty()),
            context: self.context_length.filter(|context| *context > 0),
            threads: collect(&mut found, self.resource_requirements.threads(house).map_err(Error::from))?,
            env: collect(&mut found, self.environment().map_err(Error::from))?.unwrap_or_default(),
            ..base
        };
        spec.replicas.min = collect(&mut found, self.replicas().map_err(Error::from))?.unwrap_or(1);
        spec.replicas.max = spec.replicas.min;
        collect(&mut found, self.resource_requirements.accelerate(house, &mut spec).map(|()| None::<()>).map_err(Error::from))?;
        let known: Vec<String> = found.iter().map(|problem| problem.field.clone()).collect();
        collect(&mut found, older(spec.check(), &known).map(|()| None::<()>).map_err(Error::from))?;
        Invalid::from_problems(found)?;
        let field = if self.model_file_dir.is_some() { "modelFileDir" } else { "modelName" };
        if let Some(source) = &spec.model {
            let version = house.registry.resolve(source).await.map_err(|source| Error::Model { field, source })?;
            self.resource_requirements.check_memory(house, &version, spec.context)?;
        }
        Ok(spec)
    }

    /// What is as it was before is nobody's wish; anything else is looked at only for who may have it looked at.
    async fn source(&self, (house, admin): (&House, &Admin), before: Option<&Source>) -> Result<Option<Source>, Error> {
        match self.model_file_dir.as_deref().filter(|dir| !dir.is_empty()) {
            None => {
                let source = registered(&self.model_name);
                if before != Some(&source) {
                    belongs::check_source(house, admin, &source).await?;
                }
                match house.registry.resolve(&source).await {
                    Ok(_) => Ok(Some(source)),
                    Err(source) => Err(Error::Model { field: "modelName", source }),
                }
            }
            Some(dir) => {
                let path = PathBuf::from(dir.strip_prefix("file:").unwrap_or(dir));
                if !path.is_absolute() {
                    return Err(Invalid::one("modelFileDir", format!("`{dir}` is not a whole path"), "begin it with /").into());
                }
                if !matches!(before, Some(Source::File(file)) if file.starts_with(&path)) {
                    belongs::check_source(house, admin, &Source::File(path.clone())).await?;
                }
                let file = tasks::blocking("model-folder", move || the_model_in(&path)).await;
                let unread = || Invalid::one("modelFileDir", "the folder could not be read", "send it again");
                let source = Source::File(file.ok_or_else(unread)??);
                if before != Some(&source) {
                    belongs::check_source(house, admin, &source).await?;
                }
                Ok(Some(source))
            }
        }
    }

    fn runtime(&self) -> Result<Option<RuntimeKind>, Invalid> {
        let Some(word) = self.runtime.as_deref().filter(|word| !word.is_empty()) else { return Ok(None) };
        let known = [RuntimeKind::Process, RuntimeKind::External];
        known.into_iter().find(|kind| kind.as_str() == word).map(Some).ok_or_else(|| {
            Invalid::one("runtime", format!("this build has no runtime `{word}`"), "use process or external, or leave it out")
        })
    }

    fn replicas(&self) -> Result<Option<u32>, Invalid> {
        match self.replica_count {
            Some(0) => Err(Invalid::one("replicaCount", "0 instances would serve nobody", "replicaCount is at least 1")),
            count => Ok(count),
        }
    }

    fn environment(&self) -> Result<Option<BTreeMap<String, String>>, Invalid> {
        let mut all = BTreeMap::new();
        for EnvVar { key, value } in self.env.iter().flatten() {
            let wrong = |what: &str| Err(Invalid::one("env", format!("`{key}` {what}"), "give each variable a name of its own"));
            if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
                return wrong("cannot be a variable");
            }
            if all.insert(key.clone(), value.clone()).is_some() {
                return wrong("stands there twice");
            }
        }
        Ok(Some(all))
    }
}

/// The value, or its problems to those found so far; what is no problem of a field ends it all.
fn collect<T>(found: &mut Vec<Problem>, outcome: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(value) => Ok(value),
        Err(Error::Invalid(Invalid(problems))) => {
            found.extend(problems);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The same problems under the names that the older client knows, without those of fields that are
/// known to be wrong.
fn older(outcome: Result<(), Invalid>, known: &[String]) -> Result<(), Invalid> {
    outcome.or_else(|Invalid(problems)| {
        let name = |field: &str| match field {
            "context" => "contextLength".to_owned(),
            "model" => "modelFileDir".to_owned(),
            "threads" => "resourceRequirements.cpu".to_owned(),
            field if field.starts_with("replicas") => "replicaCount".to_owned(),
            field => field.to_owned(),
        };
        let renamed = problems.into_iter().map(|problem| Problem { field: name(&problem.field), ..problem });
        Invalid::from_problems(renamed.filter(|problem| !known.contains(&problem.field)).collect())
    })
}

fn registered(name: &Name) -> Source {
    Source::Registry { name: name.clone(), tag: None }
}

/// The path itself, or the only model in it. Blocks.
fn the_model_in(path: &Path) -> Result<PathBuf, Invalid> {
    let wrong = |what: String, hint: &str| Err(Invalid::one("modelFileDir", what, hint));
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(path.to_owned()) };
    let mut models: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| is_model(path)).collect();
    models.sort();
    match models.as_slice() {
        [] => wrong(format!("there is no .gguf file in {}", path.display()), "name the folder that holds the model, or the file itself"),
        [model] => Ok(model.clone()),
        [first, ..] => {
            let hint = format!("name the one that is meant, such as {}", first.display());
            wrong(format!("there are {} models in {}", models.len(), path.display()), &hint)
        }
    }
}

/// A GGUF file; of a model in several files, only the first.
fn is_model(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let later_part = name.contains("-of-") && !name.contains("-00001-of-");
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) && !later_part
}
