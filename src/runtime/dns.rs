//! Names to addresses, without ever holding anybody up.
//!
//! The system's resolver can block for tens of seconds and cannot be interrupted. Each lookup has a thread
//! of its own that nobody waits for when the process ends; of one [`Lookup`] at most `LOOKUPS` are out at once, so
//! whoever looks up much shares one. Which of the addresses may be connected to is for the caller to say.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

/// Threads of one [`Lookup`] at once.
const LOOKUPS: usize = 16;
/// Addresses taken of a name.
const ADDRESSES: usize = 32;
/// How long addresses are used without looking again.
const FRESH: Duration = Duration::from_secs(60);
/// Names remembered.
const NAMES: usize = 1_000;

/// Why a name has no addresses.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot look up the host: {0}")]
pub struct LookupError(String);

/// Looks names up and remembers them for a while.
#[derive(Debug)]
pub struct Lookup {
    slots: Arc<Semaphore>,
    known: Mutex<BTreeMap<String, (Instant, Vec<IpAddr>)>>,
}

impl Default for Lookup {
    fn default() -> Lookup {
        Lookup { slots: Arc::new(Semaphore::new(LOOKUPS)), known: Mutex::default() }
    }
}

impl Lookup {
    /// The addresses of `name`, of both families, in the order of preference; at least one.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        if let Some(addresses) = self.remembered(name) {
            return Ok(addresses);
        }
        let closed = |_| LookupError("the resolver gave up".to_owned());
        let slot =
            Arc::clone(&self.slots).acquire_owned().await.map_err(|error| LookupError(error.to_string()))?;
        let (answer, answered) = oneshot::channel();
        let host = name.to_owned();
        // Not joined: the end of the process must not wait for a resolver that hangs.
        thread::Builder::new()
            .name("lookup".to_owned())
            .spawn(move || {
                let found = look_up(&host);
                drop(slot);
                let _ = answer.send(found);
            })
            .map_err(|error| LookupError(error.to_string()))?;
        let addresses = answered.await.map_err(closed)??;
        self.remember(name, &addresses);
        Ok(addresses)
    }

    fn remembered(&self, name: &str) -> Option<Vec<IpAddr>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).filter(|(since, _)| since.elapsed() < FRESH).map(|(_, addresses)| addresses.clone())
    }

    fn remember(&self, name: &str, addresses: &[IpAddr]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES {
            known.retain(|_, (since, _)| since.elapsed() < FRESH);
        }
        if known.len() < NAMES {
            known.insert(name.to_owned(), (Instant::now(), addresses.to_vec()));
        }
    }
}

fn look_up(name: &str) -> Result<Vec<IpAddr>, LookupError> {
    let found = (name, 0).to_socket_addrs().map_err(|error| LookupError(error.to_string()))?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        let address = address.ip().to_canonical();
        if addresses.len() < ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(LookupError("it has no address".to_owned())) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(lookup: &Lookup, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(lookup.addresses(name))
    }

    #[test]
    fn localhost_is_this_machine_also_when_asked_again() {
        let lookup = Lookup::default();
        for _ in 0..2 {
            let found = addresses(&lookup, "localhost").unwrap();
            assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_is_an_error() {
        assert!(addresses(&Lookup::default(), "no such host").is_err());
    }
}
