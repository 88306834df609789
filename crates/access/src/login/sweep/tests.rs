//! What is over is forgotten in time, and nothing else is.

use std::collections::BTreeMap;

use base::Secret;
use base::simulated::Simulated;
use openidconnect::core::CoreDeviceAuthorizationResponse;
use spec::{Scope, Token, TokenId};
use store::Store;
use tokio::time::Instant;

use super::*;
use crate::access::Mode;
use crate::ask::NewToken;
use crate::login::session::{Stay, Who};
use crate::login::{Config, Logins, ProviderConfig};
use crate::users::NewUser;

const BEGINS: Timestamp = Timestamp::from_millis(1_900_000_000_000);
const IDLE: Duration = Duration::from_mins(30);
const LOGIN: Duration = Duration::from_hours(1);

/// While a thread is at work a paused clock stands: SQLite answers from threads of its own, and is waited for.
fn clock_stands() -> std::sync::mpsc::Sender<()> {
    let (done, work) = std::sync::mpsc::channel();
    let stands = async move { _ = tasks::blocking("the clock stands", move || work.recv().is_ok()).await };
    tasks::spawn("the clock stands", stands).detach();
    done
}

async fn store(dir: &tempfile::TempDir) -> Store {
    Store::open(dir.path().join("x.db")).await.expect("a store")
}

async fn desk(store: &Store) -> (Access, Logins) {
    let access = Access::open(store.clone(), Mode::Tokens).await.expect("a door");
    let config = Config {
        // Nobody is there; what a login of a device needs of it is known already.
        providers: vec![ProviderConfig::new("corp", "http://127.0.0.1:9", "penstock")],
        stay: Stay { idle: IDLE, longest: Duration::from_hours(8) },
        login_token: LOGIN,
        ..Config::local("http://127.0.0.1:1")
    };
    let logins = Logins::open(&access, config, &|_| None).await.expect("a desk");
    (access, logins)
}

async fn ann(access: &Access) -> spec::User {
    let new = NewUser {
        name: "ann".to_owned(),
        email: None,
        service: false,
        roles: vec!["admin".parse().expect("a name")],
        projects: BTreeMap::new(),
    };
    access.create_user(new).await.expect("a user")
}

fn device() -> CoreDeviceAuthorizationResponse {
    let said =
        r#"{"device_code": "d", "user_code": "u", "verification_uri": "http://127.0.0.1:9/device", "expires_in": 600, "interval": 5}"#;
    serde_json::from_str(said).expect("what a provider says")
}

/// What is left: sessions in memory and in the store, logins of devices, tokens in memory or in the store.
async fn left(logins: &Logins, store: &Store) -> [usize; 4] {
    let kept = store.count_sessions().await.expect("sessions");
    let tokens = store.list_tokens().await.expect("tokens").len();
    let inner = logins.inner();
    [inner.sessions.count(), usize::try_from(kept).expect("few"), inner.devices.count(), tokens.max(inner.access.tokens())]
}

#[tokio::test(start_paused = true)]
async fn sessions_logins_of_devices_and_tokens_of_logins_are_forgotten_after_their_end() {
    let (_stands, _simulated) = (clock_stands(), Simulated::begin(1, BEGINS));
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(&dir).await;
    let (access, logins) = desk(&store).await;
    let user = ann(&access).await;
    let (_, of_login) = logins.login_token(&user).await.expect("a token of a login");
    let by_hand = NewToken { scopes: vec![Scope::Admin], expires_at: Some(BEGINS.plus(LOGIN)), ..NewToken::named("by hand") };
    access.create(by_hand).await.expect("a token");
    let inner = logins.inner();
    inner.sessions.begin(Who::User(user.id.clone()), None).await.expect("a session");
    inner.devices.wait_for(logins.only_provider(), "code", device());
    assert_eq!(left(&logins, &store).await, [1, 1, 1, 2]);
    let began = Instant::now();
    let mut ends = [None; 4];
    let enter = |token: &Secret| access.enter(Some(token.expose()), None).map(drop);
    while ends.iter().any(Option::is_none) {
        tokio::time::advance(Duration::from_mins(1)).await;
        // What a round writes takes time of this machine, in which no minutes go by.
        _ = tasks::blocking("a round writes", || std::thread::sleep(Duration::from_millis(10))).await;
        // Asked for before anything is counted: a token leaves the store first and the memory last.
        let told = enter(&of_login);
        let (now, after) = (left(&logins, &store).await, began.elapsed());
        for (end, (now, last)) in ends.iter_mut().zip(now.into_iter().zip([0, 0, 0, 1])) {
            if now == last && end.is_none() {
                *end = Some(after);
            }
        }
        let says_expired = matches!(told, Err(Error::Expired { .. }));
        assert!(after < LOGIN || says_expired || ends[3].is_some(), "until it is forgotten it is told that it has expired: {told:?}");
        assert!(after < Duration::from_hours(6), "{ends:?}");
    }
    let least = [IDLE, IDLE, Duration::from_mins(10), LOGIN + TOLD_FOR];
    for (end, least) in ends.into_iter().flatten().zip(least) {
        // One round later at most, the second of them for what is written late; and one more, for a machine that is busy.
        assert!((least..least + 3 * EVERY).contains(&end), "{end:?} of {least:?}");
    }
    assert!(matches!(enter(&of_login), Err(Error::WrongToken)));
    let left = store.list_tokens().await.expect("tokens");
    assert_eq!(left.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["by hand"], "what a person made a person takes away");
}

#[tokio::test]
async fn a_login_too_many_ends_the_oldest_of_the_same_user() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(&dir).await;
    let (access, _) = desk(&store).await;
    let user = ann(&access).await;
    let (mut like, _) = access.create(NewToken { owner: Some(user.id.clone()), ..NewToken::named("by hand") }).await.expect("a token");
    like.from_login = true;
    like.expires_at = Some(Timestamp::now().plus(LOGIN));
    let many: Vec<Token> = (0..MOST)
        .map(|number| Token {
            id: TokenId::new(format!("t{number}")),
            hash: format!("{number:064x}"),
            created_at: Timestamp::from_millis(number.into()),
            ..like.clone()
        })
        .collect();
    store.put_tokens(&many).await.expect("logins");
    let (access, logins) = desk(&store).await;
    logins.login_token(&user).await.expect("one more");
    let oldest = async |number: u32| access.get(&TokenId::new(format!("t{number}"))).await;
    assert!(matches!(oldest(0).await, Err(Error::NotFound(_))));
    assert!(oldest(1).await.is_ok());
    assert_eq!(
        store.list_tokens().await.expect("tokens").len(),
        usize::try_from(MOST).expect("few") + 1,
        "and the one that was made by hand"
    );
}
