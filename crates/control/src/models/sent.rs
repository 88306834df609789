//! Which files may somebody make a model of?
//!
//! In: who asks, and the digests of files that are here. Out: nothing. Fails: as if a file were not here. A digest opens nothing by itself: who sees all
//! models may have all of their files, everybody else what they have sent themselves, whole, and what models have that they see.

use access::Reach;
use registry::{Digest, Sender};
use spec::{Kind, Verb};

use crate::House;
use crate::door::Admin;
use crate::error::Error;

/// Who asks, as one who sends this file.
pub(super) async fn sender(house: &House, admin: &Admin, digest: &Digest) -> Result<Sender, Error> {
    let is_here = house.registry.blobs()?.size(digest).await.map_err(registry::Error::from)?.is_some();
    Ok(Sender { who: who(admin), may_have: is_here && missing(house, admin, std::slice::from_ref(digest)).await?.is_none() })
}

/// Whether who asks may have all of them.
pub(super) async fn check(house: &House, admin: &Admin, digests: &[Digest]) -> Result<(), registry::Error> {
    let missing = missing(house, admin, digests).await?;
    missing.map_or(Ok(()), |digest| Err(registry::Error::NoUpload(digest)))
}

/// Remembers that who asks has sent all of it.
pub(super) async fn note(house: &House, admin: &Admin, digest: &Digest) -> Result<(), Error> {
    Ok(house.store.note_upload(&digest.to_string(), &who(admin)).await?)
}

/// The first of them that who asks may not have.
async fn missing(house: &House, admin: &Admin, digests: &[Digest]) -> Result<Option<Digest>, registry::Error> {
    let projects = match admin.caller().reach(Verb::Get, Kind::Models) {
        Ok(Reach::Everything) => return Ok(None),
        Ok(Reach::Some { projects, .. }) => projects,
        Err(_sees_none) => Vec::new(),
    };
    let who = who(admin);
    let mut left = Vec::new();
    for digest in digests {
        if !house.store.has_uploaded(&digest.to_string(), &who).await? {
            left.push(digest);
        }
    }
    if left.is_empty() {
        return Ok(None);
    }
    let query = store::ModelQuery { projects: Some(projects), ..store::ModelQuery::default() };
    let models = house.registry.find_all(&query).await?;
    let files = || models.iter().flat_map(|model| &model.versions).flat_map(|listed| &listed.version.contents.files);
    Ok(left.into_iter().find(|digest| files().all(|file| file.digest != digest.to_string())).cloned())
}

/// A user by whatever token or session, else the token.
fn who(admin: &Admin) -> String {
    let caller = admin.caller();
    match (caller.user(), caller.token()) {
        (Some(user), _) => format!("user {}", user.id()),
        (None, Some(token)) => format!("token {token}"),
        (None, None) => "anybody".to_owned(),
    }
}
