//! What a host does for a component, seen from both sides.

use crate::Outcome;
use crate::host::Probe;
use libtest_mimic::Failed;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longer than an idle instance lives.
const IDLE: Duration = Duration::from_millis(1_600);

/// Fails with what was found.
pub(crate) fn expect(good: bool, found: &impl std::fmt::Debug) -> Outcome {
    if good { Ok(()) } else { Err(format!("found {found:?}").into()) }
}

fn error_of(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_default()
}

pub(crate) async fn an_idle_instance_is_gone_after_a_second(probe: &Probe) -> Outcome {
    tokio::time::sleep(IDLE).await;
    let first = probe.ask("/probe/instance").await?;
    let soon = probe.ask("/probe/instance").await?;
    expect(first["id"] == soon["id"] && soon["served"] == 2, &(&first, &soon))?;
    tokio::time::sleep(IDLE).await;
    let late = probe.ask("/probe/instance").await?;
    expect(first["id"] != late["id"] && late["served"] == 1, &(first, late))
}

pub(crate) async fn an_instance_serves_128_requests(probe: &Probe) -> Outcome {
    tokio::time::sleep(IDLE).await;
    let first = probe.ask("/probe/instance").await?;
    let mut last = first.clone();
    for _ in 1..128 {
        last = probe.ask("/probe/instance").await?;
    }
    expect(first["id"] == last["id"] && last["served"] == 128, &(&first, &last))?;
    let next = probe.ask("/probe/instance").await?;
    expect(next["id"] != last["id"] && next["served"] == 1, &(last, next))
}

pub(crate) async fn an_instance_serves_16_requests_at_once(probe: &Probe) -> Outcome {
    tokio::time::sleep(IDLE).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let request = probe.client.get(format!("{}/probe/instance?wait=1500", probe.url));
        running.spawn(async move { request.send().await?.json::<Value>().await });
        // One after the other, so that an instance has the time to say that it takes more.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut most: BTreeMap<String, u64> = BTreeMap::new();
    for answer in running.join_all().await {
        let answer = answer?;
        let at_once = answer["running"].as_u64().unwrap_or_default();
        let seen = most.entry(answer["id"].to_string()).or_default();
        *seen = at_once.max(*seen);
    }
    expect(most.len() >= 3 && most.values().max() == Some(&16), &most)
}

pub(crate) async fn headers_of_spin_are_appended(probe: &Probe) -> Outcome {
    let url = format!("{}/probe/x/headers?q=1", probe.url);
    let request = probe.client.get(&url).header("spin-client-addr", "6.6.6.6:6");
    let headers: Vec<(String, String)> = request.send().await?.json().await?;
    let all = |name: &str| {
        headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>()
    };
    let clients = all("spin-client-addr");
    expect(clients.len() == 2 && clients[0] == "6.6.6.6:6", &headers)?;
    expect(clients[1].parse::<std::net::SocketAddr>().is_ok(), &headers)?;
    for (name, value) in [
        ("spin-path-info", "/x/headers"),
        ("spin-full-url", &url),
        ("spin-matched-route", "/probe/..."),
        ("spin-base-path", "/"),
        ("spin-raw-component-route", "/probe/..."),
        ("spin-component-route", "/probe"),
    ] {
        expect(all(name) == [value], &(name, all(name)))?;
    }
    Ok(())
}

pub(crate) async fn a_named_segment_has_its_header(probe: &Probe) -> Outcome {
    let headers = probe.ask("/probe/named/a%20b/end").await?;
    let named = json!(["spin-path-match-name", "a%20b"]);
    expect(headers.as_array().is_some_and(|all| all.contains(&named)), &headers)
}

pub(crate) async fn private_and_unknown_routes_are_404(probe: &Probe) -> Outcome {
    for path in ["/", "/hidden", "/probes", "/.well-known/spin/other"] {
        let response = probe.client.get(format!("{}{path}", probe.url)).send().await?;
        expect(response.status() == 404, &(path, response.status()))?;
    }
    Ok(())
}

pub(crate) async fn health_is_answered_by_the_host(probe: &Probe) -> Outcome {
    let url = format!("{}/.well-known/spin/health", probe.url);
    let text = probe.client.get(url).send().await?.text().await?;
    expect(text == "OK", &text)
}

