//! Connections to PostgreSQL, ours or the one of `DATABASE_URL`.

use anyhow::{Context, Result, bail};
use tokio_postgres::{Client, NoTls};
use url::Url;

/// Connects; the connection is driven by a task and ends with the client.
///
/// # Errors
/// The server cannot be reached; the sentence names it without the password.
pub async fn connect(url: &str) -> Result<Client> {
    let place = outbound_host(url)?;
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .with_context(|| format!("cannot connect to {place}"))?;
    tokio::spawn(connection);
    Ok(client)
}

/// `postgres://host:port`: how an allow-list names the server of a connection string.
pub(crate) fn outbound_host(url: &str) -> Result<String> {
    let Ok(url) = Url::parse(url) else {
        bail!("the database's address is not a URL such as postgres://user:password@host:5432/name")
    };
    let (Some(host), "postgres" | "postgresql") = (url.host_str(), url.scheme()) else {
        bail!("the database's address has to begin with postgres:// and name a host")
    };
    Ok(format!("postgres://{host}:{}", url.port().unwrap_or(5432)))
}

/// The same address with a time limit on statements, for the components: a query that hangs holds
/// one of their 64 connections.
pub(crate) fn with_statement_timeout(url: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options=-c%20statement_timeout%3D30000")
}

/// Brings the database up to date and gives it the default buckets; returns all buckets' names.
pub(crate) async fn prepare(url: &str) -> Result<Vec<String>> {
    let mut client = connect(url).await?;
    holdfast_migrations::migrate(&mut client).await.context("the migration failed")?;
    holdfast_migrations::seed(&mut client).await.context("the default buckets were not created")?;
    let rows = client
        .query("SELECT name FROM holdfast.bucket WHERE state = 'active' ORDER BY name", &[])
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outbound_hosts() {
        let host = |url| outbound_host(url).unwrap();
        assert_eq!(host("postgres://u:p@db.example/n"), "postgres://db.example:5432");
        assert_eq!(host("postgresql://127.0.0.1:5433/n?a=b"), "postgres://127.0.0.1:5433");
        let error = outbound_host("mysql://u:secret@db/n").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn the_statement_timeout_reaches_the_server_settings() {
        for url in ["postgres://u:p@h/n", "postgres://u:p@h/n?sslmode=disable"] {
            let config: tokio_postgres::Config = with_statement_timeout(url).parse().unwrap();
            assert_eq!(config.get_options(), Some("-c statement_timeout=30000"));
        }
    }
}
