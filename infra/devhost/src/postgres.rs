//! `spin:postgres@4.2.0`, with the driver, the pool and the limits of Spin.
//!
//! A pool of 64 connections for each component and address, without a limit on waiting for one;
//! connections are reset when they come back; statements are prepared anew each time. TLS, NUMERIC,
//! ranges and intervals are left out: a query that needs them fails and says so.

mod convert;
mod errors;
mod query;

use crate::bindings::spin::postgres::postgres::{
    Column, Error, Host, HostConnection, HostConnectionBuilder, HostConnectionBuilderWithStore,
    HostConnectionWithStore, ParameterValue, Row, RowSet,
};
use crate::component::{Component, Has};
use crate::instance::State;
use crate::streams::{End, Items};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_postgres::NoTls;
use tokio_postgres::config::Host as Server;
use wasmtime::Result as HostResult;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

/// Connections of one component to one address.
const POOL_SIZE: usize = 64;

/// The pools of one component, by connection string.
#[derive(Default)]
pub(crate) struct Pools(Mutex<HashMap<String, Pool>>);

/// An open connection: it goes back to its pool when the guest and its last query let go of it.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub type Connection = Arc<Object>;

/// An address that is not yet connected to.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ConnectionBuilder(String);

impl Pools {
    #[expect(clippy::result_large_err, reason = "the generated error is this large")]
    fn pool(&self, address: &str) -> Result<Pool, Error> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(address) {
            return Ok(pool.clone());
        }
        let config = address.parse().map_err(errors::connection_failed)?;
        let manager = Manager::from_config(
            config,
            NoTls,
            ManagerConfig { recycling_method: RecyclingMethod::Clean },
        );
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            .build()
            .map_err(errors::connection_failed)?;
        pools.insert(address.to_owned(), pool.clone());
        Ok(pool)
    }
}

/// Opens a connection, waiting for one without a limit when all 64 are taken.
async fn connect(component: &Component, address: &str) -> Result<Connection, Error> {
    if !allowed(component, address) {
        tracing::error!(
            component = component.id,
            "PostgreSQL denied: allowed_outbound_hosts does not list its address"
        );
        // Spin repeats the address here, password included.
        return Err(Error::ConnectionFailed("address is not permitted".to_owned()));
    }
    let connection = component.pools.pool(address)?.get().await;
    connection.map(Arc::new).map_err(errors::connection_failed)
}

fn allowed(component: &Component, address: &str) -> bool {
    let Ok(config) = address.parse::<tokio_postgres::Config>() else { return false };
    let ports = config.get_ports();
    config.get_hosts().iter().enumerate().all(|(n, host)| {
        let port = ports.get(n).or(if ports.len() == 1 { ports.first() } else { None });
        match host {
            Server::Tcp(name) => component.allow_list.allows("postgres", name, port.copied()),
            Server::Unix(_) => false,
        }
    })
}

impl State {
    fn connection(&self, connection: &Resource<Connection>) -> HostResult<Connection> {
        Ok(Arc::clone(self.table.get(connection)?))
    }

    async fn open_connection(
        &mut self,
        address: &str,
    ) -> HostResult<Result<Resource<Connection>, Error>> {
        let component = Arc::clone(&self.component);
        Ok(match connect(&component, address).await {
            Ok(connection) => Ok(self.table.push(connection)?),
            Err(error) => Err(error),
        })
    }
}

impl Host for State {}

impl HostConnection for State {
    async fn open(&mut self, address: String) -> HostResult<Result<Resource<Connection>, Error>> {
        self.open_connection(&address).await
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> HostResult<Result<RowSet, Error>> {
        let connection = self.connection(&connection)?;
        Ok(query::rows(&connection, &statement, params).await)
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> HostResult<Result<u64, Error>> {
        let connection = self.connection(&connection)?;
        Ok(query::execute(&connection, &statement, params).await)
    }

    fn drop(&mut self, connection: Resource<Connection>) -> HostResult<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

type Streamed = (Vec<Column>, StreamReader<Row>, FutureReader<Result<(), Error>>);

async fn open_async<T>(
    accessor: &Accessor<T, Has>,
    address: String,
) -> HostResult<Result<Resource<Connection>, Error>> {
    let component = accessor.with(|mut access| Arc::clone(&access.get().component));
    match connect(&component, &address).await {
        Ok(connection) => {
            accessor.with(|mut access| Ok(Ok(access.get().table.push(connection)?)))
        }
        Err(error) => Ok(Err(error)),
    }
}

impl<T: Send> HostConnectionWithStore<T> for Has {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        address: String,
    ) -> HostResult<Result<Resource<Connection>, Error>> {
        open_async(accessor, address).await
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> HostResult<Result<Streamed, Error>> {
        let connection = accessor.with(|mut access| access.get().connection(&connection))?;
        let started = query::stream(connection, &statement, params).await;
        let query::Started { columns, rows, end } = match started {
            Ok(started) => started,
            Err(error) => return Ok(Err(error)),
        };
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, Items(rows))?;
            let end = FutureReader::new(&mut access, End(end))?;
            Ok(Ok((columns, rows, end)))
        })
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> HostResult<Result<u64, Error>> {
        let connection = accessor.with(|mut access| access.get().connection(&connection))?;
        Ok(query::execute(&connection, &statement, params).await)
    }
}

impl HostConnectionBuilder for State {
    fn new(&mut self, address: String) -> HostResult<Resource<ConnectionBuilder>> {
        Ok(self.table.push(ConnectionBuilder(address))?)
    }

    fn set_ca_root(
        &mut self,
        _: Resource<ConnectionBuilder>,
        _: String,
    ) -> HostResult<Result<(), Error>> {
        Ok(Err(Error::Other("holdfast-devhost speaks no TLS to PostgreSQL".to_owned())))
    }

    async fn build(
        &mut self,
        builder: Resource<ConnectionBuilder>,
    ) -> HostResult<Result<Resource<Connection>, Error>> {
        let address = self.table.get(&builder)?.0.clone();
        self.open_connection(&address).await
    }

    fn drop(&mut self, builder: Resource<ConnectionBuilder>) -> HostResult<()> {
        self.table.delete(builder)?;
        Ok(())
    }
}

impl<T: Send> HostConnectionBuilderWithStore<T> for Has {
    async fn build_async(
        accessor: &Accessor<T, Self>,
        builder: Resource<ConnectionBuilder>,
    ) -> HostResult<Result<Resource<Connection>, Error>> {
        let address = accessor
            .with(|mut access| wasmtime::error::Ok(access.get().table.get(&builder)?.0.clone()))?;
        open_async(accessor, address).await
    }
}
