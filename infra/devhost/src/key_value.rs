//! `spin:key-value@3.0.0` over one file. No atomics, as portable Spin code has none.

use crate::bindings::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};
use crate::component::Has;
use crate::instance::State;
use crate::streams::{End, Items};
use anyhow::{Context as _, Result};
use redb::{Database, ReadableDatabase as _, TableDefinition};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use wasmtime::Result as HostResult;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

/// The one store that exists without configuration.
pub(crate) const DEFAULT_LABEL: &str = "default";
/// Stores an instance may have open.
const MAX_OPEN_STORES: usize = 256;

/// Values by label and key.
const VALUES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("values");

/// The file of all stores.
#[derive(Clone)]
pub(crate) struct KeyValue(Arc<Database>);

/// A store that a guest has open.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct OpenStore {
    label: Arc<str>,
    file: KeyValue,
}

impl KeyValue {
    /// Opens the file, which one process at a time may do.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let database = Database::create(path).with_context(|| {
            format!("cannot open {}: does another host use this state folder?", path.display())
        })?;
        let transaction = database.begin_write()?;
        transaction.open_table(VALUES)?;
        transaction.commit()?;
        Ok(Self(Arc::new(database)))
    }
}

/// What one store can do. Each call is one transaction, on a thread that may block.
impl OpenStore {
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&str, &Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = tokio::task::spawn_blocking(move || work(&self.label, &self.file.0)).await;
        match done {
            Ok(result) => result.map_err(|error| Error::Other(error.to_string())),
            Err(error) => Err(Error::Other(error.to_string())),
        }
    }

    async fn get(self, key: String) -> Result<Option<Vec<u8>>, Error> {
        self.run(move |label, database| {
            let table = database.begin_read()?.open_table(VALUES)?;
            Ok(table.get((label, key.as_str()))?.map(|value| value.value().to_vec()))
        })
        .await
    }

    async fn set(self, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.run(move |label, database| {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(VALUES)?;
            table.insert((label, key.as_str()), value.as_slice())?;
            drop(table);
            Ok(transaction.commit()?)
        })
        .await
    }

    async fn delete(self, key: String) -> Result<(), Error> {
        self.run(move |label, database| {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(VALUES)?;
            table.remove((label, key.as_str()))?;
            drop(table);
            Ok(transaction.commit()?)
        })
        .await
    }

    async fn keys(self) -> Result<Vec<String>, Error> {
        self.run(|label, database| {
            let table = database.begin_read()?.open_table(VALUES)?;
            let mut keys = Vec::new();
            for entry in table.range((label, "")..)? {
                let (key, _) = entry?;
                let (of, key) = key.value();
                if of != label {
                    break;
                }
                keys.push(key.to_owned());
            }
            Ok(keys)
        })
        .await
    }
}

impl State {
    fn open_store(&mut self, label: &str) -> HostResult<Result<Resource<OpenStore>, Error>> {
        if !self.component.stores.iter().any(|granted| granted == label) {
            return Ok(Err(Error::AccessDenied));
        }
        if self.open_stores == MAX_OPEN_STORES {
            return Ok(Err(Error::StoreTableFull));
        }
        self.open_stores += 1;
        let file = self.component.key_value.clone();
        Ok(Ok(self.table.push(OpenStore { label: label.into(), file })?))
    }
}

impl Host for State {}

impl HostStore for State {
    fn drop(&mut self, store: Resource<OpenStore>) -> HostResult<()> {
        self.open_stores -= 1;
        self.table.delete(store)?;
        Ok(())
    }
}

fn store<T>(accessor: &Accessor<T, Has>, store: &Resource<OpenStore>) -> HostResult<OpenStore> {
    accessor.with(|mut access| Ok(access.get().table.get(store)?.clone()))
}

type Keys = (StreamReader<String>, FutureReader<Result<(), Error>>);

impl<T: Send> HostStoreWithStore<T> for Has {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> HostResult<Result<Resource<OpenStore>, Error>> {
        accessor.with(|mut access| access.get().open_store(&label))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        resource: Resource<OpenStore>,
        key: String,
    ) -> HostResult<Result<Option<Vec<u8>>, Error>> {
        Ok(store(accessor, &resource)?.get(key).await)
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        resource: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> HostResult<Result<(), Error>> {
        Ok(store(accessor, &resource)?.set(key, value).await)
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        resource: Resource<OpenStore>,
        key: String,
    ) -> HostResult<Result<(), Error>> {
        Ok(store(accessor, &resource)?.delete(key).await)
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        resource: Resource<OpenStore>,
        key: String,
    ) -> HostResult<Result<bool, Error>> {
        Ok(store(accessor, &resource)?.get(key).await.map(|value| value.is_some()))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        resource: Resource<OpenStore>,
    ) -> HostResult<Keys> {
        let found = store(accessor, &resource)?.keys().await;
        let (keys_tx, keys_rx) = mpsc::channel(1);
        let (end_tx, end_rx) = oneshot::channel();
        tokio::spawn(async move {
            let end = match found {
                Ok(keys) => {
                    for key in keys {
                        if keys_tx.send(key).await.is_err() {
                            break;
                        }
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            };
            drop(keys_tx);
            let _ = end_tx.send(end);
        });
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, Items(keys_rx))?;
            let end = FutureReader::new(&mut access, End(end_rx))?;
            Ok((keys, end))
        })
    }
}
