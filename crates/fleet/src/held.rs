//! Do the files of what runs stay where they are?
//!
//! In: the instances, also those that were found after a crash. Out: a hold on the files of each, for as long as it is known. Fails:
//! never. Holds: the holds.

use std::collections::BTreeMap;

use registry::Held;
use spec::InstanceId;

use crate::turn::Owner;

/// Of each instance.
pub(crate) type Files = BTreeMap<InstanceId, Held>;

/// Holds the files of instances that have come, and gives free those of instances that have gone.
pub(crate) fn look(owner: &mut Owner) {
    let items = &owner.world.items;
    owner.files.retain(|id, _| items.contains_key(id));
    for (id, item) in items {
        if let Some(version) = item.revision.version.as_ref().filter(|_| !owner.files.contains_key(id)) {
            owner.files.insert(id.clone(), owner.registry.hold(version));
        }
    }
}
