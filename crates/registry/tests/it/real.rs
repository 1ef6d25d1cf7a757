//! A real registry server, and another client that reads what was pushed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use image::media_type;
use registry::{Error, Registry};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Image, Place, Recorder, amd64, index, reference};

/// The packaged server of the distribution project on a free port; ended on drop.
struct Server {
    child: Child,
    host: String,
    directory: TempDir,
}

/// How the one user of a guarded server is called, with the password `secret`.
const USER: &str = "ann";

/// `htpasswd -nbB ann secret`, at the least cost.
const HTPASSWD: &str = "ann:$2b$05$mmn8FYOEDRnx.IXhmOz4deO0ynha/3tCE1g3BG1ztfxgT7qYAD1Gy";

impl Server {
    /// Starts a server; `None` with the reason on standard error where there is none.
    fn start(guarded: bool) -> Option<Self> {
        if !has("docker-registry") {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        // Another process may take the port before the server does.
        (0..5).find_map(|_| Self::try_start(guarded, directory.path())).map(|(child, host)| Self {
            child,
            host,
            directory,
        })
    }

    fn try_start(guarded: bool, directory: &Path) -> Option<(Child, String)> {
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let passwords = directory.join("htpasswd");
        std::fs::write(&passwords, format!("{HTPASSWD}\n")).unwrap();
        let mut config = json!({
            "version": 0.1,
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": directory.join("data") }, "delete": { "enabled": true } },
            "http": { "addr": host },
        });
        if guarded {
            config["auth"] = json!({ "htpasswd": { "realm": "kiln", "path": passwords } });
        }
        // YAML reads JSON.
        let path = directory.join("config.yml");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            if std::net::TcpStream::connect(&host).is_ok() {
                return Some((child, host));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        None
    }

    fn name(&self, rest: &str) -> image::Reference {
        reference(&format!("{}/{rest}", self.host))
    }

    fn blob_path(&self, digest: &image::Digest) -> PathBuf {
        let hex = digest.hex();
        self.directory.path().join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(&hex).join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "`{program}` is required and not installed");
        eprintln!("skipped: `{program}` is not installed");
    }
    found
}

/// What skopeo reads of an image.
fn skopeo(arguments: &[&str]) -> Option<Value> {
    if !has("skopeo") {
        return None;
    }
    let output = Command::new("skopeo").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn pushed_and_pulled_it_is_the_same() {
    let Some(server) = Server::start(false) else { return };
    let (from, to, image) = (Place::new(), Place::new(), Image::new(3, "amd64", 3));
    image.keep(&from.store);
    let name = server.name("team/app:1.0");
    let digest = from.registry().push(&name, &image.descriptor(), &from.store, &Recorder::default()).unwrap();
    assert_eq!(digest, image.digest());
    for layer in 0..3 {
        assert_eq!(std::fs::read(server.blob_path(&image.layer(layer))).unwrap(), image.layers[layer]);
    }
    let pinned = to.pull(&name.to_string()).unwrap();
    assert_eq!(pinned.descriptor, image.descriptor());
    image.check_kept(&to.store);

    let Some(seen) = skopeo(&["inspect", "--tls-verify=false", &format!("docker://{name}")]) else { return };
    assert_eq!(seen["Digest"], json!(digest));
    assert_eq!(seen["Layers"].as_array().unwrap().len(), 3);
    assert_eq!(seen["Layers"][1], json!(image.layer(1)));
}

#[test]
fn an_index_with_a_password_and_mounts() {
    let Some(server) = Server::start(true) else { return };
    let mut place = Place::new();
    let (intel, arm) = (Image::new(3, "amd64", 2), Image::new(60, "arm64", 1));
    intel.keep(&place.store);
    arm.keep(&place.store);
    let bytes = index(&[(&intel, "amd64"), (&arm, "arm64")]);
    let (digest, size) = place.store.put_blob(None, &mut bytes.as_slice()).unwrap();
    let target = image::descriptor::descriptor(media_type::OCI_INDEX, digest, size);
    let name = server.name("multi:v1");

    let push = |registry: &Registry, place: &Place, name: &image::Reference| {
        registry.push(name, &target, &place.store, &Recorder::default())
    };
    let error = push(&place.registry(), &place, &name).unwrap_err();
    assert!(matches!(error, Error::Denied { user: None, .. }), "{error:?}");
    place.login_to(&server.host, USER, "wrong");
    let error = push(&place.registry(), &place, &name).unwrap_err();
    assert!(matches!(&error, Error::Denied { user: Some(user), .. } if user == USER), "{error:?}");
    place.login_to(&server.host, USER, "secret");
    let registry = place.registry();
    assert_eq!(push(&registry, &place, &name).unwrap(), digest);
    // The same blobs for another repository are mounted.
    assert_eq!(push(&registry, &place, &server.name("other/multi")).unwrap(), digest);

    let empty = testkit::store();
    let pinned = registry.resolve(&server.name("other/multi"), &amd64(), &empty).unwrap();
    assert_eq!((pinned.reference.digest, &pinned.descriptor), (Some(digest), &intel.descriptor()));
    registry.pull(&pinned, &empty, &Recorder::default()).unwrap();
    intel.check_kept(&empty);

    let credentials = format!("{USER}:secret");
    let arguments = ["inspect", "--tls-verify=false", "--creds", &credentials, "--raw", &format!("docker://{name}")];
    let Some(seen) = skopeo(&arguments) else { return };
    assert_eq!(seen, serde_json::from_slice::<Value>(&bytes).unwrap());
}
