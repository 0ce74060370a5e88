//! `cargo xtask token`

use anyhow::Result;
use clap::Args;
use holdfast_dev::DevKeys;
use serde_json::{Value, json};

use crate::data::Data;
use crate::duration;

#[derive(Args)]
pub(crate) struct Token {
    /// Whose token it is
    #[arg(long)]
    sub: String,
    /// Restricts it, for example "upload download"; without: whatever the subject may do
    #[arg(long)]
    scope: Vec<String>,
    /// Adds a role; "admin" may do everything
    #[arg(long)]
    role: Vec<String>,
    /// How long it lives: 90s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = duration::seconds)]
    ttl: i64,
    #[command(flatten)]
    data: Data,
}

impl Token {
    pub(crate) fn run(self) -> Result<()> {
        let keys = DevKeys::load(&self.data.folder())?;
        println!("{}", keys.token(&self.sub, self.ttl, &self.claims()));
        Ok(())
    }

    fn claims(&self) -> Value {
        let scope = (!self.scope.is_empty()).then(|| self.scope.join(" "));
        let roles = (!self.role.is_empty()).then_some(&self.role);
        json!({ "scope": scope, "roles": roles })
    }
}
