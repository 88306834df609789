//! The OpenAPI document, made from the code, and a page that shows it.
//!
//! In: the routes, each with what it takes and gives. Out: `/api/v1/openapi.json`, and `/docs` from
//! files inside the binary: no outside host is asked. Fails: 404 for a file that is not there. Needs
//! no token: the document holds no secret.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, Ref, RefOr, Response as Answer, ResponseBuilder};
use utoipa::{OpenApi, ToSchema};
use utoipa_swagger_ui::Config;

use crate::House;
use crate::error::Error;
use crate::modserv::{Envelope, SERVICES};
use crate::problem::Problem;

const DOCUMENT: &str = "/api/v1/openapi.json";
/// The page styles itself inline and draws with data URLs; nothing comes from elsewhere.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

/// What stands in the document beside the routes.
#[derive(OpenApi)]
#[openapi(
    info(title = "Penstock", description = "The operators' API of Penstock: models, deployments, instances, tokens and their story.\n\n\
        Every call needs a token as `Authorization: Bearer psk_…`, or the session of a browser; what each route needs of it stands in \
        `docs/reference/authorization.md`. A resource is \
        `{name, spec, status, generation, created_at, updated_at}`; what is only observed (instances, events, operations) and \
        tokens are flat. Lists are `{items, next?}`: send `next` as `after` for the next page. A slash in a name is written `%2F`. \
        Errors are problem JSON (RFC 9457) with `code` for programs and `hint` for people."),
    tags(
        (name = "deployments", description = "What is wanted: a model, on an engine and a runtime, so many instances"),
        (name = "routes", description = "Public model names with several deployments behind them"),
        (name = "models", description = "Names for what can be served"),
        (name = "instances", description = "What runs, and on what"),
        (name = "operations", description = "How far the jobs are that somebody asked for"),
        (name = "events", description = "What happened"),
        (name = "projects", description = "Who shares what they may use"),
        (name = "secrets", description = "Keys of others that this server keeps, and shows to their servers"),
        (name = "tokens", description = "Who may call, and how much"),
        (name = "users", description = "People, accounts of programs, and what they may"),
        (name = "login", description = "How browsers log in and out, and programs get tokens for their people"),
        (name = "server", description = "How the server does"),
        (name = "modserv", description = "The service API of older clients, in its envelope `{code, message, data}`"),
    ),
    components(schemas(Problem, Envelope))
)]
pub(crate) struct Document;

/// What every operation has in common.
pub(crate) fn complete(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token that may do what the route needs")).build();
    document.components.get_or_insert_with(Components::new).add_security_scheme("token", SecurityScheme::Http(token));
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    for (path, item) in &mut document.paths.paths {
        let failure = if path.starts_with(SERVICES) {
            failure("application/json", Envelope::name().as_ref())
        } else {
            failure("application/problem+json", Problem::name().as_ref())
        };
        for operation in operations(item) {
            // A page, and OAuth, have their own words for what goes wrong.
            operation.responses.responses.entry("default".to_owned()).or_insert_with(|| RefOr::T(failure.clone()));
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete, &mut item.head, &mut item.options]
        .into_iter()
        .flatten()
}

fn failure(media_type: &str, schema: &str) -> Answer {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    ResponseBuilder::new().description("What went wrong").content(media_type, content).build()
}

/// The document and its page.
pub(crate) fn routes(document: &utoipa::openapi::OpenApi) -> Router<House> {
    let text: Arc<str> = serde_json::to_string(document).unwrap_or_default().into();
    let json = move || {
        let text = text.to_string();
        async move { ([(CONTENT_TYPE, "application/json")], text) }
    };
    let config = Arc::new(Config::new([DOCUMENT]).persist_authorization(true));
    let file = move |path: Option<Path<String>>| {
        let config = Arc::clone(&config);
        async move { page(path.as_ref().map_or("", |Path(path)| path), config) }
    };
    Router::new()
        .route(DOCUMENT, get(json))
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(file.clone()))
        .route("/docs/{*path}", get(file))
}

fn page(path: &str, config: Arc<Config<'static>>) -> Result<Response, Error> {
    match utoipa_swagger_ui::serve(path, config) {
        Ok(Some(file)) => {
            let headers =
                [(CONTENT_TYPE, file.content_type), (CONTENT_SECURITY_POLICY, POLICY.to_owned()), (CACHE_CONTROL, "no-cache".to_owned())];
            Ok((headers, file.bytes.into_owned()).into_response())
        }
        Ok(None) | Err(_) => Err(Error::NoRoute(format!("/docs/{path}"))),
    }
}
