//! The service: whether one runs, and whether those who need it can reach it.

use connector::Timestamp;
use flow::config::{Listen, Server};
use server::Tokens;
use tokio::net::TcpListener;

use super::Sheet;
use super::files::Known;
use super::holder::Holder;
use crate::commands::check::counted;
use crate::project::Project;

pub(super) async fn look(
    sheet: &mut Sheet,
    project: &Project,
    (holder, known): (&Holder, &Known),
    now: Timestamp,
) {
    sheet.group("service");
    let written = project.config().map(|config| config.server.clone()).unwrap_or_default();
    match holder {
        Holder::Service(client) => {
            let (version, own) = (client.version(), env!("CARGO_PKG_VERSION"));
            let says = format!(
                "towpath {version} at http://{}, process {}",
                client.address(),
                client.pid()
            );
            if version == own {
                sheet.ok("running", "service", says);
            } else {
                let says = format!("{says}, and this is towpath {own}");
                sheet.error("running", "service", says, "restart it, or use its version");
            }
        }
        Holder::Process => sheet.ok("running", "service", "none, or one with `listen: off`"),
        Holder::Here(_) | Holder::Absent | Holder::Broken => {
            sheet.ok("running", "service", "none runs: flows run by `towpath run` alone");
            listens(sheet, &written).await;
        }
    }
    needs_a_token(sheet, project, &written, (holder, now)).await;
    reached(sheet, project, (&written, known));
}

/// Whether a service could listen where towpath.yaml says.
async fn listens(sheet: &mut Sheet, written: &Server) {
    for (key, listen) in [("listen", written.listen), ("publicListen", written.public_listen)] {
        let Some(Listen::On(address)) = listen else { continue };
        match TcpListener::bind(address).await {
            Ok(_) => sheet.ok("listen", key, format!("{address} is free")),
            Err(error) => {
                let way_out = "end what listens there, or name another address in towpath.yaml";
                sheet.error("listen", key, format!("{address}: {error}"), way_out);
            }
        }
    }
}

/// An address that others reach is refused as long as there is no token.
async fn needs_a_token(
    sheet: &mut Sheet,
    project: &Project,
    written: &Server,
    (holder, now): (&Holder, Timestamp),
) {
    let (Some(Listen::On(address)), Holder::Here(store)) = (written.listen, holder) else { return };
    if address.ip().to_canonical().is_loopback() {
        return;
    }
    let create = project.command("token create laptop --scope operate");
    match Tokens::open(store.clone()).await {
        Ok(tokens) if tokens.any(now) => {
            let count =
                tokens.list().iter().filter(|it| it.expires.is_none_or(|at| now < at)).count();
            sheet.ok("tokens", "tokens", counted(count, "token"));
        }
        Ok(_) => sheet.error(
            "tokens",
            "tokens",
            format!("none, and others can reach {address}: the service does not start"),
            format!("`{create}` makes one"),
        ),
        Err(error) => {
            let way_out = format!("`{create}` makes others, once the store can be read");
            sheet.error("tokens", "tokens", error.to_string(), way_out);
        }
    }
}

/// Whether systems that call flows, and browsers that come back from a login, find the service.
fn reached(sheet: &mut Sheet, project: &Project, (written, known): (&Server, &Known)) {
    let mut needed = vec![];
    let called = known.called();
    if let Some((first, others)) = called.split_first() {
        let more = if others.is_empty() { String::new() } else { format!(" and {}", others.len()) };
        needed.push(format!("other systems call {first}{more}"));
    }
    let accounts = project.config().into_iter().flat_map(|config| &config.accounts);
    let mut logins = accounts.filter(|(_, account)| account.settings.contains_key("grant"));
    if let Some((name, _)) = logins.next() {
        needed.push(format!("account {name} needs a login in a browser"));
    }
    let Some(first) = needed.first() else { return };
    if let Some(url) = &written.public_url {
        return sheet.ok("publicUrl", "publicUrl", format!("{url}: {first}"));
    }
    let outside = [written.listen, written.public_listen].into_iter().flatten();
    let outside = outside.filter(
        |it| matches!(it, Listen::On(address) if !address.ip().to_canonical().is_loopback()),
    );
    let way_out = "name the URL in towpath.yaml (`server: { publicUrl: … }`)";
    if outside.count() > 0 {
        let says = format!(
            "not set, and {}: they are given an address of this machine",
            needed.join(", ")
        );
        sheet.warning("publicUrl", "publicUrl", says, way_out);
    } else if !called.is_empty() {
        let says = format!("not set, and {first}: only this machine reaches the service");
        let way_out = format!("{way_out}, and have a proxy lead there, or set `publicListen`");
        sheet.warning("publicUrl", "publicUrl", says, way_out);
    } else {
        sheet.ok("publicUrl", "publicUrl", format!("not set: {first} of this machine"));
    }
}
