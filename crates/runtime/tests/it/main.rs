//! The process runtime with real processes: shell scripts in the place of engines, and real keepers.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod life;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod stage;
