//! What a connector is: the SDK for connector authors.
