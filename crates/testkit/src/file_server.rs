//! Plain files over HTTP, by a server that answers as it is told.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What is said about one path.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// 200 if it is 0.
    pub status: u16,
    pub body: Vec<u8>,
    /// A request that has it with `If-None-Match` gets 304.
    pub etag: Option<String>,
    pub headers: Vec<(&'static str, String)>,
    /// Said to be the length, whatever is sent.
    pub length: Option<u64>,
    /// The first answers, so many, end in the middle.
    pub broken: usize,
}

impl Page {
    /// Returns a page with a body.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// Returns one that leads elsewhere.
    pub fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self { status, headers: vec![("Location", to.into())], ..Self::default() }
    }
}

/// A request: its path with the query, and its headers in lower case.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: Vec<String>,
    pub status: u16,
}

#[derive(Debug, Default)]
struct Shared {
    pages: HashMap<String, Page>,
    asked: Vec<Asked>,
}

/// A server on 127.0.0.1, gone when this is dropped.
#[derive(Debug)]
pub struct FileServer {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl FileServer {
    /// Starts one that has nothing.
    #[expect(clippy::missing_panics_doc, clippy::new_without_default, reason = "for tests")]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::<Mutex<Shared>>::default();
        let of_thread = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), Some(shared)) = (stream, of_thread.upgrade()) else { break };
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, shared }
    }

    /// Returns the address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Says what is at a path from now on.
    pub fn put(&self, path: &str, page: Page) {
        lock(&self.shared).pages.insert(path.to_owned(), page);
    }

    /// Returns the requests since the last call.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut lock(&self.shared).asked)
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.shared = Arc::default();
        // Wakes the thread that waits.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request for each connection.
fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) {
    let _ = answer(&mut stream, shared);
    let _ = stream.shutdown(Shutdown::Both);
}

fn answer(stream: &mut TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        headers.push(line.to_ascii_lowercase());
    }
    let (page, status, broken) = decide(&mut lock(shared), path, headers);
    let body: &[u8] = if status == 304 { &[] } else { &page.body };
    let length = page.length.unwrap_or(body.len() as u64);
    write!(stream, "HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n")?;
    for (name, value) in page.headers.iter().map(|(n, v)| (*n, v)).chain(page.etag.iter().map(|etag| ("ETag", etag))) {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(if broken { &body[..body.len() / 2] } else { body })
}

fn decide(shared: &mut Shared, path: String, headers: Vec<String>) -> (Page, u16, bool) {
    let page = shared.pages.get_mut(&path);
    let broken = page.as_ref().is_some_and(|page| page.broken > 0);
    let page = page.map(|page| {
        page.broken = page.broken.saturating_sub(1);
        page.clone()
    });
    let page = page.unwrap_or(Page { status: 404, ..Page::default() });
    let same = page
        .etag
        .as_ref()
        .is_some_and(|etag| headers.contains(&format!("if-none-match: {}", etag.to_ascii_lowercase())));
    let status = match page.status {
        _ if same => 304,
        0 => 200,
        status => status,
    };
    shared.asked.push(Asked { path, headers, status });
    (page, status, broken)
}
