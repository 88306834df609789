//! Promises about models, their versions and the story of their tags.
#![expect(clippy::missing_panics_doc, reason = "a broken promise panics; that is what a contract is for")]

use base::Timestamp;
use spec::deployment::Origin;
use spec::{Capability, Format, Model, Revision, TagMove};

use crate::contract::sample::{listed, model, name, version, wish};
use crate::error::Error;
use crate::models::ModelQuery;
use crate::open::Store;

async fn names(store: &Store, query: ModelQuery) -> Result<Vec<String>, Error> {
    Ok(store.find_models(&query).await?.into_iter().map(|model| model.name.to_string()).collect())
}

/// Whole models go in and come out.
pub async fn a_model_comes_back_with_its_card_its_versions_and_its_tags(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    let store = place().await?;
    let before = store.models_changed().await?;
    let b = store.put_model(&model("b")?, &[]).await?;
    let a = store.put_model(&model("a/b:c")?, &[]).await?;
    assert_eq!(b, Model { generation: 1, ..model("b")? });
    assert_eq!(store.list_models().await?, [a.clone(), b.clone()], "by name");
    let mut changed = b.clone();
    changed.tags.clear();
    changed.versions.truncate(1);
    changed.versions.insert(0, listed("sha256:cc"));
    "another".clone_into(&mut changed.versions[1].note);
    let changed = store.put_model(&changed, &[]).await?;
    assert_eq!(changed.generation, 2);
    assert_eq!(store.get_bare_model(&b.name).await?, Some(Model { versions: Vec::new(), ..changed.clone() }));
    assert_eq!(store.get_model(&b.name).await?, Some(changed), "with the new version first, and without the one that is gone");
    assert!(store.remove_model(&a.name, None).await?);
    assert!(!store.remove_model(&a.name, None).await?);
    assert_eq!(store.get_model(&a.name).await?, None);
    assert_eq!(store.models_changed().await?, before + 4, "every change is seen");
    Ok(())
}

/// Of two writers who read the same, one has to read again.
pub async fn a_model_is_changed_only_on_top_of_what_it_is(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let first = store.put_model(&model("m")?, &[]).await?;
    let again = store.put_model(&model("m")?, &[]).await;
    assert!(matches!(again, Err(Error::StaleModel { actual: 1, .. })), "{again:?}");
    let second = store.put_model(&first, &[]).await?;
    let stale = store.put_model(&first, &[]).await;
    assert!(matches!(stale, Err(Error::StaleModel { actual: 2, .. })), "{stale:?}");
    let stale = store.remove_model(&first.name, Some(1)).await;
    assert!(matches!(stale, Err(Error::StaleModel { actual: 2, .. })), "{stale:?}");
    assert_eq!(store.get_model(&first.name).await?, Some(second));
    assert!(store.remove_model(&first.name, Some(2)).await?);
    let gone = store.put_model(&first, &[]).await;
    assert!(matches!(gone, Err(Error::StaleModel { actual: 0, .. })), "{gone:?}");
    Ok(())
}

/// Everything that a search names must be so.
pub async fn models_are_found_by_words_labels_formats_and_what_they_can_do(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    let store = place().await?;
    for text in ["a", "b", "c"] {
        store.put_model(&model(text)?, &[]).await?;
    }
    let mut odd = model("d")?;
    "Löwe 100%_' OR 1=1".clone_into(&mut odd.card.description);
    odd.card.labels = [("team".to_owned(), "blue".to_owned())].into();
    odd.card.capabilities = Some([Capability::Embedding].into());
    odd.card.deprecated = Some("use a".to_owned());
    odd.versions[0].version.format = Format::Onnx;
    store.put_model(&odd, &[]).await?;
    let query = ModelQuery::default;
    let words = |words: &[&str]| ModelQuery { words: words.iter().map(|word| (*word).to_owned()).collect(), ..query() };
    let labelled = |label: &str| ModelQuery { labels: vec![label.to_owned()], ..query() };
    assert_eq!(names(&store, query()).await?, ["a", "b", "c", "d"]);
    assert_eq!(names(&store, ModelQuery { limit: Some(2), after: Some("a".to_owned()), ..query() }).await?, ["b", "c"]);
    assert_eq!(names(&store, words(&["GOOD", "what b"])).await?, ["b"], "every word, in any letters");
    assert_eq!(names(&store, words(&["100%_' or 1=1"])).await?, ["d"], "a word is no pattern and no statement");
    assert_eq!(names(&store, words(&["_x_"])).await?, [""; 0]);
    assert_eq!(names(&store, labelled("team=blue")).await?, ["d"]);
    assert_eq!(names(&store, labelled("team")).await?.len(), 4, "with any value");
    assert_eq!(names(&store, labelled("tea")).await?, [""; 0]);
    assert_eq!(names(&store, ModelQuery { format: Some(Format::Onnx), ..query() }).await?, ["d"]);
    assert_eq!(names(&store, ModelQuery { capabilities: vec![Capability::Chat], ..query() }).await?, ["a", "b", "c"]);
    assert_eq!(names(&store, ModelQuery { deprecated: Some(true), ..query() }).await?, ["d"]);
    assert_eq!(names(&store, ModelQuery { deprecated: Some(false), capabilities: vec![Capability::Embedding], ..query() }).await?, [""; 0]);
    Ok(())
}

/// The story of the tags goes with the model.
pub async fn how_a_tag_moved_is_remembered_newest_first(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let moved = |tag: &str, from: Option<&str>, to: Option<&str>| TagMove {
        tag: tag.to_owned(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        at: Timestamp::from_millis(7),
        cause: "a test".to_owned(),
    };
    let (one, two) = (moved("prod", None, Some("sha256:aa")), moved("prod", Some("sha256:aa"), None));
    let m = store.put_model(&model("m")?, std::slice::from_ref(&one)).await?;
    let m = store.put_model(&m, std::slice::from_ref(&two)).await?;
    store.put_model(&model("other")?, std::slice::from_ref(&one)).await?;
    assert_eq!(store.list_tag_moves(&m.name, 10).await?, [two.clone(), one]);
    assert_eq!(store.list_tag_moves(&m.name, 1).await?, [two]);
    store.remove_model(&m.name, None).await?;
    store.put_model(&model("m")?, &[]).await?;
    assert_eq!(store.list_tag_moves(&m.name, 10).await?, [], "another model has another story");
    Ok(())
}

/// Whoever wants to take a version away learns who may go back to it.
pub async fn the_revisions_of_a_version_are_known(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let wanted = wish("d")?;
    store.create_deployment(&wanted, Origin::Api).await?;
    for (number, digest) in [(1, "sha256:aa"), (2, "sha256:bb"), (3, "sha256:aa")] {
        let revision = Revision { number, spec: wanted.clone(), version: Some(version(digest)) };
        store.put_revision(&wanted.name, &revision, "a test").await?;
    }
    let d = name("d")?;
    assert_eq!(store.revisions_of_digest("sha256:aa").await?, [(d.clone(), 1), (d, 3)]);
    assert_eq!(store.revisions_of_digest("sha256:cc").await?, []);
    Ok(())
}
