//! A real Apache Kafka (4.x, KRaft, one node), started by `tests/kafka/start.sh` from Maven Central's jars.
//!
//! - [`Kafka::shared`] is one broker for the whole test run: tests keep apart by topic, group and transactional ids of their own
//!   ([`unique`]), and must not stop it or count its topics.
//! - [`Kafka::secured`] is another such one, with TLS, SASL and an authorizer.
//! - [`Kafka::start_own`] is a broker for one test, which may stop, kill, freeze and restart it (same port, same data).
//!
//! Invariant: a broker cannot outlive the test process. The script stays attached to a pipe whose other end this process holds, and
//! the kernel kills the broker when the script goes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A running broker.
pub struct Kafka {
    bootstrap: String,
    secure_bootstrap: Option<String>,
    flags: Vec<String>,
    data: PathBuf,
    /// The script that holds the broker; none while a test has it stopped.
    script: Option<Child>,
    /// Removed when the broker is dropped.
    scratch: Option<tempfile::TempDir>,
}

/// A name that no other test of this or another run uses: for topics, groups and transactional ids on the shared broker.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Fails the test, with the mend, when a real Kafka cannot be had; otherwise the jars are in their cache afterwards.
pub fn require_apache() {
    static CHECKED: OnceLock<Result<(), String>> = OnceLock::new();
    let checked = CHECKED.get_or_init(|| {
        let output = Command::new(script("libs.sh")).output().map_err(|e| format!("tests/kafka/libs.sh: {e}"))?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    });
    if let Err(reason) = checked {
        panic!("this test needs a real Apache Kafka: {reason}");
    }
}

impl Kafka {
    /// The bootstrap address of the broker that all tests of this run share.
    pub fn shared() -> &'static str {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        &SHARED.get_or_init(|| Kafka::start_shared(&["--scratch"])).bootstrap
    }

    /// The broker with logins and access rules that all tests of this run share: what no rule allows is denied.
    pub fn secured() -> &'static Kafka {
        static SECURED: OnceLock<Kafka> = OnceLock::new();
        SECURED.get_or_init(|| Kafka::start_shared(&["--scratch", "--secure"]))
    }

    fn start_shared(flags: &[&str]) -> Kafka {
        require_apache();
        // A static is never dropped, so here the script removes the data.
        let data = tempfile::Builder::new().prefix("fairlead-kafka-").tempdir().expect("a temporary directory").keep();
        Kafka::start_on(data, None, flags.iter().map(|flag| flag.to_string()).collect())
    }

    /// A broker for one test, with further flags of `tests/kafka/start.sh`, such as `--secure` or `--set key=value`.
    pub fn start_own(flags: &[&str]) -> Kafka {
        require_apache();
        let scratch = tempfile::Builder::new().prefix("fairlead-kafka-").tempdir().expect("a temporary directory");
        Kafka::start_on(scratch.path().to_owned(), Some(scratch), flags.iter().map(|f| f.to_string()).collect())
    }

    fn start_on(data: PathBuf, scratch: Option<tempfile::TempDir>, flags: Vec<String>) -> Kafka {
        let mut kafka = Kafka { bootstrap: String::new(), secure_bootstrap: None, flags, data, script: None, scratch };
        kafka.start();
        kafka
    }

    /// `host:port` of the plaintext listener.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `host:port` of the SASL_SSL listener.
    pub fn secure_bootstrap(&self) -> &str {
        self.secure_bootstrap.as_deref().expect("only a broker started with --secure has a SASL_SSL listener")
    }

    /// All that its authorizer has decided, a line a decision.
    pub fn decisions(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.data.join("broker.log")).expect("the broker logs");
        log.lines().filter(|line| line.contains(" Principal = ")).map(str::to_owned).collect()
    }

    /// What signed the SASL_SSL listener's certificate.
    pub fn ca_pem(&self) -> PathBuf {
        self.data.join("tls/ca.pem")
    }

    /// The broker's process.
    #[allow(dead_code)] // for benches/shallow
    pub fn process(&self) -> u32 {
        let pid = std::fs::read_to_string(self.data.join("broker.pid")).expect("the broker runs");
        pid.trim().parse().expect("a process id")
    }

    /// Its files stay where they are, to be looked at, or go with it.
    #[allow(dead_code)] // for benches/longhaul
    pub fn keep_files(&mut self, keep: bool) {
        self.scratch.as_mut().expect("a broker of one's own").disable_cleanup(keep);
    }

    /// Starts it (again): on the same port, with the data it had.
    pub fn start(&mut self) {
        assert!(self.script.is_none(), "the broker runs already");
        let mut script = Command::new(script("start.sh"))
            .arg(&self.data)
            .arg("--attached")
            .args(&self.flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(std::fs::File::create(self.data.join("start.err")).expect("a writable data directory")))
            .spawn()
            .expect("tests/kafka/start.sh can be run");
        let mut lines = BufReader::new(script.stdout.take().expect("standard output is piped")).lines();
        match lines.next() {
            Some(Ok(address)) => self.bootstrap = address,
            _ => {
                let told = std::fs::read_to_string(self.data.join("start.err")).unwrap_or_default();
                panic!("Apache Kafka did not start: {told}");
            }
        }
        if self.flags.iter().any(|f| f == "--secure") {
            self.secure_bootstrap = lines.next().and_then(Result::ok);
        }
        self.script = Some(script);
    }

    /// Stops it politely, as an operator would; returns when it is gone.
    pub fn stop(&mut self) {
        if let Some(mut script) = self.script.take() {
            drop(script.stdin.take());
            script.wait().expect("the script was started by us");
        }
    }

    /// Kills it as `kill -9` does; returns when it is gone.
    pub fn kill(&mut self) {
        if self.script.is_some() {
            self.signal("KILL");
            self.stop();
        }
    }

    /// Freezes it: connections stay open and nothing answers, until [`Kafka::thaw`].
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.data.join("broker.pid")).expect("the broker runs");
        let status = Command::new("kill").arg(format!("-{name}")).arg(pid.trim()).status().expect("kill can be run");
        assert!(status.success(), "no process {} to send {name} to", pid.trim());
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // A frozen or stopped one goes as well; nothing here may panic, because a test may already do so.
        if let Ok(pid) = std::fs::read_to_string(self.data.join("broker.pid")) {
            let _ = Command::new("kill").arg("-KILL").arg(pid.trim()).stderr(Stdio::null()).status();
        }
        if let Some(mut script) = self.script.take() {
            drop(script.stdin.take());
            let _ = script.wait();
        }
    }
}

