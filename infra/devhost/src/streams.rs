//! Host data as a component's `stream` and `future`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot};
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, FutureProducer, StreamProducer, StreamResult};

/// A `stream` of what comes through a channel, one item at a time.
pub(crate) struct Items<T>(pub(crate) mpsc::Receiver<T>);

impl<D, T: Send + Sync + 'static> StreamProducer<D> for Items<T> {
    type Item = T;
    type Buffer = Option<T>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'a, D>,
        mut destination: Destination<'a, T, Option<T>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        match self.0.poll_recv(cx) {
            Poll::Ready(Some(item)) => {
                destination.set_buffer(Some(item));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(None) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A `future` of what a channel delivers once.
pub(crate) struct End<T>(pub(crate) oneshot::Receiver<T>);

impl<D, T: Send + 'static> FutureProducer<D> for End<T> {
    type Item = T;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<D>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<T>>> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Pending if finish => Poll::Ready(Ok(None)),
            pending_or_ready => {
                let value = ready!(pending_or_ready);
                Poll::Ready(value.map(Some).map_err(wasmtime::Error::from))
            }
        }
    }
}
