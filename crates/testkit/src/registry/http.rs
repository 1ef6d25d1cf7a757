//! HTTP/1.1, as far as a registry needs it: a thread per connection, bodies by length or in chunks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::state::Fault;
use super::{Shared, api};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without the `?`; not decoded.
    pub query: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// How long the body was.
    pub length: usize,
}

impl Seen {
    /// Returns a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns a decoded parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<String> {
        parameters(&self.query).into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    #[must_use]
    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

pub(super) fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(connection) = connection else { continue };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // A client that goes away is its own business.
            let _ = converse(connection, &shared);
        });
    }
}

fn converse(connection: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    while let Some((seen, body)) = read_request(&mut reader)? {
        if shared.stopped.load(Ordering::SeqCst) {
            break;
        }
        let fault = {
            let mut state = shared.lock();
            state.seen.push(seen.clone());
            state.take_fault(&seen.method, &seen.path)
        };
        let answer = match &fault {
            Some(Fault::Hangup) => break,
            Some(Fault::Answer { status, headers, body }) => {
                Answer { status: *status, headers: headers.clone(), body: body.clone().into_bytes() }
            }
            Some(Fault::NoRange) => {
                let headers = seen.headers.iter().filter(|(name, _)| name != "range").cloned().collect();
                api::answer(shared, &Seen { headers, ..seen.clone() }, &body)
            }
            _ => api::answer(shared, &seen, &body),
        };
        if !write_answer(&connection, &seen, answer, fault.as_ref())? {
            break;
        }
    }
    connection.shutdown(Shutdown::Both)
}

/// Returns false if the connection must end.
fn write_answer(mut connection: &TcpStream, seen: &Seen, answer: Answer, fault: Option<&Fault>) -> io::Result<bool> {
    let mut answer = answer;
    let length = answer.body.len();
    let mut sent = if seen.method == "HEAD" { 0 } else { length };
    match fault {
        Some(Fault::Corrupt) if length > 0 => answer.body[0] ^= 1,
        Some(Fault::Truncate(limit)) => sent = sent.min(*limit),
        Some(Fault::Header(name, value)) => answer = answer.with(name, value),
        _ => {}
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    if !answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    connection.write_all(head.as_bytes())?;
    connection.write_all(&answer.body[..sent])?;
    connection.flush()?;
    Ok(seen.method == "HEAD" || sent == length)
}

fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(Seen, Vec<u8>)>> {
    let first = read_line(reader)?;
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next().filter(|word| !word.is_empty()), words.next()) else {
        return Ok(None);
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut seen = Seen { method: method.into(), path: path.into(), query: query.into(), ..Seen::default() };
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        seen.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let body = read_body(reader, &seen)?;
    seen.length = body.len();
    Ok(Some((seen, body)))
}

fn read_body(reader: &mut BufReader<TcpStream>, seen: &Seen) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if seen.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = u64::from_str_radix(read_line(reader)?.trim(), 16).map_err(io::Error::other)?;
            reader.take(size).read_to_end(&mut body)?;
            read_line(reader)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = seen.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_end(&mut body)?;
    if body.len() as u64 == length { Ok(body) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Reads a line without its end; empty at the end of the connection.
fn read_line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    reader.take(64 << 10).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Reads `a=b&c=d` with its percent signs.
pub(super) fn parameters(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let split = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    split.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).unwrap_or(0);
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => u8::try_from(digit() * 16 + digit()).unwrap_or(b'?'),
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
