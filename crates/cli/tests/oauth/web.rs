//! Requests as a browser sends them: redirects followed, cookies kept, no scripts run.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// An answer.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) url: String,
    pub(crate) body: String,
    headers: Vec<(String, String)>,
}

/// A browser with its cookies, by host.
#[derive(Default)]
pub(crate) struct Browser(BTreeMap<(String, String), String>, Option<String>);

/// Asks without cookies, and follows nothing.
pub(crate) fn get(url: &str) -> Answered {
    Browser::default().ask("GET", url, "")
}

impl Browser {
    /// One that sends a token along, as a program does.
    pub(crate) fn with_token(token: &str) -> Self {
        Self(BTreeMap::new(), Some(token.to_owned()))
    }

    /// Asks once. HTTP/1.0, so that the body ends with the connection.
    pub(crate) fn ask(&mut self, method: &str, url: &str, form: &str) -> Answered {
        let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url}"));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let cookies = self.0.iter().filter(|((of, _), _)| of == host);
        let cookies = cookies.map(|((_, name), value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        let bearer = self.1.iter().map(|it| format!("Authorization: Bearer {it}\r\n"));
        let bearer = bearer.collect::<String>();
        let mut stream = TcpStream::connect(host).unwrap();
        write!(
            stream,
            "{method} /{path} HTTP/1.0\r\nHost: {host}\r\n{bearer}Cookie: {cookies}\r\nAccept: text/html\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        )
        .unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        for (_, cookie) in headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.0.insert((host.to_owned(), name.to_owned()), value.to_owned());
        }
        Answered { status, url: url.to_owned(), body: body.to_owned(), headers }
    }

    /// Follows redirects from an answer, but not to an address that begins with `until`.
    fn follow(&mut self, mut answered: Answered, until: &str) -> Answered {
        for _ in 0..10 {
            let to = answered.headers.iter().find(|(name, _)| name == "location");
            let Some((_, to)) = to.filter(|_| (300..400).contains(&answered.status)) else { break };
            let host = answered.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            let to = if to.starts_with('/') { format!("{host}{to}") } else { to.clone() };
            if !until.is_empty() && to.starts_with(until) {
                return Answered { url: to, ..answered };
            }
            answered = self.ask("GET", &to, "");
        }
        answered
    }

    /// Opens an address, and goes where that leads.
    pub(crate) fn open(&mut self, url: &str, until: &str) -> Answered {
        let answered = self.ask("GET", url, "");
        self.follow(answered, until)
    }

    /// Logs in at the OAuth2 server that an address leads to, or cancels there.
    pub(crate) fn log_in(&mut self, url: &str, until: &str, agrees: bool) -> Answered {
        let mut page = self.open(url, until);
        if !agrees {
            let abort = format!("{}/abort", page.url);
            return self.open(&abort, until);
        }
        for form in ["prompt=login&login=ada&password=any", "prompt=consent"] {
            if !page.url.contains("/interaction/") {
                break;
            }
            let answered = self.ask("POST", &page.url.clone(), form);
            page = self.follow(answered, until);
        }
        page
    }
}
