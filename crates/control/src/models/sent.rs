//! Who asks for files, as the registry knows them?
//!
//! In: who asks; digests of files. Out: the same as an [`Asker`], or as one who sends a file. Fails: as if a file were not here that they may not have.

use access::Reach;
use registry::{Asker, Digest, Sender};
use spec::{Kind, Verb};

use crate::House;
use crate::door::Admin;
use crate::error::Error;

/// Who asks, with the projects whose models they see.
pub(super) fn asker(admin: &Admin) -> Asker {
    let sees = match admin.caller().reach(Verb::Get, Kind::Models) {
        Ok(Reach::Everything) => None,
        Ok(Reach::Some { projects, .. }) => Some(projects),
        Err(_sees_none) => Some(Vec::new()),
    };
    Asker { who: who(admin), sees }
}

/// The same, as one who sends this file.
pub(super) async fn sender(house: &House, admin: &Admin, digest: &Digest) -> Result<Sender, Error> {
    let is_here = house.registry.blobs()?.size(digest).await.map_err(registry::Error::from)?.is_some();
    let asker = asker(admin);
    let may_have = is_here && !house.registry.theirs(&asker, std::slice::from_ref(digest)).await?.is_empty();
    Ok(Sender { who: asker.who, may_have })
}

/// Whether who asks may have all of them.
pub(super) async fn check(house: &House, admin: &Admin, digests: &[Digest]) -> Result<(), registry::Error> {
    let theirs = house.registry.theirs(&asker(admin), digests).await?;
    let missing = digests.iter().find(|digest| !theirs.contains(*digest));
    missing.map_or(Ok(()), |digest| Err(registry::Error::NoUpload(digest.clone())))
}

/// Remembers that who asks has sent all of it.
pub(super) async fn note(house: &House, admin: &Admin, digest: &Digest) -> Result<(), Error> {
    Ok(house.registry.note_sent(digest, &who(admin)).await?)
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
