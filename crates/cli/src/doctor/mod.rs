//! What an operator would look at when something is wrong, one file a group of checks.

mod accounts;
mod files;
mod flows;
mod holder;
mod key;
mod machine;
mod service;
mod sheet;
mod show;
mod store;

use connector::{Clock, SystemClock};

pub(crate) use self::sheet::{Sheet, Verdict};
pub(crate) use self::show::Words;

use crate::exit::Result;
use crate::project::{Checked, Project};

/// Looks at everything, in the order in which a person would: what is written, what it is kept
/// with, who runs, what that finds. With `online` each account is tested at its system, too.
pub(crate) async fn look(project: &Project, checked: &Checked, online: bool) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let now = SystemClock.now();
    let known = files::look(&mut sheet, project, checked);
    key::look(&mut sheet, project);
    let holder = store::look(&mut sheet, project, online).await;
    let health = holder.health(project).await;
    service::look(&mut sheet, project, (&holder, &known), now).await;
    accounts::look(&mut sheet, project, &holder, (health.as_ref(), now), online).await;
    flows::look(&mut sheet, (project, &known), &holder, (health.as_ref(), now)).await;
    machine::look(&mut sheet, (&holder, &known), (health.as_ref(), now));
    Ok(sheet)
}
