//! What a CronJob does in production: `POST /internal/tick`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::JoinHandle;

use crate::progress::say;

/// Ticks the worker until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    task: JoinHandle<()>,
}

impl Ticker {
    pub(crate) fn start(url: String, secret: String, every: Duration) -> Self {
        let task = tokio::spawn(async move {
            let mut interval = tokio::time::interval(every);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut failing = false;
            loop {
                interval.tick().await;
                match tick(&url, &secret).await {
                    Ok(_) if failing => {
                        say("The worker's ticks work again.");
                        failing = false;
                    }
                    // Once, not every second.
                    Err(error) if !failing => {
                        say(format!("The worker's tick failed: {error:#}"));
                        failing = true;
                    }
                    _ => {}
                }
            }
        });
        Self { task }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One tick; the answer's body.
pub(crate) async fn tick(url: &str, secret: &str) -> Result<String> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
    let request = http.post(format!("{url}/internal/tick")).bearer_auth(secret);
    let answer = request.send().await.context("POST /internal/tick")?;
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    if !status.is_success() {
        bail!("POST /internal/tick answered {status} {}", body.trim());
    }
    Ok(body)
}
