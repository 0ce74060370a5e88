//! What would keep a browser at some origin from uploading: CORS here and at SeaweedFS, the hosts, the clocks.

use serde_json::{Value, json};

/// How far clocks may differ, in seconds: S3 refuses a signature that was made longer ago, or will be.
const MAX_SKEW_SECONDS: i64 = 900;

/// What was found out.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The page's origin, as its browser says: `https://app.example.org`.
    pub origin: String,
    /// Whether our own answers may be read there.
    pub allowed: bool,
    /// `public_url`.
    pub public_url: String,
    /// The host by which this request came.
    pub host: String,
    /// Where clients reach SeaweedFS: `https://host`.
    pub store_url: String,
    /// What SeaweedFS answers to that page's preflight; `None` if it did not answer.
    pub store: Option<Store>,
    /// Our time, in seconds of Unix time.
    pub now: i64,
    /// The page's time, in seconds of Unix time, if it told it.
    pub page_now: Option<i64>,
}

/// SeaweedFS's answer to a preflight for a PUT with a content type.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// Access-Control-Allow-Origin.
    pub allow_origin: String,
    /// Access-Control-Allow-Methods.
    pub allow_methods: String,
    /// Access-Control-Expose-Headers.
    pub expose: String,
    /// Its time, in seconds of Unix time, if it told it.
    pub now: Option<i64>,
}

impl Facts {
    /// The answer: each check with what to do where it fails.
    #[must_use]
    pub fn report(&self) -> Value {
        let checks = [
            ("cors.holdfast", self.cors()),
            ("cors.store", self.store_cors()),
            ("host.holdfast", self.host()),
            ("host.store", self.store_host()),
            ("clock.store", self.store_clock()),
            ("clock.page", self.page_clock()),
        ];
        let ok = checks.iter().all(|(_, found)| found.is_none());
        let checks: Vec<_> = checks
            .into_iter()
            .map(|(name, found)| json!({ "check": name, "ok": found.is_none(), "detail": found }))
            .collect();
        json!({ "origin": self.origin, "ok": ok, "checks": checks })
    }

    fn cors(&self) -> Option<String> {
        (!self.allowed).then(|| {
            format!("Holdfast lets no page of {} read its answers; add it to `cors_origins` or to the bucket's policy", self.origin)
        })
    }

    fn store_cors(&self) -> Option<String> {
        let Some(store) = &self.store else {
            return Some("SeaweedFS did not answer".to_owned());
        };
        if store.allow_origin != "*" && store.allow_origin != self.origin {
            return Some(format!(
                "SeaweedFS lets no page of {} use it; add it to the bucket's CORS, or to its -s3.allowedOrigins",
                self.origin
            ));
        }
        let lists = |list: &str, name: &str| {
            list.split(',').any(|it| it.trim() == "*" || it.trim().eq_ignore_ascii_case(name))
        };
        if !lists(&store.allow_methods, "PUT") {
            return Some(
                "SeaweedFS takes no PUT of a page; add PUT to the methods of the bucket's CORS"
                    .to_owned(),
            );
        }
        (!lists(&store.expose, "etag")).then(|| {
            "SeaweedFS hides the ETag of a part from a page; add ETag to what the bucket's CORS exposes".to_owned()
        })
    }

    /// URLs of ours begin with `public_url`, and a page that reaches us otherwise will not reach those.
    fn host(&self) -> Option<String> {
        let (scheme, rest) = self.public_url.split_once("://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        if !host.eq_ignore_ascii_case(&self.host) {
            return Some(format!(
                "This request came by {}, and `public_url` says {host}; if a proxy changes the host that is well, else set `public_url`",
                self.host
            ));
        }
        self.mixed(scheme, "`public_url`")
    }

    fn store_host(&self) -> Option<String> {
        let (scheme, rest) = self.store_url.split_once("://").unwrap_or_default();
        if is_loopback(rest) && !is_loopback(self.origin.split("://").nth(1).unwrap_or_default()) {
            return Some(format!(
                "`s3_public_endpoint` is {}, which is each client's own machine; set it to where clients reach SeaweedFS",
                self.store_url
            ));
        }
        self.mixed(scheme, "`s3_public_endpoint`")
    }

