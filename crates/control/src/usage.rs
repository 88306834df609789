//! How much was used, by whom, and what it cost.
//!
//! In: a span of time, and by what to sum. Out: sums, as JSON or CSV; or single calls, a page at a time.
//! Fails: on words and times that mean nothing, and on more sums than anybody reads. Bounded: [`MOST_SUMS`].

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use access::Reach;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::Timestamp;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde_json::json;
use spec::{Invalid, Kind, TokenId, Usd, Verb, suggest};
use store::{BookedCall, CallsAfter, CallsOf, GroupBy, TokenQuery, UsageQuery, UsageSum};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::House;
use crate::door::Admin;
use crate::error::Error;
use crate::page::{Page, limit};
use crate::query::{CallQuery, Query, SpanQuery};
use crate::view::{Call, Usage};

const A_DAY: Duration = Duration::from_hours(24);
/// Sums of one answer.
const MOST_SUMS: u32 = 10_000;
/// Tokens of one user that are looked at.
const MOST_TOKENS: u32 = 10_000;
const CSV: &str = "text/csv";

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(sums)).routes(routes!(calls))
}

/// Sum up what was used
///
/// By time first, then the most called first. Who may not see everybody's sees that of their own tokens and of their projects.
#[utoipa::path(get, path = "/api/v1/usage", operation_id = "list_usage", tag = "server", params(SpanQuery),
    responses((status = 200, description = "The sums", content((Page<Usage> = "application/json"), (String = "text/csv")))))]
async fn sums(State(house): State<House>, admin: Admin, headers: HeaderMap, Query(query): Query<SpanQuery>) -> Result<Response, Error> {
    let csv = wants_csv(query.format.as_deref(), &headers)?;
    let by = groups(query.group_by.as_deref().unwrap_or("model"))?;
    let (from, to) = span(query.from, query.to)?;
    let whose = whose(&house, &admin).await?;
    let sums = house.store.usage_sums_of(&UsageQuery { from, to, by: by.clone(), most: MOST_SUMS }, whose.as_ref()).await?;
    if sums.len() > MOST_SUMS as usize {
        let hint = "group by less, or ask for a shorter span of time";
        return Err(Invalid::one("group_by", format!("there are more than {MOST_SUMS} sums"), hint).into());
    }
    let names = if by.contains(&GroupBy::Token) { token_names(&house, &sums, &by).await? } else { HashMap::new() };
    if csv {
        return Ok(([(CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], as_csv(&by, &names, &sums)).into_response());
    }
    Ok(Json(Page::whole(sums.iter().map(|sum| view(&by, &names, sum)).collect())).into_response())
}

/// List single calls
///
/// Oldest first.
#[utoipa::path(get, path = "/api/v1/usage/calls", operation_id = "list_calls", tag = "server", params(CallQuery),
    responses((status = 200, description = "A page of calls", body = Page<Call>)))]
async fn calls(State(house): State<House>, admin: Admin, Query(query): Query<CallQuery>) -> Result<Json<Page<Call>>, Error> {
    let (from, to) = span(query.from, query.to)?;
    let most = limit(query.limit)?;
    let after = query.after.as_deref().map(place).transpose()?;
    // One more than fits tells whether there is more.
    let wanted = u32::try_from(most + 1).unwrap_or(u32::MAX);
    let asked = store::CallQuery { from, to, request_id: query.request_id, after, limit: wanted };
    let mut found = house.store.list_calls_of(&asked, whose(&house, &admin).await?.as_ref()).await?;
    let more = found.len() > most;
    found.truncate(most);
    let next = found.last().filter(|_| more).map(|last| cursor(last.place));
    Ok(Json(Page { items: found.into_iter().map(call).collect(), next }))
}

fn span(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(Timestamp, Timestamp), Error> {
    let to = to.unwrap_or_else(Timestamp::now);
    let day = i64::try_from(A_DAY.as_millis()).unwrap_or(i64::MAX);
    let from = from.unwrap_or_else(|| Timestamp::from_millis(to.as_millis().saturating_sub(day)));
    if from > to {
        return Err(Invalid::one("from", format!("{from} is after {to}"), "`from` comes before `to`").into());
    }
    Ok((from, to))
}

fn groups(words: &str) -> Result<Vec<GroupBy>, Error> {
    let mut by = Vec::new();
    for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let all = GroupBy::ALL.map(GroupBy::as_str);
        let Some(group) = GroupBy::ALL.into_iter().find(|group| group.as_str() == word) else {
            let hint =
                suggest(word, all).map_or_else(|| format!("use some of {}", all.join(", ")), |meant| format!("did you mean `{meant}`?"));
            return Err(Invalid::one("group_by", format!("calls are not summed by `{word}`"), hint).into());
        };
        if by.contains(&group) {
            return Err(Invalid::one("group_by", format!("`{word}` is named twice"), "name each once").into());
        }
        by.push(group);
    }
    Ok(by)
}

fn wants_csv(format: Option<&str>, headers: &HeaderMap) -> Result<bool, Error> {
    match format {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(other) => Err(Invalid::one("format", format!("`{other}` is not a format"), "use format=json or format=csv").into()),
        None => {
            let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            Ok(accept.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(CSV)))
        }
    }
}

