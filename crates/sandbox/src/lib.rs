//! Faithful local stand-ins of the vendors' APIs.
