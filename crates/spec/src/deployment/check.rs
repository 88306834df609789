//! What is wrong with a wish by itself, all of it at once.
//!
//! In: a deployment. Out: nothing, or every fault with the field, what is wrong and what to write.
//! Pure: whether a file is there or a model fits is found out by others.

use std::time::Duration;

use super::{Deployment, Retries, pipeline};
use crate::check::{self, Invalid, Problem};
use crate::engine::{EngineKind, RuntimeKind};
use crate::route::fallback_problems;
use crate::source::tells_a_password;

/// Slots that one instance of ours may have; a remote one has so many when nobody says how many.
pub(super) const MOST_PARALLEL: u32 = 256;
/// Slots of a remote instance: a whole cluster may stand behind its address.
const MOST_REMOTE: u32 = 65_536;
const MOST_REPLICAS: u32 = 256;
/// In percent: somebody must be left to serve.
const MOST_EJECTED: u32 = 90;

impl Deployment {
    /// Less than a chat template and one sentence take.
    pub const LEAST_CONTEXT: u32 = 64;

    /// Everything that is wrong with the wish by itself.
    pub fn check(&self) -> Result<(), Invalid> {
        let problems = [self.engine_problem(), self.model_problem(), self.url_problem(), self.key_problem(), self.pipeline_problem()];
        let limits = [self.limits.check(), self.budget.check()].into_iter().filter_map(Result::err).flat_map(|Invalid(found)| found);
        let fallback = fallback_problems(&self.name, &self.fallback);
        let numbers = self.number_problems().into_iter().chain(self.time_problems());
        let numbers = numbers.chain(self.argument_problems()).chain(self.environment_problems());
        let numbers = numbers.chain(self.rollout.problems()).chain(self.replicas.scaling_problems());
        Invalid::from_problems(problems.into_iter().flatten().chain(numbers).chain(limits).chain(fallback).collect())
    }

    /// What only the config may say of how its engine's process is started, also beside who may say the rest. What is as it was before is nobody's wish.
    pub fn check_process(&self, before: Option<&Self>) -> Result<(), Invalid> {
        let mut found = self.variables_of_the_config(before);
        if before.is_none_or(|before| before.args != self.args) {
            found.extend(self.arguments_of_the_config());
        }
        Invalid::from_problems(found)
    }

    fn engine_problem(&self) -> Option<Problem> {
        let (engine, runtime) = (self.engine(), self.runtime());
        let usual = engine.default_runtime();
        (runtime != usual)
            .then(|| problem("runtime", format!("engine `{engine}` does not run on `{runtime}`"), &format!("use runtime: {usual}")))
    }

    fn model_problem(&self) -> Option<Problem> {
        let engine = self.engine();
        match &self.model {
            None if engine.needs_model() => Some(problem("model", format!("engine `{engine}` needs a model"), "add model: file:PATH")),
            None => None,
            Some(source) => source.password_problem("model"),
        }
    }

    fn url_problem(&self) -> Option<Problem> {
        let engine = self.engine();
        match (engine, self.url.as_deref()) {
            (EngineKind::Openai, None) => {
                Some(problem("url", "engine `openai` needs the address of the server".to_owned(), "add url: http://HOST:PORT/v1"))
            }
            (EngineKind::Openai, Some(url)) => {
                let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
                if tells_a_password(url) {
                    let hint = "write the address alone, and the key as api_key_secret, api_key_env or api_key_file";
                    return Some(problem("url", "a password in it would be shown to whoever sees this deployment".to_owned(), hint));
                }
                let wrong = host.is_empty() || host.starts_with('/') || host.contains(char::is_whitespace);
                wrong.then(|| problem("url", format!("`{url}` is not the URL of a server"), "write http://HOST:PORT/v1"))
            }
            (_, Some(_)) => Some(problem("url", format!("engine `{engine}` takes no url"), "remove url, or use engine: openai")),
            (_, None) => None,
        }
    }

    fn pipeline_problem(&self) -> Option<Problem> {
        let (name, runtime) = (self.pipeline(), self.runtime());
        if pipeline(name).is_none() {
            return Some(problem("pipeline", format!("there is no pipeline `{name}`"), "use opensourcellm or remote, or leave it out"));
        }
        let fits = (name == "remote") == (runtime == RuntimeKind::External);
        (!fits).then(|| problem("pipeline", format!("pipeline `{name}` does not fit runtime `{runtime}`"), "leave it out"))
    }

