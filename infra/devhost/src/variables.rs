//! Application variables, and the templates that give components theirs.

use crate::manifest::Variable;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::fmt;

/// Prefix of the environment's provider, as in Spin.
const ENVIRONMENT_PREFIX: &str = "SPIN_VARIABLE_";

/// Values of `[variables]`. `Debug` shows names only: half of them are secrets.
#[derive(Clone)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Variables {
    /// Finds a value for each declared variable: environment, then `given`, then the default.
    pub(crate) fn resolve(
        declared: &BTreeMap<String, Variable>,
        given: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        if let Some(unknown) = given.keys().find(|name| !declared.contains_key(*name)) {
            bail!("--variable {unknown}: the manifest declares no such variable");
        }
        let mut values = BTreeMap::new();
        for (name, variable) in declared {
            check_name(name)?;
            if !variable.required && variable.default.is_none() {
                bail!("variable {name}: it needs `required = true` or a `default`");
            }
            let key = format!("{ENVIRONMENT_PREFIX}{}", name.to_ascii_uppercase());
            let value = environment(&key)
                .or_else(|| given.get(name).cloned())
                .or_else(|| variable.default.clone());
            let Some(value) = value else {
                bail!("variable {name} is required: set {key} or give --variable {name}=VALUE");
            };
            values.insert(name.clone(), value);
        }
        Ok(Self(values))
    }

    /// Fills `{{ name }}` in `template`.
    pub(crate) fn expand(&self, template: &str) -> Result<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").context("a `{{` has no `}}`")?;
            let name = name.trim();
            let value = self.0.get(name);
            text.push_str(before);
            text.push_str(value.with_context(|| format!("no variable is called {name:?}"))?);
            rest = after;
        }
        text.push_str(rest);
        Ok(text)
    }

    /// Fills the templates of one component's variables.
    pub(crate) fn component(&self, templates: &BTreeMap<String, String>) -> Result<Self> {
        let mut values = BTreeMap::new();
        for (name, template) in templates {
            check_name(name)?;
            let value = self.expand(template).with_context(|| format!("variable {name}"))?;
            values.insert(name.clone(), value);
        }
        Ok(Self(values))
    }

    /// The value of `name`, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Whether an entry needs variables to be complete.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// Checks Spin's rule: a lower-case letter first, then letters, digits and single underscores.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let good = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
        && !name.ends_with('_');
    if !good {
        bail!("{name:?} is no variable name: lower-case letters, digits and single underscores");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    fn declared() -> BTreeMap<String, Variable> {
        toml::from_str(
            "must = { required = true, secret = true }\nmay = { default = \"standard\" }",
        )
        .unwrap()
    }

    fn resolve(given: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Variables> {
        let environment = map(environment);
        Variables::resolve(&declared(), &map(given), |key| environment.get(key).cloned())
    }

    #[test]
    fn the_environment_comes_before_the_command_line_and_that_before_the_default() {
        let variables = resolve(&[("must", "flag")], &[]).unwrap();
        assert_eq!(variables.get("must"), Some("flag"));
        assert_eq!(variables.get("may"), Some("standard"));
        let variables = resolve(&[("must", "flag")], &[("SPIN_VARIABLE_MUST", "env")]).unwrap();
        assert_eq!(variables.get("must"), Some("env"));
    }

    #[test]
    fn a_required_variable_without_a_value_is_named() {
        let error = resolve(&[], &[]).unwrap_err().to_string();
        assert!(error.contains("SPIN_VARIABLE_MUST"), "{error}");
    }

    #[test]
    fn an_undeclared_variable_is_refused() {
        let error = resolve(&[("must", ""), ("mist", "")], &[]).unwrap_err().to_string();
        assert!(error.contains("mist"), "{error}");
    }

    #[test]
    fn templates_are_filled() {
        let variables = resolve(&[("must", "m")], &[]).unwrap();
        assert_eq!(variables.expand("a{{ must }}b{{may}}c").unwrap(), "ambstandardc");
        assert_eq!(variables.expand("plain").unwrap(), "plain");
        assert!(variables.expand("{{ none }}").is_err());
        assert!(variables.expand("{{ must").is_err());
    }

    #[test]
    fn a_component_sees_its_own_names_only() {
        let variables = resolve(&[("must", "m")], &[]).unwrap();
        let component = variables.component(&map(&[("url", "http://{{ must }}")])).unwrap();
        assert_eq!(component.get("url"), Some("http://m"));
        assert_eq!(component.get("must"), None);
    }

    #[test]
    fn debug_shows_no_value() {
        let variables = resolve(&[("must", "hunter2")], &[]).unwrap();
        let text = format!("{variables:?}");
        assert!(text.contains("must") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn names_follow_the_rule_of_spin() {
        for name in ["a", "a_b", "a1_2"] {
            check_name(name).unwrap();
        }
        for name in ["", "_a", "a__b", "a_", "A", "a-b", "1a"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
