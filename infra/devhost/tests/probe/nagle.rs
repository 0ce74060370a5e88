//! Nagle's algorithm: of two small writes the second waits for the acknowledgement of the first,
//! which the peer delays by about 40 ms. The first packets of a connection are acknowledged at once,
//! so one connection is used again and again, and only its later rounds are judged.

use crate::Outcome;
use crate::checks::expect;
use crate::host::Probe;
use libtest_mimic::Failed;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const ROUNDS: usize = 30;
const JUDGED: usize = 10;
/// The probe itself waits 3 ms between its writes; a delayed acknowledgement takes 40.
const DELAYED: Duration = Duration::from_millis(25);

pub(crate) async fn nagle_is_left_on_for_responses(probe: &Probe) -> Outcome {
    let authority = probe.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let times = tokio::task::spawn_blocking(move || responses(&authority)).await??;
    judge(times)
}

fn responses(authority: &str) -> Result<Vec<Duration>, Failed> {
    let mut stream = TcpStream::connect(authority)?;
    let request = format!("GET /probe/two-writes HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nab") {
            let mut part = [0; 1024];
            match stream.read(&mut part)? {
                0 => return Err("the host closed the connection".into()),
                n => answer.extend_from_slice(&part[..n]),
            }
        }
        times.push(start.elapsed());
    }
    Ok(times)
}

pub(crate) async fn nagle_is_left_on_for_requests(probe: &Probe) -> Outcome {
    let path = format!("/probe/two-writes-out?port={}", probe.sink_port);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let answer = probe.ask(&path).await?;
        let Some(elapsed) = answer["milliseconds"].as_u64() else {
            return Err(answer.to_string().into());
        };
        times.push(Duration::from_millis(elapsed));
    }
    judge(times)
}

fn judge(times: Vec<Duration>) -> Outcome {
    let mut judged = times[ROUNDS - JUDGED..].to_vec();
    judged.sort();
    expect(judged[JUDGED / 2] >= DELAYED, &times)
}
