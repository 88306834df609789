//! Users and roles: `user create`, `user list`, `user role add`, `role create`.
//!
//! In: names of users and roles. Out: requests of the operators' API, and what it answered as a table. Fails: as the API says.

use std::collections::BTreeMap;

use base::Timestamp;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::http::{Server, segment};
use super::look::items;
use super::out::{age, answer, pairs, table, text};
use super::{Failure, Output};

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Make a user; with --service, the account of a program
    Create {
        /// What people call it
        name: String,
        /// Where it gets mail
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// The account of a program: it never logs in
        #[arg(long)]
        service: bool,
        /// A role that it has everywhere, or within a project: ROLE or PROJECT:ROLE
        #[arg(long = "role", value_name = "[PROJECT:]ROLE")]
        roles: Vec<String>,
    },
    /// List users and service accounts
    #[command(visible_alias = "ls")]
    List,
    /// Show a user, their roles and where they come from
    Show {
        /// Its name or its id
        user: String,
    },
    /// Let a user in no more, and their tokens neither
    Disable {
        /// Its name or its id
        user: String,
    },
    /// Let a user in again
    Enable {
        /// Its name or its id
        user: String,
    },
    /// Remove a user with all of their tokens
    #[command(visible_alias = "rm")]
    Delete {
        /// Its name or its id
        user: String,
    },
    /// Give a user roles, or take them
    Role {
        /// Its name or its id
        user: String,
        /// A role that it gets: ROLE or PROJECT:ROLE
        #[arg(long = "add", value_name = "[PROJECT:]ROLE")]
        add: Vec<String>,
        /// A role that it loses
        #[arg(long = "remove", value_name = "[PROJECT:]ROLE")]
        remove: Vec<String>,
    },
}

/// What to do with roles.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Make a role: a name for verbs on kinds of things
    Create {
        /// What users and tokens call it
        name: String,
        /// What people call it
        #[arg(long, value_name = "WORDS")]
        description: Option<String>,
        /// What it may: get,list:models or use:calls; * stands for all
        #[arg(long = "right", value_name = "VERBS:KIND", required = true, value_parser = right)]
        rights: Vec<(String, Vec<String>)>,
    },
    /// List roles, with those that are built in
    #[command(visible_alias = "ls")]
    List,
    /// Remove a role that nobody has
    #[command(visible_alias = "rm")]
    Delete {
        /// The role
        name: String,
    },
}

const USERS: &str = "/api/v1/users";
const ROLES: &str = "/api/v1/roles";

pub(crate) fn user(server: &Server, verb: User, output: Output) -> Result<(), Failure> {
    match verb {
        User::List => answer(output, &server.get(USERS)?, |all| user_table(all, Timestamp::now())),
        User::Show { user } => answer(output, &server.get(&path(USERS, &user))?, shown),
        User::Create { name, email, service, roles } => {
            let mut wanted = json!({ "name": name, "service": service });
            wanted["email"] = json!(email);
            let mut given = Given::default();
            for role in &roles {
                given.add(role);
            }
            given.onto(&mut wanted);
            answer(output, &server.post(USERS, &wanted)?, shown)
        }
        User::Disable { user } => answer(output, &server.patch(&path(USERS, &user), &json!({ "disabled": true }))?, shown),
        User::Enable { user } => answer(output, &server.patch(&path(USERS, &user), &json!({ "disabled": false }))?, shown),
        User::Delete { user } => {
            server.delete(&path(USERS, &user))?;
            answer(output, &json!({ "user": user, "removed": true }), |_| format!("{user}: removed\n"))
        }
        User::Role { user, add, remove } => {
            let mut given = Given::of(&server.get(&path(USERS, &user))?);
            for role in &add {
                given.add(role);
            }
            for role in &remove {
                given.remove(role);
            }
            let mut change = Value::Object(Map::new());
            given.onto(&mut change);
            answer(output, &server.patch(&path(USERS, &user), &change)?, shown)
        }
    }
}

pub(crate) fn role(server: &Server, verb: Role, output: Output) -> Result<(), Failure> {
    match verb {
        Role::List => answer(output, &server.get(ROLES)?, role_table),
        Role::Create { name, description, rights } => {
            let wanted = json!({ "name": name, "description": description, "rights": together(rights) });
            answer(output, &server.post(ROLES, &wanted)?, |role| format!("{}\n", text(&role["name"])))
        }
        Role::Delete { name } => {
            server.delete(&path(ROLES, &name))?;
            answer(output, &json!({ "name": name, "removed": true }), |_| format!("{name}: removed\n"))
        }
    }
}

/// `get,list:models`
pub(super) fn right(word: &str) -> Result<(String, Vec<String>), String> {
    let read = word.split_once(':').filter(|(verbs, kind)| !verbs.is_empty() && !kind.is_empty());
    let (verbs, kind) = read.ok_or_else(|| "write VERBS:KIND, such as get,list:models or use:calls".to_owned())?;
    Ok((kind.to_owned(), verbs.split(',').map(str::to_owned).collect()))
}

