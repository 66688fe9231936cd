//! What CleverTap wants from its partners: an integration document in Markdown, and a logo.
//!
//! By the vendor's pages for technical and attribution partners: the scope of the integration and its
//! value, the data that is sent, the regions, how apps read the device's id, whom to reach.

use connector::PartnerKit;

/// 40 x 40 pixels, as the page for attribution partners says.
const LOGO: Option<(u32, u32)> = Some((40, 40));

/// A kind of partner each.
pub(crate) const KITS: &[PartnerKit] = &[
    PartnerKit {
        kind: "attribution",
        about: "tells CleverTap where an app's users come from",
        document: include_str!("partner-attribution.md"),
        logo: LOGO,
    },
    PartnerKit {
        kind: "technical",
        about: "exchanges profiles and events with CleverTap",
        document: include_str!("partner-technical.md"),
        logo: LOGO,
    },
];
