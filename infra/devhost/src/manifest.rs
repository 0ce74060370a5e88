//! `spin.toml`, manifest version 2: what this host runs, and nothing that it would have to ignore.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A manifest. An unknown key is an error that names it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    spin_manifest_version: u32,
    pub(crate) application: Application,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, Variable>,
    trigger: Triggers,
    pub(crate) component: BTreeMap<String, Component>,
    /// Where relative sources start: the manifest's folder.
    #[serde(skip)]
    folder: PathBuf,
}

/// `[application]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Application {
    pub(crate) name: String,
    #[serde(default, rename = "version")]
    _version: IgnoredAnyDefault,
    #[serde(default, rename = "description")]
    _description: IgnoredAnyDefault,
    #[serde(default, rename = "authors")]
    _authors: IgnoredAnyDefault,
    #[serde(default, rename = "targets")]
    _targets: IgnoredAnyDefault,
    #[serde(default, rename = "tool")]
    _tool: IgnoredAnyDefault,
}

/// `[variables]`: one application variable.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    #[serde(default)]
    pub(crate) required: bool,
    pub(crate) default: Option<String>,
    #[serde(default, rename = "secret")]
    _secret: bool,
    #[serde(default, rename = "description")]
    _description: IgnoredAnyDefault,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Triggers {
    http: Vec<RawTrigger>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrigger {
    #[serde(default, rename = "id")]
    _id: IgnoredAnyDefault,
    component: toml::Value,
    route: toml::Value,
}

/// `[component.ID]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Component {
    source: toml::Value,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub(crate) key_value_stores: Vec<String>,
    #[serde(default, rename = "description")]
    _description: IgnoredAnyDefault,
    #[serde(default, rename = "build")]
    _build: IgnoredAnyDefault,
    #[serde(default, rename = "targets")]
    _targets: IgnoredAnyDefault,
    #[serde(default, rename = "tool")]
    _tool: IgnoredAnyDefault,
    #[serde(default, rename = "profile")]
    _profile: IgnoredAnyDefault,
}

/// Any value, or none: keys that matter to Spin's other commands only.
#[derive(Debug, Default)]
struct IgnoredAnyDefault;

impl<'de> Deserialize<'de> for IgnoredAnyDefault {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// One reachable HTTP route. Private ones are left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) pattern: String,
    pub(crate) component: String,
}

impl Manifest {
    /// Reads and checks the manifest at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the manifest {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self::parse(&text, folder).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str, folder: PathBuf) -> Result<Self> {
        let mut manifest: Self = toml::from_str(text)?;
        manifest.folder = folder;
        if manifest.spin_manifest_version != 2 {
            bail!("spin_manifest_version must be 2, not {}", manifest.spin_manifest_version);
        }
        manifest.routes()?;
        for component in manifest.component.keys() {
            manifest.source(component)?;
        }
        Ok(manifest)
    }

    /// The public routes, in the manifest's order.
    pub(crate) fn routes(&self) -> Result<Vec<Route>> {
        let mut routes = Vec::new();
        for trigger in &self.trigger.http {
            let toml::Value::String(component) = &trigger.component else {
                bail!("a trigger must name its component: holdfast-devhost takes no inline ones");
            };
            if !self.component.contains_key(component) {
                bail!("a trigger names component {component:?}, which the manifest does not have");
            }
            if let Some(pattern) = public_route(&trigger.route, component)? {
                routes.push(Route { pattern, component: component.clone() });
            }
        }
        Ok(routes)
    }

    /// The file of a component's code.
    pub(crate) fn source(&self, component: &str) -> Result<PathBuf> {
        match self.component.get(component).map(|component| &component.source) {
            Some(toml::Value::String(source)) => Ok(self.folder.join(source)),
            _ => bail!("component {component:?}: holdfast-devhost takes a file as `source` only"),
        }
    }
}

fn public_route(route: &toml::Value, component: &str) -> Result<Option<String>> {
    match route {
        toml::Value::String(pattern) => Ok(Some(pattern.clone())),
        toml::Value::Table(table)
            if table.len() == 1 && table.get("private") == Some(&toml::Value::Boolean(true)) =>
        {
            Ok(None)
        }
        _ => bail!("component {component:?}: route must be a string or {{ private = true }}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "a"
        version = "1.0.0"
        [[trigger.http]]
        route = "/x/..."
        component = "x"
        [[trigger.http]]
        route = { private = true }
        component = "x"
        [component.x]
        source = "x.wasm"
    "#;

    fn parse(text: &str) -> Result<Manifest> {
        Manifest::parse(text, PathBuf::from("/app"))
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", parse(text).unwrap_err())
    }

    #[test]
    fn a_small_manifest_has_its_public_routes_and_sources() {
        let manifest = parse(SMALL).unwrap();
        let routes = manifest.routes().unwrap();
        assert_eq!(routes, [Route { pattern: "/x/...".into(), component: "x".into() }]);
        assert_eq!(manifest.source("x").unwrap(), Path::new("/app/x.wasm"));
    }

    #[test]
    fn build_targets_tool_and_profile_are_accepted() {
        let text = format!(
            "{SMALL}\n[component.x.build]\ncommand = \"c\"\nwatch = []\n[component.x.tool.y]\nz = 1\n\
             [component.x.profile.debug]\nsource = \"d\"\n[component.x.targets]\nq = 1"
        );
        parse(&text).unwrap();
    }

    #[test]
    fn an_unknown_key_is_named() {
        for (extra, key) in [
            ("sqlite_databases = [\"default\"]", "sqlite_databases"),
            ("files = []", "files"),
            ("alowed_outbound_hosts = []", "alowed_outbound_hosts"),
        ] {
            let text = format!("{SMALL}\n{extra}");
            assert!(refusal(&text).contains(key), "{}", refusal(&text));
        }
        assert!(refusal(&format!("surprise = 1\n{SMALL}")).contains("surprise"));
    }

    #[test]
    fn another_manifest_version_is_refused() {
        assert!(refusal(&SMALL.replace("= 2", "= 1")).contains("must be 2"));
    }

    #[test]
    fn a_trigger_of_an_unknown_component_is_refused() {
        let text = SMALL.replace("component = \"x\"", "component = \"y\"");
        assert!(refusal(&text).contains("\"y\""));
    }

    #[test]
    fn a_static_response_is_refused_by_name() {
        let text = SMALL.replace("component = \"x\"", "static_response = { status_code = 200 }");
        assert!(refusal(&text).contains("static_response"), "{}", refusal(&text));
    }

    #[test]
    fn a_public_route_must_not_be_written_as_a_table() {
        assert!(
            refusal(&SMALL.replace("private = true", "private = false")).contains("route must")
        );
    }
}
