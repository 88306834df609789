//! Whose is it, and may who asks do this with it?
//!
//! Deployments, models and operations may belong to a project. In: who asks, a verb, and the project of a thing, before and after. Out: nothing;
//! who may everywhere may here, and who has a role within the project may what that says. Fails: as if it were not there, for who may not even
//! see it; else with what they may not.

use access::{Caller, Denied, Reach};
use spec::{Deployment, Invalid, Kind, Name, Record, Source, Verb};

use crate::House;
use crate::door::Admin;
use crate::error::Error;
use crate::shown::sees_variables;

/// Whether who asks may do this with a thing of this project.
pub(crate) fn may(admin: &Admin, verb: Verb, (kind, project): (Kind, Option<&Name>), missing: impl FnOnce() -> Error) -> Result<(), Error> {
    let within = |verb| admin.caller().may_within(verb, kind, project.map(Name::as_str));
    within(verb).map_err(|denied| if within(Verb::Get).is_ok() { denied.into() } else { missing() })
}

/// Whether who asks may make a thing of this project: a new one, or by giving it another project.
pub(crate) fn may_make(admin: &Admin, kind: Kind, project: Option<&Name>) -> Result<(), Error> {
    let Reach::Some { projects, .. } = admin.caller().reach(Verb::Create, kind)? else { return Ok(()) };
    match project {
        Some(project) if projects.contains(project) => Ok(()),
        Some(project) => Err(access::Error::Forbidden { what: Denied::Project(project.to_string()) }.into()),
        None => {
            let names: Vec<String> = projects.iter().map(|project| format!("`{project}`")).collect();
            let what = format!("{kind} of no project are made by others");
            Err(Invalid::one("project", what, format!("write one of {}", names.join(", "))).into())
        }
    }
}

/// What of a list who asks may see, by its project.
pub(crate) fn seen(admin: &Admin, verb: Verb, kind: Kind) -> Result<Option<Vec<Name>>, Error> {
    Ok(seen_by(admin.caller(), verb, kind)?)
}

/// For a stream of a list: whether they see what they saw when it began.
pub(crate) fn sees_still(
    then: &Caller,
    (verb, kind): (Verb, Kind),
    seen: Option<Vec<Name>>,
) -> impl Fn(&Caller) -> Result<(), access::Error> + use<> {
    let variables = sees_variables(then);
    move |caller| {
        let is_as_then = seen_by(caller, verb, kind)? == seen && sees_variables(caller) == variables;
        if is_as_then { Ok(()) } else { Err(access::Error::Forbidden { what: Denied::Other }) }
    }
}

fn seen_by(caller: &Caller, verb: Verb, kind: Kind) -> Result<Option<Vec<Name>>, access::Error> {
    match caller.reach(verb, kind)? {
        Reach::Everything => Ok(None),
        Reach::Some { projects, .. } => Ok(Some(projects)),
    }
}

/// Whether a thing of this project is among them.
pub(crate) fn is_among(projects: Option<&[Name]>, project: Option<&Name>) -> bool {
    projects.is_none_or(|projects| project.is_some_and(|project| projects.contains(project)))
}

/// Whether who asks may have this wish take the place of what was stored.
pub(crate) async fn check_wish(house: &House, admin: &Admin, before: Option<&Record>, wanted: &Deployment) -> Result<(), Error> {
    let belonged = before.map(|record| record.spec.project.as_ref());
    if let Some(project) = belonged {
        may(admin, Verb::Update, (Kind::Deployments, project), || Error::not_found("deployment", &wanted.name))?;
    }
    if belonged != Some(wanted.project.as_ref()) || before.is_some_and(|record| record.deleting) {
        may_make(admin, Kind::Deployments, wanted.project.as_ref())?;
    }
    let Some(source) = &wanted.model else { return Ok(()) };
    let is_as_before = match before.filter(|record| !record.deleting && record.spec.model == wanted.model) {
        Some(before) => meant_before(house, before, source).await?,
        None => false,
    };
    if is_as_before { Ok(()) } else { check_source(house, admin, source).await }
}

