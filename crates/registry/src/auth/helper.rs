//! Credential helpers: `docker-credential-X get`, the registry on its input, JSON on its output.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;

use super::credentials::Credential;
use crate::secret::Secret;

/// Helpers may ask a person or a remote service, but not for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than any credential has.
const MAX_OUTPUT: u64 = 1 << 20;

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret")]
    secret: Secret,
}

/// Asks a helper for the credentials of `server`; `None` if it has none. Errors are words for people and hold nothing
/// of what the helper printed on its output.
pub(crate) fn get(name: &str, server: &str) -> Result<Option<Credential>, String> {
    get_within(name, server, PATIENCE)
}

fn get_within(name: &str, server: &str, patience: Duration) -> Result<Option<Credential>, String> {
    let program = format!("docker-credential-{name}");
    if name.is_empty() || name.contains('/') {
        return Err(format!("`{name}` is not the name of a credential helper"));
    }
    let failed = |error: std::io::Error| format!("credential helper `{program}` could not be run: {error}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    // A helper that exits without reading is judged by its output.
    let _ = child.stdin.take().map(|mut input| input.write_all(server.as_bytes()));
    let output = output_of(&mut child, patience).ok_or_else(|| {
        let _ = child.kill();
        format!("credential helper `{program}` gave no answer within {} seconds", patience.as_secs())
    });
    let status = child.wait().map_err(failed)?;
    let output = output?;
    if status.success() { read(&program, &output) } else { refused(&program, &output) }
}

/// Reads the output on a thread of its own, since a pipe cannot be waited for with a limit.
fn output_of(child: &mut Child, patience: Duration) -> Option<Vec<u8>> {
    let output = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.take(MAX_OUTPUT).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver.recv_timeout(patience).ok()
}

fn read(program: &str, output: &[u8]) -> Result<Option<Credential>, String> {
    let answer: Answer =
        serde_json::from_slice(output).map_err(|_| format!("credential helper `{program}` gave an unusable answer"))?;
    if answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(Credential::of_user(answer.username, answer.secret)))
}

/// docker-credential-helpers, `credentials/error.go`: absence is told in words.
fn refused(program: &str, output: &[u8]) -> Result<Option<Credential>, String> {
    let absent = String::from_utf8_lossy(output).contains("credentials not found");
    if absent { Ok(None) } else { Err(format!("credential helper `{program}` failed")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_slash_are_refused() {
        assert_eq!(get("../evil", "a").unwrap_err(), "`../evil` is not the name of a credential helper");
    }

    #[test]
    fn a_missing_helper_is_told() {
        let error = get("kiln-no-such-helper", "a").unwrap_err();
        assert!(
            error.starts_with("credential helper `docker-credential-kiln-no-such-helper` could not be run"),
            "{error}"
        );
    }

    #[test]
    fn answers_are_read() {
        let found = read("p", br#"{"ServerURL":"s","Username":"u","Secret":"x"}"#).unwrap();
        assert_eq!(found, Some(Credential::Basic { user: "u".into(), password: Secret::new("x") }));
        let found = read("p", br#"{"Username":"<token>","Secret":"x"}"#).unwrap();
        assert_eq!(found, Some(Credential::Identity { token: Secret::new("x") }));
        assert_eq!(read("p", br#"{"Username":"u","Secret":""}"#), Ok(None));
        assert_eq!(read("p", b"hunter2").unwrap_err(), "credential helper `p` gave an unusable answer");
        assert_eq!(refused("p", b"credentials not found in native keychain\n"), Ok(None));
        assert_eq!(refused("p", b"hunter2").unwrap_err(), "credential helper `p` failed");
    }
}
