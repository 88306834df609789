//! Every Rust file begins with its doc; some words stand nowhere; statuses of errors stand in two files.
//!
//! In: the house and the table's words. Out: findings with their lines.

use super::Finding;
use super::code::{Code, words};
use super::house::{File, House};
use super::table::{Place, Table};

/// The names that the `http` crate gives to statuses from 400 on.
const ERROR_STATUSES: [&str; 40] = [
    "BAD_REQUEST",
    "UNAUTHORIZED",
    "PAYMENT_REQUIRED",
    "FORBIDDEN",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "NOT_ACCEPTABLE",
    "PROXY_AUTHENTICATION_REQUIRED",
    "REQUEST_TIMEOUT",
    "CONFLICT",
    "GONE",
    "LENGTH_REQUIRED",
    "PRECONDITION_FAILED",
    "PAYLOAD_TOO_LARGE",
    "URI_TOO_LONG",
    "UNSUPPORTED_MEDIA_TYPE",
    "RANGE_NOT_SATISFIABLE",
    "EXPECTATION_FAILED",
    "IM_A_TEAPOT",
    "MISDIRECTED_REQUEST",
    "UNPROCESSABLE_ENTITY",
    "LOCKED",
    "FAILED_DEPENDENCY",
    "TOO_EARLY",
    "UPGRADE_REQUIRED",
    "PRECONDITION_REQUIRED",
    "TOO_MANY_REQUESTS",
    "REQUEST_HEADER_FIELDS_TOO_LARGE",
    "UNAVAILABLE_FOR_LEGAL_REASONS",
    "INTERNAL_SERVER_ERROR",
    "NOT_IMPLEMENTED",
    "BAD_GATEWAY",
    "SERVICE_UNAVAILABLE",
    "GATEWAY_TIMEOUT",
    "HTTP_VERSION_NOT_SUPPORTED",
    "VARIANT_ALSO_NEGOTIATES",
    "INSUFFICIENT_STORAGE",
    "LOOP_DETECTED",
    "NOT_EXTENDED",
    "NETWORK_AUTHENTICATION_REQUIRED",
];

pub(super) fn check(house: &House, table: &Table, found: &mut Vec<Finding>) {
    for file in &house.files {
        for word in table.words.iter().filter(|word| word.place == Place::Anywhere) {
            for (at, _) in file.text.match_indices(&word.text) {
                found.push(banned(file, line_at(&file.text, at), &word.text, &word.instead));
            }
        }
    }
    for (file, code) in house.rust() {
        check_doc(file, found);
        for word in table.words.iter().filter(|word| word.place == Place::Code) {
            for (at, _) in code.bare.match_indices(&word.text) {
                found.push(banned(file, code.line_at(at), &word.text, &word.instead));
            }
        }
        if !file.is_test() && !table.names_statuses(&file.path) {
            check_statuses(file, code, found);
        }
    }
}

fn banned(file: &File, line: usize, word: &str, instead: &str) -> Finding {
    Finding {
        path: file.path.clone(),
        line,
        check: "word",
        item: Some(word.to_owned()),
        what: format!("`{word}` stands here"),
        advice: instead.to_owned(),
    }
}

fn check_doc(file: &File, found: &mut Vec<Finding>) {
    let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let says_something = first.strip_prefix("//!").is_some_and(|doc| !doc.trim().is_empty());
    if !says_something {
        found.push(Finding {
            path: file.path.clone(),
            line: 1,
            check: "doc",
            item: None,
            what: "does not begin with `//!`".to_owned(),
            advice: "begin with the question that this file answers".to_owned(),
        });
    }
}

fn check_statuses(file: &File, code: &Code, found: &mut Vec<Finding>) {
    for at in words(&code.bare, "StatusCode") {
        let Some(rest) = code.bare[at..].strip_prefix("StatusCode::") else { continue };
        let name = rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap_or_default();
        if ERROR_STATUSES.contains(&name) && !code.in_tests(at) {
            found.push(Finding {
                path: file.path.clone(),
                line: code.line_at(at),
                check: "status",
                item: Some(name.to_owned()),
                what: format!("names the error status {name}"),
                advice: "return an error with a base::Kind; gateway/src/error.rs and control/src/error.rs choose the status".to_owned(),
            });
        }
    }
}

fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}