/// Several of one kind come together.
pub(super) fn together(rights: Vec<(String, Vec<String>)>) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (kind, verbs) in rights {
        all.entry(kind).or_default().extend(verbs);
    }
    all
}

/// Roles that a user has by hand.
#[derive(Debug, Default, PartialEq, Eq)]
struct Given {
    roles: Vec<String>,
    projects: BTreeMap<String, Vec<String>>,
}

impl Given {
    fn of(user: &Value) -> Self {
        let words = |list: &Value| list.as_array().into_iter().flatten().map(text).collect();
        let projects = user["projects"].as_object().into_iter().flatten().map(|(project, roles)| (project.clone(), words(roles)));
        Self { roles: words(&user["roles"]), projects: projects.collect() }
    }

    fn add(&mut self, role: &str) {
        let (list, role) = self.list(role);
        if !list.contains(&role) {
            list.push(role);
        }
    }

    fn remove(&mut self, role: &str) {
        let (list, role) = self.list(role);
        list.retain(|other| *other != role);
        self.projects.retain(|_, roles| !roles.is_empty());
    }

    /// A project's name may hold colons; a role's name that is meant here does not.
    fn list(&mut self, role: &str) -> (&mut Vec<String>, String) {
        match role.rsplit_once(':') {
            Some((project, role)) => (self.projects.entry(project.to_owned()).or_default(), role.to_owned()),
            None => (&mut self.roles, role.to_owned()),
        }
    }

    fn onto(self, wanted: &mut Value) {
        wanted["roles"] = json!(self.roles);
        wanted["projects"] = json!(self.projects);
    }
}

fn path(all: &str, name: &str) -> String {
    format!("{all}/{}", segment(name))
}

fn origin(user: &Value) -> String {
    let origin = &user["origin"];
    if origin["provider"].is_null() { text(&origin["kind"]) } else { text(&origin["provider"]) }
}

/// `viewer, red:developer`; of both, by hand and by groups.
fn roles(user: &Value) -> String {
    let of = |grants: &Value| {
        let given = Given::of(grants);
        let within = given.projects.into_iter().flat_map(|(project, roles)| roles.into_iter().map(move |role| format!("{project}:{role}")));
        given.roles.into_iter().chain(within).collect::<Vec<_>>()
    };
    let mut all = of(user);
    all.extend(of(&user["mapped"]));
    all.sort();
    all.dedup();
    all.join(", ")
}

fn shown(user: &Value) -> String {
    pairs(&[
        ("name", text(&user["name"])),
        ("id", text(&user["id"])),
        ("email", text(&user["email"])),
        ("from", origin(user)),
        ("roles", roles(user)),
        ("disabled", if user["disabled"] == true { "yes" } else { "no" }.to_owned()),
        ("last login", text(&user["last_login_at"])),
        ("updated", text(&user["updated_at"])),
    ])
}

pub(super) fn user_table(all: &Value, now: Timestamp) -> String {
    let rows = items(all).map(|user| {
        let disabled = if user["disabled"] == true { "disabled" } else { "" };
        [text(&user["name"]), text(&user["id"]), origin(user), roles(user), disabled.to_owned(), age(&user["last_login_at"], now)]
    });
    table(["NAME", "ID", "FROM", "ROLES", "", "LAST LOGIN"], rows)
}

fn role_table(all: &Value) -> String {
    let words = |rights: &Value| {
        let rights: Option<spec::Rights> = serde_json::from_value(rights.clone()).ok();
        rights.map(|rights| rights.to_string()).unwrap_or_default()
    };
    table(["NAME", "MAY", "DESCRIPTION"], items(all).map(|role| [text(&role["name"]), words(&role["rights"]), text(&role["description"])]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_given_and_taken_everywhere_and_within_projects() {
        let mut given = Given::of(&json!({"roles": ["viewer"], "projects": {"red": ["viewer"]}}));
        given.add("developer");
        given.add("viewer");
        given.add("red:developer");
        given.remove("red:viewer");
        given.add("blue:viewer");
        given.remove("blue:viewer");
        let wanted =
            Given { roles: vec!["viewer".into(), "developer".into()], projects: [("red".into(), vec!["developer".into()])].into() };
        assert_eq!(given, wanted);
    }

    #[test]
    fn rights_are_written_as_verbs_on_a_kind() {
        assert_eq!(right("get,list:models"), Ok(("models".to_owned(), vec!["get".to_owned(), "list".to_owned()])));
        assert!(right("models").is_err() && right(":models").is_err());
        let all = together(vec![right("get:models").unwrap_or_default(), right("list:models").unwrap_or_default()]);
        assert_eq!(all["models"], ["get", "list"]);
    }
}
