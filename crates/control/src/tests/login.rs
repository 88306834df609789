//! Browsers that log in with a token, and what they may do by their cookie.

use serde_json::Value;

use super::room::{Answer, Room};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
pub(super) const NAME: &str = "penstock-8080";

/// Without a token of its own.
pub(super) const NOBODY: (&str, &str) = ("authorization", "");

/// What the cookie holds that an answer sets.
fn cookie(answer: &Answer) -> String {
    let mut all = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let ours = all.find_map(|text| text.strip_prefix(&format!("{NAME}="))).expect("a cookie");
    ours.split(';').next().unwrap().to_owned()
}

pub(super) async fn entered(room: &Room, token: &str) -> String {
    let answer = room.ask_with(&[FORM, NOBODY], "POST", "/auth/enter", &format!("token={token}&return_to=%2Fdocs%2F")).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/docs/"), "{}", answer.text);
    assert!(answer.header("set-cookie").ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{}", answer.header("set-cookie"));
    cookie(&answer)
}

pub(super) async fn csrf_token(room: &Room, cookie: &str) -> String {
    let cookie = format!("{NAME}={cookie}");
    let inside = room.ask_with(&[("cookie", &cookie), NOBODY], "GET", "/auth/session", "").await.expect(200);
    inside["csrf_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_changes_something_only_from_a_page_of_ours() {
    let room = Room::open().await;
    let held = entered(&room, &room.admin).await;
    let (csrf, cookie) = (csrf_token(&room, &held).await, format!("{NAME}={held}"));
    let by_cookie = async |method: &str, path: &str, more: &[(&str, &str)], body: &str| {
        let headers: Vec<_> = [("cookie", cookie.as_str()), NOBODY].into_iter().chain(more.iter().copied()).collect();
        room.ask_with(&headers, method, path, body).await
    };
    assert_eq!(by_cookie("GET", "/api/v1/tokens", &[], "").await.status, 200);
    let new = r#"{"name": "made"}"#;
    let meant = ("x-csrf-token", csrf.as_str());
    let refused: [&[(&str, &str)]; 6] = [
        &[],
        &[("x-csrf-token", "guessed")],
        &[("x-csrf-token", held.as_str())],
        &[meant, ("sec-fetch-site", "cross-site")],
        &[meant, ("sec-fetch-site", "same-site")],
        &[meant, ("origin", "https://evil.example")],
    ];
    for headers in refused {
        let answer = by_cookie("POST", "/api/v1/tokens", headers, new).await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert!(answer.json()["hint"].as_str().unwrap().contains("x-csrf-token"), "{headers:?}");
    }
    assert_eq!(by_cookie("POST", "/api/v1/tokens", &[meant, ("sec-fetch-site", "same-origin")], new).await.status, 201);
    assert_eq!(by_cookie("POST", "/api/v1/tokens", &[meant, ("origin", "http://127.0.0.1:8080")], new).await.status, 201);
    // Nobody sends a token in a header who does not mean to.
    assert_eq!(room.ask("POST", "/api/v1/tokens", new).await.status, 201);
    assert_eq!(by_cookie("POST", "/auth/logout", &[FORM], "").await.status, 403, "nobody is logged out by another site");
    let left = by_cookie("POST", "/auth/logout", &[FORM], &format!("csrf_token={csrf}")).await;
    assert_eq!((left.status.as_u16(), left.header("location")), (303, "/auth/login"));
    assert_eq!(by_cookie("GET", "/api/v1/tokens", &[], "").await.status, 401);
}

#[tokio::test]
async fn a_browser_may_what_its_token_may_and_as_long() {
    let room = Room::open().await;
    let held = entered(&room, &room.user).await;
    let cookie = format!("{NAME}={held}");
    let get = async |path: &str| room.ask_with(&[("cookie", cookie.as_str()), NOBODY], "GET", path, "").await;
    assert_eq!(get("/api/v1/whoami").await.expect(200)["name"], "app");
    assert_eq!(get("/api/v1/users").await.status, 403);
    let tokens = room.get("/api/v1/tokens").await;
    let app: &Value = tokens["items"].as_array().unwrap().iter().find(|token| token["name"] == "app").unwrap();
    room.ask("DELETE", &format!("/api/v1/tokens/{}", app["id"].as_str().unwrap()), "").await.expect(204);
    assert_eq!(get("/api/v1/whoami").await.status, 401, "a token that is taken back ends its sessions");
}

#[tokio::test]
async fn another_token_in_the_place_of_the_admin_token_takes_over_no_browser() {
    let mut room = Room::open().await;
    let given = |text: &str| base::Secret::new(format!("psk_{text}_0123456789abcdef0123456789abcdef"));
    let (old, new) = (given("old"), given("new"));
    room.parts.access.first_token(Some(&old)).await.unwrap();
    let cookie = format!("{NAME}={}", entered(&room, old.expose()).await);
    let headers = [("cookie", cookie.as_str()), NOBODY];
    assert_eq!(room.ask_with(&headers, "GET", "/api/v1/whoami", "").await.status, 200);
    room.parts.access.first_token(Some(&old)).await.unwrap();
    assert_eq!(room.ask_with(&headers, "GET", "/api/v1/whoami", "").await.status, 200, "it is the same");
    room.parts.access.first_token(Some(&new)).await.unwrap();
    assert_eq!(room.ask_with(&headers, "GET", "/api/v1/whoami", "").await.status, 401, "whoever knew the old one knows nothing now");
    let local = access::login::Config::local("http://127.0.0.1:8080");
    room.parts.logins = access::login::Logins::open(&room.parts.access, local, &|_| None).await.unwrap();
    room.app = crate::router(room.parts.clone());
    assert_eq!(room.ask_with(&headers, "GET", "/api/v1/whoami", "").await.status, 401, "nor after a restart");
    let bearer = format!("Bearer {}", new.expose());
    room.ask_with(&[("authorization", &bearer)], "GET", "/api/v1/whoami", "").await.expect(200);
}

#[tokio::test]
async fn who_brings_many_wrong_tokens_to_be_exchanged_has_to_wait_as_at_the_door() {
    let room = Room::open().await;
    let exchange = async |assertion: String, from: [u8; 4]| {
        let form = format!("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={assertion}");
        let mut request = http::Request::post("/auth/token").header(FORM.0, FORM.1).body(axum::body::Body::from(form)).unwrap();
        request.extensions_mut().insert(access::Address(from.into()));
        room.send(request).await
    };
    let (here, there) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let mut slowed = 0;
    for number in 0..30 {
        let answer = exchange(format!("eyJ.eyJ.{number}"), here).await;
        assert!(matches!(answer.status().as_u16(), 400 | 429), "{}", answer.status());
        if answer.status() == 429 {
            assert!(answer.headers().contains_key("retry-after"));
            slowed += 1;
        }
    }
    assert_eq!(slowed, 10, "twenty may be tried at once");
    let mut device = http::Request::post("/auth/device").header(FORM.0, FORM.1).body(axum::body::Body::empty()).unwrap();
    device.extensions_mut().insert(access::Address(here.into()));
    assert_eq!(room.send(device).await.status(), 429, "nor does it begin another login");
    assert_eq!(exchange("eyJ.eyJ.x".to_owned(), there).await.status(), 400, "somewhere else nobody waits");
}

#[tokio::test]
async fn a_wrong_token_and_a_form_of_another_site_log_nobody_in() {
    let room = Room::open().await;
    let wrong = room.ask_with(&[FORM, NOBODY], "POST", "/auth/enter", "token=psk_%3Cb%3E").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text.contains("the token is not valid") && !wrong.text.contains("<b>"), "{}", wrong.text);
    let form = format!("token={}", room.admin);
    let forged = room.ask_with(&[FORM, NOBODY, ("sec-fetch-site", "cross-site")], "POST", "/auth/enter", &form).await;
    assert_eq!(forged.status, 403);
    for answer in [wrong, forged] {
        assert!(answer.headers.get("set-cookie").is_none());
    }
    let page = room.ask_with(&[NOBODY], "GET", "/auth/login?return_to=//evil.example", "").await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("evil.example") && page.header("cache-control") == "no-store", "{}", page.text);
    for asked in ["/auth/device", "/auth/token"] {
        let answer = room.ask_with(&[FORM, NOBODY], "POST", asked, "").await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (400, Some("invalid_request")), "{asked}");
    }
}