/// The names of the tokens that the sums are of.
async fn token_names(house: &House, sums: &[UsageSum], by: &[GroupBy]) -> Result<HashMap<String, String>, Error> {
    let place = by.iter().position(|group| *group == GroupBy::Token).unwrap_or(0);
    let ids: BTreeSet<&String> = sums.iter().filter_map(|sum| sum.keys.get(place)?.as_ref()).collect();
    let mut names = HashMap::new();
    for id in ids {
        let token = house.store.get_token(&TokenId::new(id)).await?;
        names.extend(token.map(|token| (id.clone(), token.name)));
    }
    Ok(names)
}

/// Whose calls the caller may see; none where it is everybody's.
async fn whose(house: &House, admin: &Admin) -> Result<Option<CallsOf>, Error> {
    let Reach::Some { projects, user } = admin.caller().reach(Verb::List, Kind::Usage)? else { return Ok(None) };
    let mut tokens = BTreeSet::new();
    if user.is_some() {
        let query = TokenQuery { owner: user, limit: MOST_TOKENS, ..TokenQuery::default() };
        tokens.extend(house.store.page_tokens(&query).await?.into_iter().map(|token| token.id.to_string()));
    }
    Ok(Some(CallsOf { tokens, projects: projects.iter().map(ToString::to_string).collect() }))
}

fn view(by: &[GroupBy], names: &HashMap<String, String>, sum: &UsageSum) -> Usage {
    let key = |group: GroupBy| by.iter().zip(&sum.keys).find(|(by, _)| **by == group).and_then(|(_, key)| key.clone());
    let token = key(GroupBy::Token);
    Usage {
        day: key(GroupBy::Day),
        hour: key(GroupBy::Hour),
        model: key(GroupBy::Model),
        deployment: key(GroupBy::Deployment),
        token_name: token.as_ref().and_then(|id| names.get(id).cloned()),
        token,
        project: key(GroupBy::Project),
        operation: key(GroupBy::Operation),
        ending: key(GroupBy::Ending),
        calls: sum.calls,
        completed: sum.completed,
        cancelled: sum.cancelled,
        failed: sum.failed,
        rejected: sum.rejected,
        prompt_tokens: sum.prompt_tokens,
        cached_tokens: sum.cached_tokens,
        completion_tokens: sum.completion_tokens,
        reasoning_tokens: sum.reasoning_tokens,
        estimated: sum.estimated,
        cost_usd: dollars(sum.cost),
        duration_ms: sum.duration_ms,
        wait_ms: sum.wait_ms,
        retries: sum.retries,
    }
}

/// As JSON has it.
fn dollars(cost: Usd) -> f64 {
    json!(cost).as_f64().unwrap_or_default()
}

fn call(booked: BookedCall) -> Call {
    let call = booked.call;
    Call {
        request_id: call.request_id,
        at: call.at.to_string(),
        token: call.token,
        project: call.project,
        model: call.model,
        deployment: call.deployment,
        instance: call.instance,
        operation: call.operation,
        status: call.status,
        ending: call.ending.as_str().to_owned(),
        error: call.error,
        prompt_tokens: call.prompt_tokens,
        cached_tokens: call.cached_tokens,
        completion_tokens: call.completion_tokens,
        reasoning_tokens: call.reasoning_tokens,
        estimated: call.estimated,
        cost_usd: dollars(call.cost),
        duration_ms: call.duration_ms,
        first_byte_ms: call.first_byte_ms,
        wait_ms: call.wait_ms,
        retries: call.retries,
    }
}

fn cursor(place: CallsAfter) -> String {
    format!("{}.{}.{}", place.at.as_millis(), place.journal, place.place)
}

fn place(cursor: &str) -> Result<CallsAfter, Error> {
    let mut parts = cursor.split('.');
    let mut number = || parts.next()?.parse::<i64>().ok();
    let read = (|| Some((number()?, number()?, u64::try_from(number()?).ok()?)))();
    let wrong = || Invalid::one("after", format!("`{cursor}` is not the `next` of a page"), "send the `next` of the page before, as it is");
    let (at, journal, place) = read.ok_or_else(wrong)?;
    Ok(CallsAfter { at: Timestamp::from_millis(at), journal, place })
}

/// As RFC 4180 has it: the groups, then the sums.
fn as_csv(by: &[GroupBy], names: &HashMap<String, String>, sums: &[UsageSum]) -> String {
    const SUMS: &str = "calls,completed,cancelled,failed,rejected,prompt_tokens,cached_tokens,completion_tokens,reasoning_tokens,\
        estimated,cost_usd,duration_ms,wait_ms,retries";
    let heads = by.iter().map(|group| if *group == GroupBy::Token { "token,token_name" } else { group.as_str() });
    let mut text = heads.chain([SUMS]).collect::<Vec<_>>().join(",");
    text.push_str("\r\n");
    for sum in sums {
        for (group, key) in by.iter().zip(&sum.keys) {
            let key = key.as_deref().unwrap_or_default();
            text.push_str(&cell(key));
            text.push(',');
            if *group == GroupBy::Token {
                text.push_str(&cell(names.get(key).map_or("", String::as_str)));
                text.push(',');
            }
        }
        let (before, after) = (
            [sum.calls, sum.completed, sum.cancelled, sum.failed, sum.rejected],
            [sum.prompt_tokens, sum.cached_tokens, sum.completion_tokens, sum.reasoning_tokens, sum.estimated],
        );
        let numbers = before.into_iter().chain(after).map(|number| number.to_string());
        let rest = [sum.cost.to_string(), sum.duration_ms.to_string(), sum.wait_ms.to_string(), sum.retries.to_string()];
        text.push_str(&numbers.chain(rest).collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    text
}

fn cell(text: &str) -> String {
    // A spreadsheet takes what begins so for a formula.
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
