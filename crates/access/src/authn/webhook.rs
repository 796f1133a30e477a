//! Bearer tokens that another server knows: a TokenReview is sent there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Attempt, Identity};
use crate::UserInfo;
use crate::reviewer::{Cache, Reviewer};

/// Answers remembered at once.
const REMEMBERED: usize = 4096;

/// A server that knows tokens.
pub struct TokenWebhook {
    reviewer: Arc<dyn Reviewer>,
    /// `v1` or `v1beta1`.
    version: &'static str,
    /// How long an answer is remembered.
    keep: Duration,
    cache: Cache<[u8; 32], Option<Identity>>,
}

impl TokenWebhook {
    /// Asks `reviewer` in `version` of `authentication.k8s.io`, and remembers answers for `keep`.
    pub fn new(reviewer: Arc<dyn Reviewer>, version: &'static str, keep: Duration) -> Self {
        Self { reviewer, version, keep, cache: Cache::new(REMEMBERED) }
    }

    /// Whose the token is, for `audiences` (empty: not said).
    pub(super) async fn authenticate(&self, token: &str, audiences: &[String]) -> Attempt {
        let key = key(token, audiences);
        let now = Instant::now();
        if let Some(known) = self.cache.find(&key, now) {
            return Ok(known);
        }
        let review = json!({
            "apiVersion": format!("authentication.k8s.io/{}", self.version), "kind": "TokenReview",
            "spec": {"token": token, "audiences": audiences},
        });
        let answer = self.reviewer.review(&review).await?;
        let found = read(&answer, audiences)?;
        self.cache.keep(key, found.clone(), self.keep, now);
        Ok(found)
    }
}

/// Tokens are not kept, only what tells them apart.
fn key(token: &str, audiences: &[String]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(Sha256::digest(token));
    for audience in audiences {
        hash.update(Sha256::digest(audience));
    }
    hash.finalize().into()
}

fn read(answer: &Value, audiences: &[String]) -> Attempt {
    let status = &answer["status"];
    if status["authenticated"] != true {
        return match status["error"].as_str().unwrap_or_default() {
            "" => Ok(None),
            why => Err(why.to_owned()),
        };
    }
    let user: UserInfo = serde_json::from_value(status["user"].clone())
        .map_err(|error| format!("the webhook's status.user is unreadable: {error}"))?;
    let named = status["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let named: Vec<&str> = named.collect();
    // A webhook that names no audiences vouches for all that were asked for.
    let good: Vec<String> = match named.is_empty() {
        true => audiences.to_vec(),
        false => audiences.iter().filter(|audience| named.contains(&audience.as_str())).cloned().collect(),
    };
    if !audiences.is_empty() && good.is_empty() {
        return Ok(None);
    }
    Ok(Some(Identity { user, audiences: good }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Server(AtomicUsize);

    #[async_trait::async_trait]
    impl Reviewer for Server {
        async fn review(&self, review: &Value) -> Result<Value, String> {
            self.0.fetch_add(1, Ordering::Relaxed);
            match review["spec"]["token"].as_str().unwrap_or_default() {
                "good" => Ok(
                    json!({"status": {"authenticated": true, "user": {"username": "eve", "groups": ["g"]}}}),
                ),
                "narrow" => Ok(json!({"status": {
                    "authenticated": true, "user": {"username": "eve"}, "audiences": ["other"]}})),
                "bad" => Ok(json!({"status": {"error": "no such token"}})),
                "unknown" => Ok(json!({"status": {}})),
                _ => Err("connection refused".to_owned()),
            }
        }
    }

    #[tokio::test]
    async fn answers_are_read_and_remembered() {
        let server = Arc::new(Server(AtomicUsize::new(0)));
        let webhook = TokenWebhook::new(server.clone(), "v1", Duration::from_secs(60));
        let audiences = ["api".to_owned()];
        for (token, expected) in [
            ("good", Ok(Some("eve"))),
            ("good", Ok(Some("eve"))),
            ("narrow", Ok(None)),
            ("bad", Err("no such token")),
            ("unknown", Ok(None)),
            ("down", Err("connection refused")),
        ] {
            let found = webhook.authenticate(token, &audiences).await;
            let found = found.map(|found| found.map(|identity| identity.user.name));
            assert_eq!(found, expected.map(|name| name.map(str::to_owned)).map_err(str::to_owned), "{token}");
        }
        assert_eq!(server.0.load(Ordering::Relaxed), 5);
    }
}
