//! One request from its URL to its answer: clients, redirects, bounds.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::LOCATION;
use reqwest::{Client, Response, Url};

use super::rule::AddressRule;
use crate::base::limit;
use crate::engine::input::{HttpAnswer, HttpFailure};
use crate::runtime::dns::{Lookup, LookupError};
use crate::runtime::net::door::http::{Scheme, http_client};
use crate::wire::shown_text::shown_text;

/// HTTP clients, made when they are first needed: a client keeps one rule for addresses.
#[derive(Debug, Default)]
pub(super) struct Clients {
    lookup: Arc<Lookup>,
    made: Mutex<BTreeMap<(Scheme, AddressRule), Client>>,
}

impl Clients {
    /// Fetches `url`, following redirects; the body is at most `limit` bytes.
    pub(super) async fn fetch(
        &self,
        url: &str,
        rule: AddressRule,
        limit: usize,
    ) -> Result<HttpAnswer, HttpFailure> {
        let mut url = Url::parse(url).map_err(|_| HttpFailure::Refused("this is no URL"))?;
        let mut rule = rule;
        for _ in 0..=limit::REDIRECTS {
            rule.check(&url)?;
            let response = self.client(&url, rule)?.get(url.clone()).send().await;
            let response = response.map_err(|error| failure(&error, rule))?;
            let server = response.remote_addr();
            let Some(next) = redirect(&response, &url)? else { return answer(response, server, limit).await };
            rule = rule.after(server, &next);
            url = next;
        }
        Err(HttpFailure::Refused("too many redirects"))
    }

    fn client(&self, url: &Url, rule: AddressRule) -> Result<Client, HttpFailure> {
        let scheme = if url.scheme() == "https" { Scheme::Https } else { Scheme::Http };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&(scheme, rule)) {
            return Ok(client.clone());
        }
        let resolver = RuledResolver { lookup: Arc::clone(&self.lookup), rule };
        let client = http_client(scheme, resolver).map_err(|reason| {
            HttpFailure::Failed(format!("cannot set up HTTP: {}", shown_text(reason.as_bytes())))
        })?;
        made.insert((scheme, rule), client.clone());
        Ok(client)
    }
}

/// Gives only addresses that the rule allows, so that what was checked is what is connected to.
struct RuledResolver {
    lookup: Arc<Lookup>,
    rule: AddressRule,
}

impl Resolve for RuledResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, rule) = (Arc::clone(&self.lookup), self.rule);
        Box::pin(async move {
            let found = lookup.addresses(name.as_str()).await?;
            let allowed = rule.filter(found)?;
            // Port 0 stands for the URL's own.
            Ok(Box::new(allowed.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}

/// Where `response` redirects to, if it does.
fn redirect(response: &Response, from: &Url) -> Result<Option<Url>, HttpFailure> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let location = std::str::from_utf8(location.as_bytes()).ok();
    let location = location.filter(|text| text.len() <= limit::URL).and_then(|text| from.join(text).ok());
    let url = location.ok_or(HttpFailure::Refused("redirected to what is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpFailure::Refused("redirected to a URL with credentials"));
    }
    if from.scheme() == "https" && url.scheme() == "http" {
        return Err(HttpFailure::Refused("redirected from https to http"));
    }
    Ok(Some(url))
}

/// Reads the body, as far as it may go: a compressed one can be a thousand times as long as it looks.
async fn answer(
    mut response: Response,
    server: Option<SocketAddr>,
    limit: usize,
) -> Result<HttpAnswer, HttpFailure> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(HttpFailure::TooLong);
    }
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| describe(&error))? {
        if part.len() > limit - body.len() {
            return Err(HttpFailure::TooLong);
        }
        body.extend_from_slice(&part);
    }
    Ok(HttpAnswer { status, body, server })
}

/// What a failure to connect means under `rule`.
fn failure(error: &reqwest::Error, rule: AddressRule) -> HttpFailure {
    use io::ErrorKind::{AddrNotAvailable, NetworkUnreachable};
    if let Some(refusal) = cause::<HttpFailure>(error) {
        return refusal.clone();
    }
    // A machine that has only the other family cannot reach any address of this one.
    let kind = cause::<io::Error>(error).map(io::Error::kind);
    let unreachable = matches!(kind, Some(AddrNotAvailable | NetworkUnreachable));
    if rule.version.is_some() && error.is_connect() && unreachable {
        return HttpFailure::NoSuchFamily;
    }
    describe(error)
}

/// The innermost cause in words: the outer ones name the URL, which may hold secrets.
fn describe(error: &reqwest::Error) -> HttpFailure {
    if error.is_timeout() {
        return HttpFailure::TimedOut;
    }
    let Some(innermost) = causes(error).last() else {
        return HttpFailure::Failed("the request failed".to_owned());
    };
    let said = shown_text(innermost.to_string().as_bytes());
    let what = match error.is_connect() {
        _ if innermost.is::<LookupError>() => return HttpFailure::Failed(said),
        true => "cannot connect",
        false => "the answer is broken",
    };
    HttpFailure::Failed(format!("{what}: {said}"))
}

fn cause<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// What `error` comes from, the innermost last.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}
