//! `POST /internal/tick` and `POST /internal/reconcile`: what is done without a user, a bounded batch a call.

mod bucket_cors;
mod buckets;
mod reconcile;
mod tick;

use std::rc::Rc;

use holdfast_core::error::{Code, Error};
use holdfast_core::secret;
use holdfast_platform::app::{App, Trace};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::bearer;
use wasip3::http::types::{Request, Response};

const RECONCILE: &str = "/internal/reconcile";

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    let inbound = Inbound::new(request);
    let trace = Trace::of(&inbound);
    match work(inbound).await {
        Ok(done) => reply::json(200, trace.headers(), &done),
        Err(error) => trace.refuse(&error),
    }
}

async fn work(inbound: Inbound) -> Result<serde_json::Value, Error> {
    inbound.allow(&["POST"])?;
    let app = authorised(&inbound).await?;
    if inbound.path == RECONCILE {
        return reconcile::reconcile(&app, inbound).await;
    }
    tick::tick(&app).await
}

/// Both routes take the tick secret.
async fn authorised(inbound: &Inbound) -> Result<Rc<App>, Error> {
    let app = App::get().await?;
    let sent = bearer::token(&inbound.headers)?.unwrap_or_default();
    let Some(wanted) = &app.config.tick_secret else {
        return Err(Error::unavailable("The configuration", "variable `tick_secret` is not set"));
    };
    if !secret::equal(sent.as_bytes(), wanted.as_bytes()) {
        return Err(Error::new(Code::AccessDenied, "Send the tick secret as the bearer token"));
    }
    Ok(app)
}
