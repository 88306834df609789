//! Models: names for what can be served, with what people say of them.
//!
//! In: a name and a source; a card. Out: the model with its versions, its generation as ETag. Fails: 422 for a source that cannot
//! be used, with what is wrong and where; 412 when it is at another generation than the caller believes; 409 when deployments
//! still use what is to be removed.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, LOCATION, WARNING};
use http::{HeaderValue, StatusCode};
use registry::{Allowed, Bringing, Pull, Take, edits};
use serde_json::{Map, Value, json};
use spec::{Card, Event, EventKind, Format, Invalid, Kind, Model, Name, Record, Source, TagMove, Verb};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::{Error, segment};
use crate::json::{Json, from_value, merge};
use crate::page::{Page, limit};
use crate::precondition::{Expect, etag};
use crate::query::{Named, Query};
use crate::{House, belongs, view};

mod pull;
mod search;
mod sent;
mod shown;
mod tags;
mod upload;
mod versions;

use search::ModelQuery;
use shown::Shown;

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(list, register))
        .routes(routes!(get, change, remove))
        .merge(tags::routes())
        .merge(versions::routes())
        .merge(upload::routes())
}

/// Tries of a change while others change the same model.
const TRIES: usize = 8;

/// List models
///
/// In the order of their names; with a search only those that have all that it names.
#[utoipa::path(get, path = "/api/v1/models", operation_id = "list_models", tag = "models", params(ModelQuery),
    responses((status = 200, description = "A page of models", body = Page<view::Model>)))]
async fn list(State(house): State<House>, admin: Admin, Query(query): Query<ModelQuery>) -> Result<Answer<Page<Shown>>, Error> {
    let most = limit(query.limit)?;
    let theirs = belongs::seen(&admin, Verb::List, Kind::Models)?;
    let models = house.registry.find_all(&query.asked(most, theirs)?).await?;
    let records = house.store.list_deployments().await?;
    let shown = models.into_iter().map(|model| Shown::new(model, &records)).collect();
    Ok(Answer(Page::cut(shown, None, most, |model| model.name.as_str())))
}

/// Register a model, or a version of it
///
/// Reads the headers of its files and hashes them, which takes a while for large ones. A name that is there already gets a new
/// version if the content is new, and `latest` moves to it; of its card only the fields that are given change. What lies on another
/// machine (`hf:`, `ollama:`, `https:`, `s3:`) is fetched: the answer is the operation, which goes on by itself; of a fetch that runs already its own, or 409
/// if something else is said of it now. What stands behind the `?` of an address is shown to nobody. A file that does not lie
/// in `models_dir`, and `keep: move`, take the right `update server`.
#[utoipa::path(post, path = "/api/v1/models", operation_id = "register_model", tag = "models", request_body = view::Registration,
    responses((status = 201, description = "Registered", body = view::Model,
        headers(("Location" = String, description = "The model"), ("ETag" = String, description = "The generation"))),
        (status = 202, description = "It is being fetched", body = view::Operation,
        headers(("Location" = String, description = "The operation")))))]
async fn register(State(house): State<House>, admin: Admin, Json(body): Json<Value>) -> Result<Response, Error> {
    let mut wanted = Registration::read(body)?;
    let before = house.store.get_model(&wanted.name).await?;
    wanted.source = wanted.source.meant(before.as_ref().map(|model| &model.source));
    let card = wanted.card(before.as_ref())?;
    let (project, allowed) = may_bring(&house, &admin, (&wanted.name, before.as_ref()), (card.as_ref(), &wanted.bringing.tags)).await?;
    belongs::check_source(&house, &admin, &wanted.source).await?;
    if wanted.bringing.take == Take::Move {
        belongs::may_server(&admin, "take a file of this machine away (`keep: move`)")?;
    }
    let bringing =
        Bringing { patch: card.and(Some(Value::Object(wanted.fields))), allowed: Some(allowed), by: by(&admin), ..wanted.bringing };
    if wanted.source.is_remote() {
        let pull = Pull { name: wanted.name, source: wanted.source, project, bringing, by: sent::asker(&admin) };
        return pull::begin(&house, &admin, pull).await;
    }
    let model = house.registry.register(&wanted.name, &wanted.source, &bringing).await.map_err(refuse("source"))?;
    told(&admin, before, &model);
    let message = format!("model `{}` was registered from {} by token `{}`", model.name, model.source.told(), admin.name());
    house.fleet.tell(Event::now(EventKind::ModelRegistered, admin.cause(), message)).await;
    house.fleet.poke();
    answer(&house, StatusCode::CREATED, model).await
}

/// What stands in the body of a registration, beside the card.
struct Registration {
    name: Name,
    source: Source,
    bringing: Bringing,
    fields: Map<String, Value>,
}

