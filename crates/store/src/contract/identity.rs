//! Promises about users, roles and what they hold.
#![expect(clippy::missing_panics_doc, reason = "a broken promise panics; that is what a contract is for")]

use base::Timestamp;
use spec::{Token, TokenId, UserId};

use crate::contract::sample::{role, token, user};
use crate::error::Error;
use crate::open::Store;
use crate::tokens::TokenQuery;

/// One name, one user; one identity of a provider, one user.
pub async fn users_come_back_by_name_and_share_neither_name_nor_identity(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    let store = place().await?;
    let (mut one, two) = (user("u1", "s1")?, user("u2", "s2")?);
    store.put_user(&two).await?;
    store.put_user(&one).await?;
    assert_eq!(store.list_users().await?, [one.clone(), two.clone()]);
    assert_eq!(store.get_user(&one.id).await?, Some(one.clone()));
    assert_eq!(store.find_user("house", "s2").await?, Some(two.clone()));
    assert_eq!(store.find_user("home", "s2").await?, None);
    for taken in [spec::User { name: two.name.clone(), ..one.clone() }, spec::User { origin: two.origin.clone(), ..one.clone() }] {
        assert!(matches!(store.put_user(&taken).await, Err(Error::UserTaken(_))), "{taken:?}");
    }
    one.origin = spec::user::Origin::Local;
    one.disabled = false;
    store.put_user(&one).await?;
    drop(store);
    let store = place().await?;
    assert_eq!(store.get_user(&one.id).await?, Some(one));
    assert_eq!(store.find_user("house", "s1").await?, None);
    Ok(())
}

/// A token without its owner would open what nobody may.
pub async fn a_user_goes_with_all_of_their_tokens(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let one = user("u1", "s1")?;
    store.put_user(&one).await?;
    let others = Token { owner: Some(UserId::new("u2")), ..token("t2", "bbbb") };
    let nobodys = Token { owner: None, ..token("t3", "cccc") };
    for token in [&token("t1", "aaaa"), &others, &nobodys] {
        store.put_token(token).await?;
    }
    assert!(store.delete_user(&one.id).await?);
    assert!(!store.delete_user(&one.id).await?);
    assert_eq!(store.list_tokens().await?, [others, nobodys]);
    Ok(())
}

/// With what they stand for.
pub async fn roles_come_back_by_name(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let (mut red, blue) = (role("red")?, role("blue")?);
    store.put_role(&red).await?;
    store.put_role(&blue).await?;
    red.description = None;
    red.rights = spec::Rights::ALL;
    store.put_role(&red).await?;
    assert_eq!(store.list_roles().await?, [blue, red.clone()]);
    assert!(store.delete_role(&red.name).await?);
    assert!(!store.delete_role(&red.name).await?);
    assert_eq!(store.list_roles().await?.len(), 1);
    Ok(())
}

/// All of them, and those that somebody may see.
pub async fn tokens_are_listed_oldest_first_a_page_at_a_time(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let made = |id: &str, at, owner: Option<&str>, project: Option<&str>| Token {
        created_at: Timestamp::from_millis(at),
        owner: owner.map(UserId::new),
        project: project.map(str::to_owned),
        ..token(id, &format!("hash of {id}"))
    };
    let all = [made("d", 1, Some("u1"), None), made("a", 2, None, Some("red")), made("b", 2, Some("u2"), None), made("c", 3, None, None)];
    for token in all.iter().rev() {
        store.put_token(token).await?;
    }
    let page = async |query| Ok::<_, Error>(store.page_tokens(&query).await?.into_iter().map(|t| t.id.to_string()).collect::<Vec<_>>());
    let some = |limit| TokenQuery { limit, ..TokenQuery::default() };
    assert_eq!(page(some(3)).await?, ["d", "a", "b"]);
    let after = Some((Timestamp::from_millis(2), TokenId::new("a")));
    assert_eq!(page(TokenQuery { after, ..some(9) }).await?, ["b", "c"]);
    assert_eq!(page(TokenQuery { owner: Some(UserId::new("u1")), ..some(9) }).await?, ["d"]);
    let visible = Some((Some(UserId::new("u1")), vec!["red".to_owned()]));
    assert_eq!(page(TokenQuery { visible, ..some(9) }).await?, ["d", "a"]);
    assert_eq!(page(TokenQuery { visible: Some((None, Vec::new())), ..some(9) }).await?, [""; 0]);
    assert_eq!(store.get_token(&all[1].id).await?.as_ref(), Some(&all[1]));
    assert_eq!(store.get_token(&TokenId::new("e")).await?, None);
    assert_eq!((store.count_tokens_of("red").await?, store.count_tokens_of("blue").await?), (1, 0));
    Ok(())
}

/// A late batch does not turn it back, and a change of the token does not lose it.
pub async fn when_a_token_was_last_used_is_kept_and_only_goes_on(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let one = token("t1", "aaaa");
    store.put_token(&one).await?;
    let at = Timestamp::from_millis;
    store.put_last_used(&[(one.id.clone(), at(20)), (TokenId::new("gone"), at(20))]).await?;
    store.put_last_used(&[(one.id.clone(), at(10))]).await?;
    store.put_token(&one).await?;
    assert!(store.update_token(&one).await?);
    assert_eq!(store.get_token(&one.id).await?.and_then(|token| token.last_used_at), Some(at(20)));
    assert_eq!(store.list_tokens().await?.len(), 1, "a token that is gone is not brought back");
    Ok(())
}