pub(crate) async fn an_error_and_a_trap_are_500_without_a_body(probe: &Probe) -> Outcome {
    for path in ["/probe/error", "/probe/trap"] {
        let response = probe.client.get(format!("{}{path}", probe.url)).send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        expect(status == 500 && body.is_empty(), &(path, status, body))?;
    }
    probe.ask("/probe/instance").await.map(drop).map_err(Failed::from)
}

pub(crate) async fn the_65th_connection_hangs(probe: &Probe) -> Outcome {
    let answer = probe.ask("/probe/pool?open=65").await?;
    expect(answer == json!({ "opened": 64, "then": "hangs" }), &answer)?;
    let answer = probe.ask("/probe/pool?open=64").await?;
    expect(answer == json!({ "opened": 64 }), &answer)
}

pub(crate) async fn timestamptz_cannot_be_read(probe: &Probe) -> Outcome {
    let answer = probe.ask("/probe/timestamptz").await?;
    // The driver's text is not a contract: hosts spell the type either way.
    expect(answer.to_string().to_lowercase().contains("timestamptz"), &answer)?;
    expect(answer["rows"].as_array().is_none_or(Vec::is_empty), &answer)?;
    let answer = probe.ask("/probe/microseconds").await?;
    expect(answer["rows"][0].to_string().contains("Int64(0)"), &answer)
}

pub(crate) async fn errors_of_execution_come_at_the_end(probe: &Probe) -> Outcome {
    let answer = probe.ask("/probe/late-error").await?;
    let rows = answer["rows"].as_array().map(Vec::len);
    let late = answer["late"].as_str().unwrap_or_default();
    expect(rows == Some(1) && late.contains("22012"), &answer)
}

pub(crate) async fn a_database_outside_the_list_is_denied(probe: &Probe) -> Outcome {
    let answer = probe.ask("/probe/forbidden-database").await?;
    expect(error_of(&answer).contains("not permitted"), &answer)
}

pub(crate) async fn http_outside_the_list_is_denied(probe: &Probe) -> Outcome {
    let answer = probe.ask(&format!("/probe/fetch?port={}", probe.sink_port)).await?;
    expect(answer == json!({ "status": 200 }), &answer)?;
    let answer = probe.ask(&format!("/probe/fetch?port={}", probe.named_port)).await?;
    expect(error_of(&answer).contains("HttpRequestDenied"), &answer)
}

pub(crate) async fn an_empty_entry_denies_the_whole_list(probe: &Probe) -> Outcome {
    let answer = probe.ask(&format!("/denied/fetch?port={}", probe.sink_port)).await?;
    expect(error_of(&answer).contains("HttpRequestDenied"), &answer)
}

/// 600 seconds are too long to wait for: that no shorter limit strikes is what is seen here.
pub(crate) async fn a_first_byte_limit_is_kept_and_the_default_is_long(probe: &Probe) -> Outcome {
    let slow = format!("/probe/fetch?path=slow&port={}", probe.sink_port);
    let answer = probe.ask(&format!("{slow}&first-byte=200")).await?;
    expect(error_of(&answer).contains("ConnectionReadTimeout"), &answer)?;
    let answer = probe.ask(&slow).await?;
    expect(answer == json!({ "status": 200 }), &answer)
}

pub(crate) async fn sockets_are_allowed_by_address_only(probe: &Probe) -> Outcome {
    let answer = probe.ask(&format!("/probe/tcp?port={}", probe.sink_port)).await?;
    expect(answer == json!({ "connected": true }), &answer)?;
    let answer = probe.ask(&format!("/probe/tcp?port={}", probe.named_port)).await?;
    expect(error_of(&answer).contains("AccessDenied"), &answer)
}

pub(crate) async fn key_value_needs_a_grant(probe: &Probe) -> Outcome {
    let answer = probe.ask("/probe/key-value?label=default").await?;
    expect(answer == json!({ "value": "value", "listed": true, "left": false }), &answer)?;
    for path in ["/probe/key-value?label=other", "/denied/key-value?label=default"] {
        let answer = probe.ask(path).await?;
        expect(error_of(&answer).contains("AccessDenied"), &answer)?;
    }
    Ok(())
}

pub(crate) async fn variables_are_those_of_the_component(probe: &Probe) -> Outcome {
    let answer = probe.ask("/probe/variable?name=greeting").await?;
    expect(answer["value"] == format!("to port {}", probe.sink_port), &answer)?;
    // The application has it, the component does not list it.
    let answer = probe.ask("/probe/variable?name=sink_port").await?;
    expect(error_of(&answer).contains("Undefined"), &answer)
}
