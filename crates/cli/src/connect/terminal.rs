//! A login from the terminal while no service runs: a listener of its own, or an address to paste.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use connector::{Clock, Secret, Tested};
use server::accounts::{CALLBACK, Logins, Return, callback_routes};
use server::listen::{self, Bounds};
use server::{Audit, Options, Server, Settings};
use store::Store;
use tokio::net::TcpListener;
use url::Url;

use super::refused;
use crate::exit::{Exit, Failed, Result};
use crate::progress::say;

/// How long a person has.
const LASTS: Duration = Duration::from_secs(600);

/// Waits at the callback's own address until a browser of this machine has logged in.
pub(crate) async fn listened(
    logins: &Logins,
    account: &str,
    base_url: &Url,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
) -> Result<Tested> {
    let address = local_address(base_url).ok_or_else(|| {
        Failed::config(anyhow!(
            "people are sent back to {base_url}, which is not this command: run it with --paste, or \
             while `towpath serve` runs there"
        ))
    })?;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failed::config(anyhow!(
            "people are sent back to {base_url}, and nothing can listen there ({error}): run it \
             with --paste"
        ))
    })?;
    let url = logins.begin(account).await.map_err(refused)?;
    let mut ended = logins.ended();
    let settings = Settings { address, public_url: Some(base_url.clone()), local: None };
    let routes = callback_routes(logins);
    let options = Options {
        store,
        clock: clock.clone(),
        audit: Audit::default(),
        settings,
        routes,
        running: None,
    };
    let server = Server::new(options).await?;
    say(&format!(
        "the redirect address of the app has to be\n  {}\nopen this in a browser of this machine:\n  {url}",
        logins.redirect_url()
    ));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(listen::serve(
        listener,
        server.public_router(),
        async { drop(stopped.await) },
        Bounds { grace: Duration::from_secs(2), ..Bounds::default() },
    ));
    let done = async {
        let changed = ended.wait_for(Option::is_some).await;
        changed.ok().and_then(|ended| ended.clone())
    };
    let done = tokio::select! {
        done = done => done,
        () = clock.sleep(LASTS) => None,
    };
    drop(stop);
    drop(serving.await);
    let done = done.ok_or_else(|| refused_login("nobody logged in within ten minutes"))?;
    done.result.map_err(|reason| refused_login(&reason))
}

fn refused_login(reason: &str) -> Failed {
    Failed { exit: Exit::Unauthorized, error: anyhow!("{reason}") }
}

/// The address to listen on for a URL of this machine, by plain HTTP.
fn local_address(url: &Url) -> Option<SocketAddr> {
    let port = url.port_or_known_default()?;
    let is_local = match url.host()? {
        url::Host::Ipv4(ip) => ip.is_loopback(),
        url::Host::Ipv6(ip) => ip.is_loopback(),
        url::Host::Domain(name) => name == "localhost",
    };
    (is_local && url.scheme() == "http").then(|| SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Shows the system's address, and takes the one that the browser was led to.
pub(crate) async fn pasted(logins: &Logins, account: &str) -> Result<Tested> {
    let url = logins.begin(account).await.map_err(refused)?;
    let ticket = url.rsplit_once('=').map_or("", |(_, ticket)| ticket);
    let away = logins.depart(ticket).await.map_err(|error| refused_login(&error.to_string()))?;
    say(&format!(
        "the redirect address of the app has to be\n  {}\nopen this in a browser:\n  {}\n\
         then paste the address that the browser was led to:",
        logins.redirect_url(),
        away.url
    ));
    let line = tokio::task::block_in_place(pasted_line).map_err(Failed::config)?;
    let back = read(line.trim()).map_err(Failed::config)?;
    let arrived = logins.arrive(back, Some(away.binding.expose())).await;
    match arrived {
        Ok(arrival) => Ok(arrival.tested),
        Err(server::accounts::LoginError::Account(refusal)) => Err(refused(refusal)),
        Err(error) => Err(refused_login(&error.to_string())),
    }
}

fn pasted_line() -> anyhow::Result<String> {
    // The address holds a code: typed on a terminal it need not be seen.
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password("address (not shown): ").context("could not ask");
    }
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("could not read standard input")?;
    Ok(line)
}

fn read(line: &str) -> anyhow::Result<Return> {
    // The address itself is never repeated: it may hold the code.
    let url = Url::parse(line).map_err(|_| anyhow!("that is no address: nothing was kept"))?;
    if !url.path().ends_with(CALLBACK) {
        return Err(anyhow!("that address is not one of {CALLBACK}: nothing was kept"));
    }
    let mut back = Return::default();
    for (name, value) in url.query_pairs().into_owned() {
        match name.as_str() {
            "state" => back.state = Some(value),
            "code" => back.code = Some(Secret::new(value)),
            "error" => back.error = Some(value),
            "error_description" => back.error_description = Some(value),
            _ => {}
        }
    }
    Ok(back)
}
