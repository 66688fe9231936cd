//! The stand-in of CleverTap's server API.

mod api;
mod archive;
mod attribution;
mod campaigns;
mod check;
mod condition;
mod counting;
mod deletion;
mod export;
mod files;
mod lists;
mod merge;
mod people;
mod properties;
mod query;
mod reading;
mod scalar;
mod upload;
mod writing;
mod zone;

pub(crate) use api::{CleverTap, Endpoint};
pub use archive::{Delivered, Refused};
pub use attribution::{AttributionSwitches, Disabled, NoDevice, Prefix, TakenAnswer, Utms, UtmsIn};
pub use files::Uploaded;
pub use reading::{NoReport, ReadingSwitches};
pub use upload::UploadSwitches;
pub use writing::{OrderAnswer, OrderSwitches, Ordered, UnknownCampaign};
pub use zone::Zone;
