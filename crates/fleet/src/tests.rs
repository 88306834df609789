//! The fleet: its pure parts by values, and the whole of it with engines of the test.

mod faults;
mod pure;
mod room;
mod simulation;
mod values;
mod whole;
