//! A TCP proxy that breaks connections: the bad link of the harness.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::rng::Rng;

/// One read of the proxy, in bytes.
const BUFFER_BYTES: usize = 16 * 1_024;
/// A doomed connection dies before it has moved this much, in bytes.
const DOOMED_BYTES: u64 = 512 * 1_024;
/// And at the latest after this, in milliseconds: one that carries nothing dies too.
const DOOMED_MILLIS: u64 = 400;

/// A listener on loopback whose connections lead to one server.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    resets_half: AtomicBool,
    orders: watch::Sender<Order>,
    rng: Mutex<Rng>,
    connections: AtomicU64,
    resets: AtomicU64,
}

/// What open connections are told; the number makes each order a new one.
#[derive(Clone, Copy, Debug)]
struct Order {
    number: u64,
    all: bool,
}

impl Link {
    /// A link to `127.0.0.1:port` that breaks nothing yet.
    pub(crate) async fn to(port: u16, rng: Rng) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            resets_half: AtomicBool::new(false),
            orders: watch::Sender::new(Order { number: 0, all: false }),
            rng: Mutex::new(rng),
            connections: AtomicU64::new(0),
            resets: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on half of the connections, those that are open too, are reset somewhere on their way.
    pub(crate) fn break_half(&self) {
        self.shared.resets_half.store(true, Ordering::SeqCst);
        self.order(false);
    }

    /// New connections stay whole again.
    pub(crate) fn mend(&self) {
        self.shared.resets_half.store(false, Ordering::SeqCst);
    }

    /// Resets every open connection, now.
    pub(crate) fn reset_all(&self) {
        self.order(true);
    }

    /// How many connections there were, and how many of them were reset.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (load(&self.shared.connections), load(&self.shared.resets))
    }

    fn order(&self, all: bool) {
        self.shared.orders.send_modify(|order| *order = Order { number: order.number + 1, all });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When a connection dies.
#[derive(Clone, Copy)]
struct Doom {
    bytes: u64,
    after: Duration,
}

impl Shared {
    /// Half of the connections get one.
    fn doom(&self) -> Option<Doom> {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.percent(50)
            .then(|| Doom { bytes: rng.log(1..DOOMED_BYTES), after: rng.millis(0..DOOMED_MILLIS) })
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(stream, Arc::clone(&shared)));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Carries one connection to its end, which may be ours to choose.
async fn carry(mut client: TcpStream, shared: Arc<Shared>) {
    let mut orders = shared.orders.subscribe();
    let doom = shared.resets_half.load(Ordering::SeqCst).then(|| shared.doom()).flatten();
    let Ok(mut server) = TcpStream::connect(shared.target).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let moved = AtomicU64::new(0);
    let limit = AtomicU64::new(doom.map_or(u64::MAX, |doom| doom.bytes));
    let whole = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            tokio::try_join!(
                pump(from_client, to_server, &moved, &limit),
                pump(from_server, to_client, &moved, &limit),
            )
        };
        tokio::select! {
            result = both => result.is_ok(),
            () = death(&shared, doom, &mut orders) => false,
        }
    };
    if !whole {
        shared.resets.fetch_add(1, Ordering::SeqCst);
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// Returns when the connection has to die, whatever it carries.
async fn death(shared: &Shared, mut doom: Option<Doom>, orders: &mut watch::Receiver<Order>) {
    loop {
        let timer = async {
            match doom {
                Some(doom) => tokio::time::sleep(doom.after).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer => return,
            changed = orders.changed() => {
                if changed.is_err() || orders.borrow_and_update().all {
                    return;
                }
                doom = doom.or_else(|| shared.doom());
            }
        }
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    moved: &AtomicU64,
    limit: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let before = moved.fetch_add(count as u64, Ordering::Relaxed);
        let room = limit.load(Ordering::Relaxed).saturating_sub(before);
        let count = count.min(usize::try_from(room).unwrap_or(usize::MAX));
        to.write_all(&buffer[..count]).await?;
        if room <= count as u64 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        port
    }

    async fn echoes(link: &Link, bytes: usize) -> io::Result<()> {
        let mut stream = TcpStream::connect(link.address()).await?;
        let sent = vec![7; bytes];
        let (mut read, mut write) = stream.split();
        let mut back = vec![0; bytes];
        tokio::try_join!(async { write.write_all(&sent).await }, async {
            read.read_exact(&mut back).await
        })?;
        assert_eq!(sent, back);
        Ok(())
    }

    #[tokio::test]
    async fn a_whole_link_breaks_nothing_and_a_bad_one_about_half() {
        let link = Link::to(echo().await, Rng::new(1)).await.unwrap();
        for _ in 0..20 {
            echoes(&link, 300_000).await.unwrap();
        }
        assert_eq!(link.counts().1, 0);
        link.break_half();
        let mut broken = 0;
        for _ in 0..60 {
            broken += u32::from(echoes(&link, 300_000).await.is_err());
        }
        assert!((15..=45).contains(&broken), "{broken}");
        link.mend();
        for _ in 0..20 {
            echoes(&link, 300_000).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_order_resets_what_is_open() {
        let link = Link::to(echo().await, Rng::new(1)).await.unwrap();
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        link.reset_all();
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
