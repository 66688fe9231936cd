//! Logins against a real OAuth2 server, by commands, by a service, and in a real browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and what is skipped is said"
)]

#[path = "../it/folder.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod folder;
mod pages;
mod provider;
mod renewal;
mod service;
mod web;
mod webdriver;

use std::net::TcpListener;

use folder::Folder;
use provider::{Provider, SECRET};

/// A port that nobody has.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A project with an account of the OAuth2 server, whose callback is at `port`.
fn project(provider: &Provider, port: u16) -> Folder {
    let folder = Folder::empty();
    let config = format!("server:\n  listen: 127.0.0.1:{port}\n");
    folder.write("towpath.yaml", &config);
    let url = format!("{}/v3", provider.url);
    let add = ["account", "add", "newsletter", "--connector", "cleverreach", "--base-url", &url];
    let set = ["--set", "clientId=an-app", "--set", "grant=authorizationCode"];
    folder
        .run_with(&[&add[..], &set].concat(), format!("clientSecret={SECRET}").as_bytes())
        .exits(0);
    folder
}

fn callback(port: u16) -> String {
    format!("http://127.0.0.1:{port}/callback/oauth2")
}