/// Whether a wish meant the model that its source names now when it was stored: what came since was let to it by nobody.
async fn meant_before(house: &House, record: &Record, source: &Source) -> Result<bool, Error> {
    let Source::Registry { name, tag } = source else { return Ok(true) };
    Ok(house.registry.named(name, tag.as_deref()).await?.is_none_or(|model| model.created_at <= record.updated_at))
}

/// Whether who asks may have this looked at, before anything of it is. A model of a project is used by those who may see it, and a file of this machine,
/// or an object that is read with this server's credentials, by everybody only where the operator has put models for everybody.
pub(crate) async fn check_source(house: &House, admin: &Admin, source: &Source) -> Result<(), Error> {
    match source {
        Source::File(path) if may_server(admin, A_FILE).is_err() && !house.registry.is_for_all(path).await => may_server(admin, A_FILE),
        Source::S3(url) if !house.buckets.iter().any(|bucket| lies_in(bucket, url)) => may_server(admin, A_BUCKET),
        Source::Registry { name, tag } => match house.registry.named(name, tag.as_deref()).await? {
            Some(model) if model.card.project.is_none() => Ok(()),
            Some(model) => may(admin, Verb::Get, (Kind::Models, model.card.project.as_ref()), || Error::not_found("model", name)),
            // What is called nearly so may be another project's.
            None if seen(admin, Verb::Get, Kind::Models).is_ok_and(|all| all.is_none()) || house.registry.has_file(name) => Ok(()),
            None => Err(Error::not_found("model", name)),
        },
        _ => Ok(()),
    }
}

/// Whether this object lies there, or under that name; not where its name could be read in two ways.
fn lies_in(bucket: &str, url: &str) -> bool {
    let object = url.split(['?', '#']).next().unwrap_or_default();
    let rest = object.strip_prefix(bucket.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.starts_with('/')) && !object.contains("..") && !object.contains(['%', '\\'])
}

const A_BUCKET: &str = "have this server read a bucket that the config does not name (`pull.buckets`)";
const A_FILE: &str = "name a file that does not lie in models_dir (send it with `penstock push`, or have an operator put it there)";

/// Whether who asks may do what reaches as far as this server's own user does.
pub(crate) fn may_server(admin: &Admin, what: &'static str) -> Result<(), Error> {
    let denied = |_a_right| access::Error::Forbidden { what: Denied::Server(what) };
    Ok(admin.caller().may(Verb::Update, Kind::Server).map_err(denied)?)
}

#[cfg(test)]
mod tests {
    use super::lies_in;

    #[test]
    fn an_object_lies_in_a_bucket_by_its_whole_name_and_nothing_leads_out_of_it() {
        for (bucket, url) in [
            ("s3://open", "s3://open/m.gguf"),
            ("s3://open/", "s3://open/a/m.gguf#sha256=00"),
            ("s3://open/models", "s3://open/models/m.gguf"),
            ("gs://open/models/", "gs://open/models/a/b.gguf"),
        ] {
            assert!(lies_in(bucket, url), "{bucket} {url}");
        }
        for (bucket, url) in [
            ("s3://open", "s3://opened/m.gguf"),
            ("s3://open", "gs://open/m.gguf"),
            ("s3://open", "s3://open@other/m.gguf"),
            ("s3://open", "s3://open"),
            ("s3://open/models", "s3://open/models-of-red/m.gguf"),
            ("s3://open/models", "s3://open/models/../secret.gguf"),
            ("s3://open/models", "s3://open/models/%2e%2e/secret.gguf"),
            ("s3://open/models", "s3://other/x?s3://open/models/m.gguf"),
        ] {
            assert!(!lies_in(bucket, url), "{bucket} {url}");
        }
    }
}
