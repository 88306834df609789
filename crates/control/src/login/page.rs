//! The page that people log in at.
//!
//! In: the providers, who is logged in already, what went wrong. Out: HTML without a script, in the console's style, from files inside the binary.
//! Fails: never. Everything that comes from elsewhere is escaped.

use std::fmt::Write as _;

use access::login::{Offer, csrf_token};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::cookie::Jar;
use crate::House;

/// What went wrong: a status, what, and what to do.
pub(super) type Trouble = (StatusCode, String, Option<String>);

/// The page; `return_to` is a path of ours.
pub(super) fn login(house: &House, headers: &HeaderMap, return_to: &str, trouble: Option<Trouble>) -> Response {
    let cookie = Jar::of(house).session(headers);
    let inside = cookie.and_then(|cookie| Some((house.logins.session(&cookie).ok()?.1, csrf_token(&cookie))));
    let mut page = String::from(HEAD);
    if let Some((_, what, hint)) = &trouble {
        let hint = hint.as_ref().map(|hint| format!(" <br>What to do: {}", escaped(hint))).unwrap_or_default();
        add(&mut page, format_args!("<p id=\"notice\" role=\"alert\">{}{hint}</p>\n", escaped(what)));
    }
    match inside {
        Some((caller, token)) if trouble.is_none() => already(&mut page, caller.name(), &token, return_to),
        _ => ways_in(&mut page, &house.logins.offers(), return_to),
    }
    page.push_str(TAIL);
    let status = trouble.map_or(StatusCode::OK, |(status, ..)| status);
    (status, headers_of(&house.logins.ways_out()), page).into_response()
}

fn ways_in(page: &mut String, offers: &[Offer], return_to: &str) {
    if !offers.is_empty() {
        page.push_str("<section aria-labelledby=\"providers\">\n<h2 id=\"providers\">Log in</h2>\n<p class=\"ways\">\n");
        for Offer { name, label, is_away } in offers {
            let away = if *is_away { " <small class=\"wait\">does not answer now</small>" } else { "" };
            let to = encoded(return_to);
            let label = escaped(label);
            add(page, format_args!("<a class=\"button\" href=\"/auth/login?provider={name}&amp;return_to={to}\">{label}</a>{away}\n"));
        }
        page.push_str("</p>\n</section>\n");
    }
    add(page, format_args!("{TOKEN_FORM}<input type=\"hidden\" name=\"return_to\" value=\"{}\">\n</form>\n", escaped(return_to)));
}

fn already(page: &mut String, name: &str, csrf_token: &str, return_to: &str) {
    let (name, token, to) = (escaped(name), escaped(csrf_token), escaped(return_to));
    add(page, format_args!("<form method=\"post\" action=\"/auth/logout\">\n<h2>Logged in as {name}</h2>\n"));
    add(page, format_args!("<input type=\"hidden\" name=\"csrf_token\" value=\"{token}\">\n"));
    add(page, format_args!("<p><a class=\"button\" href=\"{to}\">Go on</a> <button type=\"submit\">Log out</button></p>\n</form>\n"));
}

fn headers_of(ways_out: &[String]) -> HeaderMap {
    // The form that logs out is answered by a redirect to the provider, which browsers count as a target of the form.
    let targets = ways_out.join(" ");
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {targets}; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ])
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    // A `String` cannot fail to take text.
    let _ = page.write_fmt(text);
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// As a value in a query.
fn encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Log in: Penstock</title>
<link rel="icon" href="/console/penstock.svg" type="image/svg+xml">
<link rel="stylesheet" href="/console/console.css">
</head>
<body>
<header>
<img src="/console/penstock.svg" alt="" width="36" height="36">
<div>
<h1>Penstock</h1>
<p>puts models into service and serves them</p>
</div>
</header>
<main>
"#;

const TOKEN_FORM: &str = r#"<form method="post" action="/auth/enter" autocomplete="off">
<label for="token">Token</label>
<input id="token" name="token" type="password" placeholder="psk_..." spellcheck="false" required>
<button type="submit">Log in with a token</button>
<p>For whoever has one, and for when no provider answers. The first one was printed at the first start and lies in
<code>admin-token</code> in the data directory.</p>
"#;

const TAIL: &str = "</main>\n</body>\n</html>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_is_text_and_nothing_else() {
        assert_eq!(escaped("<a href=\"x\" b='y'>&"), "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
        assert_eq!(encoded("/a?b=c&d#é"), "%2Fa%3Fb%3Dc%26d%23%C3%A9");
    }
}
