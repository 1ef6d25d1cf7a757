//! HTTPS: whom is trusted, and what is said when nobody is.
//!
//! Beside this file lie a certificate authority and a certificate of it for 127.0.0.1, made for these tests alone.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use registry::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use testkit::FakeRegistry;

use crate::support::{Image, Place, chain};

const AUTHORITY: &[u8] = include_bytes!("tls/authority.pem");
const SERVER: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server.key");

/// Hands what comes over TLS to a fake registry, and its answers back.
struct Front {
    address: SocketAddr,
}

impl Front {
    fn start(fake: &FakeRegistry) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (behind, config) = (fake.host(), Arc::new(config()));
        // Ends with the process: a thread in `accept` cannot be told otherwise.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (behind, config) = (behind.clone(), Arc::clone(&config));
                std::thread::spawn(move || {
                    let session = ServerConnection::new(config).unwrap();
                    let _ = relay(StreamOwned::new(session, connection), &behind);
                });
            }
        });
        Self { address }
    }

    fn host(&self) -> String {
        self.address.to_string()
    }
}

fn config() -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(SERVER).unwrap()];
    builder.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_slice(KEY).unwrap()).unwrap()
}

fn relay(mut client: StreamOwned<ServerConnection, TcpStream>, behind: &str) -> io::Result<()> {
    let mut server = TcpStream::connect(behind)?;
    loop {
        let head = copy_message(&mut client, &mut server, true)?;
        copy_message(&mut server, &mut client, !head.starts_with("HEAD "))?;
        client.flush()?;
    }
}

/// Copies head and body of one message, and returns the head.
fn copy_message(from: &mut impl Read, to: &mut impl Write, has_body: bool) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    to.write_all(&head)?;
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    io::copy(&mut from.take(if has_body { length } else { 0 }), to)?;
    Ok(head.to_ascii_uppercase())
}

fn served() -> (FakeRegistry, Front, Image, String) {
    let (fake, image) = (FakeRegistry::start(), Image::new(1, "amd64", 1));
    image.serve(&fake, "a", Some("x"));
    let front = Front::start(&fake);
    let name = format!("{}/a:x", front.host());
    (fake, front, image, name)
}

/// Puts a certificate authority where docker looks for one.
fn trust(place: &mut Place, host: &str, authority: &[u8]) {
    let directory = place.store.directory().join("certs.d");
    std::fs::create_dir_all(directory.join(host)).unwrap();
    std::fs::write(directory.join(host).join("ca.crt"), authority).unwrap();
    place.options.certs_dirs.push(directory);
}

#[test]
fn this_machine_may_speak_tls_with_any_certificate() {
    let (_fake, _front, image, name) = served();
    let place = Place::new();
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
}

#[test]
fn an_authority_of_the_host() {
    let (_fake, front, image, name) = served();
    let mut place = Place::new();
    trust(&mut place, &front.host(), AUTHORITY);
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
}

#[test]
fn a_certificate_of_somebody_else() {
    let (_fake, front, _image, name) = served();
    let mut place = Place::new();
    // Where something is configured for a host it counts, loopback or not; this one vouches for nobody else.
    trust(&mut place, &front.host(), SERVER);
    let error = place.resolve(&name).unwrap_err();
    let text = chain(&error);
    assert!(text.contains("invalid peer certificate"), "{text}");
    assert!(error.help().unwrap().contains(&format!("certs.d/{}/ca.crt", front.host())), "{error:?}");
}

#[test]
fn a_broken_authority_is_told_with_its_file() {
    let (_fake, front, _image, name) = served();
    let mut place = Place::new();
    trust(&mut place, &front.host(), b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    let text = chain(&place.resolve(&name).unwrap_err());
    assert!(text.contains("ca.crt"), "{text}");
}

/// Certificate authorities and proxies come from the environment: the test runs itself again in another one.
#[test]
fn a_system_without_authorities_and_with_a_proxy() {
    let fake = FakeRegistry::start();
    Image::new(1, "amd64", 1).serve(&fake, "a", Some("x"));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::with_no_authorities", "--ignored"])
        .env("SSL_CERT_FILE", "/nonexistent/file")
        .env("SSL_CERT_DIR", "/nonexistent/directory")
        .env("http_proxy", "http://127.0.0.1:1")
        .env("KILN_TEST_IMAGE", format!("{}/a:x", fake.host()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!fake.seen_at("GET", "/blobs/").is_empty());
}

#[test]
#[ignore = "run by a_system_without_authorities_and_with_a_proxy"]
fn with_no_authorities() {
    let Ok(name) = std::env::var("KILN_TEST_IMAGE") else { return };
    let place = Place::new();
    place.pull(&name).expect("plain HTTP to this machine needs neither authorities nor a proxy");
    let error = place.resolve("registry.invalid/a").unwrap_err();
    assert!(matches!(error, Error::NoCertificates { .. }), "{error:?}");
    assert!(error.help().unwrap().contains("ca-certificates"));
}
