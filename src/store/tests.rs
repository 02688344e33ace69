//! Tests of the store on real files, in folders of their own.

mod support;
mod journals;
mod leases;
mod lists;
mod bodies;
mod children;
mod examine;
mod faults;
mod hazards;
mod migrations;
mod remains;
mod fixture;
