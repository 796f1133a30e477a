//! `--token-auth-file`: lines of `token,user,uid,"group1,group2"`.

use std::collections::HashMap;
use std::path::Path;

use super::{ConfigError, read};
use crate::UserInfo;

const FLAG: &str = "--token-auth-file";

/// The tokens of the file and whose they are.
#[derive(Default)]
pub(super) struct TokenFile {
    users: HashMap<String, UserInfo>,
}

impl TokenFile {
    pub(super) fn load(path: &Path) -> Result<Self, ConfigError> {
        let content = read(FLAG, path)?;
        let text = String::from_utf8(content)
            .map_err(|_| ConfigError::content(FLAG, path, "the file is not UTF-8 text"))?;
        Self::parse(&text).map_err(|why| ConfigError::content(FLAG, path, why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut users = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if line.trim().is_empty() {
                continue;
            }
            let columns = split(line).ok_or_else(|| format!("line {number} has an unclosed quote"))?;
            let [token, name, uid, rest @ ..] = columns.as_slice() else {
                return Err(format!(
                    "line {number} has {} columns; token,user,uid are required",
                    columns.len()
                ));
            };
            if token.is_empty() {
                tracing::warn!(line = number, "empty token in token file; ignoring the line");
                continue;
            }
            let groups = rest.first().filter(|g| !g.is_empty());
            let groups: Vec<String> =
                groups.into_iter().flat_map(|g| g.split(',')).map(str::to_owned).collect();
            let user = UserInfo { uid: uid.clone(), ..UserInfo::new(name.as_str(), groups) };
            if users.insert(token.clone(), user).is_some() {
                tracing::warn!(line = number, "token file has a token twice; the last one counts");
            }
        }
        Ok(Self { users })
    }

    /// Whose a token is.
    pub(super) fn find(&self, token: &str) -> Option<UserInfo> {
        self.users.get(token).cloned()
    }
}

/// The columns of one CSV line (RFC 4180, without line breaks inside quotes); `None` when a quote is not
/// closed.
fn split(line: &str) -> Option<Vec<String>> {
    let mut columns = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        let column = columns.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                column.push('"');
                chars.next();
            }
            '"' if quoted => quoted = false,
            '"' if column.trim().is_empty() => {
                column.clear();
                quoted = true;
            }
            ',' if !quoted => columns.push(String::new()),
            _ => column.push(c),
        }
    }
    (!quoted).then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_groups() {
        let file =
            TokenFile::parse("t1,alice,1\nt2,bob,2,\"dev,ops\"\nt3,carol,3,one\n\n,nobody,4\n").unwrap();
        let groups = |token: &str| file.find(token).map(|u| (u.name, u.uid, u.groups.join("+")));
        let user = |n: &str, u: &str, g: &str| Some((n.to_owned(), u.to_owned(), g.to_owned()));
        assert_eq!(groups("t1"), user("alice", "1", ""));
        assert_eq!(groups("t2"), user("bob", "2", "dev+ops"));
        assert_eq!(groups("t3"), user("carol", "3", "one"));
        assert_eq!(groups(""), None);
        for (bad, why) in [
            ("t,alice", "line 1 has 2 columns; token,user,uid are required"),
            ("ok,a,1\nt,\"a,1", "line 2 has an unclosed quote"),
        ] {
            assert_eq!(TokenFile::parse(bad).err().as_deref(), Some(why));
        }
    }
}
