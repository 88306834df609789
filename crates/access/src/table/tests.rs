//! The table has one row for each route, and nothing is open by mistake.

use std::collections::BTreeSet;

use super::*;

#[test]
fn each_route_has_one_row() {
    let mut seen = BTreeSet::new();
    for row in ROWS {
        assert!(seen.insert((row.method, row.path)), "{row:?}");
        assert!(row.method == EACH || ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"].contains(&row.method), "{row:?}");
    }
    assert!(seen.len() > 100, "{}", seen.len());
}

#[test]
fn what_stands_in_no_row_is_asked_by_nobody() {
    assert_eq!(row("GET", "/api/v1/nothing"), None);
    assert_eq!(row("DELETE", "/api/v1/deployments"), None);
    assert_eq!(row("HEAD", "/api/v1/deployments").map(|row| row.need), Some(Need::Within(Verb::List, Kind::Deployments)));
    assert_eq!(row("TRACE", "/api/pull").map(|row| row.need), Some(Need::Public));
    assert_eq!(methods("/api/v1/deployments").as_deref(), Some("GET,HEAD,POST"));
    assert_eq!(methods("/nowhere"), None);
}

#[test]
fn a_route_that_needs_to_change_something_is_no_get() {
    for row in ROWS {
        assert!(!matches!(row.method, "GET" | "HEAD" | "OPTIONS") || row.changes().is_none(), "{row:?}");
        let reads = matches!(row.need, Need::Right(Verb::Get | Verb::List, _) | Need::Within(Verb::Get | Verb::List, _));
        assert!(matches!(row.method, "GET" | "HEAD" | "OPTIONS") || !reads || row.path == "/api/v1/fit", "{row:?}");
    }
}

#[test]
fn only_what_shows_no_secret_is_public() {
    let public: Vec<&str> = ROWS.iter().filter(|row| row.need == Need::Public && row.face == Face::Control).map(|row| row.path).collect();
    assert!(public.iter().all(|path| path.contains("/login") || path.contains("/auth")), "{public:?}");
    // It names the models of all projects.
    assert_eq!(row("GET", "/metrics").map(|row| row.need), Some(Need::Near(Verb::Get, Kind::Server)));
}
