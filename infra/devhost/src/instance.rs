//! Instances and their reuse: 128 requests, 16 at once, gone after a second without work, as Spin.

use crate::component::Component;
use crate::outbound::Outbound;
use crate::wasi;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use wasmtime::Store;
use wasmtime::StoreContextMut;
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// How instances are reused. One for the whole process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reuse {
    /// Requests an instance serves in its life.
    pub(crate) max_requests: usize,
    /// Requests an instance serves at one time.
    pub(crate) max_concurrent: usize,
    /// How long an instance without work lives.
    pub(crate) idle_timeout: Duration,
    /// How long a request may take to answer.
    pub(crate) request_timeout: Option<Duration>,
}

/// What a store holds beside the guest: host state of one instance.
pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
    pub(crate) table: ResourceTable,
    pub(crate) component: Arc<Component>,
    pub(crate) open_stores: usize,
}

impl State {
    fn new(component: Arc<Component>) -> Self {
        Self {
            wasi: wasi::context(&component),
            http: WasiHttpCtx::new(),
            outbound: Outbound::new(Arc::clone(&component)),
            table: ResourceTable::new(),
            component,
            open_stores: 0,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outbound }
    }
}

/// Makes instances of one component.
pub(crate) struct Instances {
    pub(crate) pre: ProxyPre<State>,
    pub(crate) component: Arc<Component>,
    pub(crate) reuse: Reuse,
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let ProxyPre::P3(pre) = &self.pre;
        let state = State::new(Arc::clone(&self.component));
        let mut store = Store::new(pre.engine(), state);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        tracing::debug!(component = self.component.id, "instance started");
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Expiration::new(self.reuse),
            state: Worker { reuse: self.reuse, component: Arc::clone(&self.component) },
        })
    }
}

/// Decides what one instance takes on, and hears how it ended.
pub(crate) struct Worker {
    reuse: Reuse,
    component: Arc<Component>,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.reuse.max_requests {
            ShouldAccept::Never
        } else if concurrent >= self.reuse.max_concurrent {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, State>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        match self.reuse.request_timeout {
            Some(timeout) => Box::pin(tokio::time::sleep(timeout)),
            None => Box::pin(std::future::pending()),
        }
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        drop(store);
        if let Err(error) = result {
            tracing::error!(component = self.component.id, error = ?error, "instance trapped");
        }
    }
}

/// Ends an instance that is idle too long, or whose requests all ran out of time.
pub(crate) struct Expiration {
    reuse: Reuse,
    timer: Pin<Box<Sleep>>,
}

impl Expiration {
    fn new(reuse: Reuse) -> Self {
        Self { reuse, timer: Box::pin(tokio::time::sleep(reuse.idle_timeout)) }
    }
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => Some(self.reuse.idle_timeout),
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.reuse.request_timeout,
        };
        let Some(limit) = limit else { return Poll::Pending };
        let deadline = tokio::time::Instant::from_std(start + limit);
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(cx)
    }
}
