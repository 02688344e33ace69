//! Tests of the table and of the socket, with sessions whose tasks do what a test says.

mod fixture;
mod socket;
mod table;