impl Registration {
    fn read(body: Value) -> Result<Self, Error> {
        let Value::Object(mut fields) = body else { return Err(Error::NotObject) };
        let mut take = |key: &str| fields.shift_remove(key).filter(|value| !value.is_null());
        let (note, tags, format, keep) = (take("note"), take("tags"), take("format"), take("keep"));
        let needed = json!({ "name": take("name"), "source": take("source") });
        let Needed { name, source } = from_value(needed)?;
        Invalid::from_problems(source.password_problem("source").into_iter().collect())?;
        let bringing = Bringing {
            note: note.map_or(Ok(String::new()), from_value)?,
            tags: tags.map_or(Ok(Vec::new()), from_value)?,
            format: format.map(from_value::<Format>).transpose()?,
            take: keep.map_or(Ok(Take::default()), from_value)?,
            ..Bringing::default()
        };
        Ok(Self { name, source, bringing, fields })
    }

    /// The card that it makes of the one that is there; none if it says nothing.
    fn card(&self, before: Option<&Model>) -> Result<Option<Card>, Error> {
        if self.fields.is_empty() {
            return Ok(None);
        }
        patched(before.map(|model| &model.card), Value::Object(self.fields.clone())).map(Some)
    }
}

#[derive(serde::Deserialize)]
struct Needed {
    name: Name,
    source: Source,
}

/// A card with some of its fields changed.
fn patched(before: Option<&Card>, patch: Value) -> Result<Card, Error> {
    let mut document = json!(before.cloned().unwrap_or_default());
    merge(&mut document, patch);
    let card: Card = from_value(document)?;
    card.check()?;
    Ok(card)
}

/// Read a model
#[utoipa::path(get, path = "/api/v1/models/{name}", operation_id = "get_model", tag = "models",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 200, description = "The model", body = view::Model, headers(("ETag" = String, description = "The generation")))))]
async fn get(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<Response, Error> {
    let model = ours(&house, &admin, Verb::Get, &name).await?;
    answer(&house, StatusCode::OK, model).await
}

/// Change what is said of a model
///
/// The body is a JSON merge patch (RFC 7396) of its card: what is absent stays, `null` goes back to the default. What an engine is
/// started with (`parameters`, `chat_template`, `context_limit`) reaches the deployments of the model by a rollout.
#[utoipa::path(patch, path = "/api/v1/models/{name}", operation_id = "change_model", tag = "models",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to change")),
    request_body(content((view::ModelCard = "application/merge-patch+json"), (view::ModelCard = "application/json"))),
    responses((status = 200, description = "Changed", body = view::Model, headers(("ETag" = String, description = "The generation")))))]
async fn change(
    State(house): State<House>,
    admin: Admin,
    Named(name): Named,
    expect: Expect,
    Json(patch): Json<Value>,
) -> Result<Response, Error> {
    let edit = |before: &Model| Ok((edits::with_card(before, patched(Some(&before.card), patch.clone())?)?, None));
    let (before, model) = edited(&house, &name, (&expect, &admin), edit).await?;
    let what = match (&before.card.deprecated, &model.card.deprecated) {
        (None, Some(why)) => format!("model `{name}` was deprecated by token `{}`: {why}", admin.name()),
        _ => format!("model `{name}` was changed by token `{}`", admin.name()),
    };
    house.fleet.tell(Event::now(EventKind::ModelUpdated, admin.cause(), what)).await;
    house.fleet.poke();
    answer(&house, StatusCode::OK, model).await
}

/// Forget a model
///
/// Files that others keep stay where they are; those that Penstock keeps go when nobody needs them any more.
#[utoipa::path(delete, path = "/api/v1/models/{name}", operation_id = "delete_model", tag = "models",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to forget")),
    responses((status = 204, description = "Forgotten")))]