    /// A browser sends nothing to http from a page of https, but to its own machine.
    fn mixed(&self, scheme: &str, what: &str) -> Option<String> {
        let mixed = self.origin.starts_with("https://") && scheme == "http";
        mixed.then(|| {
            format!(
                "The page is https and {what} is http, which a browser refuses; put TLS in front"
            )
        })
    }

    fn store_clock(&self) -> Option<String> {
        let store = self.store.as_ref()?.now?;
        differs(self.now, store, "SeaweedFS refuses what is signed here")
    }

    fn page_clock(&self) -> Option<String> {
        differs(self.now, self.page_now?, "The page misjudges when its tokens and URLs end")
    }
}

fn differs(ours: i64, theirs: i64, so: &str) -> Option<String> {
    let skew = theirs.saturating_sub(ours);
    let wrong = skew.unsigned_abs() > MAX_SKEW_SECONDS.unsigned_abs();
    wrong.then(|| format!("{so}: its clock is {skew} seconds from ours; set both by NTP"))
}

/// Whether an authority is the client's own machine.
fn is_loopback(authority: &str) -> bool {
    let host = authority.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost"
        || name.ends_with(".localhost")
        || name.starts_with("127.")
        || name == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            origin: "https://app.example.org".to_owned(),
            allowed: true,
            public_url: "https://files.example.org/store".to_owned(),
            host: "files.example.org".to_owned(),
            store_url: "https://s3.example.org:9443".to_owned(),
            store: Some(Store {
                allow_origin: "https://app.example.org".to_owned(),
                allow_methods: "GET, PUT, POST".to_owned(),
                expose: "ETag, Content-Length".to_owned(),
                now: Some(1_000_900),
            }),
            now: 1_000_000,
            page_now: Some(999_100),
        }
    }

    /// The names of the checks that fail.
    fn failing(facts: &Facts) -> Vec<String> {
        let report = facts.report();
        let checks = report["checks"].as_array().expect("checks").clone();
        let failing: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
        assert_eq!(report["ok"], failing.is_empty());
        assert!(failing.iter().all(|check| check["detail"].is_string()), "{report}");
        failing.iter().map(|check| check["check"].as_str().expect("a name").to_owned()).collect()
    }

    #[test]
    fn what_is_well_is_said_to_be() {
        assert_eq!(failing(&good()), Vec::<String>::new());
        let mut here = good();
        here.origin = "http://localhost:8080".to_owned();
        here.public_url = "http://127.0.0.1:3000".to_owned();
        here.host = "127.0.0.1:3000".to_owned();
        here.store_url = "http://127.0.0.1:8333".to_owned();
        here.page_now = None;
        if let Some(store) = &mut here.store {
            store.allow_origin = "*".to_owned();
            store.expose = "*".to_owned();
            store.now = None;
        }
        assert_eq!(failing(&here), Vec::<String>::new());
    }

    #[test]
    fn each_mistake_is_found_alone() {
        type Mistake = fn(&mut Facts);
        let with_store = |change: fn(&mut Store)| {
            let mut facts = good();
            facts.store.as_mut().into_iter().for_each(change);
            facts
        };
        for (name, mistake) in [
            ("cors.holdfast", (|it| it.allowed = false) as Mistake),
            ("cors.store", |it| it.store = None),
            ("host.holdfast", |it| it.host = "files.example.org:8080".to_owned()),
            ("host.holdfast", |it| it.public_url = "http://files.example.org".to_owned()),
            ("host.store", |it| it.store_url = "http://s3.example.org".to_owned()),
            ("host.store", |it| it.store_url = "https://127.0.0.1:8333".to_owned()),
            ("host.store", |it| it.store_url = "https://[::1]:8333".to_owned()),
            ("clock.page", |it| it.page_now = Some(0)),
            ("clock.page", |it| it.page_now = Some(i64::MIN)),
        ] {
            let mut facts = good();
            mistake(&mut facts);
            assert_eq!(failing(&facts), [name]);
        }
        for (name, facts) in [
            ("cors.store", with_store(|it| it.allow_origin.clear())),
            (
                "cors.store",
                with_store(|it| it.allow_origin = "https://other.example.org".to_owned()),
            ),
            ("cors.store", with_store(|it| it.allow_methods = "GET, PUTS".to_owned())),
            ("cors.store", with_store(|it| it.expose = "Content-Length".to_owned())),
            ("clock.store", with_store(|it| it.now = Some(1_000_901))),
        ] {
            assert_eq!(failing(&facts), [name]);
        }
    }
}
