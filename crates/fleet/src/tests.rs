mod pure;
mod whole;
