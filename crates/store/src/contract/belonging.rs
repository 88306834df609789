//! Promises about what belongs to a project.
#![expect(clippy::missing_panics_doc, reason = "a broken promise panics; that is what a contract is for")]

use spec::deployment::Origin;
use spec::{Deployment, Model, Name, Project};

use crate::contract::sample::{model, name, project, token, wish};
use crate::error::Error;
use crate::models::ModelQuery;
use crate::open::Store;
use crate::owned::Owned;

fn of(text: &str, project: &Name) -> Result<Deployment, Error> {
    Ok(Deployment { project: Some(project.clone()), ..wish(text)? })
}

fn model_of(text: &str, project: &Name) -> Result<Model, Error> {
    let mut model = model(text)?;
    model.card.project = Some(project.clone());
    Ok(model)
}

/// A project with room for two deployments and one model.
async fn red(store: &Store) -> Result<Project, Error> {
    let red = project("red")?;
    store.put_project(&red).await?;
    Ok(red)
}

/// Whichever way it comes: made, or moved there.
pub async fn a_project_has_no_more_than_its_quota(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let red = red(&store).await?.name;
    store.create_deployment(&of("a", &red)?, Origin::Api).await?;
    store.put_deployment_because(&of("b", &red)?, (Origin::Api, "a test"), None).await?;
    let full = |outcome| matches!(outcome, Err(Error::Quota { what: Owned::DEPLOYMENTS, most: 2, used: 2, .. }));
    assert!(full(store.create_deployment(&of("c", &red)?, Origin::Api).await));
    let other = store.create_deployment(&wish("c")?, Origin::Api).await?;
    assert!(full(store.put_deployment_because(&of("c", &red)?, (Origin::Api, "a test"), Some(other.generation)).await));
    let mut same = of("a", &red)?;
    same.pinned = true;
    store.put_deployment_because(&same, (Origin::Api, "a test"), Some(1)).await?;
    store.put_model(&model_of("m", &red)?, &[]).await?;
    let refused = store.put_model(&model_of("n", &red)?, &[]).await;
    assert!(matches!(refused, Err(Error::Quota { what: Owned::MODELS, most: 1, used: 1, .. })));
    store.mark_deployment_deleting(&same.name).await?;
    store.put_deployment_because(&of("c", &red)?, (Origin::Api, "a test"), Some(other.generation)).await?;
    assert!(full(store.put_deployment_because(&same, (Origin::Api, "a test"), None).await), "one that is brought back comes anew");
    let unknown = store.create_deployment(&of("d", &name("blue")?)?, Origin::Api).await;
    assert!(matches!(unknown, Err(Error::NoProject(_))));
    Ok(())
}

/// A file that its owner wrote is no wish that could be refused at the start.
pub async fn what_the_config_says_counts_for_a_project_and_is_never_refused(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    let store = place().await?;
    let red = red(&store).await?.name;
    for text in ["a", "b", "c"] {
        store.put_deployment(&of(text, &red)?, Origin::Config, None).await?;
    }
    assert!(matches!(store.create_deployment(&of("d", &red)?, Origin::Api).await, Err(Error::Quota { used: 3, .. })));
    store.put_deployment(&of("e", &name("blue")?)?, Origin::Config, None).await?;
    Ok(())
}

/// Of many who ask for the last place.
pub async fn of_many_who_come_at_once_no_more_get_in_than_have_room(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let red = red(&store).await?.name;
    let mut tasks = Vec::new();
    for number in 0..8 {
        let (store, wish) = (store.clone(), of(&format!("w{number}"), &red)?);
        tasks.push(async move { store.create_deployment(&wish, Origin::Api).await.is_ok() });
    }
    let mut made = 0;
    for outcome in futures_util::future::join_all(tasks).await {
        made += usize::from(outcome);
    }
    assert_eq!(made, 2);
    Ok(())
}

/// Nothing is left without its owner.
pub async fn a_project_goes_when_nothing_belongs_to_it(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let red = red(&store).await?.name;
    assert!(store.owned_by(&red).await?.is_nothing());
    let wish = of("a", &red)?;
    store.create_deployment(&wish, Origin::Api).await?;
    let model = store.put_model(&model_of("m", &red)?, &[]).await?;
    let mut held = token("t1", "aaaa");
    held.project = Some(red.to_string());
    store.put_token(&held).await?;
    let owned = Owned { tokens: 1, deployments: vec![wish.name.clone()], models: vec![model.name.clone()] };
    assert_eq!(store.owned_by(&red).await?, owned);
    assert!(!store.delete_project(&red).await?);
    store.delete_token(&held.id).await?;
    assert!(!store.delete_project(&red).await?);
    store.mark_deployment_deleting(&wish.name).await?;
    assert!(!store.delete_project(&red).await?);
    let mut moved = model.clone();
    moved.card.project = None;
    store.put_model(&moved, &[]).await?;
    assert!(store.delete_project(&red).await?);
    Ok(())
}

/// Those of some projects, and of none that has none.
pub async fn models_are_found_by_their_project(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let red = red(&store).await?.name;
    store.put_model(&model_of("m", &red)?, &[]).await?;
    store.put_model(&model("n")?, &[]).await?;
    let found = async |projects: Option<Vec<Name>>| -> Result<Vec<String>, Error> {
        let found = store.find_models(&ModelQuery { projects, ..ModelQuery::default() }).await?;
        Ok(found.iter().map(|model| model.name.to_string()).collect())
    };
    assert_eq!(found(None).await?, ["m", "n"]);
    assert_eq!(found(Some(vec![red, name("blue")?])).await?, ["m"]);
    assert_eq!(found(Some(Vec::new())).await?, Vec::<String>::new());
    Ok(())
}

/// Each for themselves, also after a restart.
pub async fn who_has_sent_a_file_is_remembered(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    for (digest, who) in [("sha256:1", "ann"), ("sha256:1", "ann"), ("sha256:2", "bob")] {
        store.note_upload(digest, who).await?;
    }
    drop(store);
    let store = place().await?;
    assert!(store.has_uploaded("sha256:1", "ann").await? && store.has_uploaded("sha256:2", "bob").await?);
    assert!(!store.has_uploaded("sha256:2", "ann").await? && !store.has_uploaded("sha256:1", "bob").await?);
    Ok(())
}
