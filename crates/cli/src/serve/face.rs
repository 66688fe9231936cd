//! The service's HTTP face: bound first, served once everything is there, ended with the service.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use connector::Secret;
use engine::Stop;
use flow::config::Listen;
use server::accounts::{self, Logins};
use server::listen::{Bounds, serve};
use server::{Audit, Events, Options, Running, Server, Settings, hooks};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::shelf::Shelf;
use crate::args::Serve;
use crate::commands::connect;
use crate::exit::{Exit, Failed, Result};
use crate::project::Project;
use crate::reference;
use crate::registry;
use crate::remote::Note;

/// Where a service is reached unless somebody says otherwise.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7070);

/// Where a service listens; nothing is answered yet.
pub(crate) struct Door {
    own: Option<(TcpListener, SocketAddr)>,
    public: Option<(TcpListener, SocketAddr)>,
    public_url: Option<url::Url>,
}

/// What answers as long as the service runs.
pub(crate) struct Face {
    server: Option<Server>,
    serving: JoinSet<()>,
    /// Removed with the face.
    _note: Option<Note>,
    /// Where the API is.
    pub(crate) address: Option<SocketAddr>,
    /// Where webhooks and the OAuth callback alone are.
    pub(crate) public: Option<SocketAddr>,
}

impl Door {
    /// Takes the addresses that the command line or towpath.yaml names.
    pub(crate) async fn open(args: &Serve, project: &Project) -> Result<Self> {
        let written = project.config().map(|config| config.server.clone()).unwrap_or_default();
        let own = match args.listen.or(written.listen) {
            Some(Listen::Off) => None,
            Some(Listen::On(address)) => Some(bind(address).await?),
            // Where the usual port is taken, any other one does: commands find it by its note.
            None => match TcpListener::bind(USUAL).await {
                Ok(listener) => Some((listener, USUAL)),
                Err(_) => Some(bind(SocketAddr::new(USUAL.ip(), 0)).await?),
            },
        };
        let public = match args.public_listen.or(written.public_listen) {
            Some(Listen::On(address)) => Some(bind(address).await?),
            Some(Listen::Off) | None => None,
        };
        if own.is_none() && public.is_some() {
            let error = anyhow!("a public address needs the service's own one: `listen` is off");
            return Err(Failed::config(error));
        }
        let public_url = written.public_url.map(|url| url::Url::parse(&url)).transpose();
        let public_url = public_url.context("`publicUrl`").map_err(Failed::config)?;
        Ok(Self { own, public, public_url })
    }

    /// The URL that people are sent back to after a login.
    pub(crate) fn base_url(&self, project: &Project) -> Result<String> {
        Ok(match (&self.public_url, &self.own) {
            (Some(url), _) => url.to_string(),
            (None, Some((_, address))) if !address.ip().is_unspecified() => {
                format!("http://{address}")
            }
            _ => connect::base_url(project)?.to_string(),
        })
    }

    /// Begins to answer, until told to stop.
    pub(crate) async fn serve(
        self,
        project: &Project,
        (shelf, service): (Arc<Shelf>, engine::service::Handle),
        (events, logins): (Events, Logins),
        stop: Stop,
    ) -> Result<Face> {
        let Some((listener, address)) = self.own else {
            return Ok(Face {
                server: None,
                serving: JoinSet::new(),
                _note: None,
                address: None,
                public: None,
            });
        };
        let token = server::local_token().map_err(failed)?;
        let store = project.store_path();
        let door = engine::Door::new(shelf.engine().clone(), shelf.clone(), service.clone());
        let routes = hooks::routes(door).with(accounts::routes(&logins));
        let engine = shelf.engine().clone();
        let options = Options {
            store: engine.store().clone(),
            clock: engine.clock().clone(),
            audit: Audit::file(&audit_file(&store)),
            settings: Settings {
                address,
                public_url: self.public_url,
                local: Some(Secret::new(token.expose())),
            },
            routes,
            running: Some(Running {
                engine,
                service,
                project: shelf,
                connectors: registry::connectors(),
                describe: reference::describe,
                events,
            }),
        };
        let server = Server::new(options).await.map_err(Failed::config)?;
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, server.router(), stopped(stop.clone()), Bounds::default()));
        let public = self.public.map(|(listener, address)| {
            let router = server.public_router();
            serving.spawn(serve(listener, router, stopped(stop.clone()), Bounds::default()));
            address
        });
        let note = Note::leave(&store, address, &token);
        let note = note
            .with_context(|| format!("beside {}", store.display()))
            .map_err(|error| Failed { exit: Exit::Store, error })?;
        server.set_ready(true);
        Ok(Face {
            server: Some(server),
            serving,
            _note: Some(note),
            address: Some(address),
            public,
        })
    }
}

impl Face {
    /// Says that the service is ending: who balances loads sends nothing more.
    pub(crate) fn is_ending(&self) {
        if let Some(server) = &self.server {
            server.set_ready(false);
        }
    }

    /// Waits until what was asked is answered.
    pub(crate) async fn end(mut self) {
        while self.serving.join_next().await.is_some() {}
    }
}

async fn stopped(mut stop: Stop) {
    stop.wait().await;
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok::<_, std::io::Error>((listener, address))
    };
    let bound = bound.await.with_context(|| {
        format!("could not listen on {address}; `--listen` names another address, or `off`")
    });
    bound.map_err(Failed::config)
}

/// Beside the store's folder: what is in that is the store's own.
pub(crate) fn audit_file(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".audit.log");
    name.into()
}

fn failed(error: server::Error) -> Failed {
    Failed { exit: Exit::Unexpected, error: error.into() }
}
