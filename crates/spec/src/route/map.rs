//! All public names at once: who leads where.
//!
//! In: the deployments and the routes that there are. Out: what is wrong with one of them among the
//! others. Pure; the same check serves the API, the config file and the command line.

use std::collections::{BTreeMap, BTreeSet};

use super::Route;
use crate::check::{Invalid, Problem, suggest};
use crate::deployment::Deployment;
use crate::name::Name;

/// Every name that may be asked for, and where it leads when it cannot serve.
#[derive(Debug, Clone, Default)]
pub struct Map {
    deployments: BTreeMap<Name, Vec<Name>>,
    routes: BTreeMap<Name, Route>,
}

impl Map {
    /// Of what there is.
    pub fn new<'a>(deployments: impl IntoIterator<Item = &'a Deployment>, routes: impl IntoIterator<Item = &'a Route>) -> Self {
        Self {
            deployments: deployments.into_iter().map(|d| (d.name.clone(), d.fallback.clone())).collect(),
            routes: routes.into_iter().map(|route| (route.name.clone(), route.clone())).collect(),
        }
    }

    /// What is wrong with a route when it takes the place of the one of its name.
    pub fn check_route(&self, route: &Route) -> Result<(), Invalid> {
        let mut found = Vec::new();
        if self.deployments.contains_key(&route.name) {
            found.push(problem("name", format!("`{}` is the name of a deployment", route.name), "give the route a name of its own"));
        }
        for (at, target) in route.targets.iter().enumerate() {
            found.extend(self.target_problem(at, &target.deployment));
        }
        let mut next = self.clone();
        next.routes.insert(route.name.clone(), route.clone());
        found.extend(next.fallback_problems(&route.name, &route.fallback));
        Invalid::from_problems(found)
    }

    /// What is wrong with a deployment's name and fallbacks when it takes the place of the one of its name.
    pub fn check_deployment(&self, deployment: &Deployment) -> Result<(), Invalid> {
        let mut found = Vec::new();
        if self.routes.contains_key(&deployment.name) {
            found.push(problem("name", format!("`{}` is the name of a route", deployment.name), "give the deployment a name of its own"));
        }
        let mut next = self.clone();
        next.deployments.insert(deployment.name.clone(), deployment.fallback.clone());
        found.extend(next.fallback_problems(&deployment.name, &deployment.fallback));
        Invalid::from_problems(found)
    }

    /// The routes that have this deployment as a target.
    pub fn routes_to(&self, deployment: &Name) -> Vec<Name> {
        let leads = |route: &&Route| route.targets.iter().any(|target| target.deployment == *deployment);
        self.routes.values().filter(leads).map(|route| route.name.clone()).collect()
    }

    fn target_problem(&self, at: usize, target: &Name) -> Option<Problem> {
        if self.deployments.contains_key(target) {
            return None;
        }
        let field = format!("targets[{at}].deployment");
        if self.routes.contains_key(target) {
            return Some(problem(&field, format!("`{target}` is a route"), "a target is a deployment; a fallback may be a route"));
        }
        let near = suggest(target.as_str(), self.deployments.keys().map(Name::as_str));
        Some(problem(&field, format!("there is no deployment `{target}`"), &meant(near, "make the deployment first")))
    }

    fn fallback_problems(&self, name: &Name, fallback: &[Name]) -> Vec<Problem> {
        let mut found = Vec::new();
        for (at, next) in fallback.iter().enumerate() {
            let field = format!("fallback[{at}]");
            if !self.deployments.contains_key(next) && !self.routes.contains_key(next) {
                let names = self.deployments.keys().chain(self.routes.keys()).map(Name::as_str);
                let hint = meant(suggest(next.as_str(), names), "make it first");
                found.push(problem(&field, format!("there is no deployment or route `{next}`"), &hint));
            } else if next != name && self.leads_to(next, name) {
                let what = format!("`{next}` leads back to `{name}`");
                found.push(problem(&field, what, "let fallbacks end somewhere: take one of them out"));
            }
        }
        found
    }

    /// Whether a call for `from` may come to `to`.
    fn leads_to(&self, from: &Name, to: &Name) -> bool {
        let (mut open, mut seen) = (vec![from], BTreeSet::new());
        while let Some(name) = open.pop() {
            if name == to {
                return true;
            }
            if !seen.insert(name) {
                continue;
            }
            if let Some(route) = self.routes.get(name) {
                open.extend(route.targets.iter().map(|target| &target.deployment).chain(&route.fallback));
            }
            open.extend(self.deployments.get(name).into_iter().flatten());
        }
        false
    }
}

fn meant(near: Option<&str>, otherwise: &str) -> String {
    near.map_or_else(|| otherwise.to_owned(), |near| format!("did you mean `{near}`?"))
}

fn problem(field: &str, what: String, hint: &str) -> Problem {
    Problem { field: field.to_owned(), what, hint: hint.to_owned() }
}
