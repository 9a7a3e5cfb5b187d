//! Registries to test against: fairlead's own in this process, and Apicurio Registry, started by `tests/registry/start.sh`.

use fairlead::embedded::registry::{Registry, RegistryConfig};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use tempfile::TempDir;

/// fairlead's registry on this directory, on a port of the kernel's choice.
pub fn start(data_dir: &Path) -> Registry {
    start_at(data_dir, "127.0.0.1:0".parse().expect("an address"))
}

/// The same where one was before.
pub fn start_at(data_dir: &Path, listen: SocketAddr) -> Registry {
    Registry::start(RegistryConfig { data_dir: data_dir.to_owned(), listen, allow_non_loopback: false })
        .expect("the registry starts")
}

/// The base URL of the one Apicurio that all tests of this run share: keep apart by subjects of your own.
pub fn apicurio() -> &'static str {
    static SHARED: OnceLock<(String, Mutex<Child>)> = OnceLock::new();
    let start = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/start.sh");
        let mut child = Command::new(script)
            .stdin(Stdio::piped()) // its end is this process's end
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/registry/start.sh can be run");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("standard output is piped")).read_line(&mut url).expect("a line");
        assert!(url.starts_with("http://"), "Apicurio Registry did not start, see the lines above");
        (url.trim().to_owned(), Mutex::new(child))
    };
    &SHARED.get_or_init(start).0
}

/// HTTPS with a login before a registry. Gone with whoever started it.
pub struct Gateway {
    pub url: String,
    pub ca_pem: PathBuf,
    child: Child,
    _certificates: TempDir,
}

impl Gateway {
    pub const LOGIN: (&str, &str) = ("fairlead", "registry-secret");

    pub fn start(registry_url: &str) -> Gateway {
        let certificates = tempfile::tempdir().expect("a directory");
        let ca_pem = certificate(certificates.path());
        let (name, password) = Gateway::LOGIN;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/gateway.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args([certificates.path().join("server.pem"), format!("{name}:{password}").into(), registry_url.into()])
            .stdin(Stdio::piped()) // its end is this process's end
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test needs python3: apt-get install python3");
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("standard output is piped")).read_line(&mut port).expect("a line");
        Gateway { url: format!("https://127.0.0.1:{}", port.trim()), ca_pem, child, _certificates: certificates }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Nothing here may panic, because a test may already do so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes an authority and, signed by it, `server.pem` for 127.0.0.1 with its key; tells where the authority is.
pub fn certificate(dir: &Path) -> PathBuf {
    std::fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1").expect("a writable directory");
    let steps = [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
    ];
    for step in steps {
        let made = Command::new("openssl").args(step.split(' ')).current_dir(dir).output();
        let made = made.expect("this test needs openssl: apt-get install openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let read = |name: &str| std::fs::read(dir.join(name)).expect("openssl wrote it");
    std::fs::write(dir.join("server.pem"), [read("server.key"), read("server.crt")].concat()).expect("a file");
    dir.join("ca.pem")
}

/// A plain HTTP client with a runtime of its own, so that tests read from top to bottom.
pub struct Client {
    base: String,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    pub fn new(base: &str) -> Client {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Client { base: base.to_owned(), http: reqwest::Client::new(), runtime }
    }

    /// Status and body; a body that is no JSON comes as a string.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), reqwest::Error> {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = match body {
            Some(body) => request.header("content-type", CONTENT_TYPE).body(body.to_string()),
            None => request,
        };
        self.runtime.block_on(async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            let text = response.text().await?;
            Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
        })
    }
}

pub const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
