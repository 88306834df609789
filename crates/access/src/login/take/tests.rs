//! What a provider said last is what counts, whatever it was told by, and however late.

use std::time::Duration;

use spec::Grants;

use super::*;
use crate::access::Mode;
use crate::login::{Config, Logins};

fn ann(roles: &[&str]) -> Person {
    let roles = roles.iter().map(|role| role.parse().expect("a name")).collect();
    let (provider, subject, name) = ("corp".to_owned(), "4711".to_owned(), "ann".to_owned());
    Person { provider, subject, name, email: None, grants: Grants { roles, ..Grants::default() } }
}

fn ago(minutes: u64) -> Timestamp {
    let millis = i64::try_from(Duration::from_mins(minutes).as_millis()).expect("some");
    Timestamp::from_millis(Timestamp::now().as_millis() - millis)
}

#[tokio::test]
async fn a_later_word_counts_that_comes_after_an_earlier_one_was_brought_late() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path().join("x.db")).await.expect("a store");
    let access = Access::open(store, Mode::Tokens).await.expect("a door");
    let _logins = Logins::open(&access, Config::local("http://127.0.0.1:1"), &|_| None).await.expect("a desk");
    let roles = |user: &User| user.mapped.roles.iter().map(ToString::to_string).collect::<Vec<_>>();
    let then = ago(10);
    let user = access.arrive(ann(&["admin"]), then).await.expect("a user");
    assert_eq!((roles(&user), user.last_login_at), (vec!["admin".to_owned()], Some(then)), "said then, and not now");
    let user = access.arrive(ann(&["viewer"]), ago(5)).await.expect("the user");
    assert_eq!(roles(&user), ["viewer"], "they left the group before the earlier word was brought, and it was said after it");
    let user = access.arrive(ann(&["admin"]), ago(7)).await.expect("the user");
    assert_eq!(roles(&user), ["viewer"], "what was said before does not count any more");
    let ahead = Timestamp::now().plus(Duration::from_mins(1));
    access.arrive(ann(&["admin"]), ahead).await.expect("the user");
    let user = access.arrive(ann(&["viewer"]), Timestamp::now()).await.expect("the user");
    assert_eq!(roles(&user), ["viewer"], "a clock that is ahead keeps nobody's word out");
}
