//! Acting as somebody else: the `Impersonate-*` headers, each part of which must be allowed.

use api_types::field::quote;
use api_types::status::ApiError;
use http::HeaderMap;

use super::add_authenticated_group;
use super::request_header::collect_extra;
use crate::authz::{Attributes, Authorizer, forbidden};
use crate::user::split_service_account;
use crate::{UserInfo, names};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA_PREFIX: &str = "impersonate-extra-";

/// The API group of the resources that stand for uids and extra attributes.
const AUTHENTICATION: &str = "authentication.k8s.io";

/// The user that `requester` asks to act as; `None` when the headers ask for nothing.
///
/// # Errors
/// The headers contradict each other, or `requester` may not act so.
pub async fn impersonate(
    authorizer: &Authorizer,
    requester: &UserInfo,
    headers: &HeaderMap,
) -> Result<Option<UserInfo>, ApiError> {
    let wanted = requested(headers);
    if wanted == UserInfo::default() {
        return Ok(None);
    }
    if wanted.name.is_empty() {
        return Err(ApiError::bad_request(format!(
            "requested {} without impersonating a user name",
            go_syntax(&wanted)
        )));
    }
    check(authorizer, requester, &wanted).await?;
    Ok(Some(complete(wanted)))
}

/// Takes the headers out, so that they go no further.
pub fn strip(headers: &mut HeaderMap) {
    let names: Vec<_> = headers.keys().filter(|n| n.as_str().starts_with("impersonate-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn requested(headers: &HeaderMap) -> UserInfo {
    let one = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let groups = headers.get_all(GROUP).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned);
    let mut user = UserInfo { uid: one(UID), ..UserInfo::new(one(USER), groups) };
    collect_extra(headers, EXTRA_PREFIX, &mut user);
    user
}

async fn check(authorizer: &Authorizer, requester: &UserInfo, wanted: &UserInfo) -> Result<(), ApiError> {
    let ask = |group, resource| Attributes {
        version: "v1",
        ..Attributes::resource(requester, "impersonate", group, resource)
    };
    let mut parts = vec![match split_service_account(&wanted.name) {
        Some((namespace, name)) => ask("", "serviceaccounts").in_namespace(namespace).named(name),
        None => ask("", "users").named(&wanted.name),
    }];
    parts.extend(wanted.groups.iter().map(|group| ask("", "groups").named(group)));
    for (key, values) in &wanted.extra {
        parts.extend(
            values.iter().map(|value| ask(AUTHENTICATION, "userextras").of_subresource(key).named(value)),
        );
    }
    if !wanted.uid.is_empty() {
        parts.push(ask(AUTHENTICATION, "uids").named(&wanted.uid));
    }
    for part in &parts {
        let verdict = authorizer.authorize(part).await;
        if !verdict.allowed() {
            return Err(forbidden(part, &verdict.reason));
        }
    }
    Ok(())
}

/// Adds the groups that the user would have had by authenticating.
fn complete(mut user: UserInfo) -> UserInfo {
    if user.groups.is_empty()
        && let Some((namespace, _)) = split_service_account(&user.name)
    {
        user.groups = vec![
            names::SERVICE_ACCOUNTS.to_owned(),
            format!("{}{namespace}", names::SERVICE_ACCOUNTS_PREFIX),
        ];
    }
    if user.name == names::ANONYMOUS {
        if !user.in_group(names::UNAUTHENTICATED) {
            user.groups.push(names::UNAUTHENTICATED.to_owned());
        }
    } else {
        add_authenticated_group(&mut user);
    }
    user
}

/// The user as Go prints it with `%#v`: clients have always been shown that.
fn go_syntax(user: &UserInfo) -> String {
    let strings = |values: &[String]| {
        if values.is_empty() {
            return "[]string(nil)".to_owned();
        }
        format!("[]string{{{}}}", values.iter().map(|v| quote(v)).collect::<Vec<_>>().join(", "))
    };
    let extra = if user.extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        let entries = user.extra.iter().map(|(key, values)| format!("{}:{}", quote(key), strings(values)));
        format!("map[string][]string{{{}}}", entries.collect::<Vec<_>>().join(", "))
    };
    format!(
        "&user.DefaultInfo{{Name:{}, UID:{}, Groups:{}, Extra:{extra}}}",
        quote(&user.name),
        quote(&user.uid),
        strings(&user.groups)
    )
}
