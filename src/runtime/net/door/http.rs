//! HTTP clients and the listeners of HTTP servers.
//!
//! A client goes straight to its server: proxies named by the environment are not used, because peers
//! would not be reached through them either. It follows no redirect by itself; the caller checks each.

use std::io;
use std::net::SocketAddr;

use reqwest::dns::Resolve;
use reqwest::redirect::Policy;

use crate::base::time::Duration;

/// How long a connection, its name looked up and TLS agreed, may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// What a client speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scheme {
    /// HTTP only. Such a client is not to be given an `https` URL: it would check no certificate.
    Http,
    /// HTTPS with the system's certificates.
    Https,
}

/// A client that connects to the addresses that `resolver` gives; literal addresses in a URL do not pass the
/// resolver.
///
/// # Errors
///
/// With [`Scheme::Https`] when the system has no CA certificates.
pub fn http_client(scheme: Scheme, resolver: impl Resolve + 'static) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .user_agent(concat!("btget/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(1)
        // Loading certificates fails where there are none, which must not keep plain HTTP from working.
        .tls_danger_accept_invalid_certs(scheme == Scheme::Http)
        .dns_resolver(resolver)
        .build()
        .map_err(|error| innermost(&error))
}

/// A listener for an HTTP server.
///
/// # Errors
///
/// When the address is in use or not ours.
pub async fn listen_http(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind(address).await
}

/// The last of an error's causes in words: the others only say that something failed within them.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
