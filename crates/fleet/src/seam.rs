//! What the owner stands on: the store. In the tests' simulation of the whole owner another one stands in its place, whose answers come
//! late, never, or as errors, as a seed says.

#[cfg(test)]
pub(crate) use crate::tests::owner::Store;
#[cfg(not(test))]
pub(crate) use store::Store;