/// Runs one of Kafka's own console tools to its end and returns what it printed; a failure fails the test.
pub fn tool(name: &str, args: &[&str]) -> String {
    let output = Command::new(script("tool.sh")).arg(name).args(args).output().expect("tests/kafka/tool.sh can be run");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name} {args:?} failed: {told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka").join(name)
}

#[test]
fn the_shared_broker_is_one_and_serves_kafkas_own_tools() {
    let bootstrap = Kafka::shared();
    let topic = unique("harness");
    tool("kafka-topics", &["--bootstrap-server", bootstrap, "--create", "--topic", &topic, "--partitions", "3"]);
    let offsets = tool("kafka-get-offsets", &["--bootstrap-server", Kafka::shared(), "--topic", &topic]);
    assert_eq!(offsets.lines().count(), 3, "one line a partition: {offsets}");
}

#[test]
fn an_own_broker_keeps_port_and_data_over_kill_and_stop() {
    let mut kafka = Kafka::start_own(&[]);
    let address = kafka.bootstrap().to_owned();
    tool("kafka-topics", &["--bootstrap-server", &address, "--create", "--topic", "kept", "--partitions", "1"]);
    kafka.kill();
    kafka.start();
    kafka.stop();
    kafka.start();
    assert_eq!(kafka.bootstrap(), address);
    assert_eq!(tool("kafka-topics", &["--bootstrap-server", &address, "--list"]).trim(), "kept");

    let mut connection = TcpStream::connect(&address).expect("the broker listens");
    connection.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout can be set");
    kafka.freeze();
    // ApiVersions v0, correlation id 7, no client id.
    connection.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]).expect("the kernel accepts it");
    let mut answer = [0; 8];
    assert!(connection.read_exact(&mut answer).is_err(), "a frozen broker answered");
    kafka.thaw();
    connection.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
    connection.read_exact(&mut answer).expect("a thawed broker answers");
    assert_eq!(answer[4..], [0, 0, 0, 7]);
}

#[test]
fn a_secure_broker_checks_password_and_certificate() {
    let kafka = Kafka::secured();
    let list = |password: &str| {
        let config = kafka.data.join(format!("{password}.properties"));
        let login = format!(r#"ScramLoginModule required username="fairlead" password="{password}";"#);
        let properties = format!(
            "security.protocol=SASL_SSL\nssl.truststore.type=PEM\nssl.truststore.location={}\nsasl.mechanism=SCRAM-SHA-512\n\
             sasl.jaas.config=org.apache.kafka.common.security.scram.{login}\n",
            kafka.ca_pem().display()
        );
        std::fs::write(&config, properties).expect("a writable data directory");
        Command::new(script("tool.sh"))
            .args(["kafka-topics", "--list", "--bootstrap-server", kafka.secure_bootstrap(), "--command-config"])
            .arg(config)
            .output()
            .expect("tests/kafka/tool.sh can be run")
    };
    let right = list("fairlead-secret");
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
    let wrong = list("guessed");
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("SaslAuthenticationException"), "{wrong:?}");
}
