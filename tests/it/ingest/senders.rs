//! Debian's own Prometheus and Alertmanager, driving both doors.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fairlead::event::AlertStatus;

use super::*;

/// A process that goes with the test.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `program` and returns what follows `address=` in the log line that says where it listens.
pub fn start(program: &str, folder: &Path, arguments: &[&str]) -> (Process, String) {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
    let mend = "is needed by this test: apt-get install prometheus prometheus-alertmanager";
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program} {mend}: {error}"));
    let mut log = BufReader::new(child.stderr.take().expect("standard error is piped"));
    let process = Process(child);
    let mut told = String::new();
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "{program} ended: {told}");
        told.push_str(&line);
        if line.contains("Listening on") || line.contains("Start listening for connections") {
            let address = line.split("address=").nth(1).expect("an address").split_whitespace().next().unwrap();
            let address = address.to_owned();
            // Whoever writes to a pipe that nobody reads comes to a halt.
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return (process, address);
        }
    }
}

pub fn write(folder: &Path, name: &str, text: String) {
    std::fs::write(folder.join(name), text).unwrap();
}

/// Configured by the folder's `alertmanager.yml`.
pub fn alertmanager(folder: &Path) -> (Process, String) {
    let flags = ["--config.file=alertmanager.yml", "--storage.path=am", "--web.listen-address=127.0.0.1:0"];
    start("prometheus-alertmanager", folder, &[&flags[..], &["--cluster.listen-address="]].concat())
}

/// Fires at once; one alert for ever, the other until `until` (seconds since the epoch).
fn rules(until: i64) -> String {
    format!(
        r#"groups:
- name: g
  rules:
  - {{alert: StaysOn, expr: 'vector(1)', labels: {{service: payments, severity: warning}}, annotations: {{value: '{{{{ $value }}}}'}}}}
  - {{alert: GoesOff, expr: 'vector(time()) < {until}', labels: {{service: checkout, zone: "ü \"x\""}}}}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_and_alertmanager_tell_the_same_alerts_through_both_doors() {
    let server = Server::start_on(Kafka::shared(), Clock::wall()).await;
    let folder = tempfile::tempdir().unwrap();
    let own = server.ingest.addr();
    write(
        folder.path(),
        "alertmanager.yml",
        format!(
            "route: {{receiver: fairlead, group_by: [severity], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}}\n\
             receivers:\n- name: fairlead\n  webhook_configs:\n  - url: http://{own}/webhooks/alertmanager\n    \
             http_config: {{authorization: {{credentials: {TOKEN}}}}}\n"
        ),
    );
    let (_alertmanager, alertmanager) = alertmanager(folder.path());
    write(folder.path(), "rules.yml", rules(Clock::wall().now().0 / 1000 + 12));
    write(
        folder.path(),
        "prometheus.yml",
        format!(
            "global: {{evaluation_interval: 1s, external_labels: {{env: production}}}}\nrule_files: [rules.yml]\n\
             alerting:\n  alertmanagers:\n  - static_configs: [{{targets: ['{own}']}}]\n    \
             authorization: {{credentials: {TOKEN}}}\n  - static_configs: [{{targets: ['{alertmanager}']}}]\n"
        ),
    );
    let flags = ["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--web.listen-address=127.0.0.1:0"];
    let flags = [&flags[..], &["--rules.alert.resend-delay=2s"]].concat();
    let (_prometheus, _) = start("prometheus", folder.path(), &flags);

    // What is on the topic, as (door, alert, status, fingerprint, start).
    let told = |server: &Server| -> Vec<(String, String, AlertStatus, String, i64)> {
        let stored = server.stored(&server.alerts, FactKind::Alert).into_iter();
        let alerts = stored.filter_map(|record| match record.fact {
            Fact::Alert(alert) => Some(alert),
            _ => None,
        });
        let row = |alert: fairlead::event::Alert<'static>| {
            assert_eq!(alert.environment.as_deref(), Some("production"));
            assert_eq!(alert.ends_at_ms.is_some(), alert.status == AlertStatus::Resolved);
            let (source, name) = (alert.source.to_string(), alert.name.to_string());
            (source, name, alert.status, alert.fingerprint.to_string(), alert.starts_at_ms)
        };
        alerts.map(row).collect()
    };
    let deadline = Instant::now() + PATIENCE;
    let wanted = ["alertmanager", "alertmanager-api"].map(|door| {
        [("StaysOn", AlertStatus::Firing), ("GoesOff", AlertStatus::Firing), ("GoesOff", AlertStatus::Resolved)]
            .map(|(name, status)| (door, name, status))
    });
    let told = loop {
        let rows = told(&server);
        let has = |(door, name, status): &(&str, &str, AlertStatus)| {
            rows.iter().any(|row| row.0 == *door && row.1 == *name && row.2 == *status)
        };
        if wanted.as_flattened().iter().all(has) {
            break rows;
        }
        assert!(Instant::now() < deadline, "not all was told: {rows:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    for name in ["StaysOn", "GoesOff"] {
        let mut identities: Vec<_> = told.iter().filter(|row| row.1 == name).map(|row| (&row.3, row.4)).collect();
        identities.sort();
        identities.dedup();
        assert_eq!(identities.len(), 1, "one alert, one episode, one identity at both doors: {told:?}");
    }
    let refused = server.counted("fairlead_ingest_requests_total", &[])
        - server.counted("fairlead_ingest_requests_total", &[("code", "200")]);
    assert_eq!(refused, 0.0, "a real sender was refused");
    server.ingest.stop().await;
}
