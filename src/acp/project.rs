//! From events to the protocol's updates. `v1` is the only version so far.

pub(super) mod v1;
