//! The store: whether it opens, who has it, and the room on its disk.

use std::path::Path;

use indicatif::HumanBytes;
use store::upkeep;
use store::{Error, SledStore};

use super::Sheet;
use super::holder::Holder;
use crate::args::Durability;
use crate::exit::Failed;
use crate::project::Project;

/// From here on a person should know that the disk fills up.
const LITTLE: u64 = 256 * 1024 * 1024;

/// Looks at the store, and gives whoever has it. Where accounts are to be tested it is opened for
/// writing: a test may renew a login.
pub(super) async fn look(sheet: &mut Sheet, project: &Project, writes: bool) -> Holder {
    sheet.group("store");
    let path = project.store_path();
    let holder = holder(sheet, project, &path, writes).await;
    room(sheet, project, &path);
    holder
}

async fn holder(sheet: &mut Sheet, project: &Project, path: &Path, writes: bool) -> Holder {
    let name = path.display().to_string();
    if let Some(client) = project.service().await {
        let says = format!("in use by the service, process {}", client.pid());
        sheet.ok("store", name, says);
        return Holder::Service(client);
    }
    if !SledStore::exists(path) {
        sheet.ok("store", name, "none yet: nothing has run here");
        return Holder::Absent;
    }
    let opened =
        if writes { project.store(Durability::Full).await } else { project.looked_store().await };
    let Failed { error, .. } = match opened {
        Ok(store) => {
            sheet.ok("store", name, "opens with its key; nobody else has it");
            return Holder::Here(store);
        }
        Err(failed) => failed,
    };
    if let Some(Error::Locked { holder, .. }) = error.downcast_ref() {
        sheet.ok("store", name, format!("in use by {holder}, which has no API"));
        return Holder::Process;
    }
    let verify = project.command("store verify");
    let way_out = match error.downcast_ref() {
        Some(Error::WrongKey { .. } | Error::NoKey { .. } | Error::KeyText) => {
            "bring the key of this store back: the group `key` says where it is looked for"
                .to_owned()
        }
        Some(Error::NewerFormat { .. }) => "run the newer towpath that wrote it".to_owned(),
        Some(Error::Full { .. }) => "make room on its disk: everything goes on then".to_owned(),
        Some(Error::ReadOnly { .. } | Error::Io { .. }) => {
            "run this as the user that runs flows, and see to the disk".to_owned()
        }
        _ => format!("`{verify}` names what is damaged; a backup has what was before"),
    };
    sheet.error("store", name, format!("{error:#}"), way_out);
    Holder::Broken
}

fn room(sheet: &mut Sheet, project: &Project, path: &Path) {
    let size = upkeep::size(path).unwrap_or_default();
    let free = match upkeep::free(path) {
        Ok(free) => free,
        Err(error) => {
            let way_out = "see to the disk of the store";
            return sheet.warning("disk", "disk", error.to_string(), way_out);
        }
    };
    let says = format!("{} free, the store has {}", HumanBytes(free), HumanBytes(size));
    let compact = project.command("store compact");
    if free < upkeep::LEAST_FREE {
        let least = HumanBytes(upkeep::LEAST_FREE);
        let says = format!("{says}: below {least} nothing is written, and flows stand still");
        sheet.error("disk", "disk", says, "make room: everything goes on then");
    } else if free < LITTLE.max(size) {
        let way_out = format!(
            "make room: a backup or `{compact}` takes up to as much as the store has, for a while"
        );
        sheet.warning("disk", "disk", says, way_out);
    } else {
        sheet.ok("disk", "disk", says);
    }
}