async fn remove(State(house): State<House>, admin: Admin, Named(name): Named, expect: Expect) -> Result<StatusCode, Error> {
    let model = ours(&house, &admin, Verb::Delete, &name).await?;
    expect.check_generation(&name, Some(model.generation))?;
    let users = users(&house.store.list_deployments().await?, &name);
    if !users.is_empty() {
        return Err(Error::InUse { model: name, users });
    }
    house.registry.remove(&name, Some(model.generation)).await?;
    admin.before(&Shown::new(model, &[]));
    let message = format!("model `{name}` was removed by token `{}`", admin.name());
    house.fleet.tell(Event::now(EventKind::ModelRemoved, admin.cause(), message)).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The model of this name, with which who asks may do this.
async fn ours(house: &House, admin: &Admin, verb: Verb, name: &Name) -> Result<Model, Error> {
    let model = match house.registry.get(name).await {
        // What is called nearly so may be another project's.
        Err(registry::Error::NotFound { .. }) if belongs::seen(admin, verb, Kind::Models)?.is_some() => {
            return Err(Error::not_found("model", name));
        }
        found => found?,
    };
    belongs::may(admin, verb, (Kind::Models, model.card.project.as_ref()), || Error::not_found("model", name))?;
    Ok(model)
}

/// Whether who asks may bring a version of this model with this card and these tags, before anything of it is looked at; the project that it will belong to, and
/// whose it may be when the version is here, which can take hours.
async fn may_bring(
    house: &House,
    admin: &Admin,
    (name, before): (&Name, Option<&Model>),
    (card, tags): (Option<&Card>, &[String]),
) -> Result<(Option<Name>, Allowed), Error> {
    let belonged = before.map(|model| model.card.project.as_ref());
    if let Some(project) = belonged {
        belongs::may(admin, Verb::Update, (Kind::Models, project), || Error::not_found("model", name))?;
    }
    let project = card.map_or(belonged.flatten(), |card| card.project.as_ref());
    if belonged != Some(project) {
        belongs::may_make(admin, Kind::Models, project)?;
        if let Some(project) = project {
            house.store.has_room_for_a_model(project).await?;
        }
    }
    let mixed = may_mix(admin);
    if !mixed {
        house.registry.must_not_mix(name, before, tags).await?;
    }
    let is_theirs = |of: Option<&Name>| belongs::may(admin, Verb::Update, (Kind::Models, of), || Error::not_found("model", name)).is_ok();
    let projects = belonged.into_iter().chain([project]).filter(|of| is_theirs(*of)).map(Option::<&Name>::cloned).collect();
    Ok((project.cloned(), Allowed { new: belonged.is_none(), projects, mixed }))
}

/// Whether who asks may take a name or a tag that others answer to: what deployments of others mean may change with it.
fn may_mix(admin: &Admin) -> bool {
    admin.caller().may(Verb::Update, Kind::Server).is_ok()
}

/// Changes a model as it is now, if it is as expected; tries again when somebody else was faster. Gives it before and after.
async fn edited(
    house: &House,
    name: &Name,
    (expect, admin): (&Expect, &Admin),
    edit: impl Fn(&Model) -> Result<(Model, Option<TagMove>), Error>,
) -> Result<(Model, Model), Error> {
    for _ in 0..TRIES {
        let before = ours(house, admin, Verb::Update, name).await?;
        expect.check_generation(name, Some(before.generation))?;
        let (after, moved) = edit(&before)?;
        if after.card.project != before.card.project {
            belongs::may_make(admin, Kind::Models, after.card.project.as_ref())?;
        }
        match house.registry.put(&after, moved.as_slice()).await {
            Err(registry::Error::Store(store::Error::StaleModel { .. })) => {}
            Err(error) => return Err(error.into()),
            Ok(after) => {
                admin.before(&Shown::new(before.clone(), &[]));
                admin.after(&Shown::new(after.clone(), &[]));
                return Ok((before, after));
            }
        }
    }
    Err(Error::Busy(name.clone()))
}

/// Who audits it sees what it was and what it is.
fn told(admin: &Admin, before: Option<Model>, after: &Model) {
    if let Some(before) = before {
        admin.before(&Shown::new(before, &[]));
    }
    admin.after(&Shown::new(after.clone(), &[]));
}

async fn answer(house: &House, status: StatusCode, model: Model) -> Result<Response, Error> {
    let place = HeaderValue::from_str(&format!("/api/v1/models/{}", segment(model.name.as_str())));
    let tag = etag(model.generation);
    let records = house.store.list_deployments().await?;
    let mut response = (status, [(ETAG, tag)], Answer(Shown::new(model, &records))).into_response();
    if let (Ok(place), StatusCode::CREATED) = (place, status) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// The deployments that name this model.
fn users(records: &[Record], model: &Name) -> Vec<String> {
    let names = |source: &Source| match source {
        Source::Registry { name, .. } if name == model => true,
        // `a:b` may be the tag `b` of `a`, or a model that is called so.
        Source::Registry { name, tag: Some(tag) } => format!("{name}:{tag}") == model.as_str(),
        _ => false,
    };
    let users = records.iter().filter(|record| record.spec.model.as_ref().is_some_and(names));
    users.map(|record| format!("`{}`", record.spec.name)).collect()
}

fn by(admin: &Admin) -> String {
    format!("token `{}`", admin.name())
}

fn refuse(field: &'static str) -> impl Fn(registry::Error) -> Error {
    move |source| match source {
        registry::Error::Store(source) => Error::Store(source),
        // These are about the pulls that run and about its name, not about this one's source.
        source @ (registry::Error::OtherPull { .. }
        | registry::Error::TooManyPulls(_)
        | registry::Error::TooManyOfYours(_)
        | registry::Error::Mixed(_)) => source.into(),
        source => Error::Model { field, source },
    }
}

/// An answer about a deployment, with a warning if its model should not be used any more.
pub(crate) async fn warned(house: &House, source: Option<&Source>, mut response: Response) -> Response {
    let Some(source) = source else { return response };
    if let Ok(Some(meaning)) = house.registry.meaning(source).await
        && let Some(why) = &meaning.deprecated
        && let Ok(value) = HeaderValue::from_bytes(spec::warning(&meaning.model, why).as_bytes())
    {
        response.headers_mut().insert(WARNING, value);
    }
    response
}
