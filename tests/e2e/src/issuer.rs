//! An issuer of tokens: a server of public keys on this machine, and the keys that sign.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ed25519_dalek::Signer as _;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rsa::signature::SignatureEncoding as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;

/// A private key.
pub(crate) enum Signing {
    Rs256(Box<rsa::pkcs1v15::SigningKey<Sha256>>),
    Es256(p256::ecdsa::SigningKey),
    EdDsa(Box<ed25519_dalek::SigningKey>),
}

impl Signing {
    pub(crate) fn es256(seed: u8) -> Result<Self> {
        Ok(Self::Es256(p256::ecdsa::SigningKey::from_slice(&[seed; 32])?))
    }

    pub(crate) fn ed25519(seed: u8) -> Self {
        Self::EdDsa(Box::new(ed25519_dalek::SigningKey::from_bytes(&[seed; 32])))
    }

    /// Made anew.
    pub(crate) fn rs256() -> Self {
        use rsa::Generate as _;
        Self::Rs256(Box::new(rsa::pkcs1v15::SigningKey::new(rsa::PrivateKey::generate())))
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    /// The public key as the issuer publishes it.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match self {
            Self::Rs256(key) => {
                let key: &rsa::PrivateKey = key.as_ref().as_ref();
                let (n, e) = (key.n_bytes(), key.e_bytes());
                json!({"kty": "RSA", "n": part(&n), "e": part(&e)})
            }
            Self::Es256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": part(x), "y": part(y)})
            }
            Self::EdDsa(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": part(key.verifying_key().as_bytes())})
            }
        };
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// A token of `claims`.
    pub(crate) fn token(&self, kid: &str, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": self.algorithm(), "kid": kid});
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = match self {
            Self::Rs256(key) => {
                use rsa::signature::Signer as _;
                key.sign(signed.as_bytes()).to_vec()
            }
            Self::Es256(key) => {
                use p256::ecdsa::signature::Signer as _;
                let signature: p256::ecdsa::Signature = key.sign(signed.as_bytes());
                signature.to_bytes().to_vec()
            }
            Self::EdDsa(key) => key.sign(signed.as_bytes()).to_bytes().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The server. It answers what it is told to, and counts.
#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) host: String,
    /// `None` answers 500.
    document: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
    delay_ms: Arc<AtomicU64>,
}

impl Issuer {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let issuer = Self {
            host: format!("http://{}", listener.local_addr()?),
            document: Arc::default(),
            asked: Arc::default(),
            delay_ms: Arc::default(),
        };
        let state = issuer.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                tokio::spawn(async move {
                    let answer = service_fn(|_: Request<hyper::body::Incoming>| {
                        let state = state.clone();
                        async move { Ok::<_, Infallible>(state.answer().await) }
                    });
                    let server = hyper::server::conn::http1::Builder::new();
                    // A client that leaves is its own affair.
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(issuer)
    }

    async fn answer(&self) -> Response<Full<Bytes>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst))).await;
        let document = self.document.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut response = Response::new(Full::from(document.clone().unwrap_or_default()));
        if document.is_none() {
            *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        }
        response
    }

    /// Publishes these keys from now on; `None` fails.
    pub(crate) fn publish(&self, keys: Option<&[Value]>) {
        let document = keys.map(|keys| json!({ "keys": keys }).to_string());
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = document;
    }

    /// Every answer takes so long from now on.
    pub(crate) fn delay(&self, millis: u64) {
        self.delay_ms.store(millis, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
