//! The one list of connectors.

use connector::Connector;

/// Every connector of this binary.
pub(crate) fn connectors() -> Vec<Connector> {
    vec![
        cleverreach::connector(),
        clevertap::connector(),
        file::connector(),
        http_connector::connector(),
        engine::builtin::connector(),
    ]
}
