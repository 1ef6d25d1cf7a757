//! A registry in this process, which does what no packaged one does: tokens, rate limits, redirects to other hosts,
//! broken transfers, lies.
//!
//! It speaks enough of the distribution specification for pull and push, over plain HTTP/1.1 on a loopback address. What
//! is to go wrong is scripted with [`FakeRegistry::fail`]; every request is remembered.

mod api;
mod http;
mod state;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use image::Digest;

pub use http::Seen;
pub use state::{Access, Fault};

use state::{Rule, State};

/// A running registry; its drop ends it.
#[derive(Debug)]
pub struct FakeRegistry {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    state: Mutex<State>,
    stopped: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeRegistry {
    /// Starts an empty registry on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1:0")
    }

    /// Starts an empty registry on an address; `127.0.0.2:0` is another host than `127.0.0.1:0`.
    pub fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).expect("a loopback address can be listened on");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { address, state: Mutex::default(), stopped: AtomicBool::new(false) });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || http::serve(&listener, &of_thread));
        Self { address, shared, thread: Some(thread) }
    }

    /// Returns host and port, as they stand in the name of an image.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns the address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Puts a blob into a repository.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        self.shared.lock().put_blob(repository, bytes)
    }

    /// Puts a manifest or index into a repository, under a tag if there is one.
    pub fn put_manifest(&self, repository: &str, tag: Option<&str>, media_type: &str, bytes: &[u8]) -> Digest {
        self.shared.lock().put_manifest(repository, tag, media_type, bytes)
    }

    /// Returns the bytes of a blob of a repository.
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.shared.lock().blob(repository, digest)
    }

    /// Returns media type and bytes of a manifest, by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        self.shared.lock().manifest(repository, reference)
    }

    /// Forgets a blob of a repository.
    pub fn remove_blob(&self, repository: &str, digest: &Digest) {
        self.shared.lock().remove_blob(repository, digest);
    }

    /// Lets only those in who know how.
    pub fn require(&self, access: Access) {
        self.shared.lock().access = access;
    }

    /// Scripts a failure: the next `times` requests of `method` whose path contains `path` meet it. Later rules wait
    /// until earlier ones are used up.
    pub fn fail(&self, method: &str, path: &str, times: usize, fault: Fault) {
        let rule = Rule { method: method.to_owned(), path: path.to_owned(), times, fault };
        self.shared.lock().rules.push(rule);
    }

    /// Returns all requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// Returns the requests of a method whose path contains `path`, and forgets none.
    pub fn seen_at(&self, method: &str, path: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.method == method && seen.path.contains(path)).collect()
    }

    /// Forgets the requests so far.
    pub fn forget_seen(&self) {
        self.shared.lock().seen.clear();
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = std::net::TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
