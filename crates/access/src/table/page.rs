//! The table as a page for people.
//!
//! In: the table, and the roles that are built in. Out: Markdown. Fails: never.

use std::fmt::Write as _;

use spec::{Kind, Role, Verb};

use super::{Face, Need, ROWS, Row};

/// The text of `docs/reference/authorization.md`.
pub fn page() -> String {
    let roles: Vec<Role> = Role::BUILT_IN.into_iter().filter_map(Role::built_in).collect();
    let mut page = String::from(HEAD);
    verbs(&mut page, &roles);
    for face in Face::ALL {
        let rows: Vec<&Row> = ROWS.iter().filter(|row| row.face == face).collect();
        let names = roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>().join(" | ");
        let _ =
            write!(page, "\n## {}\n\n| method | path | needs | {names} |\n|---|---|---|{}\n", face.as_str(), "---|".repeat(roles.len()));
        for row in rows {
            let may = roles.iter().map(|role| mark(row.need, role)).collect::<Vec<_>>().join(" | ");
            let method = if row.method == "*" { "each" } else { row.method };
            let _ = writeln!(page, "| {method} | `{}` | {} | {may} |", row.path, row.need);
        }
    }
    page
}

const HEAD: &str = "\
# Authorization

Who may ask what. This page is printed from the one table that all faces go by; a route that stands in no row is
refused to everybody. A role is a set of verbs on kinds of things; `admin`, `operator`, `developer` and `viewer` are
built in, others are made with `penstock role create` or `POST /api/v1/roles`.

A token may what its scopes, its role and its rights say together; one that belongs to a user or a service account never more
than its owner may at that moment. The scope `inference` stands for `use calls`, the scope `admin` for everything. *Own* in a
row means: who may not do it everywhere may do it with their own tokens and their own use, and within the projects in which a role of
theirs says so. *On this machine* means a connection over loopback that no proxy has brought, under `localhost`, a loopback address or the host of
`auth.public_url`; `metrics.access` makes it anybody (`open`), or nobody without a token (`token`).
";

fn verbs(page: &mut String, roles: &[Role]) {
    let names = roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>().join(" | ");
    let _ = write!(page, "\n## Roles\n\n| kind | {names} |\n|---|{}\n", "---|".repeat(roles.len()));
    for kind in Kind::ALL {
        let of = |role: &Role| {
            let verbs: Vec<&str> = Verb::ALL.into_iter().filter(|verb| role.rights.has(*verb, kind)).map(Verb::as_str).collect();
            if verbs.len() == Verb::ALL.len() { "all".to_owned() } else { verbs.join(", ") }
        };
        let _ = writeln!(page, "| {kind} | {} |", roles.iter().map(of).collect::<Vec<_>>().join(" | "));
    }
}

fn mark(need: Need, role: &Role) -> &'static str {
    match need {
        Need::Public | Need::Caller => "yes",
        Need::Right(verb, kind) | Need::Within(verb, kind) | Need::Near(verb, kind) if role.rights.has(verb, kind) => "yes",
        Need::Within(_, Kind::Tokens | Kind::Usage) => "own",
        Need::Right(..) | Need::Within(..) | Need::Near(..) => "",
    }
}
