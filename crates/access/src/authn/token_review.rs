//! TokenReview: authentication as a service to other servers.

use api_types::status::ApiError;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Authenticator, add_authenticated_group};

/// Evaluates the review's token and sets its `status`.
///
/// # Errors
/// There is no token in it.
pub async fn token_review(
    authenticator: &Authenticator,
    review: &mut Value,
    now: Timestamp,
) -> Result<(), ApiError> {
    let token = review.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default().to_owned();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let listed = review.pointer("/spec/audiences").and_then(Value::as_array);
    let mut audiences: Vec<String> =
        listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences = authenticator.api_audiences().to_vec();
    }
    review["status"] = match authenticator.authenticate_token(&token, &audiences, now).await {
        Ok(mut identity) => {
            add_authenticated_group(&mut identity.user);
            let mut status = json!({"authenticated": true, "user": identity.user});
            if !identity.audiences.is_empty() {
                status["audiences"] = identity.audiences.into();
            }
            status
        }
        Err(error) => json!({"user": {}, "error": error.to_string()}),
    };
    Ok(())
}
