//! One request to a registry: who is asked how, as whom, and what the answer means.
//!
//! Everything is blocking for the caller; the runtime beneath starts with the first request.

mod client;
mod reply;
mod retry;
mod scheme;
mod send;
mod tls;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Url;
use tokio::runtime::{Builder, Handle, Runtime};

pub(crate) use reply::Reply;
pub(crate) use retry::Attempts;
pub(crate) use send::{Call, MAX_REDIRECTS, Payload, Target, redirect, same_origin};

use crate::auth::challenge::Challenge;
use crate::auth::credentials::Credentials;
use crate::auth::token::Tokens;
use crate::clock::Clock;
use crate::error::Error;
use crate::routes::Routes;
use crate::{Options, Result};

/// All that requests share.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) routes: Routes,
    pub(crate) credentials: Credentials,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: Tokens,
    certificates: tls::Certificates,
    runtime: Mutex<Option<Runtime>>,
    clients: Mutex<HashMap<(client::Kind, client::Use), client::Client>>,
    schemes: Mutex<HashMap<String, &'static str>>,
    /// Hosts whose certificates the configuration says not to verify.
    unverified: Mutex<HashSet<String>>,
    /// What each host last asked for, so that it need not ask again.
    challenges: Mutex<HashMap<String, Arc<Vec<Challenge>>>>,
}

impl Http {
    /// Returns the shared state; nothing is read or started yet.
    pub(crate) fn new(options: &Options, clock: Arc<dyn Clock>) -> Self {
        Self {
            routes: Routes::new(options),
            credentials: Credentials::new(options.docker_config.clone()),
            clock,
            tokens: Tokens::default(),
            certificates: tls::Certificates::new(options.certs_dirs.clone()),
            runtime: Mutex::default(),
            clients: Mutex::default(),
            schemes: Mutex::default(),
            unverified: Mutex::default(),
            challenges: Mutex::default(),
        }
    }

    /// Returns the runtime, started at the first call.
    pub(crate) fn handle(&self) -> Result<Handle> {
        let mut runtime = lock(&self.runtime);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        // Connections are few and hashing happens in the callers' threads.
        let started = Builder::new_multi_thread().worker_threads(2).thread_name("registry").enable_all().build();
        Ok(runtime.insert(started.map_err(Error::Runtime)?).handle().clone())
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        // A connection that is still being made must not keep the process.
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns host and port of an address, as they stand in the name of an image.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
