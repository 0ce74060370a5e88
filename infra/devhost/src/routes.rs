//! Routing by path, and the `spin-*` headers that tell the component what matched.
//!
//! It uses the crate that Spin uses, so that precedence is the same: an exact path beats `:name`
//! beats a wildcard, and the longest prefix wins.

use crate::manifest::Route;
use anyhow::{Context as _, Result, anyhow};
use routefinder::{RouteSpec, Router};

/// The table of public routes.
pub(crate) struct Routes(Router<Route>);

/// What matched a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Match<'a> {
    pub(crate) component: &'a str,
    /// The route as the manifest has it.
    pub(crate) route: &'a str,
    /// What the tail wildcard stands for: `""`, `/`, `/x` or `/x/`.
    pub(crate) path_info: String,
    /// Values of `:name` segments.
    pub(crate) named: Vec<(String, String)>,
}

impl Routes {
    /// Builds the table. Of equal routes the later one wins, and the loss is logged.
    pub(crate) fn new(routes: Vec<Route>) -> Result<Self> {
        let mut unique: Vec<Route> = Vec::new();
        for route in routes {
            if let Some(earlier) = unique.iter_mut().find(|r| r.pattern == route.pattern) {
                tracing::error!(
                    route = route.pattern,
                    replaced = earlier.component,
                    effective = route.component,
                    "two components have the same route"
                );
                *earlier = route;
            } else {
                unique.push(route);
            }
        }
        let mut router = Router::new();
        for route in unique {
            let spec = specification(&route.pattern)
                .with_context(|| format!("route {:?}", route.pattern))?;
            router.add(spec, route).map_err(|error| anyhow!("{error}"))?;
        }
        Ok(Self(router))
    }

    /// Finds the component for `path`.
    pub(crate) fn find(&self, path: &str) -> Option<Match<'_>> {
        let best = self.0.best_match(path)?;
        let captures = best.captures();
        let path_info = captures.wildcard().map_or_else(String::new, |tail| path_info(tail, path));
        let named = captures.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let route = best.handler();
        Some(Match { component: &route.component, route: &route.pattern, path_info, named })
    }
}

impl Match<'_> {
    /// The headers that Spin appends, without the client's address.
    pub(crate) fn headers(&self, full_url: &str) -> Vec<(String, String)> {
        let prefix = self.route.strip_suffix("/...").unwrap_or(self.route);
        let mut headers = vec![
            ("spin-path-info".to_owned(), self.path_info.clone()),
            ("spin-full-url".to_owned(), full_url.to_owned()),
            ("spin-matched-route".to_owned(), based(self.route)),
            ("spin-base-path".to_owned(), "/".to_owned()),
            ("spin-raw-component-route".to_owned(), self.route.to_owned()),
            ("spin-component-route".to_owned(), prefix.to_owned()),
        ];
        for (name, value) in &self.named {
            headers.push((format!("spin-path-match-{name}"), value.clone()));
        }
        headers
    }
}

/// Spin's form of a route under the base path `/`: with one slash in front, without one at its end.
fn based(pattern: &str) -> String {
    let pattern = format!("/{}", pattern.strip_prefix('/').unwrap_or(pattern));
    pattern.strip_suffix('/').unwrap_or(&pattern).to_owned()
}

fn specification(pattern: &str) -> Result<RouteSpec> {
    let based = based(pattern);
    let spec = match based.strip_suffix("/...") {
        Some(prefix) => format!("{prefix}/*"),
        None => based,
    };
    spec.as_str().try_into().map_err(|error: String| anyhow!(error))
}

/// Spin keeps the slashes that the router drops.
fn path_info(tail: &str, path: &str) -> String {
    match (tail.is_empty(), path.ends_with('/')) {
        (true, false) => String::new(),
        (true, true) => "/".to_owned(),
        (false, false) => format!("/{tail}"),
        (false, true) => format!("/{tail}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(patterns: &[&str]) -> Routes {
        let routes = patterns
            .iter()
            .enumerate()
            .map(|(n, &pattern)| Route { pattern: pattern.into(), component: format!("c{n}") })
            .collect();
        Routes::new(routes).unwrap()
    }

    fn component(routes: &Routes, path: &str) -> Option<String> {
        routes.find(path).map(|found| found.component.to_owned())
    }

    #[test]
    fn exact_beats_name_beats_wildcard_and_the_longest_prefix_wins() {
        let table = routes(&["/...", "/a/...", "/a/b", "/a/:x/c", "/a/b/..."]);
        for (path, expected) in [
            ("/", "c0"),
            ("/z", "c0"),
            ("/a", "c1"),
            ("/a/", "c1"),
            ("/a/z", "c1"),
            ("/a/b", "c2"),
            ("/a/z/c", "c3"),
            ("/a/b/z", "c4"),
        ] {
            assert_eq!(component(&table, path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_path_that_no_route_covers_is_not_found() {
        let table = routes(&["/a/...", "/b"]);
        for path in ["/", "/ab", "/b/c"] {
            assert_eq!(component(&table, path), None, "{path}");
        }
    }

    #[test]
    fn the_tail_keeps_its_slashes_and_escapes() {
        let table = routes(&["/a/..."]);
        for (path, info) in
            [("/a", ""), ("/a/", "/"), ("/a/x", "/x"), ("/a/x/", "/x/"), ("/a/x%2Fy", "/x%2Fy")]
        {
            assert_eq!(table.find(path).unwrap().path_info, info, "{path}");
        }
    }

    #[test]
    fn of_equal_routes_the_later_one_wins() {
        assert_eq!(component(&routes(&["/a", "/a"]), "/a").as_deref(), Some("c1"));
    }

    #[test]
    fn headers_say_what_matched() {
        let table = routes(&["/t/:token/up/..."]);
        let headers = table.find("/t/abc/up/x").unwrap().headers("http://h/t/abc/up/x?q");
        let get = |name: &str| {
            headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(get("spin-path-info"), Some("/x"));
        assert_eq!(get("spin-full-url"), Some("http://h/t/abc/up/x?q"));
        assert_eq!(get("spin-matched-route"), Some("/t/:token/up/..."));
        assert_eq!(get("spin-component-route"), Some("/t/:token/up"));
        assert_eq!(get("spin-path-match-token"), Some("abc"));
        assert_eq!(get("spin-base-path"), Some("/"));
    }
}
