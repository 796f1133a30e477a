//! `windowsOptions` of security contexts.

use serde_json::Value;

use crate::field::{ErrorList, Path};
use crate::name;
use crate::validation::get::get;

const CREDENTIAL_KIB_MAX: usize = 64;
const USER_MAX: usize = 104;
const DOMAIN_MAX: usize = 256;
/// Characters that a Windows user name may not have.
const NOT_IN_USERS: &str = "\"/:;|=,+*?<>@[]";

pub(super) fn validate(errors: &mut ErrorList, path: &Path<'_>, context: &Value) {
    let Some(options) = get(context, "windowsOptions") else { return };
    let path = path.child("windowsOptions");
    if let Some(name) = get(options, "gmsaCredentialSpecName").and_then(Value::as_str) {
        errors.invalid_each(&path.child("gmsaCredentialSpecName"), name, name::dns1123_subdomain(name));
    }
    if let Some(spec) = get(options, "gmsaCredentialSpec").and_then(Value::as_str) {
        let at = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.invalid(&at, spec, "gmsaCredentialSpec cannot be an empty string");
        } else if spec.len() > CREDENTIAL_KIB_MAX * 1024 {
            let detail = format!("gmsaCredentialSpec size must be under {CREDENTIAL_KIB_MAX} KiB");
            errors.invalid(&at, spec, detail);
        }
    }
    if let Some(user) = get(options, "runAsUserName").and_then(Value::as_str)
        && let Err(detail) = user_name(user)
    {
        errors.invalid(&path.child("runAsUserName"), user, detail);
    }
}

/// `DOMAIN\\USER` or `USER`.
fn user_name(text: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("runAsUserName{why}"));
    if text.is_empty() {
        return refuse(" cannot be an empty string");
    }
    if text.chars().any(char::is_control) {
        return refuse(" cannot contain control characters");
    }
    let (domain, user) = match text.split('\\').collect::<Vec<_>>()[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return refuse(" cannot contain more than one backslash"),
    };
    if let Some(domain) = domain {
        if domain.len() >= DOMAIN_MAX {
            return refuse(&format!("'s Domain length must be under {DOMAIN_MAX} characters"));
        }
        if domain.is_empty() || domain.starts_with('.') || domain.contains(|c: char| NOT_IN_USERS.contains(c))
        {
            return refuse("'s Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        return refuse("'s User cannot be empty");
    }
    if user.len() > USER_MAX {
        return refuse(&format!("'s User length must not be longer than {USER_MAX} characters"));
    }
    if user.chars().all(|c| c == '.' || c == ' ') {
        return refuse("'s User cannot contain only periods or spaces");
    }
    if user.contains(|c: char| NOT_IN_USERS.contains(c)) {
        return refuse(&format!("'s User cannot contain the following characters: {NOT_IN_USERS}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names() {
        let check =
            |name: &str, want: Result<(), &str>| assert_eq!(user_name(name), want.map_err(str::to_owned));
        check("NT AUTHORITY\\SYSTEM", Ok(()));
        check("ContainerUser", Ok(()));
        check("", Err("runAsUserName cannot be an empty string"));
        check("a\\b\\c", Err("runAsUserName cannot contain more than one backslash"));
        check("..", Err("runAsUserName's User cannot contain only periods or spaces"));
    }
}
