//! The fleet: its pure parts by values, and the whole of it with engines of the test.

mod pure;
mod whole;
