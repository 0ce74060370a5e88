//! How the process starts and ends.

use crate::Outcome;
use crate::checks::expect;
use crate::host::{Devhost, Probe, command};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

pub(crate) async fn sigterm_lets_requests_finish(probe: &Probe) -> Outcome {
    let devhost = Devhost::start(probe.state("drain"), &probe.variables)?;
    let request = probe.client.get(format!("{}/probe/instance?wait=1500", devhost.url));
    let request = tokio::spawn(request.send());
    tokio::time::sleep(Duration::from_millis(500)).await;
    devhost.terminate();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let connected = TcpStream::connect(devhost.url.trim_start_matches("http://"));
    expect(connected.is_err(), &connected)?;
    let response = request.await??;
    expect(response.status() == 200, &response)?;
    let status = devhost.wait(Duration::from_secs(5))?;
    expect(status.success(), &status)
}

pub(crate) async fn the_drain_has_a_limit(probe: &Probe) -> Outcome {
    let state = probe.state("limit");
    let limit = ["--drain-timeout", "500ms"];
    let devhost = Devhost::start_with(state, &probe.variables, &limit)?;
    let request = probe.client.get(format!("{}/probe/instance?wait=20000", devhost.url));
    let request = tokio::spawn(request.send());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    devhost.terminate();
    let status = devhost.wait(Duration::from_secs(5))?;
    expect(status.success() && start.elapsed() < Duration::from_secs(3), &status)?;
    let cut = request.await?;
    expect(cut.is_err(), &cut)
}

pub(crate) async fn a_taken_port_is_one_clear_sentence(probe: &Probe) -> Outcome {
    let taken = format!("127.0.0.1:{}", probe.sink_port);
    let output = command(&probe.state("taken"), &probe.variables, &taken)?.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    expect(!output.status.success() && text.lines().count() == 1, &text)?;
    expect(text.contains(&taken) && text.contains("another process"), &text)
}

pub(crate) async fn compiled_code_is_private_and_kept(probe: &Probe) -> Outcome {
    let code = probe.state("main").join("code");
    let mode = std::fs::metadata(&code)?.permissions().mode() & 0o777;
    expect(mode == 0o700, &format!("{mode:o}"))?;
    // Three components have one code: one file, and no half-written one.
    let files = std::fs::read_dir(&code)?.flatten().map(|f| f.file_name()).collect::<Vec<_>>();
    expect(files.len() == 1, &files)
}

pub(crate) async fn secrets_are_not_logged(probe: &Probe) -> Outcome {
    let log = probe.log()?;
    expect(log.contains("serving"), &"an empty log")?;
    let url = &probe.variables["database_url"];
    let password = url.split([':', '@']).nth(2).unwrap_or_default();
    expect(password.len() > 8 && !log.contains(password), &"the password")
}

/// A path may be a share link or have an upload token in it, and a query a signature; whatever becomes of the request.
pub(crate) async fn paths_and_queries_are_not_logged(probe: &Probe) -> Outcome {
    const SECRET: &str = "cGF0aHMtYW5kLXF1ZXJpZXMtYXJlLXNlY3JldC0wMTIz";
    let before = probe.log()?.len();
    for path in [
        format!("/probe/instance?signature={SECRET}"),
        format!("/probe/error/{SECRET}?signature={SECRET}"),
        format!("/probe/trap?signature={SECRET}"),
        format!("/s/{SECRET}"),
        format!("/v1/t/{SECRET}/upload/documents?signature={SECRET}"),
    ] {
        for method in [reqwest::Method::GET, reqwest::Method::PUT] {
            probe.client.request(method, format!("{}{path}", probe.url)).send().await?;
        }
    }
    let log = probe.log()?;
    expect(log.len() > before && log[before..].contains("\"status\":"), &&log[before..])?;
    expect(!log.contains(SECRET), &"a path or a query in the log")
}
