//! Cookies: read from requests, written so that scripts never see them.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Which requests from other sites carry a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// None of them.
    Strict,
    /// Those that open a page: what comes back from another site's login needs it.
    Lax,
}

/// Reads a cookie of a request.
pub fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}

/// What the header `Set-Cookie` says to set a cookie for so many seconds; 0 takes it away.
///
/// Scripts cannot read it. `None` if name or value have characters that no cookie may have.
pub fn write(
    name: &str,
    value: &str,
    path: &str,
    same_site: SameSite,
    (secure, seconds): (bool, u64),
) -> Option<HeaderValue> {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !"\";,\\".contains(c));
    if !plain(name) || name.contains('=') || !plain(value) || !plain(path) {
        return None;
    }
    let same_site = match same_site {
        SameSite::Strict => "Strict",
        SameSite::Lax => "Lax",
    };
    let secure = if secure { "; Secure" } else { "" };
    let text = format!(
        "{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}"
    );
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_written_closed() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; b=2"));
        headers.append(COOKIE, HeaderValue::from_static("c=x=y"));
        assert_eq!(read(&headers, "b"), Some("2"));
        assert_eq!(read(&headers, "c"), Some("x=y"));
        assert_eq!(read(&headers, "d"), None);
        let written = write("s", "v", "/", SameSite::Strict, (true, 60)).unwrap();
        assert_eq!(written, "s=v; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(write("s", "a; Domain=b", "/", SameSite::Lax, (true, 60)), None);
    }
}
