//! Who may read: the check of host name and token of every request.

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use std::net::IpAddr;

/// The name of the token in an address.
const TOKEN: &str = "token";

/// What a request must have.
#[derive(Debug)]
pub(super) struct Access {
    address: IpAddr,
    port: u16,
    /// The name of this machine.
    host: String,
    token: Option<String>,
}

/// The answer to a request that is not refused.
#[derive(Debug, PartialEq)]
pub(super) enum Admission {
    /// It may be answered.
    Allowed,
    /// It has the token in its address; the browser gets a cookie instead, and asks again for this path.
    WithCookie { cookie: String, path: String },
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// For a host name that is not ours.
    Host,
    /// Without the token.
    Token,
}

impl Refusal {
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Host => "This server answers only for its own host name and address.",
            Self::Token => "Open the whole address that genloss watch has printed, with its token.",
        }
    }
}

impl Access {
    /// Access to a server at this address and port. One that was named needs a token.
    pub(super) fn new(address: IpAddr, port: u16, is_named: bool, host: String) -> Self {
        let token = is_named.then(|| {
            // A secret, unlike every draw of an experiment, must not be repeatable.
            #[allow(clippy::disallowed_methods)]
            let random: [u8; 16] = rand::random();
            random.iter().map(|byte| format!("{byte:02x}")).collect()
        });
        Self { address, port, host, token }
    }

    /// The address of the first page.
    pub(super) fn url(&self) -> String {
        let host = match self.address {
            address if address.is_unspecified() => self.host.clone(),
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let query = self.token.as_ref().map_or(String::new(), |token| format!("?{TOKEN}={token}"));
        format!("http://{host}:{}/{query}", self.port)
    }

    /// Judges a request.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Admission, Refusal> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).ok_or(Refusal::Host)?;
        if !self.is_own(host) {
            return Err(Refusal::Host);
        }
        let Some(token) = &self.token else { return Ok(Admission::Allowed) };
        let name = self.cookie_name();
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let has_cookie = pairs.any(|(key, value)| key == name && is_equal(value, token));
        let query: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
        let is_token = |pair: &&&str| {
            pair.split_once('=').is_some_and(|(key, value)| key == TOKEN && is_equal(value, token))
        };
        match query.iter().find(is_token) {
            None if has_cookie => return Ok(Admission::Allowed),
            None => return Err(Refusal::Token),
            // The token does not stay in the address, where others may read it.
            Some(_) => {}
        }
        let rest: Vec<&str> =
            query.into_iter().filter(|pair| !pair.starts_with(&format!("{TOKEN}="))).collect();
        // A path of two slashes would lead to another host.
        let path = format!("/{}", uri.path().trim_start_matches('/'));
        let path = if rest.is_empty() { path } else { format!("{path}?{}", rest.join("&")) };
        // A link on another site leads here too. No request changes anything.
        let cookie = format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax");
        Ok(Admission::WithCookie { cookie, path })
    }

    /// Browsers share cookies between the ports of a host.
    fn cookie_name(&self) -> String {
        format!("genloss-watch-{}", self.port)
    }

    /// Whether a Host header names this server. The port is not compared, because it differs in a tunnel.
    fn is_own(&self, header: &str) -> bool {
        let name = match header.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => header.rsplit_once(':').map_or(header, |(name, _)| name),
        };
        let name = name.to_ascii_lowercase();
        if name == "localhost" {
            return true;
        }
        match name.parse::<IpAddr>() {
            // No name leads to an address in the header, so it may be any of this machine's.
            Ok(address) => address.is_loopback() || address == self.address || self.address.is_unspecified(),
            Err(_) => {
                let host = self.host.to_ascii_lowercase();
                self.token.is_some() && (name == host || name.starts_with(&format!("{host}.")))
            }
        }
    }
}

/// Compares in a time that does not depend on how much is equal.
fn is_equal(given: &str, token: &str) -> bool {
    // Hashes of blake3 are compared in constant time.
    blake3::hash(given.as_bytes()) == blake3::hash(token.as_bytes())
}

/// What the browser must not do with a page: load anything from elsewhere, show it inside another page, or tell other
/// sites its address.
pub(super) fn protect(headers: &mut HeaderMap) {
    const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                          img-src data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
                          frame-ancestors 'none'";
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(address: &str, is_named: bool) -> Access {
        Access::new(address.parse().unwrap(), 8080, is_named, "Node3".to_owned())
    }

    fn check(access: &Access, path: &str, host: &str, cookie: &str) -> Result<Admission, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        access.check(&path.parse().unwrap(), &headers)
    }

    #[test]
    fn only_requests_for_this_host_are_answered() {
        let local = access("127.0.0.1", false);
        for host in ["localhost:8080", "127.0.0.1:8080", "127.0.0.1", "LOCALHOST:1234", "[::1]:8080"] {
            assert_eq!(check(&local, "/", host, ""), Ok(Admission::Allowed), "{host}");
        }
        for host in ["evil.example:8080", "node3:8080", "10.0.0.1:8080", "", "localhost.evil.example"] {
            assert_eq!(check(&local, "/", host, ""), Err(Refusal::Host), "{host}");
        }
    }

    #[test]
    fn a_named_address_needs_the_token_which_becomes_a_cookie() {
        let named = access("0.0.0.0", true);
        let url = named.url();
        let token = url.strip_prefix("http://Node3:8080/?token=").unwrap();
        assert_eq!(token.len(), 32);
        for host in ["10.0.0.1:8080", "node3:8080", "node3.cluster.local:8080"] {
            assert_eq!(check(&named, "/", host, ""), Err(Refusal::Token), "{host}");
            assert_eq!(check(&named, "/?token=0", host, "genloss-watch-8080=0"), Err(Refusal::Token));
        }
        assert_eq!(check(&named, "/", "evil.example:8080", ""), Err(Refusal::Host));
        let admitted = check(&named, &format!("/run?token={token}&run=a"), "node3:8080", "").unwrap();
        let Admission::WithCookie { cookie, path } = admitted else { panic!("no cookie") };
        assert_eq!(path, "/run?run=a");
        let cookie = format!("other=1; {}", cookie.split(';').next().unwrap());
        assert_eq!(check(&named, "/run?run=a", "node3:8080", &cookie), Ok(Admission::Allowed));
        for path in ["/", "//evil.example/"] {
            let again = check(&named, &format!("{path}?token={token}"), "node3:8080", &cookie).unwrap();
            let Admission::WithCookie { path: clean, .. } = again else { panic!("the token stays") };
            assert_eq!(clean, path.replace("//", "/"));
        }
    }
}