    fn number_problems(&self) -> Vec<Problem> {
        let replicas = &self.replicas;
        let mut found = Vec::new();
        let most = if self.runtime() == RuntimeKind::External { MOST_REMOTE } else { MOST_PARALLEL };
        if !(1..=most).contains(&self.slots()) {
            found.push(problem("parallel", format!("{} is not between 1 and {most}", self.slots()), "use 1 to serve one call at a time"));
        }
        if self.context.is_some_and(|context| context < Self::LEAST_CONTEXT) {
            found.push(problem(
                "context",
                format!("less than {} tokens", Self::LEAST_CONTEXT),
                "leave it out to use the model's own context",
            ));
        }
        if self.threads == Some(0) {
            found.push(problem("threads", "0 threads cannot work".to_owned(), "leave it out, or use 1 or more"));
        }
        if replicas.max == 0 || replicas.min > replicas.max {
            let what = format!("min {} and max {} do not fit together", replicas.min, replicas.max);
            found.push(problem("replicas", what, "max is at least 1 and at least min"));
        }
        if replicas.target.kv_use.is_some() && !self.engine().tells_kv_use() {
            let what = format!("engine `{}` does not tell how full its KV cache is", self.engine());
            found.push(problem("replicas.target.kv_use", what, "use target.concurrency, target.queue or target.first_token"));
        }
        if self.max_concurrent == Some(0) {
            found.push(problem("max_concurrent", "0 calls at once would serve nobody".to_owned(), "leave it out, or use 1 or more"));
        }
        if self.max_ejected > MOST_EJECTED {
            let what = format!("{} is not a share between 0 and {MOST_EJECTED} percent", self.max_ejected);
            found.push(problem("max_ejected", what, "use 50, or 0 to pass nobody over"));
        }
        if !(1..=Retries::MOST_ATTEMPTS).contains(&self.retries.attempts) {
            let what = format!("{} is not between 1 and {}", self.retries.attempts, Retries::MOST_ATTEMPTS);
            found.push(problem("retries.attempts", what, "use 3, or 1 to ask only once"));
        }
        if self.http_version.is_some() && self.runtime() != RuntimeKind::External {
            let what = format!("engine `{}` is spoken to as it wants", self.engine());
            found.push(problem("http_version", what, "remove http_version; it is for engines with a url"));
        }
        if replicas.max > MOST_REPLICAS {
            found.push(problem("replicas.max", format!("more than {MOST_REPLICAS}"), "one deployment has at most that many instances"));
        }
        found
    }

    fn time_problems(&self) -> Vec<Problem> {
        let times = &self.timeouts;
        let found = [
            self.sleep_problem(),
            check::time("timeouts.connect", times.connect, Some("would give no engine the time to take a connection")),
            check::time("timeouts.first_token", times.first_token, Some("would give no engine the time to answer")),
            check::time("timeouts.idle", times.idle, Some("would end every stream after its first piece")),
            check::time("timeouts.total", times.total, Some("would end every call before it is sent")),
            check::time("timeouts.wait", times.wait, None), // 0: nobody waits
            check::time("timeouts.start", times.start, Some("would give no engine the time to come up")),
            times.drain.and_then(|time| check::time("timeouts.drain", time, None)), // 0: calls are cut at once
            self.replicas.keep_alive.and_then(|time| check::age("replicas.keep_alive", time, None)), // 0: it leaves at once
        ];
        found.into_iter().flatten().collect()
    }
}

impl Deployment {
    fn sleep_problem(&self) -> Option<Problem> {
        const FIELD: &str = "replicas.sleep_after";
        let (after, engine) = (self.replicas.sleep_after?, self.engine());
        if !engine.can_sleep() {
            return Some(problem(FIELD, format!("engine `{engine}` cannot sleep"), "leave it out; keep_alive ends what nobody calls"));
        }
        if after < Duration::from_secs(1) {
            return Some(problem(FIELD, "less than a second would put it to sleep between two calls".to_owned(), "use 1m"));
        }
        let ends_before = self.replicas.keep_alive.is_some_and(|keep| keep <= after) && self.replicas.min == 0 && !self.pinned;
        if ends_before {
            return Some(problem(
                FIELD,
                "keep_alive ends it before it sleeps".to_owned(),
                "use a longer keep_alive, or leave sleep_after out",
            ));
        }
        check::age(FIELD, after, None)
    }
}

fn problem(field: &str, what: String, hint: &str) -> Problem {
    Problem { field: field.to_owned(), what, hint: hint.to_owned() }
}
